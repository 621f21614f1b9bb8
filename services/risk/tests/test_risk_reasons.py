"""Every reason of a refusal has a scenario, and names the limit and the value."""

from typing import Any

import pytest
from risk_cores import a_core, a_loser

from tickbus.events import (
    CancelDenied,
    CancelOrder,
    DenialReason,
    Event,
    Heartbeat,
    Instrument,
    OrderDenied,
    OrderType,
    SetTradingState,
    Side,
    TimeInForce,
    TimerFired,
    TradingState,
)
from tickbus_risk import watch
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import (
    D,
    S,
    a_top,
    an_account,
    an_order,
)

R = DenialReason
DAY = 86_400 * S


def cancel_denied_after(core: RiskCore, *events: Event, wisher: str = "pp") -> CancelDenied:
    for event in events:
        core.handle(event)
    (output,) = core.handle(CancelOrder(S, S, "c1", "pp-r-1", wisher, "sim", "BTC-USDT"))
    assert isinstance(output, CancelDenied)
    return output


def denied_after(core: RiskCore, *events: Event, **changes: Any) -> OrderDenied:
    for event in events:
        core.handle(event)
    output = core.handle(an_order(1, **changes))[0]
    assert isinstance(output, OrderDenied)
    return output


HALT = SetTradingState(S, S, TradingState.HALTED, "ops", "test")
HALT_PP = SetTradingState(S, S, TradingState.HALTED, "ops", "test", strategy_id="pp")
MARKET: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None}
STOP: dict[str, Any] = {"order_type": OrderType.STOP_MARKET, "price": None}
SILENCE = [
    an_order(90), Heartbeat(S, S, "pp"), *(Heartbeat(n * S, n * S, "risk") for n in range(1, 9)),
    TimerFired(9 * S, 9 * S, watch.TIMER),
]  # fmt: skip
PAUSED = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"), trading=False
)
SCENARIOS: dict[DenialReason, Any] = {
    R.TRADING_HALTED: lambda: denied_after(a_core(), HALT),
    R.TRADING_REDUCING_ONLY: lambda: denied_after(a_core(), reduce_only=True),
    R.ORDER_ID_DUPLICATE: lambda: denied_after(a_core(), an_order(1)),
    R.ORDER_ID_INVALID: lambda: denied_after(a_core(), client_order_id="a b"),
    R.INSTRUMENT_UNKNOWN: lambda: denied_after(a_core(), instrument_id="X-Y"),
    R.INSTRUMENT_NOT_TRADING: lambda: denied_after(a_core(), PAUSED),  # type: ignore[arg-type]
    R.QUANTITY_NOT_POSITIVE: lambda: denied_after(a_core(), quantity="0"),
    R.QUANTITY_NOT_LOT_MULTIPLE: lambda: denied_after(a_core(), quantity="1.0005"),
    R.QUANTITY_BELOW_MIN: lambda: denied_after(a_core(), quantity="0.0001"),
    R.QUANTITY_ABOVE_MAX: lambda: denied_after(a_core(), quantity="1000"),
    R.PRICE_MISSING: lambda: denied_after(a_core(), price=None),
    R.PRICE_UNEXPECTED: lambda: denied_after(a_core(), order_type=OrderType.MARKET),
    R.PRICE_NOT_POSITIVE: lambda: denied_after(a_core(), price=D(0)),
    R.PRICE_NOT_TICK_MULTIPLE: lambda: denied_after(a_core(), price=D("1000.001")),
    R.PRICE_OUT_OF_RANGE: lambda: denied_after(a_core(), price=D("0.5")),
    R.PRICE_DEVIATION_ABOVE_MAX: lambda: denied_after(a_core(), price=D(2000)),
    R.TRIGGER_PRICE_MISSING: lambda: denied_after(a_core(), **STOP),
    R.TRIGGER_PRICE_UNEXPECTED: lambda: denied_after(a_core(), trigger_price=D(1000)),
    R.TRIGGER_PRICE_INVALID: lambda: denied_after(a_core(), **STOP, trigger_price=D("0.001")),
    R.TRIGGER_PRICE_REACHED: lambda: denied_after(a_core(), **STOP, trigger_price=D(900)),
    R.TIME_IN_FORCE_INVALID: lambda: denied_after(
        a_core(), post_only=True, time_in_force=TimeInForce.IOC
    ),
    R.EXPIRY_INVALID: lambda: denied_after(a_core(), time_in_force=TimeInForce.GTD),
    R.REPLACED_ORDER_NOT_WORKING: lambda: denied_after(a_core(), replaces="nothing-1"),
    R.REPLACED_ORDER_MISMATCH: lambda: denied_after(
        a_core(), an_order(90, Side.SELL), replaces="pp-r-90"
    ),
    R.NOTIONAL_BELOW_MIN: lambda: denied_after(a_core(), quantity="0.001"),
    R.NOTIONAL_ABOVE_MAX: lambda: denied_after(a_core(), quantity="50"),
    R.MARKET_DATA_MISSING: lambda: denied_after(a_core(), a_top(ask=False)),
    R.MARKET_DATA_STALE: lambda: denied_after(
        a_core(market_data_age_ms_max=10), TimerFired(2 * S, 2 * S, "later")
    ),
    R.POSITION_ABOVE_MAX: lambda: denied_after(a_core(position_notional_max=D(10))),
    R.ORDER_COUNT_ABOVE_MAX: lambda: denied_after(a_core(open_orders_max=0)),
    R.ORDER_RATE_ABOVE_MAX: lambda: denied_after(a_core(order_rate_per_s_max=0)),
    R.ORDERS_PER_FILL_ABOVE_MAX: lambda: denied_after(
        a_core(orders_per_fill_max=1), an_order(90, quantity="0.01")
    ),
    R.STRATEGY_STOPPED: lambda: denied_after(a_core(), HALT_PP),
    R.STRATEGY_HEARTBEAT_LOST: lambda: denied_after(a_core(heartbeat_timeout_s=D(5)), *SILENCE),
    R.GROSS_EXPOSURE_ABOVE_MAX: lambda: denied_after(a_core(gross_exposure_max=D(10))),
    R.NET_EXPOSURE_ABOVE_MAX: lambda: denied_after(a_core(net_exposure_max=D(10))),
    R.BALANCE_UNKNOWN: lambda: denied_after(a_core(balance_check=True)),
    R.BALANCE_INSUFFICIENT: lambda: denied_after(a_core(an_account(USDT="1"), balance_check=True)),
    R.SELF_TRADE: lambda: denied_after(a_core(self_trade="deny"), an_order(90, Side.SELL)),
    R.DAILY_LOSS_ABOVE_MAX: lambda: denied_after(
        a_loser(daily_loss_max=D(50)), a_top(mid=940.0, ts=2 * S), price=D(940)
    ),
    R.DRAWDOWN_ABOVE_MAX: lambda: denied_after(
        a_loser(drawdown_max=D(50)), a_top(mid=940.0, ts=2 * S), price=D(940)
    ),
    R.PROFIT_TARGET_REACHED: lambda: denied_after(
        a_loser(profit_target=D(50)), a_top(mid=1060.0, ts=2 * S), price=D(1060)
    ),
    R.CANCEL_ORDER_UNKNOWN: lambda: cancel_denied_after(a_core()),
    R.CANCEL_NOT_OWNER: lambda: cancel_denied_after(a_core(), an_order(1), wisher="x"),
}


def test_every_reason_has_a_scenario() -> None:
    # INTERNAL_ERROR is no check: see test_risk_dead.py.
    assert set(SCENARIOS) == set(DenialReason) - {R.INTERNAL_ERROR}


@pytest.mark.parametrize("reason", SCENARIOS)
def test_every_refusal_names_its_reason_the_limit_and_the_value(reason: DenialReason) -> None:
    denied = SCENARIOS[reason]()
    assert denied.reason is reason
    limit, _, value = denied.detail.removeprefix("limit=").partition(" value=")
    assert limit
    assert value
