"""Signed requests over REST: what the WebSocket API lacks, and all of it when that is away."""

import asyncio
from collections.abc import Callable

import httpx
import msgspec

from tickbus_execution.signing import Signer
from tickbus_execution.wire import Answer, Ask, Lane, RateLimit, query

CONNECT_S_MAX = 2.0
PLACES = {Lane.CANCEL: 16, Lane.REDUCE: 8, Lane.NEW: 8, Lane.QUERY: 8}
"""Requests at once per lane, each with connections of its own: none waits for another lane."""
KEPT_ALIVE_S = 300.0
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Failures before the first byte of the request left."""
_SECONDS = {"S": "SECOND", "M": "MINUTE", "H": "HOUR", "D": "DAY"}
_COUNTS = {"x-mbx-used-weight-": "REQUEST_WEIGHT", "x-mbx-order-count-": "ORDERS"}


class Rest:
    """Requests to `base_url`; `now_ms` is the venue's time as we reckon it."""

    def __init__(
        self, base_url: str, signer: Signer, timeout_s: float, recv_window_ms: int,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._base_url = base_url.rstrip("/")
        self._signer = signer
        self._timeout_s = timeout_s
        self._recv_window_ms = recv_window_ms
        self._now_ms = now_ms
        places = sum(PLACES.values())
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S_MAX)),
            limits=httpx.Limits(
                max_connections=places,
                max_keepalive_connections=places,
                keepalive_expiry=KEPT_ALIVE_S,
            ),
        )
        self._places = {lane: asyncio.Semaphore(places) for lane, places in PLACES.items()}

    def url(self, ask: Ask) -> str:
        """The whole address of a request as it would be sent now."""
        params = dict(ask.params)
        if ask.signed:
            params |= {"recvWindow": self._recv_window_ms, "timestamp": self._now_ms()}
        text = query(params)
        if ask.signed:
            text += "&" + query({"signature": self._signer.sign(text.encode())})
        return f"{self._base_url}{ask.path}" + (f"?{text}" if text else "")

    async def ask(self, ask: Ask, may_act: Callable[[], bool] = lambda: True) -> Answer | None:
        """The answer; None when the request may have left and nothing came back.

        None, too, where `may_act` says no when its turn comes: then another process may have sent
        it, and nothing can be said of it here.
        """
        left = False
        try:
            async with asyncio.timeout(self._timeout_s), self._places[ask.lane]:
                left = True
                if not may_act():
                    return None
                headers = {"X-MBX-APIKEY": self._signer.key} if ask.keyed else {}
                response = await self._client.request(ask.verb, self.url(ask), headers=headers)
        except UNSENT as error:
            return Answer(unsent=f"{self._base_url}: {str(error) or type(error).__name__}")
        except TimeoutError:
            return None if left else Answer(unsent="too many requests wait to be sent")
        except (httpx.HTTPError, RuntimeError):  # the last: it was closed
            return None
        return _answer(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _answer(response: httpx.Response) -> Answer:
    limits = _counted(response.headers)
    status = response.status_code
    if status < 300:
        return Answer(status=status, result=msgspec.Raw(response.content), rate_limits=limits)
    try:
        error = msgspec.json.decode(response.content, type=dict)
    except msgspec.DecodeError:
        error = {"msg": response.text[:200]}
    wait = response.headers.get("retry-after", "")
    if wait.isdigit():
        error["retryAfterS"] = int(wait)
    return Answer(status=status, error=error, rate_limits=limits)


def _counted(headers: httpx.Headers) -> list[RateLimit]:
    found: list[RateLimit] = []
    for name, value in headers.items():
        for start, kind in _COUNTS.items():
            number, unit = name[len(start) : -1], name[-1:].upper()
            known = name.startswith(start) and number.isdigit() and unit in _SECONDS
            if known and value.isdigit():
                # What is allowed is not among the headers.
                found.append(RateLimit(kind, _SECONDS[unit], int(number), 0, int(value)))
    return found
