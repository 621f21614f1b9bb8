"""Show messages that a service could never handle, publish one again, or put it aside for good.

tickbus dead-letters                 those that nobody looked at yet
tickbus dead-letters show risk.7     one with its events
tickbus dead-letters replay risk.7   publish it again, once what was wrong is mended
tickbus dead-letters drop risk.7     nobody needs it any more

Exit code 1 of `list` while there are any.
"""

import argparse
import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from tickbus import codec
from tickbus.bus import Bus
from tickbus.codec import MalformedMessage
from tickbus.events import OrderApproved, SubmitOrder
from tickbus.runtime import deadletters
from tickbus.runtime.deadletters import DeadLetter, LetterState
from tickbus_cli import asking
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
    asking.add_reaching(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; `list` ends with 1 while there are dead letters."""
    if arguments.action != "list" and not arguments.name:
        raise CliError(
            f"{arguments.action} needs the name of a letter", "See `tickbus dead-letters list`."
        )
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with asking.the_bus(arguments) as bus:
        return await act(bus, arguments)


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
