"""Routes about what was: why balances moved, the equity curve, the audit log."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from tickbus.events import AdjustmentCause, EquityPoint
from tickbus.ledger_api import LIMIT_MAX, AuditQuery, AuditRow, EquityQuery, PostingRecord
from tickbus.ledger_api import PostingsQuery as Postings
from tickbus_api.access import READ
from tickbus_api.books import json_or_text
from tickbus_api.exporting import FILES, ROWS_AT_ONCE, AsFile, as_file
from tickbus_api.names import Named, require_past
from tickbus_api.reading import Cursor, Limit, Operations, Since, Until, Venue, ns_of
from tickbus_api.views import Exact, View, iso

router = APIRouter()
Name = Annotated[str, Query(max_length=64)]
CAUSES = ", ".join(("FILL", "OPENING", *AdjustmentCause))


class PostingView(View):
    """One change of a balance: why, and what was held after it."""

    sequence: int
    at: str | None
    venue: str
    asset: str
    amount: Exact
    balance: Exact
    account: str = Field(description="where its other side is written, such as trading or fees")
    cause: str = Field(description=CAUSES)
    reference: str = Field(description="the venue's id of the cause; a fill's is its fill id")
    instrument_id: str
    strategy: str
    order_id: str

    @classmethod
    def of(cls, record: PostingRecord) -> "PostingView":
        """The view of `record`."""
        names = set(cls.model_fields) - {"at", "strategy", "order_id"}
        return cls(
            at=iso(record.ts_event),
            strategy=record.strategy_id,
            order_id=record.client_order_id,
            **{name: getattr(record, name) for name in names},
        )


class PostingsView(View):
    """A page of changes, newest first; ask again with `cursor=next_cursor` for the next."""

    postings: list[PostingView]
    next_cursor: str | None


class PointView(View):
    """One point of an equity curve."""

    at: str | None
    equity: Exact
    net_pnl: Exact
    drawdown: Exact

    @classmethod
    def of(cls, point: EquityPoint) -> "PointView":
        """The view of `point`."""
        return cls(
            at=iso(point.ts), equity=point.equity, net_pnl=point.net_pnl, drawdown=point.drawdown
        )


class EquityView(View):
    """A curve in `currency`, oldest first; of one strategy, `equity` is its net P&L."""

    currency: str
    points: list[PointView]


class AuditRowView(View):
    """One row of the audit log; `hash` chains it to the row before."""

    sequence: int
    event: str
    order_id: str
    at: str | None
    received_at: str | None
    body: object
    hash: str

    @classmethod
    def of(cls, row: AuditRow) -> "AuditRowView":
        """The view of `row`."""
        return cls(
            sequence=row.sequence,
            event=row.kind,
            order_id=row.client_order_id,
            at=iso(row.ts_event),
            received_at=iso(row.ts_recv),
            body=json_or_text(row.body),
            hash=row.hash,
        )


class AuditView(View):
    """A page of the audit log, newest first; ask again with `cursor=next_cursor` for the next."""

    rows: list[AuditRowView]
    next_cursor: str | None


@router.get(
    "/api/v1/postings",
    tags=["books"],
    dependencies=READ,
    response_model=PostingsView,
    responses=FILES,
)
async def postings(
    gateway: Operations,
    asset: Name = "",
    venue: Venue = "",
    strategy: Name = "",
    symbol: Annotated[str | None, Query(max_length=64)] = None,
    cause: Annotated[str, Query(max_length=64, description=f"one of {CAUSES}")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    file: AsFile = None,
) -> PostingsView | Response:
    """Why we hold what we hold: every change of a balance with its cause, newest first."""
    await require_past(gateway, Named.VENUE, venue)
    await require_past(gateway, Named.STRATEGY, strategy)
    query = Postings(
        asset=asset,
        venue=venue,
        strategy_id=strategy,
        instrument_id=gateway.instrument(symbol, venue).instrument_id if symbol else "",
        cause=cause.upper(),
        since_ns=ns_of("since", since),
        until_ns=ns_of("until", until),
    )

    async def page(cursor: str, limit: int = ROWS_AT_ONCE) -> tuple[list[PostingView], str]:
        wanted = msgspec.structs.replace(query, cursor=cursor, limit=limit)
        answer = await gateway.postings(wanted)
        return [PostingView.of(record) for record in answer.postings], answer.next_cursor

    if file is not None:
        return await as_file(file, "postings", PostingView, page)
    views, following = await page(cursor, limit)
    return PostingsView(postings=views, next_cursor=following or None)


@router.get("/api/v1/equity", tags=["books"], dependencies=READ)
async def equity(
    gateway: Operations,
    strategy: Name = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_MAX,
) -> EquityView:
    """The equity curve of the account, or the net P&L of one strategy: the newest points."""
    await require_past(gateway, Named.STRATEGY, strategy)
    query = EquityQuery(
        since_ns=ns_of("since", since),
        until_ns=ns_of("until", until),
        limit=limit,
        strategy_id=strategy,
    )
    answer = await gateway.equity(query)
    return EquityView(currency=answer.currency, points=[PointView.of(p) for p in answer.points])


@router.get(
    "/api/v1/audit",
    tags=["books"],
    dependencies=READ,
    response_model=AuditView,
    responses=FILES,
)
async def audit(
    gateway: Operations,
    event: Annotated[str, Query(max_length=64, description="only events of this type")] = "",
    order_id: Name = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    file: AsFile = None,
) -> AuditView | Response:
    """The audit log: every event of the order path, newest first."""
    query = AuditQuery(
        kind=event,
        client_order_id=order_id,
        since_ns=ns_of("since", since),
        until_ns=ns_of("until", until),
    )

    async def page(cursor: str, limit: int = ROWS_AT_ONCE) -> tuple[list[AuditRowView], str]:
        answer = await gateway.audit(msgspec.structs.replace(query, cursor=cursor, limit=limit))
        return [AuditRowView.of(row) for row in answer.rows], answer.next_cursor

    if file is not None:
        return await as_file(file, "audit", AuditRowView, page)
    views, following = await page(cursor, limit)
    return AuditView(rows=views, next_cursor=following or None)
