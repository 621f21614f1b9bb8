"""The feed's core: given frames and answers, then market events."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.config import ConfigError, Settings
from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    KeyframeWanted,
    Quote,
    Recovered,
    SetTimer,
    Side,
    TimerFired,
    Trade,
)
from tickbus.orderbook import BookReplica, NaiveOrderBook
from tickbus_feed.adapter import Unreadable
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.service import build
from tickbus_feed.venue import (
    FetchSnapshot,
    FrameRejected,
    ProbeAnswer,
    ProbeBook,
    Reconnect,
    Resubscribe,
    SnapshotAnswer,
    VenueConnected,
    VenueDisconnected,
    VenueFrame,
)
from tickbus_feed.venues.binance import Binance, BinanceUsdm

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
BOOK = {"lastUpdateId": 100, "bids": [["9.0", "1.0"]], "asks": [["11.0", "1.0"]]}


def an_instrument(symbol: str = "BTCUSDT", name: str = "BTC-USDT") -> Instrument:
    base, quote = name.split("-")
    return Instrument("sim", name, symbol, base, quote, Decimal("0.1"), Decimal("0.1"))


def a_feed(*events: Event, futures: bool = False) -> FeedCore:
    dialect = BinanceUsdm() if futures else Binance()
    core = FeedCore(FeedConfig(), "sim", dialect)
    core.handle(an_instrument())
    core.handle(an_instrument("ETHUSDT", "ETH-USDT"))
    connected = (VenueConnected(NOW, NOW, line) for line in core.streams)
    for event in (*connected, *events):
        core.handle(event)
    return core


def frame(stream: str, data: dict[str, Any], ts: int = NOW) -> VenueFrame:
    text = json.dumps({"stream": stream, "data": data}, separators=(",", ":"))
    return VenueFrame(ts, ts, text.encode())


def diff(
    first: int, last: int, *, bids: Iterable[Sequence[str]] = (),
    asks: Iterable[Sequence[str]] = (),
    ts: int = NOW, symbol: str = "BTCUSDT", previous: int | None = None,
) -> VenueFrame:  # fmt: skip
    data: dict[str, Any] = {
        "e": "depthUpdate", "E": ts // 10**6, "s": symbol, "U": first, "u": last,
        "b": list(bids), "a": list(asks),
    }  # fmt: skip
    if previous is not None:
        data["pu"] = previous
    return frame(f"{symbol.lower()}@depth@100ms", data, ts)


def a_snapshot(update_id: int = 100, symbol: str = "BTCUSDT", ts: int = NOW) -> SnapshotAnswer:
    return SnapshotAnswer(ts, ts, symbol, json.dumps({**BOOK, "lastUpdateId": update_id}).encode())


def only(kind: type, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if type(event) is kind]


def test_connected_feed_asks_for_every_book() -> None:
    core = FeedCore(FeedConfig(), "sim", Binance())
    core.handle(an_instrument())
    out = core.handle(VenueConnected(NOW, NOW))
    assert [wish.symbol for wish in only(FetchSnapshot, out)] == ["BTCUSDT"]
    assert [status.state for status in only(FeedStatus, out)] == [FeedState.SYNCING]


def test_snapshot_then_bridging_diff_makes_the_book_live() -> None:
    core = a_feed(diff(95, 99), diff(100, 102, bids=[["9.5", "2.0"]]))
    snapshot, delta, live = core.handle(a_snapshot(100))
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.sequence, snapshot.bids) == (0, ((9.0, 1.0),))
    assert isinstance(delta, BookDelta)
    assert (delta.epoch, delta.sequence, delta.venue_sequence) == (snapshot.epoch, 1, 102)
    assert isinstance(live, FeedStatus)
    assert live.state is FeedState.LIVE


def test_sequence_rises_by_one_and_old_diffs_are_ignored() -> None:
    core = a_feed(a_snapshot(100))
    sequences = [
        event.sequence
        for message in (diff(101, 103), diff(99, 100), diff(101, 103), diff(104, 104))
        for event in only(BookDelta, core.handle(message))
    ]
    assert sequences == [1, 2]


def test_gap_resynchronises_that_instrument_alone_in_a_new_epoch() -> None:
    core = a_feed(a_snapshot(100), a_snapshot(100, "ETHUSDT"), diff(101, 101))
    (first,) = only(BookDelta, core.handle(diff(102, 102)))
    out = core.handle(diff(105, 106))
    assert [s.state for s in only(FeedStatus, out)] == [FeedState.SYNCING]
    assert [w.symbol for w in only(FetchSnapshot, out)] == ["BTCUSDT"]
    assert core.gaps == 1
    assert only(BookDelta, core.handle(diff(101, 101, symbol="ETHUSDT"))), "ETH goes on"
    out = core.handle(a_snapshot(106, ts=NOW + SECOND))
    (again,) = only(BookSnapshot, out)
    assert again.epoch > first.epoch
    assert only(FeedStatus, out)[-1].state is FeedState.LIVE


def test_snapshot_older_than_what_was_buffered_is_asked_for_again_later() -> None:
    core = a_feed(diff(150, 151))
    (wish,) = core.handle(a_snapshot(100))
    assert isinstance(wish, FetchSnapshot)
    assert wish.at_ns > NOW, "with a back-off"


def test_failed_snapshot_is_asked_for_again_with_growing_delay() -> None:
    core = a_feed()
    delays = []
    for _ in range(6):
        (wish,) = core.handle(SnapshotAnswer(NOW, NOW, "BTCUSDT", b"", "503"))
        assert isinstance(wish, FetchSnapshot)
        delays.append(wish.at_ns - NOW)
    assert delays[0] < delays[-1] <= 30 * SECOND


def test_book_that_breaks_within_the_buffer_is_never_called_live() -> None:
    buffered = (
        diff(101, 101, bids=[["12.0", "1.0"]]), diff(102, 102, bids=[["12.0", "0"]]), diff(103, 103)
    )  # fmt: skip
    core = a_feed(*buffered)
    out = core.handle(a_snapshot(100))
    assert only(BookDelta, out) == []
    assert len(only(FetchSnapshot, out)) == 1
    assert core.states["BTC-USDT"] is FeedState.SYNCING
    out = core.handle(a_snapshot(102))
    assert [d.venue_sequence for d in only(BookDelta, out)] == [103], "it was kept"


def test_book_that_breaks_again_and_again_is_asked_for_ever_more_slowly() -> None:
    core, delays = a_feed(a_snapshot(100)), []
    for update_id in range(110, 210, 10):
        (wish,) = only(FetchSnapshot, core.handle(diff(update_id, update_id)))
        delays.append(wish.at_ns - NOW)
        core.handle(a_snapshot(update_id))
    assert 0 < delays[0] < 10 * SECOND < delays[-1]
    later = NOW + 60 * SECOND
    core.handle(diff(201, 201, ts=later))
    (wish,) = only(FetchSnapshot, core.handle(diff(300, 300, ts=later)))
    assert wish.at_ns == later, "a book that held for long is new trouble"


@pytest.mark.parametrize(
    "payload",
    [
        diff(101, 101, ts=2**62 * 10**6), diff(101, 2**70), diff(101, 101, bids=[["nan", "1"]]),
        diff(101, 101, asks=[["inf", "1"]]), diff(101, 101, bids=[["9.5", "-1"]]),
        diff(101, 101, bids=[["-9.5", "1"]]), diff(101, 101, bids=[["9.5", "NaN"]]),
    ],
    ids=["time", "id", "nan", "infinity", "negative size", "negative price", "nan size"],
)  # fmt: skip
def test_impossible_numbers_are_refused_and_the_feed_lives_on(payload: VenueFrame) -> None:
    core = a_feed(a_snapshot(100))
    (rejected,) = core.handle(payload)
    assert isinstance(rejected, FrameRejected)
    assert only(BookDelta, core.handle(diff(101, 101)))


def test_futures_follow_the_previous_id_and_not_contiguity() -> None:
    core = a_feed(diff(90, 105, previous=80), futures=True)
    assert only(BookSnapshot, core.handle(a_snapshot(100)))
    assert only(BookDelta, core.handle(diff(200, 210, previous=105)))
    core.handle(diff(211, 220, previous=209))
    assert core.gaps == 1


def test_crossed_book_is_never_published() -> None:
    core = a_feed(a_snapshot(100))
    out = core.handle(diff(101, 101, bids=[["12.0", "1.0"]]))
    assert only(BookDelta, out) == []
    assert [s.state for s in only(FeedStatus, out)] == [FeedState.SYNCING]
    assert core.crossed == 1


def test_trades_and_quotes_are_normalised() -> None:
    core = a_feed()
    data = {"e": "trade", "E": 5, "s": "BTCUSDT", "t": 7, "p": "9.5", "q": "0.2", "T": 4, "m": True}
    (trade,) = core.handle(frame("btcusdt@trade", data))
    assert trade == Trade(
        4_000_000, NOW, "sim", "BTC-USDT", "7", 9.5, 0.2, aggressor_side=Side.SELL
    )
    data = {"u": 8, "s": "BTCUSDT", "b": "9.0", "B": "1.0", "a": "9.1", "A": "2.0"}
    (quote,) = core.handle(frame("btcusdt@bookTicker", data))
    assert quote == Quote(NOW, NOW, "sim", "BTC-USDT", 9.0, 1.0, 9.1, 2.0, 8)


def test_keyframe_is_repeated_for_who_asks_but_not_for_each_who_does() -> None:
    core = a_feed(a_snapshot(100))
    core.handle(diff(101, 101, ts=NOW + 2 * SECOND))
    wish = KeyframeWanted(NOW + SECOND, NOW + SECOND, "sim", "BTC-USDT")
    (keyframe,) = core.handle(wish)
    assert isinstance(keyframe, BookSnapshot)
    assert keyframe.ts_recv == NOW + 2 * SECOND, "its time does not go back behind the change"
    assert not core.handle(wish)
    assert not core.handle(KeyframeWanted(NOW + SECOND, NOW + SECOND, "sim", "XRP-USDT"))


def test_keyframe_repeats_the_book_in_the_same_epoch() -> None:
    core = a_feed(a_snapshot(100))
    out = core.handle(diff(101, 101, bids=[["9.5", "1.0"]], ts=NOW + 16 * SECOND))
    delta, keyframe = out
    assert isinstance(delta, BookDelta)
    assert isinstance(keyframe, BookSnapshot)
    assert (keyframe.epoch, keyframe.sequence) == (delta.epoch, delta.sequence)
    assert keyframe.bids == ((9.5, 1.0), (9.0, 1.0))


def test_silent_book_becomes_stale_and_live_again_with_the_next_change() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    later = NOW + 11 * SECOND
    out = core.handle(TimerFired(later, later, "feed"))
    assert FeedState.STALE in [s.state for s in only(FeedStatus, out)]
    out = core.handle(diff(102, 102, ts=later))
    assert [s.state for s in only(FeedStatus, out)] == [FeedState.LIVE]


def tick(core: FeedCore, seconds: float) -> Sequence[Event]:
    now = NOW + int(seconds * SECOND)
    return core.handle(TimerFired(now, now, "feed"))


def probed(core: FeedCore, update_id: int, seconds: float) -> Sequence[Event]:
    now = NOW + int(seconds * SECOND)
    body = json.dumps({**BOOK, "lastUpdateId": update_id}).encode()
    return core.handle(ProbeAnswer(now, now, "BTCUSDT", body))


def test_quiet_market_is_confirmed_and_never_called_stale() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    states, asked = set[FeedState](), 0
    for second in range(1, 600):
        out = tick(core, second)
        states |= {s.state for s in only(FeedStatus, out) if s.instrument_id == "BTC-USDT"}
        for _ in [p for p in only(ProbeBook, out) if p.symbol == "BTCUSDT"]:
            asked += 1
            probed(core, 101, second + 0.1)
    assert states == {FeedState.LIVE}
    assert 10 < asked < 30, "ever less often, up to a bound"


def test_dead_stream_is_subscribed_anew_and_its_book_synchronised() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    assert [p.symbol for p in only(ProbeBook, tick(core, 6))] == ["BTCUSDT"]
    assert probed(core, 150, 6.1) == ()
    out = tick(core, 7.1)
    assert [r.symbol for r in only(Resubscribe, out)] == ["BTCUSDT"]
    assert [w.symbol for w in only(FetchSnapshot, out)] == ["BTCUSDT"]
    assert FeedState.SYNCING in [s.state for s in only(FeedStatus, out)]


def test_change_on_its_way_when_the_venue_was_asked_is_no_dead_stream() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    tick(core, 6)
    probed(core, 102, 6.1)
    core.handle(diff(102, 102, ts=NOW + int(6.15 * SECOND)))
    assert only(Resubscribe, tick(core, 7.2)) == []


def test_stream_that_stays_dead_costs_the_connection() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    second, out = 0.0, list[Event]()
    while not only(Reconnect, out):
        second += 1
        assert second < 200
        out = list(tick(core, second))
        if only(ProbeBook, out):
            probed(core, 10_000 + int(second), second + 0.1)
        for wish in only(FetchSnapshot, out):
            now = NOW + int((second + 0.2) * SECOND)
            body = json.dumps({**BOOK, "lastUpdateId": 200 + int(second)}).encode()
            core.handle(SnapshotAnswer(now, now, wish.symbol, body, "", wish.number))


def test_answer_to_an_older_wish_is_not_taken() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    (first,) = only(FetchSnapshot, core.handle(diff(105, 106)))
    core.handle(VenueDisconnected(NOW, NOW, "cut"))
    out = core.handle(VenueConnected(NOW, NOW))
    (second,) = [w for w in only(FetchSnapshot, out) if w.symbol == "BTCUSDT"]
    body = json.dumps({**BOOK, "lastUpdateId": 200}).encode()
    assert core.handle(SnapshotAnswer(NOW, NOW, "BTCUSDT", body, "", first.number)) == ()
    assert core.handle(SnapshotAnswer(NOW, NOW, "BTCUSDT", body, "", second.number))


def test_dated_future_is_another_instrument_than_the_perpetual() -> None:
    entries = [
        {"symbol": symbol, "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING"}
        for symbol in ("BTCUSDT", "BTCUSDT_260327")
    ]
    payload = json.dumps({"symbols": entries}).encode()
    found = {i.instrument_id: i.symbol for i in BinanceUsdm().instruments(payload, "binance-usdm")}
    assert found == {"BTC-USDT": "BTCUSDT", "BTC-USDT-260327": "BTCUSDT_260327"}


def test_snapshot_size_that_the_venue_does_not_know_is_refused() -> None:
    venue = {
        "name": "x", "adapter": "binance-usdm", "rest_url": "http://x", "ws_url": "ws://x",
        "ws_api_url": "ws://x", "instruments": ["BTC-USDT"], "fees": {"maker": "0", "taker": "0"},
    }  # fmt: skip
    wrong = Settings({"venue": venue, "feed": {"snapshot_levels": 200}})
    with pytest.raises(ConfigError, match=r"feed.snapshot_levels = 200: .* one of 5, 10, 20"):
        build(wrong)


def test_instrument_listed_later_is_subscribed_on_the_connection_there_is() -> None:
    core = a_feed(a_snapshot(100))
    later = msgspec.structs.replace(an_instrument(), symbol="NEWUSDT", instrument_id="NEW-USDT")
    out = core.handle(later)
    assert [type(event) for event in out] == [FeedStatus, Resubscribe, FetchSnapshot]
    assert {event.symbol for event in [*only(Resubscribe, out), *only(FetchSnapshot, out)]} == {
        "NEWUSDT"
    }
    assert core.handle(later) == ()


def test_disconnect_is_told_and_nothing_of_before_is_trusted() -> None:
    core = a_feed(a_snapshot(100), diff(101, 101))
    out = core.handle(VenueDisconnected(NOW, NOW, "cut"))
    assert {s.state for s in only(FeedStatus, out)} == {FeedState.DISCONNECTED}
    core.handle(VenueConnected(NOW, NOW))
    assert only(BookDelta, core.handle(diff(102, 102))) == [], "buffered until a new snapshot"


def test_feed_sets_its_timer_once_live() -> None:
    (timer,) = a_feed().handle(Recovered(NOW, NOW))
    assert isinstance(timer, SetTimer)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"[]", b"null", b'{"stream":"btcusdt@depth@100ms"}',
        b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","p":"x"}}',
        b'{"error":{"code":2,"msg":"bad"},"id":1}', b"\xff\xfe",
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1}}',
    ],
)  # fmt: skip
def test_malformed_frame_is_handed_back_and_the_feed_lives_on(payload: bytes) -> None:
    core = a_feed(a_snapshot(100))
    (rejected,) = core.handle(VenueFrame(NOW, NOW, payload))
    assert isinstance(rejected, FrameRejected)
    assert rejected.payload == payload
    assert only(BookDelta, core.handle(diff(101, 101)))


def test_answers_and_foreign_messages_are_counted_as_ignored() -> None:
    core = a_feed()
    assert core.handle(VenueFrame(NOW, NOW, b'{"result":null,"id":1}')) == ()
    assert core.handle(frame("x@kline_1m", {"e": "kline", "s": "BTCUSDT"})) == ()
    assert core.handle(diff(1, 2, symbol="XRPUSDT")) == ()
    assert sum(core.ignored.values()) == 3


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@settings(max_examples=500)
def test_no_bytes_make_the_adapter_do_anything_but_refuse(payload: bytes) -> None:
    for wrapped in (payload, b'{"stream":"btcusdt@depth","data":' + payload + b"}"):
        try:
            Binance().read(wrapped)
        except Unreadable:
            continue


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60), st.integers(0, 3)), max_size=40))
def test_what_is_published_as_live_is_the_venues_book(
    changes: list[tuple[bool, int, int]],
) -> None:
    core, venue, replica = a_feed(a_snapshot(100)), NaiveOrderBook(), BookReplica()
    venue.load(((9.0, 1.0),), ((11.0, 1.0),))
    replica.on_snapshot(
        BookSnapshot(NOW, NOW, "sim", "BTC-USDT", NOW, 0, ((9.0, 1.0),), ((11.0, 1.0),), 100)
    )
    for number, (arrives, cents, size) in enumerate(changes, 101):
        level = (str(cents / 10), str(float(size)))
        venue.apply(((cents / 10, float(size)),), ())
        out: Sequence[Event] = ()
        if arrives:
            out = core.handle(diff(number, number, bids=[level]))
        for event in out:
            if isinstance(event, BookDelta):
                replica.on_delta(event)
            elif isinstance(event, FetchSnapshot):
                bids, asks = venue.depth(1_000)
                body = {
                    "lastUpdateId": number,
                    "bids": [[str(p), str(q)] for p, q in bids],
                    "asks": [[str(p), str(q)] for p, q in asks],
                }
                answer = SnapshotAnswer(NOW, NOW, "BTCUSDT", json.dumps(body).encode())
                for more in core.handle(answer):
                    if isinstance(more, BookSnapshot):
                        assert replica.on_snapshot(more)
        if core.states["BTC-USDT"] is FeedState.LIVE and core.syncs["BTCUSDT"].last_id == number:
            assert replica.in_step
            assert replica.book.levels() == venue.depth(1_000)
