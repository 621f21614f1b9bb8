"""What the services on the way of an order take and give, over a real bus; see `contracts`."""

from typing import Any

import httpx
import pytest
from contracts import (
    BTC,
    D,
    Exchange,
    Start,
    a_top,
    an_instrument,
    an_order,
    breathe,
    contract,
    judged,
    now,
    of_order,
    survives_nonsense,
)

from tickbus import codec
from tickbus.events import (
    AccountUpdated,
    Balance,
    CancelApproved,
    CancelOrder,
    DenialReason,
    Heartbeat,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderSubmitted,
    Quote,
    SetTradingState,
    Side,
    SubmitOrder,
    TradingState,
)
from tickbus_testkit.neighbours import Neighbours

pytestmark = pytest.mark.timeout(120)


@contract("strategy")
async def test_strategy(bus: Neighbours, start: Start) -> None:
    await bus.describe(BTC)
    process = start("strategy", TICKBUS_STRATEGY_ID="ping-pong")

    async def market() -> None:
        head = (now(), now(), "sim", "BTC-USDT")
        await bus.say(a_top())
        await bus.say(Quote(*head, 59_999.0, 1.0, 60_001.0, 1.0, 1))

    await market()
    wish = await bus.hear(SubmitOrder)
    assert bus.subject(wish) == "orders.intent.ping-pong"
    assert bus.way(wish) == ["neighbour", "strategy"]
    assert (wish.instrument_id, wish.side, wish.venue) == ("BTC-USDT", Side.BUY, "sim")
    assert wish.quantity * (wish.price or D(0)) <= 100
    await bus.hear(Heartbeat, lambda h: h.strategy_id == "ping-pong")  # else risk stops it
    await survives_nonsense(bus, process, "md.quote.sim.BTC-USDT")

    process.kill()
    await bus.say(OrderDenied(now(), now(), wish, DenialReason.TRADING_HALTED, "limit=a value=b"))
    process.start().until_ready()
    while len(bus.all(SubmitOrder)) < 2:  # it was told of the refusal, so it tries again
        await market()
        await breathe()
    again = bus.all(SubmitOrder)[1]
    assert again.client_order_id != wish.client_order_id


@contract("risk")
async def test_risk(bus: Neighbours, start: Start) -> None:
    await bus.describe(BTC)
    process = start("risk")
    await bus.say(a_top())
    funds = (Balance("USDT", D(100_000), D(0)),)
    await bus.say(AccountUpdated(now(), now(), "sim", funds, complete=True), "execution")
    good = an_order(1)
    await bus.say(good, "strategy")
    approved = await bus.hear(OrderApproved, judged(good))
    assert bus.subject(approved) == "orders.approved.sim"
    assert (bus.way(approved), approved.order) == (["strategy", "risk"], good)
    large = an_order(2, "5")
    await bus.say(large)
    denied = await bus.hear(OrderDenied, judged(large))
    assert bus.subject(denied) == "orders.denied.contract"
    assert denied.reason is DenialReason.NOTIONAL_ABOVE_MAX
    assert denied.detail.startswith("limit=20000 value=29")
    await survives_nonsense(bus, process, "orders.intent.contract")

    process.kill()
    await bus.say(late := an_order(3))  # wanted while nobody judges
    process.start().until_ready()
    # A market seen before it lived is no market, so its verdict waits for nothing and is no.
    await bus.hear(OrderDenied, judged(late))
    await bus.say(a_top(sequence=2))
    await bus.say(Heartbeat(now(), now(), "contract"))
    await bus.say(fresh := an_order(4))
    await bus.hear(OrderApproved, judged(fresh))
    cancel = CancelOrder(now(), now(), "c-1", good.client_order_id, "contract", "sim", "BTC-USDT")
    await bus.say(cancel)
    passed = await bus.hear(CancelApproved)
    assert (bus.subject(passed), passed.cancel) == ("orders.approved.sim", cancel)
    halt = SetTradingState(now(), now(), TradingState.HALTED, "tester", "a test")
    await bus.bus.kv_put("control", "trading", codec.encode_value(halt))
    # Halting takes back what works, and lets nothing in.
    await bus.hear(CancelApproved, lambda c: c.cancel.client_order_id == fresh.client_order_id)
    await bus.say(halted := an_order(5))
    refused = await bus.hear(OrderDenied, judged(halted))
    assert refused.reason is DenialReason.TRADING_HALTED
    await bus.stays(OrderApproved, 2)


@contract("execution")
async def test_execution(bus: Neighbours, start: Start, exchange: Exchange) -> None:
    _, where = exchange
    for coin in ("BTC", "ETH", "SOL"):
        await bus.describe(an_instrument(coin))
    process = start("execution", **where)
    opening = await bus.hear(AccountUpdated)
    assert bus.subject(opening) == "orders.account.sim"
    assert opening.complete

    def theirs() -> dict[str, Any]:
        url = f"{where['TICKBUS_VENUE_REST_URL']}/admin/ledger"
        return {o["clientOrderId"]: o for o in httpx.get(url, timeout=30).json()["orders"]}

    market = an_order(1, price=None)
    await bus.say(OrderApproved(now(), now(), market), "risk")
    await bus.hear(OrderSubmitted, of_order(market))
    filled = await bus.hear(OrderFilled, of_order(market), lambda f: not f.leaves_quantity)
    assert bus.subject(filled) == "orders.event.sim.contract"
    assert (
        D(theirs()[market.client_order_id]["executedQty"]) == filled.filled_quantity == D("0.001")
    )
    resting = an_order(2, "0.001", "30000")
    await bus.say(OrderApproved(now(), now(), resting), "risk")
    await bus.hear(OrderAccepted, of_order(resting))
    await survives_nonsense(bus, process, "orders.approved.sim")

    process.kill()
    while_away = an_order(3, price=None)
    cancel = CancelOrder(
        now(), now(), "c-1", resting.client_order_id, "contract", "sim", "BTC-USDT"
    )
    await bus.say(OrderApproved(now(), now(), while_away), "risk")
    await bus.say(CancelApproved(now(), now(), cancel), "risk")
    process.start().until_ready()
    await bus.hear(OrderFilled, of_order(while_away), lambda f: not f.leaves_quantity)
    await bus.hear(OrderCanceled, of_order(resting))
    # Said again, by a risk that had to repeat itself: nobody sends it twice.
    repeat = codec.encode([OrderApproved(now(), now(), market)])
    await bus.bus.publish_durable("orders.approved.sim", repeat, "another id")
    sent = theirs()
    await bus.stays(OrderSubmitted, 3)
    assert theirs() == sent
    assert set(sent) == {o.client_order_id for o in (market, resting, while_away)}
