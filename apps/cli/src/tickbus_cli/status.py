"""Show a running platform, from another terminal."""

import argparse
import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from tickbus.bus import NatsBus
from tickbus.login import Login
from tickbus_cli import datadir, logins, screen
from tickbus_cli.datadir import EXCHANGE
from tickbus_cli.errors import CliError
from tickbus_cli.further import service_of
from tickbus_cli.monitor import Snapshot, observe, rate
from tickbus_cli.summary import summarise

BASE = Path(".tickbus")
APART_S = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR",
        help="the platform's data directory (default: the one that runs below .tickbus/)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Ask the platform and show what it says; 0 when every service is ready."""
    # The bus client talks of its connection to a log; this command has nobody to read it.
    logging.getLogger().addHandler(logging.NullHandler())
    directory, facts = find(arguments.data_dir)
    processes = tuple(name for name in facts["services"] if service_of(name) != EXCHANGE)
    login = logins.operator(directory)
    before, now = asyncio.run(_observe(facts["nats_url"], login, processes))
    title = f"tickbus {facts['profile']} (pid {facts['pid']})  API {facts['api_url']}"
    if arguments.json:
        print(json.dumps(_report(facts, directory, before, now), default=str))
    else:
        console = Console()
        console.print(screen.render(title, now, before, _uptime_s(now)))
    return 1 if screen.troubled(now) else 0


def find(data_dir: Path | None, base: Path = BASE) -> tuple[Path, dict[str, Any]]:
    """The one platform that runs on `data_dir`, or below `base`. Raises CliError."""
    candidates = [data_dir] if data_dir else sorted(base.glob("*")) if base.is_dir() else []
    found = [(path, facts) for path in candidates if (facts := datadir.running(path))]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(path) for path, _ in found)
        raise CliError(f"{len(found)} platforms run: {listed}", "Choose one with --data-dir.")
    where = data_dir or base.absolute()
    raise CliError(f"no platform runs on {where}", "Start one with `make run` or `tickbus up`.")


async def _observe(
    url: str, login: Login | None, processes: tuple[str, ...]
) -> tuple[Snapshot, Snapshot]:
    bus = await NatsBus.connect(url, f"tickbus-status-{os.getpid()}", login)
    try:
        before = await observe(bus, processes)
        await asyncio.sleep(APART_S)
        return before, await observe(bus, processes)
    finally:
        await bus.close()


def _uptime_s(now: Snapshot) -> float:
    return max((status.uptime_s for status in now.services.values()), default=0.0)


def _report(
    facts: dict[str, Any], directory: Path, before: Snapshot, now: Snapshot
) -> dict[str, Any]:
    seconds = now.taken_s - before.taken_s
    summary = summarise(facts["profile"], _uptime_s(now), None, now, None)
    return summary | {
        "ticks_per_s": round(rate(before.ticks, now.ticks, seconds), 1),
        "data_dir": str(directory),
        "platform": facts,
        "ready": not screen.troubled(now),
        "services": {name: msgspec.structs.asdict(status) for name, status in now.services.items()},
    }
