"""Names that nobody has: refused with the value and the nearest known, never taken for "all"."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from api_platform import NOW, Platform, a_platform, accepted

from tickbus import codec, subjects
from tickbus.events import (
    GLOBAL,
    OrderType,
    RiskReport,
    RiskState,
    ScopeReport,
    SetLimit,
    Side,
    SubmitOrder,
    TradingState,
)

ZERO = Decimal(0)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


async def risk_speaks(platform: Platform, *scopes: str) -> None:
    lines = tuple(
        ScopeReport(scope, TradingState.ACTIVE, "", ZERO, ZERO, ZERO, ZERO, ZERO)
        for scope in (GLOBAL, *scopes)
    )
    state = RiskState(NOW, NOW, TradingState.ACTIVE, "", 0, 0)
    for event in (state, RiskReport(NOW, NOW, "USDT", lines, ())):
        await platform.bus.publish(subjects.RISK_STATE, codec.encode([event]))
    await platform.bus.settle()


def an_order_of(strategy_id: str) -> SubmitOrder:
    return SubmitOrder(
        NOW, NOW, f"{strategy_id}-r-1", strategy_id, "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT,
        Decimal(1), Decimal(100),
    )  # fmt: skip


async def put(platform: Platform, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    wish = {"reason": "test"} | body
    answer = await platform.http.put(f"/api/v1/risk/{path}", content=json.dumps(wish))
    return answer.status_code, answer.json()


async def kept(platform: Platform, bucket: str, key: str) -> bytes | None:
    value, _ = await platform.bus.kv_read(bucket, key)
    return value


@pytest.mark.parametrize("state", ["HALTED", "REDUCING", "ACTIVE"])
async def test_a_strategy_that_nobody_has_is_neither_halted_nor_resumed(
    platform: Platform, state: str
) -> None:
    await risk_speaks(platform, "strategy:momentum")
    status, problem = await put(platform, "state", state=state, strategy="momentun")
    assert (status, problem["code"], problem["value"]) == (422, "UNKNOWN_STRATEGY", "momentun")
    assert problem["nearest"][0] == "momentum"
    assert "did you mean 'momentum'?" in problem["remedy"]
    assert "--even-if-unknown" in problem["remedy"]
    assert not await kept(platform, "control", "strategy/momentun")


async def test_it_is_when_that_is_what_is_wanted(platform: Platform) -> None:
    await risk_speaks(platform)
    platform.hurry()
    wish = {"state": "HALTED", "strategy": "later", "even_if_unknown": True}
    status, _ = await put(platform, "state", **wish)
    assert status == 202
    assert await kept(platform, "control", "strategy/later")
    status, problem = await put(platform, "state", **(wish | {"even_if_unknown": "yes"}))
    assert (status, problem["field"]) == (422, "even_if_unknown")


async def test_a_strategy_is_known_by_configuration_by_risk_or_by_its_orders(
    platform: Platform,
) -> None:
    await risk_speaks(platform, "strategy:heard")
    await platform.publish(an_order_of("seen"))
    platform.hurry()
    for strategy in ("pp", "heard", "seen", "manual"):
        status, _ = await put(platform, "state", state="HALTED", strategy=strategy)
        assert status in (200, 202), strategy


async def test_a_halt_is_kept_while_risk_is_silent_and_says_what_was_not_checked(
    platform: Platform,
) -> None:
    platform.hurry()
    status, problem = await put(platform, "state", state="HALTED", strategy="maybe")
    assert (status, problem["code"]) == (503, "RISK_UNKNOWN")
    assert "HALTED is kept" in problem["detail"]
    assert "whether there is a strategy 'maybe' was not checked" in problem["detail"]
    assert await kept(platform, "control", "strategy/maybe")
    status, problem = await put(platform, "state", state="ACTIVE", strategy="maybe")
    assert (status, problem["code"]) == (422, "UNKNOWN_STRATEGY"), "to trade is no stop"


@pytest.mark.parametrize(
    ("scope", "name", "code", "nearest"),
    [
        ("strategy:p", "daily_loss_max", "UNKNOWN_STRATEGY", ["pp"]),
        ("venue:simm", "gross_exposure_max", "UNKNOWN_VENUE", ["sim"]),
        ("instrument:BTC-USD", "order_notional_max", "UNKNOWN_INSTRUMENT", ["BTC-USDT"]),
    ],
)
async def test_a_limit_of_a_scope_that_nobody_has_is_refused(
    platform: Platform, scope: str, name: str, code: str, nearest: list[str]
) -> None:
    await risk_speaks(platform)
    status, problem = await put(platform, "limits", scope=scope, name=name, value=5)
    assert (status, problem["code"], problem["field"]) == (422, code, "scope")
    assert problem["nearest"][:1] == nearest
    assert not await kept(platform, "limits", f"{scope}/{name}")
    platform.hurry()
    forced = {"scope": scope, "name": name, "value": 5, "even_if_unknown": True}
    assert (await put(platform, "limits", **forced))[0] == 202
    value = await kept(platform, "limits", f"{scope}/{name}")
    assert value
    assert codec.decode_value(value, SetLimit).value == 5


async def test_limits_of_what_there_is_are_set(platform: Platform) -> None:
    platform.hurry()
    for scope in ("strategy:pp", "instrument:ETH-USDT", "global"):
        wish = {"scope": scope, "name": "order_notional_max", "value": 5}
        assert (await put(platform, "limits", **wish))[0] == 202


@pytest.mark.parametrize("path", ["orders", "fills", "postings", "equity"])
async def test_history_of_a_strategy_that_nobody_has_is_refused(
    platform: Platform, path: str
) -> None:
    answer = await platform.http.get(f"/api/v1/{path}?strategy=qp")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "UNKNOWN_STRATEGY")
    assert problem["nearest"] == ["pp"]


@pytest.mark.parametrize("path", ["orders", "fills", "postings", "prices"])
async def test_history_of_a_venue_that_nobody_has_is_refused(platform: Platform, path: str) -> None:
    answer = await platform.http.get(f"/api/v1/{path}?venue=simm")
    assert (answer.status_code, answer.json()["field"]) == (422, "venue")
    assert "did you mean 'sim'?" in answer.json()["remedy"]


async def test_history_of_what_only_the_books_know_is_listed(platform: Platform) -> None:
    platform.books.fold(an_order_of("gone"))
    answer = await platform.http.get("/api/v1/orders?strategy=gone")
    assert answer.status_code == 200
    assert len(answer.json()["orders"]) == 1
    for strategy in ("external", "risk"):
        assert (await platform.http.get(f"/api/v1/fills?strategy={strategy}")).status_code == 200


async def test_cancelling_of_a_strategy_that_nobody_has_is_refused(platform: Platform) -> None:
    answer = await platform.http.delete("/api/v1/orders?strategy=qp")
    assert (answer.status_code, answer.json()["code"]) == (422, "UNKNOWN_STRATEGY")
    assert not platform.intents


async def test_cancelling_waits_for_no_books_and_says_what_it_could_not_check(
    platform: Platform,
) -> None:
    platform.ledger_answers = False
    platform.answer = accepted
    order = {"symbol": "BTCUSDT", "side": "Buy", "quantity": 1, "price": 90}
    placed = await platform.http.post("/api/v1/orders", content=json.dumps(order))
    assert placed.status_code == 201
    platform.hurry(order_wait_s=30)  # only the books never answer
    answer = await platform.http.delete("/api/v1/orders")
    assert answer.json()["canceled"] == [placed.json()["id"]]
    answer = await platform.http.delete("/api/v1/orders?strategy=maybe")
    body = answer.json()
    assert answer.status_code == 202
    assert [text.partition(":")[0] for text in body["not_checked"]] == [
        "whether there is a strategy 'maybe'", "which orders work",
    ]  # fmt: skip


async def test_cancelling_an_instrument_waits_for_no_feed() -> None:
    platform = Platform()
    await platform.shell.start()  # nobody described an instrument, no ledger answers
    platform.hurry()
    for spelling in ("btc/usdt", "BTC-USDT", "BTCUSDT"):
        answer = await platform.http.delete("/api/v1/orders", params={"symbol": spelling})
        assert answer.status_code == 202
        assert answer.json()["not_checked"][0].startswith("how the venue spells")
    answer = await platform.http.delete("/api/v1/orders?symbol=BTCUSD")
    assert (answer.status_code, answer.json()["nearest"]) == (422, ["BTC-USDT"])
    await platform.http.aclose()
    await platform.shell.stop()
    await platform.bus.close()
