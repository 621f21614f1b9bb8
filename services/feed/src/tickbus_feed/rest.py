"""Requests to a venue's REST interface, within its weight budget and obeying its refusals."""

import asyncio
import logging
import time
from typing import Any

import httpx

log = logging.getLogger("tickbus.feed")

REQUEST_TIMEOUT_S = 10.0
SHARE = 0.8
"""The part of the venue's request weight that the feed uses; the rest is for orders."""
PAUSE_DEFAULT_S = 60.0
USED_HEADER = "X-MBX-USED-WEIGHT-1M"


class VenueUnavailable(Exception):
    """The venue did not give the answer; the text names the URL and why."""


class WeightBudget:
    """Request weight per minute, as the venue counts it (by its headers) and as we reckon."""

    def __init__(self, limit: int = 1200) -> None:
        self.limit = limit
        self.used = 0
        self._minute = 0
        self._paused_until = 0.0

    async def acquire(self, weight: int) -> None:
        """Wait until `weight` may be spent; at most a minute, or as long as the venue told us."""
        while True:
            now = time.time()
            if now < self._paused_until:
                await asyncio.sleep(self._paused_until - now)
                continue
            if int(now // 60) != self._minute:
                self._minute, self.used = int(now // 60), 0
            if self.used + weight <= self.limit * SHARE or self.used == 0:
                self.used += weight
                return
            await asyncio.sleep(60 - now % 60 + 0.05)

    def learn(self, headers: httpx.Headers) -> None:
        """Take the venue's own count where it gives one."""
        text = headers.get(USED_HEADER, "")
        if text.isdigit():
            self.used = max(self.used, int(text))

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`: the venue said so (429, 418)."""
        self._paused_until = max(self._paused_until, time.time() + seconds)


class RestClient:
    """GET requests to one venue."""

    def __init__(self, base_url: str, budget: WeightBudget) -> None:
        self._base_url = base_url.rstrip("/")
        self._budget = budget
        self._client = httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S)

    async def get(self, path: str, weight: int, **params: Any) -> bytes:
        """The body of a 200 answer. Raises VenueUnavailable for anything else."""
        await self._budget.acquire(weight)
        url = f"{self._base_url}{path}"
        try:
            response = await self._client.get(url, params=params)
        except httpx.HTTPError as error:
            raise VenueUnavailable(f"{url}: {str(error) or type(error).__name__}") from error
        self._budget.learn(response.headers)
        if response.status_code in (418, 429):
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdigit() else PAUSE_DEFAULT_S
            self._budget.pause(seconds)
            raise VenueUnavailable(
                f"{url}: {response.status_code}, the venue asks for {seconds:g} s of silence"
            )
        if response.status_code != 200:
            raise VenueUnavailable(f"{url}: {response.status_code} {response.text[:200]}")
        return response.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
