"""Which strategies, venues and instruments there are: a name that nobody has is refused.

Known is what is configured, what risk reports on, what the feed describes and what the gateway saw
orders of. What is asked about the past may also name what only the books still know.
"""

from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus

from tickbus import ledger_api, subjects
from tickbus.events import SMART_VENUE
from tickbus_api.core import plain
from tickbus_api.gateway import Gateway
from tickbus_api.parsing import nearest
from tickbus_api.problems import Problem, shown

LISTED_MAX = 10
FORCE = "even_if_unknown"
FORCED = f"with {FORCE} (on the command line --even-if-unknown) it is done all the same"
OF_THE_PLATFORM = (subjects.MANUAL, subjects.RISK, subjects.EXTERNAL)
"""Strategy ids that the platform itself gives; of them, people steer the first alone."""


class Named(StrEnum):
    """What a name is of."""

    STRATEGY = "strategy"
    VENUE = "venue"
    INSTRUMENT = "instrument"


def known(gateway: Gateway, kind: Named) -> list[str]:
    """Every name of that kind that the gateway has heard of, without asking anybody."""
    found = set(_of_scopes(gateway, kind))
    core, configured = gateway.core, gateway.configured
    match kind:
        case Named.STRATEGY:
            found |= {*configured.strategies, subjects.MANUAL, *core.revisions, *core.wishes}
            found |= {order.strategy_id for order in core.orders}
        case Named.VENUE:
            found |= {*gateway.venues, *(key[0] for key in core.instruments)}
            found |= {SMART_VENUE} if len(gateway.venues) > 1 else set()
        case Named.INSTRUMENT:
            found |= {*configured.instruments, *core.known()}
    return sorted(found - {""})


def _of_scopes(gateway: Gateway, kind: Named) -> Iterable[str]:
    report = gateway.core.risk_report
    if report is None:
        return
    scopes = [scope.scope for scope in report.scopes] + [limit.scope for limit in report.limits]
    for scope in scopes:
        of, _, name = scope.partition(":")
        if of == kind:
            yield name


def require(gateway: Gateway, kind: Named, name: str, field: str = "", remedy: str = "") -> None:
    """Refuse a name that the gateway never heard of; "" is none. Raises Problem."""
    names = known(gateway, kind)
    if name and name not in names:
        raise unknown(kind, name, names, field, remedy)


def configured_instrument(gateway: Gateway, symbol: str) -> str:
    """The instrument that `symbol` names, by the configuration alone. Raises Problem."""
    names = known(gateway, Named.INSTRUMENT)
    wanted = plain(symbol).removesuffix("PERP")
    found = [n for n in names if plain(n) == plain(symbol)]
    found += [n for n in names if plain(n).removesuffix("PERP") == wanted and n not in found]
    if not found:
        raise unknown(Named.INSTRUMENT, symbol, names, "symbol")
    return found[0]


async def require_past(gateway: Gateway, kind: Named, name: str) -> None:
    """The same, for what may be gone: there is also what the books hold orders of.

    Raises Problem, also when the books do not answer.
    """
    names = known(gateway, kind)
    if not name or name in (*names, *OF_THE_PLATFORM):
        return
    field = "venue" if kind is Named.VENUE else "strategy_id"
    query = ledger_api.OrdersQuery(**{field: name}, limit=1)  # type: ignore[arg-type]
    if not await gateway.in_books(query):
        raise unknown(kind, name, names)


def unknown(
    kind: Named, name: str, names: Iterable[str], field: str = "", remedy: str = ""
) -> Problem:
    """The refusal of `name`; `remedy` says what else helps."""
    names = list(names)
    near = nearest(name, names, 3)
    listed = ", ".join(names[:LISTED_MAX]) + (", …" if len(names) > LISTED_MAX else "")
    hint = f"did you mean {near[0]!r}?" if near else f"known are {listed};"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"UNKNOWN_{kind.upper()}",
        f"{field or kind}: there is no {kind} {shown(name)!r} here",
        field=field or kind,
        value=name,
        remedy=f"{hint} {remedy}".rstrip(" ;"),
        extra={"nearest": near},
    )
