"""The strategy service restored from a snapshot is the one that folded everything."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import FeeSchedule, Instrument, Recovered
from tickbus_strategy import Strategy
from tickbus_strategy.core import Seat, StrategyCore
from tickbus_strategy.desk import RUNS_MAX, Desk, Market
from tickbus_testkit.memories import (
    STRATEGIES,
    assert_snapshot_is_history,
    order_path,
    restored,
)

D = Decimal
LATER = 9_000_000_000
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))
FEES = FeeSchedule(maker=D("0.001"), taker=D("0.001"))


class OneOrder(Strategy):
    """Orders at the start, and cancels what works."""

    def on_start(self) -> None:
        for order in self.working_orders:
            self.cancel(order)
        self.buy(1, 100)


def a_core(run_id: str = "r1", names: tuple[str, ...] = STRATEGIES) -> StrategyCore:
    made = []
    for name in names:
        desk, market = Desk(name, run_id, FEES), Market("sim", "BTC-USDT")
        made.append(Seat(OneOrder(desk, market, OneOrder.Params()), desk, market))
    return StrategyCore(made)


@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False), cut=st.integers(0, 80))
def test_restored_strategies_know_and_say_what_the_whole_history_makes_them(
    random: Random, cut: int
) -> None:
    after = [Recovered(LATER, LATER), BTC]
    assert_snapshot_is_history(a_core, order_path(random, 80), cut, after)


def test_numbers_of_a_run_survive_snapshots_that_another_run_made() -> None:
    first = a_core("r1")
    for event in order_path(Random(5), 80):
        first.handle(event)
    other = restored(first, a_core("r9"))
    again = restored(other, a_core("r1"))
    for core in (first, again):
        core.handle(Recovered(LATER, LATER))
    assert again.handle(BTC) == first.handle(BTC)


def test_snapshot_of_other_strategies_is_refused() -> None:
    with pytest.raises(KeyError, match="mo"):
        restored(a_core(), a_core(names=("pp",)))


def test_runs_that_are_remembered_have_a_bound_and_our_own_is_kept() -> None:
    desk = Desk("pp", "mine", FEES)
    desk.remember_id("pp-mine-7")
    for number in range(RUNS_MAX + 50):
        desk.remember_id(f"pp-run{number}-1")
    assert len(desk.snapshot().numbers) == RUNS_MAX
    assert ("mine", 7, 0) in desk.snapshot().numbers
