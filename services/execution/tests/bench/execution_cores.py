"""Execution's core as it begins, an order, and what the venue may say of it."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tickbus.events import (
    CancelApproved,
    CancelOrder,
    Event,
    Fill,
    Instrument,
    LiquiditySide,
    OrderApproved,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
)
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import (
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueStatus,
)

START = 1_000
NOW = 2_000
INSTRUMENT = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.001")
)


def an_order(ts: int = NOW, order_id: str = "s-r-1") -> SubmitOrder:
    return SubmitOrder(
        ts, ts, order_id, "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(2),
        Decimal(100),
    )  # fmt: skip


def approved(ts: int = NOW, order_id: str = "s-r-1") -> OrderApproved:
    return OrderApproved(ts, ts, an_order(ts, order_id))


def cancel(order_id: str = "s-r-1") -> CancelApproved:
    wish = CancelOrder(NOW, NOW, "s-r-c1", order_id, "s", "sim", "BTC-USDT")
    return CancelApproved(NOW, NOW, wish)


def a_fill(fill_id: str = "1", quantity: str = "1") -> Fill:
    return Fill(
        fill_id, Side.BUY, Decimal(100), Decimal(quantity), Decimal("0.001"), "BTC",
        LiquiditySide.TAKER, NOW,
    )  # fmt: skip


def report(
    status: VenueStatus, filled: str = "0", fills: Iterable[Fill] = (), order_id: str = "s-r-1",
    venue_id: str = "77",
) -> OrderReport:  # fmt: skip
    return OrderReport(
        NOW, NOW, order_id, "BTC-USDT", venue_id, status, Side.BUY, Decimal(2), Decimal(filled),
        tuple(fills),
    )  # fmt: skip


def failed(request: Request, outcome: Outcome, reason: str = "-1", **more: Any) -> RequestFailed:
    return RequestFailed(NOW, NOW, request, outcome, "s-r-1", "BTC-USDT", reason, "words", **more)


def a_core(*events: Event, history: Iterable[Event] = (), backlog: bool = False) -> ExecutionCore:
    core = ExecutionCore("sim")
    core.handle(INSTRUMENT)
    for event in history:
        assert core.handle(event) == (), "history is silent"
    core.handle(Recovered(START, START, backlog))
    for event in events:
        core.handle(event)
    return core


def kinds(events: Iterable[Any]) -> list[type]:
    return [type(event) for event in events]
