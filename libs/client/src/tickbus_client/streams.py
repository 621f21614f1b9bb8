"""The stream of a gateway, for plain code and for asyncio: loops around `subscription`.

A connection that ends, or says nothing for `SILENCE_S`, is made again after a pause that grows.
Whoever reads slowly holds nobody up: the server keeps the latest of what may be left out, and says
what is lost of the rest.
"""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect as connect_sync

from tickbus_client.credentials import Login
from tickbus_client.errors import ApiError, StreamFailed, Unreachable
from tickbus_client.subscription import Subscription, Update
from tickbus_client.talk import AGAIN, Retry, Talk

PATH = "/api/v1/stream"
SILENCE_S = 15.0
"""Three heartbeats of the server."""
OPEN_S = 10.0
FRAME_BYTES_MAX = 16 * 1024 * 1024
PATIENCE_S = 60.0
NEAR = ("127.0.0.1", "localhost", "::1")
AGAIN_RETRY = Retry(first_s=0.25, max_s=10.0)

Trouble = Callable[[str, float], None]
"""Told why a connection ended, and how long until the next attempt in seconds."""
_ENDS = (OSError, TimeoutError, WebSocketException, ApiError, Unreachable)


async def _nothing() -> None:
    """A credential that nobody has to renew."""


class _Course:
    """What both streams do alike: where to connect, and what an end of it means."""

    def __init__(
        self, talk: Talk, topics: Iterable[str], patience_s: float, on_trouble: Trouble | None,
    ) -> None:  # fmt: skip
        self.subscription = Subscription(topics)
        self.waiting: deque[Update] = deque()
        self._talk = talk
        self._patience_s = patience_s
        self._on_trouble = on_trouble
        self._tried = 0
        self._silent_since: float | None = None
        self._showed: tuple[Login | None, str] = (None, "")
        self._was_refused = False

    @property
    def url(self) -> str:
        """Of the stream."""
        return "ws" + self._talk.url.removeprefix("http") + PATH

    def options(self) -> dict[str, Any]:
        """What a connection is made with; the credential afresh each time."""
        is_near = urlsplit(self._talk.url).hostname in NEAR
        self._showed = self._talk.bearer.now
        return {
            "additional_headers": self._talk.bearer.headers(),
            "open_timeout": OPEN_S,
            "close_timeout": 2.0,
            "max_size": FRAME_BYTES_MAX,
            "proxy": None if is_near else True,
            "compression": None if is_near else "deflate",
        }

    def take(self, text: str | bytes) -> None:
        """Keep what a text says until it is asked for. Raises StreamFailed."""
        self._tried, self._silent_since, self._was_refused = 0, None, False
        self.waiting.extend(self.subscription.heard(text))

    def ended(self, error: Exception, now_s: float) -> float:
        """How long to wait before the next attempt. Raises ApiError or StreamFailed for good."""
        reason = str(error) or type(error).__name__
        if isinstance(error, InvalidStatus):
            answer = error.response
            refusal = ApiError.of(answer.status_code, bytes(answer.body or b""))
            if answer.status_code not in AGAIN and not self._renews(refusal):
                raise refusal from error
            reason = refusal.detail
        elif isinstance(error, ApiError) and error.status not in AGAIN:
            raise error  # the login could not be renewed
        self._tried += 1
        since = self._silent_since = now_s if self._silent_since is None else self._silent_since
        if now_s - since >= self._patience_s:
            raise StreamFailed(
                f"the stream of {self._talk.url} is away for {now_s - since:.0f} s: {reason}",
                remedy="see whether the gateway runs, then begin again",
            ) from error
        pause_s = AGAIN_RETRY.pause_s(self._tried, random.random())
        if self._on_trouble is not None:
            self._on_trouble(reason, pause_s)
        return pause_s

    def _renews(self, refusal: ApiError) -> bool:
        """Whether the login has to be renewed, and that alone: not twice in a row."""
        if self._was_refused:
            return False
        self._was_refused = self._talk.bearer.is_renewable(refusal, *self._showed)
        return self._was_refused


class Stream:
    """Updates of some topics for plain code: `with client.stream("orders") as updates: for …`.

    Use it in one thread. It ends only with an error: StreamFailed when nothing can be heard for
    `patience_s`, or when the server refuses a topic; ApiError when it refuses the caller.
    """

    def __init__(
        self, talk: Talk, topics: Iterable[str], *, patience_s: float = PATIENCE_S,
        on_trouble: Trouble | None = None, renew: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._course = _Course(talk, topics, patience_s, on_trouble)
        self._renew = renew
        self._socket: SyncConnection | None = None
        self._opened = ExitStack()

    def subscribe(self, *topics: str) -> None:
        """Hear these, too."""
        self._course.subscription.subscribe(topics)

    def unsubscribe(self, *topics: str) -> None:
        """Hear these no more."""
        self._course.subscription.unsubscribe(topics)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Update:
        update = self.next(math.inf)
        assert update is not None  # without an end there is always a next one
        return update

    def next(self, timeout_s: float) -> Update | None:
        """The next update, None if none came within `timeout_s`. Raises as the stream does."""
        course, deadline = self._course, time.monotonic() + timeout_s
        while not course.waiting:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            try:
                self._hear(left_s)
            except _ENDS as error:
                self.close()
                time.sleep(min(course.ended(error, time.monotonic()), max(0.0, left_s)))
        return course.waiting.popleft()

    def _hear(self, left_s: float) -> None:
        if self._socket is None:
            self._renew()
            opening = connect_sync(self._course.url, **self._course.options())
            self._socket = self._opened.enter_context(opening)
            self._course.subscription.opened()
        for text in self._course.subscription.to_send():
            self._socket.send(text)
        try:
            self._course.take(self._socket.recv(timeout=min(SILENCE_S, left_s)))
        except TimeoutError:
            if left_s > SILENCE_S:
                raise TimeoutError(f"it said nothing for {SILENCE_S:g} s") from None

    def close(self) -> None:
        """Close the connection; the next update opens one again."""
        self._socket = None
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncStream:
    """Updates of some topics for asyncio; otherwise as `Stream`."""

    def __init__(
        self, talk: Talk, topics: Iterable[str], *, patience_s: float = PATIENCE_S,
        on_trouble: Trouble | None = None, renew: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:  # fmt: skip
        self._course = _Course(talk, topics, patience_s, on_trouble)
        self._renew = renew
        self._socket: ClientConnection | None = None

    async def subscribe(self, *topics: str) -> None:
        """Hear these, too."""
        self._course.subscription.subscribe(topics)
        await self._flush()

    async def unsubscribe(self, *topics: str) -> None:
        """Hear these no more."""
        self._course.subscription.unsubscribe(topics)
        await self._flush()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        course = self._course
        while not course.waiting:
            try:
                await self._hear()
            except _ENDS as error:
                await self.close()
                await asyncio.sleep(course.ended(error, time.monotonic()))
        return course.waiting.popleft()

    async def _hear(self) -> None:
        if self._socket is None:
            await self._renew()
            self._socket = await connect_async(self._course.url, **self._course.options())
            self._course.subscription.opened()
        await self._flush()
        try:
            async with asyncio.timeout(SILENCE_S):
                text = await self._socket.recv()
        except TimeoutError:
            raise TimeoutError(f"it said nothing for {SILENCE_S:g} s") from None
        self._course.take(text)

    async def _flush(self) -> None:
        if self._socket is None:
            return
        try:
            for text in self._course.subscription.to_send():
                await self._socket.send(text)
        except ConnectionClosed:
            # Whoever hears next notices, connects again and says all of it.
            return

    async def close(self) -> None:
        """Close the connection; the next update opens one again."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()
