"""Splitting: given books, fees and balances, then the cheapest legs that the venues take."""

from decimal import Decimal
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import BookDepth, FeeSchedule, Instrument, Levels, Side
from tickbus_router import planning
from tickbus_router.planning import Leg, VenueMarket, best_price, split

D = Decimal


def market(
    venue: str, asks: Levels, bids: Levels = (), fee: str = "0.001", free: str | None = None,
    least: str = "0", lot: str = "0.001",
) -> VenueMarket:  # fmt: skip
    instrument = Instrument(
        venue, "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D(lot), notional_min=D(least)
    )
    depth = BookDepth(1, 1, venue, "BTC-USDT", bids, asks, 1, 1)
    schedule = FeeSchedule(maker=D(0), taker=D(fee))
    return VenueMarket(instrument, depth, schedule, None if free is None else D(free))


A: Levels = ((100.0, 1.0), (102.0, 5.0))
B: Levels = ((101.0, 2.0), (103.0, 5.0))


def test_takes_the_cheaper_venue_first_and_the_other_for_the_rest() -> None:
    legs = split(Side.BUY, D(2), None, [market("a", A), market("b", B)])
    assert legs == [Leg("a", D(1), D(100)), Leg("b", D(1), D(101))]


def test_fees_are_part_of_the_price() -> None:
    dear, cheap = market("a", A, fee="0.02"), market("b", B, fee="0")
    assert split(Side.BUY, D(2), None, [dear, cheap]) == [Leg("b", D(2), D(101))]


def test_selling_takes_the_highest_bids() -> None:
    a = market("a", (), ((99.0, 1.0), (97.0, 9.0)))
    b = market("b", (), ((98.0, 9.0),))
    legs = split(Side.SELL, D(3), None, [a, b])
    assert legs == [Leg("a", D(1), D(99)), Leg("b", D(2), D(98))]


def test_limit_bounds_what_is_taken() -> None:
    legs = split(Side.BUY, D(9), D("101"), [market("a", A), market("b", B)])
    assert legs == [Leg("a", D(1), D(100)), Leg("b", D(2), D(101))]


def test_the_last_legs_go_as_far_as_the_limit_and_no_further() -> None:
    markets = [market("a", A), market("b", B)]
    assert split(Side.BUY, D(2), D("104.005"), markets, at_limit=True) == [
        Leg("a", D(1), D("104.00")), Leg("b", D(1), D("104.00")),
    ]  # fmt: skip
    bids = market("a", (), ((99.0, 9.0),))
    assert split(Side.SELL, D(2), D("97.005"), [bids], at_limit=True)[0].price == D("97.01")


def test_money_has_to_cover_a_leg_at_the_price_that_it_may_pay() -> None:
    poor = market("a", A, fee="0", free="52")
    (leg,) = split(Side.BUY, D(1), D(104), [poor], at_limit=True)
    assert leg == Leg("a", D("0.5"), D(104))


def test_money_at_a_venue_bounds_its_leg_fee_included() -> None:
    poor = market("a", A, free="50.05")
    legs = split(Side.BUY, D(2), None, [poor, market("b", B)])
    assert legs == [Leg("a", D("0.5"), D(100)), Leg("b", D("1.5"), D(101))]


def test_part_of_a_lot_that_cannot_be_paid_here_is_bought_there() -> None:
    legs = split(Side.BUY, D(2), None, [market("a", A, free="50.0505"), market("b", B)])
    assert sum(leg.quantity for leg in legs) == 2


def test_leg_that_is_too_small_for_its_venue_goes_to_the_others() -> None:
    small = market("a", ((100.0, 0.01), (110.0, 9.0)), least="5")
    assert split(Side.BUY, D(2), None, [small, market("b", B)]) == [Leg("b", D(2), D(101))]


def test_rest_too_small_for_a_venue_is_made_enough_by_what_another_gives_up() -> None:
    poor = market("a", ((100.0, 9.0),), fee="0", free="99.99", least="5")
    legs = split(Side.BUY, D(1), None, [poor, market("b", ((101.0, 9.0),), least="5")])
    assert [leg.venue for leg in legs] == ["a", "b"]
    assert sum(leg.quantity for leg in legs) == 1
    assert all(leg.quantity * leg.price >= 5 for leg in legs)


def test_what_a_leg_gives_up_is_taken_to_the_last_lot() -> None:
    coarse = market("a", ((100.0, 9.0),), fee="0", free="50.5", least="5", lot="0.01")
    fine = market("b", ((101.0, 9.0),), fee="0", free="5.2", least="5", lot="0.0001")
    legs = split(Side.BUY, D("0.5055"), None, [coarse, fine])
    assert sum(leg.quantity for leg in legs) >= D("0.50")  # what the coarse one alone would take


def test_no_leg_gives_up_so_much_that_it_is_too_small_itself() -> None:
    poor = market("a", ((100.0, 9.0),), fee="0", free="5.5", least="5")
    legs = split(Side.BUY, D("0.06"), None, [poor, market("b", ((101.0, 9.0),), least="5")])
    assert legs == [Leg("a", D("0.055"), D(100))]


def test_more_venues_than_allowed_are_left_out_smallest_first() -> None:
    markets = [market("a", ((100.0, 1.0),)), market("b", ((101.0, 3.0),))]
    assert split(Side.BUY, D(4), None, markets, legs_max=1) == [Leg("b", D(3), D(101))]


def test_nothing_to_take_makes_no_leg() -> None:
    assert split(Side.BUY, D(1), D(50), [market("a", A)]) == []
    assert split(Side.BUY, D(1), None, []) == []


def test_best_price_is_that_of_the_one_book_of_all_venues() -> None:
    markets = [market("a", A, fee="0"), market("b", B, fee="0")]
    assert best_price(Side.BUY, D(2), markets) == D("100.5")
    assert best_price(Side.BUY, D(99), markets) is None


SIZES = st.floats(0.001, 5.0).map(lambda x: round(x, 3))
BOOKS = st.lists(
    st.tuples(st.floats(90.0, 110.0).map(lambda x: round(x, 2)), SIZES),
    max_size=6, unique_by=lambda level: level[0],
).map(lambda levels: tuple(sorted(levels)))  # fmt: skip


LOTS = st.sampled_from(["0.001", "0.00001", "0.1"])
KINDS = st.tuples(BOOKS, st.sampled_from(["0", "0.001", "0.01"]), LOTS)


@given(
    st.lists(KINDS, min_size=1, max_size=4),
    st.decimals("0.001", "12", places=3),
    st.none() | st.decimals("90", "110", places=2),
    st.none() | st.decimals("0", "300", places=2),
    st.sampled_from(["0", "5", "60"]),
    st.booleans(),
    st.sampled_from(Side),
)
def test_no_leg_takes_more_than_there_is_is_wanted_or_can_be_paid(
    books: list[tuple[Levels, str, str]], quantity: Decimal, limit: Decimal | None,
    free: Decimal | None, least: str, at_limit: bool, side: Side,
) -> None:  # fmt: skip
    buys = side is Side.BUY
    markets = [
        market(
            str(n), levels if buys else (), () if buys else levels[::-1], fee=fee, lot=lot,
            free=None if free is None else str(free), least=least,
        )
        for n, (levels, fee, lot) in enumerate(books)
    ]  # fmt: skip
    legs = split(side, quantity, limit, markets, at_limit=at_limit)
    total = sum((leg.quantity for leg in legs), D(0))
    assert total <= quantity
    with patch.object(planning, "_share"):
        alone = split(side, quantity, limit, markets, at_limit=at_limit)
    assert total >= sum((leg.quantity for leg in alone), D(0)), "giving up is not to lose anything"
    for leg in legs:
        levels, fee, lot = books[int(leg.venue)]
        exact = [(D(repr(price)), D(repr(size))) for price, size in levels]
        reached = [size for price, size in exact if (price - leg.price) * side.sign <= 0]
        assert leg.quantity <= sum(reached, D(0))
        assert not leg.quantity % D(lot)
        assert limit is None or (leg.price - limit) * side.sign <= 0
        assert leg.quantity * leg.price >= D(least)
        if free is not None:
            paid = leg.quantity * leg.price * (1 + D(fee)) if buys else leg.quantity
            assert paid <= free, "at its worst price"


@given(st.lists(BOOKS, min_size=1, max_size=3), st.decimals("0.001", "5", places=3))
def test_legs_pay_what_the_one_book_of_all_would(books: list[Levels], quantity: Decimal) -> None:
    markets = [market(str(n), asks, fee="0") for n, asks in enumerate(books)]
    best = best_price(Side.BUY, quantity, markets)
    legs = split(Side.BUY, quantity, None, markets)
    if best is None:
        return
    paid = D(0)
    for leg in legs:
        left = leg.quantity
        for price, size in books[int(leg.venue)]:
            paid += min(left, D(repr(size))) * D(repr(price))
            left -= min(left, D(repr(size)))
    assert sum((leg.quantity for leg in legs), D(0)) == quantity
    assert paid / quantity == pytest.approx(best)
