"""The gate: every wish to trade gets exactly one verdict, and every cancel passes.

Consumes: SubmitOrder, CancelOrder, CancelAllOrders; BookTop, FeedStatus, Instrument;
SetTradingState; order events and its earlier verdicts, which after a crash are its memory.
Produces: OrderApproved or OrderDenied per intent, CancelApproved, RiskState, SetTimer.
Invariants: an id is approved at most once; a cancel is never refused; nothing is approved while
HALTED. A verdict in the stream outranks one just computed: an intent delivered again after a crash
may be judged anew in another market, but both verdicts have one message id, so the stream keeps
the first, and that one is handed back here.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    DenialReason,
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
    Recovered,
    RiskState,
    SetTimer,
    SetTradingState,
    SubmitOrder,
    TimerFired,
    TradingState,
)
from tickbus.order import Order
from tickbus_risk.checks import Request, decimal, first_denial
from tickbus_risk.config import Limits, RiskConfig
from tickbus_risk.denial import Denial
from tickbus_risk.state import Rate, RiskBook

TIMER = "risk-state"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]")

Events = Sequence[Event]


class RiskCore:
    """Judges intents; see the module's first lines."""

    def __init__(self, config: RiskConfig) -> None:
        self._config = config
        self._book = RiskBook()
        self._limits: dict[tuple[str, str], Limits] = {}
        self._rates: dict[str, Rate] = {}
        self._total_rate = Rate(config.total_order_rate_per_s_max)
        self._just_approved: OrderApproved | None = None
        self._live = False
        self._denials = 0
        self._reason = "never set"
        self._halted_by: SetTradingState | None = None
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
            TimerFired: self._timer,
            Recovered: self._recovered,
            OrderSubmitted: self._order_event,
            OrderReplaced: self._order_event,
            OrderAccepted: self._order_event,
            OrderRejected: self._order_event,
            OrderFilled: self._order_event,
            OrderCanceled: self._order_event,
            OrderExpired: self._order_event,
            CancelRejected: self._order_event,
            OrderUnknown: self._order_event,
        }

    def handle(self, event: Event | Instrument) -> Events:
        """The verdict on an intent, the news of the trading state, or nothing."""
        if isinstance(event, Instrument):
            self._book.instruments[event.venue, event.instrument_id] = event
            return ()
        handler = self._handlers.get(type(event))
        if handler is None:
            return ()
        if self._just_approved is not None:
            # Not while the order waits for its verdict: this way it leaves a third sooner.
            approved, self._just_approved = self._just_approved, None
            self._take(approved)
        self._book.see(event)
        return handler(event)

    # -- intents -----------------------------------------------------------------------------------

    def _submit(self, order: SubmitOrder) -> Events:
        if not self._live:
            return ()  # its verdict follows in the history
        denial = first_denial(self._request(order))
        if denial is not None:
            return (self._deny(order, denial),)
        approved = OrderApproved(order.ts_event, order.ts_recv, order)
        self._just_approved = approved
        return (approved,)

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
        rates = (self._rate(order.strategy_id, limits), self._total_rate)
        return Request(order, book, limits, book.instruments.get(key), book.tops.get(key), rates)

    def _limits_of(self, order: SubmitOrder) -> Limits:
        config = self._config
        # Only names that have limits of their own make entries: strangers cannot fill the memory.
        strategy = order.strategy_id if order.strategy_id in config.strategies else ""
        instrument = order.instrument_id if order.instrument_id in config.instruments else ""
        limits = self._limits.get((strategy, instrument))
        if limits is None:
            limits = self._limits[strategy, instrument] = config.limits(strategy, instrument)
        return limits

    def _rate(self, strategy_id: str, limits: Limits) -> Rate:
        # Made anew until the first order passes, then kept: one entry per strategy that trades.
        return self._rates.get(strategy_id) or Rate(limits.order_rate_per_s_max)

    def _deny(self, order: SubmitOrder, denial: Denial) -> OrderDenied:
        self._denials += 1
        if denial.reason is DenialReason.ORDER_ID_INVALID:
            # Such an id could not be part of a subject or a header; `detail` has it as it was.
            order = msgspec.structs.replace(
                order,
                client_order_id=_plain(order.client_order_id),
                strategy_id=_plain(order.strategy_id),
            )
        else:
            self._book.ids.add(order.client_order_id)
        return OrderDenied(order.ts_event, order.ts_recv, order, denial.reason, denial.detail)

    def _take(self, event: OrderApproved) -> None:
        order = event.order
        rate = self._rate(order.strategy_id, self._limits_of(order))
        self._rates[order.strategy_id] = rate
        # The time of the intent, not "now": a replayed history must find the same second.
        rate.note(max(order.ts_recv, self._book.now_ns))
        self._total_rate.note(max(order.ts_recv, self._book.now_ns))
        self._book.approve(event)

    # -- cancels: never refused --------------------------------------------------------------------

    def _cancel(self, cancel: CancelOrder) -> Events:
        order = self._book.order(cancel.client_order_id)
        if order is not None:  # what risk knows outranks what the wish says
            cancel = _cancel_of(order, cancel, cancel.command_id)
        elif not all(map(_is_plain, (cancel.venue, cancel.command_id, cancel.client_order_id))):
            return ()  # names neither an order nor a place to send it
        return self._pass(cancel)

    def _cancel_all(self, wish: CancelAllOrders) -> Events:
        return tuple(
            out
            for order in list(self._book.working())
            if wish.venue in ("", order.venue)
            and wish.strategy_id in ("", order.strategy_id)
            and wish.instrument_id in ("", order.instrument_id)
            for out in self._pass(_cancel_of(order, wish, wish.command_id))
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

    def _market(self, event: BookTop | FeedStatus) -> Events:
        self._book.market(event)
        return ()

    # -- the trading state -------------------------------------------------------------------------

    def _set_state(self, event: SetTradingState) -> Events:
        changed = event.state is not self._book.trading_state
        self._book.trading_state = event.state
        self._reason = f"{event.reason} ({event.actor})"
        self._halted_by = event if event.state is TradingState.HALTED else None
        if not self._live or not changed:
            return ()
        return (*self._halt(), self._state(event))

    def _halt(self) -> Events:
        # Halting takes what works out of the market; told again after a crash, under the same ids.
        event = self._halted_by
        if event is None:
            return ()
        wish = CancelAllOrders(event.ts_event, event.ts_recv, f"halt-{event.ts_recv}")
        return self._cancel_all(wish)

    def _recovered(self, event: Recovered) -> Events:
        self._live = True
        return (*self._halt(), self._state(event), self._next_timer(event))

    def _timer(self, event: TimerFired) -> Events:
        if event.key != TIMER:
            return ()
        return (self._state(event), self._next_timer(event))

    def _next_timer(self, event: Event) -> SetTimer:
        at_ns = event.ts_recv + int(self._config.state_interval_s * 1e9)
        return SetTimer(event.ts_event, event.ts_recv, TIMER, at_ns)

    def _state(self, event: Event) -> RiskState:
        book = self._book
        return RiskState(
            event.ts_event,
            event.ts_recv,
            book.trading_state,
            self._reason,
            book.working_count,
            self._denials,
        )


def _is_plain(text: str) -> bool:
    return bool(text) and not _NOT_PLAIN.search(text)


def _plain(text: str) -> str:
    return _NOT_PLAIN.sub("_", text)[:64] or "_"


def _cancel_of(order: Order, cause: Event, command_id: str) -> CancelOrder:
    return CancelOrder(
        cause.ts_event,
        cause.ts_recv,
        _plain(command_id),
        order.client_order_id,
        order.strategy_id,
        order.venue,
        order.instrument_id,
    )
