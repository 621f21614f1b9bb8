"""The kill switch as a process: it starts and acts without NATS, and over it when there is one."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import metrics
from tickbus import codec, subjects
from tickbus.bus import NatsBus
from tickbus.events import ServiceStatus, SetTradingState, TradingState
from tickbus.kill_api import EXIT_DONE, EXIT_WORKING, SUBJECT, KillReport, KillRequest
from tickbus_embedded import EmbeddedNats, free_port
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.server import Server
from tickbus_killswitch.halt import BUCKET, KEY
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import ServiceProcess

TOKEN = "a-token"
CONFIG = """
platform: {mode: simulated}
bus: {url: "%s"}
venue:
  name: sim
  adapter: binance
  rest_url: %s
  ws_url: ws://127.0.0.1:1
  ws_api_url: ws://127.0.0.1:1
  instruments: [BTC-USDT]
  fees: {maker: 0, taker: 0}
killswitch: {timeout_s: %g, settle_s: 0.05, request_timeout_s: %g, halt_wait_s: 30}
"""


@pytest.fixture
async def exchange() -> AsyncIterator[str]:
    server = Server(ExchangeConfig(listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES))
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


@asynccontextmanager
async def a_switch(
    directory: Path, venue: str, bus: str, timeout_s: float = 60.0
) -> AsyncIterator[str]:
    """The service as a process; its URL."""
    config, port = directory / "kill.yaml", free_port()
    config.write_text(CONFIG % (bus, venue, timeout_s, timeout_s / 3))
    environment = {
        "TICKBUS_CONFIG": str(config), "TICKBUS_METRICS_PORT": str(port),
        "TICKBUS_VENUE_API_KEY": "sim-key", "TICKBUS_VENUE_API_SECRET": "sim-secret",
        "TICKBUS_KILL_TOKEN": TOKEN,
    }  # fmt: skip
    process = ServiceProcess("killswitch", directory, environment, port)
    await asyncio.to_thread(lambda: process.start().until_ready())
    try:
        yield process.health_url
    finally:
        code = await asyncio.to_thread(process.stop)
    assert code == 0, process.tail()


async def until(look: Callable[[], Any], timeout_s: float = 90.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await look():
            await asyncio.sleep(0.05)


async def test_kill_over_http_without_a_bus(tmp_path: Path, exchange: str) -> None:
    async with (
        a_switch(tmp_path, exchange, "nats://127.0.0.1:1") as url,
        httpx.AsyncClient(base_url=url, timeout=120) as client,
    ):
        refused = await client.post("/kill", headers={"Authorization": "Bearer wrong"})
        assert refused.status_code == 401
        assert (await client.get("/kill")).status_code == 405
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        typo = await client.post("/kill", json={"flaten": True})
        assert typo.status_code == 422
        assert "flaten" in typo.json()["error"]
        answer = await client.post("/kill", json={"reason": "x"})
        assert answer.status_code == 200
        report = msgspec.json.decode(answer.content, type=KillReport)
        assert (report.exit_code, report.reason) == (EXIT_DONE, "x")
        exported = (await client.get("/metrics")).text
        assert 'tickbus_killswitch_events_total{outcome="verified",type="Kill"} 1.0' in exported
        for line in ("ready 1.0", "accounts 1.0", "accounts_out_of_reach 0.0"):
            assert f"\ntickbus_killswitch_{line}\n" in exported
        assert metrics.problems("killswitch", exported, metrics.declared()) == []


async def test_unverified_kill_is_no_success_over_http(tmp_path: Path) -> None:
    async with (
        a_switch(tmp_path, "http://127.0.0.1:1", "nats://127.0.0.1:1", 3) as url,
        httpx.AsyncClient(base_url=url, timeout=120) as client,
    ):
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        answer = await client.post("/kill")
        assert answer.status_code == 502
        assert answer.json()["exit_code"] == EXIT_WORKING


async def test_kill_that_is_under_way_is_finished_before_it_stops(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=120) as client:
        async with a_switch(tmp_path, "http://127.0.0.1:1", "nats://127.0.0.1:1", 3) as url:
            asked = asyncio.create_task(client.post(f"{url}/kill"))

            async def began() -> bool:
                return "KILL by" in (tmp_path / "killswitch.log").read_text(encoding="utf-8")

            await until(began)
        answer = await asked  # leaving the block has asked it to stop
        assert (answer.status_code, answer.json()["exit_code"]) == (502, EXIT_WORKING)


async def test_kill_over_the_bus_halts_trading(
    tmp_path: Path, exchange: str, nats_url: str
) -> None:
    bus = await NatsBus.connect(nats_url, "test")
    try:
        async with a_switch(tmp_path, exchange, nats_url):

            async def shown() -> bool:
                answers = await bus.gather(subjects.STATUS, b"", 0.2)
                return "killswitch" in [
                    codec.decode_value(a, ServiceStatus).service for a in answers
                ]

            await until(shown)
            request = codec.encode_value(KillRequest(reason="drill", actor="ada"))
            report = codec.decode_value(await bus.request(SUBJECT, request, 60), KillReport)
            assert (report.exit_code, report.halted) == (EXIT_DONE, True)
            value, _ = await bus.kv_read(BUCKET, KEY)
            state = codec.decode_value(value, SetTradingState)
            assert (state.state, state.actor, state.reason) == (TradingState.HALTED, "ada", "drill")
            garbled = codec.decode_value(await bus.request(SUBJECT, b"\xc1", 60), KillReport)
            assert garbled.exit_code == EXIT_DONE
    finally:
        await bus.close()


async def test_bus_that_was_away_is_halted_when_it_is_back(tmp_path: Path, exchange: str) -> None:
    port = free_port()
    address = f"nats://127.0.0.1:{port}"
    async with (
        a_switch(tmp_path, exchange, address) as url,
        httpx.AsyncClient(base_url=url, timeout=120) as client,
    ):
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        report = msgspec.json.decode((await client.post("/kill")).content, type=KillReport)
        assert (report.exit_code, report.halted) == (EXIT_DONE, False)
        async with EmbeddedNats(tmp_path / "nats", port=port, start_timeout_s=PATIENCE_S):
            bus = await NatsBus.connect(address, "test")

            async def halted() -> bool:
                value, revision = await bus.kv_read(BUCKET, KEY)
                return bool(revision) and (
                    codec.decode_value(value, SetTradingState).state is TradingState.HALTED
                )

            await until(halted)
            await bus.close()


async def test_without_a_token_it_refuses_to_start(tmp_path: Path) -> None:
    config = tmp_path / "kill.yaml"
    config.write_text(CONFIG % ("nats://127.0.0.1:1", "http://127.0.0.1:1", 3, 1))
    environment = {"TICKBUS_CONFIG": str(config), "TICKBUS_KILL_TOKEN": ""}
    process = ServiceProcess("killswitch", tmp_path, environment, free_port()).start()
    async with asyncio.timeout(60):
        while process.lives():
            await asyncio.sleep(0.05)
    assert process.stop() == 2
    assert "TICKBUS_KILL_TOKEN is not set" in process.tail()


async def killed_now(
    directory: Path, venue: str, *arguments: str, timeout_s: float = 60.0
) -> tuple[int, bytes]:
    """What `--now` ends with, and prints: in a container where nothing of ours answers any more."""
    config = directory / "kill.yaml"
    config.write_text(CONFIG % ("nats://127.0.0.1:1", venue, timeout_s, timeout_s / 3))
    environment = {
        **os.environ, "TICKBUS_CONFIG": str(config), "TICKBUS_KILL_TOKEN": "",
        "TICKBUS_VENUE_API_KEY": "sim-key", "TICKBUS_VENUE_API_SECRET": "sim-secret",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickbus_killswitch", *arguments,
        env=environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    async with asyncio.timeout(120):
        told, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told


async def test_kill_at_once_in_a_process_of_its_own(tmp_path: Path, exchange: str) -> None:
    code, told = await killed_now(tmp_path, exchange, "--now", "--reason", "nothing answers")
    report = msgspec.json.decode(told, type=KillReport)
    assert (code, report.exit_code, report.reason) == (EXIT_DONE, EXIT_DONE, "nothing answers")
    assert [account.verified for account in report.accounts] == [True]
    code, told = await killed_now(tmp_path, "http://127.0.0.1:1", "--now", timeout_s=3)
    assert (code, msgspec.json.decode(told, type=KillReport).exit_code) == (3, EXIT_WORKING)


async def test_a_reason_without_a_kill_starts_nothing(tmp_path: Path, exchange: str) -> None:
    assert await killed_now(tmp_path, exchange, "--reason", "x") == (2, b"")
