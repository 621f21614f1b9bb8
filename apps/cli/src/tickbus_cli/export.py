"""Write orders, fills, refusals, postings, the audit log or candles to a file.

tickbus export fills --since 2026-01-01 -o fills.csv
tickbus export audit --format parquet -o audit.parquet
tickbus export candles --symbol BTCUSDT --interval 1h -o candles.csv

The format is that of the file's name unless --format says another; without -o it is CSV on
standard output. Exact numbers are text in each format.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

from tickbus_cli import gateway, showing
from tickbus_cli.errors import CliError
from tickbus_cli.times import moment
from tickbus_client import Call
from tickbus_client.call import FileFormat
from tickbus_client.calls import books, market, orders, risk

LISTS = ("orders", "fills", "denials", "postings", "audit", "candles")
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("what", choices=LISTS)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file")
    parser.add_argument("--format", choices=FORMATS, help="default: by the file's name, else csv")
    parser.add_argument("--overwrite", action="store_true", help="also a file that exists")
    showing.add_span(parser)
    showing.add_filters(parser)
    parser.add_argument("--asset", default="", help="of postings: only of this asset")
    parser.add_argument("--event", default="", help="of the audit log: only events of this type")
    parser.add_argument("--order", default="", help="of fills and the audit log: of this order")
    parser.add_argument("--interval", default="1m", help="of candles: 10s, 1m, 4h, 1d")
    gateway.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write it; 0 once all of it is there."""
    call, form = _call(arguments), _format(arguments)
    with gateway.the_desk(arguments) as desk:
        if arguments.output is None:
            desk.download(call, form, sys.stdout.buffer)
            return 0
        # Another name until it is whole: a file of that name is never a part of one.
        part = arguments.output.with_name(f".{arguments.output.name}.part")
        try:
            with part.open("wb") as file:
                count = desk.download(call, form, file)
            part.replace(arguments.output)
        except OSError as error:
            raise CliError(f"{arguments.output}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
    print(f"{arguments.output}: {count:,} bytes", file=sys.stderr)
    return 0


def _format(arguments: argparse.Namespace) -> FileFormat:
    """Raises CliError."""
    file: Path | None = arguments.output
    if file is not None and file.exists() and not arguments.overwrite:
        raise CliError(f"{file} is there already", "Choose another name, or give --overwrite.")
    by_name = "" if file is None else file.suffix.removeprefix(".").lower()
    wanted = arguments.format or by_name or "csv"
    found = next((each for each in FORMATS if each == wanted), None)
    if found is None:
        known = ", ".join(FORMATS)
        raise CliError(f"{file}: {wanted!r} is no format", f"Give --format: {known}.", exit_code=2)
    return found


def _call(arguments: argparse.Namespace) -> Call[Any]:
    """What is asked for. Raises CliError for an argument that does not go with it."""
    chosen = showing.chosen(arguments)
    span = {name: chosen[name] for name in ("since", "until")}
    match arguments.what:
        case "orders":
            call: Call[Any] = orders.listing(**chosen)
        case "fills":
            call = orders.fills(order_id=arguments.order, **chosen)
        case "denials":
            call = risk.denials(**chosen)
        case "postings":
            call = books.postings(asset=arguments.asset, **chosen)
        case "audit":
            call = books.audit(event=arguments.event, order_id=arguments.order, **span)
        case _:
            if not arguments.symbol:
                raise CliError("candles are of one symbol", "Give --symbol.")
            call = market.candles(
                arguments.symbol, arguments.interval, venue=arguments.venue, limit=5000,
                start=moment(arguments.since), end=moment(arguments.until),
            )  # fmt: skip
    for name in ("asset", "event", "order", "strategy", "symbol", "venue"):
        given = getattr(arguments, name)
        if given and given not in map(str, call.query.values()):
            raise CliError(f"--{name} says nothing about {arguments.what}", "Leave it out.")
    return call
