"""Show what a capture of raw venue messages holds.

Per instrument: messages, trades, gaps, checksum failures, the final book, candles, and a picture of
price and spread.
"""

import argparse
import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from tickbus.captures import CaptureError, Captures
from tickbus_cli.errors import CliError
from tickbus_cli.inspecting import Inspector
from tickbus_cli.progress import progress_bar
from tickbus_cli.replay_instruments import recognize
from tickbus_feed.service import adapter_named, adapters

PROBLEMS_SHOWN = 5
CANDLES_SHOWN = 10


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
        help="where to put the picture, a .png (default: CAPTURE.png here; - for none)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per instrument, a line each"
    )


def run(arguments: argparse.Namespace) -> int:
    """Inspect, report; 1 when a book was crossed or had a bad checksum, 2 for bad input, else 0."""
    if arguments.png not in ("", "-") and not arguments.png.lower().endswith(".png"):
        raise CliError(
            f"--png {arguments.png}: the picture's name has to end in .png", "Name a file.", 2
        )
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
    name = arguments.png or f"{_stem(Path(arguments.captures[0]).name)}.png"
    from tickbus_cli.inspect_picture import draw

    try:
        return name if draw(inspector, Path(name)) else ""
    except OSError as error:
        print(f"tickbus inspect: no picture: {error}; --png FILE names another", file=sys.stderr)
        return ""


def _stem(name: str) -> str:
    """The name of a capture without what says how it is packed and written."""
    for ending in (".gz", ".zst", ".zip", ".jsonl", ".json", ".txt"):
        name = name.removesuffix(ending) or name
    return name


def _say_problems(inspector: Inspector) -> None:
    for problem in inspector.problems[:PROBLEMS_SHOWN]:
        where = f"{problem.source}:{problem.line}"
        print(f"tickbus inspect: {where}: left out: {problem.text}", file=sys.stderr)
    more = len(inspector.problems) - PROBLEMS_SHOWN
    if more > 0:
        print(f"tickbus inspect: and {more} more lines left out", file=sys.stderr)
    for source, (rejected, frames) in inspector.unreadable.items():
        hint = "; is it of another venue?" if rejected == frames else ""
        print(
            f"tickbus inspect: {rejected} of {frames} frames of {source} could not be read{hint}",
            file=sys.stderr,
        )
    never = [r.instrument.instrument_id for r in inspector.readings.values() if r.lacks_book]
    if never:
        print(
            f"tickbus inspect: no whole book of {', '.join(never[:5])} to begin with, only changes:"
            " are all files of the recording named, also the one with REST answers?",
            file=sys.stderr,
        )


def _render(
    inspector: Inspector, found: list[dict[str, Any]], picture: str, console: Console
) -> None:
    if not console.is_terminal:
        console.width = max(console.width, 160)  # nobody's screen: nothing has to be left out
    table = Table(
        title=f"{inspector.adapter.name}: {len(found)} instruments",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("instrument", overflow="fold")
    columns = (
        "messages",
        "trades",
        "gaps",
        "resyncs",
        "sums",
        "bad",
        "best bid",
        "best ask",
        "book",
    )
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    for one in found:
        bid = f"{one['bids'][0][0]:.10g}" if one["bids"] else "-"
        ask = f"{one['asks'][0][0]:.10g}" if one["asks"] else "-"
        counts = ("gaps", "resyncs", "checksums", "checksum_failures")
        table.add_row(
            one["instrument"], f"{one['messages']:,}", f"{one['trades']:,}",
            *(str(one[key]) for key in counts), bid, ask, _state(one),
        )  # fmt: skip
    console.print(table)
    if len(found) == 1:
        _render_levels(found[0], console)
        _render_candles(found[0], console)
    if picture:
        console.print(f"price and spread: {picture}")


def _state(one: dict[str, Any]) -> str:
    if one["crossed"]:
        return "crossed"
    if one["in_step"]:
        return "sound"
    return "broken" if one["levels"] else "none"


def _render_levels(one: dict[str, Any], console: Console) -> None:
    table = Table(title="best levels at the end", box=box.SIMPLE)
    for name in ("bid size", "bid", "ask", "ask size"):
        table.add_column(name, justify="right", overflow="fold")
    for bid, ask in itertools.zip_longest(one["bids"], one["asks"], fillvalue=("", "")):
        table.add_row(*(f"{x:.10g}" if x != "" else "" for x in (bid[1], bid[0], ask[0], ask[1])))
    console.print(table)


def _render_candles(one: dict[str, Any], console: Console) -> None:
    shown = one["candles"][-CANDLES_SHOWN:]
    if not shown:
        return
    table = Table(title=f"candles: the last {len(shown)} of {len(one['candles'])}", box=box.SIMPLE)
    names = ("open", "high", "low", "close", "volume", "trades")
    for name in ("from, UTC", *names):
        table.add_column(name, justify="right", overflow="fold")
    for candle in shown:
        began = datetime.fromtimestamp(candle["ts_open"] / 1e9, UTC).strftime("%d %H:%M:%S")
        table.add_row(began, *(f"{candle[name]:.10g}" for name in names))
    console.print(table)
