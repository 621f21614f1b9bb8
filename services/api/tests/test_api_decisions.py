"""What a strategy decided, over HTTP: from a time to a time, page by page."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from api_platform import Gateway, running

from tickbus import codec, subjects
from tickbus.events import StrategyDecision

SECOND = 1_000_000_000


@pytest.fixture
async def platform() -> AsyncIterator[Gateway]:
    async with running(Gateway()) as platform:
        yield platform


async def decide(platform: Gateway, *seconds: float, strategy_id: str = "mo") -> int:
    """Decisions so many seconds after a time about ten minutes ago, which is returned (ns)."""
    begin: int = (platform.app.state.gateway.now_ns() // SECOND - 600) * SECOND
    for after_s in seconds:
        ts = begin + int(after_s * SECOND)
        orders = (f"{strategy_id}-r-1",) if after_s == 2 else ()
        decision = StrategyDecision(
            ts, ts, strategy_id, "sim", "BTC-USDT", {"velocity_bps": f"{after_s:g}"}, orders
        )
        await platform.bus.publish(subjects.of(decision), codec.encode([decision], ()))
    return begin


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / SECOND, UTC).isoformat()


async def ask(platform: Gateway, name: str = "mo", **query: Any) -> Any:
    path = f"/api/v1/strategies/{name}/decisions"
    return await platform.http.get(path, params=query)


def shown(answer: Any) -> list[str]:
    return [each["inputs"]["velocity_bps"] for each in answer.json()["decisions"]]


async def test_decisions_of_a_stretch_of_time_come_oldest_first(platform: Gateway) -> None:
    begin = await decide(platform, 0, 1, 2, 3)
    await decide(platform, 1, strategy_id="other")
    answer = await ask(platform, start=iso(begin + SECOND), end=iso(begin + 3 * SECOND))
    assert shown(answer) == ["1", "2"]
    assert answer.json()["next_cursor"] is None
    assert answer.json()["decisions"][1] == {
        "decided_at": "2023-11-14T22:03:22.000000Z", "venue": "sim",
        "instrument_id": "BTC-USDT", "inputs": {"velocity_bps": "2"}, "orders": ["mo-r-1"],
    }  # fmt: skip


async def test_without_a_time_they_are_those_of_the_last_hour(platform: Gateway) -> None:
    await decide(platform, -3_100, 1)
    assert shown(await ask(platform)) == ["1"]


async def test_pages_lead_through_all_of_them_and_end(platform: Gateway) -> None:
    await decide(platform, *range(7))
    found, cursor = list[str](), ""
    for _ in range(3):
        answer = await ask(platform, limit=3, cursor=cursor)
        found += shown(answer)
        cursor = answer.json()["next_cursor"]
    assert found == ["0", "1", "2", "3", "4", "5", "6"]
    assert cursor is None


@pytest.mark.parametrize(
    ("name", "query", "field"),
    [
        ("mo", {"cursor": "x"}, "cursor"),
        ("mo", {"limit": 1_001}, "limit"),
        ("mo", {"start": "2026-11-22T00:00"}, "start"),
        ("manual", {}, "strategy_id"),
    ],
)
async def test_bad_input_is_named(
    platform: Gateway, name: str, query: dict[str, Any], field: str
) -> None:
    answer = await ask(platform, name, **query)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


async def test_what_cannot_be_read_is_left_out(platform: Gateway) -> None:
    await platform.bus.publish(subjects.decision("mo"), b"of another version")
    await decide(platform, 1)
    assert shown(await ask(platform)) == ["1"]


async def test_what_cannot_be_read_is_counted_and_said_and_hides_no_other(
    platform: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    begin = await decide(platform, 0)
    await platform.bus.publish(subjects.decision("mo"), b"\xc1 rubbish")
    await decide(platform, 1)
    answer = await ask(platform, start=iso(begin))
    assert shown(answer) == ["0", "1"]
    assert platform.shell.telemetry.errors["malformed"] >= 1
    assert "number 2 of strategy.decision.mo cannot be read and is not shown" in caplog.text
