"""Commands that ask a running platform over its bus: how they reach it, and its ledger."""

import argparse
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tickbus import codec, ledger_client
from tickbus.bus import Bus, BusError, NatsBus
from tickbus.ledger_api import LIMIT_MAX
from tickbus_cli import logins
from tickbus_cli.datadir import find
from tickbus_cli.errors import CliError

ASK_TIMEOUT_S = 10.0

Page = tuple[Sequence[Any], str]
"""Records and the cursor of the next page, "" on the last."""


def add_reaching(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the arguments that say which platform is asked.

    `again`: `parser` is that of a command within one that has --data-dir already.
    """
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", default=argparse.SUPPRESS if again else None,
        help="the platform's data directory (default: the one that runs below .tickbus/)",
    )  # fmt: skip
    parser.add_argument(
        "--bus", default=os.environ.get("TICKBUS_NATS_URL", ""), metavar="URL",
        help="NATS of a platform elsewhere (default: $TICKBUS_NATS_URL)",
    )  # fmt: skip


@asynccontextmanager
async def the_bus(arguments: argparse.Namespace) -> AsyncIterator[Bus]:
    """The bus of the platform that the arguments name. Raises CliError."""
    # The bus client talks of its connection to a log; these commands have nobody to read it.
    logging.getLogger().addHandler(logging.NullHandler())
    url = arguments.bus
    if arguments.data_dir or not url:
        path, facts = find(arguments.data_dir)
        url, login = facts["nats_url"], logins.operator(path)
    else:
        login = logins.for_url(url)
    bus = await NatsBus.connect(url, f"tickbus-cli-{os.getpid()}", login)
    try:
        yield bus
    finally:
        await bus.close()


def files(arguments: argparse.Namespace) -> list[str]:
    """The configuration of the platform that is asked, where it runs on this machine."""
    if arguments.bus and not arguments.data_dir:
        return []
    return [str(file) for file in find(arguments.data_dir)[1].get("config", ())]


async def ask(bus: Bus, subject: str, query: msgspec.Struct, kind: Any) -> Any:
    """The ledger's answer. Raises CliError."""
    try:
        return await ledger_client.ask(bus, subject, query, kind, ASK_TIMEOUT_S)
    except ledger_client.LedgerRefused as error:
        raise CliError(f"the ledger refused: {error}") from error
    except (BusError, codec.MalformedMessage, TimeoutError) as error:
        raise CliError(
            f"the ledger does not answer: {str(error) or type(error).__name__}",
            "See `tickbus status` for what it waits for.",
        ) from error


async def pages(limit: int, page: Callable[[int, str], Awaitable[Page]]) -> AsyncIterator[Any]:
    """The first `limit` records (0: all), asked for page by page."""
    cursor, left = "", limit or sys.maxsize
    while left > 0:
        records, cursor = await page(min(left, LIMIT_MAX), cursor)
        for record in records:
            yield record
        left -= len(records)
        if not cursor:
            return
