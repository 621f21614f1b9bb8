"""Hosts strategies: routes events to them, keeps their orders and positions, collects their wishes.

Consumes: Trade, Quote, BookTop, FeedStatus, Instrument; the strategies' own intents (after a
restart: their memory), OrderApproved, OrderDenied and order events; TimerFired, Recovered.
Produces: SubmitOrder, CancelOrder, CancelAllOrders, SetTimer, StrategyFailed.
Invariants: a strategy is called only while live, with its instrument known and its book not stale;
ids never repeat; a strategy that raises is stopped, its orders are cancelled, the others go on.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelOrder,
    CancelRejected,
    Event,
    FeedStatus,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderUnknown,
    Quote,
    Recovered,
    SubmitOrder,
    TimerFired,
    Trade,
)
from tickbus.order import Order, client_order_id_of
from tickbus_strategy.base import Strategy
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.memory import StrategyMemory

Events = Sequence[Event]
Key = tuple[str, str]


class StrategyFailed(Event, frozen=True):
    """A strategy raised: it is stopped and its orders are being cancelled."""

    strategy_id: str
    error: str


class Seat:
    """One strategy instance at one instrument."""

    def __init__(self, strategy: Strategy, desk: Desk, market: Market) -> None:
        self.strategy = strategy
        self.desk = desk
        self.market = market
        self.started = False


class StrategyCore:
    """Runs the given seats; see the module's first lines."""

    memory = StrategyMemory

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats: dict[Key, list[Seat]] = {}
        self._by_strategy: dict[str, list[Seat]] = {}
        for seat in seats:
            key = (seat.market.venue, seat.market.instrument_id)
            self._seats.setdefault(key, []).append(seat)
            self._by_strategy.setdefault(seat.desk.strategy_id, []).append(seat)
        self._live = False
        self.failed: dict[str, str] = {}
        self._handlers: dict[type, Callable[[Any], Events]] = {
            Trade: self._trade,
            Quote: self._quote,
            BookTop: self._top,
            FeedStatus: self._feed,
            Instrument: self._instrument,
            SubmitOrder: self._own,
            CancelOrder: self._own_cancel,
            CancelAllOrders: self._own_cancel,
            TimerFired: self._timer,
            Recovered: self._recovered,
        }
        for kind in (
            OrderApproved, OrderDenied, OrderSubmitted, OrderReplaced, OrderAccepted, OrderRejected,
            OrderFilled, OrderCanceled, OrderExpired, CancelRejected, OrderUnknown,
        ):  # fmt: skip
            self._handlers[kind] = self._order_event

    def handle(self, event: Any, /) -> Events:
        """What the strategies want after `event`."""
        handler = self._handlers.get(type(event))
        return handler(event) if handler is not None else ()

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> StrategyMemory:
        """All that folding the order path gave; what strategies themselves know is not in it."""
        desks = [seats[0].desk for seats in self._by_strategy.values()]
        orders = [order for desk in desks for order in desk.orders.snapshot()]
        return StrategyMemory([desk.snapshot() for desk in desks], orders)

    def restore(self, memory: StrategyMemory, /) -> None:
        """Know what `memory` says. Raises KeyError for another set of strategies."""
        orders: dict[str, list[Order]] = {}
        for order in memory.orders:
            orders.setdefault(order.strategy_id, []).append(order)
        for each in memory.desks:
            desk = self._by_strategy[each.strategy_id][0].desk
            desk.restore(each, orders.get(each.strategy_id, []))

    # -- the market --------------------------------------------------------------------------------

    def _trade(self, event: Trade) -> Events:
        out: list[Event] = []
        for seat in self._seats.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            if self._may_act(seat):
                out += self._call(seat, seat.strategy.on_trade, event)
        return out

    def _quote(self, event: Quote) -> Events:
        out: list[Event] = []
        for seat in self._seats.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            seat.market.quote = event
            if self._may_act(seat):
                out += self._call(seat, seat.strategy.on_quote, event)
        return out

    def _top(self, event: BookTop) -> Events:
        out: list[Event] = []
        for seat in self._seats.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            seat.market.top = event
            if self._may_act(seat):
                out += self._call(seat, seat.strategy.on_book, event)
        return out

    def _feed(self, event: FeedStatus) -> Events:
        for seat in self._seats.get((event.venue, event.instrument_id), ()):
            seat.market.feed = event.state
        return ()

    def _instrument(self, instrument: Instrument) -> Events:
        out: list[Event] = []
        for seat in self._seats.get((instrument.venue, instrument.instrument_id), ()):
            seat.market.instrument = instrument
            out += self._begin(seat)
        return out

    # -- orders ------------------------------------------------------------------------------------

    def _own(self, event: SubmitOrder) -> Events:
        if event.parent_id:
            return ()  # the router's, for a part of an order that we asked for
        for seat in self._by_strategy.get(event.strategy_id, ())[:1]:
            seat.desk.see(event)
            seat.desk.remember_id(event.client_order_id)
            seat.desk.orders.fold(event)
        return ()

    def _own_cancel(self, event: CancelOrder | CancelAllOrders) -> Events:
        for seat in self._by_strategy.get(event.strategy_id, ())[:1]:
            seat.desk.remember_command(event.command_id)
        return ()

    def _order_event(self, event: Event) -> Events:
        order_id = client_order_id_of(event)
        strategy_id = getattr(event, "strategy_id", "") or _strategy_of(event)
        seats = self._by_strategy.get(strategy_id)
        if not seats:
            return ()
        desk = seats[0].desk
        desk.see(event)
        if isinstance(event, OrderApproved | OrderDenied) and event.order.parent_id:
            return ()
        order = desk.orders.fold(event)
        if order is None:
            if isinstance(event, CancelRejected):
                desk.cancel_answered(order_id)
            return ()
        if order.is_terminal or isinstance(event, CancelRejected):
            desk.cancel_answered(order_id)
            desk.cancel_answered(order.replaces)
        if isinstance(event, OrderFilled):
            desk.portfolio.apply(order.venue, order.instrument_id, event.fill)
        if not self._live:
            return ()
        out: list[Event] = []
        for seat in seats:
            if seat.market.instrument_id != order.instrument_id or not seat.started:
                continue
            if isinstance(event, OrderFilled):
                out += self._call(seat, seat.strategy.on_fill, order, event.fill)
            out += self._call(seat, seat.strategy.on_order, order)
        return out

    # -- life --------------------------------------------------------------------------------------

    def _recovered(self, event: Recovered) -> Events:
        self._live = True
        out: list[Event] = []
        for seats in self._seats.values():
            for seat in seats:
                seat.desk.see(event)
                out += self._begin(seat)
        return out

    def _begin(self, seat: Seat) -> Events:
        if not self._live or seat.started or seat.market.instrument is None:
            return ()
        seat.started = True
        return self._call(seat, seat.strategy.on_start)

    def _timer(self, event: TimerFired) -> Events:
        strategy_id, _, rest = event.key.partition("/")
        venue, _, rest = rest.partition("/")
        instrument_id, _, key = rest.partition("/")
        out: list[Event] = []
        for seat in self._by_strategy.get(strategy_id, ()):
            if (seat.market.venue, seat.market.instrument_id) == (venue, instrument_id):
                seat.desk.see(event)
                out += self._call(seat, seat.strategy.on_timer, key)
        return out

    def _may_act(self, seat: Seat) -> bool:
        return seat.started and seat.market.usable

    def _call(self, seat: Seat, method: Callable[..., None], *arguments: Any) -> Events:
        desk = seat.desk
        if desk.strategy_id in self.failed:
            return ()
        # Told of its orders and timers whatever happens; new orders only on a book it can trust.
        desk.may_order = seat.market.usable
        try:
            method(*arguments)
        except Exception as error:  # noqa: BLE001 - a strategy is a guest; the others go on
            self.failed[desk.strategy_id] = repr(error)
            desk.take()  # half a decision is none
            desk.cancel_everything()
            failure = StrategyFailed(desk.ts_event, desk.now_ns, desk.strategy_id, repr(error))
            return [failure, *desk.take()]
        return desk.take()


def _strategy_of(event: Event) -> str:
    return event.order.strategy_id if isinstance(event, OrderApproved | OrderDenied) else ""
