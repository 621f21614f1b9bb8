"""One contract per service over a real bus: what it takes, what it gives, and what it survives.

The test plays every neighbour, so an implementation in another language would face the same suite.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tickbus import codec, history_api, subjects
from tickbus.events import (
    AccountUpdated,
    Balance,
    BookDelta,
    BookDepth,
    BookSnapshot,
    BookTop,
    CancelApproved,
    CancelOrder,
    DenialReason,
    FeedState,
    FeedStatus,
    Fill,
    Heartbeat,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    PortfolioUpdated,
    Quote,
    SetTradingState,
    Side,
    SubmitOrder,
    Trade,
    TradingState,
)
from tickbus.history_api import Candle, CandlesAnswer, CandlesQuery
from tickbus.ledger_api import FillsAnswer, FillsQuery, OrderAnswer, OrderQuery
from tickbus.ledger_client import ask
from tickbus_testkit.neighbours import Neighbours
from tickbus_testkit.processes import ServiceProcess, free_port

ROOT = Path(__file__).parents[2]
D = Decimal


def an_instrument(coin: str) -> Instrument:
    return Instrument(
        "sim", f"{coin}-USDT", f"{coin}USDT", coin, "USDT", D("0.01"), D("0.00001"),
        notional_min=D(5),
    )  # fmt: skip


BTC = an_instrument("BTC")
Start = Callable[..., ServiceProcess]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def bus_url(engine: None) -> Iterator[str]:
    """A NATS server of the test's own: no history but its own."""
    ready = LogMessageWaitStrategy("Server is ready").with_startup_timeout(60)
    container = DockerContainer("nats:2-alpine", command="-js", ports=[4222]).waiting_for(ready)
    with container:
        yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Neighbours]:
    neighbours = await Neighbours.connect(bus_url)
    yield neighbours
    await neighbours.close()


@pytest.fixture
def start(tmp_path: Path, bus_url: str) -> Iterator[Start]:
    """Starts one service, ready or not; stops it afterwards and looks at its exit code."""
    with ExitStack() as stack:

        def begin(name: str, *, ready: bool = True, **environment: str) -> ServiceProcess:
            port = free_port()
            process = ServiceProcess(
                name, tmp_path, {
                    "TICKBUS_NATS_URL": bus_url,
                    "TICKBUS_CONFIG": str(ROOT / "config" / "default.yaml"),
                    "TICKBUS_METRICS_PORT": str(port),
                    **environment,
                }, port,
            )  # fmt: skip
            process.start()
            stack.callback(_ends_well, process)
            return process.until_ready() if ready else process

        yield begin


def _ends_well(process: ServiceProcess) -> None:
    code = process.stop()
    assert code in (0, -9), f"{process.name} ended with {code}: {process.tail()}"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[tuple[ServiceProcess, dict[str, str]]]:
    """The simulated exchange, with the environment that leads a service to it."""
    port = free_port()
    state = tmp_path / "exchange"
    state.mkdir()
    arguments = ("--port", str(port), "--seed", "3", "--state-dir", str(state))
    process = ServiceProcess("exchange", tmp_path, {}, port, arguments).start().until_ready()
    address = f"127.0.0.1:{port}"
    yield (
        process,
        {
            "TICKBUS_VENUE_REST_URL": f"http://{address}",
            "TICKBUS_VENUE_WS_URL": f"ws://{address}",
            "TICKBUS_VENUE_WS_API_URL": f"ws://{address}/ws-api/v3",
            "TICKBUS_VENUE_API_KEY": "sim-key",
            "TICKBUS_VENUE_API_SECRET": "sim-secret",
        },
    )
    process.stop()


def now() -> int:
    return time.time_ns()


def a_top(bid: float = 59_999.0, ask: float = 60_001.0, sequence: int = 1) -> BookTop:
    return BookTop(now(), now(), "sim", "BTC-USDT", bid, 1.0, ask, 1.0, 1, sequence)


def an_order(
    n: int, quantity: str = "0.001", price: str | None = "59000", **more: Any
) -> SubmitOrder:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    return SubmitOrder(
        now(), now(), f"contract-t-{n}", "contract", "sim", "BTC-USDT", Side.BUY, kind, D(quantity),
        None if price is None else D(price), **more,
    )  # fmt: skip


def of_order(order: SubmitOrder) -> Callable[[Any], bool]:
    return lambda event: event.client_order_id == order.client_order_id


def judged(order: SubmitOrder) -> Callable[[Any], bool]:
    return lambda event: event.order.client_order_id == order.client_order_id


async def survives_nonsense(bus: Neighbours, process: ServiceProcess, subject: str) -> None:
    """It is counted, kept for inspection, and the service lives on."""
    await bus.say_nonsense(subject)
    deadline = time.monotonic() + 10
    while not any(m.subject == f"quarantine.{process.name}" for m in bus.quarantined):
        assert time.monotonic() < deadline, "nothing was kept"
        await _breathe()
    counted = f'tickbus_{process.name}_errors_total{{kind="malformed"}} 1.0'
    assert counted in process.metrics()
    assert httpx.get(f"{process.health_url}/healthz").status_code == 200
    process.until_ready()


async def _breathe() -> None:
    await asyncio.sleep(0.05)


async def test_feed(bus: Neighbours, start: Start, exchange: Any) -> None:
    venue, where = exchange
    start("feed", **where)
    quote = await bus.hear(Quote, lambda q: q.instrument_id == "BTC-USDT")
    assert 0 < quote.bid < quote.ask
    assert (bus.subject(quote), bus.way(quote)) == ("md.quote.sim.BTC-USDT", ["feed"])
    trade = await bus.hear(Trade)
    assert trade.price > 0
    assert trade.size > 0
    described: dict[str, Instrument] = {}

    async def keep(key: str, value: bytes) -> None:
        described[key] = codec.decode_value(value, Instrument)

    await bus.bus.kv_watch("instruments", keep)
    assert set(described) == {"sim.BTC-USDT", "sim.ETH-USDT", "sim.SOL-USDT"}
    assert described["sim.BTC-USDT"].symbol == "BTCUSDT"
    btc: Callable[[Any], bool] = lambda e: e.instrument_id == "BTC-USDT"  # noqa: E731
    await bus.hear(BookDelta, btc, n=20)
    deltas = bus.all(BookDelta, btc)
    steps = [b.sequence - a.sequence for a, b in itertools.pairwise(deltas)]
    assert set(steps) == {1}
    assert len({d.epoch for d in deltas}) == 1

    venue.kill()
    await bus.hear(FeedStatus, btc, lambda s: s.state is FeedState.DISCONNECTED)
    venue.start().until_ready()
    snapshot = await bus.hear(BookSnapshot, btc, lambda s: s.epoch > deltas[0].epoch)
    assert snapshot.bids[0][0] < snapshot.asks[0][0]
    await bus.hear(
        FeedStatus, btc, lambda s: s.state is FeedState.LIVE and s.ts_recv > trade.ts_recv
    )


async def test_book(bus: Neighbours, start: Start) -> None:
    process = start("book")
    head = (now(), now(), "sim", "BTC-USDT")
    await bus.say(FeedStatus(*head, FeedState.LIVE))
    await bus.say(BookSnapshot(*head, 1, 10, ((100.0, 1.0), (99.0, 2.0)), ((101.0, 1.0),), 7))
    await bus.say(BookDelta(*head, 1, 11, ((100.0, 0.0), (99.5, 4.0)), ((101.0, 3.0),), 8))
    top = await bus.hear(BookTop, lambda t: t.sequence == 11)
    assert (top.bid, top.bid_size, top.ask, top.ask_size) == (99.5, 4.0, 101.0, 3.0)
    assert not top.stale
    assert (bus.subject(top), bus.way(top)) == ("book.top.sim.BTC-USDT", ["neighbour", "book"])
    await bus.say(BookDelta(*head, 1, 13, (), ((100.5, 1.0),), 10))  # 12 is missing
    await bus.hear(BookTop, lambda t: t.stale)
    await survives_nonsense(bus, process, "md.delta.sim.BTC-USDT")
    await bus.say(BookSnapshot(*head, 2, 1, ((90.0, 1.0),), ((91.0, 1.0),), 20))
    healed = await bus.hear(BookTop, lambda t: t.epoch == 2)
    assert (healed.bid, healed.ask, healed.stale) == (90.0, 91.0, False)


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
    await survives_nonsense(bus, process, "md.quote.sim.BTC-USDT")

    process.kill()
    await bus.say(OrderDenied(now(), now(), wish, DenialReason.TRADING_HALTED, "limit=a value=b"))
    process.start().until_ready()
    while len(bus.all(SubmitOrder)) < 2:  # it was told of the refusal, so it tries again
        await market()
        await _breathe()
    again = bus.all(SubmitOrder)[1]
    assert again.client_order_id != wish.client_order_id


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


async def test_execution(bus: Neighbours, start: Start, exchange: Any) -> None:
    _, where = exchange
    for coin in ("BTC", "ETH", "SOL"):
        await bus.describe(an_instrument(coin))
    process = start("execution", **where)
    opening = await bus.hear(AccountUpdated)
    assert bus.subject(opening) == "orders.account.sim"
    assert opening.complete

    def theirs() -> dict[str, Any]:
        url = f"{where['TICKBUS_VENUE_REST_URL']}/admin/ledger"
        return {o["clientOrderId"]: o for o in httpx.get(url).json()["orders"]}

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


async def test_history(bus: Neighbours, start: Start, postgres_dsn: str) -> None:
    name = f"contract_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = postgres_dsn.rpartition("/")[0] + f"/{name}"
    process = start("history", TICKBUS_POSTGRES_DSN=dsn)

    def a_trade(number: int, price: float) -> Trade:
        return Trade(now(), now(), "sim", "BTC-USDT", str(number), price, 0.5, Side.BUY)

    query = CandlesQuery(venue="sim", instrument_id="BTC-USDT", interval_s=86_400)

    async def candles(trades: int) -> Candle:
        """The days put together, once they hold so many trades."""
        async with asyncio.timeout(20):
            while True:
                payload = await bus.bus.request(history_api.CANDLES, codec.encode_value(query), 5)
                found = codec.decode_value(payload, CandlesAnswer).candles
                if sum(candle.trades for candle in found) == trades:
                    return found[0]
                await asyncio.sleep(0.2)

    await bus.say(a_trade(1, 60_000.0), "feed")
    bids, asks = ((59_990.0, 1.0),), ((60_010.0, 2.0),)
    await bus.say(BookDepth(now(), now(), "sim", "BTC-USDT", bids, asks, 1, 1), "book")
    assert (await candles(1)).close == 60_000.0
    await survives_nonsense(bus, process, "md.trade.sim.BTC-USDT")
    process.stop()
    process.start().until_ready()
    await bus.say(a_trade(2, 60_100.0), "feed")
    day = await candles(2)
    assert (day.close, day.bid_size, day.ask_size) == (60_100.0, 1.0, 2.0)


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
            await _breathe()
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
            await _breathe()
        assert (await client.get("/api/v1/prices")).status_code == 200
