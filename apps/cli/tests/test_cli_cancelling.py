"""What stopping the platform waits for: our own working orders, and nobody else's."""

from decimal import Decimal

from tickbus import codec, ledger_api
from tickbus.bus import MemoryBus
from tickbus.events import FoundOrder, OrderSubmitted, OrderType, Side, SubmitOrder
from tickbus.order import Order
from tickbus_cli.cancelling import working


async def test_an_order_placed_by_hand_is_not_waited_for() -> None:
    ours = SubmitOrder(
        1, 1, "pp-r-1", "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(9)
    )
    found = FoundOrder(Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(9))
    by_hand = Order.from_found(OrderSubmitted(1, 1, "ext-7", "external", "sim", "BTC-USDT", found))
    assert by_hand is not None

    async def answer(_: bytes) -> bytes:
        orders = (by_hand, Order.from_submit(ours))
        return codec.encode_value(ledger_api.OrdersAnswer(orders=orders))

    bus = MemoryBus()
    await bus.respond(ledger_api.ORDERS, answer)
    assert await working(bus) == ("pp-r-1",)
