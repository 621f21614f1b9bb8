"""How commands show what they were told: tables for people; CSV and JSON for scripts."""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tickbus.times import NS_PER_S, time_ns
from tickbus_cli import tables
from tickbus_cli.times import at
from tickbus_client import Reply

WORD = 12
"""Longer words of a text are folded where the terminal is narrow."""


def add_span(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add --since and --until, as ns."""
    add_since(parser, again=again)
    _add_time(parser, "until", again)


def add_since(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add --since, as ns."""
    _add_time(parser, "since", again)


def _add_time(parser: argparse.ArgumentParser, name: str, again: bool) -> None:
    parser.add_argument(
        f"--{name}", type=_time, default=_default(again, 0), metavar="TIME",
        help="ISO 8601 (without a zone: UTC) or integer ns",
    )  # fmt: skip


def add_filters(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add --strategy, --symbol, which is --instrument too, and --venue."""
    for name, *others in (("strategy",), ("symbol", "--instrument"), ("venue",)):
        parser.add_argument(
            f"--{name}", *others, default=_default(again, ""), metavar="NAME",
            help=f"only of this {name}",
        )  # fmt: skip


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the arguments of `add_span` and `add_filters` ask of the client."""
    return {
        "strategy": arguments.strategy,
        "symbol": arguments.symbol,
        "venue": arguments.venue,
        "since": arguments.since or None,
        "until": arguments.until or None,
    }


def when(text: str) -> datetime:
    """A moment as an argument, without a zone: UTC. Raises ArgumentTypeError."""
    return datetime.fromtimestamp(_time(text) / NS_PER_S, UTC)


def add_printing(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add --limit, --csv and --json; `again` as with `gateway.configure`."""
    parser.add_argument(
        "--limit", type=_count, default=_default(again, 50), metavar="N",
        help="the newest N (default: 50; 0: all)",
    )  # fmt: skip
    add_forms(parser, again=again)


def add_forms(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add --csv and --json."""
    form = parser.add_mutually_exclusive_group()
    off = _default(again, False)
    form.add_argument("--csv", action="store_true", default=off, help="CSV with a header")
    form.add_argument("--json", action="store_true", default=off, help="one JSON object a line")


def _default(again: bool, value: Any) -> Any:
    return argparse.SUPPRESS if again else value


def _time(text: str) -> int:
    try:
        return time_ns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number: give 0 or more")
    return int(text)


def show(
    arguments: argparse.Namespace,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    brief: Sequence[str] = (),
    money: Sequence[str] = (),
) -> None:
    """Print `rows` as CSV, JSON lines or a table.

    A terminal shows what it has room for, first what is in `brief`; a table that goes elsewhere has
    every column. It rounds what is in `money`, and times; for scripts nothing is.
    """
    plain = [[_plain(value) for value in row] for row in rows]
    if arguments.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(["" if value is None else value for value in row] for row in plain)
    elif arguments.json:
        for values in plain:
            print(msgspec.json.encode(dict(zip(columns, values, strict=True))).decode())
    else:
        console, room = paper()
        made = tables.listing(title, columns, rows, brief, money, room)
        console.width = max(console.width, made.width)
        console.print(made.table)
        if made.left_out:
            console.print(f"[dim]no room for: {escape(', '.join(made.left_out))}[/dim]")


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            return at(value)
    return value


def whole(reply: Reply[Any]) -> None:
    """Print an answer as the gateway sent it, on one line."""
    print(reply.content.decode().strip())


def tell(arguments: argparse.Namespace, reply: Reply[Any], sentence: str) -> None:
    """Print `sentence`, or for scripts the answer."""
    if arguments.json:
        whole(reply)
    else:
        draw(sentence)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> Table:
    """`rows` as people read them; where there is little room, texts are folded.

    What the first column names, and numbers, are not: such a table is wider than the terminal.
    """
    cells = [[tables.cell(value) for value in row] for row in rows]
    numbers = [any(tables.is_number(row[n]) for row in rows) for n in range(len(columns))]
    wanted, least = [], []
    for n, column in enumerate(columns):
        texts = [row[n] for row in cells]
        wanted.append(max(map(cell_len, (column, *texts))))
        words = [word for text in texts for word in text.split()]
        whole = texts if n == 0 or numbers[n] else [word[:WORD] for word in words]
        least.append(max(map(cell_len, (*whole, *column.split())), default=1))
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column, number, width in zip(columns, numbers, _widths(wanted, least), strict=True):
        made.add_column(column, justify="right" if number else "left", overflow="fold", width=width)
    for row in cells:
        made.add_row(*map(escape, row))
    return made


def _widths(wanted: Sequence[int], least: Sequence[int]) -> list[int]:
    """What each column gets of the terminal: the narrow ones all they want, the others a share."""
    _, room = paper()
    if room is None:
        return list(wanted)
    left = room - sum(least) - tables.GAP * (len(wanted) - 1)
    found = list(least)
    wider = sorted(range(len(wanted)), key=lambda n: wanted[n] - least[n])
    for place, n in enumerate(wider):
        more = max(0, min(wanted[n] - least[n], left // (len(wider) - place)))
        found[n] += more
        left -= more
    return found


def paper() -> tuple[Console, int | None]:
    """Standard output, and the characters that a row may have: None where it is no terminal.

    `grep` and `less -S` want each row on a line of its own.
    """
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console, console.width
    return console, None


def draw(*parts: Table | str) -> None:
    """Print tables and lines of text, which are no markup."""
    console, _ = paper()
    for n, part in enumerate(parts):
        if isinstance(part, str):
            console.print(escape(part), soft_wrap=True)
            continue
        if n:
            console.print()
        widths = [column.width or 0 for column in part.columns]
        console.width = max(console.width, sum(widths) + tables.GAP * len(widths))
        console.print(part)
