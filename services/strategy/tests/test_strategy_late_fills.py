"""An order's end is told before its fills: nobody trades the same position twice."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tickbus.events import SubmitOrder
from tickbus_strategy.base import Strategy
from tickbus_strategy.desk import FILL_PATIENCE_NS
from tickbus_strategy.strategies.liquidation import Liquidation, LiquidationParams
from tickbus_strategy.strategies.momentum import Momentum, MomentumParams
from tickbus_strategy.strategies.ping_pong import PingPong, PingPongParams
from tickbus_strategy.strategies.sma_crossover import SmaCrossover, SmaCrossoverParams
from tickbus_strategy.testing import Story

Move = Callable[["Story[Any]", int], SubmitOrder | None]


def rising_quotes(story: "Story[Any]", step: int) -> SubmitOrder | None:
    story.wait(1)
    wishes = story.quote(100 + step, 100.01 + step)
    return wishes.orders[0] if wishes.orders else None


def still_quotes(story: "Story[Any]", step: int) -> SubmitOrder | None:
    return rising_quotes(story, 0)


def rising_trades(story: "Story[Any]", step: int) -> SubmitOrder | None:
    story.wait(1)
    wishes = story.trade(100 + step if step > 3 else 100 - step, size=1.0 + step)
    return wishes.orders[0] if wishes.orders else None


CASES: dict[str, tuple[type[Strategy], Any, Move]] = {
    "momentum": (Momentum, MomentumParams(window_s=1), rising_quotes),
    "ping-pong": (PingPong, PingPongParams(patience=0), still_quotes),
    "liquidation": (
        Liquidation,
        LiquidationParams(ticks=1, recent_ticks=1, average_ticks=3, volume_multiplier=1.01),
        rising_trades,
    ),
    "sma-crossover": (SmaCrossover, SmaCrossoverParams(fast=1, slow=3, bar_s=0), rising_trades),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_no_second_order_leaves_while_fills_of_the_first_are_still_to_be_told(name: str) -> None:
    kind, params, move = CASES[name]
    story = Story(kind, params)
    order = next(each for step in range(20) if (each := move(story, step)) is not None)
    story.expire(order, filled=order.quantity)
    for step in range(20, 40):
        assert move(story, step) is None, "what it bought is on its way"
    story.fill(order, 100)
    assert Decimal("0.99") * order.quantity <= abs(story.position.quantity) <= order.quantity


def test_a_fill_that_never_comes_is_not_waited_for_for_ever() -> None:
    story = Story(PingPong, PingPongParams(patience=0))
    order = story.quote(100, 100.01).order
    story.expire(order, filled=order.quantity)
    assert not story.quote(100, 100.01)
    story.wait(FILL_PATIENCE_NS / 1e9 + 1)
    assert story.quote(100, 100.01).order.quantity == order.quantity


def test_settled_is_when_nothing_works_and_every_fill_was_told() -> None:
    story = Story(PingPong, PingPongParams(patience=0))
    assert story.strategy.is_settled
    order = story.quote(100, 100.01).order
    assert not story.strategy.is_settled
    half = order.quantity / 2
    story.fill(order, 100, half)
    story.cancel(order, filled=half + Decimal("0.001"))
    assert not story.strategy.is_settled
    story.fill(order, 100, Decimal("0.001"))
    assert story.strategy.is_settled
