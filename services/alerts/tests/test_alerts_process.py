"""The alerts service as the process that it is in production."""

import asyncio
from pathlib import Path

import metrics
from tickbus_embedded import free_port
from tickbus_testkit.processes import ServiceProcess
from tickbus_testkit.story import wait_for

CONFIG = Path(__file__).parents[3] / "config" / "default.yaml"


async def test_it_exports_what_is_declared(tmp_path: Path, nats_url: str) -> None:
    port = free_port()
    environment = {
        "TICKBUS_CONFIG": str(CONFIG), "TICKBUS_METRICS_PORT": str(port),
        "TICKBUS_NATS_URL": nats_url,
    }  # fmt: skip
    process = ServiceProcess("alerts", tmp_path, environment, port)
    await asyncio.to_thread(lambda: process.start().until_ready())
    try:
        # It looks at itself once a second, for the first time a second after it began.
        await asyncio.to_thread(wait_for, "a look", lambda: "loop_lag" in process.metrics())
        exported = await asyncio.to_thread(process.metrics)
    finally:
        assert await asyncio.to_thread(process.stop) == 0, process.tail()
    assert metrics.problems("alerts", exported, metrics.declared()) == []
