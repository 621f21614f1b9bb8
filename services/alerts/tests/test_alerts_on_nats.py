"""The service as a process on a real NATS, as its own user: killed, it misses nothing."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alerts_world import a_denial, a_state
from receivers import Webhook, listening

from tickbus import alerts_api, codec, subjects
from tickbus.alerts_api import AlertsAnswer, AlertsQuery
from tickbus.bus import NatsBus, RequestTimeout
from tickbus.events import Event, FeedState, FeedStatus, ServiceStatus, TradingState
from tickbus.events.orders import message_id
from tickbus.permissions import OPERATOR
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.users import NEIGHBOR, Users

pytestmark = pytest.mark.usefixtures("patient_bus")

CONFIG = """
alerts:
  ask_every_s: 0.2
  send_timeout_s: 60  # what is told again because nobody listened for seconds is no fault
  rules:
    denial: {wait_s: 0.5}
    feed: {wait_s: 0}
    service: {wait_s: 0, services: [risk]}  # of itself it may hear that it only just starts
"""


class Process:
    """`python -m tickbus_alerts`, killed and started anew."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._log = directory / "alerts.log"
        self._environment = environment
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tickbus_alerts", env=self._environment, stderr=log
            )

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")


@contextlib.asynccontextmanager
async def platform(
    tmp_path: Path, hook: Webhook
) -> AsyncIterator[tuple[NatsBus, NatsBus, Process]]:
    """The bus of the neighbors and that of who asks, and the service's process."""
    users = Users()
    async with nats_server(users) as server:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TICKBUS_")},
            **users.environment("alerts"),
            "TICKBUS_NATS_URL": server.url,
            "TICKBUS_CONFIG": str(tmp_path / "config.yaml"),
            "TICKBUS_METRICS_PORT": "0",
            "TICKBUS_LOG_FORMAT": "json",
            "TICKBUS_ALERTS_OPS": f"json://user:s3cr3t@127.0.0.1:{hook.port}/s3cr3t",
        }
        (tmp_path / "config.yaml").write_text(f"bus: {{url: '{server.url}'}}\n{CONFIG}")
        bus = await NatsBus.connect(server.url, "test", users.login(NEIGHBOR))
        desk = await NatsBus.connect(server.url, "desk", users.login(OPERATOR))
        process = Process(tmp_path, environment)
        try:
            yield bus, desk, process
        finally:
            await process.kill()
            await desk.close()
            await bus.close()


async def answer(bus: NatsBus) -> AlertsAnswer:
    """What the service says, once it runs."""
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(RequestTimeout):
                payload = await bus.request(alerts_api.LIST, codec.encode_value(AlertsQuery()), 1.0)
                return codec.decode_value(payload, AlertsAnswer)


async def publish(bus: NatsBus, event: Event) -> None:
    await bus.publish_durable(subjects.of(event), codec.encode([event]), message_id(event))


async def until_told(hook: Webhook, *words: str) -> None:
    async with asyncio.timeout(120):
        while not all(word in hook.text for word in words):
            await asyncio.sleep(0.02)


@pytest.mark.slow(20)
async def test_killed_while_it_gathers_and_while_it_sends_it_tells_everything_once(
    tmp_path: Path,
) -> None:
    hook = Webhook()
    async with listening(hook), platform(tmp_path, hook) as (bus, desk, process):
        await process.start()
        await answer(desk)
        for n in range(20):
            await publish(bus, a_denial(time.time_ns(), n))
        await process.kill()  # whatever it has done of that by now
        await publish(bus, a_state(time.time_ns(), TradingState.HALTED))
        await process.start()
        await until_told(hook, "denied momentum", "HALTED")
        # Taken, and kept that it was taken: from here on nothing of it may come again.
        async with asyncio.timeout(120):
            while (await answer(desk)).channels[0].waiting:
                await asyncio.sleep(0.02)
        told = len(hook.bodies)
        await process.kill()
        await process.start()
        assert {alert.rule for alert in (await answer(desk)).active} >= {"denial", "halt"}
        await publish(bus, a_state(time.time_ns(), TradingState.ACTIVE))
        await until_told(hook, "CLEARED: trading is HALTED")
    # Alone or, where it waited beside the denials, in one message with them: told once.
    assert hook.text.count("CRITICAL: trading is HALTED") == 1
    assert len(hook.bodies) == told + 1
    assert "s3cr3t" not in process.log
    assert "channel ops (json)" in process.log


@pytest.mark.slow(20)
async def test_its_user_may_hear_feeds_services_and_letters_and_nothing_is_denied(
    tmp_path: Path,
) -> None:
    hook = Webhook()
    async with listening(hook), platform(tmp_path, hook) as (bus, desk, process):
        now = time.time_ns()

        async def status(_: bytes) -> bytes:
            said = ServiceStatus(now, now, "risk", "0", "1", False, "NATS", 1.0, {}, {}, {}, {})
            return codec.encode_value(said)

        await bus.respond(subjects.STATUS, status)
        await process.start()
        await answer(desk)
        now = time.time_ns()  # what happened before the service was ever here is another matter
        stale = FeedStatus(now, now, "sim", "BTC-USDT", FeedState.STALE, "silent")
        await bus.publish(subjects.of(stale), codec.encode([stale]))
        await until_told(hook, "risk does not work", "waits for NATS", "market data of sim")
        await process.kill()
    assert "may not" not in process.log
    assert "denied" not in process.log.lower()
