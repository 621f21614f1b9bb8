"""What tests of the futures side share: a market without sockets, and a client for one with."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tickbus_exchange.config import (
    DEFAULT_BALANCES,
    DEFAULT_LISTINGS,
    AccountConfig,
    ExchangeConfig,
    FuturesConfig,
    KeyConfig,
)
from tickbus_exchange.engine.futures_algos import FuturesAlgos
from tickbus_exchange.engine.futures_books import FuturesBooks
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_keeper import FuturesKeeper
from tickbus_exchange.engine.futures_types import (
    Changes,
    FuturesOrder,
    FuturesRequest,
    FuturesType,
    IncomeType,
    Position,
)
from tickbus_exchange.engine.numbers import parse
from tickbus_exchange.engine.orders import Order, OrderRequest, OrderType, Report, Side, Trade
from tickbus_exchange.protocol.signing import sign, socket_payload
from tickbus_exchange.server import Server
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import Venue

BUY, SELL = Side.BUY, Side.SELL
START_MS = 1_800_000_000_000
BTC = "BTCUSDT"
Json = dict[str, Any]


class Floor:
    """A market of the user's desk, of ann, who quotes, and of bob, who does as he is told."""

    def __init__(self, wallet: str = "10000") -> None:
        self.now_ms = START_MS
        self.venue = Venue(ExchangeConfig(listings=DEFAULT_LISTINGS))
        for name in ("ann", "bob"):
            self.venue.open_crowd_account(name)
        self.wallet = parse(wallet)
        config = self.venue.config.futures
        fees = config.maker_fee, config.taker_fee
        books = FuturesBooks(self.wallet)
        self.desk = FuturesDesk(self.venue, self.venue.rules, books, fees, "user")
        self.changes: list[Changes] = []
        self.desk.listeners.append(self.changes.append)
        self.algos = FuturesAlgos(self.desk)
        self.keeper = FuturesKeeper(
            self.desk, self.algos, config.funding_interval_ms, config.funding_rate
        )
        self.venue.elsewhere[self.desk.account_id] = self.desk.on_reports
        self.venue.observers.append(self)

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Nobody is tracked here."""

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        self.algos.on_trades(symbol, trades)

    def on_book(self, symbol: str) -> None:
        """Not looked at."""

    def bob(self, side: Side, quantity: str, price: str = "", name: str = "bob") -> Order:
        kind = OrderType.LIMIT if price else OrderType.MARKET
        request = OrderRequest(BTC, side, kind, parse(quantity), parse(price or "0"))
        order = self.venue.submit(name, request, self.now_ms)
        assert isinstance(order, Order)
        return order

    def quotes(self, bid: str, ask: str, quantity: str = "100") -> None:
        """Replace ann's quotes."""
        for order in tuple(self.venue.engine.accounts["ann"].working_orders(BTC).values()):
            self.venue.cancel("ann", BTC, order.order_id, self.now_ms)
        self.bob(BUY, quantity, bid, "ann")
        self.bob(SELL, quantity, ask, "ann")

    def try_order(self, side: Side, quantity: str, price: str = "", **more: object) -> object:
        kind = FuturesType.LIMIT if price else FuturesType.MARKET
        request = FuturesRequest(
            symbol=BTC, side=side, type=kind, quantity=parse(quantity), price=parse(price or "0"),
            **more,  # type: ignore[arg-type]
        )  # fmt: skip
        return self.desk.place(request, self.now_ms)

    def order(self, side: Side, quantity: str, price: str = "", **more: object) -> FuturesOrder:
        order = self.try_order(side, quantity, price, **more)
        assert isinstance(order, FuturesOrder), order
        return self.desk.books.orders[order.order_id]

    def step(self, by_ms: int = 10) -> None:
        self.now_ms += by_ms
        self.keeper.step(self.now_ms)

    @property
    def position(self) -> Position:
        return self.desk.books.position(BTC)

    def income(self, kind: IncomeType) -> int:
        return sum(i.amount for i in self.desk.books.income if i.type is kind)


@pytest.fixture(scope="session")
def new_floor() -> type[Floor]:
    """For who needs more than one, or another wallet."""
    return Floor


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.quotes("59999", "60001")
    return floor


class FuturesClient:
    """A small futures trader's client."""

    def __init__(self, port: int, key: str = "sim-key", secret: bytes = b"sim-secret") -> None:
        self.url = f"127.0.0.1:{port}"
        self.key, self.secret = key, secret
        self.http = httpx.AsyncClient(
            base_url=f"http://{self.url}", headers={"X-MBX-APIKEY": key}, timeout=30
        )

    async def send(self, method: str, path: str, query: str = "") -> httpx.Response:
        # Good for longer than a machine that tests share stands still.
        now_ms = time.time_ns() // 1_000_000
        query = f"{query}&recvWindow=60000&timestamp={now_ms}".lstrip("&")
        signature = sign(self.secret, query.encode())
        return await self.http.request(method, f"/fapi/{path}?{query}&signature={signature}")

    async def ask(self, method: str, path: str, query: str = "") -> Any:
        response = await self.send(method, path, query)
        assert response.status_code == 200, response.text
        return response.json()

    async def fail(self, method: str, path: str, query: str = "") -> int:
        response = await self.send(method, path, query)
        assert response.status_code >= 400, response.text
        return int(response.json()["code"])

    async def admin(self, path: str, **body: object) -> Json:
        response = await self.http.post(f"/admin/{path}", json=body)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def ledger(self, account: str = "user") -> Json:
        found: Json = (await self.http.get(f"/admin/ledger?account={account}")).json()
        return found

    async def listen_key(self) -> str:
        answer = (await self.http.post("/fapi/v1/listenKey")).json()
        return str(answer["listenKey"])

    def socket(self, path: str) -> connect:
        return connect(f"ws://{self.url}{path}", compression=None, open_timeout=60)

    async def call(self, socket: ClientConnection, method: str, **p: object) -> Json:
        """Send a WebSocket API request and return its answer."""
        p |= {"apiKey": self.key, "timestamp": time.time_ns() // 1_000_000, "recvWindow": 60_000}
        p["signature"] = sign(self.secret, socket_payload({k: str(v) for k, v in p.items()}))
        await socket.send(json.dumps({"id": method, "method": method, "params": p}))
        return await self.receive(socket)

    async def receive(self, socket: ClientConnection) -> Json:
        message: Json = json.loads(await asyncio.wait_for(socket.recv(), 30))
        return message

    async def quiet(self, socket: ClientConnection, seconds: float = 0.3) -> bool:
        """Whether nothing comes for so long."""
        try:
            await asyncio.wait_for(socket.recv(), seconds)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        await self.http.aclose()


@pytest.fixture
async def futures_server() -> AsyncIterator[Server]:
    """A still market with two accounts, where funding is due on demand alone."""
    second = AccountConfig(name="second", keys=(KeyConfig(key="key-2", secret="secret-2"),))
    # Else a test that runs at midnight would find an income and an event more.
    never = FuturesConfig(funding_interval_ms=10**14)
    server = Server(
        ExchangeConfig(
            listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, seed=5, intensity=0.0,
            accounts=(second,), futures=never,
        )
    )  # fmt: skip
    await server.start()
    yield server
    await server.close()
    assert server.failure is None


@pytest.fixture
def new_client() -> type[FuturesClient]:
    """For a server of one's own."""
    return FuturesClient


@pytest.fixture
async def client(futures_server: Server) -> AsyncIterator[FuturesClient]:
    client = FuturesClient(futures_server.port)
    yield client
    await client.close()
