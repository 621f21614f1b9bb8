"""Orders placed at the venue by hand are described, so that the books can list them."""

from decimal import Decimal

from execution_bench import ExchangeBench

from tickbus.events import (
    DifferenceFound,
    FoundOrder,
    OrderCanceled,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    Side,
)

LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": "30000", "quantity": "0.002"}


async def test_order_by_hand_is_described_once_from_its_beginning_to_its_end(
    bench: ExchangeBench,
) -> None:
    # A look must not be first, or what was placed is a difference.
    await bench.start(reconcile_interval_s=60)
    placed = bench.act("orders", **LIMIT)
    order_id = f"ext-{placed['orderId']}"
    told = await bench.hear(OrderSubmitted, order_id)
    assert told.strategy_id == "external"
    assert told.found == FoundOrder(Side.BUY, OrderType.LIMIT, Decimal("0.002"), Decimal(30000))
    await bench.restart()
    assert len(bench.all(OrderSubmitted, order_id)) == 1
    assert not bench.all(DifferenceFound), "it was known"
    await bench.stop()
    bench.act("orders", symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.001")
    await bench.start()
    filled = await bench.hear(OrderFilled)
    sold = bench.all(OrderSubmitted, filled.client_order_id)[0]
    assert sold.found is not None
    assert (sold.found.side, sold.found.quantity) == (Side.SELL, Decimal("0.001"))
    assert not bench.all(OrderCanceled)
    await bench.cancel(order_id)  # as an operator may
    canceled = await bench.hear(OrderCanceled, order_id)
    assert canceled.strategy_id == "external"
    at_venue = {str(order["orderId"]): order["status"] for order in bench.truth()["orders"]}
    assert at_venue[str(placed["orderId"])] == "CANCELED"
