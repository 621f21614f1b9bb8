"""Show what risk enforces and where every scope stands, and change its limits.

tickbus risk state
tickbus risk limits
tickbus risk limits set daily_loss_max 100 --strategy momentum --reason "new month"
tickbus risk limits set daily_loss_max configured --strategy momentum --reason "month over"
"""

import argparse
import json
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from tickbus_cli import gateway

CONFIGURED = "configured"
_STATE_COLUMNS = (
    "scope", "state", "gross_exposure", "net_exposure", "net_pnl", "daily_loss", "drawdown",
    "reason",
)  # fmt: skip
_MONEY = frozenset(_STATE_COLUMNS[2:7])
_LIMIT_COLUMNS = ("scope", "name", "value", "configured", "actor", "reason", "changed_at")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="state|limits")
    _common(commands.add_parser("state", help="trading states, exposure and losses per scope"))
    limits = commands.add_parser("limits", help="every limit in force; `limits set` changes one")
    _common(limits)
    changes = limits.add_subparsers(dest="change", metavar="set")
    change = changes.add_parser("set", help="change one limit at once")
    _common(change)
    change.add_argument("name", help="such as order_notional_max")
    change.add_argument("value", help=f"a number, or `{CONFIGURED}` for the one of the files")
    where = change.add_mutually_exclusive_group()
    for kind in ("strategy", "instrument", "venue"):
        where.add_argument(f"--{kind}", metavar="NAME", help=f"only for this {kind}")
    change.add_argument("--reason", required=True, help="why, for the record")


def _common(parser: argparse.ArgumentParser) -> None:
    gateway.configure(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Ask the gateway and show its answer; 0 unless a change is not enforced yet."""
    if arguments.what == "state":
        _, answer = gateway.ask(arguments, "GET", "/api/v1/risk/state")
        _show(arguments.json, answer, answer["scopes"], _STATE_COLUMNS)
        return 0
    if not arguments.change:
        _, answer = gateway.ask(arguments, "GET", "/api/v1/risk/limits")
        _show(arguments.json, answer, answer["limits"], _LIMIT_COLUMNS)
        return 0
    scope = _scope(arguments)
    body = {
        "scope": scope,
        "name": arguments.name,
        "value": None if arguments.value == CONFIGURED else arguments.value,
        "actor": gateway.actor(),
        "reason": arguments.reason,
    }
    status, answer = gateway.ask(arguments, "PUT", "/api/v1/risk/limits", body)
    rows = [r for r in answer["limits"] if (r["scope"], r["name"]) == (scope, arguments.name)]
    _show(arguments.json, answer, rows, _LIMIT_COLUMNS)
    return told(status)


def told(status: int) -> int:
    """Say so when a change is kept and not enforced yet; the exit code."""
    if status == 202:
        Console(stderr=True).print("kept, but risk has not confirmed it: see `tickbus status`")
        return 1
    return 0


def _scope(arguments: argparse.Namespace) -> str:
    for kind in ("strategy", "instrument", "venue"):
        name = getattr(arguments, kind)
        if name:
            return f"{kind}:{name}"
    return "global"


def _show(as_json: bool, answer: Any, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if as_json:
        print(json.dumps(answer))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row, column) for column in columns))
    Console().print(table)


def _cell(row: dict[str, Any], column: str) -> str:
    value = row[column]
    if value is None:
        return ""
    # For the eye; --json has every digit.
    return f"{Decimal(value):,.2f}" if column in _MONEY else str(value)
