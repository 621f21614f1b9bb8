"""Liquidation: goes with a fast move on heavy volume, leaves when the volume is gone."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategy_stories import Story, a_liquidation, a_trade

from tickbus.events import OrderType, Side
from tickbus_strategy.strategies.liquidation import Liquidation, LiquidationParams

PARAMS = LiquidationParams(
    ticks=3, price_threshold=20, volume_multiplier=2, recent_ticks=2, average_ticks=10,
    cooldown_s=5, confirm_s=5,
)  # fmt: skip
CALM = [(100.0, 1.0)] * 10
CASCADE = [(99.9, 4.0), (99.7, 6.0)]
"""30 basis points down in two trades, of five times the usual size."""


def trades(story: Story, ticks: list[tuple[float, float]], begin: float = 0) -> list[Any]:
    """(price, size), ten a second."""
    out: list[Any] = []
    for n, (price, size) in enumerate(ticks):
        out += story.tell(a_trade(begin + n / 10, price, size))
    return out


@pytest.mark.parametrize(("sign", "side"), [(1, Side.BUY), (-1, Side.SELL)])
def test_it_goes_with_the_move_on_heavy_volume_up_and_down(sign: int, side: Side) -> None:
    story = Story(Liquidation, PARAMS)
    move = [(100 + sign * (100 - price), size) for price, size in CASCADE]
    (entry,) = trades(story, [*CALM, *move])
    assert (entry.side, entry.order_type) == (side, OrderType.MARKET)
    assert abs(float(entry.inputs["velocity_bps"])) == pytest.approx(30)
    assert (entry.inputs["recent_volume"], entry.inputs["rolling_volume"]) == ("5.0", "1.8")


def test_a_fast_move_on_usual_volume_is_no_cascade() -> None:
    story = Story(Liquidation, PARAMS)
    assert trades(story, [*CALM, *((price, 1.0) for price, _ in CASCADE)]) == []


def test_heavy_volume_without_a_move_is_no_cascade() -> None:
    story = Story(Liquidation, PARAMS)
    assert trades(story, [*CALM, *((100.0, size) for _, size in CASCADE)]) == []


def test_it_leaves_when_the_recent_volume_is_back_at_the_rolling_average_and_pauses() -> None:
    story = Story(Liquidation, PARAMS)
    (entry,) = trades(story, [*CALM, *CASCADE])
    story.fill(entry, "99.7")
    assert trades(story, [(99.6, 2.0)], 2) == [], "(6 + 2) / 2 is above the average still"
    (leave,) = trades(story, [(99.6, 1.0)], 3)
    assert leave.side is Side.BUY
    story.fill(leave, "99.6")
    assert trades(story, [(99.5, 9.0), (99.0, 9.0)], 4) == [], "cooling down"


def test_where_the_venue_tells_of_forced_orders_one_in_the_direction_must_confirm() -> None:
    wrong_side = Story(Liquidation, PARAMS)
    wrong_side.tell(a_liquidation(0.5, Side.BUY))
    assert trades(wrong_side, [*CALM, *CASCADE]) == []
    assert wrong_side.decisions[-1].inputs["confirmed"] == "False"

    too_old = Story(Liquidation, PARAMS)
    too_old.tell(a_liquidation(0, Side.SELL))
    assert trades(too_old, [*CALM, *CASCADE], 10) == []

    right = Story(Liquidation, PARAMS)
    right.tell(a_liquidation(0.5, Side.SELL))
    assert [order.side for order in trades(right, [*CALM, *CASCADE])] == [Side.SELL]


def test_that_the_venue_tells_survives_a_restart() -> None:
    story = Story(Liquidation, PARAMS)
    assert not story.strategy.state.venue_tells
    story.tell(a_liquidation(0, Side.SELL))
    again = Story(Liquidation, PARAMS)
    again.strategy.state = story.strategy.state
    assert trades(again, [*CALM, *CASCADE], 60) == [], "no forced order within confirm_s"


def test_confirmation_can_be_waived() -> None:
    story = Story(Liquidation, msgspec.structs.replace(PARAMS, confirm_s=0.0))
    story.tell(a_liquidation(0.5, Side.BUY))
    assert len(trades(story, [*CALM, *CASCADE])) == 1


def test_falls_are_left_alone_where_it_may_not_go_short() -> None:
    story = Story(Liquidation, msgspec.structs.replace(PARAMS, allow_short=False))
    assert trades(story, [*CALM, *CASCADE]) == []


ticks = st.lists(
    st.tuples(st.sampled_from([99.5, 99.9, 100.0, 100.1, 100.6]), st.sampled_from([1.0, 2.0, 9.0])),
    min_size=10, max_size=60,
)  # fmt: skip


@given(ticks)
def test_whatever_trades_an_entry_needs_both_conditions(tape: list[tuple[float, float]]) -> None:
    story, seen = Story(Liquidation, PARAMS), list[tuple[float, float]]()
    for n, (price, size) in enumerate(tape):
        seen.append((price, size))
        orders = story.tell(a_trade(n, price, size))
        if orders:
            velocity = (price / seen[-4][0] - 1) * 10_000
            recent = sum(s for _, s in seen[-2:]) / 2
            rolling = sum(s for _, s in seen[-10:]) / 10
            assert abs(velocity) > 20
            assert recent > 2 * rolling
            assert orders[0].side is (Side.BUY if velocity > 0 else Side.SELL)
            return


def test_a_recent_average_longer_than_the_rolling_one_is_refused() -> None:
    with pytest.raises(ValueError, match="recent_ticks = 10: must be below average_ticks = 10"):
        LiquidationParams(recent_ticks=10, average_ticks=10)
