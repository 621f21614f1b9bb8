"""Cancels: a strategy's own pass, an operator's pass whatever they name, others are refused."""

from typing import Any

import msgspec
import pytest
from risk_cores import a_config, a_core

from tickbus import subjects
from tickbus.events import (
    CancelAllOrders,
    CancelApproved,
    CancelDenied,
    CancelOrder,
    DenialReason,
    OrderCanceled,
)
from tickbus.events.orders import message_id
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import D, S, an_order, report

R = DenialReason


def test_cancel_all_becomes_one_cancel_per_matching_working_order() -> None:
    core = a_core()
    for n in (1, 2, 3):
        core.handle(an_order(n))
    core.handle(an_order(1, strategy_id="x"))
    core.handle(report(OrderCanceled, an_order(2), S, "v", D(0)))
    outputs = core.handle(CancelAllOrders(S, S, "stop", strategy_id="pp"))
    named = [o.cancel.client_order_id for o in outputs if isinstance(o, CancelApproved)]
    assert named == ["pp-r-1", "pp-r-3"]
    assert len({message_id(output) for output in outputs}) == 2
    assert len(core.handle(CancelAllOrders(S, S, "all"))) == 3


def test_no_strategy_takes_the_orders_of_another_out_of_the_market() -> None:
    core = a_core()
    core.handle(an_order(1))
    theirs = CancelOrder(S, S, "c1", "pp-r-1", "x", "sim", "BTC-USDT")
    detail = "limit=pp value=x"
    assert core.handle(theirs) == (CancelDenied(S, S, theirs, R.CANCEL_NOT_OWNER, detail),)
    assert core.handle(CancelAllOrders(S, S, "all", strategy_id="pp", wisher="x")) == ()
    assert core.handle(CancelAllOrders(S, S, "all", wisher="x")) == ()
    for n, wisher in enumerate(("pp", "manual", "risk")):
        wish = CancelOrder(S, S, f"c{n}", "pp-r-1", wisher, "sim", "BTC-USDT")
        assert len(core.handle(wish)) == 1
    assert len(core.handle(CancelAllOrders(S, S, "all", strategy_id="pp", wisher="manual"))) == 1


def test_a_strategy_cancels_no_order_that_risk_does_not_know_and_an_operator_anything() -> None:
    wish = CancelOrder(S, S, "c1", "ext-77", "pp", "sim", "BTC-USDT")
    detail = "limit=an order of its own value=ext-77"
    denied = CancelDenied(S, S, wish, R.CANCEL_ORDER_UNKNOWN, detail)
    assert a_core().handle(wish) == (denied,)
    assert subjects.of(denied) == "orders.denied.pp"
    for operator in ("manual", "risk"):
        by_hand = msgspec.structs.replace(wish, strategy_id=operator)
        assert a_core().handle(by_hand) == (CancelApproved(S, S, by_hand),)


def test_a_strategy_cancels_its_own_order_before_and_after_it_is_over() -> None:
    core = a_core()
    wish = CancelOrder(S, S, "c1", "pp-r-1", "pp", "sim", "BTC-USDT")
    early: Any = core.handle(wish)[0]
    assert early.reason is R.CANCEL_ORDER_UNKNOWN
    core.handle(an_order(1))
    assert core.handle(wish) == (CancelApproved(S, S, wish),)
    core.handle(report(OrderCanceled, an_order(1), S, "v", D(0)))
    assert core.handle(wish) == (CancelApproved(S, S, wish),), "the venue's word decides"


@pytest.mark.parametrize("field", ["venue", "command_id", "client_order_id"])
def test_a_cancel_that_leads_nowhere_is_refused_whoever_wishes_it(field: str) -> None:
    for wisher in ("pp", "manual"):
        wish = CancelOrder(S, S, "c1", "unknown-1", wisher, "sim", "BTC-USDT")
        denied: Any = a_core().handle(msgspec.structs.replace(wish, **{field: "a.b"}))[0]
        assert denied.reason is R.ORDER_ID_INVALID
        assert denied.detail.endswith("value='a.b'")
        assert subjects.of(denied) == f"orders.denied.{wisher}"
        assert "." not in message_id(denied)


def test_cancels_in_the_history_are_answered_by_nobody_again() -> None:
    core = RiskCore(a_config())
    assert core.handle(CancelOrder(S, S, "c1", "unknown-1", "pp", "sim", "BTC-USDT")) == ()
