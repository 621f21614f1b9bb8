"""The route of what risk refused, and why."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from tickbus import ledger_api
from tickbus.events import DenialReason
from tickbus.ledger_api import DenialRecord, DenialsAnswer, DenialsQuery
from tickbus_api.access import READ
from tickbus_api.books import json_or_text
from tickbus_api.exporting import FILES, ROWS_AT_ONCE, AsFile, as_file
from tickbus_api.names import Named, require_past
from tickbus_api.parsing import nearest
from tickbus_api.problems import invalid
from tickbus_api.reading import Cursor, Limit, Operations, Since, Until, Venue, ns_of
from tickbus_api.views import View, iso

router = APIRouter(prefix="/api/v1/risk", tags=["risk"])


class DenialView(View):
    """One refusal; `detail` holds `limit=.. value=..`, and `scope=..` where limits have scopes."""

    sequence: int
    at: str | None
    what: str
    order_id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    reason: str
    detail: str
    limit: str
    value: str
    scope: str
    wish: Any

    @classmethod
    def of(cls, record: DenialRecord, symbol: str) -> "DenialView":
        """The view of `record`, whose venue spells the instrument `symbol`."""
        parts = parts_of(record.detail)
        return cls(
            sequence=record.sequence,
            at=iso(record.ts_recv),
            what="CANCEL" if record.is_cancel else "ORDER",
            order_id=record.client_order_id,
            strategy=record.strategy_id,
            symbol=symbol,
            instrument_id=record.instrument_id,
            venue=record.venue,
            reason=record.reason,
            detail=record.detail,
            limit=parts.get("limit", ""),
            value=parts.get("value", ""),
            scope=parts.get("scope", ""),
            wish=json_or_text(record.wish),
        )


class DenialsView(View):
    """A page of refusals, newest first; ask again with `cursor=next_cursor` for the next."""

    denials: list[DenialView]
    next_cursor: str | None


@router.get("/denials", dependencies=READ, response_model=DenialsView, responses=FILES)
async def denials(
    gateway: Operations,
    reason: Annotated[str, Query(max_length=64, description="one of docs/denial-reasons.md")] = "",
    strategy: Annotated[str, Query(max_length=64)] = "",
    symbol: Annotated[str | None, Query(max_length=64)] = None,
    venue: Venue = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    file: AsFile = None,
) -> DenialsView | Response:
    """Orders and cancels that risk refused, newest first, each with the limit that it met."""
    await require_past(gateway, Named.VENUE, venue)
    await require_past(gateway, Named.STRATEGY, strategy)
    query = DenialsQuery(
        reason=_reason(reason),
        strategy_id=strategy,
        venue=venue,
        instrument_id=gateway.instrument(symbol, venue).instrument_id if symbol else "",
        since_ns=ns_of("since", since),
        until_ns=ns_of("until", until),
    )
    spell = gateway.core.symbol

    async def page(cursor: str, limit: int = ROWS_AT_ONCE) -> tuple[list[DenialView], str]:
        wanted = msgspec.structs.replace(query, cursor=cursor, limit=limit)
        answer = await gateway.ask(ledger_api.DENIALS, wanted, DenialsAnswer)
        views = [DenialView.of(r, spell(r.venue, r.instrument_id)) for r in answer.denials]
        return views, answer.next_cursor

    if file is not None:
        return await as_file(file, "denials", DenialView, page)
    views, following = await page(cursor, limit)
    return DenialsView(denials=views, next_cursor=following or None)


def parts_of(detail: str) -> dict[str, str]:
    """The parts `limit`, `value` and `scope` of the detail of a denial."""
    # A value may hold spaces; what follows it begins with the next name.
    found: dict[str, str] = {}
    rest = detail
    for name in ("scope", "value", "limit"):
        rest, mark, text = rest.rpartition(f"{name}=")
        if not mark:
            rest = text
            continue
        found[name] = text.strip()
    return found


def _reason(text: str) -> str:
    wanted = text.upper()
    if wanted and wanted not in DenialReason.__members__:
        near = nearest(wanted, DenialReason.__members__)
        hint = f"did you mean {near[0]}?" if near else "docs/denial-reasons.md lists them"
        raise invalid("reason", text, "is no reason of a denial", hint)
    return wanted
