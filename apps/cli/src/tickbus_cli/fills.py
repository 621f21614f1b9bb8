"""List what of our orders was executed, the newest first.

tickbus fills --strategy momentum --since 2026-11-21
tickbus fills --limit 0 --csv > fills.csv
"""

import argparse
import sys
from itertools import islice

from tickbus_cli import gateway, showing
from tickbus_client.calls import orders

COLUMNS = (
    "time", "fill", "order", "strategy", "venue", "instrument", "side", "quantity", "price", "fee",
    "fee_asset", "fee_value", "liquidity",
)  # fmt: skip
BRIEF = ("time", "order", "instrument", "side", "quantity", "price", "fee", "fee_asset")
PAGE_MAX = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    showing.add_printing(parser)
    showing.add_span(parser)
    showing.add_filters(parser)
    parser.add_argument("--order", default="", metavar="ID", help="only of this order")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 also where nothing was."""
    limit = arguments.limit or sys.maxsize
    call = orders.fills(
        order_id=arguments.order, limit=min(limit, PAGE_MAX), **showing.chosen(arguments)
    )
    with gateway.the_desk(arguments) as desk:
        found = (fill for page in desk.pages(call) for fill in page.fills)
        rows = [
            (
                f.at, f.id, f.order_id, f.strategy, f.venue, f.instrument_id, f.side,
                f.quantity, f.price, f.fee, f.fee_asset, f.fee_value, f.liquidity,
            )
            for f in islice(found, limit)
        ]  # fmt: skip
    showing.show(arguments, "fills", COLUMNS, rows, BRIEF)
    return 0
