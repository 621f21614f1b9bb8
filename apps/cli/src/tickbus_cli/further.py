"""The venues besides the main one: what runs for them, and where their simulated exchanges are."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from tickbus.config import Settings, VenueConfig
from tickbus_cli.errors import CliError

SIMULATED = ("binance", "binance-usdm")
"""The adapters whose protocol the simulated exchange speaks."""
ROUTER = "router"
STRATEGY = "strategy"
_URLS = ("rest_url", "ws_url", "ws_api_url")


class Further(NamedTuple):
    """A further venue; `exchange_port` is that of its simulated exchange, 0 for a real one."""

    name: str
    exchange_port: int = 0


def further(settings: Settings, simulated: bool, offset: int) -> tuple[Further, ...]:
    """The venues of `venues`, with `--port-offset` applied. Raises CliError."""
    return tuple(
        Further(venue.name, _port(venue) + offset if simulated else 0)
        for venue in settings.venues[1:]
    )


def names(
    services: Sequence[str], venues: Sequence[Further], strategies: Sequence[str] = ()
) -> tuple[str, ...]:
    """All processes in the order in which they start: those of further venues beside the main's.

    `strategies` are those that have a process each, instead of one for all.
    """
    found: list[str] = []
    for service in services:
        if service == STRATEGY and strategies:
            found += [f"{STRATEGY}-{strategy_id}" for strategy_id in strategies]
            continue
        found.append(service)
        if service in ("feed", "execution"):
            found += [f"{service}-{venue.name}" for venue in venues]
        if service == "execution" and venues:
            found.append(ROUTER)
    return tuple(found)


def service_of(name: str) -> str:
    """The service that the process `name` runs: `feed` for feed-sim2."""
    return name.partition("-")[0]


def venue_of(name: str) -> str:
    """The further venue that the process `name` is for; "" for all others."""
    service, _, rest = name.partition("-")
    return "" if service == STRATEGY else rest


def strategy_of(name: str) -> str:
    """The strategy that the process `name` runs alone; "" for all others."""
    service, _, rest = name.partition("-")
    return rest if service == STRATEGY else ""


def moved(directory: Path, settings: Settings, offset: int) -> Path:
    """A configuration file in `directory` with the addresses of all exchanges moved by `offset`."""
    venues: list[dict[str, Any]] = []
    for entry in settings.raw["venues"]:
        urls = {name: _moved(entry[name], offset) for name in _URLS}
        venues.append({**entry, **urls})
    file = directory / "venues.yaml"
    text = yaml.safe_dump({"venues": venues}, sort_keys=False)
    file.write_text(f"# Written by tickbus up: where its exchanges are.\n{text}", encoding="utf-8")
    return file


def _port(venue: VenueConfig) -> int:
    """Where the simulated exchange of `venue` is to listen. Raises CliError."""
    where = f"venues: {venue.name}: rest_url {venue.rest_url!r}"
    parts = urlsplit(venue.rest_url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if venue.adapter not in SIMULATED or not _is_loopback(parts.hostname or "") or port is None:
        raise CliError(
            f"{where} (adapter {venue.adapter}) is no simulated exchange on this machine",
            "With simulated money every venue is simulated: give an address such as"
            f" http://127.0.0.1:8091 and an adapter of {', '.join(SIMULATED)}.",
        )
    return port


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _moved(url: str, offset: int) -> str:
    parts = urlsplit(url)
    if parts.port is None:
        return url
    host = parts.netloc.rpartition(":")[0]
    return parts._replace(netloc=f"{host}:{parts.port + offset}").geturl()
