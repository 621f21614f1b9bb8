"""Connections: recorded, renewed before they end, several where one does not hold all streams."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tickbus.captures import Captures
from tickbus.clock import WallClock
from tickbus.events import BookDelta, Event, FeedState, FeedStatus, Instrument, Trade
from tickbus_feed.adapter import Adapter
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.line import Line, Wiring
from tickbus_feed.recorder import Recorder
from tickbus_feed.service import adapter_named
from tickbus_feed.venue import (
    Reconnect,
    Renew,
    Resubscribe,
    SnapshotAnswer,
    VenueConnected,
    VenueDisconnected,
    VenueFrame,
)
from tickbus_testkit.venues import VENUES, Market, Session


class Venue:
    """A WebSocket server that acknowledges and says what it is told to."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.asked: list[list[Any]] = []
        self.refuse = False
        self.refuse_after_s = 0.0
        self.refused = 0
        self.url = ""

    async def serve(self, connection: ServerConnection) -> None:
        if self.refuse:
            self.refused += 1
            await asyncio.sleep(self.refuse_after_s)
            await connection.close(1013, "try later")
            return
        self.connections.append(connection)
        asked: list[Any] = []
        self.asked.append(asked)
        async for message in connection:
            asked += [json.loads(message)]

    async def say(self, payload: bytes, which: int = -1) -> None:
        await self.connections[which].send(payload, text=True)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that stands still for some seconds is there."""
    monkeypatch.setattr("tickbus_feed.line.CONNECT_TIMEOUT_S", 60.0)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    made = Venue()
    async with serve(made.serve, "127.0.0.1", 0) as server:
        made.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield made


async def until(what: Callable[[], Any], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not what():
            await asyncio.sleep(0.01)


def a_wiring(venue: Venue, adapter: Adapter, heard: list[Event], **config: Any) -> Wiring:
    # Where silence is not what a test is about, a standstill is not taken for one.
    made = FeedConfig(**{"first_event_s": 120.0, **config})
    return Wiring("sim", venue.url, adapter, made, WallClock(), heard.extend, lambda _: None)


def only(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if type(event) is kind]


async def run(line: Line, work: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(line.run())
    try:
        await work()
    finally:
        await line.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_connection_is_replaced_before_it_is_given_up(venue: Venue) -> None:
    heard: list[Event] = []
    adapter = adapter_named("binance")
    wiring = a_wiring(venue, adapter, heard, overlap_s=3600.0)
    line = Line("", wiring, lambda: ["a@depth", "b@depth"])

    async def work() -> None:
        await until(lambda: venue.asked and venue.asked[0])
        first = only(VenueConnected, heard)[0].link
        line.renew(first)
        await until(lambda: len(venue.connections) == 2 and venue.asked[1])
        await venue.say(b"old", 0)
        await venue.say(b"new", 1)
        await until(lambda: len(only(VenueFrame, heard)) == 2)
        assert only(VenueDisconnected, heard) == [], "both deliver for a while"
        assert venue.asked[1] == [{**venue.asked[0][0], "id": venue.asked[1][0]["id"]}]
        await venue.connections[0].close()
        await until(lambda: only(VenueDisconnected, heard))
        assert only(VenueDisconnected, heard)[0].link == first
        line.renew(first)
        await asyncio.sleep(0.1)
        assert len(venue.connections) == 2, "what was replaced is not replaced again"
        wiring.config = FeedConfig(overlap_s=0.1)
        second = only(VenueConnected, heard)[1].link
        line.renew(second)
        await until(lambda: len(only(VenueDisconnected, heard)) == 2)
        assert only(VenueDisconnected, heard)[1].link == second, "and for no longer than that"
        await until(lambda: venue.connections[1].close_code is not None)

    await run(line, work)


@pytest.mark.parametrize("after_s", [0.0, 0.5])
async def test_connection_that_cannot_be_replaced_goes_on(
    venue: Venue, monkeypatch: pytest.MonkeyPatch, after_s: float
) -> None:
    venue.refuse_after_s = after_s
    monkeypatch.setattr("tickbus_feed.line.delays_s", lambda *_: iter([3600.0]))
    heard: list[Event] = []
    line = Line("", a_wiring(venue, adapter_named("binance"), heard, overlap_s=60.0), lambda: ["a"])

    async def work() -> None:
        await until(lambda: venue.asked and venue.asked[0])
        venue.refuse = True
        line.renew(only(VenueConnected, heard)[0].link)
        await until(lambda: only(VenueDisconnected, heard))
        await venue.say(b"still here", 0)
        await until(lambda: only(VenueFrame, heard))
        gone = only(VenueDisconnected, heard)[0].link
        assert gone != only(VenueFrame, heard)[0].link
        await asyncio.sleep(1.0)
        assert venue.refused == 1, "the venue is asked again after a while, not at once"

    await run(line, work)


async def test_lifetime_ends_before_the_venue_ends_it(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    adapter = adapter_named("binance")
    adapter.lifetime_s = 0.8
    line = Line("", a_wiring(venue, adapter, heard, overlap_s=0.05), lambda: ["a"])

    async def work() -> None:
        await until(lambda: len(venue.connections) >= 3)

    await run(line, work)


async def test_line_tells_when_it_asked_for_a_stream(venue: Venue) -> None:
    adapter = adapter_named("binance")
    adapter.batch_max, adapter.pause_s = 1, 0.1
    names = [f"{letter}@depth" for letter in "abc"]
    line = Line("", a_wiring(venue, adapter, []), lambda: names)

    async def work() -> None:
        def told() -> list[str]:
            return [name for message in venue.asked[0] for name in message["params"]]

        await line.until_asked(names[:2])
        assert line.asked >= {*names[:2]}
        await until(lambda: len(told()) >= 2)
        await line.until_asked(names)
        await until(lambda: told() == names)

    await run(line, work)


class Seconds:
    """A monotonic clock that tests move."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    clock = Seconds()
    for module in ("tickbus_feed.line", "tickbus.websocket"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


async def test_quiet_connection_that_answers_is_kept(venue: Venue, seconds: Seconds) -> None:
    wiring = a_wiring(venue, adapter_named("binance"), [], first_event_s=1.0)
    line = Line("", wiring, lambda: ["trades:BTC-USDT"])

    async def work() -> None:
        await until(lambda: venue.asked and venue.asked[0])
        (stream,) = line.streams
        for _ in range(10):  # three seconds by the wall, in which the line looks at it
            seconds.now += 0.9
            await until(lambda: stream.heard_at == seconds.now)
        assert line.streams == [stream]
        assert len(venue.connections) == 1

    await run(line, work)


async def test_talker_that_fell_silent_is_not_kept(venue: Venue, seconds: Seconds) -> None:
    wiring = a_wiring(venue, adapter_named("binance-usdm"), [], first_event_s=1.0)
    line = Line("market", wiring, lambda: ["trades:BTC-USDT"])

    async def work() -> None:
        await until(lambda: venue.asked and venue.asked[0])
        (stream,) = line.streams
        seconds.now += 0.9
        await until(lambda: stream.heard_at == seconds.now)
        seconds.now += 0.9
        await until(lambda: len(venue.connections) > 1)

    await run(line, work)


async def test_stream_wanted_while_the_connection_is_made_is_asked_for(venue: Venue) -> None:
    names = ["a@depth"]
    line = Line("", a_wiring(venue, adapter_named("binance"), []), lambda: names)

    async def work() -> None:
        names.append("b@depth")
        await line.resubscribe(["b@depth"])
        assert "b@depth" not in line.asked, "nothing was sent yet"
        await until(lambda: venue.asked and venue.asked[0])
        assert venue.asked[0][0]["params"] == ["a@depth", "b@depth"]

    await run(line, work)


async def test_ping_is_sent_where_the_venue_wants_to_hear_from_us(venue: Venue) -> None:
    heard: list[Event] = []
    adapter = adapter_named("bybit")
    adapter.ping_every_s = 0.05
    line = Line("spot", a_wiring(venue, adapter, heard), lambda: ["publicTrade.BTCUSDT"])

    async def work() -> None:
        await until(lambda: venue.asked and {"op": "ping"} in venue.asked[0])

    await run(line, work)


async def test_what_is_recorded_is_what_is_read_again(venue: Venue, tmp_path: Path) -> None:
    heard: list[Event] = []
    wiring = a_wiring(venue, adapter_named("binance"), heard)
    wiring.recorder = Recorder(tmp_path / "raw", "sim")
    wiring.recorder.start()
    line = Line("", wiring, lambda: ["btcusdt@trade"])
    frames = [b'{"stream":"btcusdt@trade"}', '{"s":"牛"}'.encode(), b"\xff\xfe no text"]

    async def work() -> None:
        await until(lambda: venue.asked and venue.asked[0])
        for frame in frames:
            await venue.connections[0].send(frame)
        await until(lambda: len(only(VenueFrame, heard)) == 3)

    await run(line, work)
    wiring.recorder.answered(time.time_ns(), "http://x/depth?symbol=BTCUSDT", b'{"bids":[]}')
    wiring.recorder.close()
    (file,) = (tmp_path / "raw").iterdir()
    messages = list(Captures([file]))
    assert [m.payload for m in messages if m.kind == "frame"] == frames
    assert {m.url for m in messages if m.kind == "frame"} == {f"{venue.url}/stream"}
    assert {m.link for m in messages if m.kind == "frame"} == {1}
    assert [m.ts_recv for m in messages if m.kind == "frame"] == [
        e.ts_recv for e in only(VenueFrame, heard)
    ]
    assert [m.kind for m in messages if m.kind != "frame"] == [
        "connect", "sent", "disconnect", "rest",
    ]  # fmt: skip
    assert wiring.recorder.lost == 0


def test_recording_where_nothing_can_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Recorder(tmp_path / "file", "sim").start()


async def test_recording_goes_on_once_the_disk_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RETRY_S", 0.05), ("FLUSH_S", 0.02), ("FILE_SECONDS_MAX", 0.05)):
        monkeypatch.setattr(f"tickbus_feed.recorder.{name}", value)
    directory, elsewhere = tmp_path / "raw", tmp_path / "unmounted"
    recorder = Recorder(directory, "sim")
    recorder.start()
    recorder.connected(1, "sim.0", "ws://venue/stream")
    await until(lambda: recorder.written == 1)
    directory.rename(elsewhere)
    await until(lambda: recorder.failure)
    recorder.received(2, "sim.0", b"{}")
    elsewhere.rename(directory)
    await until(lambda: recorder.written == 2 and not recorder.failure)
    recorder.close()
    messages = list(Captures(sorted(directory.iterdir())))
    assert [m.payload for m in messages if m.kind == "frame"] == [b"{}"]
    assert {m.url for m in messages if m.kind == "frame"} == {"ws://venue/stream"}


# -- the core, with several connections ------------------------------------------------------------


def an_instrument(venue: str, number: int = 0) -> Instrument:
    said = VENUES[venue]
    name = said.instrument_id if not number else f"C{number}-USDT"
    symbol = said.symbol if not number else f"C{number}USDT"
    one = Decimal("0.1")
    return Instrument(venue, name, symbol, name.split("-")[0], "USDT", one, one)


@pytest.mark.parametrize("venue_name", list(VENUES))
def test_book_goes_on_while_one_connection_takes_over(venue_name: str) -> None:
    said, adapter = VENUES[venue_name], adapter_named(venue_name)
    market = Market(random.Random(3))
    sessions = {1: Session(market), 2: Session(market)}
    core, now = FeedCore(FeedConfig(), venue_name, adapter), 1_700_000_000 * 10**9
    core.handle(an_instrument(venue_name))

    def give(payload: bytes, link: int) -> list[Event]:
        return list(core.handle(VenueFrame(now, now, payload, said.line, link)))

    def connect(link: int) -> None:
        for line in core.streams:
            core.handle(VenueConnected(now, now, line, link))
        if adapter.books_in_stream:
            give(said.whole(sessions[link]), link)
        elif link == 1:
            core.handle(SnapshotAnswer(now, now, said.symbol, said.whole(sessions[1])))

    connect(1)
    (sync,) = core.syncs.values()
    for step in range(30):
        changes = market.step()
        if step == 10:
            connect(2)
        elif step == 20:
            for line in core.streams:
                core.handle(VenueDisconnected(now, now, "replaced", line, 1))
        for link in (1, 2):
            if (link == 1 and step < 20) or (link == 2 and step > 10):
                give(said.change(sessions[link], changes), link)
        assert core.states[sync.instrument_id] is FeedState.LIVE
    assert (sync.gaps, sync.resyncs) == (0, 0)
    latest = market.history[-1]
    assert dict(sync.book.levels()[0]) == {p / 10: s / 1000 for p, s in latest["b"].items()}


@pytest.mark.parametrize(("books", "asked"), [(3, Resubscribe), (30, Reconnect)])
def test_gap_that_may_be_in_any_book_costs_all_of_them(books: int, asked: type) -> None:
    core = FeedCore(FeedConfig(), "coinbase", adapter_named("coinbase"))
    names = [f"C{n}-USD" for n in range(books)]
    one = Decimal("0.1")
    for name in names:
        core.handle(Instrument("coinbase", name, name, name[:-4], "USD", one, one))
    core.handle(VenueConnected(1, 1, "", 1))

    def say(number: int, name: str, kind: str) -> list[Event]:
        updates = [
            {"side": side, "event_time": "", "price_level": price, "new_quantity": "1"}
            for side, price in (("bid", "9"), ("offer", "10"))
        ]
        event = {"type": kind, "product_id": name, "updates": updates}
        frame = {"channel": "l2_data", "timestamp": "2026-08-09T21:05:48Z", "events": [event]}
        payload = msgspec.json.encode({**frame, "sequence_num": number})
        return list(core.handle(VenueFrame(2, 2, payload, "", 1)))

    for number, name in enumerate(names):
        say(number, name, "snapshot")
    assert set(core.states.values()) == {FeedState.LIVE}
    out = say(books + 1, names[0], "update")
    wishes = [event for event in out if isinstance(event, Resubscribe | Reconnect)]
    assert {type(wish) for wish in wishes} == {asked}
    assert set(core.states.values()) == {FeedState.SYNCING}
    assert core.gaps == core.resyncs == books


def test_repeated_trade_is_told_once() -> None:
    core = FeedCore(FeedConfig(), "binance", adapter_named("binance"))
    core.handle(an_instrument("binance"))
    data = {"e": "trade", "E": 5, "s": "BTCUSDT", "t": 7, "p": "9.5", "q": "0.2", "T": 4, "m": True}
    frame = json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":")).encode()
    told = [e for link in (1, 2) for e in core.handle(VenueFrame(1, 1, frame, "", link))]
    assert [type(event) for event in told] == [Trade]


def test_farewell_of_the_venue_asks_for_another_connection() -> None:
    core = FeedCore(FeedConfig(), "binance", adapter_named("binance"))
    for frame in (
        b'{"e":"serverShutdown","E":1}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
    ):
        (wish,) = core.handle(VenueFrame(1, 1, frame, "public", 4))
        assert isinstance(wish, Renew)
        assert (wish.line, wish.link) == ("public", 4)


def test_more_streams_than_a_connection_takes_get_another_line() -> None:
    adapter = adapter_named("binance-usdm")
    core = FeedCore(FeedConfig(), "binance-usdm", adapter)
    for number in range(1, 251):
        core.handle(an_instrument("binance-usdm", number))
    assert {"public", "public#1", "market", "market#1"} < set(core.streams)
    assert all(len(names) <= adapter.streams_max for names in core.streams.values())
    assert sum(map(len, core.streams.values())) == 250 * 5
    assert adapter.url("wss://fstream.binance.com", "market") == (
        "wss://fstream.binance.com/market/stream"
    )


def test_instrument_without_its_trades_is_not_called_live() -> None:
    core = FeedCore(FeedConfig(), "binance-usdm", adapter_named("binance-usdm"))
    core.handle(an_instrument("binance-usdm"))
    core.handle(VenueConnected(1, 1, "public", 1))
    book = {"lastUpdateId": 100, "bids": [["9", "1"]], "asks": [["10", "1"]]}
    core.handle(SnapshotAnswer(1, 1, "BTCUSDT", json.dumps(book).encode()))
    assert core.states["BTC-USDT-PERP"] is FeedState.STALE
    core.handle(VenueConnected(2, 2, "market", 2))
    data = {"e": "depthUpdate", "E": 5, "s": "BTCUSDT", "U": 99, "u": 101, "pu": 98, "b": [],
            "a": [["10", "2"]]}  # fmt: skip
    frame = msgspec.json.encode({"stream": "btcusdt@depth@100ms", "data": data})
    out = core.handle(VenueFrame(3, 3, frame, "public", 1))
    assert only(BookDelta, list(out))
    assert str(core.states["BTC-USDT-PERP"]) == "LIVE"
    (status,) = core.handle(VenueDisconnected(4, 4, "cut", "market", 2))
    assert isinstance(status, FeedStatus)
    assert status.state is FeedState.STALE
