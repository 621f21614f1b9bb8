"""Where real money is at stake a command asks before it acts."""

import argparse
import sys

from tickbus_cli.errors import CliError
from tickbus_client import Client

LIVE = "live"


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the argument that answers beforehand."""
    parser.add_argument(
        "--yes", action="store_true", help="do not ask (it asks where mode is live)"
    )


def confirm(desk: Client, arguments: argparse.Namespace, what: str, word: str) -> None:
    """Have somebody type `word` before `what` is done with real money. Raises CliError."""
    if arguments.yes:
        return
    platform = desk.operations.platform()
    if platform.mode != LIVE:
        return
    if not sys.stdin.isatty():
        raise CliError("it asks before it acts, and there is no terminal to ask at", "Use --yes.")
    where = ", ".join(platform.venues)
    print(
        f"REAL MONEY at {where}: {what}. Type {word} to do it: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().strip() != word:
        raise CliError("not confirmed: nothing was done", "", 1)
