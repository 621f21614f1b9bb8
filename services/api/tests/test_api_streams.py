"""Streams over a WebSocket: a page that listens hears what the platform says."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from api_page import a_page
from api_platform import ETH, LIMIT_BUY, NOW, Platform, a_platform, filled

from tickbus import alerts_api, codec, history_api, ledger_api, subjects
from tickbus.alerts_api import Alert, AlertsAnswer, Severity
from tickbus.events import (
    BookDepth,
    BookTop,
    ConsolidatedTop,
    Fill,
    LiquiditySide,
    LogLevel,
    LogRecorded,
    OrderType,
    RiskReport,
    RiskState,
    Side,
    StrategyDecision,
    StrategyPhase,
    SubmitOrder,
    Trade,
    TradingState,
)
from tickbus.history_api import Candle, CandlesAnswer, CandlesQuery
from tickbus.order import Order, OrderState
from tickbus.strategy_api import StrategyReport, StrategyReports
from tickbus_api.streaming import sources
from tickbus_api.streaming.account import AlertsSource
from tickbus_api.streaming.core import WHOLE


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


def depth(sequence: int, *bids: tuple[float, float]) -> BookDepth:
    return BookDepth(NOW, NOW, "sim", "BTC-USDT", bids, ((101.0, 1.0),), 1, sequence)


async def test_prices_begin_with_all_and_go_on_with_what_changed(platform: Platform) -> None:
    async with a_page(platform) as page:
        await page.subscribe("prices")
        first = await page.hear("prices")
        rest = (await platform.http.get("/api/v1/prices")).json()
        assert (first["kind"], first["data"]) == ("snapshot", rest)
        await platform.publish(
            BookTop(NOW, NOW, "sim", "ETH-USDT", 99.5, 1.0, 100.5, 2.0, 1, 1),
        )
        delta = await page.hear("prices")
        assert (delta["kind"], delta["seq"]) == ("delta", first["seq"] + 1)
        (eth,) = delta["data"]["prices"]
        assert (eth["instrument_id"], eth["mid"]) == (ETH.instrument_id, 100.0)


async def test_depth_tells_the_levels_that_changed(platform: Platform) -> None:
    async with a_page(platform) as page:
        await page.subscribe("depth:BTC-USDT@sim")
        await page.hear(kind="subscribed")
        await platform.publish(depth(1, (100.0, 1.0), (99.0, 2.0), (98.0, 3.0)))
        whole = await page.hear("depth:BTC-USDT@sim")
        assert (whole["kind"], len(whole["data"]["bids"])) == ("snapshot", 3)
        await platform.publish(depth(2, (100.0, 1.5), (98.0, 3.0), (97.0, 4.0)))
        delta = await page.hear("depth:BTC-USDT@sim")
        assert delta["kind"] == "delta"
        assert sorted(delta["data"]["bids"]) == [[97.0, 4.0], [99.0, 0.0], [100.0, 1.5]]
        assert (delta["data"]["asks"], delta["data"]["sequence"]) == ([], 2)


async def test_trades_come_the_newest_first(platform: Platform) -> None:
    trades = [
        Trade(NOW, NOW, "sim", "BTC-USDT", str(number), 100.0 + number, 0.5, Side.SELL)
        for number in range(3)
    ]
    await platform.publish(trades[0])
    async with a_page(platform) as page:
        await page.subscribe("trades:BTC-USDT@sim")
        first = await page.hear("trades:BTC-USDT@sim")
        assert [trade["id"] for trade in first["data"]["trades"]] == ["0"]
        await platform.publish(*trades[1:])
        news = await page.hear("trades:BTC-USDT@sim")
        assert [trade["id"] for trade in news["data"]["trades"]] == ["2", "1"]
        assert news["data"]["trades"][0]["aggressor"] == "SELL"


async def test_an_order_is_told_as_it_changes_and_so_is_its_fill(platform: Platform) -> None:
    platform.answer = filled
    async with a_page(platform) as page:
        await page.subscribe("orders", "fills")
        assert (await page.hear("orders"))["data"] == {"orders": []}
        assert (await page.hear("fills"))["data"] == {"fills": []}
        placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
        while True:
            (order,) = (await page.hear("orders"))["data"]["orders"]
            if order["state"] == "FILLED":
                break
        assert order["id"] == placed["id"]
        (fill,) = (await page.hear("fills"))["data"]["fills"]
        assert (fill["order_id"], fill["price"]) == (placed["id"], "100")


async def test_orders_that_work_are_there_from_the_beginning(platform: Platform) -> None:
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    async with a_page(platform) as page:
        await page.subscribe("orders")
        (order,) = (await page.hear("orders", "snapshot"))["data"]["orders"]
        assert order == {**placed, "events": None}


@pytest.mark.parametrize(("pages_max", "told"), [(20, 5), (2, 4)])
async def test_orders_older_than_the_gateway_come_in_as_many_pages_as_they_fill(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    pages_max: int, told: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(sources, "ORDERS_PAGE", 2)
    monkeypatch.setattr(sources, "ORDERS_PAGES_MAX", pages_max)
    for number in range(5):
        order = SubmitOrder(
            NOW, number, f"old-{number}", "manual", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT,
            Decimal(1), Decimal(90),
        )  # fmt: skip
        platform.books.add(Order.from_submit(order, OrderState.OPEN))
    async with a_page(platform) as page:
        await page.subscribe("orders")
        orders = (await page.hear("orders", "snapshot"))["data"]["orders"]
    assert {order["id"] for order in orders} == {f"old-{number}" for number in range(told)}
    assert ("more than 4 orders work" in caplog.text) == (told == 4)


async def test_the_ledgers_fills_come_before_those_that_happened_since(platform: Platform) -> None:
    old = ledger_api.FillRecord(
        client_order_id="o", strategy_id="pp", venue="sim", instrument_id="BTC-USDT",
        venue_order_id="v",
        fill=Fill("f0", Side.BUY, Decimal(99), Decimal(1), Decimal(0), "BTC",
                  LiquiditySide.MAKER, NOW - 1),
    )  # fmt: skip
    platform.fills = [old]
    platform.answer = filled
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    async with a_page(platform) as page:
        await page.subscribe("fills")
        fills = (await page.hear("fills", "snapshot"))["data"]["fills"]
        assert [fill["id"] for fill in fills] == ["f1", "f0"]


async def test_the_portfolio_is_what_the_books_say(platform: Platform) -> None:
    async with a_page(platform) as page:
        await page.subscribe("portfolio", "status")
        portfolio = await page.hear("portfolio")
        rest = (await platform.http.get("/api/v1/portfolio")).json()
        assert (portfolio["kind"], portfolio["data"]) == ("snapshot", rest)
        assert "services" in (await page.hear("status"))["data"]


async def test_books_that_do_not_answer_are_said_to_be_away(platform: Platform) -> None:
    platform.ledger_answers = False
    platform.hurry()
    async with a_page(platform) as page:
        await page.subscribe("portfolio")
        trouble = await page.hear("portfolio")
        assert (trouble["kind"], trouble["code"]) == ("error", "LEDGER_UNAVAILABLE")
        platform.ledger_answers = True
        assert (await page.hear("portfolio"))["kind"] == "snapshot"


async def test_no_orders_are_told_before_the_books_have_said_which_work(
    platform: Platform,
) -> None:
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    platform.ledger_answers = False
    platform.hurry()
    async with a_page(platform) as page:
        await page.subscribe("orders")
        trouble = await page.hear("orders")
        assert (trouble["kind"], trouble["code"]) == ("error", "LEDGER_UNAVAILABLE")
        platform.ledger_answers = True
        first = await page.hear("orders")
        assert first["kind"] == "snapshot"
        assert [order["id"] for order in first["data"]["orders"]] == [placed["id"]]


def an_alert(number: int, cleared: int = 0, count: int = 1) -> Alert:
    return Alert(
        alert_id=f"feed:sim{number}:1", rule="feed", subject=f"sim{number}",
        severity=Severity.WARNING, title="stale", detail="", remedy="wait", count=count,
        ts_first=NOW, ts_last=NOW, ts_raised=NOW, ts_cleared=cleared,
    )  # fmt: skip


def an_answer(active: tuple[Alert, ...], recent: tuple[Alert, ...] = ()) -> AlertsAnswer:
    return AlertsAnswer(active=active, recent=recent, channels=(), rules=())


async def test_alerts_begin_with_those_that_are_active_and_go_on_with_what_changes(
    platform: Platform,
) -> None:
    said = [an_answer((an_alert(1),))]

    async def alerts(_: bytes) -> bytes:
        return codec.encode_value(said[0])

    await platform.bus.respond(alerts_api.LIST, alerts)
    async with a_page(platform) as page:
        await page.subscribe("alerts")
        first = await page.hear("alerts")
        rest = (await platform.http.get("/api/v1/alerts")).json()
        assert (first["kind"], first["data"]) == ("snapshot", {"alerts": rest["active"]})
        said[0] = an_answer((), recent=(an_alert(1, cleared=NOW),))
        (over,) = (await page.hear("alerts", "delta"))["data"]["alerts"]
        assert (over["id"], over["cleared_at"] is None) == ("feed:sim1:1", False)


def told(source: AlertsSource, answer: AlertsAnswer) -> list[tuple[str, int, bool]]:
    """Subject, count and whether it is over, of all that a delta says."""
    source.learn(answer)
    text = source.changes(NOW)
    found = json.loads(text)["alerts"] if text else []
    return [(each["subject"], each["count"], bool(each["cleared_at"])) for each in found]


def test_each_alert_is_told_once_as_it_begins_changes_and_ends() -> None:
    source, old = AlertsSource(), an_alert(9, cleared=NOW)
    assert told(source, an_answer((an_alert(1),), (old,))) == [("sim1", 1, False)]
    news = told(source, an_answer((an_alert(2), an_alert(1, count=3)), (old,)))
    assert news == [("sim2", 1, False), ("sim1", 3, False)]
    assert told(source, an_answer((an_alert(2), an_alert(1, count=3)), (old,))) == []
    # One ends, and another came and went between two answers.
    over = (an_alert(3, cleared=NOW), an_alert(1, cleared=NOW, count=3), old)
    news = told(source, an_answer((an_alert(2),), over))
    assert news == [("sim3", 1, True), ("sim1", 3, True)]
    assert told(source, an_answer((an_alert(2),), over)) == []
    assert told(source, an_answer((an_alert(1), an_alert(2)), over)) == [("sim1", 1, False)]


def test_what_ended_so_long_ago_that_nobody_lists_it_is_told_by_the_whole() -> None:
    source = AlertsSource()
    source.learn(an_answer((an_alert(1), an_alert(2))))
    source.changes(NOW)
    source.learn(an_answer((an_alert(2),)))
    assert source.changes(NOW) == WHOLE
    assert [each["subject"] for each in json.loads(source.state())["alerts"]] == ["sim2"]


async def test_risk_and_consolidated_tops_are_told_whole(platform: Platform) -> None:
    state = RiskState(NOW, NOW, TradingState.HALTED, "drill", 0, 2)
    report = RiskReport(NOW, NOW, "USDT", (), ())
    async with a_page(platform) as page:
        await page.subscribe("risk", "consolidated:BTC-USDT")
        await platform.bus.publish("risk.state", codec.encode([state, report]))
        risk = await page.hear("risk")
        rest = (await platform.http.get("/api/v1/risk/state")).json()
        assert (risk["kind"], risk["data"]) == ("snapshot", {**rest, "limits": []})
        await platform.publish(
            ConsolidatedTop(NOW, NOW, "BTC-USDT", (("sim", 1.0, 2.0),), (("sim", 3.0, 2.0),))
        )
        top = (await page.hear("consolidated:BTC-USDT"))["data"]
        assert top["bids"] == [["sim", 1.0, 2.0]]


@pytest.mark.parametrize(
    ("topic", "remedy"),
    [
        ("price", "did you mean 'prices'?"),
        ("prices:BTC-USDT", "subscribe to 'prices'"),
        ("depth:BTC-USDT", "for example depth:BTC-USDT@sim"),
        ("depth:BTCUSDT@sim", "subscribe to 'depth:BTC-USDT@sim'"),
        ("depth:BTC-USDT@mars", "known are sim"),
        ("trades:ETH_USDT@sim", "subscribe to 'trades:ETH-USDT@sim'"),
    ],
)
async def test_a_wrong_topic_is_refused_with_the_right_one(
    platform: Platform, topic: str, remedy: str
) -> None:
    async with a_page(platform) as page:
        await page.subscribe(topic, "prices")
        error = await page.hear(kind="error")
        assert (error["topic"], error["remedy"]) == (topic, remedy)
        assert (await page.hear("prices"))["kind"] == "snapshot", (
            "the others are heard all the same"
        )


async def test_decisions_begin_with_those_that_the_strategies_remember(
    platform: Platform,
) -> None:
    old = StrategyDecision(NOW, NOW, "pp", "sim", "BTC-USDT", {"mid": "99.5"})
    report = StrategyReport(
        "pp", StrategyPhase.RUNNING, None, "{}", 0, True, "", (), decisions=(old,)
    )

    async def strategies(payload: bytes) -> bytes:
        return codec.encode_value(StrategyReports((report,)))

    for subject in (subjects.STRATEGIES, subjects.strategy_questions()):
        await platform.bus.respond(subject, strategies)
    async with a_page(platform) as page:
        await page.subscribe("decisions")
        (first,) = (await page.hear("decisions", "snapshot"))["data"]["decisions"]
        assert (first["strategy"], first["inputs"]) == ("pp", {"mid": "99.5"})
        again = StrategyDecision(NOW, NOW, "pp", "sim", "BTC-USDT", {"mid": "100.5"}, ("pp-1",))
        await platform.publish(again)
        (second,) = (await page.hear("decisions", "delta"))["data"]["decisions"]
        assert (second["inputs"], second["orders"]) == ({"mid": "100.5"}, ["pp-1"])


async def test_logs_are_told_from_their_level_on_and_listed(platform: Platform) -> None:
    lines = [
        LogRecorded(NOW + at, NOW, "feed", "1", level, "tickbus.feed", f"line {at}")
        for at, level in enumerate((LogLevel.WARNING, LogLevel.ERROR, LogLevel.CRITICAL))
    ]
    await platform.publish(*lines[:2])
    async with a_page(platform) as page:
        await page.subscribe("logs:error", "logs", "logs:loud")
        refused = await page.hear("logs:loud")
        assert (refused["kind"], refused["value"]) == ("error", "loud")
        (error,) = (await page.hear("logs:error"))["data"]["logs"]
        assert (error["message"], error["level"]) == ("line 1", "error")
        await platform.publish(lines[2])
        (critical,) = (await page.hear("logs:error", "delta"))["data"]["logs"]
        assert critical["service"] == "feed"
    listed = await platform.http.get("/api/v1/logs", params={"level": "Error", "service": "feed"})
    assert listed.json()["logs"] == [critical, error]
    everything = (await platform.http.get("/api/v1/logs")).json()["logs"]
    assert [line["message"] for line in everything] == ["line 2", "line 1", "line 0"]
    wrong = await platform.http.get("/api/v1/logs", params={"level": "loud"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "level")


@pytest.mark.parametrize(("given", "right"), [("60", "1m"), ("60s", "1m"), ("24h", "1d")])
async def test_an_interval_has_one_spelling_in_the_name_of_a_topic(
    platform: Platform, given: str, right: str
) -> None:
    async with a_page(platform) as page:
        await page.subscribe(f"candles:BTC-USDT@sim:{given}")
        refused = await page.hear(kind="error")
    assert refused["code"] == "UNKNOWN_TOPIC"
    assert refused["remedy"] == f"subscribe to 'candles:BTC-USDT@sim:{right}'"


async def test_candles_begin_with_many_and_go_on_with_those_that_changed(
    platform: Platform,
) -> None:
    asked: list[CandlesQuery] = []
    growing = Candle(
        ts_open=NOW, open=1.0, high=2.0, low=1.0, close=2.0, volume=1.0, notional=1.0, buys=0.0,
        trades=1, vwap=1.0, mid=None, volatility=None, spread_bps=None, spread_bps_max=None,
        bid_size=None, ask_size=None,
    )  # fmt: skip
    closed = msgspec.structs.replace(growing, ts_open=NOW - 60_000_000_000)

    async def history(payload: bytes) -> bytes:
        asked.append(codec.decode_value(payload, CandlesQuery))
        now = msgspec.structs.replace(growing, trades=len(asked))
        return codec.encode_value(CandlesAnswer((now, closed)))

    await platform.bus.respond(history_api.CANDLES, history)
    async with a_page(platform) as page:
        await page.subscribe("candles:BTC-USDT@sim:1m")
        first = await page.hear("candles:BTC-USDT@sim:1m")
        rest = await platform.http.get("/api/v1/candles", params={"symbol": "BTCUSDT"})
        assert first["kind"] == "snapshot"
        assert first["data"]["candles"][1] == rest.json()["candles"][1]
        delta = await page.hear("candles:BTC-USDT@sim:1m", "delta")
        # The history may have been asked once more before this was heard.
        (candle,) = delta["data"]["candles"]
        assert first["data"]["candles"][0]["trades"] < candle["trades"] <= len(asked)
        assert (asked[0].interval_s, asked[0].limit, asked[-1].limit) == (60, 500, 5)
