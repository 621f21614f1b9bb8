"""Market makers: what they quote, when they move it, and what they never do, whatever happens."""

from decimal import Decimal
from itertools import pairwise
from math import log1p
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import (
    BookTop,
    CancelOrder,
    FeedState,
    FeedStatus,
    FeeSchedule,
    Instrument,
    Recovered,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus_strategy.core import Seat, StrategyCore
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.quoting import QuotingStrategy
from tickbus_strategy.strategies.avellaneda_stoikov import (
    AvellanedaStoikov,
    AvellanedaStoikovParams,
    Volatility,
)
from tickbus_strategy.strategies.market_making import MarketMaking, MarketMakingParams
from tickbus_testkit.pretend_venue import PretendVenue

D = Decimal
SECOND = 1_000_000_000
NO_FEES = FeeSchedule(maker=D(0), taker=D(0))
INSTRUMENT = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.0001"),
    quantity_min=D("0.0001"), notional_min=D(5),
)  # fmt: skip


def a_market(kind: type[QuotingStrategy], params: Any, fees: FeeSchedule = NO_FEES) -> PretendVenue:
    desk, market = Desk("mm", "r", fees), Market("sim", "BTC-USDT")
    core = StrategyCore([Seat(kind(desk, market, params), desk, market)])
    venue = PretendVenue(core)
    venue.give(INSTRUMENT)
    venue.give(Recovered(SECOND, SECOND))
    return venue


def a_maker(fees: FeeSchedule = NO_FEES, **params: Any) -> PretendVenue:
    values = {"order_notional": D(100), "max_position": D(3), "allow_short": True, **params}
    return a_market(MarketMaking, MarketMakingParams(**values), fees)


def prices(venue: PretendVenue) -> dict[Side, float]:
    """What stands at the venue; fails when a side has two."""
    sides = [each.side for each in venue.working.values()]
    assert len(sides) == len(set(sides))
    return {each.side: float(each.order.price or 0) for each in venue.working.values()}


def quoted(venue: PretendVenue, bid: float, ask: float, after_s: float = 1.0) -> dict[Side, float]:
    """What stands at the venue after new prices, once all is answered."""
    venue.quote(bid, ask, after_s)
    venue.settle()
    return prices(venue)


# -- the story ---------------------------------------------------------------------------------


def test_both_sides_are_quoted_post_only_around_the_mid() -> None:
    venue = a_maker(spread_bps=10)
    assert quoted(venue, 99.99, 100.01) == {Side.BUY: 99.95, Side.SELL: 100.05}
    assert all(order.post_only for order in venue.asked)
    assert [order.quantity for order in venue.asked] == [D("1.0005"), D("0.9995")]


def test_quotes_are_never_nearer_than_fees_and_the_wanted_profit() -> None:
    fees = FeeSchedule(maker=D("0.001"), taker=D("0.002"))
    venue = a_maker(fees, spread_bps=10, min_profit_bps=5)
    bid, ask = quoted(venue, 99.99, 100.01).values()
    assert (bid, ask) == (99.87, 100.13), "20 bps of fees and 5 of profit, and whole ticks"
    assert ask * (1 - 0.001) - bid * (1 + 0.001) >= 100 * 0.0005


def test_quotes_stay_within_the_tolerance_and_follow_beyond_it() -> None:
    venue = a_maker(spread_bps=10, tolerance_bps=2)
    first = quoted(venue, 99.99, 100.01)
    asked = len(venue.asked)
    assert quoted(venue, 100.00, 100.02) == first, "1 bp further is near enough"
    assert len(venue.asked) == asked
    assert quoted(venue, 100.04, 100.06) == {Side.BUY: 99.99, Side.SELL: 100.11}
    assert [bool(order.replaces) for order in venue.asked[asked:]] == [True, True]


def test_one_side_moves_at_most_once_in_a_while() -> None:
    venue = a_maker(spread_bps=10, skew_bps=0, requote_s=1)
    first = quoted(venue, 99.99, 100.01)
    assert quoted(venue, 100.99, 101.01, 0.5) == {Side.BUY: first[Side.BUY]}, "the offer was taken"
    assert quoted(venue, 101.09, 101.11, 0.6)[Side.BUY] == 101.04


def test_a_tolerance_wider_than_the_spread_does_not_let_quotes_meet() -> None:
    venue = a_maker(spread_bps=4, min_profit_bps=0, tolerance_bps=50, requote_s=0)
    for mid in (100.0, 99.99, 99.98, 99.97, 99.99, 100.02):
        sides = quoted(venue, mid - 0.005, mid + 0.005)
        assert sides.get(Side.BUY, 0) < sides.get(Side.SELL, 1_000)


def test_held_too_much_is_offered_cheaper() -> None:
    venue = a_maker(spread_bps=10, skew_bps=6, max_position=D(2))
    quoted(venue, 99.99, 100.01)
    (bid,) = (i for i, each in venue.working.items() if each.side is Side.BUY)
    venue.fill(bid, D(1))
    venue.settle()
    sides = quoted(venue, 99.99, 100.01)
    assert sides == {Side.BUY: 99.92, Side.SELL: 100.02}, "half full: 3 bps lower"


def test_it_does_not_chase_its_own_quotes() -> None:
    venue = a_maker(spread_bps=10, skew_bps=6, max_position=D(2), tolerance_bps=0)
    quoted(venue, 99.0, 101.0)
    (bid,) = (i for i, each in venue.working.items() if each.side is Side.BUY)
    venue.fill(bid, D(1))
    venue.settle()
    first = quoted(venue, 99.0, 101.0)
    for _ in range(5):
        # In this wide market the best prices are our own, and lean; their middle says nothing.
        each = {order.side: order for order in venue.working.values()}
        venue.bid_size = float(each[Side.BUY].leaves)
        venue.ask_size = float(each[Side.SELL].leaves)
        assert quoted(venue, first[Side.BUY], first[Side.SELL]) == first
    venue.bid_size += 1
    assert quoted(venue, first[Side.BUY], first[Side.SELL]) != first, "somebody joined us"


def test_a_partial_fill_leaves_the_rest_and_a_later_move_asks_for_a_whole_quote_again() -> None:
    venue = a_maker(spread_bps=10)
    quoted(venue, 99.99, 100.01)
    (bid,) = (i for i, each in venue.working.items() if each.side is Side.BUY)
    venue.fill(bid, D("0.4"))
    venue.settle()
    asked = len(venue.asked)
    quoted(venue, 99.99, 100.01)
    assert [o for o in venue.asked[asked:] if o.side is Side.BUY] == [], "0.7 bps of skew: stays"
    quoted(venue, 100.04, 100.06)
    (each,) = (each for each in venue.working.values() if each.side is Side.BUY)
    assert each.order.quantity == D("1.4001")
    assert each.leaves == D("1.0001"), "what the first had filled was counted"


def test_a_side_whose_fill_would_break_the_bound_is_not_quoted() -> None:
    venue = a_maker(max_position=D("1.5"), tolerance_bps=0)
    for _ in range(4):
        quoted(venue, 99.99, 100.01)
        for order_id, each in list(venue.working.items()):
            if each.side is Side.BUY:
                venue.fill(order_id)
        venue.settle()
    assert venue.position == D("1.5")
    assert list(quoted(venue, 99.99, 100.01)) == [Side.SELL]


def test_a_fill_that_is_told_after_the_end_of_its_order_was_counted_before() -> None:
    venue = a_maker(max_position=D("1.2"))
    quoted(venue, 99.99, 100.01)
    (bid,) = (i for i, each in venue.working.items() if each.side is Side.BUY)
    venue.quote(99.99, 0.0)
    venue.fill(bid, D("0.4"))
    fill = venue.untold.pop()
    venue.settle()
    quoted(venue, 99.99, 100.01)
    (each,) = (each for each in venue.working.values() if each.side is Side.BUY)
    assert each.leaves == D("0.8"), "the end of the first said that 0.4 were filled"
    venue.untold.append(fill)
    venue.settle()
    quoted(venue, 99.99, 100.01)
    assert venue.position + each.leaves == D("1.2")


def test_without_shorting_it_offers_only_what_it_bought() -> None:
    venue = a_maker(allow_short=False)
    assert list(quoted(venue, 99.99, 100.01)) == [Side.BUY]
    venue.fill(next(iter(venue.working)), D("0.6"))
    venue.settle()
    quoted(venue, 99.99, 100.01)
    (offer,) = (each for each in venue.working.values() if each.side is Side.SELL)
    assert offer.leaves == D("0.6")


def test_a_refused_post_only_order_is_not_repeated_at_once() -> None:
    venue = a_maker(cooldown_s=2)
    venue.quote(99.99, 100.01)
    venue.bid, venue.ask = 100.20, 100.22  # the market is elsewhere when they arrive
    venue.settle()
    assert list(prices(venue)) == [Side.BUY], "the offer would have taken"
    assert list(quoted(venue, 100.20, 100.22)) == [Side.BUY], "resting"
    assert list(quoted(venue, 100.20, 100.22, 2)) == [Side.BUY, Side.SELL]


@pytest.mark.parametrize(
    "trouble",
    [
        BookTop(SECOND, SECOND, "sim", "BTC-USDT", 99.99, 1.0, 100.01, 1.0, 1, 1, stale=True),
        FeedStatus(SECOND, SECOND, "sim", "BTC-USDT", FeedState.STALE),
    ],
)
def test_quotes_are_pulled_when_the_book_cannot_be_trusted(trouble: Any) -> None:
    venue = a_maker()
    quoted(venue, 99.99, 100.01)
    assert [type(wish) for wish in venue.give(trouble)] == [CancelOrder, CancelOrder]
    venue.settle()
    assert prices(venue) == {}


def test_quotes_are_pulled_when_a_side_is_empty_and_come_back() -> None:
    venue = a_maker()
    quoted(venue, 99.99, 100.01)
    assert quoted(venue, 99.99, 0.0) == {}
    assert len(quoted(venue, 99.99, 100.01)) == 2


def test_quotes_are_pulled_when_no_prices_come() -> None:
    venue = a_maker(silence_s=3)
    quoted(venue, 99.99, 100.01)
    key = "mm/sim/BTC-USDT/silence"
    venue.give(TimerFired(venue.now, venue.now, key))
    venue.settle()
    assert len(prices(venue)) == 2, "there were prices since the last time"
    venue.give(TimerFired(venue.now, venue.now, key))
    venue.settle()
    assert prices(venue) == {}


def test_without_a_bound_of_its_own_it_takes_five_quotes_of_the_first_price() -> None:
    venue = a_maker(max_position=D(0))
    quoted(venue, 99.99, 100.01)
    for price in (200.0, 50.0):
        for _ in range(12):
            quoted(venue, price - 0.01, price + 0.01)
            for order_id, each in list(venue.working.items()):
                if each.side is Side.BUY:
                    venue.fill(order_id)
            venue.settle()
    assert venue.position == D(5)


# -- Avellaneda and Stoikov ----------------------------------------------------------------------


def a_model(**params: Any) -> PretendVenue:
    values = {
        "order_notional": D(100), "max_position": D(10), "allow_short": True,
        "min_profit_bps": 0, "requote_s": 0, "tolerance_bps": 0, **params,
    }  # fmt: skip
    return a_market(AvellanedaStoikov, AvellanedaStoikovParams(**values))


def swing(venue: PretendVenue, seconds: int, bps: float) -> None:
    """Prices that go up and down by `bps` once a second."""
    for second in range(seconds):
        mid = 100 * (1 + bps / 10_000 * (second % 2))
        venue.quote(mid - 0.005, mid + 0.005)
        venue.settle()


def test_model_waits_until_it_knows_the_volatility() -> None:
    venue = a_model(warmup_s=10)
    swing(venue, 10, 2)
    assert venue.asked == []
    swing(venue, 1, 2)
    assert len(venue.asked) == 2


def test_model_quotes_as_wide_as_the_formula_says() -> None:
    venue = a_model(gamma=0.05, kappa=0.5, horizon_s=20, warmup_s=10)
    swing(venue, 21, 2)
    bid, ask = prices(venue).values()
    width = 0.05 * 4 * 20 + 2 / 0.05 * log1p(0.05 / 0.5)
    assert (ask - bid) / 100 * 10_000 == pytest.approx(width, abs=2.1), "to whole ticks"
    assert (ask + bid) / 2 == pytest.approx(100.0, abs=0.011)


def test_model_leans_by_inventory_times_risk() -> None:
    venue = a_model(gamma=0.02, kappa=0.5, horizon_s=20, warmup_s=10, max_position=D(10))
    swing(venue, 21, 2)
    (bid,) = (i for i, each in venue.working.items() if each.side is Side.BUY)
    venue.fill(bid, D(1))
    venue.settle()
    venue.quote(99.995, 100.005, 0.5)
    venue.settle()
    bid_price, ask_price = prices(venue).values()
    reservation = 100 * (1 - 1 * 0.02 * 4 * 20 / 10_000)
    assert (bid_price + ask_price) / 2 == pytest.approx(reservation, abs=0.011)


def test_volatility_is_what_a_plain_average_of_squares_says() -> None:
    measured = Volatility(halflife_s=1e9, warmup_s=5)
    mids = [100.0, 100.02, 99.97, 100.01, 100.05, 100.00, 99.99]
    for second, mid in enumerate(mids):
        measured.update(mid, second * SECOND + 1)
        measured.update(mid * 1.01, second * SECOND + SECOND // 2)  # between samples: left out
    moves = [(b / a - 1) * 10_000 for a, b in pairwise(mids)]
    plain = (sum(move * move for move in moves) / len(moves)) ** 0.5
    assert measured.value == pytest.approx(plain, rel=1e-3)


def test_volatility_leaves_out_a_hole_in_the_prices() -> None:
    measured = Volatility(halflife_s=60, warmup_s=2)
    for second, mid in ((0, 100.0), (1, 100.01), (2, 100.0), (60, 120.0), (61, 120.012)):
        measured.update(mid, second * SECOND + 1)
    assert measured.value == pytest.approx(1.0, rel=0.01)


# -- whatever happens ----------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("quote"), st.integers(-30, 30), st.floats(0.1, 3)),
    st.tuples(st.just("answer"), st.integers(1, 4), st.just(0.0)),
    st.tuples(st.just("tell"), st.integers(1, 4), st.just(0.0)),
    st.tuples(st.just("deny"), st.just(0), st.just(0.0)),
    st.tuples(st.just("fill"), st.integers(0, 3), st.floats(0.01, 1)),
    st.tuples(st.just("lose"), st.integers(0, 3), st.just(0.0)),
    st.tuples(st.just("late"), st.integers(0, 3), st.just(0.0)),
    st.tuples(st.just("stale"), st.just(0), st.just(0.0)),
    st.tuples(st.just("silence"), st.just(0), st.just(0.0)),
)


class Watched:
    """A market maker among random events; every step is followed by what must hold."""

    def __init__(self, kind: type[QuotingStrategy], params: Any) -> None:
        self.venue = a_market(kind, params)
        self.most = params.max_position
        self.least = -self.most if params.allow_short else D(0)
        self.mid = 10_000

    def step(self, what: str, number: int, part: float) -> None:
        venue = self.venue
        before = len(venue.asked)
        match what:
            case "quote":
                self.mid += number
                venue.quote((self.mid - 1) / 100, (self.mid + 1) / 100, part)
            case "answer":
                for _ in range(min(number, len(venue.wishes))):
                    venue.answer()
                    self.check_side()
            case "tell":
                venue.tell(number)
            case "deny":
                venue.deny()
            case "fill" | "lose" if venue.working:
                order_id = list(venue.working)[number % len(venue.working)]
                if what == "lose":
                    venue.cancel(order_id)
                else:
                    lots = max(D(1), (venue.working[order_id].leaves * D(part) / D("0.0001")) // 1)
                    venue.fill(order_id, lots * D("0.0001"))
            case "late" if venue.untold:
                # A report is overtaken by the one after it.
                event = venue.untold.pop(number % len(venue.untold))
                venue.untold.append(event)
            case "stale":
                now, name = venue.now, (venue.venue, venue.instrument_id)
                venue.give(BookTop(now, now, *name, venue.bid, 1.0, venue.ask, 1.0, 1, 1, True))
                venue.give(BookTop(now, now, *name, venue.bid, 1.0, venue.ask, 1.0, 1, 1))
            case "silence":
                venue.give(TimerFired(venue.now, venue.now, "mm/sim/BTC-USDT/silence"))
        self.check_asked(venue.asked[before:])
        self.check_side()
        self.check_inventory()

    def check_asked(self, asked: list[SubmitOrder]) -> None:
        for order in asked:
            assert order.post_only
            assert order.price is not None
            if order.side is Side.BUY:
                assert float(order.price) < self.venue.ask
            else:
                assert float(order.price) > self.venue.bid

    def check_side(self) -> None:
        prices(self.venue)

    def check_inventory(self) -> None:
        """Even if all that is at the venue and on its way there filled at once."""
        venue = self.venue
        for side, bound in ((Side.BUY, self.most), (Side.SELL, -self.least)):
            there = sum((e.leaves for e in venue.working.values() if e.side is side), D(0))
            coming = D(0)
            for wish in venue.wishes:
                if isinstance(wish, SubmitOrder) and wish.side is side:
                    old = venue.working.get(wish.replaces)
                    done = venue.filled_of(wish.replaces)
                    coming += max(D(0), wish.quantity - done - (old.leaves if old else D(0)))
            assert venue.position * side.sign + there + coming <= bound


@pytest.mark.parametrize("short", [True, False])
@given(steps=st.lists(STEP, max_size=60))
@settings(max_examples=100, deadline=None)
def test_market_maker_keeps_its_promises(short: bool, steps: list[tuple[str, int, float]]) -> None:
    params = MarketMakingParams(
        order_notional=D(100), max_position=D("1.3"), allow_short=short, spread_bps=4,
        skew_bps=4, requote_s=0.2, cooldown_s=0.5,
    )  # fmt: skip
    watched = Watched(MarketMaking, params)
    watched.step("quote", 0, 1.0)
    for step in steps:
        watched.step(*step)


@given(steps=st.lists(STEP, max_size=60))
@settings(max_examples=100, deadline=None)
def test_model_keeps_its_promises(steps: list[tuple[str, int, float]]) -> None:
    params = AvellanedaStoikovParams(
        order_notional=D(100), max_position=D("1.3"), allow_short=True, warmup_s=1, kappa=2,
        gamma=0.5, requote_s=0, cooldown_s=0.5,
    )  # fmt: skip
    watched = Watched(AvellanedaStoikov, params)
    for mid in (0, 2, -2, 1):
        watched.step("quote", mid, 1.0)
    for step in steps:
        watched.step(*step)
