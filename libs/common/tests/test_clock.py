"""The machine's clock as services see it: it may be set forward, never back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.clock import WallClock

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS


class Machine:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000 * SECOND_NS
        self.steady = 5 * SECOND_NS
        self.clock = WallClock(lambda: self.wall, lambda: self.steady)

    def passes(self, ns: int) -> int:
        """What the clock says after `ns`."""
        self.wall += ns
        self.steady += ns
        return self.clock.now_ns()


def test_is_the_machines_clock() -> None:
    machine = Machine()
    assert [machine.passes(n) for n in (0, 1, 7 * SECOND_NS)] == [
        1_700_000_000 * SECOND_NS,
        1_700_000_000 * SECOND_NS + 1,
        1_700_000_007 * SECOND_NS + 1,
    ]
    assert machine.clock.ahead_ns == 0


def test_set_forward_follows_at_once() -> None:
    machine = Machine()
    before = machine.passes(0)
    machine.wall += HOUR_NS
    assert machine.passes(SECOND_NS) == before + HOUR_NS + SECOND_NS


def test_set_back_time_still_passes() -> None:
    machine = Machine()
    before = machine.passes(0)
    machine.wall -= HOUR_NS
    assert machine.passes(100 * SECOND_NS) == before + 99 * SECOND_NS
    assert machine.clock.ahead_ns == HOUR_NS - SECOND_NS


def test_how_far_it_is_ahead_does_not_hang_on_when_somebody_asked_last() -> None:
    machine = Machine()
    machine.passes(0)
    machine.wall -= HOUR_NS
    machine.passes(0)
    machine.wall += 100 * SECOND_NS
    machine.steady += 100 * SECOND_NS
    assert machine.clock.ahead_ns == HOUR_NS - SECOND_NS


def test_standing_still_between_its_looks_at_two_clocks_is_no_clock_set_back() -> None:
    now = [0]

    def stands_still() -> int:
        now[0] += 5 * SECOND_NS
        return now[0]

    for wall, steady in ((stands_still, lambda: now[0]), (lambda: now[0], stands_still)):
        clock = WallClock(wall, steady)
        for _ in range(5):
            assert clock.now_ns() <= now[0]
            assert clock.ahead_ns == 0


def test_set_back_is_right_again_in_the_end() -> None:
    machine = Machine()
    machine.passes(0)
    machine.wall -= SECOND_NS
    for _ in range(101):
        machine.passes(SECOND_NS)
    assert machine.passes(SECOND_NS) == machine.wall
    assert machine.clock.ahead_ns == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10 * SECOND_NS), st.integers(-2 * HOUR_NS, 2 * HOUR_NS) | st.just(0)
        )
    )
)
def test_an_age_is_never_negative_nor_ever_too_small(steps: list[tuple[int, int]]) -> None:
    machine = Machine()
    before = machine.passes(0)
    for passed, step in steps:
        machine.wall += step
        now = machine.passes(passed)
        assert now - before >= passed * 99 // 100
        before = now


@pytest.mark.parametrize("ns", [0, 1, SECOND_NS])
def test_a_clock_that_stands_still_does_not_run_back(ns: int) -> None:
    machine = Machine()
    before = machine.passes(0)
    machine.wall -= HOUR_NS
    machine.steady += ns
    assert machine.clock.now_ns() >= before
