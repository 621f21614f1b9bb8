"""One venue's REST interface: a signed request, its answer, and what a failure means.

Nothing here is shared with execution: what is broken there must not be broken here. Sources:
Binance's `rest-api.md`, `errors.md`, and the general info of the USD-M futures.
"""

import asyncio
import time
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from tickbus_killswitch.signing import Sign

RECV_WINDOW_MS = 5_000
CONNECTIONS_MAX = 8
RETRY_AFTER_S = 1.0
CLOCK_TRIES = 2
CLOCK = -1021
UNKNOWN_ORDER = -2011
NO_SUCH_ORDER = -2013
_KEY = frozenset({-1002, -1022, -2008, -2014, -2015})
_PAUSE = frozenset({-1003, -1015})
_AGAIN = frozenset({-1000, -1001, -1006, -1007, -1008})
_read = msgspec.json.Decoder(float_hook=Decimal).decode


class VenueFailure(Exception):
    """A request did not do what it asked for; the text says which one, and why."""


class NotReached(VenueFailure):
    """Nobody knows whether it was carried out; asking again may help."""


class Refused(VenueFailure):
    """The venue said no; `code` is its own."""

    def __init__(self, message: str, code: int, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class KeyRefused(Refused):
    """The key, its signature or its permission: asking again never helps."""


class Deadline:
    """A moment after which nothing more is begun."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds until then, 0 when it has passed."""
        return max(0.0, self._at - time.monotonic())


class Rest:
    """Signed requests to one host, each with a time-out.

    A pause that the venue asks for (429, 418) holds every request of this host; one that does not
    fit before `deadline` is a NotReached at once.
    """

    def __init__(self, url: str, key: str, sign: Sign, time_path: str, timeout_s: float) -> None:
        self.deadline = Deadline(0)
        self._time_path = time_path
        self._sign = sign
        self._offset_ms = 0
        self._paused_until = 0.0
        self._turns = asyncio.Semaphore(CONNECTIONS_MAX)
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=timeout_s,
            headers={"X-MBX-APIKEY": key},
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(
        self, method: str, path: str, params: dict[str, Any] | None = None, *, signed: bool = True
    ) -> Any:
        """The answer. Raises NotReached, KeyRefused, Refused.

        Only what was certainly not carried out (a wrong clock, a limit) is sent again here.
        """
        what = f"{method} {path}"
        for tries_left in reversed(range(CLOCK_TRIES + 1)):
            await self._pause(what)
            try:
                return await self._once(method, path, params or {}, signed, what)
            except Refused as error:
                if error.code != CLOCK or not tries_left:
                    raise
            await self._read_clock()
        raise AssertionError("unreachable")

    async def _once(
        self, method: str, path: str, params: dict[str, Any], signed: bool, what: str
    ) -> Any:
        async with self._turns:
            query = self._signed(params) if signed else urlencode(params)
            try:
                answer = await self._client.request(method, f"{path}?{query}" if query else path)
            except httpx.HTTPError as error:
                detail = str(error) or type(error).__name__
                raise NotReached(f"{what}: {self._client.base_url.host}: {detail}") from error
        try:
            body = _read(answer.content)
        except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError):
            body = None
        if answer.status_code < 300 and body is not None:
            return body
        raise self._failure(what, answer, body)

    def _signed(self, params: dict[str, Any]) -> str:
        now_ms = time.time_ns() // 1_000_000 + self._offset_ms
        query = urlencode({**params, "recvWindow": RECV_WINDOW_MS, "timestamp": now_ms})
        return f"{query}&signature={quote(self._sign(query.encode()), safe='')}"

    def _failure(self, what: str, answer: httpx.Response, body: Any) -> VenueFailure:
        status = answer.status_code
        said = body if isinstance(body, dict) else {}
        code = said.get("code", 0)
        code = code if isinstance(code, int) else 0
        words = f"{code} {said.get('msg', '')}" if code else f"HTTP {status}"
        if status in (418, 429) or code in _PAUSE:
            wait_s = _seconds(answer.headers.get("retry-after", ""))
            self._paused_until = max(self._paused_until, time.monotonic() + wait_s)
            return NotReached(f"{what}: {words}: the venue asks to wait {wait_s:g} s")
        if code in _KEY or status == 401:
            return KeyRefused(
                f"the venue refuses the key ({what}: {words}): it must be of this account and"
                " venue, allowed to trade, and allowed from this address",
                code, status,
            )  # fmt: skip
        if status >= 500 or code in _AGAIN or body is None or status == 403:
            return NotReached(f"{what}: {words}")
        return Refused(f"{what}: {words}", code, status)

    async def _pause(self, what: str) -> None:
        wait_s = self._paused_until - time.monotonic()
        if wait_s <= 0:
            return
        if wait_s >= self.deadline.left_s:
            raise NotReached(
                f"{what}: not sent, the venue wants {wait_s:.0f} s without requests and"
                f" {self.deadline.left_s:.0f} s are left"
            )
        await asyncio.sleep(wait_s)

    async def _read_clock(self) -> None:
        began_ms = time.time_ns() // 1_000_000
        answer = await self._once("GET", self._time_path, {}, False, f"GET {self._time_path}")
        ended_ms = time.time_ns() // 1_000_000
        try:
            self._offset_ms = int(answer["serverTime"]) - (began_ms + ended_ms) // 2
        except (KeyError, TypeError, ValueError) as error:
            raise NotReached(f"GET {self._time_path}: no serverTime in {answer!r}") from error


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return RETRY_AFTER_S
