"""Hosts strategies: routes events to them, keeps their orders and positions, collects their wishes.

Consumes: Trade, Quote, BookTop, FeedStatus, Instrument; the strategies' own intents (after a
restart: their memory), OrderApproved, OrderDenied and order events; TradingStateChanged;
TimerFired, Recovered.
Produces: SubmitOrder, CancelOrder, CancelAllOrders, SetTimer, StrategyDecision, NotOrdered,
StrategyFailed.
Invariants: a strategy is called only while live, with its instrument known, and told of a market
only while its book can be trusted, and once when it no longer can;
ids never repeat; a strategy that raises is stopped, its orders are cancelled, the others go on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelDenied,
    CancelOrder,
    CancelRejected,
    Event,
    FeedStatus,
    Instrument,
    Liquidation,
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
    TradingState,
    TradingStateChanged,
)
from tickbus.order import Order, client_order_id_of
from tickbus_strategy.base import StrategyBase
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.memory import StrategyMemory

Events = Sequence[Event]
Key = tuple[str, str]


class StrategyFailed(Event, frozen=True):
    """A strategy raised: it is stopped and its orders are being cancelled."""

    strategy_id: str
    error: str


class Seat:
    """One strategy instance at its markets: one, but for a `SpanningStrategy`."""

    def __init__(self, strategy: StrategyBase, desk: Desk, *markets: Market) -> None:
        self.strategy = strategy
        self.desk = desk
        self.markets = markets
        self.started = False
        self.ready = False

    @property
    def market(self) -> Market:
        """The first of them."""
        return self.markets[0]


class StrategyCore:
    """Runs the given seats; see the module's first lines."""

    memory = StrategyMemory

    def __init__(
        self, seats: Sequence[Seat] = (), make_desk: Callable[[str], Desk | None] | None = None
    ) -> None:
        """`make_desk` gives a desk for an id that has no seat, or None for one that is not ours."""
        self.instruments: dict[Key, Instrument] = {}
        self._make_desk = make_desk
        self._desks: dict[str, Desk] = {}
        self._states: dict[str, TradingState] = {}
        self._places: dict[Key, list[tuple[Seat, Market]]] = {}
        self._by_strategy: dict[str, list[Seat]] = {}
        self._live = False
        self.seat(seats)
        self.failed: dict[str, str] = {}
        self._handlers: dict[type, Callable[[Any], Events]] = {
            Trade: self._trade,
            Quote: self._quote,
            BookTop: self._top,
            Liquidation: self._liquidation,
            FeedStatus: self._feed,
            Instrument: self._instrument,
            SubmitOrder: self._own,
            CancelOrder: self._own_cancel,
            CancelAllOrders: self._own_cancel,
            CancelDenied: self._cancel_denied,
            TradingStateChanged: self._state_changed,
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

    def seats(self) -> Iterator[Seat]:
        """Every seat."""
        for seats in self._by_strategy.values():
            yield from seats

    # -- seats -------------------------------------------------------------------------------------

    def desk(self, strategy_id: str) -> Desk | None:
        """The desk of a strategy, with or without seats; None for one that is not ours."""
        desk = self._desks.get(strategy_id)
        if desk is None and self._make_desk is not None:
            desk = self._make_desk(strategy_id)
            if desk is not None:
                self._desks[strategy_id] = desk
                desk.know_states(self._states)
        return desk

    def seat(self, seats: Iterable[Seat], before: Iterable[Seat] = ()) -> None:
        """Take in new seats; `begin` starts them. What is known of their markets they know too.

        `before` are those that were there until this event.
        """
        left = {(m.venue, m.instrument_id): m for seat in before for m in seat.markets}
        for seat in seats:
            for market in seat.markets:
                key = (market.venue, market.instrument_id)
                market.instrument = self.instruments.get(key)
                places = self._places.get(key)
                other = places[0][1] if places else left.get(key)
                if other is not None:
                    market.top, market.quote, market.feed = other.top, other.quote, other.feed
                self._places.setdefault(key, []).append((seat, market))
            self._by_strategy.setdefault(seat.desk.strategy_id, []).append(seat)
            self._desks.setdefault(seat.desk.strategy_id, seat.desk)

    def begin(self, strategy_id: str) -> Events:
        """Start what can be started of a strategy: whose instruments are known."""
        out: list[Event] = []
        for seat in list(self._by_strategy.get(strategy_id, ())):
            out += self._begin(seat)
        return out

    def make_ready(self, strategy_id: str) -> Events:
        """Tell its seats that orders can leave from now on, where they can."""
        seats = list(self._by_strategy.get(strategy_id, ()))
        return [wish for seat in seats for wish in self._make_ready(seat)]

    def tell(self, seat: Seat, method: Callable[..., None], *arguments: Any) -> Events:
        """Tell one seat something; what it wants then."""
        return self._call(seat, seat.market, method, *arguments) if seat.started else ()

    def unseat(self, strategy_id: str) -> list[Seat]:
        """Tell the seats of a strategy nothing more; its desk stays, and is kept up to date."""
        gone = self._by_strategy.pop(strategy_id, [])
        for key, places in list(self._places.items()):
            kept = [place for place in places if place[0] not in gone]
            if kept:
                self._places[key] = kept
            else:
                del self._places[key]
        return gone

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> StrategyMemory:
        """All that folding the order path gave; what strategies themselves know is not in it."""
        desks = list(self._desks.values())
        orders = [order for desk in desks for order in desk.orders.snapshot()]
        return StrategyMemory([desk.snapshot() for desk in desks], orders)

    def restore(self, memory: StrategyMemory, /) -> None:
        """Know what `memory` says. Raises KeyError for another set of strategies."""
        orders: dict[str, list[Order]] = {}
        for order in memory.orders:
            orders.setdefault(order.strategy_id, []).append(order)
        for each in memory.desks:
            desk = self.desk(each.strategy_id)
            if desk is None:
                raise KeyError(each.strategy_id)
            desk.restore(each, orders.get(each.strategy_id, []))
            self._states.update(each.states)

    # -- the market --------------------------------------------------------------------------------

    def _trade(self, event: Trade) -> Events:
        out: list[Event] = []
        for seat, market in self._places.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            if seat.started and market.usable:
                out += self._call(seat, market, seat.strategy.on_trade, event)
        return out

    def _quote(self, event: Quote) -> Events:
        out: list[Event] = []
        for seat, market in self._places.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            market.quote = event
            if seat.started and market.usable:
                if not seat.ready:
                    out += self._make_ready(seat)
                out += self._call(seat, market, seat.strategy.on_quote, event)
        return out

    def _top(self, event: BookTop) -> Events:
        out: list[Event] = []
        for seat, market in self._places.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            was_usable, market.top = market.usable, event
            if seat.started and market.usable:
                if not seat.ready:
                    out += self._make_ready(seat)
                out += self._call(seat, market, seat.strategy.on_book, event)
            elif was_usable:
                out += self._lost(seat, market)
        return out

    def _liquidation(self, event: Liquidation) -> Events:
        out: list[Event] = []
        for seat, market in self._places.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            if seat.started and market.usable:
                out += self._call(seat, market, seat.strategy.on_liquidation, event)
        return out

    def _feed(self, event: FeedStatus) -> Events:
        out: list[Event] = []
        for seat, market in self._places.get((event.venue, event.instrument_id), ()):
            seat.desk.see(event)
            was_usable, market.feed = market.usable, event.state
            if was_usable and not market.usable:
                out += self._lost(seat, market)
        return out

    def _lost(self, seat: Seat, market: Market) -> Events:
        if not seat.started:
            return ()
        return self._call(seat, market, seat.strategy.on_unusable, market)

    def _instrument(self, instrument: Instrument) -> Events:
        out: list[Event] = []
        key = (instrument.venue, instrument.instrument_id)
        self.instruments[key] = instrument
        for seat, market in self._places.get(key, ()):
            market.instrument = instrument
            out += self._begin(seat)
        return out

    def _state_changed(self, event: TradingStateChanged) -> Events:
        self._states[event.scope] = event.after
        for desk in self._desks.values():
            desk.know_states({event.scope: event.after})
        return ()

    # -- orders ------------------------------------------------------------------------------------

    def _own(self, event: SubmitOrder) -> Events:
        if event.parent_id:
            return ()  # the router's, for a part of an order that we asked for
        desk = self.desk(event.strategy_id)
        if desk is not None:
            desk.see(event)
            desk.remember_id(event.client_order_id)
            desk.orders.fold(event)
        return ()

    def _own_cancel(self, event: CancelOrder | CancelAllOrders) -> Events:
        desk = self.desk(event.strategy_id)
        if desk is not None:
            desk.remember_command(event.command_id)
        return ()

    def _cancel_denied(self, event: CancelDenied) -> Events:
        desk = self.desk(event.cancel.strategy_id)
        if desk is not None:
            desk.see(event)
            desk.cancel_answered(event.cancel.client_order_id)
        return ()

    def _order_event(self, event: Event) -> Events:
        order_id = client_order_id_of(event)
        strategy_id = strategy_of(event)
        desk = self.desk(strategy_id)
        if desk is None:
            return ()
        desk.see(event)
        if isinstance(event, OrderApproved | OrderDenied) and event.order.parent_id:
            return ()
        order = desk.orders.fold(event)
        if order is None:
            if isinstance(event, CancelRejected):
                desk.cancel_answered(order_id)
            return ()
        desk.changed(order)
        if order.is_terminal or isinstance(event, CancelRejected):
            desk.cancel_answered(order_id)
            desk.cancel_answered(order.replaces)
        if isinstance(event, OrderFilled):
            desk.portfolio.apply(order.venue, order.instrument_id, event.fill)
        if not self._live:
            return ()
        out: list[Event] = []
        for seat in self._by_strategy.get(strategy_id, ()):
            market = next((m for m in seat.markets if m.holds(order)), None)
            if market is None or not seat.started:
                continue
            if isinstance(event, OrderFilled):
                out += self._call(seat, market, seat.strategy.on_fill, order, event.fill)
            out += self._call(seat, market, seat.strategy.on_order, order)
        return out

    # -- life --------------------------------------------------------------------------------------

    def _recovered(self, event: Recovered) -> Events:
        self._live = True
        out: list[Event] = []
        for seat in self.seats():
            seat.desk.see(event)
            out += self._begin(seat)
        return out

    def _begin(self, seat: Seat) -> Events:
        known = all(market.instrument is not None for market in seat.markets)
        if not self._live or seat.started or not known:
            return ()
        seat.started = True
        started = self._call(seat, seat.market, seat.strategy.on_start)
        return [*started, *self._make_ready(seat)]

    def _make_ready(self, seat: Seat) -> Events:
        priced = all(m.usable and (m.top or m.quote) is not None for m in seat.markets)
        if seat.ready or not (seat.started and seat.desk.may_order and priced):
            return ()
        seat.ready = True
        return self._call(seat, seat.market, seat.strategy.on_ready)

    def _timer(self, event: TimerFired) -> Events:
        strategy_id, _, rest = event.key.partition("/")
        venue, _, rest = rest.partition("/")
        instrument_id, _, key = rest.partition("/")
        out: list[Event] = []
        desk = self._desks.get(strategy_id)
        if desk is None or not desk.is_due(event.key):
            return ()
        for seat in self._by_strategy.get(strategy_id, ()):
            if (seat.market.venue, seat.market.instrument_id) == (venue, instrument_id):
                seat.desk.see(event)
                out += self._call(seat, seat.market, seat.strategy.on_timer, key)
        return out

    def _call(
        self, seat: Seat, market: Market, method: Callable[..., None], *arguments: Any
    ) -> Events:
        desk = seat.desk
        if desk.strategy_id in self.failed:
            return ()
        try:
            method(*arguments)
        except Exception as error:  # noqa: BLE001 - a strategy is a guest; the others go on
            problem = self.failed[desk.strategy_id] = _told(error, method)
            desk.take_back()  # half a decision is none
            desk.decisions.forget()
            desk.cancel_everything()
            failure = StrategyFailed(desk.ts_event, desk.now_ns, desk.strategy_id, problem)
            return [failure, *desk.take()]
        wishes, refused = desk.take(), desk.take_refused()
        told = desk.decisions.end(
            desk.ts_event, desk.now_ns, market.venue, market.instrument_id, wishes, refused
        )
        if told is not None:
            wishes.append(told)
        return [*wishes, *refused] if refused else wishes


def _told(error: Exception, method: Callable[..., None]) -> str:
    """The error, and the line of the strategy's own file that it came from, or of ours."""
    own = getattr(getattr(method, "__func__", method), "__code__", None)
    file, line, step = "", 0, error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if own is None or code.co_filename == own.co_filename:
            file, line = code.co_filename.replace("\\", "/").rpartition("/")[2], step.tb_lineno
        step = step.tb_next
    return f"{error!r} in line {line} of {file}" if file else repr(error)


def strategy_of(event: Event) -> str:
    """The strategy that an event of the order path is about; "" for none."""
    if isinstance(event, OrderApproved | OrderDenied):
        return event.order.strategy_id
    return getattr(event, "strategy_id", "")
