"""Closing everything over HTTP: what it would do, the token, and that it is good once."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from api_platform import LIMIT_BUY, NOW, Platform, a_platform

from tickbus import codec, subjects
from tickbus.clock import ManualClock
from tickbus.events import (
    GLOBAL,
    RiskReport,
    RiskState,
    ScopeReport,
    SetTradingState,
    TradingState,
)
from tickbus_api.flattening import SLOTS, VALID_S

D = Decimal
WHY = '{"reason":"the exchange announced a halt","actor":"ann"}'


class Desk:
    """A platform with a stand-in for risk that carries out what is kept in its bucket."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.wishes: list[tuple[str, SetTradingState]] = []
        self.obeys = True

    async def start(self) -> None:
        await self.platform.bus.kv_watch("control", self._on_state)
        await self.tell(TradingState.ACTIVE)

    async def tell(self, state: TradingState, ts_wished: int = 0) -> None:
        scopes = tuple(
            ScopeReport(scope, state, "because", D(0), D(0), D(0), D(0), D(0), ts_wished=ts_wished)
            for scope in (GLOBAL, "strategy:pp")
        )
        for event in (
            RiskState(NOW, NOW, state, "because", 0, 0),
            RiskReport(NOW, NOW, "USDT", scopes, ()),
        ):
            await self.platform.bus.publish(subjects.RISK_STATE, codec.encode([event]))

    async def _on_state(self, key: str, payload: bytes) -> None:
        wish = codec.decode_value(payload, SetTradingState)
        self.wishes.append((key, wish))
        if self.obeys:
            await self.tell(wish.state, wish.ts_recv)

    async def ask(self, body: str = WHY) -> dict[str, object]:
        answer = await self.platform.http.post("/api/v1/flatten", content=body)
        assert answer.status_code == 201, answer.text
        view: dict[str, object] = answer.json()
        return view

    async def confirm(self, token: object) -> tuple[int, str]:
        body = json.dumps({"token": token})
        answer = await self.platform.http.post("/api/v1/flatten/confirm", content=body)
        assert str(token) not in answer.text
        return answer.status_code, answer.json().get("code", "")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_platform() as platform:
        made = Desk(platform)
        await made.start()
        yield made


async def test_plan_says_what_it_would_do_and_does_nothing(desk: Desk) -> None:
    await desk.platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    plan = await desk.ask()
    assert plan["cancels"] == ["manual-r-1"]
    assert plan["closes"] == [
        {
            "venue": "sim", "symbol": "BTCUSDT", "instrument_id": "BTC-USDT", "side": "SELL",
            "quantity": "0.10000000", "mark": "110", "value": "11.00000000",
        }
    ]  # fmt: skip
    assert (plan["value"], plan["currency"], plan["strategy"]) == ("11.00000000", "USDT", None)
    assert plan["expires_at"] == "2023-11-14T22:14:20.000000Z"
    assert desk.wishes == []


async def test_confirmation_halts_and_closes_once(desk: Desk) -> None:
    token = (await desk.ask())["token"]
    assert await desk.confirm(token) == (200, "")
    assert desk.wishes == [
        (
            "trading",
            SetTradingState(
                NOW, NOW, TradingState.HALTED, "ann", "the exchange announced a halt", "", True
            ),
        )
    ]
    assert await desk.confirm(token) == (410, "CONFIRMATION_GONE")
    assert len(desk.wishes) == 1


async def test_what_is_halted_already_counts_as_closed_only_when_risk_is_at_it(desk: Desk) -> None:
    await desk.tell(TradingState.HALTED)
    desk.obeys = False
    desk.platform.hurry()
    assert await desk.confirm((await desk.ask())["token"]) == (202, "")
    desk.obeys = True
    assert await desk.confirm((await desk.ask())["token"]) == (200, "")


async def test_one_strategy_is_closed_alone(desk: Desk) -> None:
    plan = await desk.ask('{"reason":"it trades oddly","strategy":"pp"}')
    assert (plan["strategy"], plan["closes"]) == ("pp", [])  # the books have none of its own
    assert await desk.confirm(plan["token"]) == (200, "")
    ((key, wish),) = desk.wishes
    assert (key, wish.strategy_id, wish.flatten) == ("strategy/pp", "pp", True)


async def test_token_is_good_for_a_minute(desk: Desk) -> None:
    token = (await desk.ask())["token"]
    clock = desk.platform.shell.clock
    assert isinstance(clock, ManualClock)
    clock.advance_to(NOW + VALID_S * 1_000_000_000)
    assert await desk.confirm(token) == (410, "CONFIRMATION_GONE")
    assert desk.wishes == []


@pytest.mark.parametrize("token", ["nonsense", "0-", "64-x", "-1-x", "٣-x", "0-" + "x" * 90])
async def test_token_that_is_none_does_nothing(desk: Desk, token: str) -> None:
    await desk.ask()
    assert await desk.confirm(token) == (410, "CONFIRMATION_GONE")
    assert desk.wishes == []


@pytest.mark.parametrize("body", ["", "{}", '{"token":17}', '{"token":null}', '{"tokn":"0-x"}'])
async def test_confirmation_without_a_token_does_nothing(desk: Desk, body: str) -> None:
    answer = await desk.platform.http.post("/api/v1/flatten/confirm", content=body)
    assert answer.status_code in (400, 422)
    token = (await desk.ask())["token"]
    gone = await desk.platform.http.post(f"/api/v1/flatten/{token}")
    assert gone.status_code == 404, "a path ends in logs"
    assert desk.wishes == []


async def test_secret_itself_is_kept_nowhere(desk: Desk) -> None:
    token = str((await desk.ask())["token"])
    slot, _, secret = token.partition("-")
    value, _ = await desk.platform.bus.kv_read("confirmations", f"flatten-{slot}")
    assert secret not in value.decode()
    assert msgspec.json.decode(value)["user"] == "local"


async def test_wishes_that_wait_are_bounded_and_old_ones_make_room(desk: Desk) -> None:
    tokens = [(await desk.ask())["token"] for _ in range(SLOTS)]
    assert len(set(tokens)) == SLOTS
    answer = await desk.platform.http.post("/api/v1/flatten", content=WHY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert await desk.confirm(tokens[0]) == (200, "")
    assert (await desk.ask())["token"] not in tokens


async def test_plan_needs_a_reason_and_a_known_strategy(desk: Desk) -> None:
    for body, field in (("{}", "reason"), ('{"reason":"r","strategy":"nobody"}', "strategy")):
        answer = await desk.platform.http.post("/api/v1/flatten", content=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
