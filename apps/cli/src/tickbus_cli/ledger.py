"""Ask the ledger why we hold what we hold.

`tickbus ledger explain BTC` lists every change of the balance, the newest first, each with its
cause and what was held after it.
"""

import argparse
import asyncio
import sys
from typing import Any

from tickbus import ledger_api
from tickbus.ledger_api import PostingRecord, PostingsAnswer, PostingsQuery
from tickbus_cli import asking, names, showing
from tickbus_cli.times import moment

COLUMNS = (
    "time", "venue", "asset", "amount", "balance", "cause", "account", "reference", "instrument",
    "strategy", "order", "sequence",
)  # fmt: skip
BRIEF = ("time", "amount", "balance", "cause", "account", "order")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    explain = commands.add_parser("explain", help="every change of a balance, with its cause")
    explain.add_argument("asset", metavar="ASSET", help="such as BTC")
    explain.add_argument("--venue", default="", help="only there")
    explain.add_argument("--strategy", default="", help="only what this strategy did")
    explain.add_argument("--cause", default="", help="FILL, OPENING, FUNDING, TRANSFER, …")
    showing.add_span(explain)
    showing.add_printing(explain)
    asking.add_reaching(explain)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 1 when the ledger knows of no change."""
    records = asyncio.run(_postings(arguments))
    rows = [_row(record) for record in records]
    held = _held(records) if not (arguments.until or arguments.strategy or arguments.cause) else ""
    showing.show(arguments, f"{arguments.asset.upper()}{held}", COLUMNS, rows, BRIEF)
    if not rows:
        print(f"the ledger knows of no such change of {arguments.asset.upper()}", file=sys.stderr)
    return 0 if rows else 1


async def _postings(arguments: argparse.Namespace) -> list[PostingRecord]:
    async with asking.the_bus(arguments) as bus:

        async def page(limit: int, cursor: str) -> asking.Page:
            query = PostingsQuery(
                asset=arguments.asset.upper(),
                venue=arguments.venue,
                strategy_id=arguments.strategy,
                cause=arguments.cause.upper(),
                limit=limit,
                cursor=cursor,
                since_ns=arguments.since,
                until_ns=arguments.until,
            )
            answer = await asking.ask(bus, ledger_api.POSTINGS, query, PostingsAnswer)
            return answer.postings, answer.next_cursor

        records = [record async for record in asking.pages(arguments.limit, page)]
        if not records:
            wanted = {names.STRATEGY: arguments.strategy, names.VENUE: arguments.venue}
            await names.require_in_books(bus, wanted, asking.files(arguments))
        return records


def _held(records: list[PostingRecord]) -> str:
    # The newest change at each venue says what is held there now.
    newest: dict[str, PostingRecord] = {}
    for record in records:
        newest.setdefault(record.venue, record)
    return "".join(f": {r.balance:f} at {venue}" for venue, r in sorted(newest.items()))


def _row(r: PostingRecord) -> tuple[Any, ...]:
    return (
        moment(r.ts_event), r.venue, r.asset, r.amount, r.balance, r.cause, r.account,
        r.reference, r.instrument_id, r.strategy_id, r.client_order_id, r.sequence,
    )  # fmt: skip
