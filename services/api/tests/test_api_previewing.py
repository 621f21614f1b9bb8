"""Questions to risk through the gateway: would an order pass, and how much of a limit is used."""

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

import msgspec
import pytest
from api_platform import LIMIT_BUY, MARKET_BUY, NOW, Platform, a_platform

from tickbus import codec, risk_api
from tickbus.events import OrderType, Side, SubmitOrder
from tickbus.risk_api import (
    LimitUsage,
    PreviewAnswer,
    PreviewQuery,
    RiskRefusal,
    UsageAnswer,
    UsageQuery,
)

D = Decimal
PASSES = PreviewAnswer(
    reason="", detail="", price=D("100.25"), notional=D("50.125"), position=D("-0.10"),
    position_after=D("0.40"),
)  # fmt: skip
DENIED = msgspec.structs.replace(
    PASSES, reason="NOTIONAL_ABOVE_MAX", detail="limit=5 value=50.125 scope=strategy:manual",
    meaning="Worth more than one order may be.", remedy="Split the order.",
)  # fmt: skip


class Risk:
    """Risk as it answers questions."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.asked: list[msgspec.Struct] = []
        self.answer: msgspec.Struct = PASSES

    def answering(self, kind: type[msgspec.Struct]) -> Callable[[bytes], Awaitable[bytes]]:
        async def respond(payload: bytes) -> bytes:
            self.asked.append(codec.decode_value(payload, kind))
            return codec.encode_value(self.answer)

        return respond


@pytest.fixture
async def risk() -> AsyncIterator[Risk]:
    async with a_platform() as platform:
        made = Risk(platform)
        await platform.bus.respond(risk_api.PREVIEW, made.answering(PreviewQuery))
        await platform.bus.respond(risk_api.USAGE, made.answering(UsageQuery))
        yield made


async def test_validated_order_is_not_sent(risk: Risk) -> None:
    answer = await risk.platform.http.post("/api/v1/orders/validate", content=LIMIT_BUY)
    assert (answer.status_code, answer.json()) == (200, {
        "passes": True, "reason": "", "detail": "", "field": "", "limit": "", "value": "",
        "scope": "", "meaning": "", "remedy": "", "symbol": "BTCUSDT",
        "instrument_id": "BTC-USDT", "venue": "sim", "side": "BUY", "type": "LIMIT",
        "quantity": "0.5", "price": "100.25", "notional": "50.125", "fee": "0.050125",
        "currency": "USDT", "position": "-0.10", "position_after": "0.40",
    })  # fmt: skip
    await risk.platform.bus.settle()
    assert (risk.platform.intents, risk.platform.stream) == ([], [])
    assert risk.asked == [
        PreviewQuery(
            order=SubmitOrder(
                NOW, NOW, f"preview-{NOW}", "manual", "sim", "BTC-USDT", Side.BUY,
                OrderType.LIMIT, D("0.5"), D("100.25"), inputs={"placed_by": "local"},
            )
        )
    ]  # fmt: skip


async def test_validation_says_which_limit_is_met_and_what_to_do(risk: Risk) -> None:
    risk.answer = DENIED
    answer = await risk.platform.http.post("/api/v1/orders/validate", content=LIMIT_BUY)
    body = answer.json()
    assert (answer.status_code, body["passes"]) == (200, False)
    assert (body["reason"], body["field"]) == ("NOTIONAL_ABOVE_MAX", "quantity")
    assert (body["limit"], body["value"], body["scope"]) == ("5", "50.125", "strategy:manual")
    assert body["remedy"] == "Split the order."


async def test_order_that_is_none_is_refused_before_risk_is_asked(risk: Risk) -> None:
    for content, field in ((MARKET_BUY.replace("0.001", "0"), "quantity"), ("{}", "symbol")):
        answer = await risk.platform.http.post("/api/v1/orders/validate", content=content)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert risk.asked == []


async def test_usage_of_limits_shows_the_part_and_the_unit(risk: Risk) -> None:
    risk.answer = UsageAnswer(
        currency="USDT",
        limits=(
            LimitUsage(
                scope="global", name="position_notional_max", limit=D(300), used=D(100),
                where="sim.BTC-USDT",
            ),
            LimitUsage(scope="global", name="open_orders_max", limit=D(0), used=D(2), where="pp"),
            LimitUsage(scope="global", name="order_notional_max", limit=D("50.50"), used=None),
        ),
    )  # fmt: skip
    body = (await risk.platform.http.get("/api/v1/risk/usage?scope=global")).json()
    assert risk.asked == [UsageQuery(scope="global")]
    assert body["currency"] == "USDT"
    position, orders, notional = body["limits"]
    assert position == {
        "scope": "global", "name": "position_notional_max", "limit": "300", "used": "100",
        "used_part": "0.3333", "unit": "USDT", "where": "sim.BTC-USDT",
    }  # fmt: skip
    assert (orders["used_part"], orders["unit"]) == (None, "orders")
    assert (notional["limit"], notional["used"]) == ("50.50", None)


async def test_risk_that_refuses_or_is_away_is_said(risk: Risk) -> None:
    risk.answer = RiskRefusal(reason="risk is still reading")
    answer = await risk.platform.http.get("/api/v1/risk/usage")
    assert (answer.status_code, answer.json()["code"]) == (503, "RISK_REFUSED")
    risk.answer = PASSES  # no answer to this question
    answer = await risk.platform.http.get("/api/v1/risk/usage")
    assert (answer.status_code, answer.json()["code"]) == (503, "RISK_UNINTELLIGIBLE")
    async with a_platform() as without:
        answer = await without.http.post("/api/v1/orders/validate", content=LIMIT_BUY)
        assert (answer.status_code, answer.json()["code"]) == (503, "RISK_UNAVAILABLE")
