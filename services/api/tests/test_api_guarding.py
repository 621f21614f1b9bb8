"""What could cancel or order more than was meant is refused before anything is sent."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import httpx
import pytest

from tickbus import codec, ledger_api, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.clock import ManualClock
from tickbus.config import Settings
from tickbus.events import CancelAllOrders, Instrument
from tickbus.instruments import ZERO
from tickbus.ledger_api import OrdersAnswer
from tickbus.runtime import Shell
from tickbus_api.service import HttpEdge, build

LIMIT_BUY = '{"symbol":"BTCUSDT","side":"Buy","quantity":"0.5","price":100.25}'

STRATEGIES = [{"id": "pingpong"}]


class Desk(NamedTuple):
    """The gateway, and what it says on the order path; nobody answers."""

    http: httpx.AsyncClient
    bus: MemoryBus
    intents: list[Message]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    bus = MemoryBus()
    btc = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", ZERO + 1, ZERO + 1)
    await bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(btc))
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "x", "ws_url": "x", "ws_api_url": "x",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
    }  # fmt: skip
    section = {"access": "local", "port": 0, "order_wait_s": 0.3}
    raw = {"api": section, "venue": venue, "strategies": STRATEGIES}
    spec = build(Settings(raw, run_id="r"))
    (edge,) = spec.edges
    assert isinstance(edge, HttpEdge)
    shell = Shell(spec, bus, clock=ManualClock(1))
    intents: list[Message] = []
    await bus.subscribe(subjects.INTENTS_ALL, _into(intents))
    await bus.respond(ledger_api.ORDERS, _no_orders)
    await shell.start()
    transport = httpx.ASGITransport(edge.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield Desk(http, bus, intents)
    await shell.stop()


def _into(found: list[Message]) -> Callable[[Message], Any]:
    async def keep(message: Message) -> None:
        found.append(message)

    return keep


async def _no_orders(_: bytes) -> bytes:
    return codec.encode_value(OrdersAnswer(orders=()))


async def test_cancel_all_of_a_strategy_is_the_wish_of_a_hand(desk: Desk) -> None:
    answer = await desk.http.delete("/api/v1/orders?strategy=pingpong")
    assert answer.status_code == 200
    await desk.bus.settle()
    (wish,) = desk.intents
    (event,) = codec.decode(wish.payload).events
    assert isinstance(event, CancelAllOrders)
    # The gateway may say nothing on the subject of a strategy.
    assert (wish.subject, event.strategy_id) == ("orders.intent.manual", "pingpong")


@pytest.mark.parametrize(
    ("query", "field"),
    [("instrument=ETHUSDT", "instrument"), ("strateg=pp", "strateg"), ("venue=nowhere", "venue")],
)
async def test_a_misspelt_filter_does_not_cancel_everything(
    desk: Desk, query: str, field: str
) -> None:
    answer = await desk.http.delete(f"/api/v1/orders?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.json()["remedy"]
    await desk.bus.settle()
    assert desk.intents == []


async def test_a_filter_in_the_body_does_not_cancel_everything(desk: Desk) -> None:
    answer = await desk.http.request("DELETE", "/api/v1/orders", content='{"symbol":"BTCUSDT"}')
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    await desk.bus.settle()
    assert desk.intents == []


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("https://evil.example", "127.0.0.1:8080", 403),
        ("null", "127.0.0.1:8080", 403),
        ("http://evil.example:8080", "evil.example:8080", 403),  # a name made to point here
        ("http://127.0.0.1:8080", "127.0.0.1:8080", 202),
        ("http://localhost:8080", "localhost:8080", 202),
        ("http://[::1]:8080", "[::1]:8080", 202),
    ],
)
async def test_no_foreign_page_sends_orders(
    desk: Desk, origin: str, host: str, status: int
) -> None:
    headers = {"origin": origin, "host": host, "content-type": "text/plain"}
    answer = await desk.http.post("/api/v1/orders", content=LIMIT_BUY, headers=headers)
    assert answer.status_code == status
    await desk.bus.settle()
    assert len(desk.intents) == (status == 202)
