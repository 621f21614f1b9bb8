"""What stopping the platform waits for: our own working orders, and nobody else's."""

from decimal import Decimal

import pytest

from tickbus import codec, ledger_api, subjects
from tickbus.bus import BusError, MemoryBus, Message, Stored
from tickbus.events import FoundOrder, OrderSubmitted, OrderType, Side, SubmitOrder
from tickbus.order import Order
from tickbus_cli import cancelling
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


async def test_where_nobody_says_what_works_everything_is_cancelled_blindly_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancelling, "REPEAT_S", 3_600)
    bus = MemoryBus()
    outcome = await cancel_working(bus, "r", 0.1)
    assert (outcome.asked, outcome.left) == (0, ())
    assert "is not known: nobody answered" in outcome.sentence
    assert await bus.last_sequence() == 1


class WithoutRoom(MemoryBus):
    """Nothing can be stored in it."""

    async def publish_durable(self, subject: str, payload: bytes, message_id: str) -> Stored:
        raise BusError("no room")


async def test_where_no_wish_can_be_sent_those_that_work_are_named_all_the_same() -> None:
    async def answer(_: bytes) -> bytes:
        return codec.encode_value(ledger_api.OrdersAnswer(orders=(Order.from_submit(OURS),)))

    bus = WithoutRoom()
    silent = await cancel_working(bus, "r", 0.1)
    assert "is not known: the bus is away (no room)" in silent.sentence
    await bus.respond(ledger_api.ORDERS, answer)
    outcome = await cancel_working(bus, "r", 0.1)
    assert "STILL WORKING at the venue: pp-r-1" in outcome.sentence
