"""Given what is held, what works and what was lost, when an order comes, then a verdict."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import (
    AccountUpdated,
    Balance,
    BookTop,
    CancelApproved,
    DenialReason,
    Event,
    Fill,
    FlattenEnded,
    Heartbeat,
    HeartbeatChanged,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderType,
    PnlRecorded,
    Recovered,
    RiskLimitChanged,
    RiskReport,
    RiskState,
    SetLimit,
    SetTradingState,
    Side,
    StopCause,
    SubmitOrder,
    TimeInForce,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus.limits import StrategyLimits, VenueLimits
from tickbus_risk import watch
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_risk.exposure import Exposures

D = Decimal
R = DenialReason
S = 1_000_000_000
DAY = 86_400 * S


def an_instrument(name: str) -> Instrument:
    base, quote = name.split("-")
    return Instrument(
        "sim", name, name.replace("-", ""), base, quote, D("0.01"), D("0.001"), D("0.001"),
        D("100"), D("50"), D("1"), D("100000"), D("5"), D("9000000"),
    )  # fmt: skip


def a_config(**changes: Any) -> RiskConfig:
    values: dict[str, Any] = {
        "order_notional_max": D(10_000), "position_notional_max": D(50_000), "open_orders_max": 50,
        "order_rate_per_s_max": 100, "total_order_rate_per_s_max": 1000,
        "price_deviation_bps_max": D(500), "market_data_age_ms_max": 10**9,
        "gross_exposure_max": D(100_000), "net_exposure_max": D(100_000),
        "daily_loss_max": D(1_000_000), "drawdown_max": D(1_000_000),
        "heartbeat_timeout_s": D(0), "balance_check": False, "self_trade": "venue",
    }  # fmt: skip
    return RiskConfig(**(values | changes))


def a_top(name: str = "BTC-USDT", mid: float = 1000.0, ts: int = S, *, ask: bool = True) -> BookTop:
    return BookTop(ts, ts, "sim", name, mid - 1, 1.0, mid + 1 if ask else 0.0, 1.0, 1, ts)


def a_core(*events: Event | Instrument, fee: str = "0.001", **changes: Any) -> RiskCore:
    core = RiskCore(a_config(**changes), {"sim": D(fee)})
    instruments = (an_instrument("BTC-USDT"), an_instrument("ETH-USDT"))
    market = (a_top(), a_top("ETH-USDT"))
    for event in (*instruments, *events, Recovered(S, S), *market):
        core.handle(event)
    return core


def an_order(n: int = 1, side: Side = Side.BUY, quantity: str = "1", **changes: Any) -> SubmitOrder:
    strategy_id = changes.get("strategy_id", "pp")
    values: dict[str, Any] = {
        "ts_event": S, "ts_recv": S, "client_order_id": f"{strategy_id}-r-{n}",
        "strategy_id": "pp", "venue": "sim", "instrument_id": "BTC-USDT", "side": side,
        "order_type": OrderType.LIMIT, "quantity": D(quantity), "price": D(1000),
    }  # fmt: skip
    return SubmitOrder(**(values | changes))


def a_fill(
    order: SubmitOrder, number: int, quantity: str = "", *, price: str = "1000", fee: str = "0",
    asset: str = "USDT", ts: int = S,
) -> OrderFilled:  # fmt: skip
    amount = D(quantity) if quantity else order.quantity
    fill = Fill(f"f{number}", order.side, D(price), amount, D(fee), asset, LiquiditySide.TAKER, ts)
    return OrderFilled(
        ts, ts, order.client_order_id, order.strategy_id, order.venue, order.instrument_id, "v",
        fill, amount, order.quantity - amount,
    )  # fmt: skip


def report(kind: type, order: SubmitOrder, ts: int, *rest: Any) -> Any:
    return kind(
        ts, ts, order.client_order_id, order.strategy_id, order.venue, order.instrument_id, *rest
    )


def an_account(ts: int = S, *, complete: bool = True, **free: str) -> AccountUpdated:
    balances = tuple(Balance(asset, D(amount), D(0)) for asset, amount in free.items())
    return AccountUpdated(ts, ts, "sim", balances, complete)


def verdict(core: RiskCore, order: SubmitOrder) -> str:
    """The reason and the detail of a denial; "" for an approval."""
    output = core.handle(order)[0]
    if isinstance(output, OrderDenied):
        return f"{output.reason} {output.detail}"
    assert isinstance(output, OrderApproved)
    return ""


def of_kind(outputs: Iterable[Any], *kinds: type) -> list[Any]:
    return [output for output in outputs if isinstance(output, kinds)]


def tick(core: RiskCore, ts: int) -> list[Event]:
    return list(core.handle(TimerFired(ts, ts, watch.TIMER)))


def the_report(core: RiskCore) -> RiskReport:
    _, told, _ = core.handle(TimerFired(S, S, "risk-state"))
    assert isinstance(told, RiskReport)
    return told


# -- exposure --------------------------------------------------------------------------------------


def test_gross_exposure_counts_every_instrument_whatever_its_sign() -> None:
    core = a_core(gross_exposure_max=D(2500))
    long, short = an_order(91), an_order(92, Side.SELL, instrument_id="ETH-USDT")
    core.handle(a_fill(long, 1))
    core.handle(a_fill(short, 2))
    assert verdict(core, an_order(1)) == (
        "GROSS_EXPOSURE_ABOVE_MAX limit=2500 value=3000 scope=global"
    )
    assert verdict(core, an_order(2, quantity="0.5")) == ""
    assert verdict(core, an_order(3, quantity="0.01")).startswith("GROSS_EXPOSURE_ABOVE_MAX")
    assert verdict(core, an_order(4, Side.SELL)) == ""  # the way back is open


def test_net_exposure_lets_a_short_pay_for_a_long() -> None:
    core = a_core(net_exposure_max=D(1500))
    core.handle(a_fill(an_order(91, Side.SELL, instrument_id="ETH-USDT"), 1))
    assert verdict(core, an_order(1, quantity="2")) == ""
    assert verdict(core, an_order(2)).startswith("NET_EXPOSURE_ABOVE_MAX limit=1500 value=2000")
    sell = an_order(3, Side.SELL, "1", instrument_id="ETH-USDT")
    assert verdict(core, sell).startswith("NET_EXPOSURE_ABOVE_MAX limit=1500 value=2000")


def test_exposure_has_limits_of_a_venue_and_of_a_strategy_besides_the_general_one() -> None:
    core = a_core(
        strategies={"pp": StrategyLimits(gross_exposure_max=D(1000))},
        venues={"sim": VenueLimits(net_exposure_max=D(3000))},
    )
    assert verdict(core, an_order(1)) == ""
    assert verdict(core, an_order(2)).endswith("limit=1000 value=2000 scope=strategy:pp")
    assert verdict(core, an_order(3, quantity="2", strategy_id="x")) == ""
    assert verdict(core, an_order(4, strategy_id="x")) == (
        "NET_EXPOSURE_ABOVE_MAX limit=3000 value=4000 scope=venue:sim"
    )


def test_exposure_follows_the_market() -> None:
    core = a_core(gross_exposure_max=D(3000))
    core.handle(a_fill(an_order(91, instrument_id="ETH-USDT"), 1))
    core.handle(a_top("ETH-USDT", 2500.0))
    tick(core, S)
    assert verdict(core, an_order(1)).endswith("limit=3000 value=3500 scope=global")


def test_what_cannot_be_valued_in_our_currency_is_not_traded() -> None:
    other = an_instrument("ETH-EUR")
    core = a_core(other)
    core.handle(a_top("ETH-EUR"))
    order = an_order(1, instrument_id="ETH-EUR")
    assert verdict(core, order) == "MARKET_DATA_MISSING limit=EUR-USDT value=none scope=global"
    core.handle(a_top("EUR-USDT", 2.0))
    assert verdict(core, an_order(2, instrument_id="ETH-EUR")) == ""
    scope = the_report(core).scopes[0]
    core.handle(an_order(3))
    assert (scope.scope, scope.gross_exposure) == ("global", D(2000))


def test_a_replacement_counts_only_what_it_adds() -> None:
    core = a_core(gross_exposure_max=D(2000), position_notional_max=D(2000))
    assert verdict(core, an_order(1, quantity="2")) == ""
    assert verdict(core, an_order(2, quantity="2", replaces="pp-r-1")) == ""
    other = a_core(gross_exposure_max=D(2000), position_notional_max=D(2000))
    assert verdict(other, an_order(1, quantity="2")) == ""
    assert verdict(other, an_order(2, quantity="2.1", replaces="pp-r-1")) != ""


def test_a_routed_order_counts_by_its_parts_alone() -> None:
    smart = msgspec.structs.replace(an_instrument("BTC-USDT"), venue="smart")
    core = a_core(smart, an_account(USDT="9000"), balance_check=True, gross_exposure_max=D(3000))
    core.handle(msgspec.structs.replace(a_top(), venue="smart"))
    whole = an_order(1, quantity="2", venue="smart", time_in_force=TimeInForce.IOC)
    assert verdict(core, whole) == ""
    part = an_order(2, quantity="2", parent_id="pp-r-1")
    assert verdict(core, part) == ""
    core.handle(a_fill(part, 1))
    core.handle(a_fill(whole, 2))
    scope = the_report(core).scopes[0]
    assert (scope.gross_exposure, scope.net_pnl) == (D(2000), D(0))


# -- balances --------------------------------------------------------------------------------------


def test_an_order_is_covered_by_what_is_free_with_the_fee() -> None:
    core = a_core(an_account(USDT="1000", BTC="1"), balance_check=True)
    assert verdict(core, an_order(1)) == (
        "BALANCE_INSUFFICIENT limit=1000 value=1001 scope=venue:sim asset=USDT"
    )
    assert verdict(core, an_order(2, quantity="0.9")) == ""
    assert verdict(core, an_order(3, Side.SELL, "1")) == ""
    assert verdict(core, an_order(4, Side.SELL, "0.1")).startswith("BALANCE_INSUFFICIENT limit=0 ")
    assert verdict(core, an_order(5, Side.SELL, instrument_id="ETH-USDT")).endswith("asset=ETH")


def test_before_the_venue_has_spoken_no_balance_is_known() -> None:
    core = a_core(balance_check=True)
    assert verdict(core, an_order(1)) == (
        "BALANCE_UNKNOWN limit=unknown value=1001 scope=venue:sim asset=USDT"
    )


def test_an_order_holds_its_money_until_the_venue_has_taken_note_of_it() -> None:
    core = a_core(an_account(USDT="1500"), balance_check=True)
    first = an_order(1)
    assert verdict(core, first) == ""
    assert verdict(core, an_order(2)).startswith("BALANCE_INSUFFICIENT limit=499 ")
    core.handle(report(OrderAccepted, first, 2 * S, "v"))
    core.handle(an_account(S + 5, complete=False, USDT="1500"))  # older than the acceptance
    assert verdict(core, an_order(3)).startswith("BALANCE_INSUFFICIENT limit=499 ")
    core.handle(an_account(2 * S, complete=False, USDT="500"))  # it is in there now
    assert verdict(core, an_order(4)).startswith("BALANCE_INSUFFICIENT limit=500 ")
    core.handle(report(OrderCanceled, first, 3 * S, "v", D(0)))
    core.handle(an_account(3 * S, complete=False, USDT="1500"))
    assert verdict(core, an_order(5)) == ""


@pytest.mark.parametrize("how", ["rejected", "canceled", "denied"])
def test_an_order_that_never_traded_gives_its_money_back_at_once(how: str) -> None:
    core = a_core(an_account(USDT="1500"), balance_check=True)
    first = an_order(1)
    assert verdict(core, first) == ""
    end: Event = OrderDenied(S, S, first, R.TRADING_HALTED, "limit=1 value=1")
    if how == "rejected":
        end = report(OrderRejected, first, S, "-2010", "no")
    elif how == "canceled":
        end = report(OrderCanceled, first, S, "v", D(0))
    core.handle(end)
    assert verdict(core, an_order(2)) == ""


def test_what_somebody_else_took_from_the_account_is_gone() -> None:
    core = a_core(an_account(USDT="5000", BTC="3"), balance_check=True)
    core.handle(an_account(2 * S, USDT="5000"))  # a complete list without BTC
    assert verdict(core, an_order(1, Side.SELL)).startswith("BALANCE_INSUFFICIENT limit=0 value=1 ")
    core.handle(an_account(3 * S, complete=False, USDT="10"))
    assert verdict(core, an_order(2)).startswith("BALANCE_INSUFFICIENT limit=10 ")


def test_a_replacement_may_use_what_the_replaced_order_holds() -> None:
    core = a_core(an_account(BTC="1", USDT="0"), balance_check=True)
    assert verdict(core, an_order(1, Side.SELL)) == ""
    changed = an_order(2, Side.SELL, price=D(1010), replaces="pp-r-1")
    assert verdict(core, changed) == ""


# -- own orders ------------------------------------------------------------------------------------


def test_an_order_that_would_meet_one_of_our_own_is_denied() -> None:
    core = a_core(self_trade="deny")
    assert verdict(core, an_order(1, Side.SELL, price=D(1001))) == ""
    assert verdict(core, an_order(2, Side.SELL, price=D(1003))) == ""
    assert verdict(core, an_order(3, price=D(1001), strategy_id="x")) == (
        "SELF_TRADE limit=1001 value=1001 scope=venue:sim"
    )
    market = an_order(4, order_type=OrderType.MARKET, price=None)
    assert verdict(core, market) == "SELF_TRADE limit=1001 value=MARKET scope=venue:sim"
    assert verdict(core, an_order(5, price=D("1000.99"))) == ""
    assert verdict(core, an_order(6, price=D(1001), post_only=True)) == ""
    core.handle(report(OrderCanceled, an_order(1), S, "v", D(0)))
    assert verdict(core, an_order(7, price=D(1002))) == ""
    assert verdict(core, an_order(8, Side.SELL, price=D(1002))).startswith("SELF_TRADE limit=1002")


def test_self_trades_may_be_left_to_the_venue() -> None:
    core = a_core(self_trade="venue")
    assert verdict(core, an_order(1, Side.SELL)) == ""
    assert verdict(core, an_order(2)) == ""


# -- losses ----------------------------------------------------------------------------------------


def a_loser(**changes: Any) -> RiskCore:
    """A core whose strategy pp has bought 1 BTC at 1000 for a fee of 1, and works one order."""
    core = a_core(**changes)
    tick(core, S)
    bought = an_order(91)
    core.handle(bought)
    core.handle(a_fill(bought, 1, fee="1"))
    core.handle(an_order(92, price=D(990)))
    return core


@pytest.mark.parametrize(
    ("limits", "mid", "cause", "value"),
    [
        ({"daily_loss_max": D(50)}, 950.0, StopCause.DAILY_LOSS, D(51)),
        ({"drawdown_max": D(50)}, 950.0, StopCause.DRAWDOWN, D(51)),
        ({"profit_target": D(49)}, 1050.0, StopCause.PROFIT_TARGET, D(49)),
    ],
)
def test_a_limit_on_losses_stops_everything_with_fees_and_unrealised_in(
    limits: dict[str, Any], mid: float, cause: StopCause, value: Decimal
) -> None:
    core = a_loser(**limits)
    assert not of_kind(tick(core, 2 * S), TradingStateChanged)
    core.handle(a_top(mid=mid, ts=3 * S))
    outputs = tick(core, 3 * S)
    (change,) = of_kind(outputs, TradingStateChanged)
    assert (change.scope, change.after, change.actor) == ("global", TradingState.HALTED, "risk")
    assert (change.cause, change.value) == (cause, value)
    (cancel,) = of_kind(outputs, CancelApproved)
    assert cancel.cancel.client_order_id == "pp-r-92"
    (state,) = of_kind(outputs, RiskState)
    assert state.state is TradingState.HALTED
    assert f"{change.limit} reached: {value}" in state.reason
    assert verdict(core, an_order(1)).startswith("TRADING_HALTED limit=ACTIVE value=HALTED")
    assert not of_kind(tick(core, 4 * S), TradingStateChanged, CancelApproved)  # said once


def test_a_strategy_that_loses_is_stopped_and_the_others_go_on() -> None:
    core = a_loser(strategies={"pp": StrategyLimits(daily_loss_max=D(50))})
    core.handle(an_order(93, strategy_id="x"))
    core.handle(a_top(mid=940.0, ts=3 * S))
    outputs = tick(core, 3 * S)
    (change,) = of_kind(outputs, TradingStateChanged)
    assert change.scope == "strategy:pp"
    (cancel,) = of_kind(outputs, CancelApproved)
    assert cancel.cancel.client_order_id == "pp-r-92"
    assert verdict(core, an_order(1, price=D(940))) == (
        "STRATEGY_STOPPED limit=ACTIVE value=HALTED scope=strategy:pp"
    )
    assert verdict(core, an_order(2, strategy_id="x", price=D(940))) == ""


@pytest.mark.parametrize(
    ("limits", "mid", "reason"),
    [
        ({"daily_loss_max": D(50)}, 940.0, "DAILY_LOSS_ABOVE_MAX limit=50 value=61"),
        ({"drawdown_max": D(50)}, 940.0, "DRAWDOWN_ABOVE_MAX limit=50 value=61"),
        ({"profit_target": D(50)}, 1060.0, "PROFIT_TARGET_REACHED limit=50 value=59"),
    ],
)
def test_the_first_order_after_the_loss_finds_it_and_stops_the_scope(
    limits: dict[str, Any], mid: float, reason: str
) -> None:
    core = a_loser(strategies={"pp": StrategyLimits(**limits)})
    core.handle(a_top(mid=mid, ts=2 * S))
    outputs = core.handle(an_order(1, price=D(mid)))
    assert isinstance(outputs[0], OrderDenied)
    assert f"{outputs[0].reason} {outputs[0].detail}".startswith(reason)
    assert outputs[0].detail.endswith("scope=strategy:pp")
    assert of_kind(outputs, TradingStateChanged)
    assert of_kind(outputs, CancelApproved)


def test_resuming_is_somebodys_act_and_losses_count_from_there() -> None:
    core = a_loser(daily_loss_max=D(50))
    core.handle(a_top(mid=940.0, ts=2 * S))
    tick(core, 2 * S)
    outputs = core.handle(SetTradingState(3 * S, 3 * S, TradingState.ACTIVE, "ops", "understood"))
    (change,) = of_kind(outputs, TradingStateChanged)
    assert (change.before, change.after) == (TradingState.HALTED, TradingState.ACTIVE)
    assert (change.actor, change.reason) == ("ops", "understood")
    assert not of_kind(tick(core, 4 * S), TradingStateChanged)
    assert verdict(core, an_order(1, price=D(940))) == ""
    core.handle(a_top(mid=880.0, ts=5 * S))
    (change,) = of_kind(tick(core, 5 * S), TradingStateChanged)
    assert change.value == D(60)


def test_everything_may_be_left_to_reduce_only() -> None:
    core = a_loser(daily_loss_max=D(50), on_stop="REDUCING")
    core.handle(a_top(mid=940.0, ts=2 * S))
    outputs = tick(core, 2 * S)
    assert of_kind(outputs, CancelApproved)
    assert verdict(core, an_order(1, price=D(940))).startswith("TRADING_REDUCING_ONLY")
    assert verdict(core, an_order(2, Side.SELL, price=D(940))) == ""


def test_a_new_day_forgives_the_losses_of_the_last_but_not_the_drawdown() -> None:
    core = a_loser(daily_loss_max=D(50), drawdown_max=D(80), day_start_hour=8)
    core.handle(a_top(mid=960.0, ts=2 * S))
    assert not of_kind(tick(core, 2 * S), TradingStateChanged)
    assert not of_kind(tick(core, 8 * 3600 * S + S), TradingStateChanged)  # the day turns here
    core.handle(a_top(mid=925.0, ts=DAY))
    assert not of_kind(tick(core, DAY), TradingStateChanged)
    core.handle(a_top(mid=915.0, ts=DAY + S))
    (change,) = of_kind(tick(core, DAY + S), TradingStateChanged)
    assert (change.cause, change.value) == (StopCause.DRAWDOWN, D(86))


def test_fees_in_a_third_asset_are_in_the_loss() -> None:
    core = a_core(daily_loss_max=D(10))
    core.handle(a_top("BNB-USDT", 500.0))
    bought = an_order(91)
    tick(core, S)
    core.handle(bought)
    core.handle(a_fill(bought, 1, fee="0.03", asset="BNB"))
    (change,) = of_kind(tick(core, 2 * S), TradingStateChanged)
    assert change.value == D(15)


def test_losses_are_not_judged_by_old_prices_after_a_restart() -> None:
    bought = an_order(91)
    history = (OrderApproved(S, S, bought), a_fill(bought, 1))
    core = RiskCore(a_config(daily_loss_max=D(50)))
    for event in (
        an_instrument("BTC-USDT"), *history, PnlRecorded(S, S, "global", 0, D(0), D(0), D(0)),
        Recovered(S, S),
    ):  # fmt: skip
        core.handle(event)
    core.handle(a_top("ETH-USDT"))
    assert not of_kind(tick(core, 2 * S), TradingStateChanged)
    core.handle(a_top(mid=940.0, ts=3 * S))
    (change,) = of_kind(tick(core, 3 * S), TradingStateChanged)
    assert change.value == D(60)


def test_folding_what_risk_said_gives_the_same_stops_and_the_same_measure() -> None:
    said: list[Any] = []
    core = RiskCore(a_config(daily_loss_max=D(100), drawdown_max=D(150)))
    order = an_order(91)
    story: list[Any] = [
        an_instrument("BTC-USDT"), Recovered(S, S), a_top(), TimerFired(S, S, watch.TIMER), order,
        a_fill(order, 1), a_top(mid=1100.0, ts=2 * S), TimerFired(2 * S, 2 * S, watch.TIMER),
        a_top(mid=1000.0, ts=DAY), TimerFired(DAY, DAY, watch.TIMER),
    ]  # fmt: skip
    for event in story:
        said += core.handle(event)
    kept = of_kind([*said, a_fill(order, 1)], PnlRecorded, OrderApproved, OrderFilled)
    again = RiskCore(a_config(daily_loss_max=D(100), drawdown_max=D(150)))
    later = DAY + S
    for event in (an_instrument("BTC-USDT"), *kept, Recovered(later, later), a_top(ts=later)):
        again.handle(event)
    for one in (core, again):
        one.handle(a_top(mid=940.0, ts=later))
        assert tick(one, later)
    ours, theirs = the_report(core).scopes[0], the_report(again).scopes[0]
    assert ours == theirs
    assert (ours.daily_loss, ours.drawdown) == (D(60), D(160))
    assert ours.state is TradingState.HALTED  # the drawdown, from a peak of yesterday


def test_a_stop_outlives_risk_until_somebody_resumes() -> None:
    core = a_loser(daily_loss_max=D(50))
    core.handle(a_top(mid=940.0, ts=2 * S))
    (stop,) = of_kind(tick(core, 2 * S), TradingStateChanged)
    earlier = SetTradingState(1, 1, TradingState.ACTIVE, "ops", "morning")
    started = TradingStateChanged(
        1, 1, "global", TradingState.HALTED, TradingState.ACTIVE, "ops", "morning"
    )
    again = a_core(earlier, started, stop)
    assert verdict(again, an_order(1)).startswith("TRADING_HALTED")
    resumed = SetTradingState(4 * S, 4 * S, TradingState.ACTIVE, "ops", "while risk was down")
    again = RiskCore(a_config())
    for event in (resumed, an_instrument("BTC-USDT"), started, stop):
        again.handle(event)
    (change,) = of_kind(again.handle(Recovered(5 * S, 5 * S)), TradingStateChanged)
    assert change.after is TradingState.ACTIVE
    again.handle(a_top())
    assert verdict(again, an_order(1)) == ""


def test_an_old_wish_told_again_does_not_undo_a_stop() -> None:
    resumed = SetTradingState(S, S, TradingState.ACTIVE, "ops", "morning")
    core = a_loser(daily_loss_max=D(50))
    core.handle(resumed)
    core.handle(a_top(mid=940.0, ts=2 * S))
    assert of_kind(tick(core, 2 * S), TradingStateChanged)
    assert not of_kind(core.handle(resumed), TradingStateChanged)
    assert verdict(core, an_order(1)).startswith("TRADING_HALTED")


def test_one_strategy_can_be_halted_and_resumed_by_hand() -> None:
    core = a_core()
    core.handle(an_order(91))
    halt = SetTradingState(S, S, TradingState.HALTED, "ops", "odd", strategy_id="pp")
    outputs = core.handle(halt)
    assert [o.cancel.client_order_id for o in of_kind(outputs, CancelApproved)] == ["pp-r-91"]
    assert verdict(core, an_order(1)).startswith("STRATEGY_STOPPED")
    assert verdict(core, an_order(2, strategy_id="x")) == ""
    core.handle(SetTradingState(2 * S, 2 * S, TradingState.ACTIVE, "ops", "fine", strategy_id="pp"))
    assert verdict(core, an_order(3)) == ""


# -- flattening ------------------------------------------------------------------------------------


def flatten(core: RiskCore, strategy_id: str = "") -> None:
    core.handle(SetTradingState(S, S, TradingState.HALTED, "ops", "out", strategy_id, flatten=True))


def test_flattening_closes_what_is_held_and_says_when_it_is_done() -> None:
    core = a_core(order_notional_max=D(3000))
    bought = an_order(91, quantity="3")
    core.handle(bought)
    core.handle(a_fill(bought, 1, quantity="5.0005"))
    flatten(core)
    (first,) = of_kind(tick(core, 2 * S), OrderApproved)
    order = first.order
    assert (order.strategy_id, order.side, order.order_type) == ("risk", Side.SELL, "MARKET")
    assert order.reduce_only
    assert order.quantity == D("3.003")  # as much as one order may be worth at the bid
    assert not of_kind(tick(core, 2 * S + 1), OrderApproved)  # not twice
    core.handle(a_fill(order, 2))
    (second,) = of_kind(tick(core, 3 * S), OrderApproved)
    assert second.order.quantity == D("1.997")
    core.handle(a_fill(second.order, 3))
    (ended,) = of_kind(tick(core, 4 * S), FlattenEnded)
    assert (ended.orders, ended.residual) == (2, (("sim", "BTC-USDT", D("0.0005")),))
    assert not tick(core, 5 * S)[:-2]  # a heartbeat and the timer


def test_flattening_a_strategy_closes_its_position_and_nobody_elses() -> None:
    core = a_core()
    core.handle(a_fill(an_order(91, quantity="2"), 1))
    core.handle(a_fill(an_order(92, quantity="1", strategy_id="x"), 2))
    flatten(core, "pp")
    (approved,) = of_kind(tick(core, 2 * S), OrderApproved)
    assert approved.order.quantity == D(2)
    core.handle(a_fill(approved.order, 3, price="1010"))
    (ended,) = of_kind(tick(core, 3 * S), FlattenEnded)
    assert ended.residual == ()
    (mine,) = [scope for scope in the_report(core).scopes if scope.scope == "strategy:pp"]
    assert mine.net_pnl == D(20)  # the close is the strategy's


def test_flattening_gives_up_in_the_end_and_says_what_is_left() -> None:
    core = a_core()
    core.handle(a_fill(an_order(91, quantity="2"), 1))
    flatten(core)
    approved = [o for n in range(2, 70) for o in of_kind(tick(core, n * S), OrderApproved)]
    assert len(approved) == 1  # it works, for ever
    core.handle(report(OrderRejected, approved[0].order, S, "-1", "no"))
    again = a_core()
    again.handle(a_fill(an_order(91, quantity="2"), 1))
    flatten(again)
    ended = []
    for n in range(2, 70):
        outputs = tick(again, n * S)
        ended += of_kind(outputs, FlattenEnded)
        for o in of_kind(outputs, OrderApproved):
            again.handle(report(OrderRejected, o.order, S, "-1", "no"))
    assert [e.residual for e in ended] == [(("sim", "BTC-USDT", D(2)),)]


def test_nobody_but_risk_may_use_its_name() -> None:
    order = an_order(1, strategy_id="risk", reduce_only=True)
    assert verdict(a_core(), order).startswith("ORDER_ID_INVALID limit=a strategy id that is not")


# -- heartbeats ------------------------------------------------------------------------------------


def listening(core: RiskCore, seconds: Iterable[int], *alive: str) -> list[Event]:
    out: list[Event] = []
    for second in seconds:
        for name in ("risk", *alive):
            out += core.handle(Heartbeat(second * S, second * S, name))
        out += tick(core, second * S)
    return out


def test_the_orders_of_a_silent_strategy_are_cancelled_once_and_it_comes_back() -> None:
    core = a_core(heartbeat_timeout_s=D(5))
    core.handle(an_order(91))
    core.handle(an_order(92, strategy_id="x"))
    listening(core, range(2, 10), "pp", "x")
    out = listening(core, range(10, 20), "x")
    (lost,) = of_kind(out, HeartbeatChanged)
    assert (lost.strategy_id, lost.lost, lost.limit_ms, lost.silent_ms) == ("pp", True, 5000, 6000)
    assert [o.cancel.client_order_id for o in of_kind(out, CancelApproved)] == ["pp-r-91"]
    assert verdict(core, an_order(1)) == (
        "STRATEGY_HEARTBEAT_LOST limit=5s value=10.0s scope=global"
    )
    (back,) = of_kind(listening(core, [20], "pp", "x"), HeartbeatChanged)
    assert (back.lost, back.silent_ms) == (False, 11_000)
    assert verdict(core, an_order(2)) == ""


def test_a_restart_within_the_time_out_cancels_nothing() -> None:
    core = a_core(heartbeat_timeout_s=D(5))
    core.handle(an_order(91))
    listening(core, range(2, 6), "pp")
    assert not of_kind(listening(core, range(6, 10)), CancelApproved)
    assert not of_kind(listening(core, range(10, 14), "pp"), CancelApproved, HeartbeatChanged)


def test_a_strategy_that_was_never_heard_gets_the_time_out_from_the_start_of_risk() -> None:
    order = an_order(91)
    core = a_core(OrderApproved(S, S, order), heartbeat_timeout_s=D(5))
    assert not of_kind(listening(core, range(1, 7)), CancelApproved)
    assert of_kind(listening(core, [7]), CancelApproved)


def test_a_dead_bus_is_not_taken_for_dead_strategies() -> None:
    core = a_core(heartbeat_timeout_s=D(5))
    core.handle(an_order(91))
    listening(core, range(2, 10), "pp")
    for second in range(10, 40):  # nobody hears anybody, not even risk itself
        assert not of_kind(tick(core, second * S), CancelApproved)
    assert not of_kind(listening(core, range(40, 44)), CancelApproved)  # it may take a moment
    assert not of_kind(listening(core, range(44, 60), "pp"), CancelApproved)


def test_people_and_strategies_that_are_told_to_be_left_alone_need_no_heartbeat() -> None:
    calm = {"x": StrategyLimits(heartbeat_timeout_s=D(0))}
    core = a_core(heartbeat_timeout_s=D(5), strategies=calm)
    core.handle(an_order(91, strategy_id="manual"))
    core.handle(an_order(92, strategy_id="x"))
    assert not of_kind(listening(core, range(2, 60)), CancelApproved)


# -- limits ----------------------------------------------------------------------------------------


def a_limit(name: str, value: str | None, scope: str = "global", ts: int = S) -> SetLimit:
    return SetLimit(ts, ts, scope, name, None if value is None else D(value), "ops", "why not")


def test_a_limit_changes_at_once_and_who_changed_it_goes_on_record() -> None:
    core = a_core()
    assert verdict(core, an_order(1)) == ""
    changed, told = core.handle(a_limit("order_notional_max", "500"))
    assert changed == RiskLimitChanged(
        S, S, "global", "order_notional_max", D(10_000), D(500), "ops", "why not"
    )
    assert isinstance(told, RiskReport)
    (line,) = [r for r in told.limits if r.name == "order_notional_max"]
    assert (line.value, line.configured, line.actor) == (D(500), D(10_000), "ops")
    assert verdict(core, an_order(2)).endswith("limit=500 value=1000 scope=global")
    core.handle(a_limit("order_notional_max", "2000", "strategy:pp"))
    assert verdict(core, an_order(3)) == ""
    core.handle(a_limit("order_notional_max", None, "strategy:pp"))
    assert verdict(core, an_order(4)).endswith("scope=global")
    core.handle(a_limit("order_notional_max", None))
    assert verdict(core, an_order(5)) == ""


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (a_limit("order_notional_max", "-1"), "order_notional_max = -1: cannot be the limit"),
        (a_limit("order_notional_max", "NaN"), "give an amount in quote currency of 0 or more"),
        (a_limit("open_orders_max", "1.5"), "give a whole number of 0 or more"),
        (a_limit("order_notional_maximum", "1"), "did you mean order_notional_max?"),
        (a_limit("daily_loss_max", "1", "venue:sim"), "cannot be set for venue:sim"),
        (a_limit("daily_loss_max", "1", "planet:earth"), "scope = planet:earth: is no scope"),
        (a_limit("daily_loss_max", "1", "strategy:a.b c"), "is no scope"),
        (a_limit("profit_target", "0"), "would stop at once"),
    ],
)
def test_a_bad_limit_changes_nothing_and_says_what_is_wrong(wish: SetLimit, words: str) -> None:
    core = a_core()
    before = the_report(core).limits
    changed, _ = core.handle(wish)
    assert isinstance(changed, RiskLimitChanged)
    assert words in changed.problem
    assert changed.before == changed.after
    assert [r[:3] for r in map(_plain, the_report(core).limits)] == [
        r[:3] for r in map(_plain, before)
    ]


def _plain(line: Any) -> tuple[Any, ...]:
    return (line.scope, line.name, line.value, line.configured)


def test_limits_set_while_risk_was_down_hold_and_go_on_record_once() -> None:
    wish = a_limit("order_notional_max", "500", ts=5)
    core = RiskCore(a_config())
    core.handle(wish)
    (changed,) = of_kind(core.handle(Recovered(S, S)), RiskLimitChanged)
    again = RiskCore(a_config())
    again.handle(wish)
    again.handle(changed)
    assert not of_kind(again.handle(Recovered(S, S)), RiskLimitChanged)
    for one in (core, again):
        one.handle(an_instrument("BTC-USDT"))
        one.handle(a_top())
        assert verdict(one, an_order(1)).startswith("NOTIONAL_ABOVE_MAX limit=500")


def test_a_rate_can_be_changed_and_what_was_sent_still_counts() -> None:
    core = a_core(venues={"sim": VenueLimits(total_order_rate_per_s_max=3)})
    assert verdict(core, an_order(1)) == ""
    assert verdict(core, an_order(2)) == ""
    core.handle(a_limit("total_order_rate_per_s_max", "2", "venue:sim"))
    assert verdict(core, an_order(3)) == (
        "ORDER_RATE_ABOVE_MAX limit=2/s value=3/s scope=venue:sim"
    )
    core.handle(a_limit("total_order_rate_per_s_max", "5", "venue:sim"))
    assert verdict(core, an_order(4)) == ""


# -- every reason ----------------------------------------------------------------------------------


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
    an_order(90), *(Heartbeat(n * S, n * S, "risk") for n in range(1, 9)),
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
}


def test_every_reason_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(DenialReason)


@pytest.mark.parametrize("reason", SCENARIOS)
def test_every_refusal_names_its_reason_the_limit_and_the_value(reason: DenialReason) -> None:
    denied = SCENARIOS[reason]()
    assert denied.reason is reason
    limit, _, value = denied.detail.removeprefix("limit=").partition(" value=")
    assert limit
    assert value


# -- as a whole ------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(["order", "accept", "fill", "part", "cancel", "reject", "top", "tick"]),
    st.integers(0, 30),
    st.sampled_from(Side),
    st.sampled_from(["pp", "x"]),
    st.sampled_from(["BTC-USDT", "ETH-USDT"]),
    st.integers(1, 3000),
)
MAXIMA: dict[str, Any] = {"position_notional_max": D(4000), "gross_exposure_max": D(6000),
          "net_exposure_max": D(5000)}  # fmt: skip


class Play:
    """Plays random steps against a core; `approved` are its orders and what is left of each."""

    def __init__(self, *, moving: bool) -> None:
        limits = {"pp": StrategyLimits(gross_exposure_max=D(3000))}
        self.core = a_core(strategies=limits, **MAXIMA)
        self.approved: list[SubmitOrder] = []
        self.left: dict[str, Decimal] = {}
        self.moving = moving
        self.fills = 0

    def step(self, step: tuple[str, int, Side, str, str, int]) -> None:
        kind, n, side, strategy_id, name, size = step
        if kind == "order":
            order = an_order(
                len(self.approved) + 1000 * (n + 1), side, str(D(size) / 1000),
                strategy_id=strategy_id, instrument_id=name,
            )  # fmt: skip
            if any(isinstance(o, OrderApproved) for o in self.core.handle(order)):
                self.approved.append(order)
                self.left[order.client_order_id] = order.quantity
        elif kind == "top" and self.moving:
            self.core.handle(a_top(name, 1000.0 + size / 7, ts=S + n))
        elif kind == "tick":
            tick(self.core, S + n)
        elif self.approved and kind not in ("top", "tick"):
            self.report(kind, self.approved[n % len(self.approved)], size)

    def report(self, kind: str, order: SubmitOrder, size: int) -> None:
        left = self.left[order.client_order_id]
        if kind == "accept":
            self.core.handle(report(OrderAccepted, order, S, "v"))
        elif kind in ("fill", "part") and left:
            quantity = left if kind == "fill" else min(left, D(size) / 1000)
            self.fills += 1
            self.left[order.client_order_id] = left - quantity
            fill = a_fill(order, self.fills, str(quantity), fee="0.00012345", asset="USDT")
            done = order.quantity - left + quantity
            self.core.handle(report(OrderFilled, order, S, "v", fill.fill, done, left - quantity))
        elif kind == "cancel":
            done = order.quantity - left
            self.left[order.client_order_id] = D(0)
            self.core.handle(report(OrderCanceled, order, S, "v", done))
        elif kind == "reject" and left == order.quantity:
            self.left[order.client_order_id] = D(0)
            self.core.handle(report(OrderRejected, order, S, "-1", "no"))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_running_sums_equal_those_over_everything_from_scratch(steps: list[Any]) -> None:
    play = Play(moving=True)
    for step in steps:
        play.step(step)
    play.core.handle(TimerFired(S, S, "settle"))
    exposures = play.core._book.exposures
    for scope in exposures.scopes():
        gross, long, short, pnl = _from_scratch(exposures, scope)
        sums = exposures.sums(scope)
        assert (sums.gross, sums.long, sums.short, sums.pnl) == (gross, long, short, pnl)


def _from_scratch(exposures: Exposures, scope: str) -> tuple[Decimal, ...]:
    owner = scope.partition(":")[2] if scope.startswith("strategy:") else ""
    gross = long = short = pnl = D(0)
    for key, slot in exposures.slots(owner):
        mark, held = exposures._marks[key], slot.position.quantity
        top, low = (held + slot.buying) * mark, (held - slot.selling) * mark
        gross += max(abs(top), abs(low))
        long, short = long + top, short + low
        pnl += slot.position.net_pnl(mark)
    return gross, long, short, pnl


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_no_interleaving_of_approvals_and_fills_passes_a_limit(steps: list[Any]) -> None:
    play = Play(moving=False)
    for step in steps:
        play.step(step)
        held: dict[str, Decimal] = {}
        works: dict[tuple[str, Side], Decimal] = {}
        mine = D(0)
        for order in play.approved:
            left = play.left[order.client_order_id]
            key = (order.instrument_id, order.side)
            works[key] = works.get(key, D(0)) + left
        positions = play.core._book.positions
        for name in ("BTC-USDT", "ETH-USDT"):
            held[name] = positions.get(("sim", name), D(0))
            slot = play.core._book.exposures.slot(("sim", name), "pp")
            if slot is not None:
                q, b, s = slot.position.quantity, slot.buying, slot.selling
                mine += max(abs(q + b), abs(q - s)) * 1000
        tops = {n: held[n] + works.get((n, Side.BUY), D(0)) for n in held}
        lows = {n: held[n] - works.get((n, Side.SELL), D(0)) for n in held}
        worst = {n: max(abs(tops[n]), abs(lows[n])) * 1000 for n in held}
        assert all(value <= MAXIMA["position_notional_max"] for value in worst.values())
        assert sum(worst.values()) <= MAXIMA["gross_exposure_max"]
        assert sum(tops.values()) * 1000 <= MAXIMA["net_exposure_max"]
        assert -sum(lows.values()) * 1000 <= MAXIMA["net_exposure_max"]
        assert mine <= 3000
