"""Lines of the log about orders carry the ids by which the order's trace is found."""

import json
import logging
from decimal import Decimal

import pytest

from tickbus import codec
from tickbus.clock import ManualClock
from tickbus.events import (
    DenialReason,
    OrderAccepted,
    OrderDenied,
    OrderRejected,
    OrderType,
    SetTradingState,
    Side,
    SubmitOrder,
    TradingState,
)
from tickbus.runtime.logs import ConsoleFormatter, JsonFormatter
from tickbus.runtime.orderlog import LINES_MAX, OrderLog, about_message
from tickbus.tracing import about, trace_id_of

ORDER = SubmitOrder(1, 1, "s-r-1", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1))
DENIED = OrderDenied(1, 1, ORDER, DenialReason.POSITION_ABOVE_MAX, "position=9 max=5")
REJECTED = OrderRejected(1, 1, "s-r-2", "s", "sim", "BTC-USDT", "NO_BALANCE", "-2010 no balance")
ACCEPTED = OrderAccepted(1, 1, "s-r-1", "s", "sim", "BTC-USDT", "v1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000_000)


@pytest.fixture
def lines(clock: ManualClock) -> OrderLog:
    return OrderLog(logging.getLogger("tickbus.test"), clock)


def test_refused_order_is_a_line_with_its_reason_and_the_ids(
    lines: OrderLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tickbus.test")
    for event in (DENIED, REJECTED, ACCEPTED, ORDER):
        lines.said(event)
    denied, rejected = caplog.records
    assert denied.getMessage() == "OrderDenied: POSITION_ABOVE_MAX position=9 max=5"
    assert (denied.levelname, rejected.levelname) == ("INFO", "WARNING")
    entry = json.loads(JsonFormatter("risk").format(denied))
    assert entry["client_order_id"] == "s-r-1"
    assert entry["trace_id"] == trace_id_of("s-r-1")
    assert f"trace_id={trace_id_of('s-r-2')}" in ConsoleFormatter("risk", False).format(rejected)


def test_every_step_is_a_line_at_the_level_debug(
    lines: OrderLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tickbus.test")
    lines.said(ORDER)
    lines.said(ACCEPTED)
    assert [record.getMessage() for record in caplog.records] == ["SubmitOrder", "OrderAccepted"]


def test_message_about_one_order_has_its_ids_and_what_cannot_be_read_has_none() -> None:
    assert about_message(codec.encode([REJECTED])) == about("s-r-2")
    assert about_message(codec.encode([DENIED])) == about("s-r-1")
    halted = SetTradingState(1, 1, TradingState.HALTED, "x", "ann")
    for payload in (b"", b"\xc1", codec.encode([ORDER, REJECTED]), codec.encode([halted])):
        assert about_message(payload) == {}


def test_flood_of_refusals_is_a_few_lines_and_a_number(
    lines: OrderLog, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tickbus.test")
    for _ in range(LINES_MAX + 7):
        lines.said(DENIED)
    assert len(caplog.records) == LINES_MAX
    clock.advance_to(2_000_000_000)
    lines.said(DENIED)
    assert caplog.records[-1].getMessage().endswith("(7 such lines before it left out)")
