"""Reports of an order in any order, twice, late or too large: each fill once, and said aloud."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    CancelApproved,
    CancelOrder,
    Fill,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderFilled,
    OrderRejected,
    OrderType,
    OrderUnknown,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
)
from tickbus.order import OrderState
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import (
    Alarm,
    ForeignFill,
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueSnapshot,
    VenueStatus,
)

D = Decimal
NOW = 2_000
NAME = "BTC-USDT"
QUANTITY = D(2)
ORDER = SubmitOrder(
    NOW, NOW, "s-r-1", "s", "sim", NAME, Side.BUY, OrderType.LIMIT, QUANTITY, D(100)
)
INSTRUMENT = Instrument("sim", NAME, "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))
CANCEL = CancelApproved(NOW, NOW, CancelOrder(NOW, NOW, "c1", "s-r-1", "s", "sim", NAME))
FAILURES = [
    RequestFailed(NOW, NOW, request, outcome, "s-r-1", NAME, "X", "words", "c1")
    for request, outcome in (
        (Request.SUBMIT, Outcome.UNKNOWN),
        (Request.CANCEL, Outcome.UNKNOWN),
        (Request.CANCEL, Outcome.REFUSED),
        (Request.QUERY, Outcome.UNKNOWN),
        (Request.QUERY, Outcome.NOT_FOUND_YET),
        (Request.QUERY, Outcome.NOT_FOUND),
    )
]


def a_fill(number: int, quantity: str) -> Fill:
    return Fill(
        str(number), Side.BUY, D(100), D(quantity), D("0.01"), "USDT", LiquiditySide.MAKER, NOW
    )


def a_report(status: VenueStatus, filled: Decimal, fills: Sequence[Fill] = ()) -> OrderReport:
    return OrderReport(
        NOW, NOW, "s-r-1", NAME, "77", status, Side.BUY, QUANTITY, filled, tuple(fills)
    )


def story(quantities: list[str], *, canceled: bool) -> list[Any]:
    """What a venue says of an order that filled so; more than it was for is a bug of the venue."""
    told: list[Any] = [a_report(VenueStatus.NEW, D(0))]
    fills: list[Fill] = []
    for number, quantity in enumerate(quantities):
        fills.append(a_fill(number, quantity))
        total = sum((fill.quantity for fill in fills), D(0))
        status = VenueStatus.FILLED if total >= QUANTITY else VenueStatus.PARTIALLY_FILLED
        told.append(a_report(status, total, fills[-1:]))
    total = sum((fill.quantity for fill in fills), D(0))
    if canceled and total < QUANTITY:
        told.append(a_report(VenueStatus.CANCELED, total))
    # A look at the account finds the same fills again, under the venue's id alone.
    told.append(VenueSnapshot(NOW, NOW, (), tuple(ForeignFill(NAME, "77", f) for f in fills)))
    return told


@given(st.data(), st.lists(st.sampled_from(["0.25", "0.5", "1", "2"]), max_size=4), st.booleans())
def test_each_fill_is_told_once_and_an_overfill_raises_an_alarm(
    data: st.DataObject, quantities: list[str], canceled: bool
) -> None:
    facts = story(quantities, canceled=canceled)
    core = ExecutionCore("sim")
    for event in (INSTRUMENT, Recovered(NOW, NOW), OrderApproved(NOW, NOW, ORDER), CANCEL):
        core.handle(event)
    again = data.draw(st.lists(st.sampled_from(facts), max_size=3))
    between = data.draw(st.lists(st.sampled_from(FAILURES), max_size=5))
    out: list[Any] = []
    seen = False
    for event in data.draw(st.permutations([*facts, *again, *between])):
        said = core.handle(event)
        assert not (seen and any(isinstance(e, OrderRejected) for e in said)), "it was there"
        seen = seen or isinstance(event, OrderReport)
        out += said
    # Fills that came before the name of their order wait for it; the next look brings them.
    out += core.handle(facts[-1])
    fills = [event for event in out if isinstance(event, OrderFilled)]
    total = sum(map(D, quantities), D(0))
    assert sorted(event.fill.fill_id for event in fills) == [str(n) for n in range(len(quantities))]
    assert {event.client_order_id for event in fills} <= {"s-r-1"}
    doubts = sum(isinstance(event, OrderUnknown) for event in out)
    assert sum(isinstance(event, OrderAccepted) for event in out) <= 1 + doubts
    order = core.orders.get("s-r-1")
    assert order is not None
    assert order.filled_quantity == total
    alarms = [event for event in out if isinstance(event, Alarm)]
    assert bool(alarms) == (total > QUANTITY)
    assert all(alarm.kind == "overfill" for alarm in alarms)
    if total >= QUANTITY:
        assert order.state is OrderState.FILLED


def test_an_answer_that_is_lost_after_the_venue_told_of_the_order_is_no_doubt() -> None:
    core = ExecutionCore("sim")
    for event in (INSTRUMENT, Recovered(NOW, NOW), OrderApproved(NOW, NOW, ORDER)):
        core.handle(event)
    core.handle(a_report(VenueStatus.NEW, D(0)))
    (question,) = core.handle(FAILURES[0])
    assert isinstance(question, SetTimer)
    assert question.key == "query/s-r-1"
    order = core.orders.get("s-r-1")
    assert order is not None
    assert order.state is OrderState.OPEN
