"""What the service says of decisions, and of orders that were asked for and not made."""

import logging
from decimal import Decimal

import pytest

from tickbus.events import Side, StrategyDecision
from tickbus_strategy.core import StrategyCore
from tickbus_strategy.refusing import NotOrdered, NotOrderedReason
from tickbus_strategy.service import SAID_EVERY_NS, SAID_MAX, Reports

NOW = 1_000_000_000
LOG = "tickbus.strategy"


def missing(
    reason: NotOrderedReason = NotOrderedReason.TOO_SMALL, ts: int = NOW, name: str = "BTC-USDT"
) -> NotOrdered:
    quantity = Decimal("0.0008")
    return NotOrdered(ts, ts, "mine", "sim", name, Side.BUY, quantity, reason, "the venue takes 1")


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the service said; asyncio and others may say something of earlier tests at any time."""
    return [record for record in caplog.records if record.name == LOG]


async def test_inputs_of_each_decision_that_is_told_are_in_the_log_at_debug_level(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inputs = {"velocity_bps": "7.5", "needed_bps": "25.0", "position": "0"}
    decision = StrategyDecision(NOW, NOW, "mine", "sim", "BTC-USDT", inputs, ("mine-r-1",))
    reports = Reports(StrategyCore())
    caplog.set_level(logging.INFO, LOG)
    await reports.decided(decision, ())
    assert not ours(caplog)
    caplog.set_level(logging.DEBUG, LOG)
    await reports.decided(decision, ())
    (record,) = ours(caplog)
    names = {"strategy_id": "mine", "instrument_id": "BTC-USDT"}
    assert record.__dict__["fields"] == names | inputs


async def test_first_of_a_sort_is_logged_and_again_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, LOG)
    reports = Reports(StrategyCore())
    for ts in (NOW, NOW + 1, NOW + SAID_EVERY_NS - 1):
        await reports.refused(missing(ts=ts), ())
    (record,) = ours(caplog)
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "mine: no order to buy 0.0008 BTC-USDT at sim: TOO_SMALL, the venue takes 1"
    )
    await reports.refused(missing(NotOrderedReason.TRADING_STATE), ())
    assert ours(caplog)[-1].levelno == logging.INFO, "who halted trading knows"
    await reports.refused(missing(ts=NOW + SAID_EVERY_NS), ())
    assert len(ours(caplog)) == 3


async def test_sorts_that_are_told_apart_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOG)
    reports = Reports(StrategyCore())
    for number in range(SAID_MAX + 5):
        await reports.refused(missing(name=f"X{number}-USDT"), ())
    assert len(ours(caplog)) == SAID_MAX
