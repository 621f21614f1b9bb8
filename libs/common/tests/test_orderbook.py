"""Order books: the fast one equals the obvious one, and a replica never claims what it lost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import BookDelta, BookSnapshot, Levels, Side
from tickbus.ladders import PlainLadders
from tickbus.orderbook import IS_COMPILED, BookReplica, NaiveOrderBook, OrderBook

PRICES = st.integers(1, 40).map(lambda n: n / 4)
SIZES = st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.25])
SIDE = st.lists(st.tuples(PRICES, SIZES), max_size=12).map(tuple)


def a_book(bids: Levels = ((100.0, 1.0), (99.0, 2.0)), asks: Levels = ((101.0, 3.0),)) -> OrderBook:
    book = OrderBook()
    book.load(bids, asks)
    return book


@pytest.mark.parametrize("kind", [OrderBook, PlainLadders])
@given(SIDE, SIDE, st.lists(st.tuples(SIDE, SIDE), max_size=20), st.integers(0, 50))
def test_fast_book_equals_naive_book(
    kind: Any, bids: Levels, asks: Levels, changes: list[tuple[Levels, Levels]], levels: int
) -> None:
    fast, naive = kind(), NaiveOrderBook()
    for each in (fast, naive):
        each.load(bids, asks)
    for change in changes:
        fast.apply(*change)
        naive.apply(*change)
        assert fast.depth(levels) == naive.depth(levels)
    assert fast.depth(1_000) == naive.depth(1_000)
    assert len(fast) == len(naive.bids) + len(naive.asks)
    best_bids, best_asks = naive.depth(1)
    assert fast.best_bid == (best_bids[0] if best_bids else None)
    assert fast.best_ask == (best_asks[0] if best_asks else None)
    if best_bids and best_asks:
        assert fast.is_crossed == (best_bids[0][0] >= best_asks[0][0])
        assert fast.mid == (best_bids[0][0] + best_asks[0][0]) / 2


@given(SIDE, SIDE, st.lists(st.tuples(SIDE, SIDE), max_size=20))
def test_changes_that_come_sorted_are_applied_as_any_other(
    bids: Levels, asks: Levels, changes: list[tuple[Levels, Levels]]
) -> None:
    fast, naive = OrderBook(), NaiveOrderBook()
    for each in (fast, naive):
        each.load(bids, asks)
    for some_bids, some_asks in changes:
        best_first = (
            tuple(sorted(dict(some_bids).items(), reverse=True)),
            tuple(sorted(dict(some_asks).items())),
        )
        fast.apply(*best_first)
        naive.apply(*best_first)
        assert fast.depth(1_000) == naive.depth(1_000)


@pytest.mark.parametrize("kind", [OrderBook, PlainLadders])
@given(SIDE, SIDE, st.integers(0, 12))
def test_truncating_keeps_the_best_and_says_what_went(
    kind: Any, bids: Levels, asks: Levels, keep: int
) -> None:
    fast, naive = kind(), NaiveOrderBook()
    for each in (fast, naive):
        each.load(bids, asks)
    all_bids, all_asks = naive.depth(1_000)
    assert fast.truncate(keep) == (all_bids[keep:], all_asks[keep:])
    assert fast.depth(1_000) == (all_bids[:keep], all_asks[:keep])


def test_the_compiled_book_is_what_a_working_copy_uses() -> None:
    assert IS_COMPILED, "run `make setup` with a C compiler installed"


@pytest.mark.parametrize(
    "bids",
    [((1.0,),), ((1.0, 2.0, 3.0),), ((1.0, "x"),), ((float("nan"), 1.0),), ((1.0, float("inf")),),
     (5,), 7],
)  # fmt: skip
def test_compiled_book_refuses_what_is_no_level(bids: Any) -> None:
    book = a_book()
    with pytest.raises((TypeError, ValueError)):
        book.load(bids, ())
    assert book.best_bid == (100.0, 1.0), "nothing changed"
    with pytest.raises((TypeError, ValueError)):
        book.apply(bids, ())


def test_views_of_the_top() -> None:
    book = a_book(bids=((100.0, 3.0), (99.0, 1.0)), asks=((101.0, 1.0),))
    assert (book.spread, book.mid) == (1.0, 100.5)
    assert book.micro_price == 100.75, "more bids than asks: it leans up"
    assert (book.imbalance(1), book.imbalance(2)) == (0.5, 0.6)
    empty = OrderBook()
    assert (empty.spread, empty.mid, empty.micro_price, empty.imbalance()) == (None,) * 4


def test_removing_an_unknown_level_is_fine() -> None:
    book = a_book()
    book.apply(((50.0, 0.0),), ())
    assert book.depth(5) == (((100.0, 1.0), (99.0, 2.0)), ((101.0, 3.0),))


def test_sweep_takes_the_best_first_and_stops_at_the_limit() -> None:
    book = a_book(asks=((101.0, 1.0), (102.0, 1.0), (103.0, 5.0)))
    assert book.sweep(Side.BUY, 1.5) == [(101.0, 1.0), (102.0, 0.5)]
    assert book.sweep(Side.BUY, 9.0, limit=102.0) == [(101.0, 1.0), (102.0, 1.0)]
    assert book.sweep(Side.SELL, 9.0) == [(100.0, 1.0), (99.0, 2.0)]
    assert book.sweep(Side.SELL, 1.0, limit=100.5) == []
    assert book.size_at(Side.BUY, 99.0) == 2.0


def a_snapshot(epoch: int, sequence: int, bid: float = 100.0) -> BookSnapshot:
    levels = ((bid, 1.0),), ((bid + 1, 1.0),)
    return BookSnapshot(1, 1, "sim", "BTC-USDT", epoch, sequence, *levels, sequence)


def a_delta(epoch: int, sequence: int, bid: float) -> BookDelta:
    return BookDelta(1, 1, "sim", "BTC-USDT", epoch, sequence, ((bid, 1.0),), (), sequence)


def test_replica_follows_deltas_in_sequence() -> None:
    replica = BookReplica()
    assert replica.on_snapshot(a_snapshot(1, 5))
    assert replica.on_delta(a_delta(1, 6, 100.5))
    assert replica.book.best_bid == (100.5, 1.0)
    assert not replica.on_delta(a_delta(1, 6, 100.7)), "a repeat changes nothing"
    assert replica.in_step


def test_replica_that_lost_a_delta_waits_for_the_keyframe() -> None:
    replica = BookReplica()
    replica.on_snapshot(a_snapshot(1, 5))
    assert not replica.on_delta(a_delta(1, 7, 100.5))
    assert not replica.in_step
    assert replica.book.best_bid == (100.0, 1.0), "the last good levels stay"
    assert not replica.on_delta(a_delta(1, 8, 100.6))
    assert replica.on_snapshot(a_snapshot(1, 8, 100.6))
    assert replica.in_step
    assert replica.on_delta(a_delta(1, 9, 100.7))


def test_keyframe_of_a_replica_in_step_is_ignored() -> None:
    replica = BookReplica()
    replica.on_snapshot(a_snapshot(1, 5))
    replica.on_delta(a_delta(1, 6, 100.5))
    assert not replica.on_snapshot(a_snapshot(1, 6, 1.0))
    assert replica.book.best_bid == (100.5, 1.0)


def test_new_epoch_replaces_the_book_and_old_epoch_is_ignored() -> None:
    replica = BookReplica()
    replica.on_snapshot(a_snapshot(2, 5))
    assert replica.on_snapshot(a_snapshot(3, 1, 50.0))
    assert not replica.on_snapshot(a_snapshot(2, 9, 70.0))
    assert not replica.on_delta(a_delta(2, 10, 71.0))
    assert replica.in_step
    assert replica.book.best_bid == (50.0, 1.0)


def test_delta_of_a_newer_epoch_without_its_snapshot_is_a_gap() -> None:
    replica = BookReplica()
    replica.on_snapshot(a_snapshot(1, 5))
    assert not replica.on_delta(a_delta(2, 1, 60.0))
    assert not replica.in_step


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(2, 9))
def test_replica_is_right_or_out_of_step_whatever_is_lost(kept: list[bool], every: int) -> None:
    source, replica = OrderBook(), BookReplica()
    for sequence, arrives in enumerate(kept, 1):
        price = 90.0 + sequence % 7
        source.apply(((price, float(sequence % 3)),), ((price + 20, 1.0),))
        delta = BookDelta(
            1,
            1,
            "sim",
            "X-Y",
            1,
            sequence,
            ((price, float(sequence % 3)),),
            ((price + 20, 1.0),),
            0,
        )
        if arrives:
            replica.on_delta(delta)
        if sequence % every == 0:
            replica.on_snapshot(BookSnapshot(1, 1, "sim", "X-Y", 1, sequence, *source.levels(), 0))
        if replica.in_step and replica.sequence == sequence:
            assert replica.book.levels() == source.levels()
