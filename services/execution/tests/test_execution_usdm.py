"""USD-M futures at a socket: two lines, REST beside them, the countdown, refusals."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.config import ConfigError, Settings
from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    CancelApproved,
    CancelOrder,
    CancelRejected,
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
from tickbus_testkit.scripted_venue import ScriptedVenue, a_scripted_venue

T = TypeVar("T")
PERP = "BTC-USDT-PERP"
BTC = Instrument("fut", PERP, "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))


def a_wish(n: int = 1, price: str | None = "60000", **terms: Any) -> SubmitOrder:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    now = time.time_ns()
    return SubmitOrder(
        now, now, f"s-r-{n}", "s", "fut", PERP, Side.BUY, kind, Decimal("1E-3"),
        None if price is None else Decimal(price), **terms,
    )  # fmt: skip


def a_trade(status: str = "PARTIALLY_FILLED", **order: Any) -> dict[str, Any]:
    return {
        "e": "ORDER_TRADE_UPDATE", "E": 1, "T": 2,
        "o": {
            "s": "BTCUSDT", "c": "s-r-1", "S": "BUY", "o": "LIMIT", "q": "0.001", "x": "TRADE",
            "X": status, "i": 77, "l": "0.001", "z": "0.001", "L": "60000.1", "t": 9, "m": True,
            "n": "0.012", "N": "USDT", "T": 1700000000123, **order,
        },
    }  # fmt: skip


# -- the whole way ---------------------------------------------------------------------------------


def a_futures_account(venue: ScriptedVenue) -> None:
    """An empty account, on which every order is taken."""
    venue.rest |= {
        "GET /fapi/v1/time": lambda _: {"serverTime": time.time_ns() // 1_000_000},
        "POST /fapi/v1/listenKey": {"listenKey": "the-key"},
        "PUT /fapi/v1/listenKey": {},
        "GET /fapi/v1/positionSide/dual": {"dualSidePosition": False},
        "GET /fapi/v1/openOrders": [],
        "GET /fapi/v1/openAlgoOrders": [],
        "GET /fapi/v1/allAlgoOrders": [],
        "GET /fapi/v1/userTrades": [],
        "GET /fapi/v1/income": [],
        "GET /fapi/v3/account": {
            "assets": [{"asset": "USDT", "walletBalance": "100", "updateTime": 5}],
            "positions": [],
        },
        "GET /fapi/v1/exchangeInfo": {
            "rateLimits": [
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300}
            ],
            "symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}],
        },
        "POST /fapi/v1/countdownCancelAll": {},
        "POST /fapi/v1/order": placed,
        "DELETE /fapi/v1/order": lambda p: placed(p, "CANCELED"),
    }
    venue.api |= {"order.place": placed, "order.cancel": lambda p: placed(p, "CANCELED")}


def placed(params: dict[str, Any], status: str = "NEW") -> dict[str, Any]:
    name = params.get("newClientOrderId") or params.get("origClientOrderId")
    return {
        "symbol": "BTCUSDT", "orderId": 77, "clientOrderId": name, "updateTime": 9, "side": "BUY",
        "origQty": "0.001", "executedQty": "0", "status": status,
    }  # fmt: skip


class AnExecution:
    """The whole service on a memory bus, with what it said."""

    def __init__(
        self, venue: ScriptedVenue, bus: MemoryBus | None = None, *,
        secret: str = "secret", **config: Any,
    ) -> None:  # fmt: skip
        rest, ws = f"127.0.0.1:{venue.rest_port}", f"127.0.0.1:{venue.ws_port}"
        section = {
            "name": "fut", "adapter": "binance-usdm", "rest_url": f"http://{rest}",
            "ws_url": f"ws://{ws}", "ws_api_url": f"ws://{ws}/ws-api", "instruments": [PERP],
            "fees": {"maker": "0", "taker": "0"},
        }  # fmt: skip
        environment = {"TICKBUS_VENUE_API_KEY": "key", "TICKBUS_VENUE_API_SECRET": secret}
        sections = {"venue": section, "platform": {"mode": "simulated"}, "execution": config}
        self.bus = bus or MemoryBus()
        self.shell = Shell(build(Settings(sections, environment)), self.bus)
        self.said: list[Any] = []

    @property
    def gateway(self) -> Gateway:
        _, gateway = self.shell.spec.edges
        assert isinstance(gateway, Gateway)
        return gateway

    async def __aenter__(self) -> "AnExecution":
        await self.bus.kv_put("instruments", f"fut.{PERP}", codec.encode_value(BTC))
        await self.bus.follow(["orders.event.>", "orders.account.>"], 1, self._keep)
        await self.shell.start()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.shell.stop()

    async def _keep(self, message: Message) -> None:
        self.said += codec.decode(message.payload).events

    async def ready(self) -> None:
        await until(lambda: not self.shell.waiting())

    async def place(self, order: SubmitOrder) -> None:
        await self._want(OrderApproved(order.ts_event, order.ts_recv, order))

    async def cancel(self, n: int) -> None:
        now = time.time_ns()
        wish = CancelOrder(now, now, f"s-r-c{n}", f"s-r-{n}", "s", "fut", PERP)
        await self._want(CancelApproved(now, now, wish))

    async def _want(self, event: OrderApproved | CancelApproved) -> None:
        payload = codec.encode([event])
        await self.bus.publish_durable(subjects.of(event), payload, message_id(event))

    async def hear(self, kind: type[T], n: int = 1) -> T:
        def found() -> list[T]:
            return [e for e in self.said if isinstance(e, kind)]

        await until(lambda: len(found()) >= n)
        return found()[n - 1]

    def errors(self, kind: str) -> int:
        return self.shell.telemetry.errors.get(kind, 0)


async def until(look: Callable[[], Any], timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def trading(**config: Any) -> AsyncIterator[tuple[ScriptedVenue, AnExecution]]:
    async with (
        a_scripted_venue(a_futures_account) as venue,
        AnExecution(venue, **config) as execution,
    ):
        await execution.ready()
        await until(lambda: execution.gateway._calls.stream)
        yield venue, execution


async def test_order_goes_over_the_socket_and_its_fill_comes_on_the_private_line() -> None:
    async with trading() as (venue, execution):
        assert "/private/ws/the-key" in venue.paths
        opened = await execution.hear(AccountUpdated)
        assert [balance.total for balance in opened.balances] == [Decimal(100)]
        await execution.place(a_wish())
        await execution.hear(OrderAccepted)
        await venue.push(a_trade(z="0.001", status="FILLED", q="0.001"))
        filled = await execution.hear(OrderFilled)
        assert (filled.fill.fee, filled.leaves_quantity) == (Decimal("0.012"), Decimal(0))
        assert (venue.count("order.place"), venue.count("POST /fapi/v1/order")) == (1, 0)


async def test_countdown_is_armed_before_the_first_order_and_refreshed() -> None:
    async with trading(countdown_s=0.6) as (venue, execution):
        await execution.place(a_wish(1))
        await execution.place(a_wish(2))
        await execution.hear(OrderAccepted, n=2)
        names = venue.names()
        armed = names.index("POST /fapi/v1/countdownCancelAll")
        assert armed < names.index("order.place")
        sent = [p["newClientOrderId"] for p in venue.params("order.place")]
        assert sent == ["s-r-1", "s-r-2"]
        await until(lambda: venue.count("POST /fapi/v1/countdownCancelAll") >= 4)
        for params in venue.params("POST /fapi/v1/countdownCancelAll"):
            assert (params["symbol"], params["countdownTime"]) == ("BTCUSDT", "600")


async def test_without_the_countdown_no_order_is_sent() -> None:
    async with trading() as (venue, execution):
        venue.rest["POST /fapi/v1/countdownCancelAll"] = {
            "status": 400, "error": {"code": -1000, "msg": "no"},
        }  # fmt: skip
        await execution.place(a_wish())
        refused = await execution.hear(OrderRejected)
        assert refused.reason == "COUNTDOWN_NOT_ARMED"
        assert "order.place" not in venue.names()


async def test_countdown_that_could_not_be_refreshed_is_armed_again_before_the_next_order() -> None:
    async with trading(countdown_s=0.6) as (venue, execution):
        await execution.place(a_wish(1))
        await execution.hear(OrderAccepted)
        taken = venue.rest["POST /fapi/v1/countdownCancelAll"]
        venue.rest["POST /fapi/v1/countdownCancelAll"] = {
            "status": 500, "error": {"code": -1000, "msg": "no"},
        }  # fmt: skip
        await until(lambda: not execution.gateway._countdown.armed)
        await execution.place(a_wish(2))
        assert (await execution.hear(OrderRejected)).reason == "COUNTDOWN_NOT_ARMED"
        venue.rest["POST /fapi/v1/countdownCancelAll"] = taken
        await until(lambda: execution.gateway._countdown.armed)
        await execution.place(a_wish(3))
        await execution.hear(OrderAccepted, n=2)
        assert [p["newClientOrderId"] for p in venue.params("order.place")] == ["s-r-1", "s-r-3"]


async def test_countdown_that_is_off_is_never_armed() -> None:
    async with trading(countdown_s=0) as (venue, execution):
        await execution.place(a_wish())
        await execution.hear(OrderAccepted)
        assert "POST /fapi/v1/countdownCancelAll" not in venue.names()


async def test_socket_that_is_gone_stops_neither_orders_nor_cancels() -> None:
    async with trading() as (venue, execution):
        await execution.place(a_wish(1))
        await execution.hear(OrderAccepted)
        for line in venue.api_lines:
            await line.close()
        await until(lambda: execution.gateway._calls.stream is None)
        await execution.cancel(1)
        await execution.hear(OrderCanceled)
        await until(lambda: "DELETE /fapi/v1/order" in venue.names())
        (params,) = venue.params("DELETE /fapi/v1/order")
        assert (params["origClientOrderId"], "signature" in params) == ("s-r-1", True)


async def test_everything_but_the_user_stream_goes_over_rest_without_sockets() -> None:
    async with trading() as (venue, execution):
        await execution.place(a_wish(1))
        await execution.hear(OrderAccepted)
        await venue.refuse_websockets()
        await until(execution.shell.waiting)
        await execution.cancel(1)
        await execution.hear(OrderCanceled)
        await execution.place(a_wish(2))
        refused = await execution.hear(OrderRejected)
        assert refused.reason == "VENUE_DISCONNECTED", "nobody would tell of its fills"
        await venue.take_websockets()
        await execution.ready()
        await execution.place(a_wish(3))
        await execution.hear(OrderAccepted, n=2)


async def test_order_that_may_have_left_is_never_repeated_over_rest() -> None:
    async with trading(request_timeout_s=0.5) as (venue, execution):
        venue.api["order.place"] = None  # taken, and not a word
        await execution.place(a_wish(1))
        await until(lambda: venue.count("order.place") == 1)
        found = placed({"newClientOrderId": "s-r-1"})
        venue.rest["GET /fapi/v1/order"] = venue.api["order.status"] = found
        await venue.api_lines[-1].close()
        await execution.hear(OrderUnknown)
        await execution.hear(OrderAccepted)
        assert (venue.count("order.place"), venue.count("POST /fapi/v1/order")) == (1, 0)
        kinds = [
            type(e) for e in execution.said if not isinstance(e, AccountUpdated | AccountReconciled)
        ]
        assert kinds == [OrderSubmitted, OrderUnknown, OrderAccepted]


async def test_expired_listen_key_is_replaced_and_the_account_compared_again() -> None:
    async with trading() as (venue, execution):
        await venue.push({"e": "listenKeyExpired", "E": 1, "listenKey": "the-key"})
        await until(lambda: venue.count("POST /fapi/v1/listenKey") == 2)
        await execution.ready()
        assert venue.count("GET /fapi/v3/account") >= 2


async def test_listen_key_is_renewed_and_one_that_is_gone_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_execution.session.LISTEN_KEY_S", 0.05)
    monkeypatch.setattr("tickbus_execution.session.PING_S", 0.1)
    async with trading() as (venue, execution):
        await until(lambda: venue.count("PUT /fapi/v1/listenKey") >= 2)
        assert venue.count("POST /fapi/v1/listenKey") == 1
        gone = {"status": 400, "error": {"code": -1125, "msg": "This listenKey does not exist."}}
        venue.rest["PUT /fapi/v1/listenKey"] = gone
        await until(lambda: venue.count("POST /fapi/v1/listenKey") >= 2)
        venue.rest["PUT /fapi/v1/listenKey"] = {}
        await execution.ready()
    keyed = [h for h in venue.headers if h.get("x-mbx-apikey") == "key"]
    assert keyed


async def test_liquidation_is_in_the_books_as_external_and_alarms(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trading() as (venue, execution):
        await venue.push(a_trade(c="autoclose-17", x="CALCULATED", status="FILLED", q="0.001"))
        filled = await execution.hear(OrderFilled)
        assert filled.strategy_id == EXTERNAL
    assert any("LIQUIDATION" in r.message for r in caplog.records if r.levelname == "CRITICAL")


async def test_account_in_hedge_mode_is_refused_at_the_start() -> None:
    def hedged(venue: ScriptedVenue) -> None:
        a_futures_account(venue)
        venue.rest["GET /fapi/v1/positionSide/dual"] = {"dualSidePosition": True}

    async with a_scripted_venue(hedged) as venue, AnExecution(venue) as execution:
        await until(lambda: execution.shell.failure is not None)
        assert isinstance(execution.shell.failure, ConfigError)
        assert "one-way" in str(execution.shell.failure)


async def test_new_orders_stop_at_the_count_that_the_venue_tells() -> None:
    async with trading() as (venue, execution):
        limit = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300}
        venue.api["order.place"] = {
            "status": 400, "error": {"code": -5022, "msg": "Post Only order rejected"},
            "rateLimits": [{**limit, "count": 299}],
        }  # fmt: skip
        await execution.place(a_wish(1, post_only=True))
        assert (await execution.hear(OrderRejected)).reason == "POST_ONLY_WOULD_TAKE"
        await execution.place(a_wish(2))
        refused = await execution.hear(OrderRejected, n=2)
        assert refused.reason == "VENUE_RATE_LIMIT"
        assert refused.detail == "limit=270 of 300 orders per 10 s, value=299"
        await execution.place(a_wish(3, reduce_only=True))
        await until(lambda: venue.count("order.place") == 2)


@pytest.mark.parametrize("status", [429, 418])
async def test_silence_asked_for_over_rest_silences_orders_and_a_ban_cancels_too(
    status: int,
) -> None:
    async with trading(reconcile_interval_s=0.3) as (venue, execution):
        await execution.place(a_wish(1))
        await execution.hear(OrderAccepted)
        venue.rest["GET /fapi/v1/openOrders"] = {
            "status": status, "headers": "Retry-After: 30\r\n", "error": {"code": -1003, "msg": "!"}
        }  # fmt: skip
        await until(lambda: execution.gateway._guard.silent_s > 20)
        await execution.place(a_wish(2))
        refused = await execution.hear(OrderRejected)
        assert refused.reason == "VENUE_PAUSED"
        asked = len(venue.asked)
        await execution.cancel(1)
        if status == 429:
            await execution.hear(OrderCanceled)
        else:
            await execution.hear(OrderUnknown)
            assert [n for n in venue.names()[asked:] if "cancel" in n] == []


async def test_order_out_of_time_goes_once_more_by_a_better_clock() -> None:
    async with trading() as (venue, execution):
        late = {"status": 400, "error": {"code": -1021, "msg": "outside of the recvWindow"}}
        answers = [late]
        venue.api["order.place"] = lambda p: answers.pop() if answers else placed(p)
        clocks = venue.count("GET /fapi/v1/time")
        await execution.place(a_wish(1))
        await execution.hear(OrderAccepted)
        assert venue.count("order.place") == 2
        assert venue.count("GET /fapi/v1/time") > clocks
        assert not [e for e in execution.said if isinstance(e, OrderRejected)]


@pytest.mark.parametrize(("away", "ends"), [(3, OrderAccepted), (9, OrderRejected)])
async def test_order_for_which_the_venue_is_unavailable_goes_again(away: int, ends: Any) -> None:
    async with trading() as (venue, execution):
        answers = [{"status": 503, "error": {"code": -1000, "msg": "Service Unavailable."}}] * away
        venue.api["order.place"] = lambda p: answers.pop() if answers else placed(p)
        await execution.place(a_wish(1))
        await execution.hear(ends)
        assert venue.count("order.place") == 4


async def test_symbol_that_the_venue_does_not_trade_is_let_go_when_its_list_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_execution.gateway.SYMBOL_AGAIN_S", 0.3)
    async with trading() as (venue, execution):
        listed = venue.rest["GET /fapi/v1/exchangeInfo"]
        venue.rest["GET /fapi/v1/exchangeInfo"] = {**listed, "symbols": []}
        venue.api["order.place"] = {"status": 400, "error": {"code": -1122, "msg": "Closed."}}
        await execution.place(a_wish(1))
        await execution.place(a_wish(2))
        await execution.hear(OrderRejected, n=2)
        venue.api["order.place"] = placed
        await execution.place(a_wish(3))
        refused = await execution.hear(OrderRejected, n=3)
        assert (refused.reason, "-1122" in refused.detail) == ("SYMBOL_NOT_TRADING", True)
        venue.rest["GET /fapi/v1/exchangeInfo"] = listed
        await until(lambda: not execution.gateway._guard.disabled)
        await execution.place(a_wish(4))
        await execution.hear(OrderAccepted)


async def test_ed25519_key_logs_the_session_on_and_then_signs_no_order() -> None:
    seed = base64.b64encode(bytes(range(32))).decode()

    async with a_scripted_venue(a_futures_account) as venue:
        venue.api["session.logon"] = {"apiKey": "key", "authorizedSince": 1}
        async with AnExecution(venue, secret=seed) as execution:
            await execution.ready()
            await until(lambda: execution.gateway._calls.logged_on)
            await execution.place(a_wish(1))
            await execution.hear(OrderAccepted)
            (logon,), (order,) = venue.params("session.logon"), venue.params("order.place")
            assert "signature" in logon
            assert logon["apiKey"] == "key"
            assert "signature" not in order
            assert "timestamp" in order
            (account, *_) = venue.params("GET /fapi/v3/account")
            assert len(base64.b64decode(account["signature"])) == 64


async def test_session_that_takes_no_logon_is_used_with_signatures() -> None:
    seed = base64.b64encode(bytes(range(32))).decode()
    async with a_scripted_venue(a_futures_account) as venue:
        venue.api["session.logon"] = {"status": 400, "error": {"code": -4056, "msg": "no"}}
        async with AnExecution(venue, secret=seed) as execution:
            await execution.ready()
            await until(lambda: "session.logon" in venue.names())
            await execution.place(a_wish(1))
            await execution.hear(OrderAccepted)
            (order,) = venue.params("order.place")
            assert "signature" in order


async def test_cancel_of_a_stop_that_was_triggered_meanwhile_finds_the_order_it_became() -> None:
    async with trading(request_timeout_s=0.5) as (venue, execution):
        algo = {
            "algoId": 5, "clientAlgoId": "s-r-1", "algoStatus": "NEW", "actualOrderId": "",
            "side": "BUY", "quantity": "0.001", "updateTime": 3,
        }  # fmt: skip
        venue.api["algoOrder.place"] = algo
        stop = {"order_type": OrderType.STOP_MARKET, "trigger_price": Decimal(61000)}
        await execution.place(msgspec.structs.replace(a_wish(1, price=None), **stop))
        accepted = await execution.hear(OrderAccepted)
        assert accepted.venue_order_id == "algo-s-r-1"
        venue.api["algoOrder.cancel"] = {"status": 400, "error": {"code": -2011, "msg": "Unknown"}}
        triggered = {**algo, "algoStatus": "TRIGGERED", "actualOrderId": "77"}
        venue.rest["GET /fapi/v1/algoOrder"] = triggered
        became = {**placed({"newClientOrderId": "x"}), "orderId": 77}
        venue.api["order.status"] = became
        venue.api["order.cancel"] = {**became, "status": "CANCELED"}
        await execution.cancel(1)
        canceled = await execution.hear(OrderCanceled)
        assert (canceled.client_order_id, canceled.venue_order_id) == ("s-r-1", "algo-s-r-1")
        assert venue.params("order.cancel")[-1]["orderId"] == 77


async def test_cancel_that_comes_before_its_order_is_said_again() -> None:
    async with trading(request_timeout_s=0.5) as (venue, execution):
        venue.api["order.place"] = {"status": 504, "error": {"code": -1007, "msg": "Timeout"}}
        venue.api["order.cancel"] = {"status": 400, "error": {"code": -2011, "msg": "Unknown"}}
        venue.api["order.status"] = {"status": 400, "error": {"code": -2013, "msg": "None"}}
        await execution.place(a_wish(1))
        await execution.hear(OrderUnknown)
        await execution.cancel(1)
        await until(lambda: "order.cancel" in venue.names())
        arrived = placed({"newClientOrderId": "s-r-1"})
        venue.api["order.status"] = arrived
        venue.api["order.cancel"] = {**arrived, "status": "CANCELED"}
        await execution.hear(OrderCanceled)
        assert venue.count("order.cancel") == 2
        assert not [e for e in execution.said if isinstance(e, CancelRejected | OrderRejected)]
