"""The book service: given market events, then views."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.config import ConfigError
from tickbus.events import (
    BookDelta,
    BookDepth,
    BookSnapshot,
    BookTop,
    ConsolidatedTop,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    KeyframeWanted,
    Levels,
    SetTimer,
    TimerFired,
)
from tickbus.orderbook import NaiveOrderBook
from tickbus.shard import Shard
from tickbus_book.config import BookConfig
from tickbus_book.core import TIMER, BookCore
from tickbus_book.measures import measure

MS = 1_000_000
SECOND = 1_000 * MS


def a_snapshot(
    ts: int = SECOND, epoch: int = 1, sequence: int = 0, bid: float = 100.0
) -> BookSnapshot:
    bids, asks = ((bid, 1.0), (bid - 1, 2.0)), ((bid + 1, 1.0), (bid + 2, 2.0))
    return BookSnapshot(ts, ts, "sim", "BTC-USDT", epoch, sequence, bids, asks, sequence)


def a_delta(ts: int, sequence: int, bids: Levels = (), asks: Levels = ()) -> BookDelta:
    return BookDelta(ts, ts, "sim", "BTC-USDT", 1, sequence, bids, asks, sequence)


def a_status(ts: int, state: FeedState) -> FeedStatus:
    return FeedStatus(ts, ts, "sim", "BTC-USDT", state)


def a_core(*events: Event, depth_levels: int = 20) -> BookCore:
    core = BookCore(BookConfig(depth_levels=depth_levels))
    for event in events:
        core.handle(event)
    return core


def only(kind: type, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if type(event) is kind]


def test_snapshot_is_published_as_top_and_depth() -> None:
    top, depth = a_core().handle(a_snapshot())
    assert top == BookTop(
        SECOND, SECOND, "sim", "BTC-USDT", 100.0, 1.0, 101.0, 1.0, 1, 0, stale=False
    )
    assert isinstance(depth, BookDepth)
    assert depth.bids == ((100.0, 1.0), (99.0, 2.0))


def test_change_behind_the_best_levels_moves_no_top() -> None:
    core = a_core(a_snapshot())
    out = core.handle(a_delta(SECOND + MS, 1, bids=((99.0, 5.0),)))
    assert only(BookTop, out) == []


def test_change_of_the_best_size_is_a_new_top() -> None:
    core = a_core(a_snapshot())
    (top,) = only(BookTop, core.handle(a_delta(SECOND + MS, 1, bids=((100.0, 5.0),))))
    assert isinstance(top, BookTop)
    assert (top.bid, top.bid_size, top.sequence) == (100.0, 5.0, 1)


def test_burst_is_published_once_per_interval_and_its_last_state_is_not_forgotten() -> None:
    core = a_core(a_snapshot(), depth_levels=1)
    first = core.handle(a_delta(SECOND + MS, 1, bids=((100.0, 2.0),)))
    second = core.handle(a_delta(SECOND + 2 * MS, 2, bids=((100.0, 3.0),)))
    assert only(BookDepth, first) == only(BookDepth, second) == []
    (timer,) = only(SetTimer, first)
    assert isinstance(timer, SetTimer)
    assert timer.at_ns == SECOND + 100 * MS
    (depth,) = core.handle(TimerFired(timer.at_ns, timer.at_ns, timer.key))
    assert isinstance(depth, BookDepth)
    assert depth.bids == ((100.0, 3.0),)
    assert core.handle(TimerFired(timer.at_ns, timer.at_ns, timer.key)) == ()


def test_lost_delta_makes_the_book_stale_until_the_keyframe() -> None:
    core = a_core(a_snapshot())
    out = core.handle(a_delta(SECOND + MS, 2, bids=((100.0, 9.0),)))
    (top,) = only(BookTop, out)
    assert isinstance(top, BookTop)
    assert (top.stale, top.bid_size) == (True, 1.0)
    assert len(only(KeyframeWanted, out)) == 1
    assert core.depth("sim", "BTC-USDT", 0) is None
    assert core.gaps == 1
    assert only(KeyframeWanted, core.handle(a_delta(SECOND + 2 * MS, 3))) == [], "asked just now"
    (wish,) = core.handle(a_delta(3 * SECOND, 4))
    assert wish == KeyframeWanted(3 * SECOND, 3 * SECOND, "sim", "BTC-USDT")
    (top,) = only(BookTop, core.handle(a_snapshot(SECOND + 2 * MS, sequence=2, bid=105.0)))
    assert isinstance(top, BookTop)
    assert (top.stale, top.bid) == (False, 105.0)


def test_feed_that_is_not_live_makes_the_book_stale() -> None:
    core = a_core(a_snapshot())
    (top,) = only(BookTop, core.handle(a_status(SECOND + MS, FeedState.DISCONNECTED)))
    assert isinstance(top, BookTop)
    assert top.stale
    assert not only(BookTop, core.handle(a_status(SECOND + 2 * MS, FeedState.LIVE)))
    (top,) = only(BookTop, core.handle(a_snapshot(SECOND + 3 * MS, epoch=2)))
    assert isinstance(top, BookTop)
    assert not top.stale


@pytest.mark.parametrize("state", [FeedState.SYNCING, FeedState.DISCONNECTED])
def test_feed_whose_clock_was_set_back_begins_with_a_lower_epoch(state: FeedState) -> None:
    core = a_core(a_snapshot(epoch=9 * SECOND))
    core.handle(a_status(SECOND, state))
    (top,) = only(BookTop, core.handle(a_snapshot(epoch=2 * SECOND, bid=50.0)))
    assert isinstance(top, BookTop)
    core.handle(a_status(SECOND, FeedState.LIVE))
    assert (top.bid, top.epoch) == (50.0, 2 * SECOND)
    assert core.known() == [("sim", "BTC-USDT")]


def test_feed_that_died_is_noticed_though_nobody_says_so() -> None:
    core = a_core(a_snapshot())
    other = FeedStatus(SECOND, SECOND, "other", "BTC-USDT", FeedState.LIVE)
    snapshot = msgspec.structs.replace(a_snapshot(bid=99.5), venue="other")
    core.handle(snapshot)
    told: list[Event] = []
    for second in range(2, 12):
        core.handle(msgspec.structs.replace(other, ts_recv=second * SECOND))
        told += core.handle(TimerFired(second * SECOND, second * SECOND, TIMER))
    (top,) = only(BookTop, told)
    assert isinstance(top, BookTop)
    assert (top.venue, top.stale) == ("sim", True)
    (consolidated,) = only(ConsolidatedTop, told)
    assert isinstance(consolidated, ConsolidatedTop)
    assert [venue for venue, *_ in consolidated.bids] == ["other"]
    assert core.depth("sim", "BTC-USDT", 5) is None
    assert core.known() == [("other", "BTC-USDT")]


def test_quiet_market_is_confirmed_every_second_while_the_feed_is_live() -> None:
    core = a_core(a_snapshot())
    assert only(BookTop, core.handle(a_status(SECOND + 500 * MS, FeedState.LIVE))) == []
    (top,) = only(BookTop, core.handle(a_status(2 * SECOND, FeedState.LIVE)))
    assert top.ts_recv == 2 * SECOND


def test_status_of_an_unknown_book_says_nothing() -> None:
    assert a_core().handle(a_status(SECOND, FeedState.SYNCING)) == ()


def test_empty_side_has_price_and_size_zero() -> None:
    core = a_core(a_snapshot())
    (top,) = only(BookTop, core.handle(a_delta(SECOND + MS, 1, asks=((101.0, 0.0), (102.0, 0.0)))))
    assert isinstance(top, BookTop)
    assert (top.ask, top.ask_size) == (0.0, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(90, 99), st.sampled_from([0.0, 1.0, 2.0]))))
def test_top_is_right_or_stale_whatever_is_lost(
    changes: list[tuple[bool, int, float]],
) -> None:
    core, truth = a_core(a_snapshot()), NaiveOrderBook()
    truth.load(a_snapshot().bids, a_snapshot().asks)
    last: BookTop | None = None
    for sequence, (arrives, price, size) in enumerate(changes, 1):
        truth.apply((), ((float(price + 20), size),))
        delta = a_delta(SECOND + sequence * MS, sequence, asks=((float(price + 20), size),))
        if arrives:
            for event in core.handle(delta):
                last = event if isinstance(event, BookTop) else last
        if last is not None and not last.stale and last.sequence == sequence:
            asks = truth.depth(1)[1]
            assert (last.ask, last.ask_size) == (asks[0] if asks else (0.0, 0.0))


def at(venue: str, event: BookSnapshot | BookDelta | FeedStatus) -> Event:
    return msgspec.structs.replace(event, venue=venue)


def test_tops_of_all_venues_stand_side_by_side() -> None:
    core = a_core(at("okx", a_snapshot(bid=100.0)))
    assert only(ConsolidatedTop, core.handle(at("okx", a_delta(SECOND, 1, ((100.5, 1.0),))))) == []
    (top,) = only(ConsolidatedTop, core.handle(at("kraken", a_snapshot(bid=101.0))))
    assert isinstance(top, ConsolidatedTop)
    assert top.bids == (("kraken", 101.0, 1.0), ("okx", 100.5, 1.0))
    assert top.asks == (("okx", 101.0, 1.0), ("kraken", 102.0, 1.0))
    deep = at("okx", a_delta(SECOND + MS, 2, ((50.0, 1.0),)))
    assert only(ConsolidatedTop, core.handle(deep)) == [], "nothing changed at the top"
    gone = at("kraken", a_status(SECOND + 2 * MS, FeedState.STALE))
    (top,) = only(ConsolidatedTop, core.handle(gone))
    assert isinstance(top, ConsolidatedTop)
    assert [venue for venue, _, _ in (*top.bids, *top.asks)] == ["okx", "okx"]


def test_depth_tells_where_the_market_leans() -> None:
    _, depth = a_core().handle(a_snapshot())
    assert isinstance(depth, BookDepth)
    assert (depth.spread, depth.micro_price, depth.imbalance) == (1.0, 100.5, 0.0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "DOGE-USDT"]),
        st.sampled_from(["binance", "okx"]),
        st.sampled_from(["snapshot", "delta", "stale", "live"]),
    ),
    max_size=60,
)


@given(EVENTS, st.integers(1, 5))
def test_shards_together_say_what_one_says(rows: list[tuple[str, str, str]], parts: int) -> None:
    whole = a_core()
    shards = [(Shard(n, parts), a_core()) for n in range(1, parts + 1)]
    sequences: dict[tuple[str, str], int] = {}
    for place, (name, venue, kind) in enumerate(rows):
        ts, key = SECOND + place * MS, (venue, name)
        event: BookSnapshot | BookDelta | FeedStatus
        if kind == "delta":
            sequences[key] = sequences.get(key, 0) + 1
            event = a_delta(ts, sequences[key], bids=((100.0 + place, 1.0),))
        elif kind == "snapshot":
            event = a_snapshot(ts, sequence=sequences.get(key, 0), bid=100.0 + place)
        else:
            event = a_status(ts, FeedState.STALE if kind == "stale" else FeedState.LIVE)
        event = msgspec.structs.replace(event, venue=venue, instrument_id=name)
        said = [list(core.handle(event)) for shard, core in shards if shard.owns(name)]
        assert said == [list(whole.handle(event))], "one shard, and what the whole says"


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1/0", "1-3", "1/99999"])
def test_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="I/N"):
        Shard.parse(text)


def test_sizes_side_by_side_are_of_one_unit_whatever_the_venue_counts() -> None:
    core = a_core()
    one = Decimal(1)
    for venue, size, inverse in (("base", one, False), ("linear", Decimal("0.01"), False),
                                 ("inverse", Decimal(100), True)):  # fmt: skip
        core.handle(
            Instrument(venue, "BTC-USDT", "X", "BTC", "USDT", one, one,
                       contract_size=size, inverse=inverse)
        )  # fmt: skip
    told: list[Event] = []
    for venue, amount in (("base", 2.0), ("linear", 300.0), ("inverse", 5.0)):
        snapshot = msgspec.structs.replace(
            a_snapshot(), venue=venue, bids=((100.0, amount),), asks=((200.0, amount),)
        )
        told += core.handle(snapshot)
    top = only(ConsolidatedTop, told)[-1]
    assert isinstance(top, ConsolidatedTop)
    assert top.bids == (("inverse", 100.0, 5.0), ("linear", 100.0, 3.0), ("base", 100.0, 2.0))
    assert top.asks == (("linear", 200.0, 3.0), ("inverse", 200.0, 2.5), ("base", 200.0, 2.0))


def test_feed_that_is_live_is_asked_for_the_book_that_we_forgot() -> None:
    core = a_core(a_snapshot(), a_status(SECOND, FeedState.SYNCING))
    (wish,) = only(KeyframeWanted, core.handle(a_status(2 * SECOND, FeedState.LIVE)))
    assert isinstance(wish, KeyframeWanted)
    assert not only(KeyframeWanted, core.handle(a_status(2 * SECOND + MS, FeedState.LIVE)))
    core.handle(a_snapshot())
    assert not only(KeyframeWanted, core.handle(a_status(9 * SECOND, FeedState.LIVE)))
    assert core.known() == [("sim", "BTC-USDT")]


def measured(core: BookCore, now_ns: int) -> dict[str, float]:
    return {reading.name: reading.value for reading in measure(core, now_ns)}


def test_who_scrapes_sees_a_book_grow_old_and_a_lost_place_by_name() -> None:
    core = a_core(a_snapshot())
    found = measured(core, 3 * SECOND)
    assert (found["books"], found["books_stale"], found["books_crossed"]) == (1, 0, 0)
    assert found["book_age_seconds_max"] == 2.0
    assert "book_stale" not in found
    core.handle(a_delta(SECOND + MS, 2, bids=((100.0, 9.0),)))
    found = measured(core, 3 * SECOND)
    assert (found["books_stale"], found["gaps_total"], found["book_age_seconds_max"]) == (1, 1, 0)
    labels = [dict(r.labels) for r in measure(core, SECOND) if r.name == "book_stale"]
    assert labels == [{"venue": "sim", "instrument": "BTC-USDT"}]


def test_who_scrapes_sees_a_book_in_which_bids_reach_the_asks() -> None:
    core = a_core(a_snapshot())
    core.handle(a_delta(SECOND + MS, 1, bids=((102.0, 1.0),)))
    assert measured(core, SECOND)["books_crossed"] == 1
