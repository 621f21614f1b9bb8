"""Asking what became of orders: a few at a time, and no verdict from a question that failed."""

import asyncio
import time
from typing import Any, Protocol

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
from tickbus_execution.wire import UNREADABLE, entries

QUESTIONS_MAX = 1_000
"""Queries waiting to be asked; past that one is put off, and the core's timer asks again."""
QUESTIONS_AT_ONCE = 4
SENT_MAX = 10_000
AHEAD_S = 1.0
"""How far ahead of its own clock a venue takes a request's time to be right."""


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
    command_id: str = "",
) -> RequestFailed:  # fmt: skip
    """A report on a request that did not do what it asked for."""
    now = clock.now_ns()
    return RequestFailed(
        now, now, kind, outcome, what.client_order_id, what.instrument_id, reason, detail,
        command_id,
    )  # fmt: skip


class Questions:
    """Answers `VenueQuery` with the order as it is, or with why that is not known.

    "Not there" is said only when the question for the order said so, the list of working orders
    agrees, and a request that left as late as this one may have could no longer arrive: the venue
    takes it until `recv_window_s` after its time stamp.
    """

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, core: ExecutionCore, guard: Guard,
        reports: Reports, clock: Clock, recv_window_s: float,
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._calls = calls
        self._core = core
        self._guard = guard
        self._reports = reports
        self._clock = clock
        self._late_s = recv_window_s + AHEAD_S
        self._queue: asyncio.Queue[VenueQuery] = asyncio.Queue(QUESTIONS_MAX)
        self._started = time.monotonic()
        self._sent: dict[str, float] = {}

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
            sure = self._cannot_arrive(wish) and not await self._is_listed(wish)
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

    def _cannot_arrive(self, wish: VenueQuery) -> bool:
        # One of an earlier process left before this one began.
        sent = self._sent.get(wish.client_order_id, self._started)
        return time.monotonic() > sent + self._late_s

    async def _is_listed(self, wish: VenueQuery) -> bool:
        """Whether the lists of working orders know what the query denies. Raises as `call`."""
        for ask in self._protocol.open_orders(wish.symbol):
            for body in entries(await self._calls.call(ask)):
                report = self._protocol.read_order(body, wish.instrument_id, self._clock.now_ns())
                if report is not None and report.client_order_id == wish.client_order_id:
                    return True
        return False

    def _fail(self, wish: VenueQuery, outcome: Outcome, reason: str, detail: str) -> None:
        self._reports.put([failure(self._clock, Request.QUERY, wish, outcome, reason, detail)])
