"""What a service says of its own CPU, memory and clock."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from tickbus.clock import WallClock
from tickbus.runtime import watching
from tickbus.runtime.telemetry import Telemetry
from tickbus.runtime.watching import Watch, resident_bytes


async def test_a_second_of_watching_sets_every_gauge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.001)
    telemetry = Telemetry("test")
    task = asyncio.create_task(Watch(telemetry, WallClock(), logging.getLogger("test")).run())
    async with asyncio.timeout(30):
        while "clock_ahead_seconds" not in telemetry.gauges:
            await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert telemetry.gauges["rss_bytes"] > 1_000_000
    assert telemetry.gauges["cpu_fraction"] >= 0
    assert set(telemetry.gauges) == {
        "loop_lag_seconds", "cpu_fraction", "rss_bytes", "clock_ahead_seconds",
    }  # fmt: skip


def test_memory_is_counted_in_pages_and_unknown_where_nobody_tells(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("5000 300 200 1 0 400 0\n")
    assert resident_bytes(statm) == 300 * watching._PAGE_BYTES
    statm.write_text("nothing\n")
    assert resident_bytes(statm) is None
    assert resident_bytes(tmp_path / "missing") is None
