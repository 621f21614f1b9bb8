"""Run recorded venue messages through the platform's own code and report what it would have done.

The real adapter, book, strategies, risk checks and a paper venue run in virtual time: the same
capture with the same configuration gives the same report, byte for byte.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console

from tickbus.captures import CaptureError, Captures
from tickbus_cli.errors import CliError
from tickbus_cli.profile import find_configuration
from tickbus_cli.progress import progress_bar
from tickbus_cli.replay_report import render
from tickbus_cli.replay_run import Replayer, ReplayOptions, settings_for
from tickbus_feed.service import adapters

SPEEDS = {"max": 0.0, "1x": 1.0, "10x": 10.0}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("captures", nargs="+", metavar="CAPTURE", help="file of recorded messages")
    parser.add_argument(
        "--strategy", default="", metavar="NAME",
        help="only this strategy: an id or kind of the configuration, a registered kind, or"
        " file.py:Class (default: every configured one)",
    )  # fmt: skip
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE",
        help="YAML file merged over the default configuration; repeat for several",
    )  # fmt: skip
    parser.add_argument(
        "--venue", default="", choices=sorted(adapters()),
        help="adapter to read the capture with (default: by what the frames look like)",
    )  # fmt: skip
    parser.add_argument(
        "--instrument", action="append", default=[], metavar="ID",
        help="trade only this instrument, such as BTC-USDT; repeat for several",
    )  # fmt: skip
    parser.add_argument("--speed", default="max", choices=list(SPEEDS), help="pace (default: max)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Replay, report; 0 when every book stayed sound, 1 when one crossed, 2 for bad input."""
    options = ReplayOptions(
        captures=tuple(arguments.captures),
        strategy=arguments.strategy,
        adapter=arguments.venue,
        instruments=tuple(arguments.instrument),
    )
    default = find_configuration(Path.cwd()) / "default.yaml"
    settings = settings_for([default, *(Path(file) for file in arguments.config)])
    try:
        replayer = Replayer(options, settings)
        with progress_bar("replaying", sys.stderr.isatty()) as on_progress:
            captures = Captures(options.captures, on_progress)
            replayer.run(captures, _pace(SPEEDS[arguments.speed]))
    except CaptureError as error:
        raise CliError(str(error), exit_code=2) from error
    report = replayer.report(captures.problems)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(report, order="sorted").decode() + "\n")
    else:
        render(report, Console())
    return 1 if report["messages"]["crossed"] else 0


def _pace(
    speed: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[int], None]:
    """Sleeps so that recorded time passes `speed` times as fast; 0 for no waiting at all."""
    begin: list[tuple[float, int]] = []

    def wait(ts_recv: int) -> None:
        if not begin:
            begin.append((now(), ts_recv))
        started, first = begin[0]
        due = started + (ts_recv - first) / 1e9 / speed
        delay = due - now()
        if delay > 0.001:
            sleep(delay)

    return wait if speed else lambda ts_recv: None
