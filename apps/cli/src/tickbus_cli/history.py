"""List what was: orders, fills or profit and loss, of a time, a strategy, an instrument.

`history orders` is `tickbus orders list` and `history fills` is `tickbus fills`, with all that they
take. Exit code 0, also where nothing was; 1 for a strategy, venue or instrument that nobody has.
"""

import argparse
import sys
from datetime import datetime, timedelta

from tickbus_cli import fills, gateway, orders, showing
from tickbus_client.answers.books import EquityPoint

POINT_COLUMNS = ("time", "equity", "net_pnl", "drawdown")
PAGE_MAX = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    says = "orders, the newest first, by when they were created"
    command = commands.add_parser("orders", help=says, description=says)
    orders.configure_list(command)
    command.set_defaults(run=orders.run, what="list")
    command = commands.add_parser("fills", help="fills, the newest first")
    fills.configure(command)
    command.set_defaults(run=fills.run)
    says = "the equity curve of the account, or of --strategy its net P&L; oldest first"
    command = commands.add_parser("pnl", help=says, description=says)
    gateway.configure(command)
    showing.add_printing(command)
    showing.add_span(command)
    command.add_argument("--strategy", default="", help="only of this strategy")
    command.set_defaults(run=_pnl)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 even when there is nothing. Raises CliError."""
    code: int = arguments.run(arguments)
    return code


def _pnl(arguments: argparse.Namespace) -> int:
    rows = [(p.at, p.equity, p.net_pnl, p.drawdown) for p in _points(arguments)]
    showing.show(arguments, "pnl", POINT_COLUMNS, rows)
    return 0


def _points(arguments: argparse.Namespace) -> list[EquityPoint]:
    """The newest points, oldest first."""
    found: list[EquityPoint] = []
    left = arguments.limit or sys.maxsize
    until: datetime | int | None = arguments.until or None
    with gateway.the_desk(arguments) as desk:
        while left > 0:
            page = desk.books.equity(
                strategy=arguments.strategy, since=arguments.since or None, until=until,
                limit=min(left, PAGE_MAX),
            ).points  # fmt: skip
            found = [*page, *found]
            left -= len(page)
            if len(page) < PAGE_MAX or page[0].at is None:
                break
            # A curve has no cursor: the next page is what was before its oldest point.
            until = page[0].at - timedelta(microseconds=1)
    return found
