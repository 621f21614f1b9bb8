"""What becomes of an order is in the facts, not in when or how often they are told."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    CancelApproved,
    CancelOrder,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
    Side,
    SubmitOrder,
)
from tickbus.order import Order, OrderState

D = Decimal
AT = (2, 2, "s-r-1", "s", "sim", "BTC-USDT")
SUBMIT = SubmitOrder(1, 1, "s-r-1", "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(3), D(100))
OURS: list[Event] = [
    OrderApproved(1, 1, SUBMIT), OrderSubmitted(*AT), OrderUnknown(*AT, "time-out"),
    CancelApproved(2, 2, CancelOrder(2, 2, "c", "s-r-1", "s", "sim", "BTC-USDT")),
]  # fmt: skip
ENDS = {OrderCanceled: OrderState.CANCELED, OrderExpired: OrderState.EXPIRED}
QUANTITIES = st.lists(st.sampled_from(["0.5", "1", "2"]), max_size=5)


def fills(quantities: list[str]) -> list[OrderFilled]:
    """Fills as the venue counts them, each with the sum up to it."""
    told, total = [], D(0)
    for number, quantity in enumerate(quantities):
        total += D(quantity)
        fill = Fill(
            str(number), Side.BUY, D(100 + number), D(quantity), D("0.01"), "USDT",
            LiquiditySide.MAKER, 2,
        )  # fmt: skip
        told.append(OrderFilled(*AT, "v", fill, total, max(D(0), D(3) - total)))
    return told


@given(st.data(), QUANTITIES, st.sampled_from([None, OrderCanceled, OrderExpired]))
def test_fills_late_twice_and_out_of_order_end_in_the_same_books(
    data: st.DataObject,
    quantities: list[str],
    end: type[OrderCanceled] | type[OrderExpired] | None,
) -> None:
    told = fills(quantities)
    total = sum(map(D, quantities), D(0))
    facts: list[Event] = [OrderAccepted(*AT, "v"), *told]
    if end is OrderCanceled:
        facts.append(OrderCanceled(*AT, "v", total))
    elif end is OrderExpired:
        facts.append(OrderExpired(*AT, "v", total, "GTD"))
    again = data.draw(st.lists(st.sampled_from(facts), max_size=4))
    order = Order.from_submit(SUBMIT)
    for event in data.draw(st.permutations([*facts, *again])):
        order.apply(event)
        assert order.filled_quantity <= total
    assert order.filled_quantity == total
    assert order.fill_ids == {fill.fill.fill_id for fill in told}
    assert order.filled_notional == sum((f.fill.price * f.fill.quantity for f in told), D(0))
    assert order.fees.get("USDT", D(0)) == D("0.01") * len(told)
    assert order.missing_quantity == 0
    assert order.is_overfilled == (total > 3)
    if total >= 3:
        assert (order.state, order.leaves_quantity) == (OrderState.FILLED, D(0))
    elif end is not None:
        assert (order.state, order.leaves_quantity) == (ENDS[end], D(0))
    else:
        state = OrderState.PARTIALLY_FILLED if told else OrderState.OPEN
        assert (order.state, order.leaves_quantity) == (state, 3 - total)


@given(st.data(), QUANTITIES)
def test_what_we_ourselves_say_in_between_changes_no_sum_and_no_end(
    data: st.DataObject, quantities: list[str]
) -> None:
    told = fills(quantities)
    total = sum(map(D, quantities), D(0))
    facts: list[Event] = [OrderAccepted(*AT, "v"), *told, OrderCanceled(*AT, "v", total)]
    ours = data.draw(st.lists(st.sampled_from(OURS), max_size=6))
    order = Order.from_submit(SUBMIT)
    for event in data.draw(st.permutations([*facts, *ours])):
        order.apply(event)
    assert order.filled_quantity == total
    assert order.state is (OrderState.FILLED if total >= 3 else OrderState.CANCELED)
    assert order.is_overfilled == (total > 3)
