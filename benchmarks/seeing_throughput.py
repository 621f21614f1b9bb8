"""What seeing costs of throughput: processes of a platform, with metrics and traces and without.

    python benchmarks/seeing_throughput.py [--path ticks] [--rounds 6] [--seconds 5] [--rate 30000]
    python benchmarks/seeing_throughput.py --path orders [--rounds 4] [--seconds 20]

`ticks`: a stub of a venue sends them at a rate, and they pass feed, book and strategy over a NATS
server. `orders`: a whole platform (`tickbus up`), of which a strategy orders at every quote. All
are processes of their own, started anew for each round. What they all took of the processors,
servers included and the venue left out, is divided by the ticks or orders: a machine that is busy
with them carries so many fewer as each takes longer. The arms take turns. `nothing` is the same
source with every statement left out that counts, times or notes, and without hops in the messages;
`metrics` is as it runs; `traces` is with a collector as well, and of its rounds it is said how many
traces came, from the start of the processes to their end. `seeing.py` looks at single threads.
"""

import argparse
import asyncio
import contextlib
import os
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

if TYPE_CHECKING:
    from tickbus_testkit.collector import Collector

HERE = Path(__file__).resolve().parent
ARMS = ("nothing", "metrics", "traces")
BLIND = "--blind"
IDLE_S = 0.5
"""When a second look at the processors finds so little, everything is handled."""
IDLE_LOOKS = 60
WARM_ORDERS = 500
METRICS = 9104
"""The port of risk."""
ORDERS = """
exchange: {{intensity: 6, orders_per_10s: 1000000, weight_per_minute: 10000000}}
strategies:
  - &one {{id: one, kind: "{strategy}:Metronome", instruments: [BTC-USDT], params: {{every: 1}}}}
  - {{<<: *one, id: two, instruments: [ETH-USDT]}}
  - {{<<: *one, id: three, instruments: [SOL-USDT]}}
risk: {{order_rate_per_s_max: 100000, total_order_rate_per_s_max: 100000, open_orders_max: 100000}}
"""


async def _ticks(arm: str, rate: int, seconds: float, collector: str) -> tuple[float, int]:
    """Microseconds of all processors a tick, and how many ticks there were."""
    from tickbus.bus import NatsBus
    from tickbus_cli import bench_pipeline as pipeline
    from tickbus_cli.bench_processes import end
    from tickbus_cli.bench_venue import StubVenue
    from tickbus_embedded import EmbeddedNats

    environment = {
        **os.environ, "TICKBUS_METRICS_PORT": "0", "TICKBUS_LOG_LEVEL": "error",
        "TICKBUS_RUN_ID": "bench",
    }  # fmt: skip
    if arm == "traces":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
    with tempfile.TemporaryDirectory(prefix="tickbus-seeing-") as directory:
        async with EmbeddedNats(Path(directory) / "nats") as server, StubVenue() as venue:
            config = Path(directory) / "pipeline.yaml"
            config.write_text(pipeline.CONFIG.format(nats=server.url, port=venue.port))
            processes = []
            for name in pipeline.SERVICES:
                how = [__file__, BLIND] if arm == "nothing" else ["-m"]
                command = [sys.executable, *how, f"tickbus_{name}", "--config", str(config)]
                processes.append(await asyncio.create_subprocess_exec(*command, env=environment))
            try:
                bus = await NatsBus.connect(server.url, "bench")
                await pipeline._until_ready(bus)
                await venue.send(rate, 1.0)  # caches, and dictionaries that grow
                watched = [psutil.Process(each.pid) for each in (server, *processes)]
                await _until_idle(watched)
                before = sum(map(_used_s, watched))
                sent, changes, _ = await venue.send(rate, seconds)
                await _until_idle(watched)
                used_s = sum(map(_used_s, watched)) - before
                if arm != "nothing":
                    seen, book = await pipeline._seen(bus)
                    if not seen or not book:
                        raise SystemExit(f"{arm}: nothing was counted")
                await bus.close()
            finally:
                await end(processes)
    return used_s / (sent + changes) * 1e6, sent + changes


async def _orders(arm: str, _: int, seconds: float, collector: str) -> tuple[float, int]:
    """Microseconds of all processors an order, and how many orders there were."""
    from tickbus_cli.profile import Ports
    from tickbus_embedded import free_offset

    offset = free_offset(Ports().all(True).values())
    with tempfile.TemporaryDirectory(prefix="tickbus-seeing-") as directory:
        environment = _prepared(Path(directory), arm, collector)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickbus_cli", "up", "--json", "--fresh",
            "--data-dir", f"{directory}/data", "--port-offset", str(offset),
            "--config", f"{directory}/orders.yaml", stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        try:
            async with httpx.AsyncClient(timeout=30) as http:
                exchange = f"http://127.0.0.1:{Ports().exchange + offset}"
                await _until_ordered(http, exchange)
                before, count = _used_by_all(process.pid), await _ordered(http, exchange)
                await asyncio.sleep(seconds)
                after = _used_by_all(process.pid)
                count = await _ordered(http, exchange) - count
                told = (await http.get(f"http://127.0.0.1:{METRICS + offset}/metrics")).text
                if ('outcome="handled"' in told) is (arm == "nothing"):
                    raise SystemExit(f"{arm}: the wrong source runs")
        finally:
            process.terminate()
            await process.wait()
    if not count:
        raise SystemExit(f"{arm}: no order came")
    return sum(s - before.get(pid, 0.0) for pid, s in after.items()) / count * 1e6, count


def _prepared(directory: Path, arm: str, collector: str) -> dict[str, str]:
    """The configuration of a platform of orders lies there; the environment that makes the arm."""
    config = ORDERS.format(strategy=HERE / "metronome.py")
    (directory / "orders.yaml").write_text(config)
    environment = dict(os.environ)
    if arm == "traces":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
    if arm == "nothing":  # every process that the platform starts imports this one first
        (directory / "sitecustomize.py").write_text(
            f"import sys; sys.path.append({str(HERE)!r})\n"
            "import seeing; sys.path.pop(); sys.meta_path.insert(0, seeing.BlindFinder())\n"
        )
        environment["PYTHONPATH"] = str(directory)
    return environment


def _used_by_all(pid: int) -> dict[int, float]:
    """Processor seconds of each process of the platform, but for the exchange and its starter."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "tickbus_exchange" not in " ".join(process.cmdline()):
                found[process.pid] = _used_s(process)
    return found


async def _ordered(http: httpx.AsyncClient, exchange: str) -> int:
    ledger = (await http.get(f"{exchange}/admin/ledger")).raise_for_status().json()
    return len(ledger["orders"])


async def _until_ordered(http: httpx.AsyncClient, exchange: str) -> None:
    for _ in range(IDLE_LOOKS):
        await asyncio.sleep(1.0)
        with contextlib.suppress(httpx.HTTPError):
            if await _ordered(http, exchange) > WARM_ORDERS:
                return
    raise SystemExit("no strategy orders: see the log of the platform")


async def _until_idle(watched: list[psutil.Process]) -> None:
    """Return when everything that was sent is handled."""
    for _ in range(IDLE_LOOKS):
        before, began = sum(map(_used_s, watched)), time.monotonic()
        await asyncio.sleep(IDLE_S)
        if (sum(map(_used_s, watched)) - before) < 0.1 * (time.monotonic() - began):
            return
    raise SystemExit("the services are not done: ask for a lower --rate")


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


PATHS = {"ticks": _ticks, "orders": _orders}


async def compare(
    path: str, rounds: int, rate: int, seconds: float, collector: "Collector"
) -> None:
    """All arms in turns."""
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(rounds):
        for arm in ARMS if number % 2 else ARMS[::-1]:
            each, count = await PATHS[path](arm, rate, seconds, collector.url)
            found[arm].append(each)
            said = f"round {number + 1} of {rounds}: {arm:8} {each:8.2f} us, {count} {path}"
            print(f"{said}{_told(collector)}", flush=True)
    floor = statistics.median(found["nothing"])
    for arm in ARMS:
        middle = statistics.median(found[arm])
        spread = ", ".join(f"{each:.2f}" for each in sorted(found[arm]))
        print(f"{arm:8} {middle:8.2f} us each, {middle / floor:.3f}; {spread}")


def _told(collector: "Collector") -> str:
    """What came of traces since the last round, in words; "" for nothing."""
    spans, collector.spans = collector.spans, []
    if not spans:
        return ""
    whole = {span.trace_id for span in spans if span.name == "order"}
    traces = {span.trace_id for span in spans}
    return f"; {len(spans)} spans of {len(traces)} traces, {len(whole)} of them with their root"


def main() -> None:
    """Read the arguments; be a blind service, or compare."""
    if sys.argv[1:2] == [BLIND]:
        from seeing import BlindFinder

        sys.meta_path.insert(0, BlindFinder())
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    from tickbus_testkit.collector import a_collector

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", choices=PATHS, default="ticks")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rate", type=int, default=30_000, help="ticks a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of sending in each round")
    asked = parser.parse_args()
    with a_collector() as collector:
        asyncio.run(compare(asked.path, asked.rounds, asked.rate, asked.seconds, collector))


if __name__ == "__main__":
    main()
