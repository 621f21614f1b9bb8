"""Requests to a venue: one budget for all processes, lanes, refusals, and the venue's clock."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tickbus.budget import SHARE, WeightBudget
from tickbus.bus import BusError, MemoryBus
from tickbus.clock import Clock, WallClock
from tickbus_feed.adapter import Request, Unreadable
from tickbus_feed.clock_check import measure
from tickbus_feed.rest import Lane, RestClient, VenueUnavailable
from tickbus_feed.service import adapter_named


class StoppedClock(WallClock):
    """A clock that tests move."""

    ns = 1_700_000_000 * 10**9

    def now_ns(self) -> int:
        return self.ns


async def test_processes_together_stay_within_the_one_limit() -> None:
    bus, clock = MemoryBus(), StoppedClock()
    budgets = [WeightBudget(bus, clock, "venue.default", 1000) for _ in range(6)]
    spent = 0

    async def spend(budget: WeightBudget) -> None:
        nonlocal spent
        while True:
            await budget.acquire(10)
            spent += 10

    spending = [asyncio.create_task(spend(budget)) for budget in budgets]
    async with asyncio.timeout(30):
        while spent < 1000 * SHARE:
            await asyncio.sleep(0.01)
    await asyncio.wait(spending, timeout=0.5)
    assert spent == 1000 * SHARE
    for task in spending:
        task.cancel()


async def test_what_others_spent_in_a_new_minute_counts_though_less_than_we_in_the_last() -> None:
    bus, clock = MemoryBus(), StoppedClock()
    ours, theirs = (WeightBudget(bus, clock, "venue.default", 1000) for _ in range(2))
    await ours.acquire(700)
    clock.ns += 60 * 10**9
    await ours.learn_used(600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await theirs.acquire(300)


async def test_what_was_spent_is_that_of_this_minute_alone() -> None:
    clock = StoppedClock()
    budget = WeightBudget(MemoryBus(), clock, "venue.default", 1000)
    await budget.acquire(700)
    await budget.learn_used(950)
    assert budget.used == 950
    clock.ns += 60 * 10**9
    assert budget.used == 0, "else a start would look like a limit that is used up for ever"


async def test_traded_books_do_not_wait_behind_all_the_others() -> None:
    budget = WeightBudget(MemoryBus(), StoppedClock(), "venue.default", 1000)
    rest = RestClient("http://venue", budget)
    rest._client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    )
    request = Request("/depth", {}, 10)
    waiting = [asyncio.create_task(rest.get(request, Lane.BOOKS)) for _ in range(200)]
    waiting += [asyncio.create_task(rest.get(request, Lane.PROBES)) for _ in range(200)]
    most = 1000 * SHARE * 0.9 // 10
    async with asyncio.timeout(30):
        while sum(task.done() for task in waiting) < most:
            await asyncio.sleep(0.01)
    await asyncio.wait(waiting, timeout=0.3)
    assert sum(task.done() for task in waiting) == most
    assert await asyncio.wait_for(rest.get(request, Lane.TRADED), 30) == b"{}"
    for task in waiting:
        task.cancel()
    await rest.close()


async def test_answer_that_drips_is_given_up_and_so_is_a_request_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_feed.rest.ANSWER_TIMEOUT_S", 0.2)

    async def drip(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    rest = RestClient("http://venue", WeightBudget(MemoryBus(), StoppedClock(), "venue.default"))
    rest._client = httpx.AsyncClient(transport=httpx.MockTransport(drip))
    with pytest.raises(VenueUnavailable):
        await asyncio.wait_for(rest.get(Request("/depth", {}, 1)), 30)
    await rest.close()
    with pytest.raises(VenueUnavailable):
        await rest.get(Request("/depth", {}, 1))


async def test_one_process_that_is_refused_silences_all() -> None:
    bus, clock = MemoryBus(), StoppedClock()
    first, second = (WeightBudget(bus, clock, "venue.default") for _ in range(2))
    await first.pause(30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.acquire(1), 0.2)
    clock.ns += 31 * 10**9
    await asyncio.wait_for(second.acquire(1), 30)
    other = WeightBudget(bus, clock, "venue.another-address")
    await asyncio.wait_for(other.acquire(1), 30)


async def test_process_that_just_began_knows_the_limit_from_the_others() -> None:
    bus, clock = MemoryBus(), StoppedClock()
    await WeightBudget(bus, clock, "venue.default", 6000).acquire(3000)
    newcomer = WeightBudget(bus, clock, "venue.default")
    await asyncio.wait_for(newcomer.acquire(20), 30)
    assert newcomer.limit == 6000


async def test_process_without_a_bus_takes_a_small_part() -> None:
    class Gone(MemoryBus):
        async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
            raise BusError("gone")

    clock: Clock = StoppedClock()
    budget = WeightBudget(Gone(), clock, "venue.default", 1000)
    for _ in range(10):
        await asyncio.wait_for(budget.acquire(10), 30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.acquire(10), 0.2)


async def test_account_that_cannot_be_read_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    bus = MemoryBus()
    await bus.kv_put("budget", "venue.default", b"\xc1 rubbish")
    await asyncio.wait_for(WeightBudget(bus, StoppedClock(), "venue.default").acquire(5), 30)
    assert "begun anew" in caplog.text


async def test_clock_of_the_venue_is_measured_by_the_quickest_answer() -> None:
    clock = StoppedClock()
    trips = iter((900, 40, 500, 300, 800))

    def answer(request: httpx.Request) -> httpx.Response:
        trip_ns = next(trips) * 1_000_000
        now = clock.ns
        clock.ns += trip_ns
        # 1.5 s ahead of us; the slow answers were held up on the way back.
        server = now + min(trip_ns // 2, 20_000_000) + 1_500_000_000
        return httpx.Response(200, json={"serverTime": server // 1_000_000})

    rest = RestClient("http://venue", WeightBudget(MemoryBus(), clock, "venue.default"))
    rest._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    assert await measure(adapter_named("binance"), rest, clock) == (1500.0, 40.0)


@pytest.mark.parametrize(
    ("name", "answer", "ns"),
    [
        ("binance", {"serverTime": 1_700_000_000_123}, 1_700_000_000_123_000_000),
        ("okx", {"data": [{"ts": "1700000000123"}]}, 1_700_000_000_123_000_000),
        ("bybit", {"result": {"timeNano": "1700000000123456789"}}, 1_700_000_000_123_456_789),
        ("coinbase", {"epochMillis": "1700000000123"}, 1_700_000_000_123_000_000),
        ("kraken", {"result": {"unixtime": 1_700_000_000}}, 1_700_000_000_500_000_000),
    ],
)
def test_clock_of_each_venue_is_read(name: str, answer: dict[str, Any], ns: int) -> None:
    assert adapter_named(name).read_time(json.dumps(answer).encode()) == ns
    with pytest.raises(Unreadable, match="not the time"):
        adapter_named(name).read_time(b"{}")
