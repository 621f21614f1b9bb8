"""Say what is wrong with this installation, and how to mend it.

tickbus doctor                               before the first start, or while the platform runs
tickbus doctor --venue binance --live        before real money is at stake
tickbus doctor --bus nats://nats:4222        a platform elsewhere

Looks only; changes nothing. Exit code 1 when something is bad, 0 otherwise.
"""

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from rich.console import Console

from tickbus.bus import BusError
from tickbus.config import ConfigError, Settings, load
from tickbus.login import Login
from tickbus_cli import checking, datadir, logins, profile
from tickbus_cli.doctor import machine, secrets, servers, venues
from tickbus_cli.doctor.finding import CHECK_TIMEOUT_S, Check, Finding, Level, bad, ok
from tickbus_cli.errors import CliError
from tickbus_cli.further import further
from tickbus_embedded import running_dsn

DOTENV = Path(".env")
_STYLE = {Level.OK: "green", Level.SKIPPED: "dim", Level.WARNING: "yellow", Level.BAD: "bold red"}


@dataclass(frozen=True)
class Installation:
    """What is examined; `facts` are of the platform that runs on `directory`, None where none."""

    settings: Settings
    chosen: profile.Profile
    ports: profile.Ports
    directory: Path
    facts: dict[str, Any] | None
    bus_url: str
    login: Login | None
    elsewhere: bool
    pins: Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--venue", choices=profile.VENUES, default="sim", help="as for `tickbus up` (default: sim)")
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
    environment = {**{k: v for k, v in dotenv_values(DOTENV).items() if v}, **os.environ}
    found = [machine.python(), machine.open_files()]
    try:
        place = _installation(arguments, environment)
    except (ConfigError, CliError, BusError) as error:
        return [*found, bad("configuration", str(error), "correct it, then repeat")]
    found.append(ok("configuration", place.settings.source))
    found += machine.packages(place.ports.names)
    found.append(machine.pins(place.pins))
    found.append(machine.disk(place.directory))
    if not place.elsewhere:
        holder = place.facts["pid"] if place.facts else None
        found += machine.ports(place.ports, place.chosen.simulated, holder)
    found += secrets.files(environment, place.directory, DOTENV)
    for name, check in _checks(place, environment.get("TICKBUS_POSTGRES_DSN", "")):
        found += await _bounded(name, check)
    return found


def _checks(place: Installation, dsn: str) -> list[tuple[str, Check]]:
    expected = place.facts is not None or place.elsewhere
    if not place.elsewhere:
        dsn = running_dsn(place.directory / "postgres") or dsn

    async def bus() -> list[Finding]:
        return await servers.bus(place.bus_url, place.login, expected=expected)

    async def books() -> list[Finding]:
        return await servers.postgres(dsn)

    async def markets() -> list[Finding]:
        found = []
        for venue in place.settings.venues:
            found += await venues.examine(place.settings, venue)
        return found

    # The simulated exchange has the clock of this machine, and keys that everybody knows.
    real: list[tuple[str, Check]] = [] if place.chosen.simulated else [("venues", markets)]
    return [("nats", bus), ("postgres", books), *real]


async def _bounded(name: str, check: Check) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return [bad(name, f"no answer within {CHECK_TIMEOUT_S:g} s", "see whether it is reached")]


def _installation(arguments: argparse.Namespace, environment: dict[str, str]) -> Installation:
    chosen = profile.choose(arguments.venue, arguments.live)
    configuration = profile.find_configuration(Path.cwd())
    files = profile.configuration_files(configuration, chosen, arguments.config)
    settings = load(files, environment)
    books = Path(".tickbus") / profile.books_of(chosen, settings)
    directory = (arguments.data_dir or books).absolute()
    facts = datadir.running(directory)
    if facts and not arguments.config:
        settings = load(facts.get("config") or files, environment)  # what it runs on
    checking.check(settings)
    more = further(settings, chosen.simulated, arguments.port_offset)
    ports = profile.ports(
        environment, arguments.port_offset, more, profile.separate_strategies(settings)
    )
    profile.require_keys(chosen, environment, [venue.name for venue in settings.venues])
    elsewhere = bool(arguments.bus or environment.get("TICKBUS_NATS_URL"))
    url, login = _bus_of(arguments, environment, directory, facts, ports)
    # They are beside the configuration, in a working copy as in the package.
    pins = configuration.parent / "requirements" / "runtime.txt"
    return Installation(settings, chosen, ports, directory, facts, url, login, elsewhere, pins)


def _bus_of(
    arguments: argparse.Namespace, environment: dict[str, str], directory: Path,
    facts: dict[str, Any] | None, ports: profile.Ports,
) -> tuple[str, Login | None]:  # fmt: skip
    given = arguments.bus or environment.get("TICKBUS_NATS_URL", "")
    if given:
        return given, logins.for_url(given)
    if facts:
        return facts["nats_url"], logins.operator(directory)
    return f"nats://{machine.HOST}:{ports.nats}", None


def _count(found: Sequence[Finding]) -> int:
    return sum(each.level is Level.BAD for each in found)


def _show(found: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    for each in found:
        console.print(f"{each.level:<8} ", style=_STYLE[each.level], end="")
        console.print(f"{each.check}: {each.says}", markup=False, soft_wrap=True)
        if each.remedy:
            console.print(f"           {each.remedy}", markup=False, soft_wrap=True)
    number = _count(found)
    warned = sum(each.level is Level.WARNING for each in found)
    says = f"{number} of {len(found)} things are wrong" if number else "nothing is wrong"
    if warned:
        says += f", {warned} to look at: WARNING"
    console.print(says, style="bold")
