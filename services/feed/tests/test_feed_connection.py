"""The feed's IO: messages of one read together, breaks survived, limits obeyed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tickbus.budget import WeightBudget
from tickbus.bus import MemoryBus, Message
from tickbus.captures import Captures
from tickbus.clock import ManualClock
from tickbus.codec import decode
from tickbus.config import Settings
from tickbus.events import BookSnapshot, FeedState, FeedStatus
from tickbus.runtime import Shell
from tickbus.websocket import FrameStream
from tickbus_embedded import free_port
from tickbus_feed.adapter import Request
from tickbus_feed.connection import VenueConnection
from tickbus_feed.core import FeedCore
from tickbus_feed.rest import RestClient, VenueUnavailable
from tickbus_feed.service import build
from tickbus_feed.sync import BookSync
from tickbus_feed.venue import ProbeBook
from tickbus_testkit.processes import ServiceProcess


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    logs = tmp_path_factory.mktemp("exchange")
    process = ServiceProcess("exchange", logs, {}, port, ("--port", str(port), "--seed", "1"))
    process.start().until_ready()
    yield f"127.0.0.1:{port}"
    process.stop()


class AFeed:
    """The whole service on a memory bus, with what it published."""

    def __init__(
        self, address: str, *instruments: str, adapter: str = "binance", **feed: Any
    ) -> None:
        venue = {
            "name": "sim", "adapter": adapter, "rest_url": f"http://{address}",
            "ws_url": f"ws://{address}", "ws_api_url": f"ws://{address}",
            "instruments": list(instruments), "fees": {"maker": "0", "taker": "0"},
        }  # fmt: skip
        # Where silence is not what a test is about, a standstill is not taken for one.
        feed = {"stale_after_s": 120.0, "first_event_s": 120.0} | feed
        self.bus = MemoryBus()
        self.shell = Shell(build(Settings({"venue": venue, "feed": feed})), self.bus)
        self.states: list[FeedState] = []
        self.epochs: dict[str, int] = {}
        self._instruments = set(instruments)

    async def __aenter__(self) -> "AFeed":
        await self.bus.subscribe("md.status.sim.BTC-USDT", self._status)
        await self.bus.subscribe("md.snapshot.>", self._snapshot)
        await self.shell.start()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.shell.stop()

    async def _status(self, message: Message) -> None:
        for event in decode(message.payload).events:
            if isinstance(event, FeedStatus):
                self.states.append(event.state)

    async def _snapshot(self, message: Message) -> None:
        for event in decode(message.payload).events:
            if isinstance(event, BookSnapshot):
                self.epochs[event.instrument_id] = event.epoch

    async def until(self, what: Any, timeout_s: float = 30) -> None:
        async with asyncio.timeout(timeout_s):
            while not what():
                await asyncio.sleep(0.05)

    async def live(self) -> None:
        """Until it is ready, and the book of every instrument was heard of."""
        await self.until(
            lambda: not self.shell.waiting() and self.epochs.keys() >= self._instruments
        )

    async def until_equal(
        self, http: httpx.AsyncClient, exchange: str, sync: BookSync,
        path: str = "/api/v3/depth", limit: int = 500,
    ) -> None:  # fmt: skip
        """Halt the symbol, so that its book stays; ours must get to it, and then be the same."""
        status = f"http://{exchange}/admin/symbol"
        params: dict[str, Any] = {"symbol": sync.symbol, "limit": limit}
        halted = await http.post(status, json={"symbol": sync.symbol, "status": "HALT"})
        halted.raise_for_status()
        try:
            url = f"http://{exchange}{path}"
            answer = (await http.get(url, params=params)).raise_for_status().json()
            await self.until(lambda: sync.synced and sync.last_id == answer["lastUpdateId"], 60)
            sides = [tuple((float(p), float(s)) for p, s in answer[k]) for k in ("bids", "asks")]
            assert max(map(len, sides)) < limit, "else it is not all of the book"
            assert sync.book.levels() == tuple(sides)
        finally:
            await http.post(status, json={"symbol": sync.symbol, "status": "TRADING"})


async def met(admin: httpx.AsyncClient, url: str, kinds: tuple[str, ...]) -> None:
    """Wait until a fault of each of `kinds` has happened."""
    async with asyncio.timeout(60):
        while True:
            counts = (await admin.get(url)).json()["counts"]
            if all(counts.get(kind) for kind in kinds):
                return
            await asyncio.sleep(0.1)


async def test_feed_gets_live_and_survives_a_gap_and_a_disconnect(exchange: str) -> None:
    async with (
        AFeed(exchange, "BTC-USDT", "ETH-USDT") as feed,
        httpx.AsyncClient(timeout=30) as admin,
    ):
        await feed.live()
        first = dict(feed.epochs)
        await admin.post(f"http://{exchange}/admin/gap", json={"symbol": "BTCUSDT"})
        await feed.until(lambda: feed.epochs["BTC-USDT"] > first["BTC-USDT"])
        assert feed.epochs["ETH-USDT"] == first["ETH-USDT"], "the other book goes on"
        feed.states.clear()
        await admin.post(f"http://{exchange}/admin/disconnect")
        await feed.until(lambda: FeedState.DISCONNECTED in feed.states)
        await feed.until(lambda: not feed.shell.waiting() and feed.states[-1] is FeedState.LIVE)
        await feed.until(lambda: feed.epochs["ETH-USDT"] > first["ETH-USDT"])


async def test_feed_that_stops_says_so(exchange: str) -> None:
    async with AFeed(exchange, "BTC-USDT") as feed:
        await feed.until(lambda: not feed.shell.waiting())
    await feed.bus.settle()
    assert feed.states[-1] is FeedState.DISCONNECTED


async def test_stream_that_died_alone_is_subscribed_anew(exchange: str) -> None:
    # Where the machine stands still for so long, both streams are silent for too long.
    for stale_after_s in (1.0, 2.0, 4.0, 16.0):
        if await the_other_stream_goes_on(exchange, stale_after_s):
            return
    raise AssertionError("the other stream was subscribed anew each time")


async def the_other_stream_goes_on(exchange: str, stale_after_s: float) -> bool:
    async with AFeed(exchange, "BTC-USDT", "ETH-USDT", stale_after_s=stale_after_s) as feed:
        await feed.live()
        first = dict(feed.epochs)
        (connection,) = feed.shell.spec.edges
        assert isinstance(connection, VenueConnection)
        names = ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker"]
        await connection._lines[""]._links[-1].request(names, begin=False)
        await feed.until(lambda: feed.shell.telemetry.errors.get("resubscribed"))
        await feed.until(lambda: feed.epochs["BTC-USDT"] > first["BTC-USDT"])
        await feed.until(lambda: not feed.shell.waiting())
        is_whole = FeedState.DISCONNECTED not in feed.states
        return is_whole and feed.epochs["ETH-USDT"] == first["ETH-USDT"]


@pytest.mark.timeout(180)
async def test_books_are_right_behind_a_bad_wire(exchange: str) -> None:
    """Faults of all kinds for some seconds; then every book is the venue's, to the last level."""
    names = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
    async with (
        AFeed(exchange, *names, stale_after_s=2.0) as feed,
        httpx.AsyncClient(timeout=30) as admin,
    ):
        await feed.until(lambda: not feed.shell.waiting())
        wanted = dict.fromkeys(("drop", "duplicate", "reorder", "truncate", "corrupt"), 0.02)
        url = f"http://{exchange}/admin/faults"
        (await admin.post(url, json={"seed": 5, **wanted})).raise_for_status()
        await asyncio.sleep(4)
        (await admin.post(url, json={**wanted, "silent": ["ETHUSDT"]})).raise_for_status()
        await asyncio.sleep(4)
        core = feed.shell.spec.core
        assert isinstance(core, FeedCore)
        await met(admin, url, (*wanted, "silent"))
        await feed.until(lambda: core.gaps and core.rejected)
        (await admin.post(url, json={})).raise_for_status()
        await feed.until(lambda: not feed.shell.waiting(), 60)
        for name in names:
            await feed.until_equal(admin, exchange, core.syncs[name.replace("-", "")])


@pytest.mark.timeout(120)
async def test_book_that_ends_in_its_middle_is_asked_for_again(exchange: str) -> None:
    url = f"http://{exchange}/admin/faults"
    async with httpx.AsyncClient(timeout=30) as admin:
        try:
            (await admin.post(url, json={"cut": 1.0})).raise_for_status()
            async with AFeed(exchange, "BTC-USDT") as feed:
                errors = feed.shell.telemetry.errors
                await feed.until(lambda: errors.get("snapshot_failed", 0) > 1, 60)
                assert FeedState.LIVE not in feed.states
                (await admin.post(url, json={})).raise_for_status()
                await feed.until(lambda: not feed.shell.waiting())
                core = feed.shell.spec.core
                assert isinstance(core, FeedCore)
                await feed.until_equal(admin, exchange, core.syncs["BTCUSDT"])
        finally:
            (await admin.post(url, json={})).raise_for_status()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("hours", [1, -1])
async def test_venue_with_a_wrong_clock_is_named_and_its_books_stay_right(
    exchange: str, hours: int
) -> None:
    async with (
        AFeed(exchange, "BTC-USDT", clock_interval_s=0.2) as feed,
        httpx.AsyncClient(timeout=30) as admin,
    ):
        await feed.live()
        core = feed.shell.spec.core
        assert isinstance(core, FeedCore)
        epoch = feed.epochs["BTC-USDT"]
        url = f"http://{exchange}/admin/faults"
        try:
            (await admin.post(url, json={"clock_ms": hours * 3_600_000})).raise_for_status()
            await feed.until(lambda: feed.shell.telemetry.errors.get("clock_off"))
            assert round(feed.shell.telemetry.gauges["clock_offset_ms"] / 3_600_000) == hours
            await feed.until_equal(admin, exchange, core.syncs["BTCUSDT"])
        finally:
            (await admin.post(url, json={})).raise_for_status()
        await feed.until_equal(admin, exchange, core.syncs["BTCUSDT"])
        assert feed.epochs["BTC-USDT"] == epoch, "the book went on"
        assert set(feed.states) == {FeedState.SYNCING, FeedState.LIVE}


@pytest.mark.timeout(180)
async def test_futures_get_live_over_both_routes_and_survive_a_bad_wire(exchange: str) -> None:
    async with (
        AFeed(exchange, "BTC-USDT-PERP", "ETH-USDT-PERP", adapter="binance-usdm", stale_after_s=2.0)
        as feed,
        httpx.AsyncClient(timeout=30) as admin,
    ):  # fmt: skip
        heard: set[str] = set()

        async def hear(message: Message) -> None:
            heard.update(type(event).__name__ for event in decode(message.payload).events)

        await feed.bus.subscribe("md.>", hear)
        await feed.until(lambda: not feed.shell.waiting())
        await feed.until(lambda: {"Funding", "Trade", "Quote", "BookDelta"} <= heard)
        url = f"http://{exchange}/admin/faults"
        wanted = dict.fromkeys(("drop", "duplicate", "reorder", "truncate", "corrupt"), 0.03)
        (await admin.post(url, json={"seed": 9, **wanted})).raise_for_status()
        await asyncio.sleep(4)
        core = feed.shell.spec.core
        assert isinstance(core, FeedCore)
        await feed.until(lambda: core.gaps)
        (await admin.post(url, json={})).raise_for_status()
        await feed.until(lambda: not feed.shell.waiting(), 60)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            await feed.until_equal(admin, exchange, core.syncs[symbol], "/fapi/v1/depth", 1000)


async def test_faults_that_cannot_be_are_refused(exchange: str) -> None:
    async with httpx.AsyncClient(timeout=30) as admin:
        for wrong, said in (
            ({"drop": 2}, "drop"),
            ({"x": 1}, "x"),
            ({"silent": ["A"]}, "'A'"),
            ({"clock_ms": 10**9}, "clock_ms"),
        ):
            answer = await admin.post(f"http://{exchange}/admin/faults", json=wrong)
            assert (answer.status_code, said in answer.text) == (400, True)


async def test_recording_holds_whole_books_and_no_probes(exchange: str, tmp_path: Path) -> None:
    async with AFeed(exchange, "BTC-USDT", record=str(tmp_path)) as feed:
        await feed.until(lambda: not feed.shell.waiting())
        (connection,) = feed.shell.spec.edges
        assert isinstance(connection, VenueConnection)
        await connection._probe(ProbeBook(1, 1, "BTCUSDT"))
    (file,) = tmp_path.iterdir()
    asked = [m.url for m in Captures([file]) if m.kind == "rest" and "/depth" in m.url]
    assert asked
    assert all("limit=1000" in url for url in asked), "five levels are no book to begin with"


async def test_instrument_that_is_not_listed_is_named_and_the_others_go_on(
    exchange: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AFeed(exchange, "BTC-USDT", "BTX-USDT") as feed:
        await feed.until(lambda: not feed.shell.waiting())
    assert "BTX-USDT is not listed" in caplog.text
    assert "BTC-USDT" in caplog.text


async def test_list_that_could_not_be_read_again_is_asked_for_soon(
    exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickbus_feed.connection.delays_s", lambda *_: iter([0.01] * 9))
    async with AFeed(exchange, "BTC-USDT", instruments_interval_s=1.0) as feed:
        await feed.until(lambda: not feed.shell.waiting())
        (connection,) = feed.shell.spec.edges
        assert isinstance(connection, VenueConnection)
        asked = 0

        async def fail_twice() -> None:
            nonlocal asked
            asked += 1
            # From now on the usual interval would take longer than this test.
            connection._config = msgspec.structs.replace(
                connection._config, instruments_interval_s=3600.0
            )
            if asked < 3:
                raise VenueUnavailable("not now")

        monkeypatch.setattr(connection, "_read_list", fail_twice)
        await feed.until(lambda: asked == 3)
        assert feed.shell.telemetry.errors["instruments_not_refreshed"] == 2


async def test_venue_that_cannot_be_reached_is_waited_for_by_name() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with AFeed(address, "BTC-USDT") as feed:
        await feed.until(lambda: "instruments" in str(feed.shell.waiting()))
        assert address in str(feed.shell.waiting())
        assert feed.shell.failure is None


@pytest.fixture
async def echo() -> AsyncIterator[tuple[str, list[ServerConnection]]]:
    connections: list[ServerConnection] = []

    async def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/stream", connections


async def test_stream_hands_over_whole_messages_in_order(
    echo: tuple[str, list[ServerConnection]],
) -> None:
    url, connections = echo
    got: list[bytes] = []
    reads: list[int] = []

    def on_messages(messages: list[bytes]) -> None:
        got.extend(messages)
        reads.append(len(messages))

    stream = await FrameStream.connect(url, on_messages, timeout_s=30)
    while not connections:
        await asyncio.sleep(0.01)
    venue = connections[0]
    stream.pause()
    for number in range(50):
        await venue.send(f"message {number}")
    await venue.send(["in ", "three ", "parts"])
    await venue.ping()
    await asyncio.sleep(0.05)
    stream.resume()
    async with asyncio.timeout(30):
        while len(got) < 51:
            await asyncio.sleep(0.01)
    assert got == [*(b"message %d" % n for n in range(50)), b"in three parts"]
    assert max(reads) > 10, "a backlog comes as one list"
    await venue.close(1012, "restart")
    assert "1012" in await asyncio.wait_for(stream.closed, 30)


async def test_refused_connection_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await FrameStream.connect(
            f"ws://127.0.0.1:{free_port()}/", lambda messages: None, timeout_s=30
        )


async def test_venue_that_asks_for_silence_gets_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "7"})

    budget = WeightBudget(MemoryBus(), ManualClock(1_700_000_000 * 10**9), "venue.default")
    client = RestClient("http://venue", budget)
    client._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    with pytest.raises(VenueUnavailable, match=r"429, the venue asks for 7 s of silence"):
        await client.get(Request("/api/v3/depth", {"symbol": "BTCUSDT"}, 5))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.acquire(1), 0.2)
    await client.close()


async def test_weight_is_counted_as_the_venue_counts_it() -> None:
    # Its minute does not end in the middle.
    clock = ManualClock(1_700_000_000 * 10**9)
    budget = WeightBudget(MemoryBus(), clock, "venue.default", limit=100)
    await budget.acquire(10)
    await budget.learn(httpx.Headers({"X-MBX-USED-WEIGHT-1M": "75"}))
    assert budget.used == 75
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.acquire(10), 0.2)
    assert budget.used == 75, "what was not spent is not counted"
