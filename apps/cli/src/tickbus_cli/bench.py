"""Measure the platform on this machine: latency and throughput, each beside its floor."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tickbus_cli.bench_feed import bench_feed
from tickbus_cli.bench_gateway import bench_gateway
from tickbus_cli.bench_latency import bench_tick_to_order
from tickbus_cli.bench_pipeline import bench_pipeline
from tickbus_cli.bench_stream import bench_stream

Say = Callable[[str], None]
BENCHMARKS: dict[str, Callable[[Say], Awaitable[dict[str, Any]]]] = {
    "feed": bench_feed,
    "tick-to-order": bench_tick_to_order,
    "pipeline": bench_pipeline,
    "stream": bench_stream,
    "gateway": bench_gateway,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", nargs="?", default="all", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Run one or all; always 0: what is good enough is for the reader to say."""
    names = list(BENCHMARKS) if arguments.name == "all" else [arguments.name]
    results: dict[str, Any] = {}
    for name in names:
        results[name] = _loop(BENCHMARKS[name](_say))
    shown = results if arguments.name == "all" else results[arguments.name]
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        for name, result in results.items():
            sys.stdout.write(f"{name}\n")
            _print(result, "  ")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _loop(work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        task = asyncio.current_task()
        if task is not None:
            # As Ctrl-C: whatever was started has to end with us.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        import uvloop
    except ImportError:  # not built for this platform
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(main())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def _print(result: dict[str, Any], indent: str) -> None:
    for key, value in result.items():
        if isinstance(value, dict):
            sys.stdout.write(f"{indent}{key}\n")
            _print(value, indent + "  ")
        else:
            shown = f"{value:,.1f}" if isinstance(value, float) else f"{value}"
            sys.stdout.write(f"{indent}{key:<24} {shown}\n")
