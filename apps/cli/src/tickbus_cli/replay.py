"""Run recorded venue messages through the platform's own code and report what it would have done.

The real adapter, book, strategies, risk checks and a paper venue run in virtual time: the same
capture with the same configuration gives the same report, byte for byte.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tickbus.captures import CaptureError, Captures
from tickbus.config import Settings
from tickbus.events import Event
from tickbus_cli import choosing
from tickbus_cli.errors import CliError
from tickbus_cli.profile import find_configuration
from tickbus_cli.progress import progress_bar
from tickbus_cli.replay_report import render
from tickbus_cli.replay_run import Replayer, ReplayOptions, configured
from tickbus_feed.service import adapters

SPEEDS = {"max": 0.0, "1x": 1.0, "10x": 10.0}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("captures", nargs="+", metavar="CAPTURE", help="file of recorded messages")
    choosing.configure(parser)
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
    parser.add_argument(
        "--bus", default="none", choices=["none", "memory", "nats"],
        help="none: from core to core (default); memory: in the services' shells, in one process;"
        " nats: the same over a NATS server of its own. The report is the same, slower",
    )  # fmt: skip
    parser.add_argument(
        "--intents", type=Path, metavar="FILE",
        help="write each wish of the strategies there, a JSON object a line",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Replay, report; 0, or 1 for a crossed book or a strategy that raised, 2 for bad input."""
    options = ReplayOptions(
        captures=tuple(arguments.captures),
        strategy=arguments.strategy,
        adapter=arguments.venue,
        instruments=tuple(arguments.instrument),
        params=tuple(arguments.params),
    )
    default = find_configuration(Path.cwd()) / "default.yaml"
    try:
        given = [Path(file) for file in arguments.config]
        settings, fees_from = configured(default, given, options)
        replayer = Replayer(options, settings, fees_from)
        with (
            progress_bar("replaying", sys.stderr.isatty()) as on_progress,
            _writing(arguments.intents) as replayer.on_intent,
        ):
            captures = Captures(options.captures, on_progress)
            _run_on(arguments.bus, replayer, settings, captures, _pace(SPEEDS[arguments.speed]))
    except CaptureError as error:
        raise CliError(str(error), exit_code=2) from error
    report = replayer.report(captures.problems)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(report, order="sorted").decode() + "\n")
    else:
        render(report)
    return 1 if report["messages"]["crossed"] or report["strategies_failed"] else 0


def _run_on(
    bus: str, replayer: Replayer, settings: Settings, captures: Captures,
    wait: Callable[[int], None],
) -> None:  # fmt: skip
    if bus == "none":
        replayer.run(captures, wait)
        return
    from tickbus_cli.replay_bus import run_over  # with every service behind it

    asyncio.run(run_over(bus, replayer, settings, captures, wait))


@contextmanager
def _writing(path: Path | None) -> Iterator[Callable[[Event], None]]:
    """What writes one wish to `path`; nothing does where there is none. Raises CliError."""
    if path is None:
        yield lambda intent: None
        return
    try:
        with path.open("wb") as file:

            def write(intent: Event) -> None:
                line = {"kind": type(intent).__name__, **msgspec.structs.asdict(intent)}
                file.write(msgspec.json.encode(line) + b"\n")

            yield write
    except OSError as error:
        raise CliError(f"--intents {path}: {error.strerror}", exit_code=2) from error


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
