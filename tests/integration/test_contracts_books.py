"""What the ledger and the gateway take and give, over a real bus; see `contracts`."""

import secrets
import time
from typing import Any

import asyncpg
import httpx
import pytest
from contracts import BTC, D, Start, a_top, an_order, breathe, now, survives_nonsense

from tickbus import codec, subjects
from tickbus.events import (
    AccountUpdated,
    Balance,
    DenialReason,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderDenied,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    PortfolioUpdated,
    Side,
    SubmitOrder,
)
from tickbus.ledger_api import FillsAnswer, FillsQuery, OrderAnswer, OrderQuery
from tickbus.ledger_client import ask
from tickbus_testkit.neighbours import Neighbours
from tickbus_testkit.processes import free_port

pytestmark = pytest.mark.timeout(120)


async def test_ledger(bus: Neighbours, start: Start, postgres_dsn: str) -> None:
    name = f"contract_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = postgres_dsn.rpartition("/")[0] + f"/{name}"
    process = start("ledger", TICKBUS_POSTGRES_DSN=dsn)
    balances = (Balance("BTC", D(1), D(0)), Balance("USDT", D(1000), D(0)))
    opened = now()
    await bus.say(AccountUpdated(opened, opened, "sim", balances, complete=True), "execution")
    order = an_order(1, "0.002", "60000")
    head = (order.client_order_id, "contract", "sim", "BTC-USDT")

    def a_fill(n: int, filled: str, left: str) -> OrderFilled:
        fill = Fill(
            f"f{n}", Side.BUY, D(60_000), D("0.001"), D("0.000001"), "BTC", LiquiditySide.TAKER,
            now(),
        )  # fmt: skip
        return OrderFilled(now(), now(), *head, "v1", fill, D(filled), D(left))

    await bus.say(order, "strategy")
    await bus.say(OrderApproved(now(), now(), order), "risk")
    await bus.say(OrderSubmitted(now(), now(), *head), "execution")
    await bus.say(OrderAccepted(now(), now(), *head, "v1"), "execution")
    first = a_fill(1, "0.001", "0.001")
    await bus.say(first, "execution")
    again = codec.encode([first])
    await bus.bus.publish_durable(subjects.of(first), again, "the same fill under another id")
    await bus.hear(PortfolioUpdated, lambda p: p.fills == 1)
    await survives_nonsense(bus, process, subjects.of(first))

    process.kill()
    await bus.say(a_fill(2, "0.002", "0"), "execution")  # while nobody keeps the books
    process.start().until_ready()
    books = await bus.hear(PortfolioUpdated, lambda p: p.fills == 2)
    amounts = {b.asset: b.amount for b in books.balances}
    assert amounts == {"BTC": D("1.001998"), "USDT": D(880)}
    (position,) = books.positions
    assert (position.quantity, position.fees) == (D("0.001998"), D("0.12"))
    query = OrderQuery(client_order_id=order.client_order_id)
    answer = await ask(bus.bus, subjects.ledger_query("order"), query, OrderAnswer, 5)
    assert answer.order is not None
    assert answer.order.state == "FILLED"
    steps = [step.kind for step in answer.steps]
    assert steps[:4] == ["SubmitOrder", "OrderApproved", "OrderSubmitted", "OrderAccepted"]
    fills = await ask(bus.bus, subjects.ledger_query("fills"), FillsQuery(), FillsAnswer, 5)
    assert [f.fill.fill_id for f in fills.fills] == ["f2", "f1"]


async def test_api(bus: Neighbours, start: Start) -> None:
    await bus.describe(BTC)
    port = free_port()
    process = start("api", ready=False, TICKBUS_API_PORT=str(port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        deadline = time.monotonic() + 20
        while True:
            assert time.monotonic() < deadline, process.tail()
            await bus.say(a_top())
            try:
                prices = (await client.get("/api/v1/prices")).json()["prices"]
            except httpx.HTTPError:
                prices = []
            if prices and prices[0]["mid"] is not None:  # described before it is priced
                break
            await breathe()
        assert (prices[0]["symbol"], D(str(prices[0]["mid"]))) == ("BTCUSDT", D(60_000))

        async def neighbours_answer(message: Any) -> None:
            (wish,) = codec.decode(message.payload).events
            if not isinstance(wish, SubmitOrder):
                return
            head = (wish.client_order_id, wish.strategy_id, "sim", "BTC-USDT")
            if wish.quantity > 1:
                await bus.say(
                    OrderDenied(
                        now(), now(), wish, DenialReason.NOTIONAL_ABOVE_MAX, "limit=1 value=2"
                    )
                )
                return
            await bus.say(OrderApproved(now(), now(), wish), "risk")
            await bus.say(OrderSubmitted(now(), now(), *head), "execution")
            await bus.say(OrderAccepted(now(), now(), *head, "v1"), "execution")
            fill = Fill(
                "f1", wish.side, D(60_000), wish.quantity, D(0), "BTC", LiquiditySide.TAKER, now()
            )
            await bus.say(
                OrderFilled(now(), now(), *head, "v1", fill, wish.quantity, D(0)), "execution"
            )

        async def ledger_answers(_: bytes) -> bytes:
            return codec.encode_value(OrderAnswer(order=None))

        await bus.bus.subscribe("orders.intent.manual", neighbours_answer)
        await bus.bus.respond(subjects.ledger_query("order"), ledger_answers)
        body = {"symbol": "btc/usdt", "side": "buy", "quantity": 0.001, "price": None}
        key = {"Idempotency-Key": "one"}
        bought = await client.post("/api/v1/orders", json=body, headers=key)
        assert bought.status_code == 201, bought.text
        assert bought.json()["state"] == "FILLED"
        repeated = await client.post("/api/v1/orders", json=body, headers=key)
        assert repeated.json()["id"] == bought.json()["id"]
        assert len(bus.all(SubmitOrder)) == 1
        wish = bus.all(SubmitOrder)[0]
        assert bus.subject(wish) == "orders.intent.manual"
        assert (wish.quantity, wish.order_type, wish.side) == (
            D("0.001"),
            OrderType.MARKET,
            Side.BUY,
        )
        refused = await client.post("/api/v1/orders", json={**body, "quantity": 2})
        assert (refused.status_code, refused.json()["code"]) == (422, "NOTIONAL_ABOVE_MAX")
        # Nobody keeps the books: that is said, and only what needs them fails.
        assert (await client.get("/api/v1/portfolio")).status_code == 503
        await bus.say_nonsense("book.top.sim.BTC-USDT")
        deadline = time.monotonic() + 10
        while 'errors_total{kind="malformed"} 1.0' not in process.metrics():
            assert time.monotonic() < deadline
            await breathe()
        assert (await client.get("/api/v1/prices")).status_code == 200
