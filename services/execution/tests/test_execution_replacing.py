"""Orders that replace others and orders that end at a time: given events, then requests."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus.events import (
    CancelApproved,
    CancelOrder,
    CancelRejected,
    Event,
    Fill,
    Instrument,
    LiquiditySide,
    MessageDead,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderType,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimeInForce,
    TimerFired,
)
from tickbus.order import Order, OrderState
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import (
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueCancel,
    VenueQuery,
    VenueSnapshot,
    VenueStatus,
    VenueSubmit,
)

START, NOW = 1_000, 2_000
INSTRUMENT = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.001")
)


def an_order(order_id: str = "s-r-1", **terms: Any) -> SubmitOrder:
    order = SubmitOrder(
        NOW, NOW, order_id, "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(2),
        Decimal(100),
    )  # fmt: skip
    return msgspec.structs.replace(order, **terms)


def approved(order_id: str = "s-r-1", **terms: Any) -> OrderApproved:
    return OrderApproved(NOW, NOW, an_order(order_id, **terms))


FIRST = approved()
SECOND = approved("s-r-2", replaces="s-r-1", price=Decimal(101))


def report(
    status: VenueStatus, filled: str = "0", order_id: str = "s-r-1", fills: Iterable[Fill] = ()
) -> OrderReport:
    return OrderReport(
        NOW, NOW, order_id, "BTC-USDT", f"v-{order_id}", status, Side.BUY, Decimal(2),
        Decimal(filled), tuple(fills),
    )  # fmt: skip


def failed(request: Request, outcome: Outcome, order_id: str = "s-r-1") -> RequestFailed:
    return RequestFailed(NOW, NOW, request, outcome, order_id, "BTC-USDT", "-2011", "words")


def a_core(*events: Event, history: Iterable[Event] = (), now: int = START) -> ExecutionCore:
    core = ExecutionCore("sim")
    core.handle(INSTRUMENT)
    for event in history:
        assert core.handle(event) == (), "history is silent"
    core.handle(Recovered(now, now))
    for event in events:
        core.handle(event)
    return core


def kinds(events: Iterable[Any]) -> list[type]:
    return [type(event) for event in events]


def the(core: ExecutionCore, order_id: str) -> Order:
    order = core.orders.get(order_id)
    assert order is not None
    return order


AT = (NOW, NOW, "s-r-1", "s", "sim", "BTC-USDT")
WORKING = (FIRST, report(VenueStatus.NEW))


def test_the_old_order_is_cancelled_first_and_the_new_one_waits() -> None:
    core = a_core(*WORKING)
    (cancel,) = core.handle(SECOND)
    assert isinstance(cancel, VenueCancel)
    assert (cancel.cancel.client_order_id, cancel.cancel.command_id) == ("s-r-1", "r-s-r-2")
    assert the(core, "s-r-1").state is OrderState.PENDING_REPLACE
    assert the(core, "s-r-2").state is OrderState.PENDING_NEW


def test_the_new_order_is_sent_when_the_old_one_is_over() -> None:
    core = a_core(*WORKING, SECOND)
    out: Any = core.handle(report(VenueStatus.CANCELED))
    assert kinds(out) == [OrderCanceled, OrderReplaced, VenueSubmit, OrderSubmitted]
    assert out[0].reason == "REPLACED"
    assert (out[2].order.quantity, out[2].order.price) == (Decimal(2), Decimal(101))


def test_what_the_old_order_had_filled_counts_even_before_its_fills_are_told() -> None:
    core = a_core(*WORKING, SECOND)
    out: Any = core.handle(report(VenueStatus.CANCELED, "0.5"))
    replaced = next(event for event in out if isinstance(event, OrderReplaced))
    sent = next(event for event in out if isinstance(event, VenueSubmit))
    assert replaced.quantity == sent.order.quantity == Decimal("1.5")
    assert the(core, "s-r-2").quantity == Decimal("1.5")


def test_an_order_that_was_filled_first_leaves_nothing_to_send() -> None:
    core = a_core(*WORKING, SECOND)
    fill = Fill(
        "1", Side.BUY, Decimal(100), Decimal(2), Decimal(0), "BTC", LiquiditySide.MAKER, NOW
    )
    out: Any = core.handle(report(VenueStatus.FILLED, "2", fills=[fill]))
    assert kinds(out) == [OrderFilled, OrderReplaced]
    assert out[-1].quantity == 0
    assert the(core, "s-r-2").state is OrderState.CANCELED


def test_an_order_that_is_over_already_is_replaced_at_once() -> None:
    core = a_core(*WORKING, report(VenueStatus.CANCELED, "0.5"))
    out: Any = core.handle(SECOND)
    assert kinds(out) == [OrderReplaced, VenueSubmit, OrderSubmitted]
    assert out[1].order.quantity == Decimal("1.5")


def test_a_cancel_without_an_answer_keeps_the_new_order_waiting() -> None:
    core = a_core(*WORKING, SECOND)
    out = core.handle(failed(Request.CANCEL, Outcome.UNKNOWN))
    assert VenueSubmit not in kinds(out)
    again = core.handle(report(VenueStatus.NEW))
    assert VenueCancel in kinds(again), "seen again, it is cancelled again"
    assert VenueSubmit in kinds(core.handle(report(VenueStatus.CANCELED)))


def test_an_order_that_cannot_be_cancelled_and_works_on_is_not_replaced() -> None:
    core = a_core(*WORKING, SECOND)
    out = core.handle(failed(Request.CANCEL, Outcome.REFUSED))
    assert kinds(out) == [CancelRejected, VenueQuery]
    out = core.handle(report(VenueStatus.NEW))
    assert kinds(out) == [OrderRejected]
    assert the(core, "s-r-2").reason == "REPLACED_ORDER_WORKING"
    assert the(core, "s-r-1").state is OrderState.OPEN


def test_a_cancel_of_the_waiting_order_ends_it_unsent() -> None:
    core = a_core(*WORKING, SECOND)
    wish = CancelOrder(NOW, NOW, "c", "s-r-2", "s", "sim", "BTC-USDT")
    assert kinds(core.handle(CancelApproved(NOW, NOW, wish))) == [OrderCanceled]
    assert VenueSubmit not in kinds(core.handle(report(VenueStatus.CANCELED)))


def test_after_a_restart_the_replacing_goes_on_where_it_was() -> None:
    submitted = OrderSubmitted(NOW, NOW, "s-r-1", "s", "sim", "BTC-USDT")
    core = a_core(history=(FIRST, submitted, SECOND), now=NOW)
    listed = report(VenueStatus.NEW)
    out = core.handle(VenueSnapshot(NOW, NOW, (listed,), ()))
    assert VenueQuery in kinds(out), "the new one may have been sent before"
    core.handle(failed(Request.QUERY, Outcome.NOT_FOUND, "s-r-2"))
    out = core.handle(failed(Request.QUERY, Outcome.NOT_FOUND, "s-r-2"))
    assert kinds(out) == [VenueCancel]
    out = core.handle(report(VenueStatus.CANCELED))
    assert kinds(out) == [OrderCanceled, OrderReplaced, VenueSubmit, OrderSubmitted]


def test_an_approval_that_was_never_sent_is_not_forgotten_by_a_second_restart() -> None:
    core = a_core(history=(FIRST,), now=NOW)
    out = core.handle(VenueSnapshot(NOW, NOW, (), ()))
    assert VenueQuery in kinds(out)
    core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))
    out = core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))
    assert kinds(out) == [VenueSubmit, OrderSubmitted]


GTD: dict[str, Any] = {"time_in_force": TimeInForce.GTD, "expires_ns": 9_000}


def test_an_order_good_till_a_time_is_cancelled_then_and_said_to_have_expired() -> None:
    core = a_core()
    out: Any = core.handle(approved(**GTD))
    assert kinds(out) == [VenueSubmit, OrderSubmitted, SetTimer]
    assert (out[-1].key, out[-1].at_ns) == ("expire/s-r-1", 9_000)
    core.handle(report(VenueStatus.NEW))
    (cancel,) = core.handle(TimerFired(9_000, 9_000, "expire/s-r-1"))
    assert isinstance(cancel, VenueCancel)
    out = core.handle(report(VenueStatus.CANCELED, "0.5"))
    assert isinstance(out[-1], OrderExpired)
    assert (out[-1].reason, out[-1].filled_quantity) == ("GTD", Decimal("0.5"))


def test_an_order_that_ended_before_its_time_is_left_alone() -> None:
    core = a_core(approved(**GTD), report(VenueStatus.CANCELED))
    assert core.handle(TimerFired(9_000, 9_000, "expire/s-r-1")) == ()


@pytest.mark.parametrize("status", [VenueStatus.NEW, VenueStatus.PARTIALLY_FILLED])
def test_after_a_restart_the_time_still_counts(status: VenueStatus) -> None:
    core = ExecutionCore("sim")
    core.handle(INSTRUMENT)
    core.handle(approved(**GTD))
    core.handle(OrderSubmitted(NOW, NOW, "s-r-1", "s", "sim", "BTC-USDT"))
    (timer,) = core.handle(Recovered(10_000, 10_000))
    assert isinstance(timer, SetTimer)
    assert timer.at_ns == 9_000, "long past: it fires at once"


THIRD = approved("s-r-3", replaces="s-r-1", price=Decimal(102))


def sent(events: Iterable[Any]) -> list[str]:
    return [event.order.client_order_id for event in events if isinstance(event, VenueSubmit)]


def never_there(core: ExecutionCore, order_id: str) -> list[Event]:
    """What follows when the venue has said twice that it has no such order."""
    told = failed(Request.QUERY, Outcome.NOT_FOUND, order_id)
    return [*core.handle(told), *core.handle(told)]


def test_a_place_is_taken_once() -> None:
    core = a_core(*WORKING, SECOND)
    (rejected,) = core.handle(THIRD)
    assert isinstance(rejected, OrderRejected)
    assert (rejected.client_order_id, rejected.reason) == ("s-r-3", "REPLACED_ORDER_TAKEN")
    assert sent(core.handle(report(VenueStatus.CANCELED))) == ["s-r-2"]


def test_an_order_that_waits_can_be_replaced_and_is_never_sent() -> None:
    core = a_core(*WORKING, SECOND)
    third = approved("s-r-3", replaces="s-r-2", price=Decimal(102))
    (canceled,) = core.handle(third)
    assert isinstance(canceled, OrderCanceled)
    assert (canceled.client_order_id, canceled.reason) == ("s-r-2", "NEVER_SENT")
    out = core.handle(report(VenueStatus.CANCELED, "0.5"))
    assert sent(out) == ["s-r-3"]
    assert the(core, "s-r-3").quantity == Decimal("1.5"), "what the first filled counts"


def test_after_a_restart_too_it_waits_for_the_order_that_works() -> None:
    third = approved("s-r-3", replaces="s-r-2", price=Decimal(102))
    history = [
        FIRST, OrderSubmitted(*AT), OrderAccepted(*AT, "v-s-r-1"), SECOND, third,
        OrderCanceled(NOW, NOW, "s-r-2", "s", "sim", "BTC-USDT", "", Decimal(0), "NEVER_SENT"),
    ]  # fmt: skip
    core = a_core(history=history)
    (cancel,) = never_there(core, "s-r-3")[1:]
    assert isinstance(cancel, VenueCancel)
    assert cancel.cancel.client_order_id == "s-r-1"
    assert sent(core.handle(report(VenueStatus.CANCELED))) == ["s-r-3"]


def test_an_order_whose_time_is_over_is_not_sent_after_a_restart() -> None:
    good_till = approved(time_in_force=TimeInForce.GTD, expires_ns=NOW)
    core = a_core(history=[good_till], now=NOW - 1)
    ended = never_there(core, "s-r-1")[-1]
    assert isinstance(ended, OrderExpired)
    assert (ended.reason, sent([ended])) == ("GTD", [])


def test_an_order_that_was_replaced_before_it_could_be_sent_is_not_sent() -> None:
    core = a_core(history=[FIRST], now=NOW - 1)
    assert core.handle(SECOND) == ()
    out = never_there(core, "s-r-1")
    assert (sent(out), the(core, "s-r-1").reason) == (["s-r-2"], "NEVER_SENT")


def test_what_was_sent_is_asked_for_whatever_the_clock_of_its_cause_says() -> None:
    core = a_core(history=[OrderSubmitted(*AT)], now=NOW - 1)
    assert kinds(core.handle(FIRST)) == [VenueQuery]


def test_a_dead_approval_that_is_replayed_is_not_sent() -> None:
    core = a_core(now=NOW + 1)
    (rejected,) = core.handle(MessageDead(NOW, NOW, FIRST, "KeyError"))
    assert isinstance(rejected, OrderRejected)
    assert kinds(core.handle(FIRST)) == [VenueQuery]
    assert sent(never_there(core, "s-r-1")) == []
