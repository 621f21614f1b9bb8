"""List what was: orders, fills or profit and loss, of a time, a strategy, an instrument."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from tickbus import ledger_api
from tickbus.bus import Bus
from tickbus.events import EquityPoint
from tickbus.ledger_api import (
    EquityAnswer,
    EquityQuery,
    FillRecord,
    FillsAnswer,
    FillsQuery,
    OrdersAnswer,
    OrdersQuery,
)
from tickbus.order import Order
from tickbus_cli import asking
from tickbus_cli.times import spelled

Rows = list[tuple[Any, ...]]
ORDER_COLUMNS = (
    "time", "order", "strategy", "venue", "instrument", "side", "type", "quantity", "price",
    "state", "filled", "avg_price", "reason",
)  # fmt: skip
FILL_COLUMNS = (
    "time", "fill", "order", "strategy", "venue", "instrument", "side", "quantity", "price", "fee",
    "fee_asset", "fee_value", "liquidity",
)  # fmt: skip
BRIEF = ("time", "order", "instrument", "side", "quantity", "price", "state", "filled", "fee")
POINT_COLUMNS = ("time", "equity", "net_pnl", "drawdown")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    for name, help_ in (
        ("orders", "orders, the newest first, by when they were created"),
        ("fills", "fills, the newest first"),
        ("pnl", "the equity curve of the account, or of --strategy its net P&L; oldest first"),
    ):
        command = commands.add_parser(name, help=help_)
        command.add_argument("--strategy", default="", help="only of this strategy")
        if name != "pnl":
            command.add_argument("--venue", default="", help="only there")
            command.add_argument("--instrument", default="", help="only this one, as BTC-USDT")
        asking.add_span(command)
        asking.add_printing(command)
        asking.add_reaching(command)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 even when there is nothing."""
    columns, rows = asyncio.run(_asked(arguments))
    brief = () if arguments.what == "pnl" else BRIEF
    asking.show(arguments, arguments.what, columns, rows, brief)
    return 0


async def _asked(arguments: argparse.Namespace) -> tuple[Sequence[str], Rows]:
    async with asking.the_bus(arguments) as bus:
        if arguments.what == "orders":
            return ORDER_COLUMNS, await _orders(bus, arguments)
        if arguments.what == "fills":
            return FILL_COLUMNS, await _fills(bus, arguments)
        return POINT_COLUMNS, await _points(bus, arguments)


def _chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "strategy_id": arguments.strategy,
        "venue": arguments.venue,
        "instrument_id": arguments.instrument,
        "since_ns": arguments.since,
        "until_ns": arguments.until,
    }


async def _orders(bus: Bus, arguments: argparse.Namespace) -> Rows:
    async def page(limit: int, cursor: str) -> asking.Page:
        query = OrdersQuery(**_chosen(arguments), limit=limit, cursor=cursor)
        answer = await asking.ask(bus, ledger_api.ORDERS, query, OrdersAnswer)
        return answer.orders, answer.next_cursor

    return [_order_row(order) async for order in asking.pages(arguments.limit, page)]


async def _fills(bus: Bus, arguments: argparse.Namespace) -> Rows:
    async def page(limit: int, cursor: str) -> asking.Page:
        query = FillsQuery(**_chosen(arguments), limit=limit, cursor=cursor)
        answer = await asking.ask(bus, ledger_api.FILLS, query, FillsAnswer)
        return answer.fills, answer.next_cursor

    return [_fill_row(record) async for record in asking.pages(arguments.limit, page)]


async def _points(bus: Bus, arguments: argparse.Namespace) -> Rows:
    async def page(limit: int, cursor: str) -> asking.Page:
        # A curve has no cursor: the next page is what was before its oldest point.
        until = int(cursor) if cursor else arguments.until
        query = EquityQuery(
            since_ns=arguments.since, until_ns=until, limit=limit, strategy_id=arguments.strategy
        )
        answer = await asking.ask(bus, ledger_api.EQUITY, query, EquityAnswer)
        newest_first = answer.points[::-1]
        more = len(newest_first) == limit
        return newest_first, str(newest_first[-1].ts - 1) if more else ""

    points: list[EquityPoint] = [p async for p in asking.pages(arguments.limit, page)]
    return [(spelled(p.ts), p.equity, p.net_pnl, p.drawdown) for p in reversed(points)]


def _order_row(o: Order) -> tuple[Any, ...]:
    average = o.avg_fill_price
    return (
        spelled(o.ts_created), o.client_order_id, o.strategy_id, o.venue, o.instrument_id,
        o.side.value, o.order_type.value, o.quantity, o.price, o.state.value, o.filled_quantity,
        None if average is None else round(average, 12).normalize(), o.reason,
    )  # fmt: skip


def _fill_row(r: FillRecord) -> tuple[Any, ...]:
    fill = r.fill
    return (
        spelled(fill.ts_event), fill.fill_id, r.client_order_id, r.strategy_id, r.venue,
        r.instrument_id, fill.side.value, fill.quantity, fill.price, fill.fee, fill.fee_asset,
        r.fee_value, fill.liquidity_side.value,
    )  # fmt: skip
