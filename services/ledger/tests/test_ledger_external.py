"""Orders that nobody here asked for are in the books like all others: rows, fills, postings."""

import msgspec
import pytest
from ledger_story import SPOT, D, S, a_core, a_day, a_fill, an_empty_database, write_story

from tickbus.events import (
    Event,
    FoundOrder,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    Side,
)
from tickbus.ledger_api import OrdersQuery, PostingsQuery
from tickbus.order import Order, OrderState
from tickbus_ledger.audit import verify
from tickbus_ledger.store import Store

pytestmark = pytest.mark.usefixtures("patient_books")

BY_HAND = FoundOrder(Side.BUY, OrderType.LIMIT, D(2), D(1000))
LIQUIDATION = FoundOrder(Side.SELL, OrderType.MARKET, D(1))


def head(order_id: str) -> tuple[int, int, str, str, str, str]:
    return (2 * S, 2 * S, order_id, "external", "sim", SPOT)


def a_foreign_fill(order_id: str, number: int, quantity: str, left: str) -> OrderFilled:
    fill = a_fill(number, quantity=quantity, strategy="external", fill_id=f"x{number}")
    return msgspec.structs.replace(
        fill, client_order_id=order_id, venue_order_id=order_id, leaves_quantity=D(left)
    )


STORY: list[Event] = [
    OrderSubmitted(*head("ext-900"), BY_HAND),
    OrderAccepted(*head("ext-900"), "900"),
    a_foreign_fill("ext-900", 1, "0.5", "1.5"),
    # Known by its fills alone: it was for at least so much.
    OrderSubmitted(*head("ext-901"), LIQUIDATION),
    a_foreign_fill("ext-901", 2, "1", "0"),
    a_foreign_fill("ext-901", 3, "0.75", "0"),
    OrderCanceled(*head("ext-900"), "900", D("0.5")),
]


def rows(*events: Event) -> dict[str, Order]:
    core = a_core()
    for sequence, event in enumerate(events, start=1):
        core.fold(sequence, event)
    return {order.client_order_id: order for _, order in core.take_changes().orders}


def test_an_order_by_hand_has_a_row_before_it_fills() -> None:
    (order,) = rows(*STORY[:2]).values()
    assert (order.strategy_id, order.state) == ("external", OrderState.OPEN)
    assert (order.side, order.quantity, order.price) == (Side.BUY, D(2), D(1000))


def test_the_row_follows_the_order_to_its_end() -> None:
    by_hand, liquidation = rows(*STORY).values()
    assert (by_hand.state, by_hand.filled_quantity) == (OrderState.CANCELED, D("0.5"))
    assert liquidation.state is OrderState.FILLED
    assert liquidation.quantity == liquidation.filled_quantity == D("1.75")


def test_an_order_of_ours_is_not_found() -> None:
    assert rows(OrderSubmitted(*head("pp-r-1"))) == {}


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    return await an_empty_database(postgres_dsn)


async def test_external_orders_are_listed_explained_and_sound(dsn: str) -> None:
    await write_story(dsn, a_day()[:5])
    await write_story(dsn, STORY)
    store = await Store.open(dsn)
    listed, _ = await store.history.orders(OrdersQuery(strategy_id="external"))
    assert [order.client_order_id for order in listed] == ["ext-901", "ext-900"]
    moved, _ = await store.history.postings(PostingsQuery(asset="BTC", strategy_id="external"))
    assert [(p.client_order_id, p.amount) for p in moved] == [
        ("ext-901", D("0.75")), ("ext-901", D(1)), ("ext-900", D("0.5")),
    ]  # fmt: skip
    steps = await store.history.steps("ext-900")
    assert [step.kind for step in steps] == [
        "OrderSubmitted", "OrderAccepted", "OrderFilled", "OrderCanceled",
    ]  # fmt: skip
    await store.close()
    assert (await verify(dsn)).findings == []
