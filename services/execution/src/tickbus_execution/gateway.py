"""The connection to a venue account: orders out, answers and user events in."""

import asyncio
import logging
import time
from typing import Any

import msgspec

from tickbus.budget import WeightBudget
from tickbus.clock import Clock
from tickbus.codec import Hop
from tickbus.config import ConfigError, Settings, own_keys
from tickbus.events import Event, SubmitOrder
from tickbus.runtime import Context, Lease
from tickbus_execution import wire
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.countdown import Countdown
from tickbus_execution.guard import Guard, No
from tickbus_execution.leaving import cancel_left, order_left
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.questions import QUESTIONS_AT_ONCE, Questions, failure
from tickbus_execution.rate import VenueRate
from tickbus_execution.reconciling import Reconciling
from tickbus_execution.refusals import Action, Refusal, read_refusal
from tickbus_execution.reports import Reports
from tickbus_execution.session import Session
from tickbus_execution.sharing import Sharing
from tickbus_execution.signing import signer
from tickbus_execution.symbols import Symbols
from tickbus_execution.understudy import Understudy
from tickbus_execution.venue import (
    AccountReport,
    Alarm,
    Outcome,
    Request,
    VenueCancel,
    VenueQuery,
    VenueReconcile,
    VenueSubmit,
)
from tickbus_execution.wire import UNREADABLE, Answer, Ask, RateLimit

SWEEP_S = 0.2
HELD_MAX = 100
HELD_S = 2.0
"""Orders that wait for the account to be compared, and for how long; then they are refused unsent.
At a start everybody begins at once, and the first order should not fail for being the first."""
TOO_MANY = f"limit={HELD_MAX} value={HELD_MAX + 1} orders that wait; never sent"
LEASE_AWAY = ("LEASE_AWAY", f"not sent from here: no lease for {HELD_S:g} s")
NO_SUCH_ORDER = (-2011, -2013)
LIMITS_EVERY_S = 1800.0
SYMBOL_AGAIN_S = 30.0
"""How often the venue is asked whether a symbol that it refused trades again."""


class Gateway:
    """One account at one venue, in the words of `protocol`."""

    def __init__(
        self, core: ExecutionCore, settings: Settings, config: ExecutionConfig,
        protocol: VenueProtocol, lease: Lease,
    ) -> None:  # fmt: skip
        self._core = core
        self._lease = lease
        self._venue = settings.venue
        self._config = config
        self._protocol = protocol
        key, secret = settings.venue_keys(self._venue)
        if not key or not secret:
            raise ConfigError(
                f"no keys for {self._venue.name}: set TICKBUS_VENUE_API_KEY and"
                " TICKBUS_VENUE_API_SECRET, or those of this venue alone,"
                f" TICKBUS_{own_keys(self._venue.name)}_API_KEY and _SECRET (or the same with"
                " _FILE), or run with execution.mode: paper"
            )
        self._signer = signer(key, secret, config.key_type)
        self._held: dict[str, tuple[float, VenueSubmit, tuple[Hop, ...]]] = {}
        self._asking: set[str] = set()
        self._understudy = Understudy(self._venue.name)
        self._budget: WeightBudget
        self._calls: Calls
        self._guard: Guard
        self._reports: Reports
        self._questions: Questions
        self.reconciling = Reconciling(
            core, lambda: getattr(self, "session", None), lambda: self._clock
        )
        self._countdown: Countdown
        self._sharing: Sharing
        self._symbols: Symbols
        self.session: Session
        self._context: Context
        self._clock: Clock
        self._log = logging.getLogger("tickbus.execution")

    # -- life --------------------------------------------------------------------------------------

    async def start(self, context: Context) -> None:
        """Begin; ready once the user stream is on and the account is reconciled."""
        self._context, self._clock = context, context.clock
        config, venue, protocol = self._config, self._venue, self._protocol
        weight_key = WeightBudget.key(venue.rest_url, config.egress)
        budget = self._budget = WeightBudget(context.bus, context.clock, weight_key)
        self._calls = Calls(
            protocol, self._signer, venue.rest_url, timeout_s=config.request_timeout_s,
            recv_window_ms=config.recv_window_ms, clock=context.clock, budget=budget,
            spawn=context.spawn, on_refusal=self._refused, on_usage=self._used,
            may_act=lambda: self._lease.held,
        )  # fmt: skip
        self._guard = Guard(VenueRate(), time.monotonic, self._calls.now_ms)
        self._reports = Reports(context, self._drop_session)
        self._questions = Questions(
            protocol, self._calls, self._core, self._guard, self._reports, context.clock,
            config.recv_window_ms / 1000, lambda: self._lease.held,
        )  # fmt: skip
        further = (context.spawn, self._guard, self._armed, context.telemetry.error)
        self._countdown = Countdown(protocol, self._calls, config.countdown_s, *further)
        self._sharing = Sharing(context, self._guard, budget, weight_key, venue.name)
        self._symbols = Symbols(
            protocol, self._calls, self._core, self._reports, context, self._take_event
        )
        self.session = Session(
            protocol, self._calls, self._core, self._guard, self._reports, self._symbols, context,
            venue,
            log_on=self._signer.can_log_on, config=config,
            on_messages=self._on_messages, on_compared=self._compared,
        )  # fmt: skip
        context.set_ready(False, f"the account at {venue.name}")
        context.spawn(self.session.run(), "venue account")
        context.spawn(self.session.keep_api(), "venue requests")
        context.spawn(self.session.run_payments(), "venue payments")
        context.spawn(self._reports.run(), "venue reports")
        context.spawn(self._sweep(), "request time-outs")
        context.spawn(self._sharing.run(), "shared limits")
        context.spawn(self._learn_limits(), "venue limits")
        context.spawn(self._countdown.run(), "countdown")
        for number in range(QUESTIONS_AT_ONCE):
            context.spawn(self._questions.run(), f"questions {number}")

    async def stop(self) -> None:
        """Close the session; working orders stay where they are."""
        await self._countdown.last()
        await self.session.stop()
        await self._calls.close()

    def _drop_session(self) -> None:
        self.session.drop()

    async def _compared(self) -> None:
        known = self._core.instrument_ids()
        for order in self._core.orders.working():
            if order.instrument_id in known:  # what an earlier process left working
                self._countdown.arm(self._core.symbol(order.instrument_id))
        held, self._held = self._held, {}
        for _, wish, hops in held.values():
            await self.submit(wish, hops)

    # -- requests ----------------------------------------------------------------------------------

    async def submit(self, wish: VenueSubmit, hops: tuple[Hop, ...]) -> None:
        """Send an order; the answer comes to the core by itself."""
        order = wish.order
        if not await self._may_act():
            self._failed(Request.SUBMIT, order, Outcome.UNKNOWN, *LEASE_AWAY)
            return
        no = self._guard.standing()
        if no is None and not self.session.compared:
            # Before the first look a fill would be in the opening balances and counted on top;
            # after a break nobody knows yet what is working.
            self._hold(wish, hops, No("VENUE_DISCONNECTED", TOO_MANY))
            return
        if no is None and not self._countdown.is_armed(wish.symbol):
            self._hold(wish, hops, No("COUNTDOWN_NOT_ARMED", TOO_MANY))
            self._countdown.arm(wish.symbol)
            return
        no = no or self._guard.refusal(order, wish.symbol)
        if no is not None:
            self._refuse(order, *no)
            return
        ask = self._protocol.place(order, wish.symbol)
        sent = self._clock.now_ns()
        self._calls.send(
            Request.SUBMIT, ask, lambda a: self._placed(order, a, sent),
            leaves=lambda: self._questions.note_sent(order.client_order_id),
        )  # fmt: skip
        order_left(self._context, order.client_order_id, hops, sent)

    async def _may_act(self) -> bool:
        """Wait until no other process can be in our place; False when that takes too long.

        Then nothing can be said of the order either: it may be somebody else's already.
        """
        if self._lease.held or await self._lease.until_held(HELD_S):
            return True
        self._context.telemetry.error("lease_away")
        return False

    def _hold(self, wish: VenueSubmit, hops: tuple[Hop, ...], too_many: No) -> None:
        if len(self._held) < HELD_MAX:
            self._held[wish.order.client_order_id] = (time.monotonic() + HELD_S, wish, hops)
        else:
            self._refuse(wish.order, *too_many)

    def _armed(self, symbol: str, taken: bool) -> None:
        waiting = [(n, w, h) for n, (_, w, h) in self._held.items() if w.symbol == symbol]
        for name, wish, hops in waiting:
            del self._held[name]
            if taken:
                self._context.spawn(self.submit(wish, hops), "an order that waited")
            else:
                detail = "never sent: the venue's countdown for it could not be set"
                self._refuse(wish.order, "COUNTDOWN_NOT_ARMED", detail)

    def rehearse(self, order: SubmitOrder) -> Event | None:
        """Do all that is done for an order, but count it and send it; what the core would say."""
        said = self._understudy.approve(order)
        self._guard.refusal(order, order.instrument_id, dry=True)
        self._calls.text(0, self._protocol.place(order, order.instrument_id))
        return next((event for event in said if not isinstance(event, VenueSubmit)), None)

    async def cancel(self, wish: VenueCancel, _: tuple[Hop, ...]) -> None:
        """Send a cancel, by whatever road there is."""
        cancel = wish.cancel
        if not await self._may_act():
            # The core keeps the wish, and says it again when the order is seen.
            self._failed(Request.CANCEL, cancel, Outcome.UNKNOWN, *LEASE_AWAY, cancel.command_id)
            return
        held = self._held.pop(cancel.client_order_id, None)
        if held is not None:
            self._refuse(held[1].order, "NEVER_SENT", "cancelled before it could be sent")
            return
        if self._guard.banned_s:
            # Each request would make the ban longer. The core keeps the wish.
            detail = f"the venue bans this address for {self._guard.banned_s:.0f} s more"
            self._failed(
                Request.CANCEL, cancel, Outcome.UNKNOWN, "VENUE_PAUSED", detail, cancel.command_id
            )
            return
        order = self._core.orders.get(cancel.client_order_id)
        if order is not None and order.order_type.has_trigger:
            self._protocol.note_conditional(cancel.client_order_id)
        ask = self._protocol.cancel(cancel, wish.symbol)
        self._calls.send(Request.CANCEL, ask, lambda a: self._canceled(wish, a))
        cancel_left(self._context, cancel)

    async def query(self, wish: VenueQuery, _: tuple[Hop, ...]) -> None:
        """Ask for an order, with its fills; answered in the background."""
        if not self._questions.ask(wish):
            self._context.telemetry.error("query_put_off")

    async def look(self, _: VenueReconcile, __: tuple[Hop, ...]) -> None:
        """Look at the account before its time."""
        self.session.look_soon()

    async def alarm(self, event: Alarm, _: tuple[Hop, ...]) -> None:
        """Tell people."""
        self._context.telemetry.error(event.kind)
        self._log.critical("%s at %s: %s", event.kind, self._venue.name, event.detail)

    # -- answers -----------------------------------------------------------------------------------

    def _placed(self, order: SubmitOrder, answer: Answer | None, sent: int) -> None:
        refused = answer is not None and (answer.error is not None or bool(answer.unsent))
        self._guard.rate.answered(counted=not refused)
        if answer is not None:
            self._guard.rate.learn(answer.rate_limits, self._calls.now_ms())
        if answer is not None and answer.unsent:
            self._refuse(order, "VENUE_DISCONNECTED", f"never sent: {answer.unsent}")
        else:
            if answer is not None:
                self._context.telemetry.observe_ns("order_round_trip", self._clock.now_ns() - sent)
            self._answered(Request.SUBMIT, order, answer)

    def _canceled(self, wish: VenueCancel, answer: Answer | None) -> None:
        cancel = wish.cancel
        if answer is not None and answer.unsent:
            # No refusal: the core keeps the wish, and says it again when the order is seen.
            self._failed(
                Request.CANCEL, cancel, Outcome.UNKNOWN, "VENUE_DISCONNECTED", answer.unsent,
                cancel.command_id,
            )  # fmt: skip
        elif self._may_be_there(wish, answer):
            # The core keeps the wish, asks, and says it again.
            self._failed(
                Request.CANCEL, cancel, Outcome.UNKNOWN, "ORDER_NOT_WORKING",
                "the venue does not know it, or not yet, or not any more under this id",
                cancel.command_id,
            )  # fmt: skip
        elif not self._answered(Request.CANCEL, cancel, answer, cancel.command_id):
            now = self._clock.now_ns()
            name, instrument_id = cancel.client_order_id, cancel.instrument_id
            self._questions.ask(VenueQuery(now, now, name, instrument_id, wish.symbol))

    def _may_be_there(self, wish: VenueCancel, answer: Answer | None) -> bool:
        """Whether "no such order" may be wrong in a moment, or in another place.

        So of an order that the venue never spoke of, which may still be on its way; and of one that
        was triggered and goes on under another id.
        """
        if answer is None or (answer.error or {}).get("code") not in NO_SUCH_ORDER:
            return False
        order = self._core.orders.get(wish.cancel.client_order_id)
        if order is None:
            return False
        has_own_ids = self._protocol.triggered(wish.symbol) is not None
        return not order.venue_order_id or (order.order_type.has_trigger and has_own_ids)

    def _answered(
        self, kind: Request, what: Any, answer: Answer | None, command_id: str = ""
    ) -> bool:
        """Tell the core what came of a request; False for a good answer that says nothing."""
        if answer is None:
            self._failed(kind, what, Outcome.UNKNOWN, "NO_ANSWER", "", command_id)
            return True
        if answer.error is not None:
            refusal = read_refusal(self._protocol.dialect, kind, answer.error, answer.status)
            self._failed(kind, what, refusal.outcome, refusal.reason, refusal.detail, command_id)
            return True
        try:
            body = wire.read(answer.result)
            report = self._protocol.read_order(body, what.instrument_id, self._clock.now_ns())
        except UNREADABLE as error:
            self._context.quarantine(f"answer to {kind}", bytes(answer.result), error)
            self._failed(kind, what, Outcome.UNKNOWN, "UNREADABLE", repr(error), command_id)
            return True
        if report is not None:
            self._reports.put([report])
        return report is not None

    def _failed(
        self, kind: Request, what: Any, outcome: Outcome, reason: str, detail: str,
        command_id: str = "",
    ) -> None:  # fmt: skip
        self._reports.put([failure(self._clock, kind, what, outcome, reason, detail, command_id)])

    def _refuse(self, order: SubmitOrder, reason: str, detail: str) -> None:
        self._context.telemetry.error(reason.lower())
        self._failed(Request.SUBMIT, order, Outcome.REFUSED, reason, detail)

    def _used(self, limits: list[RateLimit]) -> None:
        if limits:
            try:
                now_ms = self._calls.now_ms()
                self._guard.rate.learn(limits, now_ms)
                self._budget.limit = self._guard.rate.weight(now_ms)[0] or self._budget.limit
            except KeyError as error:
                self._context.telemetry.error("limit_of_unknown_interval")
                self._log.warning("a limit of an unknown interval is ignored: %s", error)

    def _refused(self, kind: Request, ask: Ask, answer: Answer, refusal: Refusal) -> None:
        """Draw the consequences of an error answer, beside what the core makes of it."""
        telemetry = self._context.telemetry
        # An order that ended before its cancel came is a race: the question behind it tells how.
        if refusal.action is Action.COUNT or refusal.reason == "ORDER_NOT_WORKING":
            telemetry.count(str(kind), refusal.reason.lower())
        else:
            telemetry.error(f"venue_{abs(refusal.code)}" if refusal.code else "venue_http_error")
        if refusal.reason.startswith("FILTER_"):
            telemetry.error(refusal.reason.lower())
        symbol = str(ask.params.get("symbol", ""))
        was_halted = self._guard.halted
        self._guard.note(refusal, answer, symbol)
        match refusal.action:
            case Action.PAUSE:
                self._log.warning("no new orders for %.0f s: %s", self._guard.silent_s, refusal)
                self._context.spawn(self._sharing.pause(self._guard.silent_s), "shared silence")
            case Action.HALT | Action.HALT_FOR_MODE:
                if not was_halted:
                    self._alarm_halt(refusal)
                self.session.drop()
            case Action.BUG:
                telemetry.error("request_malformed")
                self._log.error("the venue cannot read our %s: %s", kind, refusal.detail)
            case Action.DISABLE_SYMBOL:
                self._context.spawn(self._ask_for_symbol(symbol), f"symbol {symbol}")
            case Action.LOOK_AT_ACCOUNT:
                self.session.look_soon()
            case Action.NEW_LISTEN_KEY:
                self.session.drop()
            case _:
                pass

    def _alarm_halt(self, refusal: Refusal) -> None:
        if refusal.action is Action.HALT:
            self._log.critical(
                "no trading: the venue refuses our key (%s): check TICKBUS_VENUE_API_KEY and"
                " _SECRET, the key's permissions and its list of addresses", refusal.detail,
            )  # fmt: skip
        else:
            self._log.critical(
                "no trading: the account's position mode is not one-way (%s); switch it at the"
                " venue, then it goes on by itself", refusal.detail,
            )  # fmt: skip

    # -- frames ------------------------------------------------------------------------------------

    def _on_messages(self, messages: list[bytes]) -> None:
        for message in messages:
            try:
                answer = wire.read_answer(message)
                if answer.id is not None:
                    self._calls.answered(int(answer.id), answer)
                elif answer.event:
                    self._on_event(wire.read(answer.event), message)
                elif answer.error is not None:
                    self._refused_all(answer)
                else:
                    self._on_event(wire.read_json(message), message)
            except UNREADABLE as error:
                self._context.quarantine(self._venue.name, message, error)

    def _refused_all(self, answer: Answer) -> None:
        """An error that answers nothing: our key was taken away in mid-session."""
        error = answer.error or {}
        refusal = read_refusal(self._protocol.dialect, Request.QUERY, error, answer.status)
        self._refused(Request.QUERY, Ask("", "", "", {}), answer, refusal)

    def _take_event(self, event: dict[str, Any], payload: bytes) -> None:
        """An event that had to wait."""
        try:
            self._on_event(event, payload)
        except UNREADABLE as error:
            self._context.quarantine(self._venue.name, payload, error)

    def _on_event(self, event: dict[str, Any], payload: bytes) -> None:
        now = self._clock.now_ns()
        heard = self._protocol.read_event(event, now, self._symbols.instrument_of)
        telemetry = self._context.telemetry
        if heard.alarm:
            telemetry.error("venue_alarm")
            self._log.critical("%s: %s", self._venue.name, heard.alarm)
        if heard.unknown_symbol:
            self._symbols.keep(heard.unknown_symbol, event, payload)
        if heard.ending:
            self._log.warning("the venue announced %s: connecting anew", heard.ending)
            self.session.drop()
        if heard.reports:
            self._reports.put_heard(list(heard.reports))
            if any(_speaks_of_payment(report) for report in heard.reports):
                self.session.want_payments()
        elif not (heard.alarm or heard.unknown_symbol or heard.ending):
            telemetry.count(str(event.get("e")), "ignored")

    # -- in the background -------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._calls.expire()
            for order_id, (deadline, wish, _) in list(self._held.items()):
                if deadline < time.monotonic():
                    del self._held[order_id]
                    detail = f"limit={HELD_S:g}s value=no session, or not compared yet; never sent"
                    self._refuse(wish.order, "VENUE_DISCONNECTED", detail)
            gauge = self._context.telemetry.gauge
            gauge("requests_pending", self._calls.pending)
            gauge("trading_halted", bool(self._guard.halted))
            gauge("symbols_disabled", len(self._guard.disabled))
            gauge("countdown_symbols", self._countdown.armed)

    async def _learn_limits(self) -> None:
        """Read the venue's limits, for ever; until then its answers tell of some."""
        while True:
            name = next(iter(sorted(self._core.instrument_ids())), "")
            wait_s = 1.0
            if name:
                body = await self._ask_limits(self._core.symbol(name))
                wait_s = LIMITS_EVERY_S if body is not None else SYMBOL_AGAIN_S
            await asyncio.sleep(wait_s)

    async def _ask_limits(self, symbol: str) -> dict[str, Any] | None:
        try:
            body: dict[str, Any] = await self._calls.call(self._protocol.limits(symbol))
            self._used(msgspec.convert(body["rateLimits"], list[RateLimit]))
        except (VenueRefused, TimeoutError, ConnectionError, *UNREADABLE) as error:
            self._log.warning("the venue's limits are not known: %s", error)
            return None
        return body

    async def _ask_for_symbol(self, symbol: str) -> None:
        """Until the venue's own list says that a symbol trades, nothing is sent for it."""
        if not symbol or symbol in self._asking:
            return
        self._asking.add(symbol)
        self._log.error("%s is not traded: %s", symbol, self._guard.disabled.get(symbol))
        while symbol in self._guard.disabled:
            await asyncio.sleep(SYMBOL_AGAIN_S)
            body = await self._ask_limits(symbol)
            if body is not None and self._protocol.read_trading(body, symbol):
                self._guard.disabled.pop(symbol, None)
                self._log.warning("%s trades again", symbol)
        self._asking.discard(symbol)


def _speaks_of_payment(report: Any) -> bool:
    return isinstance(report, AccountReport) and report.reason not in ("", "ORDER")
