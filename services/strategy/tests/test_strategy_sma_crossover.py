"""SMA crossover: long from a crossing up to the crossing down, where the market pays for fees."""

from typing import Any

import msgspec
import pytest
from strategy_stories import Story, a_trade

from tickbus.events import OrderType, Side
from tickbus_strategy.strategies.sma_crossover import SmaCrossover, SmaCrossoverParams

EACH_TRADE = SmaCrossoverParams(bar_s=0, fast=2, slow=4, cooldown_s=0)
VALLEY = [103.0, 102.0, 101.0, 100.0, 100.0, 101.0]
"""The averages of 2 and of 4 cross at its last price but one more."""


def trades(story: Story, prices: list[float], begin: float = 0) -> list[Any]:
    """One trade a second."""
    out: list[Any] = []
    for second, price in enumerate(prices):
        out += story.tell(a_trade(begin + second, price))
    return out


def test_it_buys_when_fast_crosses_above_slow_and_sells_when_it_is_below() -> None:
    story = Story(SmaCrossover, EACH_TRADE)
    assert trades(story, VALLEY) == [], "2-average 100.5, 4-average 100.5: not above"
    (entry,) = trades(story, [102.0], 6)
    assert (entry.side, entry.order_type) == (Side.BUY, OrderType.MARKET)
    assert (entry.inputs["fast"], entry.inputs["slow"]) == ("101.5", "100.75")
    story.fill(entry, "102")
    assert trades(story, [103.0, 103.0, 103.0], 7) == []
    (leave,) = trades(story, [101.0], 10)
    assert leave.side is Side.SELL


def test_a_market_too_narrow_to_pay_two_fees_is_left_alone() -> None:
    flat = [1 + (price - 100) / 10_000 for price in VALLEY]
    story = Story(SmaCrossover, EACH_TRADE)
    assert trades(story, [price * 100 for price in [*flat, 1 + 2 / 10_000]]) == []
    assert float(story.decisions[-1].inputs["range_bps"]) < 20


def test_it_does_not_enter_into_a_trend_that_was_there_before_it() -> None:
    story = Story(SmaCrossover, EACH_TRADE)
    assert trades(story, [100.0, 101.0, 102.0, 103.0, 104.0]) == []


def test_a_bar_closes_at_its_last_price_when_the_next_one_trades() -> None:
    bars = msgspec.structs.replace(EACH_TRADE, bar_s=1.0)
    story = Story(SmaCrossover, bars)
    for second, price in enumerate([*VALLEY, 102.0]):
        assert story.tell(a_trade(second, 500.0), a_trade(second + 0.9, price)) == []
    (entry,) = story.tell(a_trade(9, 900.0))
    assert (entry.inputs["fast"], entry.inputs["slow"]) == ("101.5", "100.75")


def test_no_entry_within_the_cool_down() -> None:
    story = Story(SmaCrossover, msgspec.structs.replace(EACH_TRADE, cooldown_s=60.0))
    (entry,) = trades(story, [*VALLEY, 102.0])
    story.fill(entry, "102")
    (leave,) = trades(story, [90.0], 7)
    story.fill(leave, "90")
    assert trades(story, [*VALLEY, 102.0], 8) == []
    assert len(trades(story, [*VALLEY, 102.0], 70)) == 1


def test_averages_that_cannot_cross_are_refused() -> None:
    with pytest.raises(ValueError, match="fast = 50: must be below slow = 50"):
        SmaCrossoverParams(fast=50, slow=50)
