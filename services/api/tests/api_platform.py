"""The gateway under test on a bus in memory, with stand-ins for risk, venue and ledger."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import msgspec

from tickbus import codec, ledger_api, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.clock import ManualClock
from tickbus.config import Settings
from tickbus.events import (
    Balance,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    Fill,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    SubmitOrder,
)
from tickbus.events.ledger import PositionRecord
from tickbus.events.orders import message_id
from tickbus.order import Order, Orders
from tickbus.runtime import Shell
from tickbus_api.service import HttpEdge, build

NOW = 1_700_000_000_000_000_000
STRATEGIES = [{"id": "pp"}]

BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"))

ETH = Instrument("sim", "ETH-USDT", "ETHUSDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.0001"))

MARKET_BUY = '{"symbol":"BTCUSDT","side":"Buy","quantity":0.001,"price":null}'

LIMIT_BUY = '{"symbol":"btc/usdt","side":"buy","quantity":"0.5","price":100.25}'


E = TypeVar("E", bound=Event)
G = TypeVar("G", bound="Gateway")
Answer = Callable[[SubmitOrder], Sequence[Event]]


def approved(order: SubmitOrder) -> Sequence[Event]:
    return [OrderApproved(NOW, NOW, order)]


def accepted(order: SubmitOrder) -> Sequence[Event]:
    return [*approved(order), OrderAccepted(NOW, NOW, *names(order), "v1")]


def filled(order: SubmitOrder) -> Sequence[Event]:
    fill = Fill(
        "f1", order.side, Decimal(100), order.quantity, Decimal("0.0000010"), "BTC",
        LiquiditySide.TAKER, NOW,
    )  # fmt: skip
    report = OrderFilled(NOW, NOW, *names(order), "v1", fill, order.quantity, Decimal(0))
    return [*accepted(order), report]


def denied(order: SubmitOrder) -> Sequence[Event]:
    return [OrderDenied(NOW, NOW, order, DenialReason.NOTIONAL_ABOVE_MAX, "notional=10 max=5")]


def rejected(order: SubmitOrder) -> Sequence[Event]:
    report = OrderRejected(NOW, NOW, *names(order), "-2010", "Account has insufficient balance.")
    return [*approved(order), report]


def names(order: SubmitOrder | CancelOrder | Order) -> tuple[str, str, str, str]:
    return order.client_order_id, order.strategy_id, order.venue, order.instrument_id


class Gateway:
    """The gateway itself on a bus in memory; `api` is its section of the configuration.

    It waits patiently for others, as a machine that tests share may stand still for seconds.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, **api: Any) -> None:
        self.bus = MemoryBus()
        venue = {
            "name": "sim", "adapter": "binance", "rest_url": "x", "ws_url": "x", "ws_api_url": "x",
            "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        raw = {
            "api": {
                "access": "local", "port": 0, "order_wait_s": 30, "ledger_timeout_s": 30, **api,
            },
            "venue": venue,
            "strategies": STRATEGIES,
        }  # fmt: skip
        spec = build(Settings(raw, environment or {}, run_id="r"))
        (edge,) = spec.edges
        assert isinstance(edge, HttpEdge)
        self.clock = ManualClock(NOW)
        self.shell = Shell(spec, self.bus, clock=self.clock)
        self.app = edge.app
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(edge.app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
        )

    async def start(self) -> None:
        """Start the gateway; stand-ins for others come before or after."""
        await self.shell.start()

    def hurry(self, *, order_wait_s: float = 1.0, ledger_timeout_s: float = 1.0) -> None:
        """From now on wait for a moment only: what is asked for next never comes."""
        gateway = self.app.state.gateway
        gateway.config = msgspec.structs.replace(
            gateway.config, order_wait_s=order_wait_s, ledger_timeout_s=ledger_timeout_s
        )

    async def send(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A request with `body` as JSON."""
        return await self.http.request(method, path, content=json.dumps(body))

    async def stop(self) -> None:
        """End it all."""
        await self.http.aclose()
        await self.shell.stop()
        await self.bus.close()


class Platform(Gateway):
    """The gateway under test and stand-ins for everybody it talks to."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Orders()
        self.answer: Answer = accepted
        self.cancels = True
        self.ledger_answers = True
        self.lists_lead_nowhere = False
        self.intents: list[Event] = []
        self.stream: list[Event] = []
        self.fills: list[ledger_api.FillRecord] = []
        self.steps: tuple[ledger_api.OrderStep, ...] = ()
        """The cursor of the page behind the orders that it lists."""

    async def start(self) -> None:
        for instrument in (BTC, ETH):
            value = codec.encode_value(instrument)
            await self.bus.kv_put("instruments", f"sim.{instrument.instrument_id}", value)
        await self.bus.subscribe(subjects.INTENTS_ALL, self._on_intent)
        await self.bus.subscribe(subjects.ORDERS_ALL, self._on_order)
        for subject, query, answer in (
            (ledger_api.ORDER, ledger_api.OrderQuery, self._order),
            (ledger_api.ORDERS, ledger_api.OrdersQuery, self._orders),
            (ledger_api.FILLS, ledger_api.FillsQuery, self._fills),
            (ledger_api.PORTFOLIO, ledger_api.PortfolioQuery, self._portfolio),
        ):
            await self.bus.respond(subject, self._responder(query, answer))
        await super().start()

    async def publish(self, *events: Event) -> None:
        for event in events:
            payload = codec.encode([event])
            if subjects.is_durable(event):
                await self.bus.publish_durable(subjects.of(event), payload, message_id(event))
            else:
                await self.bus.publish(subjects.of(event), payload)
        await self.bus.settle()

    def bus_events(self, kind: type[E]) -> list[E]:
        """What the stream holds of one type, oldest first."""
        return [event for event in self.stream if isinstance(event, kind)]

    async def _on_intent(self, message: Message) -> None:
        (event,) = codec.decode(message.payload).events
        self.intents.append(event)
        answers: Sequence[Event] = ()
        if isinstance(event, SubmitOrder):
            answers = self.answer(event)
        elif isinstance(event, CancelOrder):
            answers = self._cancel(event)
        elif isinstance(event, CancelAllOrders):
            working = list(self.books.working())
            answers = [
                OrderCanceled(NOW, NOW, *names(order), "v1", Decimal(0)) for order in working
            ]
        for answer in answers:
            payload = codec.encode([answer])
            await self.bus.publish_durable(subjects.of(answer), payload, message_id(answer))

    def _cancel(self, cancel: CancelOrder) -> Sequence[Event]:
        if self.cancels:
            return [
                CancelApproved(NOW, NOW, cancel),
                OrderCanceled(NOW, NOW, *names(cancel), "v1", Decimal(0)),
            ]
        return [
            CancelRejected(NOW, NOW, *names(cancel), cancel.command_id, "-2011", "Unknown order.")
        ]

    async def _on_order(self, message: Message) -> None:
        with contextlib.suppress(codec.MalformedMessage):
            (event,) = codec.decode(message.payload).events
            self.stream.append(event)
            self.books.fold(event)

    def _responder(self, kind: Any, answer: Callable[[Any], msgspec.Struct]) -> Any:
        async def respond(payload: bytes) -> bytes:
            if not self.ledger_answers:
                await asyncio.sleep(60)
            return codec.encode_value(answer(codec.decode_value(payload, kind)))

        return respond

    def _order(self, query: ledger_api.OrderQuery) -> msgspec.Struct:
        order = self.books.get(query.client_order_id)
        return ledger_api.OrderAnswer(order=order, steps=self.steps)

    def _orders(self, query: ledger_api.OrdersQuery) -> msgspec.Struct:
        if query.cursor and not query.cursor.isdecimal():
            return ledger_api.LedgerRefusal(reason=f"cursor {query.cursor!r} is none of ours")
        found = [
            order
            for order in self.books
            if (not query.states or order.state in query.states)
            and query.strategy_id in ("", order.strategy_id)
            and query.venue in ("", order.venue)
        ]
        begin = int(query.cursor[:9] or 0)
        end = begin + query.limit
        more = "0" if self.lists_lead_nowhere else str(end) if end < len(found) else ""
        return ledger_api.OrdersAnswer(orders=tuple(found[begin:end]), next_cursor=more)

    def _fills(self, _: ledger_api.FillsQuery) -> msgspec.Struct:
        return ledger_api.FillsAnswer(fills=tuple(self.fills))

    def _portfolio(self, _: ledger_api.PortfolioQuery) -> msgspec.Struct:
        one, zero = Decimal("0.10000000"), Decimal(0)
        position = PositionRecord(
            venue="sim", instrument_id="BTC-USDT", quantity=one, avg_entry_price=Decimal(100),
            mark=Decimal(110), realized_pnl=zero, unrealized_pnl=Decimal("1.0"),
            fees=Decimal("1E-8"), net_pnl=Decimal("0.99999999"), fills=1, ts_updated=NOW,
        )  # fmt: skip
        return ledger_api.PortfolioAnswer(
            currency="USDT",
            positions=(position,),
            balances={"sim": (Balance("BTC", one, zero),)},
            realized_pnl=zero,
            unrealized_pnl=Decimal("1.0"),
            fees=Decimal("1E-8"),
            net_pnl=Decimal("0.99999999"),
            equity=Decimal("10011"),
            fills=1,
            ts=NOW,
        )


@asynccontextmanager
async def running(gateway: G) -> AsyncIterator[G]:
    """`gateway` once it has started, stopped afterwards."""
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def a_platform() -> AsyncIterator[Platform]:
    """A platform that has started, stopped afterwards."""
    async with running(Platform()) as platform:
        yield platform
