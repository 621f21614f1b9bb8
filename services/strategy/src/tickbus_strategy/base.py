"""What a strategy is: a class that is told what happens and says what it wants."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from tickbus.events import (
    BookTop,
    FeeSchedule,
    Fill,
    Instrument,
    OrderType,
    Quote,
    Side,
    TimeInForce,
    Trade,
)
from tickbus.order import Order, OrderState
from tickbus.portfolio import Position
from tickbus_strategy.desk import SECOND_NS, Desk, Market, Terms

BPS = 10_000
FRESH_NS = 1_000_000_000


def require_positive(name: str, value: Decimal) -> None:
    """For `__post_init__` of parameters. Raises ValueError unless `value` is a number above 0."""
    if not (value.is_finite() and value > 0):
        raise ValueError(f"{name} = {value}: must be above 0")


class NoParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For strategies without parameters."""


class Strategy:
    """The base of every strategy; one instance trades one instrument at one venue.

    Override the `on_...` methods you need; they are called one at a time, only while the book can
    be trusted, and what they order leaves when they return. `Params` is a frozen msgspec struct:
    its fields are the keys under `params` in the configuration, with types and defaults.

    A strategy reads no clock and draws no random numbers (use `now_ns`), so that a replay of the
    same data makes the same orders.
    """

    Params: ClassVar[type[msgspec.Struct]] = NoParams

    def __init__(self, desk: Desk, market: Market, params: Any) -> None:
        self._desk = desk
        self._market = market
        self.params = params

    # -- told: override what you need --------------------------------------------------------------

    def on_start(self) -> None:
        """The instrument is known, history is folded; orders of an earlier run may still work."""

    def on_trade(self, trade: Trade) -> None:
        """Somebody traded."""

    def on_quote(self, quote: Quote) -> None:
        """The venue pushed its best bid and ask."""

    def on_book(self, top: BookTop) -> None:
        """The best levels of our own book changed, or were confirmed."""

    def on_order(self, order: Order) -> None:
        """One of our orders changed its state, fills included."""

    def on_fill(self, order: Order, fill: Fill) -> None:
        """One of our orders filled, in part or in whole; the position includes it already."""

    def on_timer(self, key: str) -> None:
        """A timer of `set_timer` fired."""

    # -- known -------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The time of the event being handled, ns UTC."""
        return self._desk.now_ns

    @property
    def instrument(self) -> Instrument:
        """Tick size, lot size and limits of what is traded."""
        instrument = self._market.instrument
        assert instrument is not None  # no method is called before it is known
        return instrument

    @property
    def top(self) -> BookTop | None:
        """Best bid and ask of our own book; None before the first."""
        return self._market.top

    @property
    def quote(self) -> Quote | None:
        """The venue's latest quote; None before the first."""
        return self._market.quote

    @property
    def has_fresh_quote(self) -> bool:
        """Whether the venue pushed its best prices within the last second."""
        quote = self._market.quote
        return quote is not None and self.now_ns - quote.ts_recv < FRESH_NS

    @property
    def fees(self) -> FeeSchedule:
        """What the venue takes, as fractions of notional."""
        return self._desk.fees

    @property
    def position(self) -> Position:
        """What this strategy holds of the instrument, through its own fills."""
        return self._desk.portfolio.position(self._market.venue, self._market.instrument_id)

    @property
    def closable_quantity(self) -> Decimal:
        """The position in whole lots, signed; 0 for dust too small to sell."""
        held = self.position.quantity
        lots = self.instrument.quantity(abs(held))
        return lots if held > 0 else -lots

    @property
    def working_orders(self) -> Sequence[Order]:
        """Our orders that may trade or await risk's verdict, oldest first."""
        return self._desk.living(self._market.venue, self._market.instrument_id)

    # -- wanted ------------------------------------------------------------------------------------

    def buy(
        self, quantity: float | Decimal, price: float | Decimal | None = None, **terms: Any
    ) -> Order | None:
        """Wish to buy; see `_submit`."""
        return self._submit(Side.BUY, quantity, price, **terms)

    def sell(
        self, quantity: float | Decimal, price: float | Decimal | None = None, **terms: Any
    ) -> Order | None:
        """Wish to sell; see `_submit`."""
        return self._submit(Side.SELL, quantity, price, **terms)

    def _submit(
        self,
        side: Side,
        quantity: float | Decimal,
        price: float | Decimal | None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        reduce_only: bool = False,
        stop: float | Decimal | None = None,
        take_profit: float | Decimal | None = None,
        good_for_s: float | None = None,
        replaces: str = "",
    ) -> Order | None:
        """An order for `quantity` (base), rounded down to lots, at `price` (None: the market's).

        The price is rounded to a tick away from crossing: down for BUY, up for SELL. `stop` or
        `take_profit` is a trigger price: the order waits until the market trades there. After
        `good_for_s` seconds what is left of it is cancelled. None, and no order, when the quantity
        is less than the venue's least or the book cannot be trusted. Raises ValueError for terms
        that contradict each other.
        """
        if stop is not None and take_profit is not None:
            raise ValueError("an order is a stop or a take-profit, not both: give one of them")
        if good_for_s is not None and time_in_force is not TimeInForce.GTC:
            raise ValueError(f"good_for_s with {time_in_force}: leave time_in_force out")
        if not self._desk.may_order:
            return None
        instrument = self.instrument
        lots = instrument.quantity(quantity)
        if lots <= 0 or lots < instrument.quantity_min:
            return None
        ticks = None if price is None else instrument.price(price, up=side is Side.SELL)
        trigger = stop if take_profit is None else take_profit
        terms = Terms(
            time_in_force=time_in_force if good_for_s is None else TimeInForce.GTD,
            post_only=post_only,
            reduce_only=reduce_only,
            trigger_price=None if trigger is None else instrument.price(trigger),
            take_profit=take_profit is not None,
            expires_ns=0 if good_for_s is None else self.now_ns + int(good_for_s * SECOND_NS),
            replaces=replaces,
        )
        return self._desk.submit(self._market, side, lots, ticks, terms)

    def replace(
        self,
        order: Order,
        *,
        price: float | Decimal | None = None,
        quantity: float | Decimal | None = None,
    ) -> Order | None:
        """Wish for another order in the place of `order`, with what is given changed.

        The new one is sent once the old one is over, and what the old one had filled counts
        towards `quantity`. None, and nothing changes, when the old one is over or on its way out.
        """
        if not self._desk.may_cancel(order) or order.state is OrderState.PENDING_RISK:
            return None
        trigger = order.trigger_price
        takes = order.order_type in (OrderType.TAKE_PROFIT_MARKET, OrderType.TAKE_PROFIT_LIMIT)
        left_s = (order.expires_ns - self.now_ns) / SECOND_NS if order.expires_ns else None
        gtd = order.time_in_force is TimeInForce.GTD
        return self._submit(
            order.side,
            order.quantity if quantity is None else quantity,
            order.price if price is None else price,
            time_in_force=TimeInForce.GTC if gtd else order.time_in_force,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            stop=None if takes else trigger,
            take_profit=trigger if takes else None,
            good_for_s=left_s,
            replaces=order.client_order_id,
        )

    def cancel(self, order: Order) -> None:
        """Wish to take back one order; a repeat while one is on its way does nothing."""
        self._desk.cancel(order)

    def cancel_all(self) -> None:
        """Wish to take back every order of this strategy in this instrument."""
        for order in self.working_orders:
            self.cancel(order)

    def flatten(self) -> Order | None:
        """Take back what works, and close the position at the market."""
        self.cancel_all()
        held = self.closable_quantity
        if held > 0:
            return self.sell(held)
        return self.buy(-held) if held < 0 else None

    def set_timer(self, key: str, delay_s: float) -> None:
        """Ask for `on_timer(key)` in `delay_s` seconds; the same key again replaces it."""
        self._desk.set_timer(self._market, key, delay_s)
