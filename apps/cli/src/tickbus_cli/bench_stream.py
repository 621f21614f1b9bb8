"""The stream benchmark: how late 199 pages hear of it beside one that reads nothing, and one."""

import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from tickbus.websocket import FrameStream
from tickbus_cli.bench_processes import end
from tickbus_cli.errors import CliError
from tickbus_cli.profile import Ports, find_configuration
from tickbus_embedded import free_offset

CLIENTS = 200
ROUNDS = 4
PHASE_S = 10.0
PHASES_MOST = 6  # a machine that stands still may keep a page from hearing of a topic that long
SETTLE_S = 2.0
READY_S = 120.0
STEP_S = 30.0
MEASURED = ("prices", "depth:BTC-USDT@sim", "trades:BTC-USDT@sim", "orders")
TOPICS = (*MEASURED, "fills", "portfolio", "risk", "strategies", "status")
_HEAD = re.compile(rb'\{"topic":"([^"]+)","seq":(\d+),"kind":"(\w+)"')
_STAMP = re.compile(rb'"(?:updated_at|received_at)":"([^"]+)Z"')
Say = Callable[[str], None]


class Ear(FrameStream):
    """A page that notes when it could read what, and looks at it only afterwards.

    200 of them share this process: to take apart what the first one reads must not make the last
    one late.
    """

    def __init__(self, url: str, on_messages: Callable[[list[bytes]], None]) -> None:
        super().__init__(url, self._heard)
        self.frames: list[tuple[int, bytes]] = []
        self._read: list[tuple[int, bytes]] = []
        self._at = 0
        self._notes_only = False

    @classmethod
    async def listen(cls, url: str, topics: Sequence[str]) -> Self:
        """Connect and subscribe. Raises OSError, TimeoutError or WebSocketException."""
        ear = await cls.connect(url, _nobody, timeout_s=STEP_S)
        ear.send(json.dumps({"op": "subscribe", "topics": topics}))
        return ear

    def data_received(self, data: bytes) -> None:
        """Note what came."""
        if self._notes_only:
            self._read.append((time.time_ns(), data))
        else:
            super().data_received(data)

    def begin(self) -> None:
        """What comes from now on is noted."""
        self._notes_only = True

    def finish(self) -> list[tuple[int, bytes]]:
        """The frames that came since `begin`, each with its time (ns UTC)."""
        self._notes_only = False
        self.frames.clear()
        for at, data in self._read:
            self._at = at
            super().data_received(data)
        self._read.clear()
        return self.frames

    def _heard(self, messages: list[bytes]) -> None:
        self.frames += [(self._at, message) for message in messages]


def _nobody(_: list[bytes]) -> None:
    """What is read is kept by the page itself."""


class Delays:
    """How old the newest news in each delta was when a page could read it, by topic."""

    def __init__(self) -> None:
        self._ages_ns: dict[str, list[int]] = {topic: [] for topic in MEASURED}
        self._stamps: dict[tuple[bytes, bytes], int] = {}

    def add(self, frames: Sequence[tuple[int, bytes]]) -> set[str]:
        """Take in what one page read; the measured topics it was told of."""
        told: set[str] = set()
        for at, frame in frames:
            head = _HEAD.match(frame)
            if head is None or head[3] != b"delta" or head[1].decode() not in self._ages_ns:
                continue
            key = (head[1], head[2])
            stamp = self._stamps.get(key)
            if stamp is None:
                stamp = self._stamps[key] = max(map(_ns, _STAMP.findall(frame)), default=0)
            if stamp:
                self._ages_ns[head[1].decode()].append(at - stamp)
                told.add(head[1].decode())
        return told

    def of(self, topics: Sequence[str]) -> dict[str, float]:
        """Median and 99th percentile in ms over `topics`, and how many frames that is."""
        ages = sorted(age for topic in topics for age in self._ages_ns[topic])
        return {
            "p50_ms": round(ages[len(ages) // 2] / 1e6, 2),
            "p99_ms": round(ages[len(ages) * 99 // 100] / 1e6, 2),
            "frames": len(ages),
        }


Rounds = Sequence[tuple[Delays, Delays]]


async def bench_stream(say: Say) -> dict[str, Any]:
    """Delays of one page and of 199 beside a stalled one, in turns, and the gateway's memory."""
    benchmarks = find_configuration(Path.cwd()).parent / "benchmarks"
    ports = Ports(free_offset(Ports().all(True).values()))
    seconds = int(READY_S + 2 * ROUNDS * (PHASE_S + SETTLE_S + STEP_S))
    with tempfile.TemporaryDirectory(prefix="tickbus-stream-") as directory:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickbus_cli", "up", "--json", "--fresh",
            "--duration", f"{seconds}s", "--data-dir", directory + "/data",
            "--port-offset", str(ports.offset), "--config", str(benchmarks / "stream.yaml"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "TICKBUS_BENCHMARKS": str(benchmarks)},
        )  # fmt: skip
        try:
            await _until_told(ports.api)
            return await measure(f"127.0.0.1:{ports.api}", say)
        finally:
            await end([process])


async def measure(address: str, say: Say) -> dict[str, Any]:
    """Both in turns against the gateway at `address`, which trades."""
    rounds: list[tuple[Delays, Delays]] = []
    megabytes = [await _rss_mb(address)]
    stalled_closed = 0
    for number in range(1, ROUNDS + 1):
        one, many = Delays(), Delays()
        await _phase(address, 1, one)
        stalled_closed += await _phase(address, CLIENTS, many)
        megabytes.append(await _rss_mb(address))
        rounds.append((one, many))
        alone, beside = one.of(MEASURED)["p99_ms"], many.of(MEASURED)["p99_ms"]
        say(f"stream: round {number} of {ROUNDS}: p99 {alone} ms for one page, {beside} ms for"
            f" {CLIENTS - 1}")  # fmt: skip
    return {
        "p99_times": _times(rounds, MEASURED, "p99_ms"),
        "p50_times": _times(rounds, MEASURED, "p50_ms"),
        **{topic: _compared(rounds, topic) for topic in MEASURED},
        "clients": CLIENTS,
        "stalled_closed": stalled_closed,
        "gateway_rss_mb": megabytes,
    }


def _compared(rounds: Rounds, topic: str) -> dict[str, Any]:
    return {
        "one": [one.of([topic]) for one, _ in rounds],
        "many": [many.of([topic]) for _, many in rounds],
        "p99_times": _times(rounds, [topic], "p99_ms"),
    }


def _times(rounds: Rounds, topics: Sequence[str], name: str) -> float:
    """How many times as late the many are as the one: the median of the rounds."""
    times = [many.of(topics)[name] / one.of(topics)[name] for one, many in rounds]
    return round(statistics.median(times), 2)


async def _phase(address: str, count: int, delays: Delays) -> bool:
    """Have `count` pages listen, of several one without ever reading; whether that was cut off."""
    url = f"ws://{address}/api/v1/stream"
    ears = [await Ear.listen(url, TOPICS) for _ in range(count)]
    stalled = ears.pop() if count > 1 else None
    try:
        if stalled is not None:
            stalled.pause()
        await asyncio.sleep(SETTLE_S)
        await _until_each_is_told(ears, delays)
        return stalled is not None and await _is_cut(stalled)
    finally:
        for ear in [*ears, *([stalled] if stalled else [])]:
            ear.abort()


async def _until_each_is_told(ears: Sequence[Ear], delays: Delays) -> None:
    """Note what is read for a phase, and another while a page lacks a topic. Raises CliError."""
    told: list[set[str]] = [set() for _ in ears]
    for _ in range(PHASES_MOST):
        for ear in ears:
            ear.begin()
        await asyncio.sleep(PHASE_S)
        for topics, ear in zip(told, ears, strict=True):
            topics.update(delays.add(ear.finish()))
            if ear.closed.done():
                raise CliError(
                    f"a page was closed: {ear.closed.result()}", "See the gateway's log."
                )
        if all(len(topics) == len(MEASURED) for topics in told):
            return
    raise CliError("a page was not told of every topic", "Look for a busy machine.")


async def _is_cut(stalled: Ear) -> bool:
    """Whether the gateway ended it; who does not read does not hear of that either."""
    stalled.resume()
    await asyncio.wait([stalled.closed], timeout=1.0)
    return stalled.closed.done()


async def _until_told(port: int) -> None:
    """Return once the gateway tells of a market. Raises CliError."""
    async with httpx.AsyncClient() as http:
        for _ in range(int(READY_S)):
            try:
                answer = await http.get(f"http://127.0.0.1:{port}/health", timeout=STEP_S)
                if answer.json().get("status") == "ready":
                    return
            except (httpx.HTTPError, ValueError):
                pass
            await asyncio.sleep(1.0)
    raise CliError("the platform was not ready in time", "Look for a busy machine.")


async def _rss_mb(address: str) -> float:
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"http://{address}/metrics", timeout=STEP_S)).text
    found = re.search(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)
    return round(float(found[1]) / 2**20, 1) if found else 0.0


def _ns(text: bytes) -> int:
    """A stamp with microseconds and no zone, as ns UTC."""
    moment = datetime.fromisoformat(text.decode() + "+00:00")
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
