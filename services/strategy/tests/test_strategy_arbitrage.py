"""Arbitrage between venues: given two markets, when prices part, then both legs and no bare one."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import (
    BookTop,
    FeeSchedule,
    Fill,
    Instrument,
    LiquiditySide,
    OrderCanceled,
    OrderFilled,
    Recovered,
    Side,
    StrategyDecision,
    SubmitOrder,
    TimeInForce,
    TradingState,
    TradingStateChanged,
)
from tickbus_strategy.core import Seat, StrategyCore, StrategyFailed
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.strategies.arbitrage import Arbitrage, ArbitrageParams
from tickbus_testkit.pretend_venue import PretendVenue

D = Decimal
SECOND = 1_000_000_000
FEE = FeeSchedule(maker=D("0.0005"), taker=D("0.001"))


def an_instrument(venue: str) -> Instrument:
    return Instrument(
        venue, "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"),
        quantity_min=D("0.001"), notional_min=D(5),
    )  # fmt: skip


class Two:
    """The venues `one` and `two`, with one arbitrage over both."""

    def __init__(self, venues: tuple[str, ...] = ("one", "two"), **params: Any) -> None:
        values: dict[str, Any] = {
            "order_notional": D(100), "max_position": D(3), "cooldown_s": 0, **params,
        }  # fmt: skip
        desk = Desk("arb", "r", FEE, dict.fromkeys(venues, FEE))
        markets = [Market(venue, "BTC-USDT") for venue in venues]
        self.strategy = Arbitrage(desk, markets, ArbitrageParams(**values))
        core = StrategyCore([Seat(self.strategy, desk, *markets)])
        self.venues = [PretendVenue(core, venue=venue) for venue in venues]
        for venue in self.venues:
            venue.neighbors = [other for other in self.venues if other is not venue]
            venue.give(an_instrument(venue.venue))
        self.began = self.venues[0].give(Recovered(SECOND, SECOND))

    @property
    def one(self) -> PretendVenue:
        return self.venues[0]

    @property
    def two(self) -> PretendVenue:
        return self.venues[1]

    @property
    def asked(self) -> list[SubmitOrder]:
        return sorted(
            (order for venue in self.venues for order in venue.asked), key=lambda o: o.ts_recv
        )

    def quote(self, one: float, two: float, after_s: float = 1.0) -> list[Any]:
        """Both mid prices, a cent to either side; what the strategy says to them."""
        now = max(venue.now for venue in self.venues)
        for venue in self.venues:
            venue.now = now
        self.two.bid, self.two.ask = two - 0.01, two + 0.01
        out = self.one.quote(round(one - 0.01, 2), round(one + 0.01, 2), after_s)
        self.two.now = self.one.now
        return [*out, *self.two.quote(round(two - 0.01, 2), round(two + 0.01, 2), 0)]

    def settle(self) -> None:
        for _ in range(20):
            if not any(venue.wishes or venue.untold for venue in self.venues):
                return
            for venue in self.venues:
                venue.settle()
        raise AssertionError("still wishing")

    @property
    def positions(self) -> tuple[Decimal, ...]:
        return tuple(venue.position for venue in self.venues)


def notes(out: list[Any]) -> list[dict[str, str]]:
    return [event.inputs for event in out if isinstance(event, StrategyDecision)]


# -- the story -------------------------------------------------------------------------------------


def test_it_buys_the_cheap_and_sells_the_dear_at_once() -> None:
    two = Two(min_profit_bps=5)
    two.quote(100.0, 100.5)
    buy, sell = two.asked
    assert (buy.venue, buy.side, buy.price) == ("one", Side.BUY, D("100.01"))
    assert (sell.venue, sell.side, sell.price) == ("two", Side.SELL, D("100.49"))
    assert buy.quantity == sell.quantity == D("0.999")
    assert buy.time_in_force is sell.time_in_force is TimeInForce.IOC
    two.settle()
    assert two.positions == (D("0.999"), D("-0.999"))


def test_the_difference_has_to_be_beyond_both_fees_and_the_wanted_profit() -> None:
    # From an ask of 100.01 both fees (10 bps each) and 5 bps of profit need a bid of 100.2603.
    two = Two(min_profit_bps=5)
    (*_, note) = notes(two.quote(100.0, 100.27))
    assert float(note["gain_bps"]) < 5
    assert two.asked == []
    two.quote(100.0, 100.28)
    assert len(two.asked) == 2


def test_it_takes_no_more_than_stands_at_both() -> None:
    two = Two(order_notional=D(1_000), max_position=D(50))
    two.one.ask_size, two.two.bid_size = 2.5, 0.7777
    two.quote(100.0, 101.0)
    assert [order.quantity for order in two.asked] == [D("0.777"), D("0.777")]


def test_inventory_at_each_venue_is_bounded_and_the_other_way_turns_it_back() -> None:
    two = Two(max_position=D("1.5"))
    for _ in range(5):
        two.quote(100.0, 101.0)
        two.settle()
    assert two.positions == (D("1.5"), D("-1.5"))
    for _ in range(8):
        two.quote(101.0, 100.0)
        two.settle()
    assert two.positions == (D("-1.497"), D("1.497")), "what is left to 1.5 is too little to trade"


def test_after_a_pair_it_pauses() -> None:
    two = Two(cooldown_s=5)
    two.quote(100.0, 101.0)
    two.settle()
    two.quote(100.0, 101.0)
    assert len(two.asked) == 2
    two.quote(100.0, 101.0, after_s=5)
    assert len(two.asked) == 4


def test_a_leg_that_was_missed_is_made_up_for_at_once_where_it_is_best() -> None:
    two = Two(max_leg_loss_bps=20)
    two.quote(100.0, 100.5)
    two.two.bid, two.two.ask = 100.38, 100.42  # the dear bid is gone before our order is there
    two.one.settle()
    two.two.answer()
    two.two.tell()
    hedge = two.asked[2]
    assert (hedge.venue, hedge.side, hedge.quantity) == ("two", Side.SELL, D("0.999"))
    assert hedge.price == D("100.29"), "20 bps less than the 100.49 that were meant, rounded up"
    assert hedge.inputs["missing_leg"] == "SELL"
    two.settle()
    assert sum(two.positions) == 0


def test_a_leg_whose_fill_is_told_after_its_end_is_not_made_up_for() -> None:
    two = Two(min_profit_bps=5)
    two.quote(100.0, 100.5)
    buy, sell = two.asked
    core, now = two.one.core, two.one.now + 1

    def head(order: SubmitOrder) -> dict[str, Any]:
        return {
            "ts_event": now, "ts_recv": now, "client_order_id": order.client_order_id,
            "strategy_id": "arb", "venue": order.venue, "instrument_id": "BTC-USDT",
            "venue_order_id": "v",
        }  # fmt: skip

    def fill(order: SubmitOrder) -> OrderFilled:
        price = order.price or D(0)
        taker = LiquiditySide.TAKER
        each = Fill(order.venue, order.side, price, order.quantity, D(0), "USDT", taker, now)
        return OrderFilled(
            **head(order), fill=each, filled_quantity=order.quantity, leaves_quantity=D(0)
        )

    canceled = OrderCanceled(**head(buy), filled_quantity=buy.quantity)
    out = [*core.handle(fill(sell)), *core.handle(canceled)]
    assert not [each for each in out if isinstance(each, SubmitOrder)]
    out = list(core.handle(fill(buy)))
    assert not [each for each in out if isinstance(each, SubmitOrder)]
    assert two.strategy.position_in(two.strategy.markets[0]).quantity == buy.quantity


def test_a_part_of_a_leg_is_made_up_for_too() -> None:
    two = Two(max_leg_loss_bps=20)
    two.quote(100.0, 100.5)
    two.two.bid_size = 0.4
    two.settle()
    assert [order.quantity for order in two.asked[2:]] == [D("0.599"), D("0.199")]
    assert sum(two.positions) == 0


def test_a_missing_leg_waits_while_the_market_is_too_far_away_and_nothing_else_is_traded() -> None:
    two = Two(max_leg_loss_bps=20)
    two.quote(100.0, 100.5)
    two.one.settle()
    two.two.bid = two.one.bid = 99.0
    two.two.ask = two.one.ask = 99.02
    two.quote(99.01, 99.02)
    two.two.settle()
    said = notes(two.quote(99.0, 99.5))
    assert "waits" in said[-1]["hedge"]
    assert len(two.asked) == 2, "99.5 against 99.0 would be a chance"
    two.quote(100.3, 100.3)
    two.settle()
    assert sum(two.positions) == 0


def test_a_refused_leg_pauses_it_and_the_other_is_turned_back() -> None:
    two = Two(refused_s=30, cooldown_s=0, max_leg_loss_bps=100)
    two.quote(100.0, 100.5)
    two.two.deny()
    two.settle()
    two.quote(100.0, 100.0, after_s=2)
    two.settle()
    assert sum(two.positions) == 0, "made up for"
    asked = len(two.asked)
    two.quote(100.0, 101.0)
    assert len(two.asked) == asked, "pausing"
    two.quote(100.0, 101.0, after_s=30)
    assert len(two.asked) == asked + 2


def test_old_prices_and_books_that_cannot_be_trusted_are_not_traded_on() -> None:
    two = Two(price_age_max_s=2)
    two.quote(100.0, 100.0)
    two.two.now += 3 * SECOND
    two.two.quote(100.99, 101.01, 0)
    assert two.asked == [], "the other's price is 3 s old"
    now = two.two.now
    two.one.give(BookTop(now, now, "one", "BTC-USDT", 99.99, 1.0, 100.01, 1.0, 1, 1, stale=True))
    two.two.quote(100.99, 101.01)
    assert two.asked == []


def test_fees_in_base_are_made_up_for_by_the_next_legs() -> None:
    two = Two(max_position=D(50))
    for n in range(30):
        two.quote(100.0 + n % 2, 101.0 - n % 2)
        for venue in two.venues:
            while venue.wishes:
                venue.answer()
            # As at a spot exchange: what was bought arrives less the fee.
            venue.untold = [in_base(event) for event in venue.untold]
            venue.tell()
        two.settle()
    net = sum(
        (two.strategy.position_in(m).quantity for m in two.strategy.markets), D(0)
    )  # fmt: skip
    assert len(two.asked) == 60
    assert abs(net) < D("0.003"), "30 pairs cost 0.03 in fees"


def in_base(event: Any) -> Any:
    fill = getattr(event, "fill", None)
    if fill is None or fill.side is Side.SELL:
        return event
    paid = msgspec.structs.replace(fill, fee=fill.quantity * FEE.taker, fee_asset="BTC")
    return msgspec.structs.replace(event, fill=paid)


def test_while_only_reducing_is_allowed_pairs_turn_back_what_is_held_and_nothing_more() -> None:
    two = Two(max_position=D(50))
    two.quote(100.0, 101.0)
    two.settle()
    states = (TradingState.ACTIVE, TradingState.REDUCING)
    two.one.give(TradingStateChanged(SECOND, SECOND, "global", *states, "ops", "a drill"))
    two.quote(100.0, 101.0)
    assert len(two.asked) == 2
    for _ in range(4):
        two.quote(102.0, 101.0)
        two.settle()
    assert sum(two.positions) == 0
    assert abs(two.one.position) < D("0.05"), "what is left is less than can be traded"
    assert two.one.position >= 0


def test_one_venue_alone_is_an_error_that_says_what_to_do() -> None:
    (failure, *_) = Two(venues=("one",)).began
    assert isinstance(failure, StrategyFailed)
    assert "give two or more in `venues`" in failure.error


def test_what_the_last_pair_was_meant_to_get_survives_a_restart() -> None:
    two = Two(max_leg_loss_bps=20)
    two.quote(100.0, 100.5)
    kept = msgspec.msgpack.encode(two.strategy.state)
    again = Two(max_leg_loss_bps=20)
    again.strategy.state = msgspec.msgpack.decode(kept, type=type(two.strategy.state))
    pair = again.strategy.state.pairs["BTC-USDT"]
    assert (pair.buy_price, pair.sell_price) == (100.01, 100.49)


# -- whatever happens ------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("quote"), st.integers(-150, 150), st.integers(-150, 150)),
    st.tuples(st.just("answer"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("answer"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("tell"), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("tell"), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("deny"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("thin"), st.integers(0, 1), st.integers(0, 1_200)),
)


@given(steps=st.lists(STEP, max_size=60))
@settings(max_examples=100, deadline=None)
def test_bounds_hold_and_no_leg_stays_bare(steps: list[tuple[str, int, int]]) -> None:
    bound = D("1.2")
    two = Two(max_position=bound, refused_s=0, max_leg_loss_bps=10_000)
    two.quote(100.0, 100.0)
    for what, number, more in steps:
        match what:
            case "quote":
                two.quote(100 + number / 100, 100 + more / 100)
            case "answer" if two.venues[number].wishes:
                two.venues[number].answer()
            case "tell":
                two.venues[number].tell(more)
            case "deny":
                two.venues[number].deny()
            case "thin":
                two.venues[number].bid_size = two.venues[number].ask_size = more / 1_000
        for venue in two.venues:
            # Even if all that is wished for fills, whatever of it is answered first.
            coming = [wish for wish in venue.wishes if isinstance(wish, SubmitOrder)]
            for side in Side:
                most = sum((w.quantity for w in coming if w.side is side), D(0))
                assert venue.position * side.sign + most <= bound
    for venue in two.venues:
        venue.bid_size = venue.ask_size = 100.0
    for _ in range(4):
        two.settle()
        two.quote(100.0, 100.0, after_s=2)
    two.settle()
    assert abs(sum(two.positions, D(0))) * 100 < 5, "less than can be traded"


@given(
    prices=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=40)
)
@settings(max_examples=50, deadline=None)
def test_every_pair_that_fills_gains_what_was_wanted(prices: list[tuple[int, int]]) -> None:
    two = Two(min_profit_bps=3, max_position=D(100))
    for one, other in prices:
        before = len(two.asked)
        two.quote(100 + one / 100, 100 + other / 100)
        pair = [order for order in two.asked[before:] if "gain_bps" in order.inputs]
        if pair:
            (buy,) = (o for o in pair if o.side is Side.BUY)
            (sell,) = (o for o in pair if o.side is Side.SELL)
            assert buy.price is not None
            assert sell.price is not None
            gain = sell.price * (1 - FEE.taker) - buy.price * (1 + FEE.taker)
            assert gain / buy.price * 10_000 >= D("2.999999")
            assert buy.venue != sell.venue
        two.settle()
