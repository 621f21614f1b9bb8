"""The gate: every wish to trade or to cancel gets exactly one verdict.

Consumes: SubmitOrder, CancelOrder, CancelAllOrders; BookTop, FeedStatus, Instrument; Heartbeat;
SetTradingState, SetLimit; AccountUpdated; order events, its earlier verdicts and its earlier
records (RiskAudit), which after a crash are its memory.
Produces: OrderApproved or OrderDenied per intent, CancelApproved or CancelDenied per cancel;
RiskAudit for every limit, stop and silence; RiskState, RiskReport, Heartbeat, SetTimer.
Invariants: an id is approved at most once; whoever owns an order, and every operator, may always
cancel it; nothing is approved while HALTED. A verdict in the stream outranks one just computed: an
intent delivered again after a crash may be judged anew in another market, but both verdicts have
one message id, so the stream keeps the first, and that one is handed back here.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tickbus import subjects
from tickbus.events import (
    GLOBAL,
    AccountUpdated,
    BookTop,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    FeedStatus,
    FlattenEnded,
    Heartbeat,
    HeartbeatChanged,
    Instrument,
    MessageDead,
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
    PnlRecorded,
    Recovered,
    RiskLimitChanged,
    RiskState,
    SetLimit,
    SetTimer,
    SetTradingState,
    SubmitOrder,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus_risk import watch
from tickbus_risk.account_checks import CAUSES, is_spot
from tickbus_risk.cancels import (
    cancel_denial,
    cancel_denied,
    cancel_of,
    is_plain,
    may_cancel,
    plain,
)
from tickbus_risk.checks import Request, decimal
from tickbus_risk.config import Limits, RiskConfig
from tickbus_risk.denial import Denial
from tickbus_risk.gate import first_denial
from tickbus_risk.snapshot import RatesMemory, RiskMemory
from tickbus_risk.state import Rate, RiskBook
from tickbus_risk.usage import Usage
from tickbus_risk.watch import Watch

ZERO = Decimal(0)
TIMER = "risk-state"
_LOSSES = frozenset(CAUSES.values())
AHEAD_MAX_NS = 2_000_000_000
"""A wish dated later than that ahead of our clock counts as made now."""
_WISHES = frozenset((SubmitOrder, CancelOrder, CancelAllOrders, Heartbeat))

Events = Sequence[Event]


class RiskCore:
    """Judges intents; see the module's first lines."""

    memory = RiskMemory

    def __init__(self, config: RiskConfig, taker_fees: Mapping[str, Decimal] | None = None) -> None:
        self._basis = repr((config, taker_fees))
        self._book = RiskBook(config.currency, taker_fees or {})
        self._watch = Watch(config, self._book, self._cancel_all, self._limits_changed)
        self._limits: dict[tuple[str, str, str], Limits] = {}
        self._rates: dict[str, Rate] = {}
        self._total_rate = Rate(config.total_order_rate_per_s_max)
        self._venue_rates: dict[str, Rate] = {}
        self._limits_changed()
        self._just_approved: OrderApproved | None = None
        self._live = False
        self._denials = 0
        self._handlers: dict[type, Callable[[Any], Events]] = {
            SubmitOrder: self._submit,
            CancelOrder: self._cancel,
            CancelAllOrders: self._cancel_all,
            BookTop: self._market,
            FeedStatus: self._market,
            OrderApproved: self._approved,
            OrderDenied: self._denied,
            CancelApproved: self._order_event,
            SetTradingState: self._set_state,
            MessageDead: self._dead,
            TimerFired: self._timer,
            Recovered: self._recovered,
            OrderSubmitted: self._order_event,
            OrderReplaced: self._order_event,
            OrderAccepted: self._order_event,
            OrderRejected: self._order_event,
            OrderFilled: self._filled,
            OrderCanceled: self._order_event,
            OrderExpired: self._order_event,
            CancelRejected: self._order_event,
            OrderUnknown: self._order_event,
            AccountUpdated: self._account,
            Heartbeat: self._watch.heartbeat,
            SetLimit: self._watch.set_limit,
            RiskLimitChanged: self._record(self._watch.limit_changed),
            TradingStateChanged: self._record(self._watch.state_changed),
            PnlRecorded: self._record(self._watch.pnl_recorded),
            FlattenEnded: self._record(lambda event: self._watch.flattening.end(event.scope)),
        }

    def handle(self, event: Event | Instrument) -> Events:
        """The verdict on an intent, the news of the trading state, or nothing."""
        if isinstance(event, Instrument):
            self._book.instrument(event)
            return ()
        handler = self._handlers.get(type(event))
        if handler is None:
            return ()
        if self._just_approved is not None:
            self._settle()
        if type(event) in _WISHES and not _is_own_beat(event):
            event = self._dated(event)
        else:
            self._book.see(event)
        return handler(event)

    def _settle(self) -> None:
        # Not while the order waits for its verdict: this way it leaves a third sooner.
        if self._just_approved is not None:
            approved, self._just_approved = self._just_approved, None
            self._take(approved)

    def _dated(self, wish: Event) -> Event:
        """Whoever wishes something has a clock of their own: ours does not follow it.

        One far ahead would make every market look old, and every rate used up, to all others.
        """
        now_ns = self._book.now_ns
        if not self._live or wish.ts_recv <= now_ns + AHEAD_MAX_NS:
            return wish
        return msgspec.structs.replace(wish, ts_recv=now_ns)

    def snapshot(self) -> RiskMemory:
        """All that folding the order path gave."""
        rates = RatesMemory(
            self._total_rate.times(),
            [(name, rate.limit, rate.times()) for name, rate in self._rates.items()],
            [(name, rate.times()) for name, rate in self._venue_rates.items()],
        )
        return RiskMemory(self._basis, rates, self._book.snapshot(), self._watch.snapshot())

    def restore(self, memory: RiskMemory, /) -> None:
        """Know what `memory` says. Raises ValueError when it was made under other limits."""
        if memory.basis != self._basis:
            # Rates and holds were folded under them, and would not be what they are under ours.
            raise ValueError("made under other limits or fees")
        self._book.restore(memory.book)
        self._watch.restore(memory.watch)
        self._total_rate.restore(memory.rates.total)
        for name, times in memory.rates.venues:
            self._venue_rates[name].restore(times)
        for name, limit, times in memory.rates.strategies:
            self._rates[name] = Rate(limit, f"strategy:{name}")
            self._rates[name].restore(times)

    # -- intents -----------------------------------------------------------------------------------

    def _submit(self, order: SubmitOrder) -> Events:
        if not self._live:
            return ()  # its verdict follows in the history
        denial = first_denial(self._request(order))
        if denial is not None:
            denied = self._deny(order, denial)
            if denial.reason not in _LOSSES:
                return (denied,)
            return (denied, *self._told(self._watch.look(order), order))
        approved = OrderApproved(order.ts_event, order.ts_recv, order)
        self._just_approved = approved
        return (approved,)

    @property
    def is_live(self) -> bool:
        """Whether all that happened before this process is known."""
        return self._live

    @property
    def working_count(self) -> int:
        """How many orders may trade."""
        return self._book.working_count

    def standing(self) -> dict[str, TradingState]:
        """Who may trade: the state of everything, and of each strategy that was told one."""
        states = self._book.strategy_states.items()
        own = {f"strategy:{name}": state for name, state in states}
        return {GLOBAL: self._book.trading_state, **own}

    def preview(self, order: SubmitOrder) -> tuple[Request, Denial | None]:
        """What an order would meet now; nothing of it is remembered."""
        self._settle()
        request = self._request(order)
        return request, first_denial(request)

    def usage(self) -> tuple[Usage, str]:
        """What measures how much of the limits is used, and in which currency."""
        self._settle()
        rates = {f"strategy:{name}": rate for name, rate in self._rates.items()}
        rates |= {rate.scope: rate for rate in (self._total_rate, *self._venue_rates.values())}
        config = self._watch.config
        return Usage(config, self._book, rates), config.currency

    def rehearse(self, order: SubmitOrder) -> OrderApproved | None:
        """Judge an order at the market's price, and remember nothing of it."""
        request = self._request(order)
        if request.instrument is None or request.top is None:
            return None
        lot, price = request.instrument.quantity_min, decimal(request.top.bid)
        order = msgspec.structs.replace(order, quantity=lot, price=price)
        first_denial(request._replace(order=order))
        return OrderApproved(order.ts_event, order.ts_recv, order)

    def _request(self, order: SubmitOrder) -> Request:
        key = (order.venue, order.instrument_id)
        book = self._book
        limits = self._limits_of(order)
        rates = self._rates_of(order, limits)
        config = self._watch.config
        instrument, top = book.instruments.get(key), book.tops.get(key)
        middle = None if top is None else decimal((top.bid + top.ask) / 2)
        return Request(order, book, limits, instrument, top, rates, config, middle)

    def _limits_of(self, order: SubmitOrder) -> Limits:
        config = self._watch.config
        # Only names that have limits of their own make entries: strangers cannot fill the memory.
        strategy = order.strategy_id if order.strategy_id in config.strategies else ""
        venue = order.venue if order.venue in config.venues else ""
        instrument = order.instrument_id if order.instrument_id in config.instruments else ""
        limits = self._limits.get((strategy, venue, instrument))
        if limits is None:
            limits = config.limits(strategy, venue, instrument)
            self._limits[strategy, venue, instrument] = limits
        return limits

    def _limits_changed(self) -> None:
        config = self._watch.config
        self._limits.clear()
        self._total_rate = self._total_rate.with_limit(config.total_order_rate_per_s_max)
        for venue, limits in config.venues.items():
            limit = limits.total_order_rate_per_s_max
            rate = self._venue_rates.pop(venue, None)
            if limit is not None:
                rate = rate or Rate(limit, f"venue:{venue}")
                self._venue_rates[venue] = rate.with_limit(limit)

    def _rates_of(self, order: SubmitOrder, limits: Limits) -> tuple[Rate, ...]:
        strategy = self._rate(order.strategy_id, limits)
        venue = self._venue_rates.get(order.venue)
        if venue is None:
            return (strategy, self._total_rate)
        return (strategy, venue, self._total_rate)

    def _rate(self, strategy_id: str, limits: Limits) -> Rate:
        # Made anew until the first order passes, then kept: one entry per strategy that trades.
        limit = limits.order_rate_per_s_max
        rate = self._rates.get(strategy_id)
        if rate is None:
            return Rate(limit, f"strategy:{strategy_id}")
        if rate.limit != limit:
            rate = self._rates[strategy_id] = rate.with_limit(limit)
        return rate

    def _deny(self, order: SubmitOrder, denial: Denial) -> OrderDenied:
        self._denials += 1
        if denial.reason is DenialReason.ORDER_ID_INVALID:
            # Such an id could not be part of a subject or a header; `detail` has it as it was.
            order = msgspec.structs.replace(
                order,
                client_order_id=plain(order.client_order_id),
                strategy_id=plain(order.strategy_id),
            )
        else:
            self._book.ids.add(order.client_order_id)
        return OrderDenied(order.ts_event, order.ts_recv, order, denial.reason, denial.detail)

    def _take(self, event: OrderApproved) -> None:
        order = event.order
        rates = self._rates_of(order, self._limits_of(order))
        self._rates[order.strategy_id] = rates[0]
        # The time of the intent, not "now": a replayed history must find the same second.
        now_ns = max(order.ts_recv, self._book.now_ns)
        for rate in rates:
            rate.note(now_ns)
        self._book.traffic.order(order, now_ns)
        self._hold(order)
        self._book.approve(event)

    def _hold(self, order: SubmitOrder) -> None:
        key, book = (order.venue, order.instrument_id), self._book
        instrument = book.instruments.get(key)
        if not self._watch.config.balance_check or instrument is None:
            return
        if is_spot(order):
            price = order.price or order.trigger_price
            if price is None:  # of an order from history nobody knows what it cost; it is over
                top = book.tops.get(key)
                price = decimal(top.ask) if top is not None else ZERO
            asset, needed = book.balances.needed(order, instrument, price)
            book.balances.hold(order.client_order_id, asset, needed)

    # -- cancels: a strategy's own, and an operator's of anything ----------------------------------

    def _cancel(self, cancel: CancelOrder) -> Events:
        order = self._book.order(cancel.client_order_id)
        denial = cancel_denial(cancel, order)
        if denial is not None:
            return (cancel_denied(cancel, denial),) if self._live else ()
        if order is not None:  # what risk knows outranks what the wish says
            cancel = cancel_of(order, cancel, cancel.command_id)
        return self._pass(cancel)

    def _cancel_all(self, wish: CancelAllOrders) -> Events:
        return tuple(
            out
            for order in list(self._book.working())
            if wish.venue in ("", order.venue)
            and wish.strategy_id in ("", order.strategy_id)
            and wish.instrument_id in ("", order.instrument_id)
            and may_cancel(wish.wisher or wish.strategy_id or subjects.MANUAL, order)
            for out in self._pass(cancel_of(order, wish, wish.command_id))
        )

    def _pass(self, cancel: CancelOrder) -> Events:
        approved = CancelApproved(cancel.ts_event, cancel.ts_recv, cancel)
        self._book.fold(approved)
        return (approved,) if self._live else ()

    # -- memory: verdicts and order events ---------------------------------------------------------

    def _approved(self, event: OrderApproved) -> Events:
        if not self._book.knows(event.order.client_order_id):
            self._take(event)
        return ()

    def _denied(self, event: OrderDenied) -> Events:
        self._book.ids.add(event.order.client_order_id)
        if event.reason is not DenialReason.ORDER_ID_DUPLICATE:
            self._book.forget(event.order.client_order_id)
        return ()

    def _order_event(self, event: Event) -> Events:
        self._book.fold(event)
        return ()

    def _filled(self, event: OrderFilled) -> Events:
        self._book.fold(event)
        order = self._book.order(event.client_order_id)
        if order is None or not order.is_overfilled:
            return ()
        return self._told(self._watch.overfill(order, event), event)

    def _market(self, event: BookTop | FeedStatus) -> Events:
        self._book.market(event)
        return ()

    def _account(self, event: AccountUpdated) -> Events:
        self._book.balances.report(event)
        return ()

    @staticmethod
    def _record(fold: Callable[[Any], None]) -> Callable[[Any], Events]:
        def handle(event: Event) -> Events:
            fold(event)
            return ()

        return handle

    def _dead(self, event: MessageDead) -> Events:
        # Whoever wished for it must not wait for ever; other messages need no answer.
        if not isinstance(event.event, SubmitOrder):
            return ()
        order = event.event
        plain = is_plain(order.client_order_id) and is_plain(order.strategy_id)
        reason = DenialReason.INTERNAL_ERROR if plain else DenialReason.ORDER_ID_INVALID
        return (self._deny(order, Denial(reason, event.error)),)

    # -- the trading state and time ----------------------------------------------------------------

    def _set_state(self, event: SetTradingState) -> Events:
        out = self._told(self._watch.set_state(event), event)
        # Whoever asks for what is already so is told that it is.
        return out or ((self._watch.report(event),) if self._live else ())

    def _recovered(self, event: Recovered) -> Events:
        self._live = True
        out = self._watch.recovered(event)
        return (*out, self._state(event), self._watch.report(event), self._next_timer(event))

    def _timer(self, event: TimerFired) -> Events:
        if event.key == watch.TIMER:
            return (*self._told(self._watch.fired(event), event), *self._flatten(event))
        if event.key != TIMER:
            return ()
        return (self._state(event), self._watch.report(event), self._next_timer(event))

    def _flatten(self, event: Event) -> Events:
        orders, ended = self._watch.flattening.step(event, self._watch.config)
        out: list[Event] = []
        for order in orders:
            denial = first_denial(self._request(order)._replace(by_risk=True))
            if denial is not None:
                out.append(self._deny(order, denial))
                continue
            approved = OrderApproved(order.ts_event, order.ts_recv, order)
            self._take(approved)
            out.append(approved)
        return (*out, *ended)

    def _told(self, out: Events, event: Event) -> Events:
        # A new state is told at once.
        if any(isinstance(o, TradingStateChanged | HeartbeatChanged) for o in out):
            return (*out, self._state(event), self._watch.report(event))
        return out

    def _next_timer(self, event: Event) -> SetTimer:
        at_ns = event.ts_recv + int(self._watch.config.state_interval_s * 1e9)
        return SetTimer(event.ts_event, event.ts_recv, TIMER, at_ns)

    def _state(self, event: Event) -> RiskState:
        book = self._book
        return RiskState(
            event.ts_event,
            event.ts_recv,
            book.trading_state,
            self._watch.why(GLOBAL),
            book.working_count,
            self._denials,
        )


def _is_own_beat(event: Any) -> bool:
    """Whether it is risk's own heartbeat, back from the bus with risk's own time on it."""
    return type(event) is Heartbeat and event.strategy_id == subjects.RISK
