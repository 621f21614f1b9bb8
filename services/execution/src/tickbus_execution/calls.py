"""Requests over one WebSocket API session, each matched with its answer or its time-out."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from websockets.exceptions import WebSocketException

from tickbus.clock import Clock
from tickbus.websocket import FrameStream
from tickbus_execution import binance
from tickbus_execution.venue import Outcome

Done = Callable[[binance.Answer | None], None]


class VenueRefused(Exception):
    """The venue answered with an error; `code` is its own."""

    def __init__(self, code: str, message: str, outcome: Outcome) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.outcome = outcome


class _Pending(NamedTuple):
    deadline: float
    done: Done


class Calls:
    """Signs and writes requests to `stream`; whoever reads the stream calls `answered`.

    `offset_ms` is the venue's clock minus ours. `on_refusal` is told of every error answer to a
    `call`. A request without an answer after `timeout_s` is given up by `expire`.
    """

    def __init__(
        self, key: str, secret: str, recv_window_ms: int, timeout_s: float, clock: Clock,
        on_refusal: Callable[[binance.Answer], None],
    ) -> None:  # fmt: skip
        self.stream: FrameStream | None = None
        self.offset_ms = 0
        self._key = key
        self._secret = secret
        self._recv_window_ms = recv_window_ms
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_refusal = on_refusal
        self._number = 0
        self._pending: dict[int, _Pending] = {}

    @property
    def pending(self) -> int:
        """Requests that wait for their answer."""
        return len(self._pending)

    def send(self, method: str, params: dict[str, Any], done: Done, *, signed: bool = True) -> bool:
        """Write a request; `done` gets the answer, None when there was none in time.

        False, and nothing written, when there is no session.
        """
        if self.stream is None:
            return False
        self._number += 1
        try:
            self.stream.send(self.text(self._number, method, params, signed=signed))
        except WebSocketException:
            return False  # the state of the session forbids it: not a byte was written
        self._pending[self._number] = _Pending(time.monotonic() + self._timeout_s, done)
        return True

    def text(self, number: int, method: str, params: dict[str, Any], *, signed: bool = True) -> str:
        """A request as it would be sent now."""
        if not signed:
            return binance.request(number, method, params)
        now_ms = self._clock.now_ns() // binance.MS_NS + self.offset_ms
        return binance.signed(
            number, method, params, self._key, self._secret, now_ms, self._recv_window_ms
        )

    async def call(self, method: str, params: dict[str, Any], *, signed: bool) -> Any:
        """One request and its result. Raises VenueRefused, TimeoutError, ConnectionError."""
        future: asyncio.Future[binance.Answer | None] = asyncio.get_running_loop().create_future()

        def done(answer: binance.Answer | None) -> None:
            if not future.done():
                future.set_result(answer)

        if not self.send(method, params, done, signed=signed):
            raise ConnectionError(f"{method}: not connected")
        answer = await future
        if answer is None:
            raise TimeoutError(f"{method}: no answer in {self._timeout_s:g} s")
        if answer.error is not None:
            outcome, code, message = binance.outcome_of(answer.error, answer.status)
            self._on_refusal(answer)
            raise VenueRefused(code, f"{method}: {message}", outcome)
        return binance.read(answer.result)

    def answered(self, number: int, answer: binance.Answer) -> None:
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

    def fail_all(self) -> None:
        """What had no answer when the session ended has an unknown outcome."""
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.done(None)
