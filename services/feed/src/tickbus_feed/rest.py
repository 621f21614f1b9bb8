"""Requests to a venue's REST interface, within its weight budget and obeying its refusals."""

import asyncio
from enum import Enum

import httpx

from tickbus.budget import WeightBudget
from tickbus_feed.adapter import Request

REQUEST_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
PAUSE_DEFAULT_S = 60.0


class Lane(Enum):
    """Who goes first where the budget is short: (the share of it that the lane uses up, places).

    A book that a strategy trades on must not wait behind the first books of 500 others, nor a
    question whether a market is quiet before any of them. The list of instruments and the clock,
    which everything waits for, go with the traded books.
    """

    TRADED = (1.0, 4)
    BOOKS = (0.9, 4)
    PROBES = (0.7, 2)


class VenueUnavailable(Exception):
    """The venue did not give the answer; the text names the URL and why."""


class RestClient:
    """GET requests to one venue."""

    def __init__(self, base_url: str, budget: WeightBudget) -> None:
        self._base_url = base_url.rstrip("/")
        self._budget = budget
        self._client = httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S)
        self._places = {lane: asyncio.Semaphore(lane.value[1]) for lane in Lane}

    def url(self, request: Request) -> str:
        """The whole address of a request."""
        return str(httpx.URL(f"{self._base_url}{request.path}", params=request.params))

    async def get(self, request: Request, lane: Lane = Lane.TRADED) -> bytes:
        """The body of a 200 answer. Raises VenueUnavailable for anything else."""
        async with self._places[lane]:
            await self._budget.acquire(request.weight, lane.value[0])
            return await self._get(request)

    async def _get(self, request: Request) -> bytes:
        url = f"{self._base_url}{request.path}"
        try:
            # The client's own limit is for each part of an answer: one that drips never ends.
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._client.get(url, params=request.params)
        except (httpx.HTTPError, TimeoutError, RuntimeError) as error:  # the last: it was closed
            raise VenueUnavailable(f"{url}: {str(error) or type(error).__name__}") from error
        await self._budget.learn(response.headers)
        if response.status_code in (418, 429):
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdigit() else PAUSE_DEFAULT_S
            await self._budget.pause(seconds)
            raise VenueUnavailable(
                f"{url}: {response.status_code}, the venue asks for {seconds:g} s of silence"
            )
        if response.status_code != 200:
            raise VenueUnavailable(f"{url}: {response.status_code} {response.text[:200]}")
        return response.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
