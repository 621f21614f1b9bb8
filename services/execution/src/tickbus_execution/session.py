"""The life of the connections to a venue account: open, compare, keep, lose, open again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.exceptions import InvalidStatus, WebSocketException

from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.config import VenueConfig
from tickbus.events import ReconciliationCause
from tickbus.runtime import Context
from tickbus.websocket import FrameStream
from tickbus_execution.account import Account
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.guard import Guard
from tickbus_execution.permission import KeyPermission
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.refusals import Action
from tickbus_execution.reports import Reports
from tickbus_execution.symbols import Symbols
from tickbus_execution.venue import PaymentsReport, VenueLost
from tickbus_execution.wire import UNREADABLE, Ask, Lane

CONNECT_TIMEOUT_S = 10.0
LIVED_LONG_S = 60.0
INSTRUMENTS_WAIT_S = 3.0
"""For how long the others are waited for, once, after the feed has described the first."""
LISTEN_KEY_S = 30 * 60.0
"""How often the key of the user stream is renewed; the venue lets it die after an hour."""
LISTEN_KEY_AGAIN_S = 60.0
AGAIN_S = 5.0
"""Until the account is compared again where that failed, and at the least between two looks."""
STREAM_LAG_S = 0.5
"""What a look found is taken in so much later: the user stream may be about to tell of it itself,
and what was told in time is no difference."""
PAYMENTS_AGAIN_S = (0.0, 1.0, 4.0, 15.0)
"""When the list of payments is read again if it does not have what the user stream spoke of."""
SILENCE_S = 60.0
PING_S = 20.0
SILENT_S = 60.0
"""A line that answers no ping for so long is dead, whatever the socket says."""
LOGON = Ask("session.logon", "", "", {}, Lane.QUERY, weight=2)
SUBSCRIBE = Ask("userDataStream.subscribe", "", "", {}, Lane.QUERY, weight=2, signed=False)
UNFIT_AGAIN_S = 30.0
"""Until an account that cannot be traded as it is set is looked at again, at the least."""


class AccountUnfit(Exception):
    """The account is set in a way that our books do not know; the text says the remedy."""


GOES_WRONG = (VenueRefused, TimeoutError, WebSocketException, OSError, BusError)


class Session:
    """The user stream, on the WebSocket API's line or on its own, and the account compared.

    `on_compared` is awaited each time when orders may go; `log_on`: the key may authenticate a
    session, so that its requests need no signature each.
    """

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, core: ExecutionCore, guard: Guard,
        reports: Reports, symbols: Symbols, context: Context, venue: VenueConfig, *, log_on: bool,
        config: ExecutionConfig, on_messages: Callable[[list[bytes]], None],
        on_compared: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.compared = False
        """Whether the user stream is on and the account was compared since it is."""
        self._protocol = protocol
        self._calls = calls
        self._core = core
        self._guard = guard
        self._reports = reports
        self._context = context
        self._venue = venue
        self._log_on = log_on
        self._interval_s = config.reconcile_interval_s
        allowed = config.withdrawing_key == "allow"
        self._permission = KeyPermission(calls, venue.rest_url, allowed=allowed)
        self._on_messages = on_messages
        self._on_compared = on_compared
        self._account = Account(protocol, calls, core, symbols, venue.instruments, context.clock)
        self._payments_wanted = asyncio.Event()
        self._payments_told: frozenset[str] = frozenset()
        self._user_stream: FrameStream | None = None
        self._api_stream: FrameStream | None = None
        self._not_described: set[str] = set()
        self._look_soon = asyncio.Event()
        self._looked = 0.0
        self._key_due = float("inf")
        self._unfit_s = 0.0
        self._stopping = False
        self._log = logging.getLogger("tickbus.execution")

    async def stop(self) -> None:
        """Close the lines; working orders stay where they are."""
        self._stopping = True
        for stream in (self._user_stream, self._api_stream):
            if stream is not None:
                await stream.close()

    def drop(self) -> None:
        """Cut the user stream; the next session finds out what was missed."""
        if self._user_stream is not None:
            self._user_stream.abort()

    def look_soon(self) -> None:
        """Compare the account before its time: what we believe of it was just proved wrong."""
        if time.monotonic() - self._looked > AGAIN_S:
            self._look_soon.set()

    def look_now(self) -> None:
        """Compare the account at once, because somebody asks."""
        self._look_soon.set()

    def want_payments(self) -> None:
        """The user stream spoke of a payment, and only the venue's list gives it a name."""
        self._payments_wanted.set()

    async def run_payments(self) -> None:
        """Read the list of payments whenever that is wanted, for ever; it may lag."""
        while True:
            await self._payments_wanted.wait()
            self._payments_wanted.clear()
            for wait_s in PAYMENTS_AGAIN_S:
                await asyncio.sleep(wait_s)
                if not self._guard.silent_s and await self._read_payments():
                    break

    async def _read_payments(self) -> bool:
        """Tell the core what was paid; whether there was something new."""
        known = self._payments_told
        try:
            payments, _ = await self._account.payments()
        except (VenueRefused, TimeoutError, ConnectionError) as error:
            self._log.warning("payments are not known yet: %s", error)
            return False
        except UNREADABLE as error:
            self._context.quarantine(f"payments at {self._venue.name}", b"", error)
            return True
        self._payments_told = frozenset(p.reference for p in payments)
        now = self._context.clock.now_ns()
        self._reports.put([PaymentsReport(now, now, payments)] if payments else [])
        return bool(self._payments_told - known)

    # -- the line of the user stream ---------------------------------------------------------------

    async def run(self) -> None:
        """Open, keep, open again."""
        delays = delays_s(0.25, 15.0)
        while True:
            began = time.monotonic()
            reason = await self._session()
            if self._stopping:
                return
            if time.monotonic() - began > LIVED_LONG_S:
                delays = delays_s(0.25, 15.0)
            # A venue that refuses our key or asked for silence is not asked again before that ends.
            delay_s = max(next(delays), self._guard.connect_in_s, self._unfit_s)
            now = self._context.clock.now_ns()
            self._reports.put([VenueLost(now, now, reason)])
            self._context.telemetry.error("account_disconnected")
            self._context.set_ready(False, f"the account at {self._venue.name}: {reason}")
            self._log.warning("%s; again in %.1f s", reason, delay_s)
            await asyncio.sleep(delay_s)

    async def _session(self) -> str:
        where = self._venue.ws_api_url if self._protocol.subscribe else self._venue.ws_url
        self._unfit_s = 0.0
        try:
            stream = await self._open()
            wait_s = self._interval_s
            while not stream.closed.done():
                await self._wait(stream, wait_s)
                if self._guard.silent_s:
                    await asyncio.wait([stream.closed], timeout=min(self._guard.silent_s, AGAIN_S))
                elif not stream.closed.done():
                    wait_s = self._interval_s if await self._compared_again() else AGAIN_S
            return f"the session was {stream.closed.result()}"
        except GOES_WRONG as error:
            self._note_handshake(error)
            return f"{where}: {str(error) or type(error).__name__}"
        except AccountUnfit as error:
            self._unfit_s = UNFIT_AGAIN_S
            self._context.telemetry.error("account_unfit")
            return str(error)
        except UNREADABLE as error:
            self._context.quarantine(where, b"", error)
            return f"{where}: an answer of another shape than documented: {error!r}"
        finally:
            self.compared = False
            if self._user_stream is not None:
                self._user_stream.abort()
            self._user_stream = None
            self._reports.release()
            if self._protocol.subscribe:
                self._close_api()

    async def _open(self) -> FrameStream:
        """Clock, user stream, then the account; user events wait until it has been compared."""
        self._reports.hold()
        if self._protocol.subscribe is not None:
            stream = await self._open_api()
            self._user_stream = stream  # from here on it can be dropped
            await self._calls.measure_clock()
            logged_on = self._calls.logged_on
            await self._calls.call(SUBSCRIBE if logged_on else self._protocol.subscribe)
        else:
            await self._calls.measure_clock()
            stream = await self._open_private()
            self._user_stream = stream
        telemetry = self._context.telemetry
        telemetry.gauge("clock_offset_ms", self._calls.offset_ms)
        objection = await self._permission.objection()
        if objection:
            raise AccountUnfit(objection)
        is_one_way = await self._check_position_mode()
        await self._wait_for_instruments(stream)
        # Orders approved before this process lived have to be known before they are seen.
        await self._context.caught_up()
        await self._compare(ReconciliationCause.CONNECTED)
        self._reports.release()
        self._guard.opened(is_one_way)
        self.compared = True
        await self._on_compared()
        self._context.set_ready(True)
        return stream

    async def _compare(self, cause: ReconciliationCause) -> None:
        self._look_soon.clear()
        self._looked = time.monotonic()
        found = await self._account.look(cause)
        stream = self._user_stream
        if cause is not ReconciliationCause.CONNECTED and stream is not None:
            # Else it is the stream that waits for the look.
            await asyncio.wait([stream.closed], timeout=STREAM_LAG_S)
        # In line with the answers: a fill must not be told before the answer that names its order.
        self._reports.put(found)
        self._context.telemetry.count("Reconciliation", "done")

    async def _compared_again(self) -> bool:
        """Compare; False when that failed, which is no reason to give up the user stream."""
        asked = self._look_soon.is_set()
        cause = ReconciliationCause.ASKED if asked else ReconciliationCause.PERIODIC
        try:
            await self._compare(cause)
        except (VenueRefused, TimeoutError, ConnectionError) as error:
            self._log.warning("the account was not compared: %s", error)
        except UNREADABLE as error:
            self._context.quarantine(f"the account at {self._venue.name}", b"", error)
        else:
            return True
        self._context.telemetry.error("comparison_failed")
        return False

    async def _wait(self, stream: FrameStream, seconds: float) -> None:
        """Until it is time to compare, or the line is gone; what keeps the line is done on the way.

        A quiet private line looks like a dead one, so it is asked whether it lives.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            left_s = min(PING_S, until - time.monotonic())
            soon = asyncio.create_task(self._look_soon.wait())
            either: list[asyncio.Future[Any]] = [stream.closed, soon]
            await asyncio.wait(either, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            soon.cancel()
            if stream.closed.done() or self._look_soon.is_set():
                return
            silent_s = time.monotonic() - stream.heard_at
            if silent_s > SILENT_S:
                raise TimeoutError(f"nothing for {silent_s:.0f} s, not even answers to pings")
            if silent_s > PING_S / 2:
                stream.ping()
            if time.monotonic() > self._key_due:
                await self._renew_key()

    async def _renew_key(self) -> None:
        """Keep the key of the user stream alive; raises VenueRefused when there is none."""
        ask = self._protocol.keep_listen_key
        self._key_due = time.monotonic() + (LISTEN_KEY_S if ask is not None else float("inf"))
        if ask is None:
            return
        try:
            await self._calls.call(ask)
        except (VenueRefused, TimeoutError, ConnectionError) as error:
            gone = isinstance(error, VenueRefused) and error.refusal.reason == "LISTEN_KEY_MISSING"
            if gone:
                raise
            self._key_due = time.monotonic() + LISTEN_KEY_AGAIN_S
            self._log.warning("the key of the user stream was not renewed: %s", error)

    async def _open_private(self) -> FrameStream:
        assert self._protocol.new_listen_key is not None  # without one it has to subscribe
        key = str((await self._calls.call(self._protocol.new_listen_key))["listenKey"])
        self._key_due = time.monotonic() + LISTEN_KEY_S
        url = self._protocol.private_url(self._venue.ws_url, key)
        return await FrameStream.connect(url, self._on_messages, timeout_s=CONNECT_TIMEOUT_S)

    async def _check_position_mode(self) -> bool:
        """Whether the venue says that positions are netted. Raises AccountUnfit if not."""
        ask = self._protocol.position_mode
        if ask is None:
            return False
        try:
            body = await self._calls.call(ask)
        except VenueRefused as error:
            if error.refusal.action in (Action.HALT, Action.PAUSE):
                raise
            self._log.warning("the position mode is not known: %s", error)
            return False
        if body["dualSidePosition"] is True:
            raise AccountUnfit(
                "it is in hedge mode, which tickbus's books do not know: switch it to one-way mode"
                " at the venue (Preferences > Position Mode); it is looked at again by itself"
            )
        return True

    async def _wait_for_instruments(self, stream: FrameStream) -> None:
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
            if stream.closed.done():
                raise ConnectionError("the session ended while waiting for instruments")
            await asyncio.sleep(0.1)

    # -- the line of the WebSocket API -------------------------------------------------------------

    async def _open_api(self) -> FrameStream:
        stream = await FrameStream.connect(
            self._venue.ws_api_url, self._on_messages, timeout_s=CONNECT_TIMEOUT_S
        )
        self._calls.stream = self._api_stream = stream
        if self._log_on:
            await self._calls.measure_clock()
            try:
                await self._calls.call(LOGON)
                self._calls.logged_on = True
            except VenueRefused as error:
                if error.refusal.action is not Action.NONE:
                    raise
                # Signing each request does as well.
                self._log.warning("the venue takes no logon with this key: %s", error)
        return stream

    async def keep_api(self) -> None:
        """The WebSocket API's line where the user stream has its own: open, lose, open again.

        Nothing waits for it: while it is away requests go over REST.
        """
        delays = delays_s(0.25, 15.0)
        while not self._stopping and self._protocol.subscribe is None:
            began = time.monotonic()
            reason = await self._api_session()
            if time.monotonic() - began > LIVED_LONG_S:
                delays = delays_s(0.25, 15.0)
            if not self._stopping:
                delay_s = max(next(delays), self._guard.connect_in_s)
                self._context.telemetry.error("api_session_lost")
                self._log.warning("%s; by REST for %.1f s", reason, delay_s)
                await asyncio.sleep(delay_s)

    async def _api_session(self) -> str:
        try:
            stream = await self._open_api()
            while not stream.closed.done():
                await asyncio.wait([stream.closed], timeout=PING_S)
                if time.monotonic() - stream.heard_at > SILENT_S:
                    return f"{self._venue.ws_api_url}: nothing for {SILENT_S:g} s"
                if not stream.closed.done():
                    stream.ping()
            return f"{self._venue.ws_api_url}: {stream.closed.result()}"
        except (*GOES_WRONG, *UNREADABLE) as error:
            self._note_handshake(error)
            return f"{self._venue.ws_api_url}: {str(error) or type(error).__name__}"
        finally:
            self._close_api()

    def _note_handshake(self, error: BaseException) -> None:
        """A venue may ask for silence by refusing the connection itself."""
        if isinstance(error, InvalidStatus) and error.response.status_code in (418, 429):
            wait = error.response.headers.get("Retry-After", "")
            self._guard.be_silent(float(wait) if wait.isdigit() else SILENCE_S)

    def _close_api(self) -> None:
        self._calls.detach()
        if self._api_stream is not None:
            self._api_stream.abort()
            self._api_stream = None
