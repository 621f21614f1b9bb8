"""The test kit for strategies: what it tells is what a platform would tell."""

from decimal import Decimal

import msgspec
import pytest

from tickbus.events import (
    DenialReason,
    Fill,
    Liquidation,
    LiquiditySide,
    OrderType,
    Quote,
    Side,
    Trade,
)
from tickbus.order import Order
from tickbus_strategy import SpanningStrategy, Strategy
from tickbus_strategy.strategies.momentum import Momentum, MomentumParams
from tickbus_strategy.strategies.ping_pong import PingPongParams
from tickbus_strategy.testing import BTC_USDT, Story

D = Decimal


class DipParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`below`: buys from here on down. `hold_s`: then sells."""

    below: float = 100.0
    hold_s: float = 10.0


class Dip(Strategy):
    """Bids when it is cheap, sells some time after each fill, notes what it is told."""

    Params = DipParams
    params: DipParams

    def on_start(self) -> None:
        self.told: list[str] = []
        self.set_timer("second", 2)
        self.set_timer("first", 1)

    def on_quote(self, quote: Quote) -> None:
        if quote.ask < self.params.below:
            self.buy(1, quote.bid)

    def on_trade(self, trade: Trade) -> None:
        for order in self.working_orders:
            self.cancel(order)

    def on_order(self, order: Order) -> None:
        self.told.append(str(order.state))

    def on_fill(self, order: Order, fill: Fill) -> None:
        if fill.side is Side.BUY:
            self.set_timer("sell", self.params.hold_s)

    def on_timer(self, key: str) -> None:
        self.told.append(key)
        if key == "sell":
            self.sell(self.closable_quantity)
        if key == "raise":
            raise ZeroDivisionError("no luck")


def test_quote_order_fill_and_sale_after_a_while() -> None:
    story = Story(Dip, DipParams(below=50, hold_s=5))
    assert not story.quote(60, 61)
    order = story.quote(40, 41).order
    assert (order.side, order.quantity, order.price) == (Side.BUY, D(1), D(40))
    assert not story.fill(order)
    assert story.position.quantity == D("0.999"), "its fee is paid in what was bought"
    assert not story.wait(4.9)
    sale = story.wait(0.1).order
    assert (sale.side, sale.order_type, sale.quantity) == (Side.SELL, OrderType.MARKET, D("0.999"))
    story.fill(sale, 42, liquidity=LiquiditySide.MAKER)
    assert story.position.quantity == 0
    assert story.position.realized_pnl == D("1.998")
    ways = ["PENDING_NEW", "OPEN", "FILLED"]
    assert story.strategy.told == [*ways, "first", "second", "sell", *ways]


def test_fill_in_parts_leaves_a_working_order_which_it_cancels_once() -> None:
    story = Story(Dip)
    order = story.quote(40, 41).order
    story.fill(order, quantity=D("0.25"))
    (working,) = story.working_orders
    assert (working.filled_quantity, working.leaves_quantity) == (D("0.25"), D("0.75"))
    assert story.trade(40).cancels == (order.client_order_id,)
    assert not story.trade(40), "asked once until it is answered"
    story.cancel(order)
    assert not story.working_orders


def test_what_ends_an_order_without_a_fill() -> None:
    story = Story(Dip)
    story.deny(story.quote(40, 41).order, DenialReason.NOTIONAL_ABOVE_MAX)
    story.reject(story.quote(40, 41).order)
    story.expire(story.quote(40, 41).order)
    assert story.strategy.told == ["DENIED", "REJECTED", "PENDING_NEW", "OPEN", "EXPIRED"]


def test_book_that_is_stale_is_not_acted_on() -> None:
    story = Story(Dip)
    story.book(40, 41, stale=True)
    assert not story.quote(40, 41)
    story.book(40, 41)
    assert story.quote(40, 41).order.price == 40


def test_what_the_strategy_raises_is_seen_where_it_was_raised() -> None:
    story = Story(Dip)
    story.strategy.set_timer("raise", 1)
    story.quote(40, 41)
    with pytest.raises(ZeroDivisionError, match="no luck") as raised:
        story.wait(1)
    assert raised.traceback[-1].name == "on_timer"


def test_mistakes_of_the_test_itself_are_named() -> None:
    story = Story(Dip)
    with pytest.raises(TypeError, match="Dip takes DipParams"):
        Story(Dip, PingPongParams())
    with pytest.raises(AssertionError, match="one order was expected, there are 0"):
        _ = story.quote(140, 141).order
    other = Story(Dip, strategy_id="other").quote(40, 41).order
    with pytest.raises(ValueError, match="wished for no such order"):
        story.fill(other)
    sale = story.strategy.sell(1)
    assert sale is not None
    story.quote(140, 141)
    with pytest.raises(ValueError, match="give the price"):
        story.fill(sale)


def test_momentum_buys_what_rises_faster_than_it_costs() -> None:
    story = Story(Momentum, MomentumParams(window_s=2, threshold_bps=10))
    for mid in (100.0, 100.1, 100.2):
        assert not story.quote(mid - 0.01, mid + 0.01)
        story.wait(1)
    assert story.quote(100.44, 100.46).order.side is Side.BUY


class Both(SpanningStrategy):
    """Sells where it is dear when it bought where it is cheap."""

    def on_quote(self, quote: Quote) -> None:
        asks = {m.venue: m.quote.ask for m in self.markets if m.quote is not None}
        self.note(markets=len(asks), ask=quote.ask)
        if len(asks) == 2 and not self.working_in(self.markets[0]):
            cheap = min(self.markets, key=lambda market: asks[market.venue])
            self.buy(cheap, 1)


def test_strategy_over_several_markets_is_told_where() -> None:
    other = msgspec.structs.replace(BTC_USDT, venue="other")
    story = Story(Both, instruments=(BTC_USDT, other))
    assert not story.quote(100, 101)
    assert story.noted == {"markets": "1", "ask": "101"}
    order = story.quote(98, 99, at=other).order
    assert order.venue == "other"
    assert order.inputs == story.noted == {"markets": "2", "ask": "99"}
    story.fill(order, 99)
    assert story.position_at(other).quantity == D("0.999")
    assert story.position.quantity == 0
    with pytest.raises(TypeError, match="trades one instrument"):
        Story(Dip, instruments=(BTC_USDT, other))


def test_liquidation_is_told() -> None:
    class Heir(Strategy):
        def on_liquidation(self, liquidation: Liquidation) -> None:
            if liquidation.side is Side.SELL:
                self.buy(liquidation.size)

    assert not Story(Heir).liquidation(Side.BUY, 100)
    assert Story(Heir).liquidation(Side.SELL, 100, 2).order.quantity == 2
