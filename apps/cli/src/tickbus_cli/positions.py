"""Show what is held, valued now; with --strategy what one of them holds.

Exit code 1: a position differs from what the venue reports, see `tickbus reconcile`.
"""

import argparse

from tickbus_cli import gateway, showing
from tickbus_cli.errors import CliError
from tickbus_client.answers.books import Position

COLUMNS = (
    "venue", "instrument", "quantity", "entry", "mark", "value", "realized_pnl", "unrealized_pnl",
    "fees", "net_pnl", "fills", "difference",
)  # fmt: skip
MONEY = ("value", "realized_pnl", "unrealized_pnl", "fees", "net_pnl")
BRIEF = ("venue", "instrument", "quantity", "entry", "mark", "unrealized_pnl", "net_pnl")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    showing.add_forms(parser)
    parser.add_argument("--strategy", default="", metavar="ID", help="only what this one holds")
    parser.add_argument("--flat", action="store_true", help="also what was held and is no more")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 unless a position differs."""
    with gateway.the_desk(arguments) as desk:
        books = desk.books.portfolio()
    positions = books.positions
    if arguments.strategy:
        mine = {each.strategy: each.positions for each in books.strategies}
        if arguments.strategy not in mine:
            known = ", ".join(mine) or "none"
            raise CliError(
                f"no books of a strategy {arguments.strategy!r}", f"There are books of {known}."
            )
        positions = mine[arguments.strategy]
    rows = [_row(each) for each in positions if each.quantity or each.difference or arguments.flat]
    showing.show(arguments, f"positions, in {books.currency}", COLUMNS, rows, BRIEF, MONEY)
    return 1 if any(each.difference for each in positions) else 0


def _row(p: Position) -> tuple[object, ...]:
    value = None if p.mark is None else p.mark * p.quantity
    return (
        p.venue, p.instrument_id, p.quantity, p.avg_entry_price, p.mark, value, p.realized_pnl,
        p.unrealized_pnl, p.fees, p.net_pnl, p.fills, p.difference,
    )  # fmt: skip
