"""The tick-to-order benchmark: the whole platform, one process, and bare NATS, side by side."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tickbus_cli.bench_colocated import colocated
from tickbus_cli.bench_floor import floor
from tickbus_cli.bench_processes import end
from tickbus_cli.errors import CliError
from tickbus_cli.profile import Ports, find_configuration
from tickbus_embedded import free_offset

SECONDS = 20
Say = Callable[[str], None]


async def bench_tick_to_order(say: Say) -> dict[str, Any]:
    """Microseconds from a frame's arrival to the order request at the venue's socket."""
    say("tick-to-order: bare NATS, first time")
    before = await floor()
    say(f"tick-to-order: the whole platform for {SECONDS} s")
    nats = await _platform()
    say("tick-to-order: bare NATS, second time")
    after = await floor()
    say("tick-to-order: one process")
    together = await colocated()
    low = min(before["p50_us"], after["p50_us"])
    both = {"before": before, "after": after}
    p50 = round((before["p50_us"] + after["p50_us"]) / 2, 1)
    return {
        "nats": nats,
        "colocated": together,
        "floor": {"p50_us": p50, **both},
        "times_floor": round(nats["p50_us"] / p50, 2) if p50 else None,
        "times_lowest_floor": round(nats["p50_us"] / low, 2) if low else None,
    }


async def _platform() -> dict[str, Any]:
    """`tickbus up` with the lively market of benchmarks/tick_to_order.yaml."""
    benchmarks = find_configuration(Path.cwd()).parent / "benchmarks"
    with tempfile.TemporaryDirectory(prefix="tickbus-bench-") as directory:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickbus_cli", "up", "--json", "--fresh",
            "--duration", f"{SECONDS}s", "--data-dir", directory + "/data",
            "--port-offset", str(free_offset(Ports().all(True).values())),
            "--config", str(benchmarks / "tick_to_order.yaml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "TICKBUS_BENCHMARKS": str(benchmarks)},
        )  # fmt: skip
        try:
            out, errors = await asyncio.wait_for(process.communicate(), SECONDS + 90)
        except TimeoutError:
            raise CliError("the platform did not end in time", "Look for a busy machine.") from None
        finally:
            await end([process])
    if process.returncode:
        raise CliError(f"the platform failed:\n{errors.decode()[-2000:]}")
    summary = json.loads(out)
    hops = summary["hops"]
    wanted = ("feed>strategy", "strategy>risk", "risk>execution", "approved_to_sent")
    return {
        **summary["tick_to_order"],
        "hops": {hop: hops[hop] for hop in wanted if hop in hops},
        "ticks_per_s": summary["ticks_per_s"],
        "orders": summary["orders"],
        "errors": summary["errors"],
    }
