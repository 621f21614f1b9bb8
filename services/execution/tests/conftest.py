"""The whole execution service on a bus in memory, at a simulated exchange of its own."""

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.config import Settings
from tickbus.events import (
    CancelApproved,
    CancelOrder,
    Instrument,
    OrderApproved,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus.events.orders import message_id
from tickbus.order import Order, Orders
from tickbus.runtime import Shell
from tickbus_execution.service import build
from tickbus_testkit.processes import ServiceProcess, free_port

T = TypeVar("T")
STEPS = (Decimal("0.01"), Decimal("0.00001"))
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", *STEPS)
PERP = Instrument("sim", "BTC-USDT-PERP", "BTCUSDT", "BTC", "USDT", *STEPS)


class Bench:
    """One account at one exchange, and the execution that runs for it; it may be restarted."""

    def __init__(self, exchange: ServiceProcess) -> None:
        self.exchange = exchange
        self.bus = MemoryBus()
        self.said: list[Any] = []
        self.shell: Shell | None = None
        self.instrument = BTC
        self.adapter, self.api_path = "binance", "/ws-api/v3"

    def trade_futures(self) -> None:
        """From the next start on at the exchange's USD-M futures."""
        self.instrument = PERP
        self.adapter, self.api_path = "binance-usdm", "/ws-fapi/v1"

    async def start(self, **execution: Any) -> None:
        """A new process of the service, on the stream as it is."""
        if not self.said:
            name = self.instrument.instrument_id
            await self.bus.kv_put("instruments", f"sim.{name}", codec.encode_value(self.instrument))
            await self.bus.follow(["orders.event.>", "orders.account.>"], 1, self._keep)
        address = self.exchange.health_url.removeprefix("http://")
        venue = {
            "name": "sim", "adapter": self.adapter, "rest_url": f"http://{address}",
            "ws_url": f"ws://{address}", "ws_api_url": f"ws://{address}{self.api_path}",
            "instruments": [self.instrument.instrument_id],
            "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        keys = {"TICKBUS_VENUE_API_KEY": "sim-key", "TICKBUS_VENUE_API_SECRET": "sim-secret"}
        quick = {"request_timeout_s": 0.5, "reconcile_interval_s": 0.5} | execution
        sections = {"venue": venue, "platform": {"mode": "simulated"}, "execution": quick}
        self.shell = Shell(build(Settings(sections, keys)), self.bus)
        await self.shell.start()
        await self.until(lambda: not self.running.waiting())

    @property
    def running(self) -> Shell:
        """The process that runs now."""
        assert self.shell is not None
        return self.shell

    async def stop(self) -> None:
        """End the process; the exchange keeps what works."""
        if self.shell is not None:
            await self.shell.stop()
            assert self.shell.failure is None
            self.shell = None

    async def restart(self, **execution: Any) -> None:
        """Another process takes over."""
        await self.stop()
        await self.start(**execution)

    async def _keep(self, message: Message) -> None:
        self.said += codec.decode(message.payload).events

    async def want(self, event: OrderApproved | CancelApproved) -> None:
        """What risk lets pass."""
        payload = codec.encode([event])
        await self.bus.publish_durable(subjects.of(event), payload, message_id(event))

    async def order(
        self, n: int, price: str | None = None, quantity: str = "0.001", side: Side = Side.BUY
    ) -> str:
        """Approve an order, at the market without `price`; its id."""
        now = time.time_ns()
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        order = SubmitOrder(
            now, now, f"s-r-{n}", "s", "sim", self.instrument.instrument_id, side, kind,
            Decimal(quantity),
            None if price is None else Decimal(price),
        )  # fmt: skip
        await self.want(OrderApproved(now, now, order))
        return order.client_order_id

    async def cancel(self, order_id: str) -> None:
        """Approve a cancel."""
        now = time.time_ns()
        name = self.instrument.instrument_id
        wish = CancelOrder(now, now, f"c-{order_id}", order_id, "s", "sim", name)
        await self.want(CancelApproved(now, now, wish))

    def all(self, kind: type[T], order_id: str = "") -> list[T]:
        """Every event of `kind` said so far, of one order or of all."""
        found = [event for event in self.said if isinstance(event, kind)]
        return [e for e in found if order_id in ("", getattr(e, "client_order_id", ""))]

    async def hear(self, kind: type[T], order_id: str = "") -> T:
        """The first event of `kind`, now or soon."""
        await self.until(lambda: self.all(kind, order_id))
        return self.all(kind, order_id)[0]

    async def books(self) -> dict[str, Order]:
        """Our orders as anybody folds them from the stream."""
        orders = Orders()
        for sequence in range(1, await self.bus.last_sequence() + 1):
            message = await self.bus.read(sequence)
            orders.fold(codec.decode(message.payload).events[0])
        return {order.client_order_id: order for order in orders}

    async def over(self) -> None:
        """Return once every order has ended."""
        async with asyncio.timeout(20):
            while not all(order.is_terminal for order in (await self.books()).values()):
                await asyncio.sleep(0.05)

    def fault(self, **faults: Any) -> None:
        """Have the exchange misbehave; nothing given ends it."""
        url = f"{self.exchange.health_url}/admin/faults"
        httpx.post(url, json=faults).raise_for_status()

    def jolt(self, bps: int) -> None:
        """Have the market jump by so much; what rests in its way is filled."""
        url = f"{self.exchange.health_url}/admin/jolt"
        httpx.post(url, json={"symbol": "BTCUSDT", "bps": bps}).raise_for_status()

    def disconnect(self) -> None:
        """Cut every socket at the exchange."""
        httpx.post(f"{self.exchange.health_url}/admin/disconnect").raise_for_status()

    def act(self, path: str, **body: Any) -> Any:
        """Do something by hand at the exchange."""
        url = f"{self.exchange.health_url}/admin/{path}"
        answer = httpx.post(url, json={name: str(value) for name, value in body.items()})
        assert answer.is_success, answer.text
        return answer.json()

    def truth(self) -> Any:
        """The exchange's own ledger."""
        return httpx.get(f"{self.exchange.health_url}/admin/ledger").raise_for_status().json()

    async def until(self, look: Callable[[], Any], timeout_s: float = 20.0) -> None:
        """Return once `look` returns something true."""
        async with asyncio.timeout(timeout_s):
            while not look():
                await asyncio.sleep(0.01)


@pytest.fixture
def lively_exchange(tmp_path: Path) -> Iterator[ServiceProcess]:
    """An exchange with a crowd that trades all the time, and keeps its account over restarts."""
    port = free_port()
    state = tmp_path / "state"
    state.mkdir()
    arguments = (
        "--port", str(port), "--seed", "1", "--state-dir", str(state), "--intensity", "4",
    )  # fmt: skip
    process = ServiceProcess("exchange", tmp_path, {}, port, arguments).start().until_ready()
    yield process
    process.stop()


@pytest.fixture
async def bench(lively_exchange: ServiceProcess) -> Any:
    """Execution that has not been started yet."""
    made = Bench(lively_exchange)
    yield made
    await made.stop()
