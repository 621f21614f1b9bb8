"""Orders per fill: given what passed and filled of late, when an order comes, then a verdict."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_cores import a_core

from tickbus.events import (
    OrderApproved,
    OrderCanceled,
    RiskLimitChanged,
    SetLimit,
    Side,
    TimerFired,
)
from tickbus.limits import LimitError, StrategyLimits, VenueLimits, check
from tickbus_risk.core import RiskCore
from tickbus_risk.traffic import MINUTE_NS, MINUTES, Counts, Traffic
from tickbus_testkit.trading import D, S, a_fill, a_top, an_order, of_kind, report, verdict

PP: dict[str, Any] = {"strategies": {"pp": StrategyLimits(orders_per_fill_max=3)}}


def orders(core: RiskCore, *numbers: int, **changes: Any) -> list[str]:
    """The verdicts on small orders, each of which ends at once."""
    found = []
    for n in numbers:
        order = an_order(n, quantity="0.01", **changes)
        found.append(verdict(core, order))
        if not found[-1]:
            core.handle(report(OrderCanceled, order, order.ts_recv, "v", D(0)))
    return found


def test_it_is_off_unless_somebody_sets_it() -> None:
    assert set(orders(a_core(), *range(1, 60))) == {""}


def test_a_strategy_gets_so_many_orders_for_a_fill() -> None:
    core = a_core(**PP)
    assert orders(core, 1, 2, 3) == ["", "", ""]
    assert orders(core, 4) == ["ORDERS_PER_FILL_ABOVE_MAX limit=3/1 value=4/0 scope=strategy:pp"]
    assert orders(core, 4, strategy_id="x") == [""], "another strategy has no such limit"
    core.handle(a_fill(an_order(1), 1, "0.01"))
    assert orders(core, 5)[0].endswith("value=4/1 scope=strategy:pp"), "the first is for nothing"
    core.handle(a_fill(an_order(2), 2, "0.01"))
    assert orders(core, 6, 7, 8) == ["", "", ""]
    assert orders(core, 9)[0].endswith("value=7/2 scope=strategy:pp")


def test_an_account_has_its_own_ratio_and_so_has_everything_together() -> None:
    core = a_core(venues={"sim": VenueLimits(orders_per_fill_max=2)})
    assert orders(core, 1) == orders(core, 2, strategy_id="x") == [""]
    assert orders(core, 3)[0].endswith("limit=2/1 value=3/0 scope=venue:sim")
    core = a_core(orders_per_fill_max=1)
    assert orders(core, 1) == [""]
    assert orders(core, 2, strategy_id="x")[0].endswith("limit=1/1 value=2/0 scope=global")


def test_a_fill_told_twice_or_of_a_stranger_counts_once_or_not() -> None:
    core = a_core(orders_per_fill_max=2)
    orders(core, 1, 2)
    for _ in range(3):
        core.handle(a_fill(an_order(1), 1, "0.01"))
    core.handle(a_fill(an_order(7, strategy_id="external"), 2, "0.01"))
    assert orders(core, 3)[0].endswith("value=3/1 scope=global")


def test_what_only_reduces_is_never_kept_from_it() -> None:
    core = a_core(**PP)
    core.handle(a_fill(an_order(90), 1))
    assert orders(core, 1, 2, 3) == ["", "", ""]
    assert orders(core, 4)[0].startswith("ORDERS_PER_FILL")
    assert verdict(core, an_order(5, Side.SELL, "0.5", reduce_only=True)) == ""


def test_after_ten_minutes_there_is_room_again() -> None:
    core = a_core(**PP)
    orders(core, 1, 2, 3)
    for minutes, passes in ((MINUTES - 1, False), (MINUTES, True)):
        now = S + minutes * MINUTE_NS
        core.handle(TimerFired(now, now, "later"))
        core.handle(a_top(ts=now))
        assert (orders(core, 10 + minutes, ts_recv=now) == [""]) is passes


def test_it_is_set_and_taken_back_at_run_time_and_what_passed_before_counts() -> None:
    core = a_core()
    orders(core, 1, 2, 3)
    wish = SetLimit(2 * S, 2 * S, "strategy:pp", "orders_per_fill_max", D(3), "ada", "too busy")
    (changed,) = of_kind(core.handle(wish), RiskLimitChanged)
    assert (changed.before, changed.after, changed.problem) == (None, D(3), "")
    assert orders(core, 4)[0].endswith("limit=3/1 value=4/0 scope=strategy:pp")
    back = SetLimit(3 * S, 3 * S, "strategy:pp", "orders_per_fill_max", None, "ada", "calm")
    core.handle(back)
    assert orders(core, 5) == [""]


def test_a_limit_that_lets_nothing_pass_is_refused() -> None:
    for value in (0, "0.5", -1):
        with pytest.raises(LimitError, match="orders_per_fill_max"):
            check("strategy:pp", "orders_per_fill_max", value)
    with pytest.raises(LimitError, match="cannot be set for instrument"):
        check("instrument:BTC-USDT", "orders_per_fill_max", 5)


def test_a_restart_knows_what_passed() -> None:
    passed = [OrderApproved(S, S, an_order(n, quantity="0.01")) for n in (1, 2, 3)]
    assert orders(a_core(*passed, **PP), 4)[0].endswith("value=4/0 scope=strategy:pp")


@given(st.lists(st.tuples(st.integers(0, 3 * MINUTE_NS), st.booleans()), max_size=60))
def test_counts_are_those_of_the_window(steps: list[tuple[int, bool]]) -> None:
    traffic, now, told = Traffic(), 0, []
    for wait_ns, is_fill in steps:
        now += wait_ns
        told.append((now, is_fill))
        if is_fill:
            traffic.fill("pp", "sim", now)
        else:
            traffic.order(an_order(), now)
        first = now // MINUTE_NS - MINUTES + 1
        recent = [fill for ts, fill in told if ts // MINUTE_NS >= first]
        expected = Counts(recent.count(False), recent.count(True))
        for scope in ("global", "venue:sim", "strategy:pp"):
            assert traffic.counts(scope, now) == expected
    again = Traffic()
    again.restore(traffic.snapshot())
    assert again.snapshot() == traffic.snapshot()
    assert len(traffic.snapshot()) <= 3 * MINUTES
