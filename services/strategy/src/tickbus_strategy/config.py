"""The strategies' section of the configuration."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec

from tickbus.config import ConfigError, Settings, Source, convert, nearest
from tickbus.events import SMART_VENUE, FeeSchedule
from tickbus.permissions import RESERVED
from tickbus_strategy.base import Strategy, StrategyBase
from tickbus_strategy.core import Seat
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.finding import GROUP, find
from tickbus_strategy.spanning import SpanningStrategy

__all__ = ["GROUP", "STRATEGY_ID", "StrategyEntry", "entries", "find", "seats"]

STRATEGY_ID = r"^[A-Za-z0-9_-]{1,16}$"


class StrategyEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the list `strategies`.

    `id`: at most 16 letters, digits, `_` and `-`; order ids begin with it. `kind`: a registered
    name, or `path/to/file.py:ClassName`, where a path begins in the working directory or where a
    configuration file lies. `instruments`: canonical ids; one instance each. `params`: see the
    strategy. `venue`: the configured venue when empty. A strategy that spans markets has
    one instance for all of them, and `venues` in the place of `venue`. `every_decision`: tell each
    one on the bus and, at debug level, in the log; without it ten a second and those with orders.
    """

    id: Annotated[str, msgspec.Meta(pattern=STRATEGY_ID)]
    kind: str
    instruments: tuple[str, ...]
    params: dict[str, Any] = {}
    venue: str = ""
    enabled: bool = True
    venues: tuple[str, ...] = ()
    every_decision: bool = False

    def places(self, default: str) -> list[tuple[str, str]]:
        """Every (venue, instrument id), instrument by instrument."""
        venues = self.venues or (self.venue or default,)
        return [(venue, name) for name in self.instruments for venue in venues]


def entries(settings: Settings) -> list[StrategyEntry]:
    """The enabled entries of `all_entries`. Raises ConfigError."""
    return [entry for entry in all_entries(settings) if entry.enabled]


def all_entries(settings: Settings) -> list[StrategyEntry]:
    """All entries; only the one named by TICKBUS_STRATEGY_ID if it is set.

    Raises ConfigError for an id given twice, or an id or a venue that is not there.
    """
    found = list(settings.entries("strategies", StrategyEntry))
    ids = [entry.id for entry in found]
    venues = [SMART_VENUE, *(venue.name for venue in settings.venues)]
    for entry in found:
        for venue in (entry.venue, *entry.venues):
            if venue and venue not in venues:
                hint = nearest(venue, venues, "venues")
                raise ConfigError(f"strategies: {entry.id}: venue {venue!r} is not there; {hint}")
        if entry.venue and entry.venues:
            raise ConfigError(f"strategies: {entry.id}: give venue or venues, not both")
    for strategy_id in ids:
        if strategy_id in RESERVED:
            taken = ", ".join(RESERVED)
            raise ConfigError(f"strategies: the id {strategy_id!r} is taken, as are {taken}")
        if ids.count(strategy_id) > 1:
            raise ConfigError(f"strategies: the id {strategy_id!r} is given twice; ids are unique")
    only = settings.environment.get("TICKBUS_STRATEGY_ID", "")
    if only and only not in ids:
        raise ConfigError(
            f"TICKBUS_STRATEGY_ID={only!r}: strategies has {', '.join(ids) or 'none'}"
        )
    return [entry for entry in found if only in ("", entry.id)]


def seats(settings: Settings, chosen: Sequence[StrategyEntry]) -> list[Seat]:
    """One seat per entry and instrument. Raises ConfigError for what cannot be made."""
    made: list[Seat] = []
    for entry in chosen:
        where = f"strategies: {entry.id}"
        kind, params = _understood(settings, entry)
        first = entry.venues[0] if entry.venues else entry.venue
        known = fees(settings)
        desk = Desk(
            entry.id, settings.run_id, known.get(first, settings.venue.fees), known,
            every_decision=entry.every_decision,
        )  # fmt: skip
        markets = [Market(*place) for place in entry.places(settings.venue.name)]
        if issubclass(kind, SpanningStrategy):
            made.append(Seat(kind(desk, markets, params), desk, *markets))
            continue
        if entry.venues:
            raise ConfigError(
                f"{where}: venues is for strategies that span markets, and {entry.kind} is for one:"
                " give venue"
            )
        assert issubclass(kind, Strategy)  # `find` sees to it
        made += [Seat(kind(desk, market, params), desk, market) for market in markets]
    return made


def check(settings: Settings) -> None:
    """Refuse what no process of strategies could start with. Raises ConfigError.

    Files of strategies are not loaded, for that would run them here.
    """
    for entry in entries(settings):
        _require_listed(settings, entry)
        if ":" not in entry.kind:
            _understood(settings, entry)


def _require_listed(settings: Settings, entry: StrategyEntry) -> None:
    # It would wait for its market for ever: the feed hears what its venue lists, and no more.
    listed = {venue.name: venue.instruments for venue in settings.venues}
    listed[SMART_VENUE] = tuple(name for names in listed.values() for name in names)
    for venue, name in entry.places(settings.venue.name):
        if not any(fnmatchcase(name, pattern) for pattern in listed[venue]):
            hint = nearest(name, listed[venue], "instruments")
            raise ConfigError(
                f"{_file(settings)}: strategies: {entry.id}: instrument {name!r} is not among those"
                f" of the venue {venue!r}; {hint}"
            )


def _understood(settings: Settings, entry: StrategyEntry) -> tuple[type[StrategyBase], Any]:
    kind = find(entry.kind, settings.folders)
    where = f"strategies: {entry.id}.params"
    return kind, convert(entry.params, kind.Params, where, _file(settings))


def _file(settings: Settings) -> str:
    source = settings.source
    return source.of("strategies") if isinstance(source, Source) else source


def fees(settings: Settings) -> Mapping[str, FeeSchedule]:
    """What each venue takes; at `smart` strategies reckon with the most that a part may cost."""
    known = {each.name: each.fees for each in settings.venues}
    makers, takers = ([getattr(f, n) for f in known.values()] for n in ("maker", "taker"))
    return {**known, SMART_VENUE: FeeSchedule(maker=max(makers), taker=max(takers))}
