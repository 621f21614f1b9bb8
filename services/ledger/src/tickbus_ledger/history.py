"""Questions about what was: orders, fills, postings, the audit log, the equity curve."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from tickbus.events import EquityPoint
from tickbus.ledger_api import (
    AuditQuery,
    AuditRow,
    DenialRecord,
    DenialsQuery,
    EquityQuery,
    FillRecord,
    FillsQuery,
    OrdersQuery,
    OrderStep,
    PostingRecord,
    PostingsQuery,
    SessionRecord,
)
from tickbus.order import Order
from tickbus_ledger import rows

Filters = list[tuple[str, Any]]
"""(condition, value): conditions name the value `$?`; those with an empty value do not count."""

_POSTINGS = (
    "SELECT p.sequence, p.line, j.ts_event, p.venue, p.asset, p.amount, p.balance,"
    " o.account, j.cause, j.reference, j.instrument_id, j.strategy_id, j.client_order_id"
    " FROM postings p JOIN journal j USING (sequence)"
    # The other side of a posting on a balance is the next line of the same entry.
    " JOIN postings o ON o.sequence = p.sequence AND o.line = p.line + 1"
)
_POINT = ", ".join(EquityPoint.__struct_fields__)
_DENIALS = (
    "SELECT sequence, ts_recv, client_order_id, wish ->> 'strategy_id' AS strategy_id,"
    " wish ->> 'venue' AS venue, wish ->> 'instrument_id' AS instrument_id,"
    " body ->> 'reason' AS reason, body ->> 'detail' AS detail, is_cancel, wish::text AS wish"
    " FROM (SELECT sequence, ts_recv, client_order_id, kind = 'CancelDenied' AS is_cancel,"
    " body, coalesce(body -> 'order', body -> 'cancel') AS wish"
    # JSON may spell a NUL, and Postgres would refuse to read the whole of it then.
    " FROM (SELECT sequence, ts_recv, client_order_id, kind,"
    r" replace(body, '\u0000', '\ufffd')::json AS body"
    " FROM order_events WHERE kind IN ('OrderDenied', 'CancelDenied')) j) e"
)


class History:
    """Reads the books of a `Store`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def orders(self, query: OrdersQuery) -> tuple[list[Order], str]:
        """A page of orders and the cursor of the next, '' on the last."""
        filters: Filters = [
            ("state = ANY($?)", [state.value for state in query.states]),
            *_filters(query, "strategy_id", "venue", "instrument_id"),
            *_span("ts_created", query),
            *_after(query),
        ]
        found, more = await self._page("SELECT * FROM orders", filters, "sequence", query.limit)
        return [rows.order_from(row) for row in found], _cursor(found, more)

    async def fills(self, query: FillsQuery) -> tuple[list[FillRecord], str]:
        """A page of fills and the cursor of the next, '' on the last."""
        filters: Filters = [
            *_filters(query, "client_order_id", "strategy_id", "venue", "instrument_id"),
            *_span("ts_event", query),
            *_after(query),
        ]
        found, more = await self._page("SELECT * FROM fills", filters, "sequence", query.limit)
        return [rows.fill_from(row) for row in found], _cursor(found, more)

    async def postings(self, query: PostingsQuery) -> tuple[list[PostingRecord], str]:
        """A page of what moved balances and the cursor of the next, '' on the last."""
        sequence, _, line = query.cursor.partition(".")
        filters: Filters = [
            ("p.account = $?", "balance"),
            *((f"p.{name} = $?", getattr(query, name)) for name in ("asset", "venue")),
            *_filters(query, "strategy_id", "instrument_id", "cause", table="j."),
            *_span("j.ts_event", query),
        ]
        if sequence:
            filters.append(("p.sequence <= $?", int(sequence)))
            filters.append((f"(p.sequence, p.line) < ({int(sequence)}, $?)", int(line or 0)))
        found, more = await self._page(_POSTINGS, filters, "p.sequence, p.line", query.limit)
        cursor = f"{found[-1]['sequence']}.{found[-1]['line']}" if more else ""
        return [PostingRecord(**row) for row in found], cursor

    async def audit(self, query: AuditQuery) -> tuple[list[AuditRow], str]:
        """A page of the audit log and the cursor of the next, '' on the last."""
        filters: Filters = [
            *_filters(query, "kind", "client_order_id"),
            *_span("ts_recv", query),
            *_after(query),
        ]
        select = "SELECT * FROM order_events"
        found, more = await self._page(select, filters, "sequence", query.limit)
        page = [
            AuditRow(
                **{name: row[name] for name in AuditRow.__struct_fields__[:-1]},
                hash=row["hash"].hex(),
            )
            for row in found
        ]
        return page, _cursor(found, more)

    async def order(self, client_order_id: str, venue_order_id: str) -> Order | None:
        """One order by either id; None when there is none."""
        column, value = (
            ("client_order_id", client_order_id)
            if client_order_id
            else ("venue_order_id", venue_order_id)
        )
        row = await self._pool.fetchrow(
            f"SELECT * FROM orders WHERE {column} = $1 ORDER BY sequence DESC LIMIT 1",  # noqa: S608
            value,
        )
        return None if row is None else rows.order_from(row)

    async def steps(self, client_order_id: str) -> list[OrderStep]:
        """The first 1000 events of an order, oldest first."""
        found = await self._pool.fetch(
            "SELECT * FROM order_events WHERE client_order_id = $1 ORDER BY sequence LIMIT 1000",
            client_order_id,
        )
        names = OrderStep.__struct_fields__
        return [OrderStep(**{name: row[name] for name in names}) for row in found]

    async def equity(self, query: EquityQuery) -> list[EquityPoint]:
        """The newest points in a span, oldest first."""
        table = "strategy_equity" if query.strategy_id else "equity"
        filters: Filters = [*_filters(query, "strategy_id"), *_span("ts", query)]
        select = f"SELECT {_POINT} FROM {table}"  # noqa: S608 - our own words
        found, _ = await self._page(select, filters, "ts", query.limit)
        return [EquityPoint(*row.values()) for row in reversed(found)]

    async def denials(self, query: DenialsQuery) -> tuple[list[DenialRecord], str]:
        """A page of what risk refused and the cursor of the next, '' on the last."""
        filters: Filters = [
            *_filters(query, "reason", "strategy_id", "venue", "instrument_id"),
            *_span("ts_recv", query),
            *_after(query),
        ]
        found, more = await self._page(
            f"SELECT * FROM ({_DENIALS}) d",  # noqa: S608 - our own words
            filters,
            "sequence",
            query.limit,
        )
        page = [DenialRecord(**row) for row in found]
        return page, _cursor(found, more)

    async def session(self) -> SessionRecord | None:
        """The last session that somebody began."""
        row = await self._pool.fetchrow("SELECT * FROM sessions ORDER BY sequence DESC LIMIT 1")
        return None if row is None else SessionRecord(**row)

    async def strategies(self) -> list[str]:
        """The ids that the books have a curve or a position of, sorted."""
        # By the index alone: the curves of years have millions of points.
        found = await self._pool.fetch(
            "WITH RECURSIVE ids AS ((SELECT strategy_id FROM strategy_equity"
            " ORDER BY strategy_id LIMIT 1) UNION ALL SELECT (SELECT e.strategy_id"
            " FROM strategy_equity e WHERE e.strategy_id > ids.strategy_id"
            " ORDER BY e.strategy_id LIMIT 1) FROM ids WHERE ids.strategy_id IS NOT NULL)"
            " SELECT strategy_id FROM ids WHERE strategy_id IS NOT NULL"
        )
        return [row["strategy_id"] for row in found]

    async def first_ts(self) -> int:
        """When the first curve begins, ns UTC; 0 where there is none."""
        row = await self._pool.fetchrow(
            "SELECT least((SELECT min(ts) FROM equity),"
            " (SELECT min(ts) FROM strategy_equity)) AS ts"
        )
        return (row["ts"] or 0) if row is not None else 0

    async def curve(
        self, strategy_id: str, since_ns: int, until_ns: int, step_ns: int
    ) -> tuple[EquityPoint | None, list[EquityPoint]]:
        """The point before a span, and of every step within it the last; "" is the account's."""
        table = "strategy_equity" if strategy_id else "equity"
        whose = "strategy_id = $1" if strategy_id else "$1 = ''"
        before = await self._pool.fetchrow(
            f"SELECT {_POINT} FROM {table} WHERE {whose} AND ts <= $2 ORDER BY ts DESC LIMIT 1",  # noqa: S608
            strategy_id,
            since_ns,
        )
        # One look into the index for each step, however many points lie within it.
        found = await self._pool.fetch(
            f"SELECT p.* FROM generate_series($2::bigint, $3::bigint - 1, $4::bigint) AS begin"  # noqa: S608
            f" CROSS JOIN LATERAL (SELECT {_POINT} FROM {table} WHERE {whose} AND ts > begin"
            " AND ts <= least(begin + $4, $3) ORDER BY ts DESC LIMIT 1) p ORDER BY p.ts",
            strategy_id,
            since_ns,
            until_ns,
            step_ns,
        )
        baseline = None if before is None else EquityPoint(*before.values())
        return baseline, [EquityPoint(*row.values()) for row in found]

    async def _page(
        self, select: str, filters: Filters, order: str, limit: int
    ) -> tuple[Sequence[Any], bool]:
        given = [(text, value) for text, value in filters if value not in ("", [])]
        where = " AND ".join(text.replace("?", str(n + 1)) for n, (text, _) in enumerate(given))
        newest_first = ", ".join(f"{column} DESC" for column in order.split(", "))
        found = await self._pool.fetch(
            f"{select} WHERE {where or 'true'} ORDER BY {newest_first} LIMIT {limit + 1}",
            *(value for _, value in given),
        )
        return found[:limit], len(found) > limit


def _filters(query: Any, *names: str, table: str = "") -> Filters:
    return [(f"{table}{name} = $?", getattr(query, name)) for name in names]


def _span(column: str, query: Any) -> Filters:
    since = [(f"{column} >= $?", query.since_ns)] if query.since_ns else []
    until = [(f"{column} <= $?", query.until_ns)] if query.until_ns else []
    return [*since, *until]


def _after(query: Any) -> Filters:
    return [("sequence < $?", int(query.cursor))] if query.cursor else []


def _cursor(found: Sequence[Any], more: bool) -> str:
    return str(found[-1]["sequence"]) if more else ""
