"""Answers to questions about the books; a bad question gets a reason, never silence."""

import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tickbus import codec, ledger_api
from tickbus.bus import Responder
from tickbus.codec import MalformedMessage
from tickbus.events import Balance
from tickbus.ledger_api import (
    AuditAnswer,
    AuditQuery,
    Curve,
    DenialsAnswer,
    DenialsQuery,
    EquityAnswer,
    EquityQuery,
    FillsAnswer,
    FillsQuery,
    LedgerRefusal,
    OrderAnswer,
    OrderQuery,
    OrdersAnswer,
    OrdersQuery,
    PortfolioAnswer,
    PortfolioQuery,
    PostingsAnswer,
    PostingsQuery,
    SeriesAnswer,
    SeriesQuery,
    SessionAnswer,
    SessionQuery,
)
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.history import History
from tickbus_ledger.store import AWAY, Store

ZERO = Decimal(0)
STEP_NS_MIN = 1_000_000_000
_CURSOR = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?", re.ASCII)


class Refused(Exception):
    """The question cannot be answered; the text says why."""


class Queries:
    """Answers from the database, and the portfolio from memory with live marks."""

    def __init__(self, core: LedgerCore, store: Callable[[], Store | None], currency: str) -> None:
        self._core = core
        self._store_now = store
        self._currency = currency

    def responders(self) -> Mapping[str, Responder]:
        """Every question's subject with what answers it."""
        return {
            ledger_api.ORDERS: self._answering(OrdersQuery, self._orders),
            ledger_api.ORDER: self._answering(OrderQuery, self._order),
            ledger_api.FILLS: self._answering(FillsQuery, self._fills),
            ledger_api.PORTFOLIO: self._answering(PortfolioQuery, self._portfolio),
            ledger_api.EQUITY: self._answering(EquityQuery, self._equity),
            ledger_api.POSTINGS: self._answering(PostingsQuery, self._postings),
            ledger_api.AUDIT: self._answering(AuditQuery, self._audit),
            ledger_api.DENIALS: self._answering(DenialsQuery, self._denials),
            ledger_api.SERIES: self._answering(SeriesQuery, self._series),
            ledger_api.SESSION: self._answering(SessionQuery, self._session),
        }

    def _answering(self, kind: Any, answer: Callable[[Any], Awaitable[Any]]) -> Responder:
        async def respond(payload: bytes) -> bytes:
            try:
                query = codec.decode_value(payload, kind)
                _check(query)
                return codec.encode_value(await answer(query))
            except (MalformedMessage, Refused) as error:
                return codec.encode_value(LedgerRefusal(reason=str(error)))
            except AWAY as error:
                reason = f"the database does not answer ({type(error).__name__}): try again"
                return codec.encode_value(LedgerRefusal(reason=reason))

        return respond

    @property
    def _history(self) -> History:
        store = self._store_now()
        if store is None:
            raise Refused("the ledger waits for its database: try again")
        return store.history

    async def _orders(self, query: OrdersQuery) -> OrdersAnswer:
        orders, cursor = await self._history.orders(query)
        return OrdersAnswer(orders=tuple(orders), next_cursor=cursor)

    async def _order(self, query: OrderQuery) -> OrderAnswer:
        if bool(query.client_order_id) == bool(query.venue_order_id):
            raise Refused("name one order: either client_order_id or venue_order_id")
        order = await self._history.order(query.client_order_id, query.venue_order_id)
        if order is None:
            return OrderAnswer(order=None)
        steps = await self._history.steps(order.client_order_id)
        return OrderAnswer(order=order, steps=tuple(steps))

    async def _fills(self, query: FillsQuery) -> FillsAnswer:
        fills, cursor = await self._history.fills(query)
        return FillsAnswer(fills=tuple(fills), next_cursor=cursor)

    async def _equity(self, query: EquityQuery) -> EquityAnswer:
        points = await self._history.equity(query)
        return EquityAnswer(currency=self._currency, points=tuple(points))

    async def _postings(self, query: PostingsQuery) -> PostingsAnswer:
        postings, cursor = await self._history.postings(query)
        return PostingsAnswer(postings=tuple(postings), next_cursor=cursor)

    async def _audit(self, query: AuditQuery) -> AuditAnswer:
        found, cursor = await self._history.audit(query)
        return AuditAnswer(rows=tuple(found), next_cursor=cursor)

    async def _denials(self, query: DenialsQuery) -> DenialsAnswer:
        found, cursor = await self._history.denials(query)
        return DenialsAnswer(denials=tuple(found), next_cursor=cursor)

    async def _session(self, _: SessionQuery) -> SessionAnswer:
        return SessionAnswer(session=await self._history.session())

    async def _series(self, query: SeriesQuery) -> SeriesAnswer:
        history, now = self._history, self._core.points()
        session = await history.session()
        since_ns = query.since_ns
        if query.in_session:
            since_ns = session.ts_started if session is not None else 0
        since_ns = since_ns or max(0, await history.first_ts() - 1)
        # A span may begin, by the clock of who asks, after the last thing that the books heard.
        until_ns = query.until_ns or max([since_ns, *(point.ts for point in now.values())])
        if until_ns < since_ns:
            raise Refused(f"until = {until_ns}: is before since = {since_ns}")
        names = await history.strategies() if query.by_strategy else [""]
        names = sorted({*names, *(name for name in now if query.by_strategy and name)})
        points = max(2, min(query.points, ledger_api.POINTS_MAX // max(1, len(names))))
        step_ns = max(STEP_NS_MIN, -((since_ns - until_ns) // points))
        curves = []
        for name in names:
            baseline, found = await history.curve(name, since_ns, until_ns, step_ns)
            newest = now.get(name)
            if newest is not None and not query.until_ns and newest.ts > since_ns:
                found = [*(point for point in found if point.ts < newest.ts), newest]
            curves.append(Curve(strategy_id=name, baseline=baseline, points=tuple(found)))
        return SeriesAnswer(
            currency=self._currency,
            since_ns=since_ns,
            until_ns=until_ns,
            step_ns=step_ns,
            curves=tuple(curves),
            session=session,
        )

    async def _portfolio(self, query: PortfolioQuery) -> PortfolioAnswer:
        p = self._core.portfolio()
        positions = tuple(r for r in p.positions if query.venue in ("", r.venue))
        balances: dict[str, tuple[Balance, ...]] = {}
        for report in p.balances:
            if query.venue in ("", report.venue):
                # What is locked in working orders is the venue's matter; the books know the total.
                balance = Balance(report.asset, report.amount, ZERO)
                balances[report.venue] = (*balances.get(report.venue, ()), balance)
        return PortfolioAnswer(
            currency=p.currency,
            positions=positions,
            balances=balances,
            realized_pnl=sum((r.realized_pnl for r in positions), ZERO),
            unrealized_pnl=sum((r.unrealized_pnl for r in positions), ZERO),
            fees=sum((r.fees for r in positions), ZERO),
            net_pnl=sum((r.net_pnl for r in positions), ZERO),
            equity=p.equity if self._core.is_valued() else None,
            equity_peak=p.equity_peak if self._core.is_valued() else None,
            drawdown=p.drawdown,
            drawdown_max=p.drawdown_max,
            orders=p.orders,
            working_orders=p.working_orders,
            fills=p.fills,
            sequence=p.sequence,
            ts=p.ts_recv,
            differences=p.differences,
            funding=p.funding,
            unvalued_fees=p.unvalued_fees,
            strategies=p.strategies,
            audit_head=p.audit_head,
        )


def _check(query: msgspec.Struct) -> None:
    points = getattr(query, "points", 2)
    if not 2 <= points <= ledger_api.POINTS_MAX:
        raise Refused(f"points = {points}: must be 2 to {ledger_api.POINTS_MAX}")
    limit = getattr(query, "limit", 1)
    if not 1 <= limit <= ledger_api.LIMIT_MAX:
        raise Refused(f"limit = {limit}: must be 1 to {ledger_api.LIMIT_MAX}")
    cursor = getattr(query, "cursor", "")
    if cursor and not _CURSOR.fullmatch(cursor):
        raise Refused(f"cursor = {cursor!r}: use the `next_cursor` of the page before")
    for name in query.__struct_fields__:
        value = getattr(query, name)
        if isinstance(value, str) and "\0" in value:
            raise Refused(f"{name} = {value!r}: holds a NUL character")
        if isinstance(value, int) and not -(2**63) < value < 2**63:
            raise Refused(f"{name} = {value}: too large")
