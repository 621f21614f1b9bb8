"""Check that the books are what happened.

`tickbus audit verify` walks the hash chain over the audit log and folds the log again: every order,
fill, posting, position and balance must be what it gives, and every entry must sum to zero. It
reads the database alone, while the ledger works or stands still. Whoever cuts off the end of the
log leaves nothing that could be missed: note an anchor now and then (`tickbus audit head`, the
ledger's log, the API's portfolio) and give it as --expect-head.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from rich.console import Console

from tickbus_cli.datadir import BASE
from tickbus_cli.errors import CliError
from tickbus_cli.progress import progress_bar
from tickbus_embedded import EmbeddedError, EmbeddedPostgres, running_dsn
from tickbus_ledger.audit import BooksTooOld, Report, verify

_ANCHOR = re.compile(r"(?:([0-9]{1,18}):)?([0-9A-Fa-f]{64})", re.ASCII)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    check = commands.add_parser("verify", help="check the chain and everything made of the log")
    check.add_argument("--from", dest="first", type=int, default=1, metavar="SEQUENCE",
                       help="walk the chain from there, without folding")  # fmt: skip
    check.add_argument("--to", dest="last", type=int, metavar="SEQUENCE",
                       help="up to there; what the tables hold now is not compared")  # fmt: skip
    check.add_argument("--expect-head", action="append", default=[], metavar="ANCHOR", type=_anchor,
                       help="SEQUENCE:HASH or HASH noted earlier; may be repeated")  # fmt: skip
    head = commands.add_parser("head", help="the anchor of the log as it is now")
    for command in (check, head):
        command.add_argument("--dsn", default=os.environ.get("TICKBUS_POSTGRES_DSN", ""),
                             help="the books (default: $TICKBUS_POSTGRES_DSN)")  # fmt: skip
        command.add_argument("--data-dir", type=Path, metavar="DIR",
                             help="books that `tickbus up` keeps, running or not")  # fmt: skip
        command.add_argument("--json", action="store_true", help="one JSON object")


def _anchor(text: str) -> str:
    match = _ANCHOR.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no anchor: give SEQUENCE:HASH or HASH, where a hash is 64 hex digits,"
            " as `tickbus audit head` prints it"
        )
    sequence, digits = match.groups()
    return digits.lower() if sequence is None else f"{int(sequence)}:{digits.lower()}"


def run(arguments: argparse.Namespace) -> int:
    """Check and report: 0 when everything is sound, 1 when a row is not."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with _books(arguments) as dsn:
        try:
            if arguments.what == "head":
                return await _head(dsn, arguments.json)
            return await _verify(dsn, arguments)
        except BooksTooOld as error:
            raise CliError(
                f"these books have no audit log that can be checked: {error}",
                "Start the ledger of this version on them once: it brings them up to date.",
            ) from error
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise CliError(
                f"the books cannot be read: {str(error) or type(error).__name__}",
                "Is Postgres running, and is --dsn right?",
            ) from error


async def _verify(dsn: str, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    shown = sys.stderr.isatty() and not arguments.json
    with progress_bar("verifying the books", shown) as progress:
        report = await verify(
            dsn,
            first=arguments.first,
            last=arguments.last,
            expect=tuple(arguments.expect_head),
            progress=progress,
        )
    elapsed_s = time.monotonic() - began
    if arguments.json:
        print(json.dumps(_facts(report, elapsed_s)))
    else:
        _show(report, elapsed_s)
    return 0 if report.is_sound else 1


async def _head(dsn: str, as_json: bool) -> int:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        row = await connection.fetchrow("SELECT position, head FROM books")
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise BooksTooOld(str(error)) from error
    finally:
        await connection.close()
    if row is None or row["head"] is None:
        raise BooksTooOld("they were never opened")
    anchor = f"{row['position']}:{row['head'].hex()}"
    print(json.dumps({"head": anchor}) if as_json else anchor)
    return 0


def _show(report: Report, elapsed_s: float) -> None:
    out = Console(highlight=False, soft_wrap=True)
    for finding in report.findings:
        out.print(f"[red]WRONG[/] {finding}")
    if report.findings_count > len(report.findings):
        out.print(f"… and {report.findings_count - len(report.findings)} more")
    for first, last in report.gaps:
        out.print(f"[yellow]GAP[/] {first} to {last}: the stream did not have them any more")
    verdict = "[green]sound[/]" if report.is_sound else f"[red]{report.findings_count} wrong[/]"
    rate = report.events / max(elapsed_s, 1e-9)
    out.print(
        f"{verdict}: {report.events} events, {report.compared} rows compared,"
        f" {elapsed_s:.1f} s ({rate:,.0f} events/s)\nhead {report.head}"
    )


def _facts(report: Report, elapsed_s: float) -> dict[str, object]:
    return {
        "sound": report.is_sound,
        "events": report.events,
        "rows_compared": report.compared,
        "elapsed_s": round(elapsed_s, 3),
        "head": report.head,
        "gaps": report.gaps,
        "findings_count": report.findings_count,
        "findings": [finding._asdict() for finding in report.findings],
    }


@asynccontextmanager
async def _books(arguments: argparse.Namespace) -> AsyncIterator[str]:
    """Where the books are, their server running meanwhile. Raises CliError."""
    if arguments.dsn and not arguments.data_dir:
        yield arguments.dsn
        return
    directory = _directory(arguments.data_dir) / "postgres"
    dsn = running_dsn(directory)
    if dsn is not None:
        yield dsn
        return
    try:
        async with EmbeddedPostgres(directory) as server:
            yield server.dsn
    except EmbeddedError as error:
        raise CliError(error.message, error.remedy) from error


def _directory(named: Path | None) -> Path:
    candidates = [named] if named else sorted(BASE.glob("*")) if BASE.is_dir() else []
    found = [path for path in candidates if (path / "postgres").is_dir()]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(path) for path in found)
        raise CliError(f"{len(found)} books are there: {listed}", "Choose with --data-dir.")
    raise CliError(
        f"no books below {named or BASE.absolute()}", "Name them with --dsn or --data-dir."
    )
