"""Where each event goes, and names that cannot be part of a subject."""

from decimal import Decimal

import pytest

from tickbus import subjects
from tickbus.events import (
    CancelAllOrders,
    DenialReason,
    OrderAccepted,
    OrderApproved,
    OrderDenied,
    OrderType,
    RiskState,
    SetTimer,
    Side,
    SubmitOrder,
    Trade,
    TradingState,
)

ORDER = SubmitOrder(
    1, 1, "mom-r-1", "mom", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
)


def test_each_family_has_its_subject() -> None:
    trade = Trade(1, 1, "sim", "BTC-USDT", "1", 1.0, 1.0, Side.BUY)
    assert subjects.of(trade) == "md.trade.sim.BTC-USDT"
    assert subjects.of(ORDER) == "orders.intent.mom"
    assert subjects.of(OrderApproved(1, 1, ORDER)) == "orders.approved.sim"
    denial = OrderDenied(1, 1, ORDER, DenialReason.TRADING_HALTED, "")
    assert subjects.of(denial) == "orders.denied.mom"
    accepted = OrderAccepted(1, 1, "mom-r-1", "mom", "sim", "BTC-USDT", "9")
    assert subjects.of(accepted) == "orders.event.sim.mom"
    assert subjects.of(CancelAllOrders(1, 1, "c1")) == "orders.intent.manual"
    assert subjects.of(CancelAllOrders(1, 1, "c1", strategy_id="pp")) == "orders.intent.pp"
    by_hand = CancelAllOrders(1, 1, "c1", strategy_id="pp", wisher="manual")
    assert subjects.of(by_hand) == "orders.intent.manual"


def test_only_the_order_path_is_durable() -> None:
    assert subjects.is_durable(ORDER)
    assert not subjects.is_durable(Trade(1, 1, "sim", "BTC-USDT", "1", 1.0, 1.0, Side.BUY))
    assert not subjects.is_durable(RiskState(1, 1, TradingState.ACTIVE, "", 0, 0))


@pytest.mark.parametrize("text", ["", "a.b", "a b", "a*", ">", "a\nb", "a\r\nPUB x"])
def test_token_that_would_break_a_subject_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        subjects.token(text)


def test_symbols_of_any_script_are_tokens() -> None:
    assert subjects.token("牛来-USDT") == "牛来-USDT"


def test_event_that_never_travels_has_no_subject() -> None:
    with pytest.raises(TypeError, match="SetTimer"):
        subjects.of(SetTimer(1, 1, "k", 1))
