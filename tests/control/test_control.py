"""Strategies are told 100 things under load: others lose no tick, no order is orphaned."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import metrics
from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import PlatformProcesses
from tickbus_testkit.story import Desk, wait_for
from tickbus_testkit.users import Users

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "config" / "default.yaml", ROOT / "tests" / "control" / "control.yaml")
KINDS = ROOT / "tests" / "chaos" / "restless.py"
CROWD = ("--intensity", "2", "--orders-per-10s", "100000", "--weight-per-minute", "1000000")
STEADY, WILD = ("steady-btc", "steady-eth"), ("wild-1", "wild-2", "wild-3", "wild-4")
COMMANDS = 100
START_S = 120.0
ENDED = {"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"}
TERMINAL = {"FILLED", "CANCELED", "EXPIRED", "REJECTED", "DENIED"}

pytestmark = [pytest.mark.slow(60), pytest.mark.timeout(600)]


class Hand:
    """Somebody who changes one strategy all the time, and what it has been told."""

    def __init__(self, api_url: str, strategy_id: str, seed: int) -> None:
        self.told: Counter[str] = Counter()
        self._id = strategy_id
        self._random = random.Random(f"{strategy_id}{seed}")
        self._http = httpx.Client(base_url=f"{api_url}/api/v1/strategies", timeout=120)

    def work(self, commands: int) -> None:
        """So many commands, as fast as they are answered."""
        for _ in range(commands):
            name = self._random.choice(
                ("switch", "crash", "stop", "start", "set", "flatten", "bad")
            )
            getattr(self, f"_{name}")()
            self.told[name] += 1

    def _send(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        body = {"reason": "a test", **body}
        answer = answered(lambda: self._http.request(method, self._id + path, json=body))
        assert answer.status_code == status, answer.text
        return answer.json()

    def _look(self) -> Any:
        return answered(lambda: self._http.get(self._id)).raise_for_status().json()

    def _instruments(self) -> list[str]:
        names = ["BTC-USDT", "ETH-USDT", "SOL-USDT"]
        return self._random.sample(names, self._random.randint(1, 2))

    def _be(self, kind: str) -> None:
        params = {"every": self._random.randint(10, 30), "notional": 20}
        instruments = self._instruments()
        self._send("PUT", "", kind=f"{KINDS}:{kind}", instruments=instruments, params=params)

    def _switch(self) -> None:
        self._be(self._random.choice(("Wild", "Tamer")))

    def _crash(self) -> None:
        self._be("Fuse")
        # One that is stopped or stops never gets so far.
        ended = ("FAILED", "STOPPED", "STOPPING")
        wait_for("the end of a fuse", lambda: self._look()["phase"] in ended, 120)
        self.told["crashed"] += self._look()["phase"] == "FAILED"

    def _stop(self) -> None:
        self._send("POST", "/stop", flatten=self._random.random() < 0.5)

    def _start(self) -> None:
        self._send("POST", "/start")

    def _set(self) -> None:
        self._send("PATCH", "/params", params={"every": self._random.randint(10, 30)})

    def _flatten(self) -> None:
        self._send("POST", "/flatten")

    def _bad(self) -> None:
        before = self._look()
        self._send("PATCH", "/params", 422, params={"every": 0})
        self._send("PUT", "", 422, kind="no-such", instruments=["BTC-USDT"])
        assert self._look()["terms"] == before["terms"]


def answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """An answer from where there was time for one: who had none is asked again."""

    def look() -> httpx.Response | None:
        answer = ask()
        return None if answer.status_code in (503, 504) else answer

    found = wait_for("an answer", look)
    assert found is not None
    return found


@asynccontextmanager
async def a_platform(directory: Path) -> AsyncIterator[tuple[PlatformProcesses, Desk]]:
    """Everything runs with all permissions on."""
    users = Users()
    async with (
        EmbeddedNats(
            directory / "nats", accounts=users.accounts, start_timeout_s=PATIENCE_S
        ) as nats,
        EmbeddedPostgres(directory / "pg", start_timeout_s=PATIENCE_S) as postgres,
    ):
        platform = PlatformProcesses(
            directory, nats.url, postgres.dsn, CONFIGS, 3, CROWD, users=users
        )
        try:
            for name in platform.processes:
                platform[name].start()
            for name in platform.processes:
                await asyncio.to_thread(platform[name].until_ready, START_S)
            yield platform, Desk(platform.api_url, platform.exchange_url)
        finally:
            for name in platform.stop_order:
                await asyncio.to_thread(platform[name].stop)


def ticks(desk: Desk, strategy_id: str) -> tuple[int, int, int]:
    """First and last trade that it was told of, and how many there were."""
    decisions = desk.get(f"/api/v1/strategies/{strategy_id}")["decisions"]
    # Those that led to no order only say why, where nothing was noted.
    noted = [each["inputs"] for each in decisions if "first" in each["inputs"]]
    inputs = noted[0]
    return int(inputs["first"]), int(inputs["last"]), int(inputs["count"])


def no_tick_was_lost(desk: Desk) -> None:
    for strategy_id in STEADY:
        first, last, count = ticks(desk, strategy_id)
        assert count == last - first + 1, f"{strategy_id}: {last - first + 1 - count} trades lost"


def stop_everybody(api_url: str, desk: Desk) -> None:
    """Stop all, closing what they hold, and wait until nothing of them works."""
    with httpx.Client(base_url=f"{api_url}/api/v1/strategies", timeout=60) as http:
        for strategy_id in (*WILD, *STEADY):
            body = {"flatten": strategy_id in WILD, "reason": "the end"}
            answer = answered(partial(http.post, f"/{strategy_id}/stop", json=body))
            assert answer.status_code == 200, answer.text

    def look() -> bool:
        listed = desk.get("/api/v1/strategies")["strategies"]
        return all(each["phase"] == "STOPPED" for each in listed)

    wait_for("every strategy to be stopped", look, 120)


def no_order_is_orphaned(desk: Desk) -> None:
    theirs = desk.ledger_of_the_exchange()["orders"]
    assert [order for order in theirs if order["status"] not in ENDED] == []
    left = [o["id"] for o in desk.all("orders") if o["state"] not in TERMINAL]
    assert left == []


def wrong_positions(desk: Desk) -> list[Any]:
    """Where what the strategies say they hold is not what the list of fills alone makes it."""
    sums: dict[tuple[str, str], Decimal] = {}
    for fill in desk.all("fills"):
        base = fill["instrument_id"].partition("-")[0]
        sign = 1 if fill["side"] == "BUY" else -1
        amount = sign * Decimal(fill["quantity"])
        amount -= Decimal(fill["fee"]) if fill["fee_asset"] == base else 0
        key = (fill["strategy"], fill["instrument_id"])
        sums[key] = sums.get(key, Decimal(0)) + amount
    told = {
        (strategy["id"], market["instrument_id"]): Decimal(market["quantity"])
        for strategy in desk.get("/api/v1/strategies")["strategies"]
        for market in strategy["markets"]
    }
    wrong: list[Any] = [(key, told.get(key), held) for key, held in sums.items()]
    wrong = [each for each in wrong if each[1] != each[2]]
    # Of the wild only dust is left: fees in the base asset cannot be sold.
    return wrong + [
        (*key, held)
        for key, held in told.items()
        if key[0] in WILD and abs(held) >= Decimal("0.05")
    ]


def comes_to_nothing(what: str, look: Callable[[], list[Any]]) -> None:
    """Wait until `look` finds nothing any more: what was told may still be on its way."""
    found: list[Any] = []

    def none() -> bool:
        found[:] = look()
        return not found

    try:
        wait_for(what, none, 90)
    except AssertionError as error:
        raise AssertionError("\n".join(map(str, found)) or str(error)) from error


def undeclared(platform: PlatformProcesses) -> list[str]:
    """What a process exports and observability/metrics.yaml does not declare, or the other way."""
    known = metrics.declared()
    processes = platform.processes.values()
    return [found for p in processes for found in metrics.problems(p.service, p.metrics(), known)]


async def test_a_hundred_commands_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_CHAOS", str(KINDS.parent))
    async with a_platform(tmp_path) as (platform, desk):
        await asyncio.to_thread(wait_for, "ticks", lambda: [ticks(desk, name) for name in STEADY])
        hands = [Hand(platform.api_url, name, 5) for name in WILD]
        began = time.monotonic()
        with ThreadPoolExecutor(len(hands)) as pool:
            each = COMMANDS // len(hands)
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, h.work, each) for h in hands))
        print(f"{COMMANDS} commands in {time.monotonic() - began:.1f} s")
        told = sum((hand.told for hand in hands), Counter[str]())
        assert told["crashed"] >= 5, told
        await asyncio.to_thread(
            wait_for, "many ticks", lambda: min(ticks(desk, name)[2] for name in STEADY) > 50
        )
        await asyncio.to_thread(no_tick_was_lost, desk)
        await asyncio.to_thread(wait_for, "fills", lambda: len(desk.all("fills")) > 20)
        await asyncio.to_thread(stop_everybody, platform.api_url, desk)
        await asyncio.to_thread(comes_to_nothing, "equal books", desk.differences)
        await asyncio.to_thread(no_order_is_orphaned, desk)
        await asyncio.to_thread(comes_to_nothing, "positions", partial(wrong_positions, desk))
        wrong = await asyncio.to_thread(undeclared, platform)
        assert wrong == []
        for name in ("strategy", "api", "risk"):
            assert "bus_permission_denied" not in platform[name].metrics(), name
            assert platform[name].lives()
