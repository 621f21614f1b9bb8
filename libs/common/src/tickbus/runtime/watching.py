"""What a service watches of itself once a second: its loop, its clock, its CPU and its memory."""

import asyncio
import logging
import os
import time
from pathlib import Path

from tickbus.clock import Clock, WallClock
from tickbus.runtime.telemetry import Telemetry

CLOCK_SET_BACK_NS = 50_000_000
EVERY_S = 1.0
STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Sets the gauges `loop_lag_seconds`, `clock_ahead_seconds`, `cpu_fraction` and `rss_bytes`.

    `cpu_fraction` is of one core, since the second before. Where the system does not tell the
    memory (no /proc), there is no `rss_bytes`.
    """

    def __init__(self, telemetry: Telemetry, clock: Clock, log: logging.Logger) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._log = log
        self._clock_ahead_ns = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        used_s = time.process_time()
        while True:
            before = time.monotonic()
            await asyncio.sleep(EVERY_S)
            took_s, used_before_s, used_s = time.monotonic() - before, used_s, time.process_time()
            self._telemetry.gauge("loop_lag_seconds", took_s - EVERY_S)
            self._telemetry.gauge("cpu_fraction", (used_s - used_before_s) / took_s)
            rss_bytes = resident_bytes()
            if rss_bytes is not None:
                self._telemetry.gauge("rss_bytes", rss_bytes)
            if isinstance(self._clock, WallClock):
                self._look_at(self._clock)

    def _look_at(self, clock: WallClock) -> None:
        ahead_ns = clock.ahead_ns
        self._telemetry.gauge("clock_ahead_seconds", ahead_ns / 1e9)
        set_back_ns, self._clock_ahead_ns = ahead_ns - self._clock_ahead_ns, ahead_ns
        if set_back_ns > CLOCK_SET_BACK_NS:
            self._telemetry.error("clock_set_back")
            self._log.warning(
                "the machine's clock was set back by %.1f s; this service follows slowly, so that"
                " no age gets negative: restart it to follow at once", set_back_ns / 1e9,
            )  # fmt: skip


def resident_bytes(path: Path = STATM) -> int | None:
    """The memory of this process that is not swapped out; None where the system does not tell."""
    try:
        return int(path.read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return None
