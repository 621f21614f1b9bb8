"""How long execution takes to restart behind a long history, with and without a snapshot.

`python benchmarks/restart.py [--orders 200000]`: a NATS server of its own is filled with so many
orders of five messages each, then execution, without its venue, is started on it three ways.
"""

import argparse
import asyncio
import gc
import logging
import resource
import tempfile
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec

from tickbus import codec, subjects
from tickbus.bus import Message, NatsBus
from tickbus.config import PlatformConfig, Settings, load
from tickbus.events import (
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus.runtime import ServiceSpec, Shell
from tickbus.runtime.snapshots import slices_of
from tickbus_embedded import EmbeddedNats
from tickbus_execution.service import build as build_execution

BATCH = 1_000


def main() -> None:
    """Fill, start, say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as every service does
    try:
        import uvloop
    except ImportError:
        asyncio.run(measure(arguments.orders))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(arguments.orders))


async def measure(orders: int) -> None:
    """Everything, one after the other."""
    keys = {"TICKBUS_VENUE_API_KEY": "none", "TICKBUS_VENUE_API_SECRET": "none"}
    settings = load([Path(__file__).parents[1] / "config" / "default.yaml"], keys)
    with tempfile.TemporaryDirectory(prefix="tickbus-restart-") as directory:
        async with EmbeddedNats(Path(directory)) as server:
            bus = await NatsBus.connect(server.url, "restart")
            began = time.monotonic()
            last = await fill(bus, orders)
            print(f"{orders} orders, {last} messages, stored in {time.monotonic() - began:.0f} s")
            await read_from(bus, last - 10)
            await acknowledge(bus, settings, last)
            without = msgspec.structs.replace(settings.platform, snapshot_every_s=0)
            seconds, shell = await restart(bus, settings, without)
            print(f"restart without a snapshot: {seconds:.2f} s")
            await shell.stop()
            kept = msgspec.structs.replace(
                settings.platform, snapshot_every_s=3600, snapshot_every_events=1_000_000_000
            )
            seconds, shell = await restart(bus, settings, kept)
            print(f"first start that may keep one: {seconds:.2f} s")
            await keep(bus, shell, last + 1)
            await shell.stop()
            for _ in range(3):
                seconds, shell = await restart(bus, settings, kept)
                print(f"restart with a snapshot: {seconds:.3f} s")
                await shell.stop()
            await bus.close()


def build(settings: Settings) -> ServiceSpec:
    """Execution without its connection to the venue."""
    return replace(build_execution(settings), edges=(), sinks={}, rehearse=None)


def story(n: int) -> Iterator[Event]:
    """What becomes of one order."""
    now = 1_700_000_000_000_000_000 + n * 1_000_000
    side = Side.BUY if n % 2 else Side.SELL
    order = SubmitOrder(
        now, now, f"bench-r-{n}", "bench", "sim", "BTC-USDT", side, OrderType.LIMIT,
        Decimal("0.01"), Decimal("50000.01"),
    )  # fmt: skip
    head = (now, now, order.client_order_id, "bench", "sim", "BTC-USDT")
    fill = Fill(
        str(n), side, Decimal("50000.01"), Decimal("0.01"), Decimal("0.5"), "USDT",
        LiquiditySide.TAKER, now,
    )  # fmt: skip
    yield order
    yield OrderApproved(now, now, order)
    yield OrderSubmitted(*head)
    yield OrderAccepted(*head, str(n))
    yield OrderFilled(*head, str(n), fill, Decimal("0.01"), Decimal(0))


async def fill(bus: NatsBus, orders: int) -> int:
    """Store the history, and wait for the server now and then; the last sequence."""
    sent = 0
    for n in range(1, orders + 1):
        for event in story(n):
            await bus.publish(subjects.of(event), codec.encode([event]))
            sent += 1
        if n % BATCH == 0 or n == orders:
            while await bus.last_sequence() < sent:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
    return sent


async def read_from(bus: NatsBus, sequence: int) -> None:
    """How long a reader takes that begins near the end of a long stream."""
    came = asyncio.Event()

    async def take(_: Message) -> None:
        came.set()

    began = time.monotonic()
    reader = await bus.follow([subjects.INTENTS_ALL, subjects.ORDER_EVENTS_ALL], sequence, take)
    await asyncio.wait_for(came.wait(), 60)
    print(f"a reader that begins near the end: {(time.monotonic() - began) * 1000:.1f} ms")
    await reader.stop()


async def acknowledge(bus: NatsBus, settings: Settings, last: int) -> None:
    """As if execution had handled all of it and were gone."""

    async def ignore(_: Message) -> None:
        return

    reader = await bus.consume("execution", build(settings).consume, ignore, after=last)
    await reader.stop()


async def restart(
    bus: NatsBus, settings: Settings, platform: PlatformConfig
) -> tuple[float, Shell]:
    """Seconds until execution is live."""
    shell = Shell(build(settings), bus, platform=platform)
    began = time.monotonic()
    await shell.start()
    return time.monotonic() - began, shell


async def keep(bus: NatsBus, shell: Shell, n: int) -> None:
    """Have one more order handled and a snapshot made, and say what else had to wait for it."""
    snapshotter = shell._snapshotter
    assert snapshotter is not None
    event = list(story(n))[1]  # its approval
    stored = await bus.publish_durable(subjects.of(event), codec.encode([event]), f"bench-{n}")
    while snapshotter.position < stored.sequence:  # noqa: ASYNC110 - a look is enough here
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    idle = await lateness(asyncio.sleep(2.0))
    began = time.monotonic()
    busy = await lateness(snapshotter.make())
    took_s, gauges = time.monotonic() - began, shell.telemetry.gauges
    print(
        f"snapshot: {took_s:.2f} s with the whole history, {gauges['snapshot_bytes'] / 1e6:.2f} MB,"
        f" slowest slice {gauges['snapshot_slice_seconds'] * 1000:.2f} ms"
    )
    print(f"the loop was late meanwhile by {busy}; when idle by {idle}")
    began = time.monotonic()
    size = sum(map(len, slices_of(snapshotter._twin.snapshot())))
    print(f"encoding alone: {(time.monotonic() - began) * 1000:.0f} ms, {size / 1e6:.1f} MB raw")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


async def lateness(doing: Awaitable[None]) -> str:
    """By how much a sleep of 1 ms was late while something was being done."""
    late: list[float] = []

    async def sleep() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            late.append((time.monotonic() - before - 0.001) * 1000)

    watching = asyncio.create_task(sleep())
    await doing
    watching.cancel()
    late.sort()
    return f"{late[len(late) * 99 // 100]:.2f} ms at p99, {late[-1]:.1f} ms at most"


if __name__ == "__main__":
    main()
