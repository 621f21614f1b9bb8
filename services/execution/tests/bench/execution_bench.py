"""The whole execution service on a bus in memory, at a scripted venue or a simulated exchange."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import httpx

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.codec import Hop
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
from tickbus.traces.tracer import Tracer
from tickbus_execution import gateway
from tickbus_execution.gateway import Gateway
from tickbus_execution.service import build
from tickbus_testkit.processes import ServiceProcess

T = TypeVar("T")
TIMEOUT_S = 60.0
PATIENT: dict[str, Any] = {"request_timeout_s": 60, "lease_ttl_s": 60}
"""So that a machine that stands still for seconds changes nothing; who tests these sets them."""
SAID = ("orders.event.", "orders.account.")
"""What execution says of orders and accounts."""
STEPS = (Decimal("0.01"), Decimal("0.00001"))
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", *STEPS)
PERP = Instrument("sim", "BTC-USDT-PERP", "BTCUSDT", "BTC", "USDT", *STEPS)


class Account(NamedTuple):
    """Where execution trades, and with which keys; `rest` and `ws` are host:port."""

    rest: str
    ws: str
    instrument: Instrument = BTC
    adapter: str = "binance"
    api_path: str = "/ws-api/v3"
    secret: str = "sim-secret"
    further: tuple[str, ...] = ()
    """Configured instruments that nobody describes."""

    def settings(self, **execution: Any) -> Settings:
        """What the service reads; `execution` is its section."""
        venue = {
            "name": self.instrument.venue, "adapter": self.adapter,
            "rest_url": f"http://{self.rest}", "ws_url": f"ws://{self.ws}",
            "ws_api_url": f"ws://{self.ws}{self.api_path}",
            "instruments": [self.instrument.instrument_id, *self.further],
            "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        keys = {"TICKBUS_VENUE_API_KEY": "sim-key", "TICKBUS_VENUE_API_SECRET": self.secret}
        sections = {"venue": venue, "platform": {"mode": "simulated"}, "execution": execution}
        return Settings(sections, keys)


class Bench:
    """Execution for one account, with all that it said; it may be restarted."""

    def __init__(self, account: Account, **execution: Any) -> None:
        self.account = account
        self.bus = MemoryBus()
        self.said: list[Any] = []
        self._heard = 0
        self.shell: Shell | None = None
        self.tracer: Tracer | None = None
        self.hops: tuple[Hop, ...] = ()
        """The way that approvals come; none, where it does not matter."""
        self._execution = PATIENT | execution
        self._listens = False

    @property
    def running(self) -> Shell:
        """The process that runs now."""
        assert self.shell is not None
        return self.shell

    @property
    def gateway(self) -> Gateway:
        """Its connection to the venue."""
        _, gateway = self.running.spec.edges
        assert isinstance(gateway, Gateway)
        return gateway

    async def launch(self, **execution: Any) -> None:
        """A new process of the service, on the stream as it is; it may never get ready."""
        if not self._listens:
            self._listens = True
            key = f"{self.account.instrument.venue}.{self.account.instrument.instrument_id}"
            await self.bus.kv_put("instruments", key, codec.encode_value(self.account.instrument))
            await self.bus.follow([f"{start}>" for start in SAID], 1, self._keep)
        settings = self.account.settings(**self._execution | execution)
        self.shell = Shell(build(settings), self.bus, tracer=self.tracer)
        await self.shell.start()

    async def start(self, **execution: Any) -> None:
        """A new process of the service, once it is ready."""
        await self.launch(**execution)
        await self.ready()

    async def ready(self) -> None:
        """Return once the account has been compared and orders may go out."""
        await until(lambda: not self.running.waiting())

    async def stop(self) -> None:
        """End the process; the venue keeps what works."""
        if self.shell is not None:
            await self.shell.stop()
            assert self.shell.failure is None
            self.shell = None

    async def fails(self) -> BaseException:
        """What the process ended by, once it has."""
        await until(lambda: self.running.failure is not None)
        shell, self.shell = self.running, None
        await shell.stop()
        assert shell.failure is not None
        return shell.failure

    async def restart(self, **execution: Any) -> None:
        """Another process takes over."""
        await self.stop()
        await self.start(**execution)

    async def __aenter__(self) -> "Bench":
        await self.launch()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.stop()

    async def _keep(self, message: Message) -> None:
        self.said += codec.decode(message.payload).events
        self._heard = message.sequence

    # -- what risk lets pass -----------------------------------------------------------------------

    def wish(
        self, n: int, price: str | None = None, quantity: str = "0.001", side: Side = Side.BUY,
        **terms: Any,
    ) -> SubmitOrder:  # fmt: skip
        """The order `s-r-<n>`, at the market without `price`; `terms` are further fields."""
        now = time.time_ns()
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        instrument = self.account.instrument
        return SubmitOrder(
            now, now, f"s-r-{n}", "s", instrument.venue, instrument.instrument_id, side,
            terms.pop("order_type", kind), Decimal(quantity),
            None if price is None else Decimal(price), **terms,
        )  # fmt: skip

    async def order(self, n: int, *what: Any, **terms: Any) -> str:
        """Approve an order as in `wish`; its id."""
        wish = self.wish(n, *what, **terms)
        await self._want(OrderApproved(wish.ts_event, wish.ts_recv, wish))
        return wish.client_order_id

    async def cancel(self, order_id: str) -> None:
        """Approve a cancel."""
        now = time.time_ns()
        venue, name = self.account.instrument.venue, self.account.instrument.instrument_id
        wish = CancelOrder(now, now, f"c-{order_id}", order_id, "s", venue, name)
        await self._want(CancelApproved(now, now, wish))

    async def _want(self, event: OrderApproved | CancelApproved) -> None:
        payload = codec.encode([event], self.hops)
        await self.bus.publish_durable(subjects.of(event), payload, message_id(event))

    # -- what execution says -----------------------------------------------------------------------

    def all(self, kind: type[T], order_id: str = "") -> list[T]:
        """Every event of `kind` said so far, of one order or of all."""
        found = [event for event in self.said if isinstance(event, kind)]
        return [e for e in found if order_id in ("", getattr(e, "client_order_id", ""))]

    async def hear(self, kind: type[T], order_id: str = "", n: int = 1) -> T:
        """The `n`th event of `kind`, now or soon."""
        await until(lambda: len(self.all(kind, order_id)) >= n)
        return self.all(kind, order_id)[n - 1]

    async def books(self) -> dict[str, Order]:
        """Our orders as anybody folds them from the stream; what it holds has been heard, too."""
        orders, said = Orders(), 0
        for sequence in range(1, await self.bus.last_sequence() + 1):
            message = await self.bus.read(sequence)
            orders.fold(codec.decode(message.payload).events[0])
            if message.subject.startswith(SAID):
                said = sequence
        await until(lambda: self._heard >= said)
        return {order.client_order_id: order for order in orders}

    async def over(self) -> None:
        """Return once every order has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            while not all(order.is_terminal for order in (await self.books()).values()):
                await asyncio.sleep(0.05)

    def errors(self, kind: str) -> int:
        """How often the process counted an error of `kind`."""
        return self.running.telemetry.errors.get(kind, 0)


class ExchangeBench(Bench):
    """At a simulated exchange, which can be told to misbehave and asked for the truth."""

    def __init__(self, exchange: ServiceProcess) -> None:
        address = exchange.health_url.removeprefix("http://")
        super().__init__(Account(address, address), reconcile_interval_s=0.5)
        self.exchange = exchange

    def trade_futures(self) -> None:
        """From the next start on at the exchange's USD-M futures."""
        self.account = self.account._replace(
            instrument=PERP, adapter="binance-usdm", api_path="/ws-fapi/v1"
        )

    def fault(self, **faults: Any) -> None:
        """Have the exchange misbehave; nothing given ends it."""
        self._post("faults", faults)

    def jolt(self, bps: int) -> None:
        """Have the market jump by so much; what rests in its way is filled."""
        self._post("jolt", {"symbol": "BTCUSDT", "bps": bps})

    def disconnect(self) -> None:
        """Cut every socket at the exchange."""
        self._post("disconnect", {})

    def act(self, path: str, **body: Any) -> Any:
        """Do something by hand at the exchange."""
        return self._post(path, {name: str(value) for name, value in body.items()})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self.exchange.health_url}/admin/{path}", json=body, timeout=30)
        assert answer.is_success, answer.text
        return answer.json()

    def truth(self) -> Any:
        """The exchange's own ledger."""
        answer = httpx.get(f"{self.exchange.health_url}/admin/ledger", timeout=30)
        return answer.raise_for_status().json()


@contextmanager
def impatient(held_s: float = 0.2) -> Iterator[None]:
    """Meanwhile an order that has to wait for its account is refused after `held_s`."""
    before, gateway.HELD_S = gateway.HELD_S, held_s
    try:
        yield
    finally:
        gateway.HELD_S = before


async def until(look: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
    """Return once `look` returns something true."""
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.01)
