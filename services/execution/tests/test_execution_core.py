"""Execution's core: given approvals and the venue's reports, then order events and requests."""

from decimal import Decimal
from typing import Any

import msgspec
from execution_cores import (
    NOW,
    START,
    a_core,
    a_fill,
    an_order,
    approved,
    cancel,
    failed,
    kinds,
    report,
)
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    AccountReconciled,
    CancelRejected,
    CaughtUp,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderUnknown,
    SetTimer,
    TimerFired,
)
from tickbus.order import OrderState
from tickbus_execution.venue import (
    Alarm,
    Outcome,
    Request,
    VenueCancel,
    VenueQuery,
    VenueSnapshot,
    VenueStatus,
    VenueSubmit,
)


def test_approved_order_is_sent_once_and_said_to_be() -> None:
    core = a_core()
    request, submitted = core.handle(approved())
    assert isinstance(request, VenueSubmit)
    assert (request.order, request.symbol) == (an_order(), "BTCUSDT")
    assert isinstance(submitted, OrderSubmitted)
    assert core.handle(approved()) == (), "a repeat is not sent again"


def test_answer_with_fills_accepts_and_fills() -> None:
    core = a_core(approved())
    out: Any = core.handle(report(VenueStatus.FILLED, "2", [a_fill("1"), a_fill("2")]))
    assert kinds(out) == [OrderAccepted, OrderFilled, OrderFilled]
    assert (out[-1].filled_quantity, out[-1].leaves_quantity) == (2, 0)


def test_fill_told_by_the_stream_and_by_the_answer_is_published_once() -> None:
    core = a_core(approved())
    first = core.handle(report(VenueStatus.PARTIALLY_FILLED, "1", [a_fill("1")]))
    second = core.handle(report(VenueStatus.FILLED, "2", [a_fill("1"), a_fill("2")]))
    assert kinds(first) == [OrderAccepted, OrderFilled]
    assert kinds(second) == [OrderFilled]


def test_fill_that_was_not_told_is_asked_for_with_back_off() -> None:
    core = a_core(approved())
    out = core.handle(report(VenueStatus.FILLED, "2", [a_fill("2")]))
    assert kinds(out) == [OrderAccepted, OrderFilled, VenueQuery]
    again = core.handle(report(VenueStatus.FILLED, "2", [a_fill("2")]))
    assert kinds(again) == [SetTimer], "not at the speed of the round trip"


def test_refused_order_is_rejected_with_the_venues_words() -> None:
    (event,) = a_core(approved()).handle(failed(Request.SUBMIT, Outcome.REFUSED, "-2010"))
    assert isinstance(event, OrderRejected)
    assert (event.reason, event.detail[-7:]) == ("-2010", "; words")


def test_silence_is_unknown_until_the_venue_speaks() -> None:
    core = a_core(approved())
    unknown, timer = core.handle(failed(Request.SUBMIT, Outcome.UNKNOWN))
    assert isinstance(unknown, OrderUnknown)
    assert isinstance(timer, SetTimer)
    (question,) = core.handle(TimerFired(NOW, NOW, timer.key))
    assert isinstance(question, VenueQuery)
    assert kinds(core.handle(report(VenueStatus.NEW))) == [OrderAccepted]


def test_unanswered_question_proves_nothing() -> None:
    core = a_core(approved(), failed(Request.SUBMIT, Outcome.UNKNOWN))
    for _ in range(10):
        assert kinds(core.handle(failed(Request.QUERY, Outcome.UNKNOWN))) == [SetTimer]
    order = core.orders.get("s-r-1")
    assert order is not None
    assert order.state is OrderState.UNKNOWN


def test_order_not_found_twice_was_never_there() -> None:
    core = a_core(approved(), failed(Request.SUBMIT, Outcome.UNKNOWN))
    assert kinds(core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))) == [SetTimer]
    (event,) = core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))
    assert isinstance(event, OrderRejected)
    assert event.reason == "NOT_AT_VENUE"


def test_accepted_order_is_never_declared_rejected_because_it_is_not_found() -> None:
    core = a_core(approved(), report(VenueStatus.NEW), failed(Request.CANCEL, Outcome.UNKNOWN))
    for _ in range(5):
        assert kinds(core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))) == [SetTimer]


def test_cancel_goes_out_and_its_answer_closes_the_order() -> None:
    core = a_core(approved(), report(VenueStatus.NEW))
    (request,) = core.handle(cancel())
    assert isinstance(request, VenueCancel)
    assert kinds(core.handle(report(VenueStatus.CANCELED))) == [OrderCanceled]
    assert core.handle(report(VenueStatus.CANCELED)) == [], "said once"


def test_refused_cancel_is_told_and_the_order_asked_for() -> None:
    core = a_core(approved(), report(VenueStatus.NEW), cancel())
    out = core.handle(failed(Request.CANCEL, Outcome.REFUSED, "-2011", command_id="s-r-c1"))
    assert kinds(out) == [CancelRejected, VenueQuery]


def test_cancel_without_an_answer_is_sent_again_when_the_order_is_seen() -> None:
    core = a_core(approved(), report(VenueStatus.NEW), cancel())
    unknown, timer = core.handle(failed(Request.CANCEL, Outcome.UNKNOWN, command_id="s-r-c1"))
    assert (type(unknown), type(timer)) == (OrderUnknown, SetTimer)
    accepted, again = core.handle(report(VenueStatus.NEW))
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(again, VenueCancel)
    assert again.cancel == cancel().cancel
    assert kinds(core.handle(report(VenueStatus.CANCELED))) == [OrderCanceled]
    assert core.handle(report(VenueStatus.CANCELED)) == []


def test_report_while_a_cancel_is_under_way_does_not_repeat_it() -> None:
    core = a_core(approved(), report(VenueStatus.NEW), cancel())
    filled = core.handle(report(VenueStatus.PARTIALLY_FILLED, "1", [a_fill()]))
    assert kinds(filled) == [OrderFilled]


def test_cancel_of_before_the_start_that_nothing_answered_is_sent_when_the_order_is_seen() -> None:
    history = (approved(), *a_core(approved()).handle(report(VenueStatus.NEW)), cancel())
    core = a_core(history=history)
    snapshot = VenueSnapshot(NOW, NOW, (report(VenueStatus.NEW),), ())
    assert kinds(core.handle(snapshot)) == [VenueCancel, AccountReconciled]
    refused = CancelRejected(NOW, NOW, "s-r-1", "s", "sim", "BTC-USDT", "s-r-c1", "-2011", "no")
    answered = a_core(history=(*history, refused))
    assert kinds(answered.handle(snapshot)) == [AccountReconciled]


def test_fill_that_beat_the_cancel_is_published_after_it() -> None:
    core = a_core(approved(), report(VenueStatus.NEW), cancel(), report(VenueStatus.CANCELED))
    out = core.handle(report(VenueStatus.FILLED, "2", [a_fill("1", "2")]))
    assert OrderFilled in kinds(out)
    order = core.orders.get("s-r-1")
    assert order is not None
    assert order.state is OrderState.FILLED


def test_cancel_of_a_closed_or_unknown_order_is_rejected_by_us() -> None:
    core = a_core(approved(), report(VenueStatus.CANCELED))
    assert kinds(core.handle(cancel())) == [CancelRejected]
    assert kinds(core.handle(cancel("never-heard-of"))) == [CancelRejected]


def test_approval_from_before_the_start_is_asked_for_and_then_sent_once() -> None:
    core = a_core(backlog=True)
    (question,) = core.handle(approved())
    assert isinstance(question, VenueQuery)
    core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))
    out = core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))
    assert kinds(out) == [VenueSubmit, OrderSubmitted]


@given(st.lists(st.tuples(st.integers(-10, 10), st.booleans()), max_size=8), st.integers(0, 8))
def test_place_in_the_stream_and_no_clock_says_what_may_have_been_sent(
    approvals: list[tuple[int, bool]], before: int
) -> None:
    core = a_core(backlog=True)
    for number, (skew, told_before) in enumerate(approvals):
        if number == before:
            assert core.handle(CaughtUp(NOW, NOW)) == ()
        order_id = f"s-r-{number}"
        if told_before:  # said to be sent, by a process that was thought dead
            core._submitted[order_id] = None
        out = core.handle(approved(ts=START + skew, order_id=order_id))
        asked = number < before or told_before
        assert kinds(out) == ([VenueQuery] if asked else [VenueSubmit, OrderSubmitted])


def test_approval_from_before_the_start_that_is_at_the_venue_is_not_sent() -> None:
    core = a_core(approved(), backlog=True)
    assert kinds(core.handle(report(VenueStatus.NEW))) == [OrderAccepted]


def test_cancel_while_the_order_is_being_asked_for_is_sent_once_it_is_found() -> None:
    core = a_core(approved(), backlog=True)
    assert core.handle(cancel()) == ()
    assert VenueCancel in kinds(core.handle(report(VenueStatus.NEW)))


def test_approval_whose_end_is_in_the_history_is_never_sent_again() -> None:
    rejected = OrderRejected(1, 1, "s-r-1", "s", "sim", "BTC-USDT", "-2010", "")
    core = a_core(approved(), history=[rejected], backlog=True)
    for _ in range(4):
        out = core.handle(failed(Request.QUERY, Outcome.NOT_FOUND))
        assert VenueSubmit not in kinds(out)


def test_recovered_core_publishes_nothing_twice_and_knows_its_fills() -> None:
    submitted = OrderSubmitted(1, 1, "s-r-1", "s", "sim", "BTC-USDT")
    accepted = OrderAccepted(1, 1, "s-r-1", "s", "sim", "BTC-USDT", "77")
    filled = OrderFilled(
        1, 1, "s-r-1", "s", "sim", "BTC-USDT", "77", a_fill("41"), Decimal(1), Decimal(1)
    )
    core = a_core(history=[approved(1), submitted, accepted, filled])
    assert core.fill_cursor == {"BTC-USDT": "41"}
    out = core.handle(report(VenueStatus.PARTIALLY_FILLED, "1", [a_fill("41")]))
    assert list(out) == []


def test_overfill_is_booked_and_alarms() -> None:
    core = a_core(approved(), report(VenueStatus.FILLED, "2", [a_fill("1", "2")]))
    out: Any = core.handle(report(VenueStatus.FILLED, "3", [a_fill("2", "1")]))
    assert kinds(out) == [OrderFilled, Alarm]
    assert (out[1].kind, out[1].detail) == ("overfill", "order=s-r-1 quantity=2 filled=3")


def test_order_that_the_venue_cut_is_over_when_all_that_it_filled_is_told() -> None:
    core = a_core(approved())
    out = core.handle(report(VenueStatus.FILLED, "1.5", [a_fill("1", "1")]))
    assert kinds(out) == [OrderAccepted, OrderFilled, VenueQuery], "a fill is missing"
    _, ended = core.handle(report(VenueStatus.FILLED, "1.5", [a_fill("2", "0.5")]))
    assert isinstance(ended, OrderExpired)
    assert (ended.filled_quantity, ended.reason) == (Decimal("1.5"), "CUT_BY_VENUE")


def test_order_for_an_instrument_nobody_described_is_rejected_unsent() -> None:
    core = a_core()
    odd = msgspec.structs.replace(an_order(), instrument_id="X-Y")
    assert kinds(core.handle(OrderApproved(NOW, NOW, odd))) == [OrderRejected]


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), max_size=4))
def test_reports_in_any_order_and_repeated_fill_exactly_once(
    order: list[int], repeats: list[int]
) -> None:
    story = [
        report(VenueStatus.NEW),
        report(VenueStatus.PARTIALLY_FILLED, "0.5", [a_fill("1", "0.5")]),
        report(VenueStatus.PARTIALLY_FILLED, "1.5", [a_fill("2", "1")]),
        report(VenueStatus.FILLED, "2", [a_fill("3", "0.5")]),
    ]
    core = a_core(approved())
    out: list[Any] = []
    for index in [*order, *repeats]:
        out += core.handle(story[index])
    fills = [event for event in out if isinstance(event, OrderFilled)]
    assert sorted(event.fill.fill_id for event in fills) == ["1", "2", "3"]
    assert max(event.filled_quantity for event in fills) == 2
    assert kinds(out).count(OrderAccepted) == 1
    final = core.orders.get("s-r-1")
    assert final is not None
    assert final.state is OrderState.FILLED
    assert final.filled_quantity == 2
