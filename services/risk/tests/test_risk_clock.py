"""A strategy's clock is its own: what it says the time is stops nobody else."""

from typing import Any

import pytest
from risk_cores import a_core

from tickbus.events import (
    CancelAllOrders,
    CancelOrder,
    Event,
    Heartbeat,
    OrderApproved,
    Recovered,
)
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import D, S, a_top, an_instrument, an_order

YEAR = 365 * 86_400 * S


@pytest.mark.parametrize(
    "wish",
    [
        an_order(1, strategy_id="x", ts_recv=YEAR),
        CancelOrder(YEAR, YEAR, "c1", "x-r-9", "x", "sim", "BTC-USDT"),
        CancelAllOrders(YEAR, YEAR, "c2", strategy_id="x", wisher="x"),
        Heartbeat(YEAR, YEAR, "x"),
    ],
    ids=lambda wish: type(wish).__name__,
)
def test_a_wish_of_next_year_makes_no_market_old_for_others(wish: Event) -> None:
    core = a_core()
    core.handle(wish)
    (verdict,) = core.handle(an_order(1))
    assert isinstance(verdict, OrderApproved), verdict
    again = RiskCore(core._watch.config, {"sim": D("0.001")})
    for event in (an_instrument("BTC-USDT"), wish, Recovered(S, S), a_top()):
        again.handle(event)
    (verdict,) = again.handle(an_order(1))
    assert isinstance(verdict, OrderApproved), "nor after a restart"


def test_an_order_of_next_year_is_dated_now_and_uses_up_no_rate_of_others() -> None:
    core = a_core(order_rate_per_s_max=2, total_order_rate_per_s_max=2)
    for number in (1, 2):
        (verdict,) = core.handle(an_order(number, strategy_id="x", ts_recv=YEAR))
        assert isinstance(verdict, OrderApproved)
        assert verdict.ts_recv == verdict.order.ts_recv == S
    core.handle(a_top(ts=3 * S))
    later: Any = core.handle(an_order(1, ts_recv=3 * S))[0]
    assert isinstance(later, OrderApproved), later
