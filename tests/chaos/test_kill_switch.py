"""The kill switch while the platform trades for all it is worth, and after all of it has died."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import SERVICES, PlatformProcesses
from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[2]
CONFIGS = (
    ROOT / "config" / "default.yaml",
    ROOT / "tests" / "chaos" / "spot.yaml",
    ROOT / "tests" / "patient.yaml",
)
ENDED = {"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"}

pytestmark = [pytest.mark.slow(40), pytest.mark.timeout(500)]


@asynccontextmanager
async def a_platform_under_load(
    directory: Path,
) -> AsyncIterator[tuple[PlatformProcesses, Desk, EmbeddedNats]]:
    """Everything runs, and orders rest at the exchange."""
    async with (
        EmbeddedNats(directory / "nats", start_timeout_s=PATIENCE_S) as nats,
        EmbeddedPostgres(directory / "pg", start_timeout_s=PATIENCE_S) as pg,
    ):
        exchange = ("--intensity", "4", "--orders-per-10s", "100000",
                    "--weight-per-minute", "1000000")  # fmt: skip
        platform = PlatformProcesses(directory, nats.url, pg.dsn, CONFIGS, 3, exchange)
        desk = Desk(platform.api_url, platform.exchange_url)
        try:
            await asyncio.to_thread(_start, platform, ("exchange", *SERVICES))
            await asyncio.to_thread(wait_for, "resting orders", lambda: len(working(platform)) >= 8)
            yield platform, desk, nats
        finally:
            for name in platform.stop_order:
                await asyncio.to_thread(platform[name].stop)


def _start(platform: PlatformProcesses, names: tuple[str, ...]) -> None:
    for name in names:
        platform[name].start()
    for name in names:
        platform[name].until_ready()


def working(platform: PlatformProcesses) -> list[dict[str, Any]]:
    """What the exchange itself says."""
    answer = httpx.get(f"{platform.exchange_url}/admin/ledger", timeout=30).raise_for_status()
    return [order for order in answer.json()["orders"] if order["status"] not in ENDED]


def ids(platform: PlatformProcesses) -> set[str]:
    """Of the orders that work at the exchange."""
    return {order["clientOrderId"] for order in working(platform)}


def is_halted(desk: Desk) -> bool:
    """Whether risk itself says so."""
    return bool(desk.get("/api/v1/risk/state")["state"] == "HALTED")


def kill(platform: PlatformProcesses, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """`tickbus kill`: its exit code, its report, what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tickbus_cli", "kill", "--json", "--reason", "test", *arguments],
        cwd=ROOT, env={**os.environ, **platform.environment}, capture_output=True, text=True,
        timeout=150, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def equal_books(desk: Desk) -> None:
    found: list[str] = []

    def look() -> bool:
        found[:] = desk.differences()
        return not found

    try:
        wait_for("books equal to the exchange's", look, 120)
    except AssertionError as error:
        raise AssertionError("\n".join(found)) from error


async def test_under_load_nothing_works_afterwards_and_the_books_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_CHAOS", str(ROOT / "tests" / "chaos"))
    async with a_platform_under_load(tmp_path) as (platform, desk, _):
        before = await asyncio.to_thread(wait_for, "orders that work", lambda: ids(platform))
        code, report, said = await asyncio.to_thread(kill, platform)
        assert code == 0, said
        assert report["halted"] is True
        # Whoever stood still meanwhile may only now read that all is over, or send what risk let
        # pass before; behind that comes risk's word to cancel it.
        await asyncio.to_thread(wait_for, "risk's halt", lambda: is_halted(desk))
        await asyncio.to_thread(wait_for, "no order that works", lambda: not working(platform))
        # The strategies live on and want more; risk lets nothing pass.
        refused = desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None)
        assert (refused.status_code, refused.json()["code"]) == (422, "TRADING_HALTED")
        await asyncio.sleep(2)
        assert working(platform) == []
        await asyncio.to_thread(equal_books, desk)
        states = {o["id"]: o["state"] for o in await asyncio.to_thread(desk.all, "orders")}
        cleared = [order["client_order_id"] for order in report["accounts"][0]["cleared"]]
        # Risk has execution cancel at the halt: whether it or the kill switch was first, all ended.
        assert {states[order] for order in {*before, *cleared}} <= {"CANCELED", "FILLED"}
        assert "CANCELED" in {states[order] for order in before}


async def test_with_every_service_and_the_bus_dead_and_the_books_agree_when_they_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_CHAOS", str(ROOT / "tests" / "chaos"))
    async with a_platform_under_load(tmp_path) as (platform, desk, nats):
        for name in SERVICES:
            platform[name].kill()
        await nats.stop()
        before = ids(platform)
        assert before
        code, report, said = await asyncio.to_thread(kill, platform)
        assert code == 0, said
        assert report["halted"] is False
        cleared = {order["client_order_id"] for order in report["accounts"][0]["cleared"]}
        assert cleared >= before - _filled(platform)
        assert working(platform) == []
        await nats.start()
        # Without strategies: nobody told risk to halt, and they would go on.
        alive = tuple(name for name in SERVICES if name != "strategy")
        await asyncio.to_thread(_start, platform, alive)
        await asyncio.to_thread(equal_books, desk)


def _filled(platform: PlatformProcesses) -> set[str]:
    answer = httpx.get(f"{platform.exchange_url}/admin/ledger", timeout=30).raise_for_status()
    return {o["clientOrderId"] for o in answer.json()["orders"] if o["status"] == "FILLED"}
