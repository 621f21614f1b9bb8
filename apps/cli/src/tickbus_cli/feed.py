"""Run the feed of one venue: its books and trades go to the bus, or only into a recording."""

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import yaml

from tickbus.runtime.main import run as run_service
from tickbus_cli.errors import CliError
from tickbus_cli.profile import duration_s, find_configuration
from tickbus_feed.adapter import Adapter
from tickbus_feed.service import adapter_named, adapters, build


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--venue", required=True, choices=sorted(adapters()), help="whose market data"
    )
    parser.add_argument(
        "--instrument", action="append", default=[], metavar="ID",
        help="such as BTC-USDT or '*-USDT'; repeat for several",
    )  # fmt: skip
    parser.add_argument(
        "--record", default="", metavar="DIR",
        help="write the raw frames there, for `tickbus replay` and `tickbus inspect`",
    )  # fmt: skip
    parser.add_argument(
        "--alone", action="store_true", help="without a bus: nothing but record needs it then"
    )
    parser.add_argument(
        "--duration", type=_duration, default=0.0, metavar="TIME",
        help="stop by itself, after 30s, 5m or 1h30m",
    )  # fmt: skip
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE",
        help="YAML file merged over the venue's defaults; repeat for several",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped; the service's own exit code, or 1 where nothing was recorded."""
    before = _files(arguments.record)
    code = _run(arguments)
    if arguments.record and not code and _files(arguments.record) == before:
        print(
            f"tickbus feed: nothing was recorded in {arguments.record}\n"
            "  The lines above say what it waited for.",
            file=sys.stderr,
        )
        return 1
    return code


def _files(directory: str) -> dict[Path, int]:
    """What is recorded so far: files and their sizes."""
    if not directory:
        return {}
    found = {p: p.stat().st_size for p in Path(directory).rglob("*") if p.is_file()}
    return {path: size for path, size in found.items() if size}


def _run(arguments: argparse.Namespace) -> int:
    directory = find_configuration(Path.cwd())
    adapter = adapter_named(arguments.venue)
    given = [Path(name).absolute() for name in arguments.config]
    for file in given:
        if not file.is_file():
            raise CliError(f"{file}: no such configuration file", "Check the name after --config.")
    if arguments.alone and not arguments.record:
        raise CliError("--alone without --record would do nothing", "Add --record DIR.")
    # Beside a running platform, whose own feed has the usual port.
    os.environ.setdefault("TICKBUS_METRICS_PORT", "0")
    if arguments.duration:
        timer = threading.Timer(arguments.duration, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
    with tempfile.TemporaryDirectory(prefix="tickbus-feed-") as place:
        defaults, chosen = Path(place, "venue.yaml"), Path(place, "chosen.yaml")
        defaults.write_text(yaml.safe_dump(_defaults(adapter)))
        chosen.write_text(yaml.safe_dump(_chosen(arguments)))
        own = directory / "venues" / f"{arguments.venue}.yaml"
        files = [directory / "default.yaml", defaults, *([own] if own.is_file() else [])]
        return run_service("feed", build, [*files, *given, chosen], alone=arguments.alone)


def _duration(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _defaults(adapter: Adapter) -> dict[str, Any]:
    """The venue as its adapter knows it."""
    levels = adapter.levels
    return {
        "venue": {
            "name": adapter.name,
            "adapter": adapter.name,
            "rest_url": adapter.rest_url,
            "ws_url": adapter.ws_url,
            "instruments": list(adapter.instruments_default),
        },
        "feed": {"snapshot_levels": levels},
    }


def _chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    chosen: dict[str, Any] = {"feed": {}, "venue": {}}
    if arguments.record:
        chosen["feed"]["record"] = str(Path(arguments.record).absolute())
    if arguments.instrument:
        chosen["venue"]["instruments"] = arguments.instrument
    return chosen
