"""The declaration of the feed service."""

from importlib.metadata import entry_points

from tickbus.config import ConfigError, Settings
from tickbus.runtime import ServiceSpec
from tickbus_feed.config import FeedConfig
from tickbus_feed.connection import VenueConnection
from tickbus_feed.core import FeedCore
from tickbus_feed.venue import (
    Dialect,
    FetchSnapshot,
    FrameRejected,
    ProbeBook,
    Reconnect,
    Resubscribe,
)

GROUP = "tickbus.venues"


def dialect(name: str) -> Dialect:
    """The adapter `name` from the entry points `tickbus.venues`. Raises ConfigError."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none: install a package that offers one"
        raise ConfigError(f"venue.adapter = {name!r}: no such adapter; installed are {known}")
    made: Dialect = found[name].load()()
    return made


def build(settings: Settings) -> ServiceSpec:
    """The feed of the configured venue."""
    config = settings.section("feed", FeedConfig)
    venue = settings.venue
    adapter = dialect(venue.adapter)
    if adapter.depth_limits and config.snapshot_levels not in adapter.depth_limits:
        raise ConfigError(
            f"feed.snapshot_levels = {config.snapshot_levels}: {adapter.name} takes one of"
            f" {', '.join(map(str, adapter.depth_limits))}"
        )
    core = FeedCore(config, venue.name, adapter)
    connection = VenueConnection(core, venue, config, adapter)
    return ServiceSpec(
        name="feed",
        core=core,
        sinks={
            FetchSnapshot: connection.fetch,
            ProbeBook: connection.probe,
            Resubscribe: connection.resubscribe,
            Reconnect: connection.reconnect,
            FrameRejected: connection.reject,
        },
        edges=(connection,),
    )
