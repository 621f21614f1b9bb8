"""Risk over HTTP: its state, its limits, halting and resuming."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from api_platform import Gateway, running

from tickbus import codec, subjects
from tickbus.events import (
    GLOBAL,
    LimitReport,
    RiskReport,
    RiskState,
    ScopeReport,
    SetLimit,
    SetTradingState,
    TradingState,
)

D = Decimal
NOW = 1_700_000_000_000_000_000
STRATEGIES = [{"id": "pp"}]


class Platform(Gateway):
    """The gateway, and a stand-in for risk that carries out what is kept in the buckets."""

    def __init__(self) -> None:
        super().__init__()
        self.wishes: list[Any] = []
        self.risk_runs = True

    async def start(self) -> None:
        await super().start()
        await self.bus.kv_watch("limits", self._on_limit)
        await self.bus.kv_watch("control", self._on_state)

    async def tell(
        self, limit: LimitReport | None = None, state: str = "ACTIVE", ts_wished: int = 0
    ) -> None:
        scope = ScopeReport(
            GLOBAL, TradingState[state], "because", D(100), D("50.5"), D(-3), D(3), D(4),
            ts_wished=ts_wished,
        )  # fmt: skip
        own = (limit,) if limit else ()
        limits = (LimitReport(GLOBAL, "order_notional_max", D(500), D(500)), *own)
        for event in (
            RiskState(NOW, NOW, TradingState[state], "because", 2, 7),
            RiskReport(NOW, NOW, "USDT", (scope,), limits),
        ):
            await self.bus.publish(subjects.RISK_STATE, codec.encode([event]))

    async def _on_limit(self, key: str, payload: bytes) -> None:
        wish = codec.decode_value(payload, SetLimit)
        self.wishes.append((key, wish))
        if self.risk_runs:
            who = (wish.actor, wish.reason, wish.ts_recv)
            await self.tell(LimitReport(wish.scope, wish.name, wish.value, None, *who))

    async def _on_state(self, key: str, payload: bytes) -> None:
        wish = codec.decode_value(payload, SetTradingState)
        self.wishes.append((key, wish))
        if self.risk_runs:
            await self.tell(state=wish.state, ts_wished=wish.ts_recv)

    async def put(self, path: str, **body: Any) -> httpx.Response:
        return await self.send("PUT", path, **body)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running(Platform()) as platform:
        yield platform


async def test_before_risk_has_spoken_nothing_is_known(platform: Platform) -> None:
    for path in ("state", "limits"):
        answer = await platform.http.get(f"/api/v1/risk/{path}")
        assert (answer.status_code, answer.json()["code"]) == (503, "RISK_UNKNOWN")


async def test_state_and_limits_are_what_risk_says(platform: Platform) -> None:
    await platform.tell()
    await platform.bus.settle()
    state = (await platform.http.get("/api/v1/risk/state")).json()
    assert (state["state"], state["working_orders"], state["currency"]) == ("ACTIVE", 2, "USDT")
    assert state["scopes"][0]["net_exposure"] == "50.5"
    (limit,) = (await platform.http.get("/api/v1/risk/limits")).json()["limits"]
    assert (limit["name"], limit["value"], limit["changed_at"]) == (
        "order_notional_max", "500", None,
    )  # fmt: skip


async def test_a_limit_is_kept_exactly_with_who_and_why(platform: Platform) -> None:
    answer = await platform.put(
        "/api/v1/risk/limits", scope="strategy:pp", name="daily_loss_max", value="100.10",
        reason="new month", actor="ann",
    )  # fmt: skip
    assert answer.status_code == 200
    (_, limit) = answer.json()["limits"]
    assert (limit["scope"], limit["value"], limit["actor"]) == ("strategy:pp", "100.1", "ann")
    key, wish = platform.wishes[0]
    assert key == "strategy:pp/daily_loss_max"
    assert wish == SetLimit(
        NOW, NOW, "strategy:pp", "daily_loss_max", D("100.10"), "ann", "new month"
    )


async def test_without_risk_a_limit_is_kept_and_the_answer_says_so(platform: Platform) -> None:
    platform.risk_runs = False
    platform.hurry()
    answer = await platform.put(
        "/api/v1/risk/limits", name="open_orders_max", value=5, reason="less"
    )
    assert answer.status_code == 202
    assert len(platform.wishes) == 1


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"name": "open_orders_max", "value": -1}, "open_orders_max", "whole number"),
        ({"name": "open_orders_max", "value": "many"}, "open_orders_max", "whole number"),
        ({"name": "daily_los_max", "value": 1}, "name", "did you mean daily_loss_max"),
        ({"name": "daily_loss_max", "value": 1, "scope": "venue:sim"}, "name", "there are"),
        ({"name": "daily_loss_max", "value": 1, "scope": "moon"}, "scope", "give global"),
        ({"name": "daily_loss_max"}, "value", "give a number"),
        ({"value": 1}, "name", "give name"),
        ({"name": "daily_loss_max", "value": 1, "reason": " "}, "reason", "give reason"),
        ({"name": "daily_loss_max", "valeu": 1}, "valeu", "did you mean 'value'"),
        ({"name": "daily_loss_max", "value": 1, "reason": "x" * 501}, "reason", "fewer words"),
    ],
)
async def test_a_bad_limit_is_refused_by_field_and_remedy_and_nothing_is_kept(
    platform: Platform, body: dict[str, Any], field: str, words: str
) -> None:
    answer = await platform.put("/api/v1/risk/limits", **({"reason": "test"} | body))
    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (422, field)
    assert words in problem["remedy"]
    assert not platform.wishes


async def test_halting_and_resuming_all_or_one_strategy(platform: Platform) -> None:
    answer = await platform.put(
        "/api/v1/risk/state", state="halted", reason="drill", actor="ann", flatten=True
    )
    assert answer.status_code == 200
    assert answer.json()["state"] == "HALTED"
    platform.hurry()  # nobody speaks for that scope
    await platform.put("/api/v1/risk/state", state="ACTIVE", reason="over", strategy="pp")
    assert platform.wishes == [
        ("trading", SetTradingState(NOW, NOW, TradingState.HALTED, "ann", "drill", "", True)),
        ("strategy/pp", SetTradingState(NOW, NOW, TradingState.ACTIVE, "api", "over", "pp")),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "STOPPED"}, "state"),
        ({"state": "ACTIVE", "flatten": True}, "flatten"),
        ({"state": "HALTED", "flatten": 1}, "flatten"),
        ({"state": "HALTED", "strategy": "a.b"}, "strategy"),
        ({"state": "HALTED", "reason": None}, "reason"),
    ],
)
async def test_a_bad_state_is_refused(platform: Platform, body: dict[str, Any], field: str) -> None:
    answer = await platform.put("/api/v1/risk/state", **({"reason": "test"} | body))
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert not platform.wishes
