"""The life of an order, told by its events."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    CancelApproved,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
    Side,
    SubmitOrder,
    Trade,
)
from tickbus.order import TERMINAL, TRANSITIONS, WORKING, Cause, Order, Orders, OrderState

D = Decimal
S = OrderState


def a_submit(client_order_id: str = "s-r-1", quantity: str = "3") -> SubmitOrder:
    return SubmitOrder(
        1, 1, client_order_id, "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT,
        D(quantity), D("100"),
    )  # fmt: skip


def at_venue(client_order_id: str = "s-r-1") -> tuple[int, int, str, str, str, str]:
    return (2, 2, client_order_id, "s", "sim", "BTC-USDT")


def a_fill(fill_id: str, quantity: str, cumulative: str, total: str = "3") -> OrderFilled:
    fill = Fill(fill_id, Side.BUY, D("100"), D(quantity), D("0.001"), "BTC", LiquiditySide.TAKER, 2)
    left = max(D(0), D(total) - D(cumulative))
    return OrderFilled(*at_venue(), "v1", fill, D(cumulative), left)


APPROVED = OrderApproved(1, 1, a_submit())
DENIED = OrderDenied(1, 1, a_submit(), DenialReason.NOTIONAL_ABOVE_MAX, "limit=1 value=2")
SUBMITTED = OrderSubmitted(*at_venue())
ACCEPTED = OrderAccepted(*at_venue(), "v1")
REJECTED = OrderRejected(*at_venue(), "-2010", "no money")
UNKNOWN = OrderUnknown(*at_venue(), "time-out")
CANCEL = CancelApproved(2, 2, CancelOrder(2, 2, "s-r-c1", "s-r-1", "s", "sim", "BTC-USDT"))
CANCEL_REJECTED = CancelRejected(*at_venue(), "s-r-c1", "-2011", "unknown order")


REPLACED_BY = OrderApproved(2, 2, msgspec.structs.replace(a_submit("s-r-2"), replaces="s-r-1"))


def canceled(filled: str = "0") -> OrderCanceled:
    return OrderCanceled(*at_venue(), "v1", D(filled))


def expired(filled: str = "0") -> OrderExpired:
    return OrderExpired(*at_venue(), "v1", D(filled), "IOC")


def after(*events: Event) -> Order:
    order = Order.from_submit(a_submit())
    for event in events:
        order.apply(event)
    return order


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), S.PENDING_RISK),
        ((DENIED,), S.DENIED),
        ((APPROVED,), S.PENDING_NEW),
        ((APPROVED, SUBMITTED), S.PENDING_NEW),
        ((SUBMITTED,), S.PENDING_NEW),
        ((APPROVED, SUBMITTED, ACCEPTED), S.OPEN),
        ((APPROVED, SUBMITTED, REJECTED), S.REJECTED),
        ((APPROVED, UNKNOWN), S.UNKNOWN),
        ((APPROVED, UNKNOWN, ACCEPTED), S.OPEN),
        ((APPROVED, UNKNOWN, REJECTED), S.REJECTED),
        ((APPROVED, ACCEPTED, a_fill("1", "1", "1")), S.PARTIALLY_FILLED),
        ((APPROVED, a_fill("1", "1", "1"), ACCEPTED), S.PARTIALLY_FILLED),
        ((APPROVED, a_fill("1", "3", "3"), ACCEPTED), S.FILLED),
        ((APPROVED, CANCEL, ACCEPTED), S.PENDING_CANCEL),
        ((APPROVED, ACCEPTED, CANCEL, canceled()), S.CANCELED),
        ((APPROVED, ACCEPTED, CANCEL, CANCEL_REJECTED), S.OPEN),
        ((APPROVED, ACCEPTED, CANCEL, a_fill("1", "1", "1")), S.PENDING_CANCEL),
        ((APPROVED, ACCEPTED, a_fill("1", "1", "1"), CANCEL, CANCEL_REJECTED), S.PARTIALLY_FILLED),
        ((APPROVED, CANCEL, CANCEL_REJECTED), S.UNKNOWN),
        ((APPROVED, CANCEL, CANCEL_REJECTED, ACCEPTED), S.OPEN),
        ((APPROVED, ACCEPTED, CANCEL, UNKNOWN, CANCEL_REJECTED), S.OPEN),
        ((APPROVED, ACCEPTED, CANCEL, a_fill("1", "3", "3"), CANCEL_REJECTED), S.FILLED),
        ((APPROVED, ACCEPTED, canceled(), ACCEPTED), S.CANCELED),
        ((APPROVED, ACCEPTED, canceled(), UNKNOWN, CANCEL), S.CANCELED),
        ((APPROVED, expired()), S.EXPIRED),
        ((APPROVED, ACCEPTED, REPLACED_BY), S.PENDING_REPLACE),
        ((APPROVED, ACCEPTED, REPLACED_BY, canceled()), S.CANCELED),
        ((APPROVED, ACCEPTED, REPLACED_BY, a_fill("1", "3", "3")), S.FILLED),
        ((APPROVED, ACCEPTED, REPLACED_BY, a_fill("1", "1", "1")), S.PENDING_REPLACE),
        ((APPROVED, ACCEPTED, REPLACED_BY, CANCEL_REJECTED), S.OPEN),
        ((APPROVED, ACCEPTED, REPLACED_BY, CANCEL), S.PENDING_CANCEL),
        ((APPROVED, ACCEPTED, CANCEL, REPLACED_BY), S.PENDING_CANCEL),
        ((APPROVED, OrderReplaced(*at_venue(), "old", D(0))), S.CANCELED),
        ((APPROVED, OrderReplaced(*at_venue(), "old", D(2)), ACCEPTED), S.OPEN),
    ],
)
def test_state_after(events: tuple[Event, ...], state: OrderState) -> None:
    assert after(*events).state is state


def test_fills_add_up_and_a_repeated_one_counts_once() -> None:
    order = after(APPROVED, ACCEPTED, a_fill("1", "1", "1"), a_fill("2", "1.5", "2.5"))
    assert order.apply(a_fill("2", "1.5", "2.5")) is None
    assert (order.filled_quantity, order.leaves_quantity) == (D("2.5"), D("0.5"))
    assert order.avg_fill_price == D(100)
    assert order.fees == {"BTC": D("0.002")}
    assert order.venue_order_id == "v1"


def test_a_fill_reported_after_the_cancel_counts_and_the_order_stays_canceled() -> None:
    order = after(APPROVED, ACCEPTED, CANCEL, canceled("1"))
    assert order.missing_quantity == D(1)
    assert order.apply(a_fill("1", "1", "1")) is order
    assert (order.state, order.filled_quantity, order.missing_quantity) == (S.CANCELED, D(1), D(0))


def test_the_fill_that_completes_a_canceled_order_makes_it_filled() -> None:
    assert after(APPROVED, ACCEPTED, canceled(), a_fill("1", "3", "3")).state is S.FILLED


def test_the_last_fill_may_overtake_an_earlier_one() -> None:
    order = after(APPROVED, a_fill("2", "2", "3"))
    assert (order.state, order.missing_quantity) == (S.FILLED, D(1))
    order.apply(a_fill("1", "1", "1"))
    assert (order.state, order.filled_quantity, order.missing_quantity) == (S.FILLED, D(3), D(0))


def test_more_filled_than_asked_for_is_flagged() -> None:
    order = after(APPROVED, a_fill("1", "3", "3"), a_fill("2", "1", "4"))
    assert order.is_overfilled
    assert order.leaves_quantity == 0


def test_an_order_is_for_what_the_replaced_one_left() -> None:
    order = after(
        APPROVED, OrderReplaced(*at_venue(), "old", D(2)), ACCEPTED, a_fill("1", "2", "2")
    )
    assert (order.quantity, order.state) == (D(2), S.FILLED)


def test_one_approval_changes_both_orders() -> None:
    orders = Orders()
    for event in (APPROVED, ACCEPTED, REPLACED_BY):
        orders.fold(event)
    states = {order.client_order_id: order.state for order in orders}
    assert states == {"s-r-1": S.PENDING_REPLACE, "s-r-2": S.PENDING_NEW}


def test_what_changes_nothing_says_so() -> None:
    order = after(APPROVED, ACCEPTED)
    assert order.apply(ACCEPTED) is None
    assert order.apply(SUBMITTED) is None
    assert order.apply(Trade(3, 3, "sim", "BTC-USDT", "t", 1.0, 1.0, Side.BUY)) is None


def test_a_refusal_keeps_its_reason() -> None:
    assert after(DENIED).reason == "NOTIONAL_ABOVE_MAX"
    assert (after(APPROVED, REJECTED).reason, after(APPROVED, REJECTED).detail) == (
        "-2010",
        "no money",
    )


def test_every_state_is_working_terminal_or_waiting_for_risk() -> None:
    assert {S.PENDING_RISK} | WORKING | TERMINAL == set(S)
    assert not WORKING & TERMINAL


def test_nothing_but_the_last_fill_leaves_an_end() -> None:
    leaving = {(state, cause) for state, cause in TRANSITIONS if state in TERMINAL}
    assert {cause for _, cause in leaving} == {Cause.LAST_FILL}
    assert all(TRANSITIONS[pair] is S.FILLED for pair in leaving)


EVENTS = st.sampled_from(
    [
        APPROVED, DENIED, SUBMITTED, ACCEPTED, REJECTED, UNKNOWN, CANCEL, CANCEL_REJECTED,
        canceled(), canceled("2"), expired("1"), REPLACED_BY,
        a_fill("1", "1", "1"), a_fill("2", "1", "2"), a_fill("3", "1", "3"), a_fill("4", "9", "9"),
    ]
)  # fmt: skip


@given(st.lists(EVENTS, max_size=25))
def test_any_order_of_reports_keeps_the_books(events: list[Event]) -> None:
    order = Order.from_submit(a_submit())
    seen: dict[str, Decimal] = {}
    for event in events:
        was_terminal, filled = order.is_terminal, order.filled_quantity
        order.apply(event)
        if isinstance(event, OrderFilled):
            seen[event.fill.fill_id] = event.fill.quantity
        assert order.filled_quantity == sum(seen.values(), D(0)) >= filled
        assert not was_terminal or order.is_terminal
        if not order.is_terminal:
            assert order.filled_quantity + order.leaves_quantity == order.quantity
        if order.filled_quantity >= order.quantity:
            assert order.state is S.FILLED


@given(st.lists(EVENTS, max_size=12))
def test_a_repeated_history_changes_nothing_in_an_ended_order(events: list[Event]) -> None:
    order = after(*events, a_fill("all", "3", "3"))
    state, filled = order.state, order.filled_quantity
    for event in events:
        assert order.apply(event) is None
    assert (order.state, order.filled_quantity) == (state, filled)


def test_orders_folds_a_stream() -> None:
    orders = Orders()
    first, second = a_submit("s-r-1"), a_submit("s-r-2")
    for event in (first, OrderApproved(1, 1, first), second, OrderApproved(1, 1, second)):
        orders.fold(event)
    assert [order.client_order_id for order in orders.working()] == ["s-r-1", "s-r-2"]
    changed = orders.fold(canceled())
    assert changed is not None
    assert changed.state is S.CANCELED
    assert [order.client_order_id for order in orders.working()] == ["s-r-2"]
    assert "s-r-1" in orders
    assert len(orders) == 2


def test_orders_knows_an_order_from_its_verdict_alone() -> None:
    orders = Orders()
    orders.fold(APPROVED)
    assert orders.fold(a_submit()) is None
    order = orders.get("s-r-1")
    assert order is not None
    assert order.state is S.PENDING_NEW


def test_orders_finds_nothing_for_a_foreign_order() -> None:
    assert Orders().fold(ACCEPTED) is None


def test_orders_forgets_the_oldest_ended_order_first_and_never_a_living_one() -> None:
    orders = Orders(closed_max=2)
    for n in range(5):
        orders.fold(OrderApproved(1, 1, a_submit(f"s-r-{n}")))
    for n in range(1, 5):
        orders.fold(OrderCanceled(*at_venue(f"s-r-{n}"), "v", D(0)))
    assert [order.client_order_id for order in orders] == ["s-r-3", "s-r-4", "s-r-0"]
