"""Which installation is examined: what its services read, where its bus is, what should run there.

What it is configured with, the first of: --venue, --live, --config and --data-dir, as for
`tickbus up`; TICKBUS_CONFIG, as for every service; the platform that runs here; TICKBUS_CONFIG of
the `.env` beside docker-compose.yml; the simulated exchange.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from tickbus import venue_keys
from tickbus.config import PostgresConfig, Settings, VenueConfig, load
from tickbus.login import Login
from tickbus_cli import checking, datadir, logins, profile
from tickbus_cli.datadir import BASE, EXCHANGE
from tickbus_cli.doctor import compose
from tickbus_cli.doctor.finding import Level
from tickbus_cli.further import ROUTER, STRATEGY, further, service_of
from tickbus_embedded import running_dsn

DOTENV = Path(".env")
BUS = "TICKBUS_NATS_URL"
IN_IMAGES = Path("/etc/tickbus")
"""Where `config/` is in the images of the services."""
USUAL = ("killswitch", "history", "alerts", ROUTER)
"""Services without which orders still go from strategies to the venues and into the books."""


class Said(Enum):
    """Who says what the installation is configured with."""

    ARGUMENTS = auto()
    VARIABLE = auto()
    PLATFORM = auto()
    COMPOSE = auto()
    NOBODY = auto()


@dataclass(frozen=True)
class Configured:
    """What the installation is configured with; `facts` are of the platform that runs here."""

    said: Said
    settings: Settings
    directory: Path
    facts: dict[str, Any] | None = None

    @property
    def apart(self) -> bool:
        """Whether something else than `tickbus up` starts its services."""
        return self.said in (Said.VARIABLE, Said.COMPOSE)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What is examined.

    `real` are the venues that are no simulated exchange. `wanted` are the processes that should
    run, each with how bad it is that it does not. `bus_given`: somebody said where the bus is.
    `elsewhere`: it is not what `tickbus up` runs on this machine, or would.
    """

    configured: Configured
    simulated: bool
    real: tuple[VenueConfig, ...]
    wanted: Mapping[str, Level]
    ports: profile.Ports
    bus_url: str
    bus_given: bool
    login: Login | None
    dsn: str
    elsewhere: bool
    pins: Path

    @property
    def settings(self) -> Settings:
        """The merged configuration."""
        return self.configured.settings

    @property
    def is_assumed(self) -> bool:
        """Whether nobody said what it is configured with, and it may be anything."""
        return self.bus_given and self.elsewhere and self.configured.said is Said.NOBODY

    @property
    def has_own_keys(self) -> bool:
        """Whether the keys that it trades with would be known here."""
        runs = self.bus_given or self.configured.facts is not None
        return not runs or self.configured.said is Said.COMPOSE


def environment() -> dict[str, str]:
    """The variables of this process over those of `.env`, of which empty ones say nothing."""
    return {**{k: v for k, v in dotenv_values(DOTENV).items() if v}, **os.environ}


def find(arguments: argparse.Namespace, variables: Mapping[str, str]) -> Installation:
    """What the arguments and the environment mean. Raises ConfigError, CliError and BusError."""
    configuration = profile.find_configuration(Path.cwd())
    chosen = profile.choose(arguments.venue or profile.VENUES[0], arguments.live)
    bus = arguments.bus or variables.get(BUS, "")
    configured = _configured(arguments, variables, chosen, configuration, bus)
    settings, facts = configured.settings, configured.facts
    checking.check(settings)
    elsewhere = configured.apart or (bool(bus) and facts is None)
    simulated = bool(facts["exchange_url"]) if facts else chosen.simulated and not elsewhere
    venues = further(settings, simulated, arguments.port_offset)
    if elsewhere:  # its ports are not those of this machine, but its processes have these names
        ports = profile.ports({}, 0, venues)
    else:
        separate = profile.separate_strategies(settings)
        ports = profile.ports(variables, arguments.port_offset, venues, separate)
    if not configured.apart:
        profile.require_keys(chosen, variables, [venue.name for venue in settings.venues])
    url, login = _bus(bus, configured, ports)
    dsn = "" if elsewhere else running_dsn(configured.directory / "postgres")
    return Installation(
        configured=configured,
        simulated=simulated,
        real=() if simulated else tuple(v for v in settings.venues if _is_real(settings, v)),
        wanted=wanted_of(settings, _processes(facts, ports)),
        ports=ports,
        bus_url=url,
        bus_given=bool(bus),
        login=login,
        dsn=dsn or settings.section("postgres", PostgresConfig).dsn,
        elsewhere=elsewhere,
        # They are beside the configuration, in a working copy as in the package.
        pins=configuration.parent / "requirements" / "runtime.txt",
    )


def _configured(
    arguments: argparse.Namespace, variables: Mapping[str, str], chosen: profile.Profile,
    configuration: Path, bus: str,
) -> Configured:  # fmt: skip
    flags = bool(arguments.venue or arguments.live or arguments.config)
    named = os.environ.get(compose.CONFIG, "")
    if named and not flags and not arguments.data_dir:
        files = _here(named, configuration)
        return Configured(Said.VARIABLE, load(files, variables), BASE.absolute())
    files = profile.configuration_files(configuration, chosen, arguments.config)
    settings = load(files, variables)
    books = BASE / profile.books_of(chosen, settings)
    directory = (arguments.data_dir or books).absolute()
    anywhere = not flags and not arguments.data_dir
    running = _running([directory], bus)
    if not running and anywhere:
        running = _running(sorted(BASE.glob("*")), bus)
    for path, facts in running:
        if not arguments.config:
            settings = load(facts.get("config") or files, variables)  # what it runs on
        return Configured(Said.PLATFORM, settings, path.absolute(), facts)
    given = compose.variables(DOTENV) if anywhere else {}
    if given:
        files = _here(given[compose.CONFIG], configuration)
        return Configured(Said.COMPOSE, load(files, {**variables, **given}), BASE.absolute())
    return Configured(Said.ARGUMENTS if flags else Said.NOBODY, settings, directory)


def _running(paths: Iterable[Path], bus: str) -> list[tuple[Path, dict[str, Any]]]:
    """The platform that runs on one of `paths`, with its bus at `bus`; nothing for several."""
    all_facts = ((path, datadir.running(path)) for path in paths)
    found = [(path, f) for path, f in all_facts if f and bus in ("", f["nats_url"])]
    return found if len(found) == 1 else []


def _here(named: str, configuration: Path) -> tuple[Path, ...]:
    """The files of TICKBUS_CONFIG; those that only the images have are taken from `config/`."""
    return tuple(_kept(Path(name), configuration) for name in named.split(os.pathsep) if name)


def _kept(file: Path, configuration: Path) -> Path:
    if file.is_file() or not file.is_relative_to(IN_IMAGES):
        return file
    kept = configuration / file.relative_to(IN_IMAGES)
    return kept if kept.is_file() else file


def _bus(given: str, configured: Configured, ports: profile.Ports) -> tuple[str, Login | None]:
    if given:
        return given, logins.for_url(given)
    if configured.facts:
        return configured.facts["nats_url"], logins.operator(configured.directory)
    if configured.apart:
        url = configured.settings.bus_url
        return url, logins.for_url(url)
    return f"nats://127.0.0.1:{ports.nats}", None


def _is_real(settings: Settings, venue: VenueConfig) -> bool:
    """Whether it is no simulated exchange, by the mode, or whatever that says by the address."""
    real = venue_keys.asked_at(venue.rest_url) is not None
    return real or settings.platform.mode != "simulated"


def _processes(facts: dict[str, Any] | None, ports: profile.Ports) -> tuple[str, ...]:
    if facts is None:
        return ports.names
    return tuple(name for name in facts["services"] if service_of(name) != EXCHANGE)


def wanted_of(settings: Settings, processes: Iterable[str]) -> dict[str, Level]:
    """How bad it is where one does not run; a strategy that nobody configured may be started."""
    usual = USUAL if settings.raw.get("strategies") else (*USUAL, STRATEGY)
    return {n: Level.WARNING if service_of(n) in usual else Level.BAD for n in processes}
