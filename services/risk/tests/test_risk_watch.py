"""What risk does by itself: given losses, silences and wishes, then stops, cancels and records."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from risk_cores import a_config, a_core, a_loser

from tickbus.events import (
    CancelApproved,
    DenialReason,
    Event,
    FlattenEnded,
    Heartbeat,
    HeartbeatChanged,
    OrderApproved,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    PnlRecorded,
    Recovered,
    RiskLimitChanged,
    RiskReport,
    RiskState,
    SetLimit,
    SetTradingState,
    Side,
    StopCause,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus.limits import StrategyLimits, VenueLimits
from tickbus_risk import watch
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import (
    D,
    S,
    a_fill,
    a_top,
    an_instrument,
    an_order,
    of_kind,
    report,
    the_report,
    tick,
    verdict,
)

R = DenialReason
DAY = 86_400 * S


# -- losses ----------------------------------------------------------------------------------------


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


def leave(core: RiskCore, second: int, name: str) -> None:
    assert not core.handle(Heartbeat(second * S, second * S, name, leaves=True))


def test_a_strategy_that_is_replaced_keeps_its_orders_for_longer() -> None:
    core = a_core(heartbeat_timeout_s=D(5), restart_grace_s=20)
    core.handle(an_order(91))
    listening(core, range(2, 6), "pp")
    leave(core, 6, "pp")
    quiet = listening(core, range(6, 26)) + listening(core, range(26, 30), "pp")
    assert not of_kind(quiet, CancelApproved, HeartbeatChanged)
    # It is back: from here on a silence is one.
    (lost,) = of_kind(listening(core, range(30, 40)), HeartbeatChanged)
    assert (lost.lost, lost.limit_ms) == (True, 5000)


def test_a_strategy_that_left_and_did_not_come_back_is_lost_at_the_end_of_its_grace() -> None:
    core = a_core(heartbeat_timeout_s=D(5), restart_grace_s=20)
    core.handle(an_order(91))
    listening(core, range(2, 6), "pp")
    leave(core, 6, "pp")
    out = listening(core, range(7, 40))
    (lost,) = of_kind(out, HeartbeatChanged)
    assert (lost.lost, lost.limit_ms, lost.silent_ms) == (True, 20_000, 21_000)
    assert [o.cancel.client_order_id for o in of_kind(out, CancelApproved)] == ["pp-r-91"]


def test_a_grace_below_the_time_out_shortens_nothing_and_for_ever_stays_for_ever() -> None:
    calm = {"x": StrategyLimits(heartbeat_timeout_s=D(0))}
    core = a_core(heartbeat_timeout_s=D(10), restart_grace_s=0, strategies=calm)
    core.handle(an_order(91))
    core.handle(an_order(92, strategy_id="x"))
    listening(core, range(2, 6), "pp", "x")
    leave(core, 6, "pp")
    leave(core, 6, "x")
    assert not of_kind(listening(core, range(7, 16)), CancelApproved)
    cancelled = of_kind(listening(core, range(16, 60)), CancelApproved)
    assert [o.cancel.client_order_id for o in cancelled] == ["pp-r-91"]


def test_a_strategy_not_heard_yet_gets_the_grace_from_the_start_of_risk() -> None:
    order = an_order(91)
    core = a_core(OrderApproved(S, S, order), heartbeat_timeout_s=D(5), restart_grace_s=20)
    assert not of_kind(listening(core, range(1, 22)), CancelApproved)
    assert of_kind(listening(core, [22]), CancelApproved)


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
