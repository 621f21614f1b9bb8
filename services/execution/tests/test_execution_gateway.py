"""The gateway at a socket: opening, cuts, refusals, silence, strangers on the account."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.config import Settings
from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    CancelApproved,
    CancelOrder,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
    Side,
    SubmitOrder,
)
from tickbus.events.orders import message_id
from tickbus.runtime import Shell
from tickbus_execution.external import EXTERNAL
from tickbus_execution.gateway import Gateway
from tickbus_execution.service import build
from tickbus_testkit.processes import ServiceProcess, free_port

T = TypeVar("T")
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"))


class AnExecution:
    """The whole service on a memory bus, with what it said."""

    def __init__(
        self, address: str, *instruments: str, secret: str = "sim-secret", **execution: Any
    ) -> None:
        venue = {
            "name": "sim", "adapter": "binance", "rest_url": f"http://{address}",
            "ws_url": f"ws://{address}", "ws_api_url": f"ws://{address}/ws-api/v3",
            "instruments": list(instruments or ["BTC-USDT"]),
            "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        environment = {"TICKBUS_VENUE_API_KEY": "sim-key", "TICKBUS_VENUE_API_SECRET": secret}
        sections = {"venue": venue, "platform": {"mode": "simulated"}, "execution": execution}
        self.bus = MemoryBus()
        self.shell = Shell(build(Settings(sections, environment)), self.bus)
        self.said: list[Any] = []

    async def __aenter__(self) -> "AnExecution":
        await self.bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(BTC))
        await self.bus.follow(["orders.event.>", "orders.account.>"], 1, self._keep)
        await self.shell.start()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.shell.stop()
        assert self.shell.failure is None

    async def _keep(self, message: Message) -> None:
        self.said += codec.decode(message.payload).events

    async def ready(self) -> None:
        await until(lambda: not self.shell.waiting())

    async def want(self, event: OrderApproved | CancelApproved) -> None:
        payload = codec.encode([event])
        await self.bus.publish_durable(subjects.of(event), payload, message_id(event))

    async def hear(self, kind: type[T], *where: Callable[[T], bool], n: int = 1) -> T:
        def found() -> list[T]:
            return [e for e in self.said if isinstance(e, kind) and all(w(e) for w in where)]

        await until(lambda: len(found()) >= n)
        return found()[n - 1]

    def errors(self, kind: str) -> int:
        return self.shell.telemetry.errors.get(kind, 0)


async def until(look: Callable[[], Any], timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.01)


def an_order(n: int, price: str | None = None, quantity: str = "0.001") -> OrderApproved:
    now = time.time_ns()
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    order = SubmitOrder(
        now, now, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, kind, Decimal(quantity),
        None if price is None else Decimal(price),
    )  # fmt: skip
    return OrderApproved(now, now, order)


def a_cancel(n: int) -> CancelApproved:
    now = time.time_ns()
    wish = CancelOrder(now, now, f"s-r-c{n}", f"s-r-{n}", "s", "sim", "BTC-USDT")
    return CancelApproved(now, now, wish)


# -- at the simulated exchange ---------------------------------------------------------------------


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ServiceProcess]:
    port = free_port()
    state = tmp_path / "state"
    state.mkdir()
    arguments = ("--port", str(port), "--seed", "1", "--state-dir", str(state))
    process = ServiceProcess("exchange", tmp_path, {}, port, arguments).start().until_ready()
    yield process
    process.stop()


def address(exchange: ServiceProcess) -> str:
    return exchange.health_url.removeprefix("http://")


async def test_session_cut_in_mid_order_is_taken_up_again(exchange: ServiceProcess) -> None:
    async with AnExecution(address(exchange)) as execution:
        await execution.ready()
        await execution.want(an_order(1, "30000"))
        await execution.hear(OrderAccepted)
        httpx.post(f"{exchange.health_url}/admin/disconnect").raise_for_status()
        await until(execution.shell.waiting)
        await execution.want(a_cancel(1))  # while the venue cannot be reached
        await execution.hear(OrderCanceled)
        await execution.want(an_order(2))
        filled = await execution.hear(OrderFilled)
        assert filled.client_order_id == "s-r-2"


async def test_exchange_killed_and_back_with_the_same_orders(exchange: ServiceProcess) -> None:
    async with AnExecution(address(exchange)) as execution:
        await execution.ready()
        await execution.want(an_order(1, "30000"))
        await execution.hear(OrderAccepted)
        exchange.kill()
        await until(execution.shell.waiting)
        await execution.want(an_order(2))
        refused = await execution.hear(OrderRejected)
        assert (refused.client_order_id, refused.reason) == ("s-r-2", "VENUE_DISCONNECTED")
        exchange.start().until_ready()
        await execution.ready()
        await execution.want(a_cancel(1))
        await execution.hear(OrderCanceled)
        ledger = httpx.get(f"{exchange.health_url}/admin/ledger").json()
        assert [o["clientOrderId"] for o in ledger["orders"]] == ["s-r-1"]


async def test_stranger_on_the_account_enters_the_books_as_external(
    exchange: ServiceProcess,
) -> None:
    async with (
        AnExecution(address(exchange)) as ours,
        AnExecution(address(exchange)) as stranger,
    ):
        await ours.ready()
        await stranger.ready()
        await stranger.want(an_order(9))
        theirs = await stranger.hear(OrderFilled)
        filled = await ours.hear(OrderFilled)
        assert filled.strategy_id == EXTERNAL
        assert (filled.fill, filled.venue_order_id) == (theirs.fill, theirs.venue_order_id)


async def test_wrong_secret_is_said_with_its_remedy_and_not_tried_in_a_hurry(
    exchange: ServiceProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with AnExecution(address(exchange), secret="wrong") as execution:
        await until(lambda: "signature" in str(execution.shell.waiting()).lower())
        await execution.want(an_order(1))
        refused = await execution.hear(OrderRejected)
        assert refused.reason == "VENUE_KEY_REFUSED"
        assert "-1022" in refused.detail
    said = [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"]
    assert len(said) == 1
    assert "TICKBUS_VENUE_API_KEY" in said[0]
    (again,) = [r.args[1] for r in caplog.records if "again in" in r.msg and r.args]  # type: ignore[index]
    assert float(str(again)) > 50


# -- at a venue that says what the test wants ------------------------------------------------------


class AVenue:
    """A scripted WebSocket API: `answers` by method; None stays silent."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "userDataStream.subscribe.signature": {"subscriptionId": 0},
            "openOrders.status": [],
            "myTrades": [],
            "account.status": {
                "updateTime": 5,
                "balances": [{"asset": "USDT", "free": "100", "locked": "0"}],
            },
        }
        self.hold = asyncio.Event()
        self.hold.set()
        self._connections: list[ServerConnection] = []

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    async def push(self, text: str) -> None:
        await self._connections[-1].send(text)

    async def serve(self, connection: ServerConnection) -> None:
        self._connections.append(connection)
        async for text in connection:
            request = json.loads(text)
            method = request["method"]
            self.asked.append((method, request.get("params", {})))
            if method == "account.status":
                await self.hold.wait()
            answer = self.answers.get(method)
            if method == "time":
                answer = {"serverTime": time.time_ns() // 1_000_000}
            if callable(answer):
                answer = answer(request.get("params", {}))
            if answer is None:
                continue
            if isinstance(answer, dict) and "error" in answer:
                await connection.send(json.dumps({"id": request["id"], **answer}))
            else:
                body = {"id": request["id"], "status": 200, "result": answer}
                await connection.send(json.dumps(body))


@asynccontextmanager
async def a_venue() -> AsyncIterator[tuple[AVenue, str]]:
    venue = AVenue()
    async with serve(venue.serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield venue, f"127.0.0.1:{port}"


def placed(params: dict[str, Any], status: str = "NEW") -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": 7, "clientOrderId": params["newClientOrderId"],
        "transactTime": 9, "side": "BUY", "origQty": params["quantity"], "executedQty": "0",
        "status": status, "fills": [],
    }  # fmt: skip


async def test_nothing_is_sent_before_the_account_was_compared() -> None:
    async with a_venue() as (venue, where), AnExecution(where) as execution:
        venue.answers["order.place"] = placed
        venue.hold.clear()
        await until(lambda: "account.status" in venue.methods())
        for n in (1, 2):
            await execution.want(an_order(n))
        await execution.want(a_cancel(2))
        refused = await execution.hear(OrderRejected)
        assert (refused.client_order_id, refused.reason) == ("s-r-2", "NEVER_SENT")
        assert "order.place" not in venue.methods()
        venue.hold.set()
        await execution.hear(OrderAccepted)
        opened = venue.methods().index("account.status")
        orders = [p["newClientOrderId"] for m, p in venue.asked[opened:] if m == "order.place"]
        assert orders == ["s-r-1"]


async def test_rehearsed_order_never_reaches_the_venue() -> None:
    async with a_venue() as (venue, where), AnExecution(where) as execution:
        venue.answers["order.place"] = placed
        await execution.ready()
        rehearse = execution.shell.spec.rehearse
        assert rehearse is not None
        for n in (1, 2, 3):
            assert rehearse(an_order(n, "60000").order) is None
        await execution.want(an_order(4))
        await execution.hear(OrderAccepted)
        orders = [p["newClientOrderId"] for m, p in venue.asked if m == "order.place"]
        assert orders == ["s-r-4"]


async def test_what_waits_too_long_for_the_account_is_refused_unsent() -> None:
    async with a_venue() as (venue, where), AnExecution(where) as execution:
        venue.hold.clear()
        await until(lambda: "account.status" in venue.methods())
        for n in range(1, 121):
            await execution.want(an_order(n))
        await execution.hear(OrderRejected, n=120)
        reasons = {e.reason for e in execution.said if isinstance(e, OrderRejected)}
        assert reasons == {"VENUE_DISCONNECTED"}
        assert "order.place" not in venue.methods()
        venue.hold.set()


async def test_instrument_that_nobody_describes_is_waited_for_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_venue() as (_, where), AnExecution(where, "BTC-USDT", "BTX-USDT") as execution:
        await execution.ready()
        _, connection = execution.shell.spec.edges
        assert isinstance(connection, Gateway)
        connection.session.drop()
        await until(execution.shell.waiting)
        await execution.ready()
    said = [r for r in caplog.records if "going on without" in r.msg]
    assert len(said) == 1
    assert "BTX-USDT" in said[0].getMessage()


async def test_order_without_an_answer_is_unknown_until_the_venue_was_asked() -> None:
    async with a_venue() as (venue, where), AnExecution(where, request_timeout_s=0.3) as execution:
        await execution.ready()
        found = {
            **placed({"newClientOrderId": "s-r-1", "quantity": "0.001"}, "CANCELED"), "time": 9
        }  # fmt: skip
        venue.answers["order.status"] = found
        await execution.want(an_order(1))
        await execution.hear(OrderUnknown)
        await execution.hear(OrderCanceled)
        assert venue.methods().count("order.place") == 1
        account = (AccountReconciled, AccountUpdated)
        kinds = [type(e) for e in execution.said if not isinstance(e, account)]
        assert kinds == [OrderSubmitted, OrderUnknown, OrderAccepted, OrderCanceled]


async def test_answer_and_frame_that_cannot_be_read_are_kept_and_the_session_lives() -> None:
    async with a_venue() as (venue, where), AnExecution(where) as execution:
        await execution.ready()
        await venue.push("{ no json")
        await venue.push('{"neither": "answer nor event"}')
        await until(lambda: execution.errors("malformed") == 2)
        venue.answers["order.place"] = placed
        await execution.want(an_order(1))
        await execution.hear(OrderAccepted)
        assert len([m for m in venue.methods() if m.startswith("userDataStream")]) == 1


async def test_asked_for_silence_sends_no_order_and_every_cancel() -> None:
    async with a_venue() as (venue, where), AnExecution(where) as execution:
        await execution.ready()
        venue.answers["order.place"] = placed
        await execution.want(an_order(1, "30000"))
        await execution.hear(OrderAccepted)
        until_ms = (time.time_ns() // 1_000_000) + 60_000
        venue.answers["order.place"] = {
            "status": 429,
            "error": {"code": -1003, "msg": "Too much", "data": {"retryAfter": until_ms}},
        }
        await execution.want(an_order(2, "30000"))
        await execution.hear(OrderRejected)
        await execution.want(an_order(3, "30000"))
        refused = await execution.hear(OrderRejected, n=2)
        assert refused.reason == "VENUE_PAUSED"
        assert venue.methods().count("order.place") == 2
        await execution.want(a_cancel(1))
        await until(lambda: "order.cancel" in venue.methods())


async def test_request_out_of_time_measures_the_clock_once() -> None:
    async with a_venue() as (venue, where), AnExecution(where) as execution:
        await execution.ready()
        before = venue.methods().count("time")
        venue.answers["order.place"] = {
            "status": 400, "error": {"code": -1021, "msg": "Timestamp outside of recvWindow"}
        }  # fmt: skip
        for n in range(1, 6):
            await execution.want(an_order(n))
        await execution.hear(OrderRejected, n=5)
        await until(lambda: venue.methods().count("time") >= before + 3)
        await asyncio.sleep(0.1)
        assert venue.methods().count("time") < before + 3 * 5


async def test_questions_are_asked_a_few_at_a_time() -> None:
    async with a_venue() as (venue, where), AnExecution(where, request_timeout_s=0.5) as execution:
        await execution.ready()
        for n in range(1, 31):
            await execution.want(an_order(n))  # no answer to any
        await execution.hear(OrderUnknown, n=30)
        await until(lambda: "order.status" in venue.methods())
        assert venue.methods().count("order.status") <= 8
