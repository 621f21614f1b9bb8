"""What stopping the platform waits for: our own working orders, and nobody else's."""

from decimal import Decimal

import pytest

from tickbus import codec, ledger_api, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.events import FoundOrder, OrderSubmitted, OrderType, Side, SubmitOrder
from tickbus.order import Order
from tickbus_cli.cancelling import Cancelled, cancel_working, working

OURS = SubmitOrder(
    1, 1, "pp-r-1", "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(9)
)


async def test_an_order_placed_by_hand_is_not_waited_for() -> None:
    found = FoundOrder(Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(9))
    by_hand = Order.from_found(OrderSubmitted(1, 1, "ext-7", "external", "sim", "BTC-USDT", found))
    assert by_hand is not None

    async def answer(_: bytes) -> bytes:
        orders = (by_hand, Order.from_submit(OURS))
        return codec.encode_value(ledger_api.OrdersAnswer(orders=orders))

    bus = MemoryBus()
    await bus.respond(ledger_api.ORDERS, answer)
    assert await working(bus) == ("pp-r-1",)


@pytest.mark.parametrize("silent", [1, 3])
async def test_a_ledger_that_is_late_is_asked_again_until_nothing_works(silent: int) -> None:
    bus = MemoryBus()
    asked: list[bytes] = []
    wishes: list[str] = []

    async def answer(payload: bytes) -> bytes | None:
        asked.append(payload)
        if len(asked) <= silent:
            return None
        orders = () if wishes and len(asked) > silent + 2 else (Order.from_submit(OURS),)
        return codec.encode_value(ledger_api.OrdersAnswer(orders=orders))

    async def hear(message: Message) -> None:
        wishes.append(message.subject)

    await bus.respond(ledger_api.ORDERS, answer)
    await bus.subscribe(subjects.INTENTS_ALL, hear)
    assert await cancel_working(bus, "r", 60) == Cancelled(1, ())
    assert wishes


async def test_where_nobody_says_what_works_everything_is_cancelled_blindly_and_that_is_said() -> (
    None
):
    bus = MemoryBus()
    outcome = await cancel_working(bus, "r", 0.1)
    assert (outcome.asked, outcome.left) == (0, ())
    assert "is not known: nobody answered" in outcome.sentence
    assert await bus.last_sequence() == 1
