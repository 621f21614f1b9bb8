"""Show messages that a service could never handle, publish one again, or put it aside for good."""

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tickbus import codec
from tickbus.bus import Bus, NatsBus
from tickbus.codec import MalformedMessage
from tickbus.events import OrderApproved, SubmitOrder
from tickbus.login import Login
from tickbus.runtime import deadletters
from tickbus.runtime.deadletters import DeadLetter, LetterState
from tickbus_cli import logins, status
from tickbus_cli.errors import CliError

ACTIONS = ("list", "show", "replay", "drop")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    parser.add_argument(
        "name", nargs="?", metavar="SERVICE.N", help="which one, as `list` names it"
    )
    parser.add_argument("--all", action="store_true", help="also those replayed or dropped")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.add_argument(
        "--nats", metavar="URL", default=os.environ.get("TICKBUS_NATS_URL", ""),
        help="the bus (default: $TICKBUS_NATS_URL, or that of the platform that runs here)",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the platform's directory")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; `list` ends with 1 while there are dead letters."""
    logging.getLogger().addHandler(logging.NullHandler())
    if arguments.action != "list" and not arguments.name:
        raise CliError(
            f"{arguments.action} needs the name of a letter", "See `tickbus dead-letters list`."
        )
    if arguments.nats:
        url, login = arguments.nats, logins.for_url(arguments.nats)
    else:
        path, facts = status.find(arguments.data_dir)
        url, login = facts["nats_url"], logins.operator(path)
    return asyncio.run(_with(url, login, lambda bus: act(bus, arguments)))


async def _with(url: str, login: Login | None, do: Callable[[Bus], Awaitable[int]]) -> int:
    bus = await NatsBus.connect(url, "tickbus-dead-letters", login)
    try:
        return await do(bus)
    finally:
        await bus.close()


async def act(bus: Bus, arguments: argparse.Namespace) -> int:
    """The action on `bus`; the exit code. Raises CliError, BusError."""
    found = await deadletters.letters(bus)
    if arguments.action == "list":
        return _list(found, arguments.all, arguments.json)
    letter = _chosen(found, arguments.name)
    match arguments.action:
        case "show":
            print(json.dumps(_details(letter), indent=2, default=str))
        case "replay":
            sequence = await deadletters.replay(bus, letter)
            print(f"{letter.key} was published again on {letter.subject}, at sequence {sequence}")
            if _is_answered(letter):
                print(
                    "  Its order was answered when it was given up, so it does not trade any more;"
                    " whoever still wants it wishes for a new one."
                )
        case "drop":
            await deadletters.drop(bus, letter)
            print(f"{letter.key} was put aside; the original stays in ORDERS")
    return 0


def _chosen(found: list[DeadLetter], name: str) -> DeadLetter:
    known = {each.key: each for each in found if each.state is not LetterState.FAILING}
    if name not in known:
        raise CliError(
            f"there is no dead letter {name!r}", f"Known: {', '.join(known) or 'none at all'}."
        )
    return known[name]


def _list(found: list[DeadLetter], everything: bool, as_json: bool) -> int:
    dead = [each for each in found if each.state is LetterState.DEAD]
    shown = found if everything else dead
    if as_json:
        print(json.dumps([_details(each) for each in shown], default=str))
        return 1 if dead else 0
    if not shown:
        print("no dead letters")
    for each in shown:
        print(
            f"{each.key:<20} {each.state:<9} {_time(each.ts_failed)} {each.subject}"
            f"  failed {each.attempts} times: {each.error}"
        )
    return 1 if dead else 0


def _details(letter: DeadLetter) -> dict[str, Any]:
    try:
        events: Any = [repr(event) for event in codec.decode(letter.payload).events]
    except MalformedMessage as error:
        events = str(error)
    return {
        "name": letter.key,
        "service": letter.service,
        "state": str(letter.state),
        "subject": letter.subject,
        "sequence": letter.sequence,
        "attempts": letter.attempts,
        "error": letter.error,
        "trace_hash": letter.trace_hash,
        "failed": _time(letter.ts_failed),
        "replays": letter.replays,
        "events": events,
    }


def _is_answered(letter: DeadLetter) -> bool:
    try:
        events = codec.decode(letter.payload).events
    except MalformedMessage:
        return False
    return any(isinstance(event, SubmitOrder | OrderApproved) for event in events)


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).isoformat(timespec="seconds")
