"""Show what risk enforces and where every scope stands, and change its limits.

tickbus risk state
tickbus risk usage --scope strategy:momentum
tickbus risk denials --since 2026-11-21
tickbus risk limits
tickbus risk limits set daily_loss_max 100 --strategy momentum --reason "new month"
tickbus risk limits set daily_loss_max configured --strategy momentum --reason "month over"
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from tickbus_cli import gateway, showing
from tickbus_cli.tables import Rounded
from tickbus_cli.times import at
from tickbus_client import Client, Reply
from tickbus_client.calls import risk

CONFIGURED = "configured"
_STATE_COLUMNS = (
    "scope", "state", "gross_exposure", "net_exposure", "net_pnl", "daily_loss", "drawdown",
    "reason",
)  # fmt: skip
_MONEY = frozenset(_STATE_COLUMNS[2:7])
_USAGE_COLUMNS = ("scope", "name", "limit", "used", "used_part", "unit", "where")
_DENIAL_COLUMNS = (
    "at", "strategy", "venue", "symbol", "what", "reason", "limit", "value", "scope", "order_id",
)  # fmt: skip
_DENIAL_BRIEF = ("at", "strategy", "symbol", "reason", "limit", "value")
PAGE_MAX = 1000
_LIMIT_COLUMNS = ("scope", "name", "value", "configured", "actor", "reason", "changed_at")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    _common(commands.add_parser("state", help="trading states, exposure and losses per scope"))
    usage = commands.add_parser("usage", help="how much of each limit is used")
    usage.add_argument("--scope", default="", help="only of global, strategy:ID, venue:NAME, …")
    _common(usage)
    denials = commands.add_parser("denials", help="what risk refused, and why")
    denials.add_argument(
        "--denied-for", default="", metavar="REASON", help="docs/denial-reasons.md"
    )
    showing.add_printing(denials)
    showing.add_span(denials)
    showing.add_filters(denials)
    gateway.configure(denials)
    limits = commands.add_parser("limits", help="every limit in force; `limits set` changes one")
    _common(limits)
    changes = limits.add_subparsers(dest="change", metavar="set")
    change = changes.add_parser("set", help="change one limit at once")
    _common(change, again=True)
    change.add_argument("name", help="such as order_notional_max")
    change.add_argument("value", help=f"a number, or `{CONFIGURED}` for the one of the files")
    where = change.add_mutually_exclusive_group()
    for kind in ("strategy", "instrument", "venue"):
        where.add_argument(f"--{kind}", metavar="NAME", help=f"only for this {kind}")
    gateway.add_force(change)
    change.add_argument("--reason", required=True, help="why, for the record")


def _common(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    gateway.configure(parser, again=again)
    gateway.add_json(parser, again=again)


def run(arguments: argparse.Namespace) -> int:
    """Ask the gateway and show its answer; 0 unless a change is not enforced yet."""
    with gateway.the_desk(arguments) as desk:
        if arguments.what == "state":
            state = desk.reply(risk.state())
            _show(arguments.json, state, state.data.scopes, _STATE_COLUMNS)
            return 0
        if arguments.what == "usage":
            used = desk.reply(risk.usage(arguments.scope))
            _show(arguments.json, used, used.data.limits, _USAGE_COLUMNS)
            return 0
        if arguments.what == "denials":
            return _denials(desk, arguments)
        if not arguments.change:
            listed = desk.reply(risk.limits())
            _show(arguments.json, listed, listed.data.limits, _LIMIT_COLUMNS)
            return 0
        scope = _scope(arguments)
        changed = desk.reply(
            risk.set_limit(
                arguments.name,
                None if arguments.value == CONFIGURED else arguments.value,
                arguments.reason,
                scope=scope,
                actor=gateway.actor(),
                even_if_unknown=arguments.even_if_unknown,
            )
        )
    rows = [r for r in changed.data.limits if (r.scope, r.name) == (scope, arguments.name)]
    _show(arguments.json, changed, rows, _LIMIT_COLUMNS)
    return told(changed.data.unconfirmed)


def _denials(desk: Client, arguments: argparse.Namespace) -> int:
    limit = arguments.limit or sys.maxsize
    call = risk.denials(
        reason=arguments.denied_for, limit=min(limit, PAGE_MAX), **showing.chosen(arguments)
    )
    found = (each for page in desk.pages(call) for each in page.denials)
    rows = [[getattr(each, column) for column in _DENIAL_COLUMNS] for each in islice(found, limit)]
    showing.show(arguments, "refused by risk", _DENIAL_COLUMNS, rows, _DENIAL_BRIEF)
    return 0


def told(unconfirmed: bool) -> int:
    """Say so when a change is kept and not enforced yet; the exit code."""
    if unconfirmed:
        print("kept, but risk has not confirmed it: see `tickbus status`", file=sys.stderr)
        return 1
    return 0


def _scope(arguments: argparse.Namespace) -> str:
    for kind in ("strategy", "instrument", "venue"):
        name = getattr(arguments, kind)
        if name:
            return f"{kind}:{name}"
    return "global"


def _show(
    as_json: bool, reply: Reply[Any], rows: Sequence[msgspec.Struct], columns: tuple[str, ...]
) -> None:
    if as_json:
        showing.whole(reply)
        return
    cells = [[_cell(row, column) for column in columns] for row in rows]
    showing.draw(showing.table([column.replace("_", " ") for column in columns], cells))


def _cell(row: msgspec.Struct, column: str) -> Any:
    value = getattr(row, column)
    if isinstance(value, datetime):
        return at(value)
    # For the eye; --json has every digit.
    return Rounded(value) if column in _MONEY else value
