"""Commands that ask the ledger of a running platform: how they reach it, and how they print."""

import argparse
import csv
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tickbus import codec, ledger_client
from tickbus.bus import Bus, BusError, NatsBus
from tickbus.ledger_api import LIMIT_MAX
from tickbus.times import time_ns
from tickbus_cli import logins
from tickbus_cli.errors import CliError
from tickbus_cli.status import find

ASK_TIMEOUT_S = 10.0
WIDE = 180
"""Characters of a terminal that shows every column."""

Page = tuple[Sequence[Any], str]
"""Records and the cursor of the next page, "" on the last."""


def add_reaching(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which platform is asked."""
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR",
        help="the platform's data directory (default: the one that runs below .tickbus/)",
    )  # fmt: skip
    parser.add_argument(
        "--bus", default=os.environ.get("TICKBUS_NATS_URL", ""), metavar="URL",
        help="NATS of a platform elsewhere (default: $TICKBUS_NATS_URL)",
    )  # fmt: skip


def add_span(parser: argparse.ArgumentParser) -> None:
    """Add --since and --until, as ns."""
    for name in ("since", "until"):
        parser.add_argument(
            f"--{name}", type=_time, default=0, metavar="TIME",
            help="ISO 8601 (without a zone: UTC) or integer ns",
        )  # fmt: skip


def add_printing(parser: argparse.ArgumentParser) -> None:
    """Add --limit, --csv and --json."""
    parser.add_argument(
        "--limit", type=_count, default=50, metavar="N", help="the newest N (default: 50; 0: all)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="CSV with a header")
    form.add_argument("--json", action="store_true", help="one JSON object a line")


def _time(text: str) -> int:
    try:
        return time_ns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number: give 0 or more")
    return int(text)


@asynccontextmanager
async def the_bus(arguments: argparse.Namespace) -> AsyncIterator[Bus]:
    """The bus of the platform that the arguments name. Raises CliError."""
    # The bus client talks of its connection to a log; these commands have nobody to read it.
    logging.getLogger().addHandler(logging.NullHandler())
    url = arguments.bus
    if arguments.data_dir or not url:
        path, facts = find(arguments.data_dir)
        url, login = facts["nats_url"], logins.operator(path)
    else:
        login = logins.for_url(url)
    bus = await NatsBus.connect(url, f"tickbus-cli-{os.getpid()}", login)
    try:
        yield bus
    finally:
        await bus.close()


async def ask(bus: Bus, subject: str, query: msgspec.Struct, kind: Any) -> Any:
    """The ledger's answer. Raises CliError."""
    try:
        return await ledger_client.ask(bus, subject, query, kind, ASK_TIMEOUT_S)
    except ledger_client.LedgerRefused as error:
        raise CliError(f"the ledger refused: {error}") from error
    except (BusError, codec.MalformedMessage, TimeoutError) as error:
        raise CliError(
            f"the ledger does not answer: {str(error) or type(error).__name__}",
            "See `tickbus status` for what it waits for.",
        ) from error


async def pages(limit: int, page: Callable[[int, str], Awaitable[Page]]) -> AsyncIterator[Any]:
    """The first `limit` records (0: all), asked for page by page."""
    cursor, left = "", limit or sys.maxsize
    while left > 0:
        records, cursor = await page(min(left, LIMIT_MAX), cursor)
        for record in records:
            yield record
        left -= len(records)
        if not cursor:
            return


def show(
    arguments: argparse.Namespace,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    brief: Sequence[str] = (),
) -> None:
    """Print `rows` as CSV, JSON lines or a table; a narrow terminal shows what is in `brief`."""
    plain = [[format(v, "f") if isinstance(v, Decimal) else v for v in row] for row in rows]
    if arguments.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(["" if value is None else value for value in row] for row in plain)
    elif arguments.json:
        for values in plain:
            print(msgspec.json.encode(dict(zip(columns, values, strict=True))).decode())
    else:
        console = Console()
        chosen = [
            n
            for n, column in enumerate(columns)
            if console.width >= WIDE or column in (brief or columns)
        ]
        table = Table(title=title, title_justify="left", box=SIMPLE)
        for n in chosen:
            number = any(isinstance(row[n], Decimal) for row in rows)
            table.add_column(columns[n], justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(row[n]) for n in chosen))
        console.print(table)


def _cell(value: Any) -> str:
    # Exact, but without the zeros at the end that venues like to write.
    if isinstance(value, Decimal):
        return format(value.normalize(Context(prec=60)), "f")
    return "" if value is None else escape(str(value))
