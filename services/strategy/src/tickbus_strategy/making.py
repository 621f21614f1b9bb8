"""Makes strategies of terms: finds their class, checks their parameters, gives them their seats."""

import difflib
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from inspect import getdoc
from pathlib import Path

import msgspec

from tickbus import subjects
from tickbus.config import ConfigError, Settings, convert, nearest
from tickbus.events import SMART_VENUE, Instrument, StrategyTerms
from tickbus.permissions import RESERVED
from tickbus.runtime.listening import SUBJECTS_MAX
from tickbus.strategy_api import KindReport
from tickbus_strategy import config
from tickbus_strategy.base import Strategy, StrategyBase
from tickbus_strategy.core import Seat
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.finding import GROUP, find, located
from tickbus_strategy.spanning import SpanningStrategy

MARKETS_MAX = 100
"""Of one strategy."""
MARKETS_OF_ALL_MAX = SUBJECTS_MAX // 5
"""Of all strategies of one process: each is heard on five subjects."""
KIND_SHOWN = 200
_SOURCE = "terms"
_HEARD = ("trade", "quote", "status", "liquidation")
_ID = re.compile(config.STRATEGY_ID)
_NAME = re.compile(r"[^\s.*>\x00-\x1f\x7f]{1,64}")
"""What can be part of a subject, and stands for one venue or one instrument."""


class Refused(Exception):
    """Terms cannot be applied; the text names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{field} = {value}: {problem}; {remedy}")
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy


class Kinds:
    """The classes of strategies by their kinds; a file is read again once it has changed."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """`folders` are where files are looked for besides the working directory."""
        self._folders = folders
        self._loaded: dict[str, tuple[tuple[int, int], type[StrategyBase]]] = {}
        self._lock = threading.Lock()

    def load(self, kind: str) -> type[StrategyBase]:
        """The class. Runs the code of its module, so it may take its time. Raises Refused."""
        with self._lock:
            remedy = "give a kind of `tickbus strategies kinds`, or file.py:Class"
            try:
                stamp = self._stamp(kind)
                known = self._loaded.get(kind)
                if known is not None and known[0] == stamp:
                    return known[1]
                found = find(kind, self._folders)
            except ConfigError as error:
                raise Refused("kind", kind, _after_kind(str(error)), remedy) from error
            except (OSError, ValueError) as error:  # no path at all, or one that is not for us
                raise Refused("kind", kind[:KIND_SHOWN], str(error), remedy) from error
            self._loaded[kind] = (stamp, found)
            return found

    def _stamp(self, kind: str) -> tuple[int, int]:
        """What changes with the file of a kind; the same for ever for a registered one."""
        if ":" not in kind and not kind.endswith(".py"):
            return (0, 0)
        path = located(kind if ":" in kind else f"{kind}:", self._folders).rpartition(":")[0]
        try:
            found = Path(path).stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)

    def reports(self, kind: str = "") -> tuple[KindReport, ...]:
        """What can be run, or what is to be known of one kind."""
        names = [kind] if kind else sorted(e.name for e in entry_points(group=GROUP))
        return tuple(self._report(name) for name in names)

    def _report(self, kind: str) -> KindReport:
        try:
            found = self.load(kind)
            schema = msgspec.json.encode(msgspec.json.schema(found.Params)).decode()
        except (Refused, TypeError) as error:
            return KindReport(kind, problem=str(error))
        doc = getdoc(found) or ""
        return KindReport(
            kind, found.title or doc.partition("\n")[0], doc, getdoc(found.Params) or "", schema,
            issubclass(found, SpanningStrategy),
        )  # fmt: skip


class Maker:
    """Makes seats as the configuration has it: venues, fees, the run."""

    def __init__(
        self, settings: Settings, kinds: Kinds, hosts: Callable[[str], bool] = lambda _: True
    ) -> None:
        """`hosts` says whether a strategy is this process's."""
        self.kinds = kinds
        self._hosts = hosts
        self._settings = settings
        self._venues = [SMART_VENUE, *(venue.name for venue in settings.venues)]
        found = settings.entries("strategies", config.StrategyEntry)
        self._tell_all = {entry.id for entry in found if entry.every_decision}

    def desk(self, strategy_id: str) -> Desk | None:
        """A new desk; None for an id that is not ours, or none at all."""
        if (
            not _ID.fullmatch(strategy_id)
            or strategy_id in RESERVED
            or not self._hosts(strategy_id)
        ):
            return None
        settings = self._settings
        return Desk(
            strategy_id, settings.run_id, settings.venue.fees, config.fees(settings),
            every_decision=strategy_id in self._tell_all,
        )  # fmt: skip

    def seats(
        self, terms: StrategyTerms, desk: Desk,
        instruments: Mapping[tuple[str, str], Instrument] | None = None,
    ) -> list[Seat]:  # fmt: skip
        """Instances for `terms` at `desk`. Raises Refused.

        With `instruments` each must be one of them, where any of its venue is known.
        """
        places = self._places(terms, instruments or {})
        kind = self.kinds.load(terms.kind)
        params = self._params(kind, terms)
        markets = [Market(*place) for place in places]
        if terms.venues and not issubclass(kind, SpanningStrategy):
            raise Refused(
                "venues", ", ".join(terms.venues), f"{terms.kind} is for one market at a time",
                "give venue instead",
            )  # fmt: skip
        try:
            if issubclass(kind, SpanningStrategy):
                return [Seat(kind(desk, markets, params), desk, *markets)]
            assert issubclass(kind, Strategy)  # `find` sees to it
            return [Seat(kind(desk, market, params), desk, market) for market in markets]
        except Exception as error:
            problem = f"it cannot be made: {error!r}"
            raise Refused("kind", terms.kind, problem, "correct its __init__") from error

    def places(self, terms: StrategyTerms) -> list[tuple[str, str]]:
        """Every (venue, instrument id) of `terms`, instrument by instrument, unchecked."""
        venues = terms.venues or (terms.venue or self._settings.venue.name,)
        return [(venue, name) for name in terms.instruments for venue in venues]

    def _params(self, kind: type[StrategyBase], terms: StrategyTerms) -> msgspec.Struct:
        try:
            return convert(terms.params, kind.Params, "params", _SOURCE)
        except ConfigError as error:
            # `terms: params.window_s = 'x': Expected ...`
            text = str(error).removeprefix(f"{_SOURCE}: ")
            where, _, problem = text.partition(": ")
            field, _, value = where.partition(" = ")
            name = field.removeprefix("params.")
            value = value or (repr(terms.params[name]) if name in terms.params else "")
            remedy = f"see what {terms.kind} takes with `tickbus strategies kinds`"
            raise Refused(field, value or "given", problem, remedy) from error
        except Exception as error:  # somebody else's __post_init__ may raise anything
            remedy = f"see what {terms.kind} takes with `tickbus strategies kinds`"
            raise Refused("params", "given", f"cannot be taken: {error!r}", remedy) from error

    def _places(
        self, terms: StrategyTerms, instruments: Mapping[tuple[str, str], Instrument]
    ) -> list[tuple[str, str]]:
        if terms.venue and terms.venues:
            raise Refused("venues", ", ".join(terms.venues), "venue is given, too", "give one")
        if not terms.instruments:
            raise Refused("instruments", "none", "there is nothing to trade", "give one or more")
        for venue in (terms.venue, *terms.venues):
            if venue and venue not in self._venues:
                hint = nearest(venue, self._venues, "venues")
                raise Refused("venue", venue, "is not configured", hint)
        for name in terms.instruments:
            if not _NAME.fullmatch(name):
                raise Refused("instruments", repr(name), "is no id", "give ids like BTC-USDT")
        places = self.places(terms)
        if len(set(places)) < len(places):
            names = ", ".join(terms.instruments)
            raise Refused("instruments", names, "one is given twice", "give each once")
        if len(places) > MARKETS_MAX:
            problem = f"more than {MARKETS_MAX} markets"
            raise Refused("instruments", len(places), problem, "give them to several strategies")
        for venue, name in places:
            known = [key[1] for key in instruments if key[0] == venue]
            if known and name not in known:
                raise Refused("instruments", name, f"not known at {venue}", _hint(name, known))
        return places


def terms_of(entry: config.StrategyEntry) -> StrategyTerms:
    """The terms that an entry of the configuration stands for."""
    return StrategyTerms(
        entry.kind, entry.instruments, entry.params, entry.enabled, entry.venue, entry.venues
    )


def is_nameable(place: tuple[str, str]) -> bool:
    """Whether a market of these names can be: whether they can be parts of subjects and keys."""
    return all(map(_NAME.fullmatch, place))


def places(seats: Sequence[Seat]) -> list[tuple[str, str]]:
    """Every market of `seats`, once."""
    found = ((m.venue, m.instrument_id) for seat in seats for m in seat.markets)
    return list(dict.fromkeys(found))


def require_hearable(seats: Sequence[Seat], others: Sequence[Seat]) -> None:
    """Raise Refused where one process cannot hear the markets of `seats` besides others."""
    if len({*places(seats), *places(others)}) > MARKETS_OF_ALL_MAX:
        problem = f"more than {MARKETS_OF_ALL_MAX} markets for all strategies of this process"
        remedy = "give some to a process of their own, with TICKBUS_STRATEGY_ID"
        raise Refused("instruments", len(places(seats)), problem, remedy)


def heard_in(markets: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The subjects of everything that strategies are told of `markets`."""
    found: Sequence[tuple[str, str]] = sorted(markets)
    return tuple(
        subject
        for venue, name in found
        for subject in (
            *(subjects.market(kind, venue, name) for kind in _HEARD),
            subjects.book("top", venue, name),
        )
    )


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "see `GET /api/v1/instruments` for what is"


def _after_kind(text: str) -> str:
    # `strategy kind 'x': not known; ...`: field and value are told by who tells the rest.
    return text.partition("': ")[2] or text
