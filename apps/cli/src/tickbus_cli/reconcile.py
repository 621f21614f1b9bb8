"""Compare the account at the venue with our books now, and show what differs.

tickbus reconcile
tickbus reconcile --venue sim --json
"""

import argparse
from collections.abc import Sequence

from tickbus_cli import gateway, showing
from tickbus_client.answers.operations import Found, ReconciledAccount
from tickbus_client.calls import operations

COLUMNS = ("kind", "instrument_id", "order_id", "detail")
EXIT_DIFFERS = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    parser.add_argument("--venue", metavar="NAME", help="only there (default: every venue)")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 when nothing is left unexplained, 3 when something is."""
    with gateway.the_desk(arguments) as desk:
        reply = desk.reply(operations.reconcile(arguments.venue or ""))
    if arguments.json:
        showing.whole(reply)
    else:
        for account in reply.data.accounts:
            _show(account)
    left = any(account.standing or not account.settled for account in reply.data.accounts)
    return EXIT_DIFFERS if left else 0


def _show(account: ReconciledAccount) -> None:
    showing.draw(
        f"{account.venue}: {account.open_orders} working orders, {account.fills} fills,"
        f" {account.payments} payments looked at, {account.asked} orders asked about;"
        f" {len(account.differences)} differences"
        + ("" if account.settled else ", and some answers are still missing")
    )
    _table("found now", account.differences)
    _table("explained by nothing: see docs/reconciliation.md", account.standing)


def _table(title: str, found: Sequence[Found]) -> None:
    if found:
        rows = [(each.kind, each.instrument_id, each.order_id, each.detail) for each in found]
        showing.draw(showing.table(COLUMNS, rows, title))
