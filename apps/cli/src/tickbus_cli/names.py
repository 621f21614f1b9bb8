"""Names of strategies and venues: one that nobody has is refused, with the nearest."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tickbus import codec, ledger_api, subjects
from tickbus.bus import Bus, BusError, Message
from tickbus.config import ConfigError, load, nearest
from tickbus.events import Instrument, RiskReport
from tickbus_cli import asking
from tickbus_cli.errors import CliError

REPORT_S = 5.0
"""Risk reports every two seconds unless it is told otherwise."""
OF_THE_PLATFORM = (subjects.MANUAL, subjects.RISK, subjects.EXTERNAL)
"""Strategy ids that no configuration gives."""
STRATEGY, VENUE = "strategy", "venue"


class Names(NamedTuple):
    """What is known of each kind."""

    strategies: Sequence[str] = ()
    venues: Sequence[str] = ()

    def of(self, kind: str) -> Sequence[str]:
        """The names of one kind."""
        return {STRATEGY: self.strategies, VENUE: self.venues}[kind]


def configured(files: Sequence[str]) -> Names:
    """What the configuration in `files` names; nothing where it cannot be read."""
    try:
        settings = load(files, {"TICKBUS_POSTGRES_DSN": "", **os.environ})
        venues = settings.venues
    except ConfigError:
        return Names()
    entries = settings.raw.get("strategies") or ()
    ids = tuple(str(e["id"]) for e in entries if isinstance(e, dict) and e.get("id"))
    return Names(ids, tuple(venue.name for venue in venues))


def unknown(kind: str, name: str, known: Sequence[str], remedy: str = "") -> CliError:
    """The refusal of a name; `remedy` says what else helps."""
    plural = "strategies" if kind == STRATEGY else f"{kind}s"
    hint = nearest(name, sorted(set(known)), plural)
    hint = f"{hint[0].upper()}{hint[1:]}" + ("" if hint.endswith("?") else ".")
    return CliError(f"there is no {kind} {name!r} here", " ".join(filter(None, (hint, remedy))))


async def risk_report(bus: Bus, timeout_s: float = REPORT_S) -> RiskReport | None:
    """The next report of risk; None where it gives none in time."""
    told: asyncio.Future[RiskReport] = asyncio.get_running_loop().create_future()

    async def hear(message: Message) -> None:
        for event in codec.decode(message.payload).events:
            if isinstance(event, RiskReport) and not told.done():
                told.set_result(event)

    subscription = await bus.subscribe(subjects.RISK_STATE, hear)
    try:
        return await asyncio.wait_for(told, timeout_s)
    except TimeoutError:
        return None
    finally:
        await subscription.stop()


def strategies_of(report: RiskReport) -> list[str]:
    """Every strategy that risk has heard of."""
    scopes = [each.scope for each in report.scopes] + [each.scope for each in report.limits]
    return sorted({s.partition(":")[2] for s in scopes if s.startswith("strategy:")})


async def require_in_books(bus: Bus, wanted: Mapping[str, str], files: Sequence[str]) -> None:
    """Refuse a name of `wanted`, by kind, that neither books nor configuration have.

    For a list that came out empty: it shall not look as if there were nothing of what exists.
    Raises CliError.
    """
    missing = {kind: name for kind, name in wanted.items() if name}
    if not missing:
        return
    field = {STRATEGY: "strategy_id", VENUE: "venue"}
    for kind, name in list(missing.items()):
        query = ledger_api.OrdersQuery(**{field[kind]: name}, limit=1)  # type: ignore[arg-type]
        answer = await asking.ask(bus, ledger_api.ORDERS, query, ledger_api.OrdersAnswer)
        if answer.orders or name in OF_THE_PLATFORM:
            del missing[kind]
    if not missing:
        return
    names = await _known(bus, configured(files), STRATEGY in missing)
    for kind, name in missing.items():
        if name not in names.of(kind):
            raise unknown(kind, name, names.of(kind))


async def _known(bus: Bus, names: Names, with_strategies: bool) -> Names:
    query = ledger_api.PortfolioQuery()
    books = await asking.ask(bus, ledger_api.PORTFOLIO, query, ledger_api.PortfolioAnswer)
    strategies = {
        *names.strategies,
        subjects.MANUAL,
        *(each.strategy_id for each in books.strategies),
    }
    venues = {*names.venues, *books.balances, *(each.venue for each in books.positions)}
    with contextlib.suppress(BusError):  # what it says is one source of several
        venues.update(each.venue for each in await _described(bus))
    if with_strategies and (report := await risk_report(bus)) is not None:
        strategies.update(strategies_of(report))
    return Names(sorted(strategies), sorted(venues))


async def _described(bus: Bus) -> list[Instrument]:
    found: list[Instrument] = []

    async def take(_: str, value: bytes) -> None:
        with contextlib.suppress(codec.MalformedMessage):
            found.append(codec.decode_value(value, Instrument))

    watch = await bus.kv_watch("instruments", take)
    await watch.stop()
    return found
