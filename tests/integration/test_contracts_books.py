"""What the ledger and the gateway take and give, over a real bus; see `contracts`."""

import secrets
import time
from typing import Any

import httpx
import pytest
from contracts import (
    BTC,
    D,
    Start,
    a_database,
    a_top,
    an_order,
    answer,
    breathe,
    contract,
    now,
    survives_nonsense,
)

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
from tickbus.ledger_api import FillsAnswer, FillsQuery, LedgerRefusal, OrderAnswer, OrderQuery
from tickbus.ledger_client import ask
from tickbus_embedded import free_port
from tickbus_testkit.neighbours import NONSENSE, Neighbours

pytestmark = pytest.mark.timeout(120)


@contract("ledger")
async def test_ledger(bus: Neighbours, start: Start, postgres_dsn: str) -> None:
    process = start("ledger", TICKBUS_POSTGRES_DSN=await a_database(postgres_dsn))
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
    told = await ask(bus.bus, subjects.ledger_query("order"), query, OrderAnswer, 30)
    assert told.order is not None
    assert told.order.state == "FILLED"
    steps = [step.kind for step in told.steps]
    assert steps[:4] == ["SubmitOrder", "OrderApproved", "OrderSubmitted", "OrderAccepted"]
    fills = await ask(bus.bus, subjects.ledger_query("fills"), FillsQuery(), FillsAnswer, 30)
    assert [f.fill.fill_id for f in fills.fills] == ["f2", "f1"]
    assert (await answer(bus, subjects.ledger_query("order"), NONSENSE, LedgerRefusal)).reason


async def log_in(client: httpx.AsyncClient, password: str) -> None:
    assert (await client.get("/api/v1/prices")).status_code == 401
    said = await client.post("/api/v1/auth/login", json={"user": "admin", "password": password})
    token = said.raise_for_status().json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


@contract("api")
async def test_api(bus: Neighbours, start: Start) -> None:
    await bus.describe(BTC)
    port, password = free_port(), secrets.token_urlsafe(16)
    process = start("api", ready=False, TICKBUS_API_PORT=str(port), TICKBUS_ADMIN_PASSWORD=password)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        deadline = time.monotonic() + 30
        while True:
            assert time.monotonic() < deadline, process.tail()
            await bus.say(a_top())
            try:
                if "Authorization" not in client.headers:
                    await log_in(client, password)
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
        seen = (wish.quantity, wish.order_type, wish.side)
        assert seen == (D("0.001"), OrderType.MARKET, Side.BUY)
        refused = await client.post("/api/v1/orders", json={**body, "quantity": 2})
        assert (refused.status_code, refused.json()["code"]) == (422, "NOTIONAL_ABOVE_MAX")
        # Nobody keeps the books: that is said, and only what needs them fails.
        assert (await client.get("/api/v1/portfolio")).status_code == 503
        await bus.say_nonsense("book.top.sim.BTC-USDT")
        deadline = time.monotonic() + 30
        while 'errors_total{kind="malformed"} 1.0' not in process.metrics():
            assert time.monotonic() < deadline
            await breathe()
        assert (await client.get("/api/v1/prices")).status_code == 200
