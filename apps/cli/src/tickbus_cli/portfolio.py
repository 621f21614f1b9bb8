"""Show profit and loss, equity, balances and strategies; curves; and begin a new session.

tickbus portfolio
tickbus portfolio series --range month --by strategy --tz Europe/Zurich
tickbus portfolio clear-session --reason "new week"
"""

import argparse
from decimal import Decimal
from typing import Any, get_args

from rich.table import Table

from tickbus_cli import gateway, showing
from tickbus_cli.tables import Rounded
from tickbus_cli.times import at
from tickbus_client import Client
from tickbus_client.answers.books import Portfolio
from tickbus_client.calls import books

POINT_COLUMNS = (
    "time", "strategy", "equity", "net_pnl", "realized_pnl", "unrealized_pnl", "fees", "funding",
    "drawdown",
)  # fmt: skip
BRIEF = ("time", "strategy", "equity", "net_pnl", "fees", "drawdown")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.set_defaults(what="show", csv=False)
    gateway.configure(parser)
    gateway.add_json(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    series = commands.add_parser("series", help="equity and P&L over a range")
    series.set_defaults(what="series")
    series.add_argument("--range", choices=get_args(books.Range), default="today")
    series.add_argument("--by", choices=get_args(books.By), default="account")
    series.add_argument("--tz", default="UTC", metavar="ZONE", help="whose days: Europe/Zurich")
    series.add_argument("--points", type=int, default=50, metavar="N", help="at most (default: 50)")
    showing.add_forms(series, again=True)
    clear = commands.add_parser("clear-session", help="count P&L of the session from now")
    clear.set_defaults(what="clear-session")
    clear.add_argument("--reason", required=True, help="why, for the record")
    gateway.add_json(clear, again=True)
    for each in (series, clear):
        gateway.configure(each, again=True)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 unless a new session is not in the books yet."""
    with gateway.the_desk(arguments) as desk:
        if arguments.what == "series":
            return _series(desk, arguments)
        if arguments.what == "clear-session":
            return _clear(desk, arguments)
        reply = desk.reply(books.portfolio())
    if arguments.json:
        showing.whole(reply)
    else:
        showing.draw(*_parts(reply.data))
    return 0


def _series(desk: Client, arguments: argparse.Namespace) -> int:
    series = desk.books.series(
        arguments.range, by=arguments.by, tz=arguments.tz, points=arguments.points
    )
    rows = [
        (p.at, curve.strategy or "", p.equity, p.net_pnl, p.realized_pnl, p.unrealized_pnl,
         p.fees, p.funding, p.drawdown)
        for curve in series.curves
        for p in curve.points
    ]  # fmt: skip
    title = f"{series.range} ({series.timezone}), in {series.currency}"
    showing.show(arguments, title, POINT_COLUMNS, rows, BRIEF, POINT_COLUMNS)
    return 0


def _clear(desk: Client, arguments: argparse.Namespace) -> int:
    reply = desk.reply(books.clear_session(arguments.reason, actor=gateway.actor()))
    if arguments.json:
        showing.whole(reply)
    else:
        showing.draw(f"a session begins at {at(reply.data.since)}; nothing was deleted")
    return 1 if reply.data.unconfirmed else 0


def _parts(account: Portfolio) -> list[Table | str]:
    figures = [
        ("equity", account.equity),
        ("net P&L", account.net_pnl),
        ("realized", account.realized_pnl),
        ("unrealized", account.unrealized_pnl),
        ("fees", account.fees),
        ("funding", account.funding),
        ("drawdown of equity", account.drawdown),
        ("drawdown of equity, most", account.drawdown_max),
    ]
    strategies = [
        (s.strategy, *map(_money, (s.net_pnl, s.realized_pnl, s.unrealized_pnl, s.fees)), s.fills)
        for s in account.strategies
    ]
    balances = [(b.venue, b.asset, b.free, b.locked, b.total) for b in account.balances if b.total]
    parts: list[Table | str] = [
        showing.table(("", account.currency), [(name, _money(value)) for name, value in figures]),
        f"{account.orders} orders, {account.working_orders} working, {account.fills} fills",
        showing.table(
            ("strategy", "net P&L", "realized", "unrealized", "fees", "fills"), strategies
        ),
        showing.table(("venue", "asset", "free", "locked", "total"), balances),
    ]
    if account.differences:
        parts.append(
            f"{len(account.differences)} balances or positions differ from what venues report:"
            " see `tickbus reconcile`"
        )
    return parts


def _money(value: Decimal | None) -> Any:
    # For the eye; --json has every digit.
    return None if value is None else Rounded(value)
