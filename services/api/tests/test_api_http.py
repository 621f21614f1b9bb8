"""The gateway over HTTP, on a bus in memory, with a stand-in for risk, venue and ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from tickbus import codec, ledger_api, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.clock import ManualClock
from tickbus.config import Settings
from tickbus.events import (
    Balance,
    BookDepth,
    BookTop,
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
    Side,
    SubmitOrder,
    Trade,
)
from tickbus.events.ledger import PositionRecord
from tickbus.events.orders import message_id
from tickbus.order import Order, Orders, OrderState
from tickbus.runtime import Shell
from tickbus_api.service import HttpEdge, build

NOW = 1_700_000_000_000_000_000
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"))
ETH = Instrument("sim", "ETH-USDT", "ETHUSDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.0001"))
MARKET_BUY = '{"symbol":"BTCUSDT","side":"Buy","quantity":0.001,"price":null}'
LIMIT_BUY = '{"symbol":"btc/usdt","side":"buy","quantity":"0.5","price":100.25}'

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


class Platform:
    """The gateway under test and stand-ins for everybody it talks to."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.books = Orders()
        self.answer: Answer = accepted
        self.cancels = True
        self.ledger_answers = True
        self.intents: list[Event] = []
        self.fills: list[ledger_api.FillRecord] = []
        section = {"port": 0, "order_wait_s": 0.3, "ledger_timeout_s": 0.2}
        venue = {
            "name": "sim", "adapter": "binance", "rest_url": "x", "ws_url": "x", "ws_api_url": "x",
            "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        spec = build(Settings({"api": section, "venue": venue}, run_id="r"))
        (edge,) = spec.edges
        assert isinstance(edge, HttpEdge)
        self.shell = Shell(spec, self.bus, clock=ManualClock(NOW))
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(edge.app, raise_app_exceptions=False),
            base_url="http://gateway",
        )

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
        await self.shell.start()

    async def publish(self, *events: Event) -> None:
        for event in events:
            payload = codec.encode([event])
            if subjects.is_durable(event):
                await self.bus.publish_durable(subjects.of(event), payload, message_id(event))
            else:
                await self.bus.publish(subjects.of(event), payload)
        await self.bus.settle()

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
            self.books.fold(codec.decode(message.payload).events[0])

    def _responder(self, kind: Any, answer: Callable[[Any], msgspec.Struct]) -> Any:
        async def respond(payload: bytes) -> bytes:
            if not self.ledger_answers:
                await asyncio.sleep(60)
            return codec.encode_value(answer(codec.decode_value(payload, kind)))

        return respond

    def _order(self, query: ledger_api.OrderQuery) -> msgspec.Struct:
        return ledger_api.OrderAnswer(order=self.books.get(query.client_order_id))

    def _orders(self, query: ledger_api.OrdersQuery) -> msgspec.Struct:
        if query.cursor == "nonsense":
            return ledger_api.LedgerRefusal(reason="cursor 'nonsense' is none of ours")
        found = [o for o in self.books if not query.states or o.state in query.states]
        return ledger_api.OrdersAnswer(orders=tuple(found[: query.limit]), next_cursor="more")

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


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    platform = Platform()
    await platform.start()
    yield platform
    await platform.http.aclose()
    await platform.shell.stop()
    await platform.bus.close()


async def test_prices_show_what_is_known_and_null_for_the_rest(platform: Platform) -> None:
    await platform.publish(
        BookTop(NOW, NOW - 5_000_000, "sim", "BTC-USDT", 99.5, 1.0, 100.5, 2.0, 1, 1),
        Trade(NOW, NOW - 7_000_000, "sim", "BTC-USDT", "7", 100.5, 0.3, Side.SELL),
    )
    body = (await platform.http.get("/api/v1/prices")).json()
    btc, eth = body["prices"]
    assert (btc["symbol"], btc["bid"], btc["ask"], btc["mid"]) == ("BTCUSDT", 99.5, 100.5, 100.0)
    assert (btc["last_price"], btc["age_ms"], btc["stale"]) == (100.5, 5, False)
    assert (eth["instrument_id"], eth["bid"], eth["age_ms"]) == ("ETH-USDT", None, None)
    assert eth["stale"]


async def test_depth_has_as_many_levels_as_asked_for(platform: Platform) -> None:
    bids = tuple((100.0 - n, 1.0) for n in range(30))
    asks = tuple((101.0 + n, 1.0) for n in range(30))
    await platform.publish(BookDepth(NOW, NOW, "sim", "BTC-USDT", bids, asks, 1, 9))
    answer = await platform.http.get("/api/v1/depth", params={"symbol": "btc-usdt", "levels": 3})
    body = answer.json()
    assert body["bids"] == [[100.0, 1.0], [99.0, 1.0], [98.0, 1.0]]
    assert (len(body["asks"]), body["sequence"]) == (3, 9)
    default = (await platform.http.get("/api/v1/depth", params={"symbol": "BTCUSDT"})).json()
    assert len(default["bids"]) == 20


async def test_depth_beyond_the_view_is_asked_of_the_book(platform: Platform) -> None:
    view = BookDepth(NOW, NOW, "sim", "BTC-USDT", ((99.0, 1.0),), ((101.0, 1.0),), 1, 9)
    await platform.publish(view)
    params: dict[str, str | int] = {"symbol": "BTCUSDT", "levels": 2}
    # Nobody answers: what is known is better than nothing.
    alone = (await platform.http.get("/api/v1/depth", params=params)).json()
    assert alone["bids"] == [[99.0, 1.0]]
    asked: list[Any] = []

    async def book(payload: bytes) -> bytes:
        asked.append(msgspec.msgpack.decode(payload))
        return codec.encode_value(msgspec.structs.replace(view, bids=((99.0, 1.0), (98.0, 5.0))))

    await platform.bus.respond(subjects.book_snapshot_request("sim"), book)
    whole = (await platform.http.get("/api/v1/depth", params=params)).json()
    assert whole["bids"] == [[99.0, 1.0], [98.0, 5.0]]
    assert asked == [["BTC-USDT", 2]]


async def test_depth_before_any_book_says_what_to_wait_for(platform: Platform) -> None:
    answer = await platform.http.get("/api/v1/depth", params={"symbol": "ETHUSDT"})
    assert (answer.status_code, answer.json()["code"]) == (503, "DEPTH_UNKNOWN")


async def test_a_manual_market_order_is_sent_exactly_and_answered_when_filled(
    platform: Platform,
) -> None:
    platform.answer = filled
    answer = await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    assert answer.status_code == 201
    (intent,) = platform.intents
    assert isinstance(intent, SubmitOrder)
    assert (intent.strategy_id, intent.client_order_id) == ("manual", "manual-r-1")
    assert (intent.order_type, intent.quantity) == ("MARKET", Decimal("0.001"))
    body = answer.json()
    assert (body["state"], body["filled_quantity"], body["price"]) == ("FILLED", "0.001", None)
    assert (body["avg_fill_price"], body["fees"]) == ("100", {"BTC": "0.0000010"})
    assert answer.headers["location"] == "/api/v1/orders/manual-r-1"


async def test_a_limit_order_is_answered_when_it_rests(platform: Platform) -> None:
    answer = await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    body = answer.json()
    assert (answer.status_code, body["state"], body["working"]) == (201, "OPEN", True)
    assert (body["price"], body["quantity"], body["venue_order_id"]) == ("100.25", "0.5", "v1")


async def test_a_stop_is_answered_when_the_venue_has_it(platform: Platform) -> None:
    body = LIMIT_BUY.replace("}", ',"trigger_price":"100.5"}')
    answer = await platform.http.post("/api/v1/orders", content=body)
    shown = answer.json()
    assert (answer.status_code, shown["type"], shown["state"]) == (201, "STOP_LIMIT", "OPEN")
    assert (shown["price"], shown["trigger_price"]) == ("100.25", "100.5")


async def test_a_working_order_is_replaced_by_another(platform: Platform) -> None:
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    path = f"/api/v1/orders/{placed['id']}"
    answer = await platform.http.put(path, content='{"price":"100.5"}')
    shown = answer.json()
    assert (answer.status_code, shown["replaces"]) == (201, placed["id"])
    assert (shown["price"], shown["quantity"]) == ("100.5", "0.5")
    old = (await platform.http.get(path)).json()
    assert old["state"] == "PENDING_REPLACE"


async def test_only_a_working_order_can_be_replaced(platform: Platform) -> None:
    answer = await platform.http.put("/api/v1/orders/nobody-1", content='{"price":1}')
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_ORDER")
    platform.answer = filled
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    answer = await platform.http.put(f"/api/v1/orders/{placed['id']}", content='{"price":1}')
    assert (answer.status_code, answer.json()["code"]) == (409, "ORDER_CLOSED")


async def test_a_denial_by_risk_carries_its_reason(platform: Platform) -> None:
    platform.answer = denied
    answer = await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    body = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["code"], body["reason_detail"]) == ("NOTIONAL_ABOVE_MAX", "notional=10 max=5")
    assert (body["denied_by"], body["order_id"]) == ("risk", "manual-r-1")
    assert (body["field"], body["value"]) == ("quantity", "0.001")


async def test_a_rejection_by_the_venue_carries_its_words(platform: Platform) -> None:
    platform.answer = rejected
    answer = await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "VENUE_REJECTED")
    assert (body["venue_reason"], body["denied_by"]) == ("-2010", "sim")
    assert "insufficient balance" in body["detail"]


async def test_an_undecided_order_is_answered_as_pending(platform: Platform) -> None:
    platform.answer = approved
    answer = await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    assert (answer.status_code, answer.json()["state"]) == (202, "PENDING_NEW")
    assert answer.headers["location"] == "/api/v1/orders/manual-r-1"


async def test_an_unknown_symbol_gets_the_nearest_known(platform: Platform) -> None:
    body = MARKET_BUY.replace("BTCUSDT", "BTCUSD")
    answer = (await platform.http.post("/api/v1/orders", content=body)).json()
    assert (answer["code"], answer["field"], answer["value"]) == (
        "UNKNOWN_SYMBOL", "symbol", "BTCUSD",
    )  # fmt: skip
    assert "BTCUSDT" in answer["nearest"]
    assert not platform.intents


async def test_a_repeat_with_one_idempotency_key_places_one_order(platform: Platform) -> None:
    headers = {"Idempotency-Key": "6f1c"}
    first = await platform.http.post("/api/v1/orders", content=LIMIT_BUY, headers=headers)
    again = await platform.http.post("/api/v1/orders", content=LIMIT_BUY, headers=headers)
    other = await platform.http.post("/api/v1/orders", content=MARKET_BUY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(first.json()["id"]) <= 36
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(platform.intents) == 1


async def test_cancel_answers_with_the_order_as_it_ended(platform: Platform) -> None:
    order_id = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()["id"]
    answer = await platform.http.delete(f"/api/v1/orders/{order_id}")
    assert (answer.status_code, answer.json()["state"]) == (200, "CANCELED")
    again = await platform.http.delete(f"/api/v1/orders/{order_id}")
    assert (again.status_code, again.json()["code"]) == (409, "ORDER_CLOSED")


async def test_cancel_of_an_unknown_order_is_404(platform: Platform) -> None:
    answer = await platform.http.delete("/api/v1/orders/nobody-1")
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_ORDER")


async def test_a_refused_cancel_is_a_conflict(platform: Platform) -> None:
    order_id = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()["id"]
    platform.cancels = False
    answer = await platform.http.delete(f"/api/v1/orders/{order_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "CANCEL_REJECTED")


async def test_an_order_that_only_the_ledger_knows_can_be_cancelled(platform: Platform) -> None:
    submit = SubmitOrder(
        1, 1, "pingpong-q-4", "pingpong", "sim", "BTC-USDT", Side.SELL, "LIMIT",  # type: ignore[arg-type]
        Decimal(1), Decimal(120),
    )  # fmt: skip
    platform.books.add(Order.from_submit(submit, OrderState.OPEN))
    answer = await platform.http.delete("/api/v1/orders/pingpong-q-4")
    assert (answer.status_code, answer.json()["strategy"]) == (200, "pingpong")


async def test_cancel_all_says_what_was_cancelled(platform: Platform) -> None:
    for _ in range(2):
        await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    answer = await platform.http.delete("/api/v1/orders")
    body = answer.json()
    assert answer.status_code == 200
    assert sorted(body["canceled"]) == ["manual-r-1", "manual-r-2"]
    assert (body["pending"], body["command_id"]) == ([], "manual-r-c1")


async def test_orders_can_be_listed_by_state_and_looked_at(platform: Platform) -> None:
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    platform.answer = filled
    await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    await platform.bus.settle()

    async def ids(query: str) -> list[str]:
        body = (await platform.http.get(f"/api/v1/orders?{query}")).json()
        return sorted(order["id"] for order in body["orders"])

    assert await ids("") == ["manual-r-1", "manual-r-2"]
    assert await ids("state=filled") == ["manual-r-2"]
    assert await ids("working=true") == ["manual-r-1"]
    assert await ids("symbol=ETHUSDT") == []
    assert (await platform.http.get("/api/v1/orders/manual-r-2")).json()["events"] == []
    bad = await platform.http.get("/api/v1/orders?state=lost")
    assert (bad.status_code, bad.json()["field"]) == (422, "state")


async def test_a_fresh_order_is_listed_before_the_ledger_knows_it(platform: Platform) -> None:
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    platform.books = Orders()
    body = (await platform.http.get("/api/v1/orders")).json()
    assert [order["id"] for order in body["orders"]] == ["manual-r-1"]
    assert (await platform.http.get("/api/v1/orders/manual-r-1")).status_code == 200


async def test_a_query_that_the_ledger_refuses_says_why(platform: Platform) -> None:
    answer = await platform.http.get("/api/v1/orders?cursor=nonsense")
    assert (answer.status_code, answer.json()["code"]) == (422, "QUERY_REFUSED")


async def test_portfolio_keeps_every_digit(platform: Platform) -> None:
    body = (await platform.http.get("/api/v1/portfolio")).json()
    (position,) = body["positions"]
    assert (position["symbol"], position["quantity"]) == ("BTCUSDT", "0.10000000")
    assert (body["fees"], body["net_pnl"], body["currency"]) == ("0.00000001", "0.99999999", "USDT")
    assert body["balances"][0]["total"] == "0.10000000"


async def test_fills_are_listed_with_their_orders(platform: Platform) -> None:
    fill = Fill(
        "f9", Side.SELL, Decimal("1.5"), Decimal(2), Decimal("-0.1"), "USDT",
        LiquiditySide.MAKER, NOW,
    )  # fmt: skip
    platform.fills = [
        ledger_api.FillRecord(
            client_order_id="a-1", strategy_id="a", venue="sim", instrument_id="BTC-USDT",
            venue_order_id="9", fill=fill,
        )
    ]  # fmt: skip
    (view,) = (await platform.http.get("/api/v1/fills")).json()["fills"]
    assert (view["id"], view["order_id"], view["fee"]) == ("f9", "a-1", "-0.1")
    assert (view["liquidity"], view["at"]) == ("MAKER", "2023-11-14T22:13:20.000000Z")


async def test_a_silent_ledger_is_a_503_and_degrades_health(platform: Platform) -> None:
    await platform.publish(BookTop(NOW, NOW, "sim", "BTC-USDT", 1.0, 1.0, 2.0, 1.0, 1, 1))
    ready = (await platform.http.get("/health")).json()
    assert (ready["status"], ready["market_data_age_ms"]) == ("ready", 0)
    platform.ledger_answers = False
    answer = await platform.http.get("/api/v1/portfolio")
    assert (answer.status_code, answer.json()["code"]) == (503, "LEDGER_UNAVAILABLE")
    degraded = await platform.http.get("/health")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert not degraded.json()["checks"]["ledger"]["ok"]


async def test_health_without_market_data_is_degraded(platform: Platform) -> None:
    body = (await platform.http.get("/health")).json()
    assert (body["status"], body["checks"]["market_data"]["ok"]) == ("degraded", False)


async def test_status_lists_who_answers(platform: Platform) -> None:
    body = (await platform.http.get("/api/v1/status")).json()
    assert [service["service"] for service in body["services"]] == ["api"]
    assert body["risk"] is None


async def test_instruments_metrics_and_paths_are_served(platform: Platform) -> None:
    listed = (await platform.http.get("/api/v1/instruments")).json()["instruments"]
    assert [i["symbol"] for i in listed] == ["BTCUSDT", "ETHUSDT"]
    assert listed[0]["lot_size"] == "0.00001"
    assert "tickbus_api_events_total" in (await platform.http.get("/metrics")).text
    paths = (await platform.http.get("/openapi.json")).json()["paths"]
    assert set(paths["/api/v1/orders"]) == {"get", "post", "delete"}


async def test_unknown_paths_methods_and_parameters_are_problems(platform: Platform) -> None:
    for method, path, status, code in (
        ("GET", "/api/v2/nothing", 404, "UNKNOWN_PATH"),
        ("PUT", "/api/v1/prices", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/depth", 422, "INVALID_VALUE"),
        ("GET", "/api/v1/depth?symbol=BTCUSDT&levels=0", 422, "INVALID_VALUE"),
        ("GET", "/api/v1/orders?limit=lots", 422, "INVALID_VALUE"),
        ("GET", "/api/v1/prices?symbol=NOPE", 422, "UNKNOWN_SYMBOL"),
    ):
        answer = await platform.http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bug_is_a_problem_that_gives_nothing_away(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("tickbus_api.gateway.Gateway.portfolio", broken)
    answer = await platform.http.get("/api/v1/portfolio")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "hunter2" not in answer.text
    assert platform.shell.telemetry.errors["bug"] == 1
    assert (await platform.http.get("/api/v1/orders")).status_code == 200


async def test_a_malformed_message_on_the_bus_is_kept_and_the_gateway_lives_on(
    platform: Platform,
) -> None:
    await platform.bus.publish_durable("orders.event.sim.manual", b"\xc1", "junk")
    await platform.bus.settle()
    assert platform.shell.telemetry.errors["malformed"] == 1
    assert (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).status_code == 201
