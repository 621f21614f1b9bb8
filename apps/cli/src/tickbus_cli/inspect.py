"""Show what a capture of raw venue messages holds.

Per instrument: messages, trades, gaps, checksum failures, the final book, candles, and a picture of
price and spread.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from tickbus.captures import CaptureError, Captures
from tickbus_cli.errors import CliError
from tickbus_cli.inspecting import Inspector
from tickbus_cli.progress import progress_bar
from tickbus_cli.replay_instruments import recognize
from tickbus_feed.service import adapter_named, adapters

PROBLEMS_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("captures", nargs="+", metavar="CAPTURE", help="file of recorded messages")
    parser.add_argument(
        "--venue", default="", choices=sorted(adapters()),
        help="adapter to read the capture with (default: by what the frames look like)",
    )  # fmt: skip
    parser.add_argument(
        "--interval", type=_seconds, default=60.0, metavar="SECONDS",
        help="length of the candles (default: 60)",
    )  # fmt: skip
    parser.add_argument(
        "--png", metavar="FILE", default="",
        help="where to put the picture (default: CAPTURE.png in this directory; - for none)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per instrument, a line each"
    )


def run(arguments: argparse.Namespace) -> int:
    """Inspect, report; 0 when every book is sound, 1 when one is not, 2 for bad input."""
    try:
        adapter = (
            adapter_named(arguments.venue) if arguments.venue else recognize(arguments.captures)
        )
        inspector = Inspector(adapter, arguments.interval)
        with progress_bar("inspecting", sys.stderr.isatty()) as on_progress:
            inspector.run(Captures(arguments.captures, on_progress))
    except CaptureError as error:
        raise CliError(str(error), exit_code=2) from error
    if not inspector.readings:
        raise CliError(f"{arguments.captures[0]}: no market data of {adapter.name}", exit_code=2)
    found = inspector.summaries()
    picture = _picture(inspector, arguments)
    if arguments.json:
        for one in found:
            sys.stdout.write(msgspec.json.encode({**one, "png": picture}).decode() + "\n")
    else:
        _render(inspector, found, picture, Console())
    _say_problems(inspector)
    return 1 if any(one["checksum_failures"] or one["crossed"] for one in found) else 0


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= 10**7:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.001 up")
    return value


def _picture(inspector: Inspector, arguments: argparse.Namespace) -> str:
    """Draw; the file's name, or "" where there is none."""
    if arguments.png == "-":
        return ""
    name = arguments.png or f"{Path(arguments.captures[0]).name.partition('.')[0]}.png"
    from tickbus_cli.inspect_picture import draw

    try:
        return name if draw(inspector, Path(name)) else ""
    except OSError as error:
        print(f"tickbus inspect: no picture: {error}; --png FILE names another", file=sys.stderr)
        return ""


def _say_problems(inspector: Inspector) -> None:
    for problem in inspector.problems[:PROBLEMS_SHOWN]:
        where = f"{problem.source}:{problem.line}"
        print(f"tickbus inspect: {where}: left out: {problem.text}", file=sys.stderr)
    more = len(inspector.problems) - PROBLEMS_SHOWN
    if more > 0:
        print(f"tickbus inspect: and {more} more lines left out", file=sys.stderr)
    if inspector.core.rejected:
        print(
            f"tickbus inspect: {inspector.core.rejected} frames could not be read",
            file=sys.stderr,
        )


def _render(
    inspector: Inspector, found: list[dict[str, Any]], picture: str, console: Console
) -> None:
    table = Table(title=f"{inspector.adapter.name}: {len(found)} instruments")
    table.add_column("instrument", no_wrap=True)
    for name in ("messages", "trades", "gaps", "resyncs", "bad sums", "best bid", "best ask"):
        table.add_column(name, justify="right")
    for one in found:
        bid = f"{one['bids'][0][0]:.10g}" if one["bids"] else "-"
        ask = f"{one['asks'][0][0]:.10g}" if one["asks"] else "-"
        table.add_row(
            one["instrument"], f"{one['messages']:,}", f"{one['trades']:,}",
            *(str(one[key]) for key in ("gaps", "resyncs", "checksum_failures")), bid, ask,
        )  # fmt: skip
    console.print(table)
    if picture:
        console.print(f"price and spread: {picture}")
