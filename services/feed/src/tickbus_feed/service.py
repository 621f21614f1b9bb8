"""The declaration of the feed service."""

from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tickbus import subjects
from tickbus.config import ConfigError, Settings
from tickbus.runtime import ServiceSpec
from tickbus.shard import Shard
from tickbus_feed.adapter import Adapter
from tickbus_feed.config import FeedConfig
from tickbus_feed.connection import VenueConnection
from tickbus_feed.core import FeedCore
from tickbus_feed.measures import measure
from tickbus_feed.venue import (
    FetchSnapshot,
    FrameRejected,
    ProbeBook,
    Reconnect,
    Renew,
    Resubscribe,
)

GROUP = "tickbus.venues"
NEEDED = ("parse", "routes", "subscription", "instruments_requests", "list_instruments")
"""What an adapter cannot do without."""


def adapters() -> dict[str, EntryPoint]:
    """The adapters that installed packages offer, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def adapter_named(name: str, **arguments: Any) -> Adapter:
    """The adapter `name` from the entry points `tickbus.venues`. Raises ConfigError."""
    found = adapters()
    if name not in found:
        known = ", ".join(sorted(found)) or "none: install a package that offers one"
        raise ConfigError(f"venue.adapter = {name!r}: no such adapter; installed are {known}")
    entry = found[name]
    owner = f"the package {entry.dist.name!r}" if entry.dist is not None else "a package"
    try:
        kind = entry.load()
        made = kind(**arguments)
    except Exception as error:  # whatever somebody else's code raises
        raise ConfigError(
            f"the adapter {name!r} of {owner} ({entry.value}) cannot be used:"
            f" {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Adapter):
        raise ConfigError(f"the adapter {name!r} of {owner}: {entry.value} is no Adapter")
    lacking = [n for n in NEEDED if getattr(kind, n) is getattr(Adapter, n)]
    if type(made).read is not Adapter.read:
        lacking = [n for n in lacking if n != "parse"]
    if lacking:
        raise ConfigError(f"the adapter {name!r} of {owner} lacks {', '.join(lacking)}")
    if made.name != name:
        raise ConfigError(
            f"the adapter {name!r} of {owner} calls itself {made.name!r}: give both one name"
        )
    return made


def build(settings: Settings) -> ServiceSpec:
    """The feed of the configured venue."""
    config = settings.section("feed", FeedConfig)
    venue = settings.venue
    adapter = adapter_named(venue.adapter, levels=config.snapshot_levels)
    if adapter.levels_allowed and config.snapshot_levels not in adapter.levels_allowed:
        raise ConfigError(
            f"feed.snapshot_levels = {config.snapshot_levels}: {adapter.name} takes one of"
            f" {', '.join(map(str, adapter.levels_allowed))}"
        )
    core = FeedCore(config, venue.name, adapter)
    shard = Shard.of(settings.environment)
    connection = VenueConnection(core, venue, config, adapter, _traded(settings), shard)
    return ServiceSpec(
        name="feed",
        core=core,
        subscribe=(subjects.keyframe_wishes(venue.name),),
        sinks={
            FetchSnapshot: connection.fetch,
            ProbeBook: connection.probe,
            Resubscribe: connection.resubscribe,
            Reconnect: connection.reconnect,
            Renew: connection.renew,
            FrameRejected: connection.reject,
        },
        edges=(connection,),
        measure=partial(measure, core),
    )


def _traded(settings: Settings) -> frozenset[str]:
    """The instruments that a strategy trades: these are not to wait for all the others."""
    strategies = settings.raw.get("strategies") or ()
    return frozenset(
        name
        for entry in strategies
        if isinstance(entry, dict) and entry.get("enabled", True)
        for name in entry.get("instruments") or ()
    )
