"""Who has the right to act where only one process may, and what to do about a broken record of it.

tickbus leases
tickbus leases drop execution.binance

Exit code 1 while a record cannot be read. Only such a one can be dropped: all others are given back
or run out by themselves.
"""

import argparse
import asyncio

from tickbus import codec
from tickbus.bus import Bus
from tickbus.codec import MalformedMessage
from tickbus.config import nearest
from tickbus.runtime.lease import BUCKET, LeaseRecord
from tickbus_cli import asking
from tickbus_cli.errors import CliError

Found = dict[str, LeaseRecord | None]
"""By name; None for what is no record."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", nargs="?", choices=("list", "drop"), default="list")
    parser.add_argument("name", nargs="?", default="", help="as `tickbus leases` shows it")
    asking.add_reaching(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked. Raises CliError."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with asking.the_bus(arguments) as bus:
        return await act(bus, arguments.action, arguments.name)


async def act(bus: Bus, action: str, name: str) -> int:
    """The action on `bus`; the exit code. Raises CliError, BusError."""
    found = await _leases(bus)
    if action == "drop":
        await _drop(bus, found, name)
        return 0
    for each, record in sorted(found.items()):
        print(f"{each:<30} {_words(each, record)}")
    if not found:
        print("no leases")
    return 1 if None in found.values() else 0


def _words(name: str, record: LeaseRecord | None) -> str:
    if record is None:
        return f"CANNOT BE READ: `tickbus leases drop {name}` once nobody does this job"
    if record.is_released:
        return f"given back, epoch {record.epoch}"
    return f"epoch {record.epoch}, renewed {record.renewals} times, by {record.process or '?'}"


async def _drop(bus: Bus, found: Found, name: str) -> None:
    if name not in found:
        raise CliError(f"there is no lease {name!r}", f"{nearest(name, sorted(found), 'leases')}")
    if found[name] is not None:
        raise CliError(
            f"the lease {name!r} can be read: it is given back, or runs out, by itself",
            "To end who has it, end that process.",
        )
    await bus.kv_put(BUCKET, name, b"")
    print(f"{name} was dropped: whoever waits for it takes it now")


async def _leases(bus: Bus) -> Found:
    found: Found = {}

    async def take(name: str, value: bytes) -> None:
        if not value:
            found.pop(name, None)  # dropped
            return
        try:
            found[name] = codec.decode_value(value, LeaseRecord)
        except MalformedMessage:
            found[name] = None

    watch = await bus.kv_watch(BUCKET, take)
    await watch.stop()
    return found
