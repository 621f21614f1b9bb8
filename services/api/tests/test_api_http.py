"""The gateway over HTTP: the market, the books, health, and problems as answers."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from api_platform import LIMIT_BUY, NOW, Platform, a_platform

from tickbus import codec, ledger_api, subjects
from tickbus.events import (
    BookDepth,
    BookSnapshot,
    BookTop,
    Fill,
    LiquiditySide,
    Side,
    Trade,
)
from tickbus_api import wellness


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


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
        bids, asks = ((99.0, 1.0), (98.0, 5.0)), ((101.0, 1.0),)
        whole = BookSnapshot(NOW, NOW, "sim", "BTC-USDT", 1, 10, bids, asks, 0)
        return codec.encode_value(whole)  # as the book service answers

    await platform.bus.respond(subjects.book_snapshot_request("sim"), book)
    whole = (await platform.http.get("/api/v1/depth", params=params)).json()
    assert (whole["bids"], whole["sequence"]) == ([[99.0, 1.0], [98.0, 5.0]], 10)
    assert asked == [["BTC-USDT", 2]]


async def test_depth_before_any_book_says_what_to_wait_for(platform: Platform) -> None:
    answer = await platform.http.get("/api/v1/depth", params={"symbol": "ETHUSDT"})
    assert (answer.status_code, answer.json()["code"]) == (503, "DEPTH_UNKNOWN")


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


async def test_a_silent_ledger_is_a_503_and_degrades_health(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wellness, "FRESH_S", 0.0)
    await platform.publish(BookTop(NOW, NOW, "sim", "BTC-USDT", 1.0, 1.0, 2.0, 1.0, 1, 1))
    ready = (await platform.http.get("/health")).json()
    assert (ready["status"], ready["market_data_age_ms"]) == ("ready", 0)
    platform.ledger_answers = False
    platform.hurry()
    answer = await platform.http.get("/api/v1/portfolio")
    assert (answer.status_code, answer.json()["code"]) == (503, "LEDGER_UNAVAILABLE")
    degraded = await platform.http.get("/health")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert not degraded.json()["checks"]["ledger"]["ok"]


async def test_health_asks_once_however_many_want_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wellness, "FRESH_S", 600.0)  # a machine that stands still is no fault
    asked: list[str] = []

    async def answer() -> str:
        asked.append("")
        await asyncio.sleep(0)
        return "" if len(asked) == 1 else "slow"

    well = wellness.Wellness(answer, answer)
    found = await asyncio.gather(*(well.problems() for _ in range(50)))
    assert set(found) == {("", "slow")}
    assert len(asked) == 2, "the bus once, the ledger once"


async def test_health_says_of_a_bus_that_hangs_how_long_it_was_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*, again: bool) -> int:
        assert not again, "it is said at once, not after half a minute"
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(wellness, "BUS_S", 0.01)
    monkeypatch.setattr(platform.bus, "last_sequence", never)
    body = (await platform.http.get("/health")).json()
    assert not body["checks"]["bus"]["ok"]
    assert "NATS did not answer within 0.01 s" in str(body["checks"]["bus"])


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
