"""Looks at the account: what is missing, what is a stranger's, and how each difference is told."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from execution_cores import NOW, a_core, a_fill, an_order, approved, cancel, failed, kinds, report

from tickbus.events import (
    AccountReconciled,
    DifferenceFound,
    DifferenceKind,
    FoundOrder,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    ReconciliationCause,
    SetTimer,
    Side,
    TimerFired,
)
from tickbus.order import OrderState
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import (
    ForeignFill,
    Outcome,
    Request,
    VenueQuery,
    VenueReconcile,
    VenueSnapshot,
    VenueStatus,
)


def test_reconciliation_asks_for_what_the_venue_does_not_list() -> None:
    core = a_core(approved(), report(VenueStatus.NEW))
    out: Any = core.handle(VenueSnapshot(NOW, NOW, (), ()))
    assert kinds(out) == [VenueQuery, AccountReconciled]
    assert (out[-1].asked, out[-1].differences) == (1, 0)
    listed = VenueSnapshot(NOW, NOW, (report(VenueStatus.NEW),), ())
    (told,) = core.handle(listed)
    assert isinstance(told, AccountReconciled)
    assert (told.open_orders, told.asked, told.differences) == (1, 0, 0)


def test_order_that_was_heard_of_since_the_list_was_asked_for_is_not_doubted() -> None:
    core = a_core(approved(), report(VenueStatus.NEW))
    before = msgspec.structs.replace(VenueSnapshot(NOW, NOW, (), ()), ts_asked=1)
    assert kinds(core.handle(before)) == [AccountReconciled]
    assert kinds(core.handle(report(VenueStatus.CANCELED))) == [OrderCanceled], "told, not missed"


@pytest.mark.parametrize("terms", [{}, {"cause": ReconciliationCause.CONNECTED, "ts_asked": 1}])
def test_where_nothing_else_is_told_meanwhile_every_order_that_is_not_listed_is_doubted(
    terms: Any,
) -> None:
    """Whatever time it has from a machine whose clock is ahead of ours."""
    core = a_core(approved(), report(VenueStatus.NEW))
    look = VenueSnapshot(NOW - 500, NOW - 500, (), (), **terms)
    assert kinds(core.handle(look)) == [VenueQuery, AccountReconciled]


def test_list_that_is_older_than_what_is_known_does_not_turn_an_order_back() -> None:
    core = a_core(approved(), report(VenueStatus.NEW), cancel())
    core.handle(failed(Request.CANCEL, Outcome.UNKNOWN))
    listed = (report(VenueStatus.NEW),)
    assert kinds(core.handle(VenueSnapshot(NOW, NOW, listed, (), ts_asked=1))) == [
        AccountReconciled
    ]
    order = core.orders.get("s-r-1")
    assert order is not None
    assert order.state is OrderState.UNKNOWN


def test_order_of_which_the_look_itself_brings_a_fill_is_doubted_all_the_same() -> None:
    """It was filled in part and cancelled while nobody listened."""
    core = a_core(approved(), report(VenueStatus.NEW))
    missed = ForeignFill("BTC-USDT", "77", a_fill("9", "1"))
    look = VenueSnapshot(NOW + 20, NOW + 20, (), (missed,), ts_asked=NOW + 10)
    assert kinds(core.handle(look)) == [OrderFilled, DifferenceFound, VenueQuery, AccountReconciled]


def test_each_correction_of_the_books_names_the_difference_and_why_it_was_looked_for() -> None:
    core = a_core(approved(), report(VenueStatus.NEW))
    missed = ForeignFill("BTC-USDT", "77", a_fill("9", "2"))
    asked = ReconciliationCause.ASKED
    out: Any = core.handle(VenueSnapshot(NOW, NOW, (), (missed,), asked))
    assert kinds(out) == [OrderFilled, DifferenceFound, AccountReconciled]
    assert (out[1].kind, out[1].cause) == (DifferenceKind.MISSED_FILL, asked)
    assert out[1].detail == "event=OrderFilled fill_id=9 side=BUY price=100 quantity=2"
    assert out[2].differences == 1


def test_answer_about_an_order_that_was_not_listed_is_a_difference_too() -> None:
    core = a_core(approved(), report(VenueStatus.NEW))
    core.handle(VenueSnapshot(NOW, NOW, (), (), ReconciliationCause.CONNECTED))
    out: Any = core.handle(report(VenueStatus.CANCELED))
    assert kinds(out) == [OrderCanceled, DifferenceFound]
    assert (out[1].kind, out[1].cause) == (
        DifferenceKind.ORDER_STATE, ReconciliationCause.CONNECTED,
    )  # fmt: skip
    assert kinds(core.handle(report(VenueStatus.CANCELED))) == [], "once"


def test_fill_during_a_disconnect_is_found_in_the_history_of_the_account() -> None:
    core = a_core(approved(), report(VenueStatus.NEW))
    missed = ForeignFill("BTC-USDT", "77", a_fill("9", "2"))
    out = core.handle(VenueSnapshot(NOW, NOW, (), (missed,)))
    assert OrderFilled in kinds(out)


def parked_timer(seconds: int = 3) -> TimerFired:
    ts = NOW + seconds * 1_000_000_000
    return TimerFired(ts, ts, "parked fills")


def test_fill_of_a_stranger_is_booked_as_external_once_no_order_of_ours_can_be_meant() -> None:
    core = a_core()
    strange = ForeignFill("BTC-USDT", "900", a_fill("9"))
    assert SetTimer in kinds(core.handle(VenueSnapshot(NOW, NOW, (), (strange,))))
    out: Any = core.handle(parked_timer())
    assert [e.kind for e in out if isinstance(e, DifferenceFound)] == [
        DifferenceKind.EXTERNAL_ORDER, DifferenceKind.EXTERNAL_FILL,
    ]  # fmt: skip
    told = [kind for kind in kinds(out) if kind is not DifferenceFound]
    assert told == [OrderSubmitted, OrderAccepted, OrderFilled]
    assert {event.strategy_id for event in out} == {"external"}
    assert core.handle(parked_timer(6)) == []


def test_order_of_a_stranger_that_traded_in_parts_is_as_large_as_they_are_together() -> None:
    core = a_core()
    parts = [
        ForeignFill("BTC-USDT", "900", a_fill(n, size)) for n, size in (("9", "2"), ("10", "3"))
    ]
    other = ForeignFill("BTC-USDT", "901", a_fill("11", "7"))
    core.handle(VenueSnapshot(NOW, NOW, (), (*parts, other)))
    out: Any = core.handle(parked_timer())
    told = [e for e in out if isinstance(e, OrderSubmitted)]
    assert [e.found.quantity for e in told if e.found] == [Decimal(5), Decimal(7)]
    fills = [(e.client_order_id, e.leaves_quantity) for e in out if isinstance(e, OrderFilled)]
    assert fills == [("ext-900", Decimal(3)), ("ext-900", Decimal(0)), ("ext-901", Decimal(0))]


def test_looking_often_does_not_put_off_the_fill_of_a_stranger() -> None:
    core = a_core()
    strange = ForeignFill("BTC-USDT", "900", a_fill("9"))
    core.handle(VenueSnapshot(NOW, NOW, (), (strange,)))
    again = NOW + 1_000_000_000
    assert SetTimer not in kinds(core.handle(VenueSnapshot(again, again, (), (strange,))))
    assert OrderFilled in kinds(core.handle(parked_timer()))


@pytest.mark.parametrize("restarted", [True, False])
def test_own_fill_whose_order_has_no_venue_id_yet_is_never_booked_as_external(
    restarted: bool,
) -> None:
    if restarted:
        submitted = OrderSubmitted(1, 1, "s-r-1", "s", "sim", "BTC-USDT")
        core = a_core(history=[approved(1), submitted])
    else:
        core = a_core(approved(), failed(Request.SUBMIT, Outcome.UNKNOWN))
    ours = ForeignFill("BTC-USDT", "77", a_fill("9", "2"))
    out = core.handle(VenueSnapshot(NOW, NOW, (), (ours,)))
    assert OrderFilled not in kinds(out)
    assert kinds(core.handle(parked_timer())) == [SetTimer], "it is still not known whose it is"
    answered: Any = core.handle(report(VenueStatus.FILLED, "2", [a_fill("9", "2")]))
    assert [e.client_order_id for e in answered if isinstance(e, OrderFilled)] == ["s-r-1"]
    assert core.handle(parked_timer(6)) == []


def a_core_with_a_stop() -> ExecutionCore:
    terms = {"order_type": OrderType.STOP_MARKET, "price": None, "trigger_price": Decimal(101)}
    approval = OrderApproved(NOW, NOW, msgspec.structs.replace(an_order(), **terms))
    return a_core(approval, report(VenueStatus.NEW, venue_id="algo-s-r-1"))


def test_fill_of_a_triggered_order_is_not_external_before_a_look_has_named_it() -> None:
    core = a_core_with_a_stop()
    nameless = ForeignFill("BTC-USDT", "900", a_fill("9", "2"))
    core.handle(VenueSnapshot(NOW, NOW, (), (nameless,)))
    assert kinds(core.handle(parked_timer())) == [VenueReconcile, SetTimer]
    named = ForeignFill("BTC-USDT", "algo-s-r-1", a_fill("9", "2"))
    out: Any = core.handle(VenueSnapshot(NOW, NOW, (), (named,)))
    assert [e.client_order_id for e in out if isinstance(e, OrderFilled)] == ["s-r-1"]
    assert core.handle(parked_timer(6)) == [], "and not once more as a stranger's"


def test_fill_of_a_stranger_beside_a_conditional_order_of_ours_waits_for_one_more_look() -> None:
    core = a_core_with_a_stop()
    strange = VenueSnapshot(NOW, NOW, (), (ForeignFill("BTC-USDT", "900", a_fill("9")),))
    core.handle(strange)
    core.handle(parked_timer())
    core.handle(strange)
    assert OrderFilled in kinds(core.handle(parked_timer(6)))


def test_order_placed_by_hand_enters_the_books_as_external() -> None:
    core = a_core()
    foreign = report(VenueStatus.NEW, order_id="web_abc", venue_id="900")
    out: Any = core.handle(VenueSnapshot(NOW, NOW, (foreign,), ()))
    assert kinds(out) == [OrderSubmitted, DifferenceFound, OrderAccepted, AccountReconciled]
    assert {event.strategy_id for event in out[:-1]} == {"external"}
    filled = report(VenueStatus.FILLED, "2", [a_fill("5", "2")], order_id="web_abc", venue_id="900")
    assert kinds(core.handle(filled)) == [OrderFilled]


def test_fill_of_an_external_order_is_not_told_again_after_a_restart() -> None:
    filled = OrderFilled(
        1, 1, "ext-900", "external", "sim", "BTC-USDT", "900", a_fill("5"), Decimal(1), Decimal(1)
    )
    core = a_core(history=[filled])
    found = VenueSnapshot(NOW, NOW, (), (ForeignFill("BTC-USDT", "900", a_fill("5")),))
    assert OrderFilled not in kinds(core.handle(found))
    assert OrderFilled not in kinds(core.handle(parked_timer()))
    answer = report(
        VenueStatus.PARTIALLY_FILLED, "1", [a_fill("5")], order_id="ext-900", venue_id="900"
    )
    assert OrderFilled not in kinds(core.handle(answer))


def test_external_order_is_described_and_not_told_again_after_a_restart() -> None:
    foreign = msgspec.structs.replace(
        report(VenueStatus.NEW, order_id="web_abc", venue_id="900"),
        order_type=OrderType.LIMIT, price=Decimal(90),
    )  # fmt: skip
    told: Any = a_core().handle(foreign)
    submitted, accepted = told
    found = FoundOrder(Side.BUY, OrderType.LIMIT, Decimal(2), Decimal(90))
    assert (submitted.client_order_id, submitted.found) == ("ext-900", found)
    core = a_core(history=[submitted, accepted])
    again: Any = core.handle(VenueSnapshot(NOW, NOW, (foreign,), ()))
    assert kinds(again) == [AccountReconciled], "neither the order nor a difference is told again"
    gone: Any = core.handle(VenueSnapshot(NOW, NOW, (), ()))
    assert kinds(gone) == [VenueQuery, AccountReconciled], "how it ended is asked for"
    ended = report(VenueStatus.CANCELED, order_id="ext-900", venue_id="900")
    assert OrderCanceled in kinds(core.handle(ended))
