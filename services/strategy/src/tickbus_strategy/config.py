"""The strategies' section of the configuration, and how strategies are found."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tickbus.config import ConfigError, Settings, convert, nearest
from tickbus.events import SMART_VENUE, FeeSchedule
from tickbus_strategy.base import Strategy
from tickbus_strategy.core import Seat
from tickbus_strategy.desk import Desk, Market

GROUP = "tickbus.strategies"
STRATEGY_ID = r"^[A-Za-z0-9_-]{1,16}$"


class StrategyEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the list `strategies`.

    `id`: at most 16 letters, digits, `_` and `-`; order ids begin with it. `kind`: a registered
    name, or `path/to/file.py:ClassName`. `instruments`: canonical ids; one instance each. `params`:
    see the strategy. `venue`: the configured venue when empty.
    """

    id: Annotated[str, msgspec.Meta(pattern=STRATEGY_ID)]
    kind: str
    instruments: tuple[str, ...]
    params: dict[str, Any] = {}
    venue: str = ""
    enabled: bool = True


def entries(settings: Settings) -> list[StrategyEntry]:
    """The enabled entries; only the one named by TICKBUS_STRATEGY_ID if it is set.

    Raises ConfigError for an id given twice, or an id or a venue that is not there.
    """
    found = list(settings.entries("strategies", StrategyEntry))
    ids = [entry.id for entry in found]
    venues = [SMART_VENUE, *(venue.name for venue in settings.venues)]
    for entry in found:
        if entry.venue and entry.venue not in venues:
            hint = nearest(entry.venue, venues, "venues")
            raise ConfigError(f"strategies: {entry.id}: venue {entry.venue!r} is not there; {hint}")
    for strategy_id in ids:
        if ids.count(strategy_id) > 1:
            raise ConfigError(f"strategies: the id {strategy_id!r} is given twice; ids are unique")
    only = settings.environment.get("TICKBUS_STRATEGY_ID", "")
    if only and only not in ids:
        raise ConfigError(
            f"TICKBUS_STRATEGY_ID={only!r}: strategies has {', '.join(ids) or 'none'}"
        )
    return [entry for entry in found if entry.enabled and only in ("", entry.id)]


def seats(settings: Settings, chosen: Sequence[StrategyEntry]) -> list[Seat]:
    """One seat per entry and instrument. Raises ConfigError for what cannot be made."""
    made: list[Seat] = []
    for index, entry in enumerate(chosen):
        kind = find(entry.kind)
        where = f"strategies[{index}] ({entry.id}).params"
        params = convert(entry.params, kind.Params, where, settings.source)
        desk = Desk(entry.id, settings.run_id, _fees(settings, entry.venue))
        for instrument_id in entry.instruments:
            market = Market(entry.venue or settings.venue.name, instrument_id)
            made.append(Seat(kind(desk, market, params), desk, market))
    return made


def _fees(settings: Settings, venue: str) -> FeeSchedule:
    """What strategies at `venue` reckon with; at `smart` the most that any part may cost."""
    known = {each.name: each.fees for each in settings.venues}
    if venue == SMART_VENUE:
        maker, taker = (max(getattr(f, n) for f in known.values()) for n in ("maker", "taker"))
        return FeeSchedule(maker=maker, taker=taker)
    return known.get(venue, settings.venue.fees)


def find(kind: str) -> type[Strategy]:
    """The strategy class named by a registered name or by `file.py:Class`. Raises ConfigError."""
    if ":" in kind:
        return _from_file(kind)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        hint = nearest(kind, sorted(found), "kinds")
        raise ConfigError(f"strategy kind {kind!r}: not known; {hint} (or file.py:Class)")
    return _checked(found[kind].load(), kind)


def _from_file(kind: str) -> type[Strategy]:
    name, _, class_name = kind.rpartition(":")
    path = Path(name)
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError(f"strategy kind {kind!r}: there is no Python file {path}")
    spec = importlib.util.spec_from_file_location(f"tickbus_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"strategy kind {kind!r}: {path} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"strategy kind {kind!r}: {path} cannot be loaded: {error!r}") from error
    if not hasattr(module, class_name):
        raise ConfigError(f"strategy kind {kind!r}: {path} defines no {class_name}")
    return _checked(getattr(module, class_name), kind)


def _checked(value: Any, kind: str) -> type[Strategy]:
    if not (isinstance(value, type) and issubclass(value, Strategy)):
        raise ConfigError(f"strategy kind {kind!r}: {value!r} is no subclass of Strategy")
    return value
