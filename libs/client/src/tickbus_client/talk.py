"""How one call goes, without doing it: what to send, how long to wait, when to try again.

`Talk.about(call)` is a generator. It yields `Send` and wants a `Heard` or a `Silence` back, or
`Pause` and wants None back; what it returns is the reply. A client is a loop around it.
"""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tickbus_client.call import Call, Reply, read, retry_after_s
from tickbus_client.credentials import Bearer
from tickbus_client.errors import Unreachable

T = TypeVar("T")
AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same request may succeed a moment later."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a call that may be repeated is tried again.

    The pause doubles from `first_s` to `max_s`, each time a random part of it, so that many clients
    do not come back together; a Retry-After up to `max_s` goes before. A call is tried `attempts`
    times; then the last answer stands.
    """

    attempts: int = 3
    first_s: float = 0.25
    max_s: float = 5.0

    def pause_s(self, tried: int, chance: float) -> float:
        """The pause behind the attempt number `tried`, for `chance` from 0 to 1."""
        return min(self.max_s, self.first_s * 2.0 ** min(tried - 1, 16)) * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this and say what came back; give up after `timeout_s`."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer; names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, for `reason`; `sent` is False where the request certainly never left."""

    reason: str
    sent: bool


Step = Send | Pause
Conversation = Generator[Step, Heard | Silence | None, Reply[Any]]


class Talk:
    """What every call to one gateway has in common."""

    def __init__(
        self, url: str, bearer: Bearer, retry: Retry, timeout_s: float,
        chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self.url = url
        self.bearer = bearer
        self._retry = retry
        self._timeout_s = timeout_s
        self._chance = chance

    def about(self, call: Call[T]) -> Generator[Step, Heard | Silence | None, Reply[T]]:
        """The steps of `call`. Raises ApiError, Unreachable or Unintelligible."""
        tried = 0
        while True:
            tried += 1
            heard = yield self.request(call)
            pause_s = self._pause_s(call, heard, tried)
            if pause_s is not None:
                yield Pause(pause_s)
                continue
            if isinstance(heard, Silence):
                done = heard.sent and call.method != "GET"
                raise Unreachable(self.url, heard.reason, maybe_done=done)
            assert heard is not None  # only a pause is answered with None
            data = read(call, self.url, heard.status, heard.headers, heard.content)
            return Reply(heard.status, data, heard.content, heard.headers)

    def request(self, call: Call[Any]) -> Send:
        """What to send for `call`, once."""
        headers = {"Accept": "application/json", **self.bearer.headers(), **call.headers}
        if (content := call.content) is not None:
            headers["Content-Type"] = "application/json"
        timeout_s = max(self._timeout_s, call.timeout_s)
        return Send(call.method, call.target, headers, content, timeout_s)

    def _pause_s(self, call: Call[Any], heard: Heard | Silence | None, tried: int) -> float | None:
        """How long to wait before trying again; None when what was heard stands."""
        if not call.is_repeatable or tried >= self._retry.attempts:
            return None
        pause_s = self._retry.pause_s(tried, self._chance())
        if isinstance(heard, Heard):
            if heard.status not in AGAIN:
                return None
            wanted_s = retry_after_s(heard.headers) or 0.0
            return None if wanted_s > self._retry.max_s else max(wanted_s, pause_s)
        return pause_s
