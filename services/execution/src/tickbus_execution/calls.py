"""Requests to a venue, each matched with its answer or its time-out, over whatever carries them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from websockets.exceptions import WebSocketException

from tickbus.budget import WeightBudget
from tickbus.clock import Clock
from tickbus.websocket import FrameStream
from tickbus_execution import wire
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.refusals import UNAVAILABLE, Action, Refusal, read_refusal
from tickbus_execution.rest import Rest
from tickbus_execution.signing import Signer
from tickbus_execution.venue import Outcome, Request
from tickbus_execution.wire import MS_NS, UNREADABLE, Answer, Ask, Lane, RateLimit

Done = Callable[[Answer | None], None]
Spawn = Callable[[Coroutine[Any, Any, None], str], Any]
CLOCK_SAMPLES = 3
UNAVAILABLE_S = (0.2, 0.4, 0.8)
"""After how long what the venue was unavailable for goes again, each time; then it is refused."""
REST_WAITING_MAX = 500
"""Requests under way over REST; past that one is given up unsent."""


def _nothing() -> None:
    pass


class VenueRefused(Exception):
    """The venue answered a `call` with an error; `refusal` is what that means."""

    def __init__(self, what: str, refusal: Refusal) -> None:
        super().__init__(f"{what}: {refusal.detail}")
        self.refusal = refusal

    @property
    def outcome(self) -> Outcome:
        """What it means for the request."""
        return self.refusal.outcome


class Unsent(ConnectionError):
    """The request never left."""


class _Pending(NamedTuple):
    deadline: float
    done: Done


class Calls:
    """Signs requests and writes them to `stream`, or asks over REST where there is none.

    A request goes one way, once: over REST only if not a byte of it was written to the stream.
    Whoever reads the stream calls `answered`. `offset_ms` is the venue's clock minus ours.
    `on_refusal` is told of every error answer, `on_usage` of every count the venue gives, `may_act`
    is asked before an order or a cancel goes over REST or is sent once more. A request without an
    answer after `timeout_s` is given up by `expire`.
    """

    def __init__(
        self, protocol: VenueProtocol, signer: Signer, rest_url: str, *, timeout_s: float,
        recv_window_ms: int, clock: Clock, budget: WeightBudget, spawn: Spawn,
        on_refusal: Callable[[Request, Ask, Answer, Refusal], None],
        on_usage: Callable[[list[RateLimit]], None], may_act: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.stream: FrameStream | None = None
        self.logged_on = False
        self.offset_ms = 0
        self._protocol = protocol
        self._signer = signer
        self._recv_window_ms = recv_window_ms
        self._timeout_s = timeout_s
        self._clock = clock
        self._budget = budget
        self._spawn = spawn
        self._on_refusal = on_refusal
        self._on_usage = on_usage
        self._may_act = may_act
        self._rest = Rest(rest_url, signer, timeout_s, recv_window_ms, self.now_ms)
        self._rest_waiting = 0
        self._number = 0
        self._pending: dict[int, _Pending] = {}
        self._measuring: asyncio.Future[None] | None = None

    @property
    def pending(self) -> int:
        """Requests that wait for their answer."""
        return len(self._pending) + self._rest_waiting

    def now_ms(self) -> int:
        """The venue's time as we reckon it."""
        return self._clock.now_ns() // MS_NS + self.offset_ms

    # -- sending -----------------------------------------------------------------------------------

    def send(
        self, kind: Request, ask: Ask, done: Done, *, leaves: Callable[[], None] = _nothing,
        again: bool = True, attempt: int = 0,
    ) -> None:  # fmt: skip
        """Send a request; `done` gets the answer, None when there was none in time.

        `leaves` is called each time that it is about to be given its time stamp and to leave.
        A signed one that the venue found out of time was not taken: it goes once more, by a better
        clock.
        Nor was an order or cancel for which it was unavailable: it goes again a little later.
        """

        def answered(answer: Answer | None) -> None:
            if answer is not None:
                self._on_usage(answer.rate_limits)
                if answer.error is not None:
                    refusal = read_refusal(
                        self._protocol.dialect, kind, answer.error, answer.status
                    )
                    waits = kind is not Request.QUERY and attempt < len(UNAVAILABLE_S)
                    if refusal.reason == UNAVAILABLE.reason and waits:
                        self._spawn(self._later(kind, ask, done, leaves, again, attempt), "again")
                        return
                    self._on_refusal(kind, ask, answer, refusal)
                    # What carries no time cannot be out of time: the question for the venue's
                    # clock would wait for its own answer.
                    if refusal.action is Action.RESYNC_CLOCK and again and ask.signed:
                        self._spawn(self._once_more(kind, ask, done, leaves), "once more")
                        return
            done(answer)

        def may_leave() -> bool:
            leaves()
            return kind is Request.QUERY or self._may_act()

        leaves()
        if not self._write(ask, answered):
            self._spawn(self._ask_rest(ask, answered, may_leave), "a request over REST")

    async def _later(
        self, kind: Request, ask: Ask, done: Done, leaves: Callable[[], None], again: bool,
        attempt: int,
    ) -> None:  # fmt: skip
        await asyncio.sleep(UNAVAILABLE_S[attempt])
        if not self._may_act():
            done(None)  # another process may have sent it: nothing can be said of it here
            return
        self.send(kind, ask, done, leaves=leaves, again=again, attempt=attempt + 1)

    async def _once_more(
        self, kind: Request, ask: Ask, done: Done, leaves: Callable[[], None]
    ) -> None:
        await self.measure_clock()
        if kind is not Request.QUERY and not self._may_act():
            done(None)  # another process may have sent it: nothing can be said of it here
            return
        self.send(kind, ask, done, leaves=leaves, again=False)

    def _write(self, ask: Ask, done: Done) -> bool:
        if self.stream is None or not ask.method:
            return False
        self._number += 1
        try:
            self.stream.send(self.text(self._number, ask))
        except WebSocketException:
            return False  # the state of the session forbids it: not a byte was written
        self._pending[self._number] = _Pending(time.monotonic() + self._timeout_s, done)
        return True

    def text(self, number: int, ask: Ask) -> str:
        """A request as it would be written to the stream now."""
        if not ask.signed:
            return wire.request(number, ask.method, ask.params)
        # Not sorted, but for the signature: the venue reads them in any order.
        params = {**ask.params, "timestamp": self.now_ms(), "recvWindow": self._recv_window_ms}
        if not self.logged_on:
            params["apiKey"] = self._signer.key
            params["signature"] = self._signer.sign(wire.sorted_payload(params))
        return wire.request(number, ask.method, params)

    async def _ask_rest(self, ask: Ask, done: Done, may_leave: Callable[[], bool]) -> None:
        if not ask.path:
            done(Answer(unsent=f"{ask.method}: no session"))
            return
        if self._rest_waiting >= REST_WAITING_MAX:
            done(Answer(unsent=f"{REST_WAITING_MAX} requests wait for their answers"))
            return
        self._rest_waiting += 1
        try:
            answer = await self._rest.ask(ask, may_leave)
        finally:
            self._rest_waiting -= 1
        done(answer)

    async def call(self, ask: Ask) -> Any:
        """One request and its result; a question waits until the budget has room for it.

        Raises VenueRefused, TimeoutError, Unsent, or one of UNREADABLE.
        """
        if ask.weight and ask.lane is Lane.QUERY:
            await self._budget.acquire(ask.weight)
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def done(answer: Answer | None) -> None:
            if not future.done():
                future.set_result(answer)

        self.send(Request.QUERY, ask, done)
        answer = await future
        what = ask.method or ask.path
        if answer is None:
            raise TimeoutError(f"{what}: no answer in {self._timeout_s:g} s")
        if answer.unsent:
            raise Unsent(f"{what}: {answer.unsent}")
        if answer.error is not None:
            refusal = read_refusal(
                self._protocol.dialect, Request.QUERY, answer.error, answer.status
            )
            raise VenueRefused(what, refusal)
        return wire.read(answer.result)

    async def ask_at(self, base_url: str, ask: Ask) -> Answer | None:
        """Ask another host of the venue, once; None when nothing came back."""
        rest = Rest(base_url, self._signer, self._timeout_s, self._recv_window_ms, self.now_ms)
        try:
            return await rest.ask(ask)
        finally:
            await rest.close()

    # -- answers -----------------------------------------------------------------------------------

    def answered(self, number: int, answer: Answer) -> None:
        """Hand an answer to whoever waits for it; one that comes too late is not missed."""
        pending = self._pending.pop(number, None)
        if pending is not None:
            pending.done(answer)

    def expire(self) -> None:
        """Give up what has waited too long: its outcome is unknown."""
        now = time.monotonic()
        for number, pending in list(self._pending.items()):
            if pending.deadline < now:
                del self._pending[number]
                pending.done(None)

    def detach(self) -> None:
        """The stream is gone; what had no answer yet has an unknown outcome."""
        self.stream, self.logged_on = None, False
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.done(None)

    async def close(self) -> None:
        """Close what was opened for REST."""
        await self._rest.close()

    # -- the clock ---------------------------------------------------------------------------------

    async def measure_clock(self) -> None:
        """Set `offset_ms` by the fastest of some samples; one measurement serves all who ask.

        What cannot be measured stays as it was.
        """
        if self._measuring is not None:
            await asyncio.shield(self._measuring)
            return
        self._measuring = asyncio.get_running_loop().create_future()
        try:
            await self._measure()
        finally:
            self._measuring.set_result(None)
            self._measuring = None

    async def _measure(self) -> None:
        best = float("inf")
        for _ in range(CLOCK_SAMPLES):
            before = self._clock.now_ns()
            try:
                result = await self.call(self._protocol.time)
                server_ms = int(result["serverTime"])
            except (VenueRefused, TimeoutError, ConnectionError, *UNREADABLE):
                return
            after = self._clock.now_ns()
            if after - before < best:
                best = after - before
                self.offset_ms = round(server_ms - (before + after) / 2 / MS_NS)
