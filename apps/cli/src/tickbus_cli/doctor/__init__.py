"""Say what is wrong with this installation, and how to mend it.

tickbus doctor                               before the first start, or while the platform runs
tickbus doctor --venue binance --live        before real money is at stake
tickbus doctor --bus nats://nats:4222        a platform elsewhere; TICKBUS_CONFIG says what it runs

Looks only; changes nothing. Exit code 1 when something is bad, 0 otherwise.
"""

import argparse
import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tickbus.bus import BusError
from tickbus.config import ConfigError
from tickbus_cli import profile
from tickbus_cli.doctor import compose, machine, place, secrets, servers, venues
from tickbus_cli.doctor.finding import (
    CHECK_TIMEOUT_S,
    Check,
    Finding,
    Level,
    bad,
    ok,
    skipped,
)
from tickbus_cli.doctor.place import Installation, Said
from tickbus_cli.errors import CliError

CONFIGURATION = "name the files that its services read in TICKBUS_CONFIG, or say --venue and --live"
_STYLE = {Level.OK: "green", Level.SKIPPED: "dim", Level.WARNING: "yellow", Level.BAD: "bold red"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "--venue", choices=profile.VENUES,
        help="as for `tickbus up` (default: by TICKBUS_CONFIG, else sim)",
    )  # fmt: skip
    add("--live", action="store_true", help="real money: as for `tickbus up`")
    add(
        "--config", action="append", default=[], metavar="FILE",
        help="YAML file merged over the profile's; repeat for several",
    )  # fmt: skip
    add("--data-dir", type=Path, metavar="DIR", help="default: .tickbus/<profile>")
    add("--port-offset", type=int, default=0, metavar="N", help="as for `tickbus up`")
    add("--bus", default="", metavar="URL", help="NATS of a platform elsewhere")
    add("--json", action="store_true", help="one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Examine and show; 1 when something is bad."""
    logging.getLogger().addHandler(logging.NullHandler())
    found = asyncio.run(examine(arguments))
    if arguments.json:
        print(json.dumps({"findings": [f.plain() for f in found], "bad": _count(found)}))
    else:
        _show(found)
    return 1 if _count(found) else 0


async def examine(arguments: argparse.Namespace) -> list[Finding]:
    """Everything that can be looked at with what is there."""
    variables = place.environment()
    found = [machine.python(), machine.open_files()]
    try:
        examined = place.find(arguments, variables)
    except (ConfigError, CliError, BusError) as error:
        return [*found, bad("configuration", str(error), "correct it, then repeat")]
    found.append(_configuration(examined))
    if examined.configured.said is Said.COMPOSE:
        found += compose.addresses(examined.settings)
    found += machine.packages(tuple(examined.wanted))
    found.append(machine.pins(examined.pins))
    directory, facts = examined.configured.directory, examined.configured.facts
    if not examined.configured.apart:
        found.append(machine.disk(directory))
    if not examined.elsewhere:
        holder = facts["pid"] if facts else None
        found += machine.ports(examined.ports, examined.simulated, holder)
    found += secrets.files(variables, directory, place.DOTENV)
    for name, check in _checks(examined):
        found += await _bounded(name, check)
    return found


def _configuration(examined: Installation) -> Finding:
    settings = examined.settings
    names = " and ".join(venue.name for venue in settings.venues)
    says = f"{settings.source}: {settings.platform.mode} at {names}"
    if examined.is_assumed:
        why = f"what the platform at {examined.bus_url} runs is not known here; looked at {says}"
        return skipped("configuration", why, CONFIGURATION)
    return ok("configuration", says)


def _checks(examined: Installation) -> list[tuple[str, Check]]:
    expected = examined.bus_given or examined.configured.facts is not None

    async def bus() -> list[Finding]:
        url, login = examined.bus_url, examined.login
        return await servers.bus(url, login, expected=expected, wanted=examined.wanted)

    async def books() -> list[Finding]:
        return await servers.postgres(examined.dsn)

    async def markets() -> list[Finding]:
        if not examined.real:
            why = "the simulated exchange has the clock of this machine, and keys that all know"
            give = f"if it trades elsewhere, {CONFIGURATION}" if examined.is_assumed else ""
            return [skipped("venues", why, give)]
        found = []
        for venue in examined.real:
            found += await venues.examine(examined.settings, venue, examined.has_own_keys)
        return found

    return [("nats", bus), ("postgres", books), ("venues", markets)]


async def _bounded(name: str, check: Check) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return [bad(name, f"no answer within {CHECK_TIMEOUT_S:g} s", "see whether it is reached")]


def _count(found: Sequence[Finding]) -> int:
    return sum(each.level is Level.BAD for each in found)


def _show(found: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    for each in found:
        style = "yellow" if each.level is Level.SKIPPED and each.remedy else _STYLE[each.level]
        console.print(f"{each.level:<8} ", style=style, end="")
        console.print(f"{each.check}: {each.says}", markup=False, soft_wrap=True)
        if each.remedy:
            console.print(f"           {each.remedy}", markup=False, soft_wrap=True)
    number = _count(found)
    warned = sum(each.level is Level.WARNING for each in found)
    says = f"{number} of {len(found)} things are wrong" if number else "nothing is wrong"
    if warned:
        says += f", {warned} to look at: WARNING"
    unseen = sum(each.level is Level.SKIPPED and bool(each.remedy) for each in found)
    if unseen:
        says += f", {unseen} could not be looked at: SKIPPED"
    console.print(says, style="bold", soft_wrap=True)
