"""The connection to a Binance account: orders out, answers and user events in."""

import asyncio
import logging
import time
from typing import Any

import msgspec
from websockets.exceptions import WebSocketException

from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.clock import Clock
from tickbus.codec import Hop
from tickbus.config import ConfigError, Settings
from tickbus.events import Event, SubmitOrder
from tickbus.runtime import Context, Lease
from tickbus.websocket import FrameStream
from tickbus_execution import binance
from tickbus_execution.account import Account
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import (
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueCancel,
    VenueLost,
    VenueQuery,
    VenueSubmit,
)

CONNECT_TIMEOUT_S = 10.0
SWEEP_S = 0.2
CLOCK_SAMPLES = 3
LIVED_LONG_S = 60.0
KEY_PAUSE_S = 60.0
UNREADABLE = (msgspec.DecodeError, KeyError, ValueError, TypeError, ArithmeticError)
"""What reading an answer of another shape than documented may raise."""
EVENTS_MAX = 10_000
"""Reports waiting for the core; past that the session is dropped, and the next one reconciles."""
QUESTIONS_MAX = 1_000
"""Queries waiting to be asked; past that one is put off, and the core's timer asks again."""
QUESTIONS_AT_ONCE = 4
HELD_MAX = 100
HELD_S = 2.0
"""Orders that wait for the account to be compared, and for how long; then they are refused unsent.
At a start everybody begins at once, and the first order should not fail for being the first."""
INSTRUMENTS_WAIT_S = 3.0
"""For how long the others are waited for, once, after the feed has described the first."""


class BinanceGateway:
    """One account's WebSocket API session: user stream, reconciliation, order entry."""

    def __init__(
        self, core: ExecutionCore, settings: Settings, config: ExecutionConfig, lease: Lease
    ) -> None:
        self._core = core
        self._lease = lease
        self._venue = settings.venue
        self._config = config
        key, secret = settings.secret("venue_api_key"), settings.secret("venue_api_secret")
        if not key or not secret:
            raise ConfigError(
                "no keys for the venue: set TICKBUS_VENUE_API_KEY and TICKBUS_VENUE_API_SECRET (or"
                " the same with _FILE), or run with execution.mode: paper"
            )
        self._stream: FrameStream | None = None
        self._keys = key, secret
        self._paused_until = 0.0
        self._compared = False
        self._not_described: set[str] = set()
        self._held: dict[str, tuple[float, VenueSubmit, tuple[Hop, ...]]] = {}
        self._buffering = False
        self._buffer: list[Event] = []
        self._events: asyncio.Queue[list[Event]] = asyncio.Queue(EVENTS_MAX)
        self._questions: asyncio.Queue[VenueQuery] = asyncio.Queue(QUESTIONS_MAX)
        self._resyncing = False
        self._stopping = False
        self._calls: Calls
        self._account: Account
        self._context: Context
        self._clock: Clock
        self._log = logging.getLogger("tickbus.execution")

    # -- life --------------------------------------------------------------------------------------

    async def start(self, context: Context) -> None:
        """Begin; ready once the user stream is on and the account is reconciled."""
        self._context = context
        self._clock = context.clock
        self._calls = Calls(
            *self._keys, self._config.recv_window_ms, self._config.request_timeout_s,
            context.clock, self._note_refusal,
        )  # fmt: skip
        self._account = Account(self._calls, self._core, self._venue.instruments, context.clock)
        context.set_ready(False, f"the account at {self._venue.ws_api_url}")
        context.spawn(self._run(), "venue account")
        context.spawn(self._deliver(), "venue reports")
        context.spawn(self._sweep(), "request time-outs")
        for number in range(QUESTIONS_AT_ONCE):
            context.spawn(self._ask(), f"questions {number}")

    async def stop(self) -> None:
        """Close the session; working orders stay where they are."""
        self._stopping = True
        if self._stream is not None:
            await self._stream.close()

    async def _run(self) -> None:
        delays = delays_s(0.25, 15.0)
        while True:
            began = time.monotonic()
            reason = await self._session()
            if self._stopping:
                return
            if time.monotonic() - began > LIVED_LONG_S:
                delays = delays_s(0.25, 15.0)
            # A venue that refuses our key or asked for silence is not asked again before that ends.
            delay_s = max(next(delays), self._paused_until - time.monotonic())
            self._calls.fail_all()
            now = self._clock.now_ns()
            self._put([VenueLost(now, now, reason)])
            self._context.telemetry.error("account_disconnected")
            self._context.set_ready(False, f"the account at {self._venue.ws_api_url}: {reason}")
            self._log.warning("%s; again in %.1f s", reason, delay_s)
            await asyncio.sleep(delay_s)

    async def _session(self) -> str:
        url = self._venue.ws_api_url
        try:
            stream = await FrameStream.connect(url, self._on_messages, timeout_s=CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError, WebSocketException) as error:
            return f"no session at {url}: {str(error) or type(error).__name__}"
        self._stream = self._calls.stream = stream
        try:
            await self._open()
            self._compared = True
            held, self._held = self._held, {}
            for _, wish, hops in held.values():
                await self.submit(wish, hops)
            self._context.set_ready(True)
            while not stream.closed.done():
                await asyncio.wait([stream.closed], timeout=self._config.reconcile_interval_s)
                if not stream.closed.done() and not self._paused:
                    await self._reconcile()
            return f"the session was {stream.closed.result()}"
        except (VenueRefused, TimeoutError, WebSocketException, ConnectionError, BusError) as error:
            return f"{url}: {str(error) or type(error).__name__}"
        except UNREADABLE as error:
            self._context.quarantine(url, b"", error)
            return f"{url}: an answer of another shape than documented: {error!r}"
        finally:
            self._compared = False
            self._stream = self._calls.stream = None
            stream.abort()

    async def _open(self) -> None:
        """Clock, user stream, then the account; user events wait until it has been compared."""
        await self._measure_clock()
        self._buffering = True
        try:
            await self._calls.call("userDataStream.subscribe.signature", {}, signed=True)
            await self._wait_for_instruments()
            # Orders approved before this process lived have to be known before they are seen.
            await self._context.caught_up()
            await self._reconcile()
        finally:
            self._buffering = False
            buffered, self._buffer = self._buffer[:EVENTS_MAX], []
            self._put(buffered)

    async def _wait_for_instruments(self) -> None:
        wanted = set(self._venue.instruments) - self._not_described
        give_up = float("inf")
        while missing := wanted - self._core.instrument_ids():
            what = f"instruments from the feed: {', '.join(sorted(missing))}"
            self._context.set_ready(False, what)
            now = time.monotonic()
            if now > give_up:
                self._log.warning("going on without %s; are they listed at the venue?", what)
                self._not_described = missing
                return
            if missing != wanted:
                give_up = min(give_up, now + INSTRUMENTS_WAIT_S)
            if self._stream is None or self._stream.closed.done():
                raise ConnectionError("the session ended while waiting for instruments")
            await asyncio.sleep(0.1)

    async def _measure_clock(self) -> None:
        """The venue's clock minus ours, by the fastest of some samples."""
        best = float("inf")
        for _ in range(CLOCK_SAMPLES):
            before = self._clock.now_ns()
            result = await self._calls.call("time", {}, signed=False)
            after = self._clock.now_ns()
            if after - before < best:
                best = after - before
                ours_ms = (before + after) / 2 / binance.MS_NS
                self._calls.offset_ms = round(result["serverTime"] - ours_ms)
        self._context.telemetry.gauge("clock_offset_ms", self._calls.offset_ms)

    @property
    def _paused(self) -> bool:
        """Whether the venue asked for silence; cancels go out all the same."""
        return time.monotonic() < self._paused_until

    async def _reconcile(self) -> None:
        # In line with the answers: a fill must not be told before the answer that names its order.
        self._put(await self._account.look())
        self._context.telemetry.count("Reconciliation", "done")

    # -- requests ----------------------------------------------------------------------------------

    async def submit(self, wish: VenueSubmit, hops: tuple[Hop, ...]) -> None:
        """Write an order to the socket; the answer comes to the core by itself."""
        order = wish.order
        if not await self._may_act():
            self._refuse(order, "LEASE_AWAY", f"never sent: no lease for {HELD_S:g} s")
            return
        if self._paused:
            self._refuse(order, "VENUE_PAUSED", "the venue asked for silence")
            return
        if not self._compared:
            # Before the first look a fill would be in the opening balances and counted on top;
            # after a break nobody knows yet what is working.
            if len(self._held) < HELD_MAX:
                self._held[order.client_order_id] = (time.monotonic() + HELD_S, wish, hops)
            else:
                self._refuse(order, "VENUE_DISCONNECTED", "never sent: too many orders wait")
            return
        params = binance.order_params(order, wish.symbol)
        sent = self._calls.send(
            "order.place", params, lambda a: self._answered(Request.SUBMIT, order, a)
        )
        if not sent:
            self._refuse(order, "VENUE_DISCONNECTED", "never sent")
            return
        telemetry = self._context.telemetry
        now = self._clock.now_ns()
        telemetry.observe_ns("approved_to_sent", now - hops[-1].ts_recv)
        if hops[0].service == "feed":
            telemetry.observe_ns("tick_to_order", now - hops[0].ts_recv)

    async def _may_act(self) -> bool:
        """Wait until no other process can be in our place; False when that took too long.

        Meanwhile nothing is said of the order either: it may be somebody else's already.
        """
        if self._lease.held:
            return True
        began = time.monotonic()
        await self._lease.until_held()
        return time.monotonic() - began < HELD_S

    def rehearse(self, order: SubmitOrder) -> None:
        """Write and sign the request of an order that is not meant; it never gets to the socket."""
        self._calls.text(0, "order.place", binance.order_params(order, order.instrument_id))

    async def cancel(self, wish: VenueCancel, _: tuple[Hop, ...]) -> None:
        """Write a cancel to the socket."""
        cancel = wish.cancel
        await self._lease.until_held()
        held = self._held.pop(cancel.client_order_id, None)
        if held is not None:
            self._refuse(held[1].order, "NEVER_SENT", "cancelled before it could be sent")
            return
        params = {
            "symbol": wish.symbol,
            "origClientOrderId": cancel.client_order_id,
            "newClientOrderId": cancel.command_id[:36],
            "returnRateLimits": False,
        }
        sent = self._calls.send(
            "order.cancel", params,
            lambda a: self._answered(Request.CANCEL, cancel, a, cancel.command_id),
        )  # fmt: skip
        if not sent:
            # No refusal: the core keeps the wish, and says it again when the order is seen.
            failure = self._failure(
                Request.CANCEL, cancel, Outcome.UNKNOWN, "VENUE_DISCONNECTED", "never sent",
                cancel.command_id,
            )  # fmt: skip
            self._put([failure])

    async def query(self, wish: VenueQuery, _: tuple[Hop, ...]) -> None:
        """Ask for an order, with its fills; answered in the background."""
        try:
            self._questions.put_nowait(wish)
        except asyncio.QueueFull:
            self._context.telemetry.error("query_put_off")
            self._put([self._failure(Request.QUERY, wish, Outcome.UNKNOWN, "QUERY_PUT_OFF", "")])

    async def _ask(self) -> None:
        while True:
            await self._query(await self._questions.get())

    async def _query(self, wish: VenueQuery) -> None:
        order_id, symbol, name = wish.client_order_id, wish.symbol, wish.instrument_id
        if self._paused:
            self._put([self._failure(Request.QUERY, wish, Outcome.UNKNOWN, "VENUE_PAUSED", "")])
            return
        try:
            # Our spelling of a foreign order is not the venue's.
            by = (
                {"orderId": int(order_id[4:])}
                if order_id.startswith("ext-")
                else {"origClientOrderId": order_id}
            )
            body = await self._calls.call("order.status", {"symbol": symbol, **by}, signed=True)
            trades = await self._calls.call(
                "myTrades", {"symbol": symbol, "orderId": int(body["orderId"])}, signed=True
            )
            report = binance.order_report(body, name, self._clock.now_ns())
            fills = tuple(binance.foreign_fill(trade, name).fill for trade in trades)
        except VenueRefused as error:
            outcome = error.outcome
            if outcome is Outcome.REFUSED:
                outcome = Outcome.UNKNOWN  # refused to tell is no evidence of anything
            if outcome is Outcome.NOT_FOUND and await self._is_listed(order_id, symbol):
                outcome = Outcome.UNKNOWN
            self._put([self._failure(Request.QUERY, wish, outcome, error.code, error.message)])
            return
        except (TimeoutError, ConnectionError) as error:
            self._put(
                [self._failure(Request.QUERY, wish, Outcome.UNKNOWN, "NO_ANSWER", str(error))]
            )
            return
        except UNREADABLE as error:
            self._context.quarantine(f"order {order_id}", b"", error)
            self._put(
                [self._failure(Request.QUERY, wish, Outcome.UNKNOWN, "UNREADABLE", repr(error))]
            )
            return
        self._put([msgspec.structs.replace(report, client_order_id=order_id, fills=fills)])

    async def _is_listed(self, order_id: str, symbol: str) -> bool:
        """Whether the list of working orders knows what the query denies; True when unsure."""
        try:
            listed = await self._calls.call("openOrders.status", {"symbol": symbol}, signed=True)
        except (VenueRefused, TimeoutError, ConnectionError):
            return True
        return any(body["clientOrderId"] == order_id for body in listed)

    # -- answers -----------------------------------------------------------------------------------

    def _answered(
        self, kind: Request, what: Any, answer: binance.Answer | None, command_id: str = ""
    ) -> None:
        if answer is None:
            self._put([
                self._failure(kind, what, Outcome.UNKNOWN, "NO_ANSWER", "", command_id)
            ])  # fmt: skip
        elif answer.error is not None:
            outcome, code, message = binance.outcome_of(answer.error, answer.status)
            if outcome is Outcome.NOT_FOUND:
                outcome = Outcome.REFUSED
            self._note_refusal(answer)
            self._put([self._failure(kind, what, outcome, code, message, command_id)])
        else:
            self._put([self._read_answer(kind, what, answer, command_id)])

    def _read_answer(
        self, kind: Request, what: Any, answer: binance.Answer, command_id: str
    ) -> OrderReport | RequestFailed:
        """What a good answer says; one that cannot be read leaves the outcome unknown."""
        try:
            body = binance.read(answer.result)
            return binance.order_report(body, what.instrument_id, self._clock.now_ns())
        except UNREADABLE as error:
            self._context.quarantine(f"answer to {kind}", bytes(answer.result), error)
            return self._failure(kind, what, Outcome.UNKNOWN, "UNREADABLE", repr(error), command_id)

    def _failure(
        self, kind: Request, what: Any, outcome: Outcome, reason: str, detail: str,
        command_id: str = "",
    ) -> RequestFailed:  # fmt: skip
        now = self._clock.now_ns()
        return RequestFailed(
            now, now, kind, outcome, what.client_order_id, what.instrument_id, reason, detail,
            command_id,
        )  # fmt: skip

    def _refuse(self, order: SubmitOrder, reason: str, detail: str) -> None:
        self._context.telemetry.error(reason.lower())
        self._put([self._failure(Request.SUBMIT, order, Outcome.REFUSED, reason, detail)])

    def _note_refusal(self, answer: binance.Answer) -> None:
        error = answer.error or {}
        code = int(error.get("code", 0))
        self._context.telemetry.error(f"venue_{abs(code)}")
        if code == binance.CLOCK_CODE and not self._resyncing:
            self._resyncing = True
            self._context.spawn(self._resync_clock(), "clock")
        if code in binance.KEY_CODES:
            self._paused_until = time.monotonic() + KEY_PAUSE_S
            self._log.critical(
                "the venue refuses our key (%s %s): check TICKBUS_VENUE_API_KEY and _SECRET, the"
                " key's permissions and its list of addresses", code, error.get("msg"),
            )  # fmt: skip
        if answer.status in (418, 429) or code in binance.PAUSE_CODES:
            until_ms = (error.get("data") or {}).get("retryAfter", 0)
            now_ms = self._clock.now_ns() / binance.MS_NS + self._calls.offset_ms
            wait_s = max(1.0, (until_ms - now_ms) / 1000) if until_ms else 10.0
            self._paused_until = time.monotonic() + min(wait_s, 3600.0)
            self._log.warning("the venue asks for silence: no new orders for %.0f s", wait_s)

    async def _resync_clock(self) -> None:
        try:
            await self._measure_clock()
        except (VenueRefused, TimeoutError, ConnectionError) as error:
            self._log.warning("clock not measured: %s", error)
        finally:
            self._resyncing = False

    # -- frames ------------------------------------------------------------------------------------

    def _on_messages(self, messages: list[bytes]) -> None:
        for message in messages:
            try:
                answer = binance.read_answer(message)
                if answer.id is not None:
                    self._calls.answered(int(answer.id), answer)
                elif answer.event:
                    self._on_event(binance.read(answer.event))
                elif answer.error is not None:
                    self._note_refusal(answer)
                else:
                    raise ValueError("neither an answer nor an event")
            except UNREADABLE as error:
                self._context.quarantine(self._venue.ws_api_url, message, error)

    def _on_event(self, event: dict[str, Any]) -> None:
        kind = event.get("e")
        now = self._clock.now_ns()
        out: list[Event] = []
        if kind == "executionReport":
            name = self._core.instrument_of(str(event["s"]))
            if name is None:
                self._context.telemetry.error("report_of_unknown_symbol")
                self._log.warning("report on %s, which is not configured", event["s"])
                return
            out.append(binance.execution_report(event, name, now))
        elif kind == "outboundAccountPosition":
            out.append(binance.account_report(event, now))
        elif kind in ("eventStreamTerminated", "serverShutdown"):
            self._log.warning("the venue announced %s: connecting anew", kind)
            if self._stream is not None:
                self._stream.abort()
        else:
            self._context.telemetry.count(str(kind), "ignored")
        if self._buffering:
            self._buffer += out
            if len(self._buffer) > EVENTS_MAX and self._stream is not None:
                self._context.telemetry.error("reports_dropped")
                self._stream.abort()  # the next session finds out what was missed
        else:
            self._put(out)

    def _put(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._events.put_nowait(events)
        except asyncio.QueueFull:
            self._context.telemetry.error("reports_dropped")
            if self._stream is not None:
                self._stream.abort()  # the next session finds out what was missed

    async def _deliver(self) -> None:
        while True:
            await self._context.emit(await self._events.get())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._calls.expire()
            for order_id, (deadline, wish, _) in list(self._held.items()):
                if deadline < time.monotonic():
                    del self._held[order_id]
                    detail = f"never sent: no session within {HELD_S:g} s, or not compared yet"
                    self._refuse(wish.order, "VENUE_DISCONNECTED", detail)
            self._context.telemetry.gauge("requests_pending", self._calls.pending)
