"""Compare the account at the venue with our books now, and show what differs.

tickbus reconcile
tickbus reconcile --venue sim --json
"""

import argparse
import json
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tickbus.reconcile_api import TIMEOUT_S
from tickbus_cli import gateway

ANSWER_S = TIMEOUT_S + 5.0
COLUMNS = ("kind", "instrument_id", "order_id", "detail")
EXIT_DIFFERS = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    parser.add_argument("--venue", metavar="NAME", help="only there (default: every venue)")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 when nothing is left unexplained, 3 when something is."""
    body = {"venue": arguments.venue} if arguments.venue else {}
    path = "/api/v1/reconcile"
    _, answer = gateway.ask(arguments, "POST", path, body, timeout_s=ANSWER_S)
    if arguments.json:
        print(json.dumps(answer))
    else:
        for account in answer["accounts"]:
            _show(account)
    left = any(account["standing"] or not account["settled"] for account in answer["accounts"])
    return EXIT_DIFFERS if left else 0


def _show(account: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"{account['venue']}: {account['open_orders']} working orders, {account['fills']} fills,"
        f" {account['payments']} payments looked at, {account['asked']} orders asked about;"
        f" {len(account['differences'])} differences"
        + ("" if account["settled"] else ", and some answers are still missing"),
        soft_wrap=True,
    )
    _table(console, "found now", account["differences"])
    _table(console, "explained by nothing: see docs/reconciliation.md", account["standing"])


def _table(console: Console, title: str, found: list[dict[str, Any]]) -> None:
    if not found:
        return
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for difference in found:
        table.add_row(*(escape(str(difference[column])) for column in COLUMNS))
    console.print(table)
