"""How long execution and risk take to restart behind a long history, with and without a snapshot.

`python benchmarks/restart.py [--orders 200000]`: a NATS server of its own is filled with so many
orders of five messages each. Then each service, without a venue, is started on it in turns: reading
the whole history, and from a snapshot of it. What making the snapshot costs is measured beside the
same service doing nothing, right before and right after.
"""

import argparse
import asyncio
import gc
import logging
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

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
from tickbus.runtime.snapshotter import Snapshotter
from tickbus_embedded import EmbeddedNats
from tickbus_execution.service import build as build_execution
from tickbus_risk.service import build as build_risk

BATCH = 1_000
TURNS = 3


class Subject(NamedTuple):
    """A service to restart; `news` is which event of an order's story it consumes."""

    name: str
    build: Callable[[Settings], ServiceSpec]
    news: int


SERVICES = (Subject("execution", build_execution, 1), Subject("risk", build_risk, 0))


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
            for number, service in enumerate(SERVICES):
                await compare(bus, settings, service, last, orders + 1 + number)
            await bus.close()
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"memory: {peak_mb:.0f} MB at most, with the cores and twins of all of it")


async def compare(bus: NatsBus, settings: Settings, service: Subject, last: int, news: int) -> None:
    """One service: a snapshot made, then restarts without and with it in turns."""
    await acknowledge(bus, settings, service, last)
    without = msgspec.structs.replace(settings.platform, snapshot_every_s=0)
    kept = msgspec.structs.replace(
        settings.platform, snapshot_every_s=3600, snapshot_every_events=1_000_000_000
    )
    seconds, shell = await restart(bus, settings, service, kept)
    print(f"{service.name}: first start that may keep a snapshot {seconds:.2f} s")
    await keep(bus, service, shell, news)
    await shell.stop()
    for _ in range(TURNS):
        slow, shell = await restart(bus, settings, service, without)
        await shell.stop()
        fast, shell = await restart(bus, settings, service, kept)
        await shell.stop()
        print(
            f"{service.name}: restart by the whole history {slow:.2f} s, from the snapshot"
            f" {fast:.3f} s: {slow / fast:.0f} times"
        )


def build(settings: Settings, service: Subject) -> ServiceSpec:
    """The service without what leads out of it."""
    return replace(service.build(settings), edges=(), sinks={}, rehearse=None)


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


async def acknowledge(bus: NatsBus, settings: Settings, service: Subject, last: int) -> None:
    """As if the service had handled all of it and were gone."""

    async def ignore(_: Message) -> None:
        return

    spec = build(settings, service)
    reader = await bus.consume(spec.durable or spec.name, spec.consume, ignore, after=last)
    await reader.stop()


async def restart(
    bus: NatsBus, settings: Settings, service: Subject, platform: PlatformConfig
) -> tuple[float, Shell]:
    """Seconds until the service is live."""
    shell = Shell(build(settings, service), bus, platform=platform)
    began = time.monotonic()
    await shell.start()
    return time.monotonic() - began, shell


async def keep(bus: NatsBus, service: Subject, shell: Shell, n: int) -> None:
    """Have one more order handled and a snapshot made, and say what else had to wait for it."""
    snapshotter = shell._snapshotter
    assert snapshotter is not None
    event = list(story(n))[service.news]
    stored = await bus.publish_durable(subjects.of(event), codec.encode([event]), f"bench-{n}")
    while snapshotter.position < stored.sequence:  # noqa: ASYNC110 - a look is enough here
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    before = await lateness(asyncio.sleep(2.0))
    began = time.monotonic()
    busy = await lateness(snapshotter.make())
    took_s, gauges = time.monotonic() - began, shell.telemetry.gauges
    after = await lateness(asyncio.sleep(2.0))
    print(
        f"{service.name}: snapshot with the whole history to fold {took_s:.2f} s,"
        f" {gauges['snapshot_bytes'] / 1e6:.2f} MB"
    )
    print(f"  the loop was late by {before} before, {busy} meanwhile, {after} after")
    encode(snapshotter)


def encode(snapshotter: Snapshotter) -> None:
    """What nothing else can run beside: listing what is known, and each slice. Alone, ten times."""
    listing, whole, slices = [], [], []
    for _ in range(10):
        began = before = time.monotonic()
        memory = snapshotter._write_down()
        listing.append(time.monotonic() - began)
        size, before = 0, time.monotonic()
        for piece in slices_of(memory):
            slices.append(time.monotonic() - before)
            size += len(piece)
            before = time.monotonic()
        whole.append(time.monotonic() - began)
    slices.sort()
    listing_ms, whole_ms = (sorted(x)[5] * 1000 for x in (listing, whole))
    print(
        f"  alone: listing {listing_ms:.1f} ms at the median, {max(listing) * 1000:.1f} at most;"
        f" {len(slices) // 10} slices of {slices[len(slices) // 2] * 1e6:.0f} us at the median,"
        f" {slices[len(slices) * 99 // 100] * 1000:.2f} ms at p99, {slices[-1] * 1000:.2f} at most;"
        f" all {whole_ms:.0f} ms, {size / 1e6:.1f} MB raw"
    )


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
