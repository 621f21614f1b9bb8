"""What a strategy is: a class that is told what happens and says what it wants."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import msgspec

from tickbus.events import (
    BookTop,
    FeeSchedule,
    Fill,
    Instrument,
    Liquidation,
    OrderType,
    Quote,
    Side,
    TimeInForce,
    Trade,
    TradingState,
)
from tickbus.order import Order, OrderState
from tickbus.portfolio import Position
from tickbus_strategy.desk import SECOND_NS, Desk, Market, Terms
from tickbus_strategy.refusing import NotOrdered, NotOrderedReason

BPS = 10_000
FRESH_NS = 1_000_000_000


def require_positive(name: str, value: Decimal) -> None:
    """For `__post_init__` of parameters. Raises ValueError unless `value` is a number above 0."""
    if not (value.is_finite() and value > 0):
        raise ValueError(f"{name} = {value}: must be above 0")


class Pnl(NamedTuple):
    """In quote currency; `fees` are positive when paid, `funding` when received."""

    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    funding: Decimal

    @property
    def net(self) -> Decimal:
        """All of it."""
        return self.realized + self.unrealized - self.fees + self.funding


class NoState(msgspec.Struct, kw_only=True):
    """For strategies that need not remember more than their orders and positions."""


class NoParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For strategies without parameters."""


class StrategyBase:
    """What every strategy has: what it is told, notes, remembers, and how it wishes.

    Derive from `Strategy` for one market, from `SpanningStrategy` for several at once.
    """

    title: ClassVar[str] = ""
    """What it does, in one line, for people who choose."""
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    State: ClassVar[type[msgspec.Struct]] = NoState

    def __init__(self, desk: Desk, markets: Sequence[Market], params: Any) -> None:
        self._desk = desk
        self._markets = tuple(markets)
        self.params = params
        self.state: Any = self.State()

    # -- told: override what you need --------------------------------------------------------------

    def on_start(self) -> None:
        """The instrument is known, history is folded; orders of an earlier run may still work.

        Prepare here, and order in `on_ready`: there may be no price yet, and after a switch no
        order leaves before those of the strategy that sat here are over. What is asked for until
        then is not kept, for its price would be of before: it is refused, and the log says so.
        """

    def on_ready(self) -> None:
        """Orders can leave from now on: every market has a price, and nothing of before stops them.

        Told once in the life of an instance, so again after a restart: look at what is held first.
        """

    def on_stop(self) -> None:
        """The last call: somebody stops this strategy; its orders are cancelled after it."""

    def on_trade(self, trade: Trade) -> None:
        """Somebody traded."""

    def on_quote(self, quote: Quote) -> None:
        """The venue pushed its best bid and ask."""

    def on_book(self, top: BookTop) -> None:
        """The best levels of our own book changed, or were confirmed."""

    def on_liquidation(self, liquidation: Liquidation) -> None:
        """The venue closed somebody's position by force; it tells of some of them, not of all."""

    def on_unusable(self, market: Market) -> None:
        """A market cannot be trusted any more: nothing can be ordered there, only taken back."""

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
    def trading_state(self) -> TradingState:
        """What risk lets pass now; while it is not ACTIVE, most orders are not even wished for."""
        return self._desk.trading_state

    @property
    def not_ordered(self) -> NotOrdered | None:
        """The last order that this call asked for and did not get, and why; None without one."""
        return self._desk.not_ordered

    def _closable(self, market: Market) -> Decimal:
        held = self._desk.portfolio.position(market.venue, market.instrument_id).quantity
        lots = known(market).quantity(abs(held))
        return lots if held > 0 else -lots

    def _pnl(self, market: Market) -> Pnl:
        position = self._desk.portfolio.position(market.venue, market.instrument_id)
        mark = market.mid
        price = position.avg_entry_price if mark is None else Decimal(repr(mark))
        unrealized = position.unrealized_pnl(price) if price is not None else Decimal(0)
        return Pnl(position.realized_pnl, unrealized, position.fees, position.funding)

    # -- noted -------------------------------------------------------------------------------------

    def note(self, **inputs: float | Decimal | str) -> None:
        """Note what is being decided on: velocity, thresholds, averages, the position.

        Call it before ordering: orders wished for in the same call carry the inputs, so that the
        log of orders explains each. The last 200 decisions can be asked for. Raises ValueError for
        more than 40 inputs.
        """
        self._desk.decisions.note(inputs)

    # -- wanted ------------------------------------------------------------------------------------

    def _submit(
        self,
        market: Market,
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
        is less than the venue's least, the book cannot be trusted, `trading_state` would have it
        refused, or nothing can leave yet (`on_ready`): `not_ordered` says which, the log and the
        next decision too. Raises ValueError for terms that contradict each other.
        """
        if stop is not None and take_profit is not None:
            raise ValueError("an order is a stop or a take-profit, not both: give one of them")
        if good_for_s is not None and time_in_force is not TimeInForce.GTC:
            raise ValueError(f"good_for_s with {time_in_force}: leave time_in_force out")
        instrument = known(market)
        lots = instrument.quantity(quantity)
        refusal = self._refusal(market, side, lots, reduce_only)
        if refusal is not None:
            self._desk.refuse(market, side, quantity, *refusal)
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
        return self._desk.submit(market, side, lots, ticks, terms)

    def _refusal(
        self, market: Market, side: Side, lots: Decimal, reduce_only: bool
    ) -> tuple[NotOrderedReason, str] | None:
        """Why there can be no order for `lots` now, in a word and in a sentence."""
        desk, instrument = self._desk, known(market)
        if not desk.may_order:
            return NotOrderedReason.MUST_WAIT, "orders of before are not over; order in on_ready"
        if not market.usable:
            return NotOrderedReason.UNUSABLE, "the book cannot be trusted"
        least = max(instrument.lot_size, instrument.quantity_min)
        if lots < least:
            return NotOrderedReason.TOO_SMALL, f"the venue takes {least} and more"
        if not desk.may_wish(market, side, lots, reduce_only):
            return NotOrderedReason.TRADING_STATE, f"trading is {desk.trading_state}"
        return None

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
        market = next((m for m in self._markets if m.holds(order)), None)
        if market is None:  # of before somebody gave this strategy other markets
            return None
        return self._submit(
            market,
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
        """Wish to take back every order of this strategy in its markets."""
        for market in self._markets:
            for order in self._desk.living(market.venue, market.instrument_id):
                self.cancel(order)

    def _flatten(self, market: Market) -> Order | None:
        for order in self._desk.living(market.venue, market.instrument_id):
            self.cancel(order)
        held = self._closable(market)
        if held > 0:
            return self._submit(market, Side.SELL, held, None)
        return self._submit(market, Side.BUY, -held, None) if held < 0 else None

    def set_timer(self, key: str, delay_s: float) -> None:
        """Ask for `on_timer(key)` in `delay_s` seconds; the same key again replaces it."""
        self._desk.set_timer(self._markets[0], key, delay_s)


class Strategy(StrategyBase):
    """The base of every strategy for one market; one instance trades one instrument at one venue.

    Override the `on_...` methods you need; they are called one at a time, only while the book can
    be trusted, and what they order leaves when they return. `Params` is a frozen msgspec struct:
    its fields are the keys under `params` in the configuration, with types and defaults. `State` is
    one that is not frozen: `self.state` is such a one, and survives a restart.

    A strategy reads no clock and draws no random numbers (use `now_ns`), so that a replay of the
    same data makes the same orders.
    """

    def __init__(self, desk: Desk, market: Market, params: Any) -> None:
        super().__init__(desk, [market], params)
        self._market = market

    # -- known -------------------------------------------------------------------------------------

    @property
    def instrument(self) -> Instrument:
        """Tick size, lot size and limits of what is traded."""
        return known(self._market)

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
        return self._desk.fees_at(self._market.venue)

    @property
    def position(self) -> Position:
        """What this strategy holds of the instrument, through its own fills."""
        return self._desk.portfolio.position(self._market.venue, self._market.instrument_id)

    @property
    def closable_quantity(self) -> Decimal:
        """The position in whole lots, signed; 0 for dust too small to sell."""
        return self._closable(self._market)

    @property
    def working_orders(self) -> Sequence[Order]:
        """Our orders that may trade or await risk's verdict, oldest first."""
        return self._desk.living(self._market.venue, self._market.instrument_id)

    @property
    def is_settled(self) -> bool:
        """Whether no order of ours can change the position any more: decide on it only then.

        False while one works, and while the fills of one that has ended are still to be told, at
        most 60 s.
        """
        return self._desk.is_settled(self._market)

    @property
    def pnl(self) -> Pnl:
        """What this strategy made with the instrument, at the middle of its market."""
        return self._pnl(self._market)

    # -- wanted ------------------------------------------------------------------------------------

    def buy(
        self, quantity: float | Decimal, price: float | Decimal | None = None, **terms: Any
    ) -> Order | None:
        """Wish to buy; see `_submit`."""
        return self._submit(self._market, Side.BUY, quantity, price, **terms)

    def sell(
        self, quantity: float | Decimal, price: float | Decimal | None = None, **terms: Any
    ) -> Order | None:
        """Wish to sell; see `_submit`."""
        return self._submit(self._market, Side.SELL, quantity, price, **terms)

    def flatten(self) -> Order | None:
        """Take back what works, and close the position at the market."""
        return self._flatten(self._market)


def known(market: Market) -> Instrument:
    """Its instrument, in any call to a strategy."""
    instrument = market.instrument
    assert instrument is not None  # no method is called before it is known
    return instrument
