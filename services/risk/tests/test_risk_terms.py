"""Checks of an order's terms: given the market and what works, then a reason or none."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus.events import (
    BookTop,
    DenialReason,
    Event,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
    TimeInForce,
)
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore

D = Decimal
R = DenialReason
S = 1_000_000_000
BTC = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"), D("0.001"), D("100"),
    D("50"), D("1"), D("100000"), D("5"), D("9000000"),
)  # fmt: skip
CONFIG = RiskConfig(
    order_notional_max=D(10_000), position_notional_max=D(20_000), open_orders_max=5,
    order_rate_per_s_max=100, total_order_rate_per_s_max=1000, price_deviation_bps_max=D(500),
    market_data_age_ms_max=1000, gross_exposure_max=D(1_000_000), net_exposure_max=D(1_000_000),
    daily_loss_max=D(1_000_000), drawdown_max=D(1_000_000), heartbeat_timeout_s=D(0),
    balance_check=False, self_trade="deny",
)  # fmt: skip


def a_core(*events: Event) -> RiskCore:
    core = RiskCore(CONFIG)
    top = BookTop(S, S, "sim", "BTC-USDT", 999.0, 1.0, 1001.0, 1.0, 1, 1, False)
    given: list[Any] = [BTC, Recovered(S, S), top, *events]
    for event in given:
        core.handle(event)
    return core


def an_order(order_id: str = "s-r-1", **terms: Any) -> SubmitOrder:
    order = SubmitOrder(
        S, S, order_id, "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(1), D(1000)
    )
    return msgspec.structs.replace(order, **terms)


def a_stop(trigger: str | None, side: Side = Side.BUY, **terms: Any) -> SubmitOrder:
    price = None if trigger is None else D(trigger)
    terms = {"order_type": OrderType.STOP_MARKET, "price": None, **terms}
    return an_order(side=side, trigger_price=price, **terms)


def verdict(order: SubmitOrder, *events: Event) -> DenialReason | None:
    (out,) = a_core(*events).handle(order)
    if isinstance(out, OrderDenied):
        assert "limit=" in out.detail
        assert "value=" in out.detail
        return out.reason
    assert isinstance(out, OrderApproved)
    return None


LIMIT_STOP: dict[str, Any] = {"order_type": OrderType.STOP_LIMIT, "price": D(1100)}


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (a_stop("1100"), None),
        (a_stop("900", Side.SELL), None),
        (a_stop("1100", **LIMIT_STOP), None),
        (a_stop("1100", **LIMIT_STOP, reduce_only=False, time_in_force=TimeInForce.FOK), None),
        (a_stop("900", order_type=OrderType.TAKE_PROFIT_MARKET), None),
        (a_stop("1100", Side.SELL, order_type=OrderType.TAKE_PROFIT_MARKET), None),
        (a_stop(None), R.TRIGGER_PRICE_MISSING),
        (an_order(trigger_price=D(1100)), R.TRIGGER_PRICE_UNEXPECTED),
        (a_stop("1100.001"), R.TRIGGER_PRICE_INVALID),
        (a_stop("-1"), R.TRIGGER_PRICE_INVALID),
        (a_stop("NaN"), R.TRIGGER_PRICE_INVALID),
        (a_stop("1000000"), R.TRIGGER_PRICE_INVALID),
        (a_stop("999"), R.TRIGGER_PRICE_REACHED),
        (a_stop("1001", Side.SELL), R.TRIGGER_PRICE_REACHED),
        (a_stop("1001", order_type=OrderType.TAKE_PROFIT_MARKET), R.TRIGGER_PRICE_REACHED),
        (a_stop("1100", price=D(1100)), R.PRICE_UNEXPECTED),
        (a_stop("1100", order_type=OrderType.STOP_LIMIT), R.PRICE_MISSING),
        (a_stop("1100", **{**LIMIT_STOP, "price": D(1200)}), R.PRICE_DEVIATION_ABOVE_MAX),
        (an_order(post_only=True, time_in_force=TimeInForce.IOC), R.TIME_IN_FORCE_INVALID),
        (a_stop("1100", post_only=True), R.TIME_IN_FORCE_INVALID),
        (a_stop("1100", **LIMIT_STOP, post_only=True), R.TIME_IN_FORCE_INVALID),
        (an_order(time_in_force=TimeInForce.GTD, expires_ns=3 * S), None),
        (an_order(time_in_force=TimeInForce.GTD, expires_ns=S), R.EXPIRY_INVALID),
        (an_order(time_in_force=TimeInForce.GTD), R.EXPIRY_INVALID),
        (an_order(expires_ns=3 * S), R.EXPIRY_INVALID),
        (an_order(replaces="s-r-0"), R.REPLACED_ORDER_NOT_WORKING),
        (an_order(replaces="s-r-1"), R.REPLACED_ORDER_NOT_WORKING),
    ],
)  # fmt: skip
def test_verdict_on_terms(order: SubmitOrder, reason: DenialReason | None) -> None:
    assert verdict(order) is reason


@pytest.mark.parametrize(
    ("terms", "detail"),
    [
        (
            {"time_in_force": TimeInForce.GTD, "expires_ns": S},
            "limit=>=1970-01-01T00:00:02.000Z value=1970-01-01T00:00:01.000Z",
        ),
        ({"time_in_force": TimeInForce.GTD}, "limit=>=1970-01-01T00:00:02.000Z value=none"),
        ({"expires_ns": 3 * S}, "limit=none without GTD value=1970-01-01T00:00:03.000Z"),
    ],
)
def test_an_expiry_is_refused_in_words_that_people_read(terms: dict[str, Any], detail: str) -> None:
    (denied,) = a_core().handle(an_order(**terms))
    assert isinstance(denied, OrderDenied)
    assert denied.detail == detail


OLD = an_order("s-r-0")
AT_VENUE = (S, S, "s-r-0", "s", "sim", "BTC-USDT", "v")


def test_a_working_order_can_be_replaced_by_one_of_its_kind_only() -> None:
    working = (OLD, OrderAccepted(*AT_VENUE))
    assert verdict(an_order(replaces="s-r-0"), *working) is None
    over = OrderCanceled(*AT_VENUE, D(0))
    assert verdict(an_order(replaces="s-r-0"), *working, over) is R.REPLACED_ORDER_NOT_WORKING
    for change in ({"side": Side.SELL}, {"strategy_id": "t"}):
        other = an_order(replaces="s-r-0", **change)
        assert verdict(other, *working) is R.REPLACED_ORDER_MISMATCH
