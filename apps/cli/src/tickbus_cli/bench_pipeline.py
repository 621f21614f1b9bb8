"""The pipeline benchmark: ticks per second through feed, book and strategy, with nothing lost."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tickbus import codec, subjects
from tickbus.bus import NatsBus
from tickbus.events import ServiceStatus
from tickbus_cli.bench_processes import end
from tickbus_cli.bench_venue import StubVenue
from tickbus_cli.errors import CliError
from tickbus_cli.profile import find_configuration
from tickbus_embedded import EmbeddedNats

RATES = (10_000, 20_000, 30_000, 40_000, 60_000)
SECONDS = 5.0
SETTLE_S = 3.0
ANSWER_S = 0.3
READY_S = 20.0
SERVICES = ("feed", "book", "strategy")
CONFIG = """
platform: {{mode: simulated}}
bus: {{url: "{nats}"}}
feed: {{first_event_s: 60, stale_after_s: 60}}
venue:
  name: sim
  adapter: binance
  rest_url: http://127.0.0.1:{port}
  ws_url: ws://127.0.0.1:{port}
  ws_api_url: ws://127.0.0.1:{port}
  instruments: [BTC-USDT]
  fees: {{maker: 0.001, taker: 0.001}}
strategies:
  - {{id: momentum, kind: momentum, instruments: [BTC-USDT]}}
"""
Say = Callable[[str], None]


async def bench_pipeline(say: Say) -> dict[str, Any]:
    """The highest rate of the ladder at which every tick reached the strategy."""
    find_configuration(Path.cwd())  # says so where there is no project
    rungs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tickbus-pipeline-") as directory:
        async with EmbeddedNats(Path(directory) / "nats") as server, StubVenue() as venue:
            config = Path(directory) / "pipeline.yaml"
            config.write_text(CONFIG.format(nats=server.url, port=venue.port), encoding="utf-8")
            processes = [await _start(name, config) for name in SERVICES]
            try:
                bus = await NatsBus.connect(server.url, "bench")
                await _until_ready(bus)
                for rate in RATES:
                    rung = await _rung(bus, venue, rate)
                    say(f"pipeline: {rate:,} ticks/s asked: {rung['ticks_per_s']:,.0f} through,"
                        f" {rung['lost']} lost")  # fmt: skip
                    rungs.append(rung)
                    if rung["lost"] or rung["ticks_per_s"] < rate * 0.7:
                        break
                rss = {
                    name: round(psutil.Process(process.pid).memory_info().rss / 2**20, 1)
                    for name, process in zip(SERVICES, processes, strict=True)
                }
                await bus.close()
            finally:
                await end(processes)
    whole = [rung for rung in rungs if not rung["lost"]]
    best = max(whole, key=lambda rung: rung["ticks_per_s"]) if whole else rungs[0]
    return {
        "ticks_per_s": best["ticks_per_s"],
        "lost": best["lost"],
        "rss_mb": rss,
        "rungs": {str(rung["asked"]): rung for rung in rungs},
    }


async def _start(name: str, config: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tickbus_{name}", "--config", str(config),
        env={
            **os.environ, "TICKBUS_METRICS_PORT": "0", "TICKBUS_LOG_LEVEL": "error",
            "TICKBUS_RUN_ID": "bench",
        },
    )  # fmt: skip


async def _status(bus: NatsBus) -> dict[str, ServiceStatus]:
    answers = await bus.gather(subjects.STATUS, b"", ANSWER_S)
    statuses = [codec.decode_value(answer, ServiceStatus) for answer in answers]
    return {status.service: status for status in statuses}


async def _seen(bus: NatsBus) -> tuple[int, int]:
    """Ticks that the strategy handled and changes that the book did.

    A service with a backlog answers late: it is asked again. Raises CliError for one that never
    does.
    """
    for _ in range(int(READY_S / ANSWER_S)):
        statuses = await _status(bus)
        if "strategy" in statuses and "book" in statuses:
            ticks = statuses["strategy"].counts
            return (
                ticks.get("Quote/handled", 0) + ticks.get("Trade/handled", 0),
                statuses["book"].counts.get("BookDelta/handled", 0),
            )
    raise CliError(f"strategy or book do not answer for {READY_S:.0f} s", "Look at their logs.")


async def _until_ready(bus: NatsBus) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            statuses = await _status(bus)
            if len(statuses) == len(SERVICES) and all(s.ready for s in statuses.values()):
                return
            waiting = {s.service: s.waiting_for for s in statuses.values() if not s.ready}
            if any("refused" in text for text in waiting.values()):
                raise CliError(f"the services do not get ready: {waiting}")
            await asyncio.sleep(0.2)


async def _rung(bus: NatsBus, venue: StubVenue, rate: int) -> dict[str, Any]:
    """Send at `rate` for a while; wait until all that was sent was seen, or nothing more comes."""
    ticks_before, changes_before = await _seen(bus)
    began = time.monotonic()
    sent, changes, _ = await venue.send(rate, SECONDS)
    seen = book = -1
    for _ in range(int(SETTLE_S / ANSWER_S)):
        ticks_now, changes_now = await _seen(bus)
        seen, book = ticks_now - ticks_before, changes_now - changes_before
        if seen >= sent and book >= changes:
            break
    return {
        "asked": rate,
        # Until the last one was seen, a backlog and our own looking for it included: a rate of
        # sending alone would flatter whoever falls behind.
        "ticks_per_s": round((sent + changes) / (time.monotonic() - began), 1),
        "lost": abs(sent - seen) + abs(changes - book),
        "ticks": sent + changes,
    }
