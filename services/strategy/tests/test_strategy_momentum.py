"""Momentum: follows a move that pays for its fees, leaves when it stops, then pauses."""

from typing import Any

from strategy_stories import Story, a_quote

from tickbus.events import OrderType, Side
from tickbus_strategy.strategies.momentum import Momentum, MomentumParams


def a_move(story: Story, bps: list[float], begin: float = 0) -> list[Any]:
    """One quote a second, each so many basis points above 100."""
    out: list[Any] = []
    for second, move in enumerate(bps):
        out += story.tell(a_quote(begin + second, 100 * (1 + move / 10_000)))
    return out


def test_it_enters_beyond_threshold_and_fees_only() -> None:
    params = MomentumParams(window_s=2, threshold_bps=10)
    quiet = Story(Momentum, params)
    assert a_move(quiet, [0, 10, 20, 29]) == [], "20 bps are fees"
    assert [decision.inputs["needed_bps"] for decision in quiet.decisions] == ["30.0", "30.0"]
    (order,) = a_move(Story(Momentum, params), [0, 10, 20, 45])
    assert (order.side, order.order_type) == (Side.BUY, OrderType.MARKET)
    assert float(order.inputs["velocity_bps"]) > 30


def test_it_leaves_when_velocity_crosses_zero_and_then_pauses() -> None:
    story = Story(Momentum, MomentumParams(window_s=2, threshold_bps=10, cooldown_s=5))
    (entry,) = a_move(story, [0, 10, 20, 45])
    story.fill(entry, "100.45")
    assert a_move(story, [60, 70], 4) == []
    (leave,) = a_move(story, [40], 6)
    assert leave.side is Side.SELL
    story.fill(leave, "100.4")
    assert a_move(story, [90, 140, 190], 7) == [], "cooling down"
    assert story.decisions[-1].inputs["cooling"] == "True"


def test_it_sells_short_only_when_allowed() -> None:
    fall = [0.0, -10.0, -20.0, -50.0]
    params = MomentumParams(window_s=2, threshold_bps=10)
    assert a_move(Story(Momentum, params), fall) == []
    bold = MomentumParams(window_s=2, threshold_bps=10, allow_short=True)
    (order,) = a_move(Story(Momentum, bold), fall)
    assert order.side is Side.SELL


def test_a_refused_sale_is_repeated_after_a_second_and_not_at_each_quote() -> None:
    story = Story(Momentum, MomentumParams(window_s=2, threshold_bps=10, cooldown_s=5))
    (entry,) = a_move(story, [0, 10, 20, 45])
    story.fill(entry, "100.45")
    (leave,) = a_move(story, [-40], 4)
    story.reject(leave)
    assert story.tell(a_quote(4.5, 99.0)) == []
    (again,) = story.tell(a_quote(5.1, 99.0))
    assert again.side is Side.SELL, "a position is closed whatever the cool-down says"
