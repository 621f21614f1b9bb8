"""Asking what became of orders: a few at a time, and no verdict from a question that failed."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from tickbus.clock import Clock
from tickbus_execution.binance import EXTERNAL_PREFIX
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.guard import Guard
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.reports import Reports
from tickbus_execution.venue import (
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueQuery,
    VenueStatus,
)
from tickbus_execution.wire import MS_NS, UNREADABLE, entries

QUESTIONS_MAX = 1_000
"""Queries waiting to be asked; past that one is put off, and the core's timer asks again."""
QUESTIONS_AT_ONCE = 4
SENT_MAX = 10_000
HOUR_MS = 3_600_000
AGE_MARGIN_MS = HOUR_MS
"""An order may have waited here before it was sent, and the venue counts from when it came."""
AHEAD_S = 1.0
"""How far ahead of its own clock a venue takes a request's time to be right."""
VISIBLE_S = 2.0
"""How far a venue's answers to questions may lag behind what it took in."""
MARGIN_S = 0.01
"""A question that is to count is asked so much after the time from which on it does."""
WINDOWS_MAX = 30
"""How many windows of trades are looked through for orders that the venue never spoke of."""
TRADES_OVERLAP_MS = 60_000
"""So much before an order was wished for its trades are looked for: clocks differ."""
LISTED_S = 1.0
"""For how long one list of working orders answers for all that are missing."""


class Named(Protocol):
    """Whatever names an order."""

    @property
    def client_order_id(self) -> str:
        """Ours."""
        ...

    @property
    def instrument_id(self) -> str:
        """Of the order."""
        ...


def failure(
    clock: Clock, kind: Request, what: Named, outcome: Outcome, reason: str, detail: str,
    command_id: str = "", *, again_ns: int = 0,
) -> RequestFailed:  # fmt: skip
    """A report on a request that did not do what it asked for."""
    now = clock.now_ns()
    return RequestFailed(
        now, now, kind, outcome, what.client_order_id, what.instrument_id, reason, detail,
        command_id, again_ns,
    )  # fmt: skip


class Listed(NamedTuple):
    """The working orders of one symbol, in our names and the venue's; asked for then (s)."""

    asked: float
    names: frozenset[str]
    venue_ids: frozenset[str]


class Traded(NamedTuple):
    """What traded lately in one symbol, by the venue's ids of orders; asked for then (s)."""

    asked: float
    venue_ids: frozenset[str]


class Questions:
    """Answers `VenueQuery` with the order as it is, or with why that is not known.

    "Not there" is said only when the question for the order said so, the list of working orders
    agrees, no trade leads to it, and a request that left as late as this one may have could no
    longer arrive, and would be seen: the venue takes it until `recv_window_s` after its time stamp.
    And only while `is_ours` says that no other process may be sending it now. What is said before
    then is "not yet", with the time from which an answer counts; one list of working orders, and
    one of trades, serves all that are missing.

    "Forgotten" is said of an order that the venue had accepted and now denies, which proves nothing
    by itself: only if it is so old that the venue, by its own rules, forgets such an order once it
    has ended, if no list of working orders has it, and if no trade of it is listed that we do not
    know.
    """

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, core: ExecutionCore, guard: Guard,
        reports: Reports, clock: Clock, recv_window_s: float, is_ours: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._calls = calls
        self._core = core
        self._guard = guard
        self._reports = reports
        self._clock = clock
        self._late_s = recv_window_s + AHEAD_S + VISIBLE_S
        self._is_ours = is_ours
        self._queue: asyncio.Queue[VenueQuery] = asyncio.Queue(QUESTIONS_MAX)
        self._started = time.monotonic()
        self._sent: dict[str, float] = {}
        self._listed: dict[str, Listed] = {}  # by symbol
        self._traded_lately: dict[str, Traded] = {}  # by symbol
        self._listing = asyncio.Lock()

    def note_sent(self, client_order_id: str) -> None:
        """The order leaves now."""
        self._sent[client_order_id] = time.monotonic()
        if len(self._sent) > SENT_MAX:
            del self._sent[next(iter(self._sent))]

    def ask(self, wish: VenueQuery) -> bool:
        """Ask in the background; False when too many wait already, which the core is told."""
        try:
            self._queue.put_nowait(wish)
        except asyncio.QueueFull:
            self._fail(wish, Outcome.UNKNOWN, "QUERY_PUT_OFF", f"{QUESTIONS_MAX} wait already")
            return False
        return True

    async def run(self) -> None:
        """Ask one after the other, for ever."""
        while True:
            await self._query(await self._queue.get())

    async def _query(self, wish: VenueQuery) -> None:
        if self._guard.silent_s:
            self._fail(wish, Outcome.UNKNOWN, "VENUE_PAUSED", "")
            return
        try:
            report = await self._status(wish)
            if report is not None:
                self._reports.put([await self._with_fills(wish, report)])
        except VenueRefused as error:
            # Whatever was refused here, it is not the order.
            self._fail(wish, Outcome.UNKNOWN, error.refusal.reason, error.refusal.detail)
        except (TimeoutError, ConnectionError) as error:
            self._fail(wish, Outcome.UNKNOWN, "NO_ANSWER", str(error))
        except UNREADABLE as error:
            self._reports.quarantine(f"order {wish.client_order_id}", b"", error)
            self._fail(wish, Outcome.UNKNOWN, "UNREADABLE", repr(error))

    async def _status(self, wish: VenueQuery) -> OrderReport | None:
        """The order as the venue has it; None when it was said that it is not there."""
        order = self._core.orders.get(wish.client_order_id)
        if order is not None and order.order_type.has_trigger:
            self._protocol.note_conditional(wish.client_order_id)
        ask = self._protocol.status(wish.client_order_id, wish.symbol)
        try:
            body = await self._calls.call(ask)
        except VenueRefused as error:
            if error.refusal.reason == "ORDER_ARCHIVED":
                return self._archived(wish, error.refusal.detail)
            if error.outcome is not Outcome.NOT_FOUND:
                raise
            left_s = self._left_s(wish)
            if left_s > 0:
                self._not_yet(wish, error, left_s)
                return None
            sure = not await self._is_listed(wish) and self._is_ours()
            if sure and (found := await self._traded(wish)) is not None:
                return found
            too_old = await self._too_old(wish) if sure else ""
            if too_old:
                detail = f"{too_old} {error.refusal.detail}"
                self._fail(wish, Outcome.FORGOTTEN, "ORDER_FORGOTTEN", detail)
                return None
            outcome = Outcome.NOT_FOUND if sure else Outcome.UNKNOWN
            self._fail(wish, outcome, error.refusal.reason, error.refusal.detail)
            return None
        report = self._protocol.read_order(body, wish.instrument_id, self._clock.now_ns())
        # A conditional order that turns out to have been triggered goes on as another.
        follow = self._protocol.status(wish.client_order_id, wish.symbol)
        if follow != ask:
            body = await self._calls.call(follow)
            report = self._protocol.read_order(body, wish.instrument_id, self._clock.now_ns())
        if report is None:
            raise ValueError(f"an answer that does not say how the order stands: {body!r}")
        return report

    async def _with_fills(self, wish: VenueQuery, report: OrderReport) -> OrderReport:
        trades: list[dict[str, Any]] = []
        # One that has filled nothing has no fills to list.
        if report.filled_quantity or wish.client_order_id.startswith(EXTERNAL_PREFIX):
            ask = self._protocol.trades_of(wish.symbol, report.venue_order_id)
            trades = entries(await self._calls.call(ask))
        fills = tuple(self._protocol.read_trade(t, wish.instrument_id).fill for t in trades)
        return msgspec.structs.replace(report, client_order_id=wish.client_order_id, fills=fills)

    def _archived(self, wish: VenueQuery, detail: str) -> OrderReport | None:
        """The venue keeps no order that ended unfilled long ago, and says just that."""
        order = self._core.orders.get(wish.client_order_id)
        if order is None:
            return None
        now = self._clock.now_ns()
        return OrderReport(
            now, now, order.client_order_id, order.instrument_id, order.venue_order_id,
            VenueStatus.CANCELED, order.side, order.quantity, order.filled_quantity,
            reason=f"ORDER_ARCHIVED {detail}",
        )  # fmt: skip

    async def _too_old(self, wish: VenueQuery) -> str:
        """Limit and age of an order that the venue forgets at its age; "" for any other.

        Raises as `call`.
        """
        order = self._core.orders.get(wish.client_order_id)
        if order is None or not order.venue_order_id:
            return ""
        unfilled = not (order.filled_quantity or order.reported_quantity)
        kept_ms = self._protocol.unfilled_kept_ms if unfilled else self._protocol.kept_ms
        age_ms = (self._clock.now_ns() - order.ts_created) // MS_NS
        if not kept_ms or age_ms <= kept_ms + AGE_MARGIN_MS:
            return ""
        ask = self._protocol.trades_of(wish.symbol, order.venue_order_id)
        for trade in entries(await self._calls.call(ask)):
            if (
                self._protocol.read_trade(trade, wish.instrument_id).fill.fill_id
                not in order.fill_ids
            ):
                return ""
        return f"limit={kept_ms // HOUR_MS}h value={age_ms // HOUR_MS}h"

    def _sent_at(self, wish: VenueQuery) -> float:
        # One of an earlier process left before this one began.
        return self._sent.get(wish.client_order_id, self._started)

    def _left_s(self, wish: VenueQuery) -> float:
        """For how long it may still turn up at the venue; 0 or less when it can not."""
        return self._sent_at(wish) + self._late_s - time.monotonic()

    def _not_yet(self, wish: VenueQuery, error: VenueRefused, left_s: float) -> None:
        is_fresh = wish.client_order_id in self._sent and self._late_s - left_s < VISIBLE_S
        # One that has just left may be seen at any moment; any other not before nothing can come.
        again_ns = 0 if is_fresh else self._clock.now_ns() + int((left_s + MARGIN_S) * 1e9)
        reason, detail = error.refusal.reason, error.refusal.detail
        failed = failure(
            self._clock, Request.QUERY, wish, Outcome.NOT_FOUND_YET, reason, detail,
            again_ns=again_ns,
        )  # fmt: skip
        self._reports.put([failed])

    async def _is_listed(self, wish: VenueQuery) -> bool:
        """Whether the lists of working orders know what the query denies. Raises as `call`."""
        async with self._listing:
            listed = self._listed.get(wish.symbol)
            now = time.monotonic()
            if listed is None or not self._answers_for(wish, listed.asked, now):
                listed = await self._list(wish, now)
        # Our spelling of a foreign order is not the venue's; its own id is.
        order = self._core.orders.get(wish.client_order_id)
        venue_id = order.venue_order_id if order is not None else ""
        return wish.client_order_id in listed.names or venue_id in listed.venue_ids

    def _answers_for(self, wish: VenueQuery, asked: float, now: float) -> bool:
        """Whether a list is young enough, and so late that the order could not come behind it."""
        return now < asked + LISTED_S and asked >= self._sent_at(wish) + self._late_s

    async def _traded(self, wish: VenueQuery) -> OrderReport | None:
        """The order, where a trade leads to it that the question for it does not know.

        What is neither in the book nor has traded has done nothing. Raises as `call`, so
        also where the venue does not say whose a trade is.
        """
        order = self._core.orders.get(wish.client_order_id)
        if order is None or order.venue_order_id:
            return None  # one that was accepted ends by nothing that is said here
        async with self._listing:
            trades = self._traded_lately.get(wish.symbol)
            now = time.monotonic()
            if trades is None or not self._answers_for(wish, trades.asked, now):
                ids = await self._trading_ids(wish)
                trades = self._traded_lately[wish.symbol] = Traded(now, ids)
        for venue_order_id in sorted(trades.venue_ids):
            if self._core.knows(venue_order_id):
                continue
            ask = self._protocol.status(f"{EXTERNAL_PREFIX}{venue_order_id}", wish.symbol)
            body = await self._calls.call(ask)
            report = self._protocol.read_order(body, wish.instrument_id, self._clock.now_ns())
            if report is not None and report.client_order_id == wish.client_order_id:
                return report
        return None

    async def _trading_ids(self, wish: VenueQuery) -> frozenset[str]:
        """The venue's ids of what traded since the oldest order that it never spoke of."""
        nameless = [
            order.ts_created
            for order in self._core.orders.living()
            if order.instrument_id == wish.instrument_id and not order.venue_order_id
        ]
        offset_ms = self._calls.offset_ms
        now_ms = self._clock.now_ns() // MS_NS + offset_ms
        window_ms, size = self._protocol.trades_window_ms, self._protocol.trades_page
        start_ms = min(nameless, default=0) // MS_NS + offset_ms - TRADES_OVERLAP_MS
        start_ms = max(0, start_ms, now_ms - WINDOWS_MAX * window_ms)
        found: set[str] = set()
        page: list[dict[str, Any]] = []
        while start_ms <= now_ms and len(page) < size:
            end_ms = start_ms + window_ms - 1
            last = None if end_ms >= now_ms else end_ms
            ask = self._protocol.trades(wish.symbol, start_ms=start_ms, end_ms=last)
            page = entries(await self._calls.call(ask))
            found |= self._orders_of(page, wish)
            start_ms = end_ms + 1
        while len(page) >= size:
            from_id = max(int(body["id"]) for body in page) + 1
            ask = self._protocol.trades(wish.symbol, from_id=from_id)
            page = entries(await self._calls.call(ask))
            found |= self._orders_of(page, wish)
        return frozenset(found)

    def _orders_of(self, page: list[dict[str, Any]], wish: VenueQuery) -> set[str]:
        return {self._protocol.read_trade(t, wish.instrument_id).venue_order_id for t in page}

    async def _list(self, wish: VenueQuery, asked: float) -> Listed:
        reports: list[OrderReport] = []
        for ask in self._protocol.open_orders(wish.symbol):
            for body in entries(await self._calls.call(ask)):
                report = self._protocol.read_order(body, wish.instrument_id, self._clock.now_ns())
                if report is not None:
                    reports.append(report)
        names = frozenset(report.client_order_id for report in reports)
        venue_ids = frozenset(r.venue_order_id for r in reports if r.venue_order_id)
        listed = self._listed[wish.symbol] = Listed(asked, names, venue_ids)
        return listed

    def _fail(self, wish: VenueQuery, outcome: Outcome, reason: str, detail: str) -> None:
        self._reports.put([failure(self._clock, Request.QUERY, wish, outcome, reason, detail)])
