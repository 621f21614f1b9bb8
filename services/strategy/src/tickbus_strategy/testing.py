"""The test kit for strategies: given a market, when something happens, then wishes; no platform.

    story = Story(WideSpread, WideSpreadParams(spread_bps=3))
    order = story.quote(100.00, 100.05).order
    assert (order.side, order.quantity) == (Side.BUY, Decimal("0.49975"))

Every step returns what the strategy wished in it. Time stands still until `wait`. What the strategy
raises comes out of the step that it was raised in.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import wraps
from typing import Any, Generic, TypeVar

import msgspec

from tickbus.events import (
    BookTop,
    CancelOrder,
    DenialReason,
    Event,
    FeeSchedule,
    Fill,
    Instrument,
    Liquidation,
    LiquiditySide,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    Quote,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimerFired,
    Trade,
)
from tickbus.order import Order, OrderState
from tickbus.portfolio import Position
from tickbus_strategy.base import Strategy, StrategyBase
from tickbus_strategy.core import Seat, StrategyCore
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.spanning import SpanningStrategy

SECOND_NS = 1_000_000_000
START_NS = 1_000 * SECOND_NS
FEES = FeeSchedule(maker=Decimal("0.001"), taker=Decimal("0.001"))
BTC_USDT = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"),
    quantity_min=Decimal("0.00001"), notional_min=Decimal(5),
)  # fmt: skip

S = TypeVar("S", bound=StrategyBase)


class Wishes(msgspec.Struct, frozen=True):
    """What a strategy wished in one step; false when it wished nothing.

    `orders` in their order; `cancels` are the ids of orders that it wants to take back.
    """

    orders: tuple[SubmitOrder, ...] = ()
    cancels: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.orders or self.cancels)

    @property
    def order(self) -> SubmitOrder:
        """The one order. Raises AssertionError when there is none, or more than one."""
        assert len(self.orders) == 1, (
            f"one order was expected, there are {len(self.orders)}: {self}"
        )
        return self.orders[0]


class Story(Generic[S]):
    """One strategy from its start on, at one instrument; at several where it spans markets.

    `params` are those of `kind.Params`, its defaults when None. `at` in any step is the instrument,
    the first one when None. Time begins at 1,000 s.
    """

    def __init__(
        self, kind: type[S], params: msgspec.Struct | None = None, *,
        instruments: Sequence[Instrument] = (BTC_USDT,), fees: FeeSchedule = FEES,
        strategy_id: str = "mine",
    ) -> None:  # fmt: skip
        given = kind.Params() if params is None else params
        if not isinstance(given, kind.Params):
            raise TypeError(f"params: {kind.__name__} takes {kind.Params.__name__}, not {given!r}")
        self.now_ns = START_NS
        self._instruments = {(i.venue, i.instrument_id): i for i in instruments}
        self._desk = Desk(strategy_id, "test", fees)
        markets = [Market(*place) for place in self._instruments]
        self.strategy = _made(kind, self._desk, markets, given)
        self._raised: list[Exception] = []
        self._watch()
        self._core = StrategyCore([Seat(self.strategy, self._desk, *markets)])
        self._timers: dict[str, int] = {}
        self._wishes: dict[str, SubmitOrder] = {}
        self._number = 0
        for instrument in instruments:
            self.tell(instrument)
        self.started = self.tell(Recovered(self.now_ns, self.now_ns))
        """What it wished when it started."""

    def _watch(self) -> None:
        # The core stops a strategy that raises and says only what; a test wants to see where.
        for name in dir(self.strategy):
            if name.startswith("on_"):
                setattr(self.strategy, name, self._noting(getattr(self.strategy, name)))

    def _noting(self, method: Callable[..., None]) -> Callable[..., None]:
        @wraps(method)
        def noted(*arguments: Any) -> None:
            try:
                method(*arguments)
            except Exception as error:
                self._raised.append(error)
                raise

        return noted

    # -- seen --------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """What the strategy holds at the first instrument, fees of its purchases taken off."""
        return self.position_at(None)

    def position_at(self, at: Instrument | None) -> Position:
        """What the strategy holds there."""
        return self._desk.portfolio.position(*self._place(at))

    @property
    def working_orders(self) -> Sequence[Order]:
        """Its orders that are not over, oldest first."""
        return list(self._desk.orders.living())

    @property
    def noted(self) -> dict[str, str]:
        """The inputs of its last decision, as an order carries them; {} when it noted none."""
        latest = self._desk.decisions.latest(1)
        return latest[0].inputs if latest else {}

    # -- the market --------------------------------------------------------------------------------

    def quote(
        self, bid: float, ask: float, bid_size: float = 1.0, ask_size: float = 1.0, *,
        at: Instrument | None = None,
    ) -> Wishes:  # fmt: skip
        """The venue pushes its best bid and ask."""
        where = self._where(at)
        return self.tell(Quote(*where, bid, bid_size, ask, ask_size, self._next()))

    def book(
        self, bid: float, ask: float, bid_size: float = 1.0, ask_size: float = 1.0, *,
        stale: bool = False, at: Instrument | None = None,
    ) -> Wishes:  # fmt: skip
        """The best levels of our own book are these; `stale`: and cannot be trusted."""
        where, number = self._where(at), self._next()
        return self.tell(BookTop(*where, bid, bid_size, ask, ask_size, 1, number, stale))

    def trade(
        self, price: float, size: float = 1.0, aggressor_side: Side = Side.BUY, *,
        at: Instrument | None = None,
    ) -> Wishes:  # fmt: skip
        """Somebody trades."""
        number = f"t{self._next()}"
        return self.tell(Trade(*self._where(at), number, price, size, aggressor_side))

    def liquidation(
        self, side: Side, price: float, size: float = 1.0, *, at: Instrument | None = None
    ) -> Wishes:
        """The venue closes somebody's position by force; `side` is that of the forced order."""
        return self.tell(Liquidation(*self._where(at), side, price, size))

    def wait(self, seconds: float) -> Wishes:
        """Time passes; timers that are due fire, in their order."""
        until, wishes = self.now_ns + round(seconds * SECOND_NS), Wishes()
        while due := [(at, key) for key, at in self._timers.items() if at <= until]:
            at_ns, key = min(due)
            del self._timers[key]
            self.now_ns = max(self.now_ns, at_ns)
            wishes = _both(wishes, self.tell(TimerFired(self.now_ns, self.now_ns, key)))
        self.now_ns = until
        return wishes

    # -- what becomes of its orders ----------------------------------------------------------------

    def accept(self, order: SubmitOrder | Order) -> Wishes:
        """It is sent and the venue takes it; nothing if that was before."""
        if self._known(order).state is not OrderState.PENDING_RISK:
            return Wishes()
        wishes = self.tell(OrderSubmitted(*self._of(order)))
        return _both(wishes, self.tell(OrderAccepted(*self._of(order), "v")))

    def fill(
        self, order: SubmitOrder | Order, price: float | Decimal | None = None,
        quantity: Decimal | None = None, liquidity: LiquiditySide = LiquiditySide.TAKER,
    ) -> Wishes:  # fmt: skip
        """The order fills: all that is left of it, at its own price, unless said otherwise.

        A purchase pays its fee in the base asset, as spot venues do. Raises ValueError for an order
        at the market without a price.
        """
        wishes, known = self.accept(order), self._known(order)
        done = known.filled_quantity
        amount = known.quantity - done if quantity is None else quantity
        value = known.price if price is None else price
        if value is None:
            raise ValueError(f"{known.client_order_id}: an order at the market: give the price")
        paid = value if isinstance(value, Decimal) else Decimal(repr(value))
        rate = self._desk.fees.maker if liquidity is LiquiditySide.MAKER else self._desk.fees.taker
        is_buy = known.side is Side.BUY
        instrument = self._instruments[known.venue, known.instrument_id]
        fee, asset = amount * rate, instrument.base
        if not is_buy:
            fee, asset = fee * paid, instrument.quote
        fill = Fill(str(self._next()), known.side, paid, amount, fee, asset, liquidity, self.now_ns)
        left = known.quantity - done - amount
        filled = OrderFilled(*self._of(order), "v", fill, done + amount, left)
        return _both(wishes, self.tell(filled))

    def cancel(self, order: SubmitOrder | Order, filled: Decimal | None = None) -> Wishes:
        """The venue takes the order back, wished or not.

        `filled` is what it says was filled until then, where fills of it are still to be told.
        """
        wishes = self.accept(order)
        done = self._known(order).filled_quantity if filled is None else filled
        return _both(wishes, self.tell(OrderCanceled(*self._of(order), "v", done)))

    def expire(self, order: SubmitOrder | Order, filled: Decimal | None = None) -> Wishes:
        """The rest of the order ends by its own terms; `filled` as in `cancel`."""
        wishes = self.accept(order)
        done = self._known(order).filled_quantity if filled is None else filled
        return _both(wishes, self.tell(OrderExpired(*self._of(order), "v", done)))

    def reject(self, order: SubmitOrder | Order, reason: str = "-2010", detail: str = "") -> Wishes:
        """The venue refuses the order."""
        return self.tell(OrderRejected(*self._of(order), reason, detail))

    def deny(self, order: SubmitOrder | Order, reason: DenialReason) -> Wishes:
        """Risk refuses the order."""
        return self.tell(
            OrderDenied(
                self.now_ns,
                self.now_ns,
                self._wishes[self._known(order).client_order_id],
                reason,
                "",
            )
        )

    # -- anything ----------------------------------------------------------------------------------

    def tell(self, event: Event | Instrument) -> Wishes:
        """Any event of the platform. Raises what the strategy raised."""
        orders, cancels = list[SubmitOrder](), list[str]()
        for wish in self._core.handle(event):
            if isinstance(wish, SubmitOrder):
                self._wishes[wish.client_order_id] = wish
                orders.append(wish)
            elif isinstance(wish, CancelOrder):
                cancels.append(wish.client_order_id)
            elif isinstance(wish, SetTimer):
                self._timers[wish.key] = wish.at_ns
        if self._raised:
            raise self._raised[0]
        return Wishes(tuple(orders), tuple(cancels))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _place(self, at: Instrument | None) -> tuple[str, str]:
        places = self._instruments
        return next(iter(places)) if at is None else (at.venue, at.instrument_id)

    def _where(self, at: Instrument | None) -> tuple[int, int, str, str]:
        return self.now_ns, self.now_ns, *self._place(at)

    def _of(self, order: SubmitOrder | Order) -> tuple[int, int, str, str, str, str]:
        ids = order.client_order_id, order.strategy_id, order.venue, order.instrument_id
        return self.now_ns, self.now_ns, *ids

    def _known(self, order: SubmitOrder | Order) -> Order:
        known = self._desk.orders.get(order.client_order_id)
        if known is None:
            raise ValueError(f"{order.client_order_id}: the strategy wished for no such order")
        return known


def _made(kind: type[S], desk: Desk, markets: Sequence[Market], params: msgspec.Struct) -> S:
    if issubclass(kind, SpanningStrategy):
        return kind(desk, markets, params)
    if not issubclass(kind, Strategy) or len(markets) != 1:
        raise TypeError(f"{kind.__name__} trades one instrument: give one")
    return kind(desk, markets[0], params)


def _both(first: Wishes, second: Wishes) -> Wishes:
    return Wishes(first.orders + second.orders, first.cancels + second.cancels)
