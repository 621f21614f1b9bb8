"""What tracing costs: processor time for an order through one service's shell, off and on.

    python benchmarks/tracing.py [--orders 4000] [--rounds 5] [--memory]

Over a NATS server of its own, with a collector in another process. Told apart are the thread that
handles orders and all threads together, which has the one that exports; off and on take turns, and
the medians are compared. Whoever wishes the orders is in the same thread. With `--memory` over a
bus in memory: then the shell does next to nothing with an order, and the ratio is the worst there
is; what tracing adds to an order is the number to look at.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from tickbus import codec, subjects
from tickbus.bus import Bus, MemoryBus, NatsBus
from tickbus.codec import Hop
from tickbus.events import Event, OrderApproved, OrderType, Side, SubmitOrder
from tickbus.events.orders import message_id
from tickbus.runtime import ServiceSpec, Shell, Telemetry
from tickbus.traces.tracer import Tracer
from tickbus_embedded import EmbeddedNats
from tickbus_testkit.collector import Collector

BATCH = 50


class Approve:
    """Approves every order, which is the least that a service does with one."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        """The approval."""
        if not isinstance(event, SubmitOrder):
            return ()
        return (OrderApproved(event.ts_event, event.ts_recv, event),)


def collect(pipe: Connection) -> None:
    """Be a collector, in a process of its own."""
    collector = Collector()
    pipe.send(collector.url)
    collector.serve()


class Used(NamedTuple):
    """Processor microseconds an order: of the thread that handles it, and of all."""

    loop_us: float
    all_us: float


async def pass_orders(
    bus: Bus, count: int, name: str, environment: dict[str, str]
) -> tuple[Used, Telemetry]:
    """What `count` orders took, and what was counted; traced as `environment` says."""
    telemetry = Telemetry("risk")
    tracer = Tracer.of(environment, "risk", "0", telemetry)
    spec = ServiceSpec(
        name="risk", core=Approve(), consume=(f"orders.intent.{name}",), recover=False, durable=name
    )
    shell = Shell(spec, bus, telemetry=telemetry, tracer=tracer)
    await shell.start()
    if tracer is not None:
        tracer.start()
    loop_s, all_s = time.thread_time(), time.process_time()
    for n in range(1, count + 1):
        now = time.time_ns()
        order = SubmitOrder(
            now, now, f"{name}-{n}", name, "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
        )
        hops = (Hop("feed", now, now), Hop("book", now, now), Hop("strategy", now, now))
        payload = codec.encode([order], hops)
        await bus.publish_durable(subjects.of(order), payload, message_id(order))
        while n % BATCH == 0 and telemetry.counts.get(("OrderApproved", "published"), 0) < n:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    loop_s, all_s = time.thread_time() - loop_s, time.process_time() - all_s
    await shell.stop()
    if tracer is not None:
        await asyncio.to_thread(tracer.stop)
    return Used(loop_s / count * 1e6, all_s / count * 1e6), telemetry


async def compare(arguments: argparse.Namespace, url: str, traced: dict[str, str]) -> None:
    """Measure and print."""
    used: dict[bool, list[Used]] = {False: [], True: []}
    told = dropped = 0
    for number in range(-1, arguments.rounds):
        for is_on in (False, True):
            bus: Bus = await NatsBus.connect(url, "tracing") if url else MemoryBus()
            environment = traced if is_on else {}
            name = f"s{number + 1}{is_on:d}"
            spent, telemetry = await pass_orders(bus, arguments.orders, name, environment)
            await bus.close()
            if number < 0:
                continue  # the first loads the exporter
            used[is_on].append(spent)
            told += telemetry.counts.get(("Span", "exported"), 0)
            dropped += telemetry.errors.get("trace_notes_dropped", 0)
    for index, what in enumerate(("the thread that handles orders", "all threads")):
        off_us, on_us = (statistics.median(u[index] for u in used[on]) for on in (False, True))
        ratio = on_us / off_us
        print(f"{what}: {off_us:.1f} us an order off, {on_us:.1f} us on, ratio {ratio:.3f}")
    print(f"{told} spans exported, {dropped} notes dropped")


async def run(arguments: argparse.Namespace, traced: dict[str, str]) -> None:
    """Compare, over a server in a directory that is gone afterwards."""
    if arguments.memory:
        await compare(arguments, "", traced)
        return
    with tempfile.TemporaryDirectory() as directory:
        async with EmbeddedNats(Path(directory)) as server:
            await compare(arguments, server.url, traced)


def main() -> None:
    """Read the arguments, begin the collector, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="over a bus in memory")
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=collect, args=(theirs,))
    process.start()
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": ours.recv()}
    try:
        asyncio.run(run(arguments, traced))
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
