"""What a restart of risk must not change: given what is on record, then the same stops."""

from tickbus.events import (
    CancelApproved,
    Event,
    OrderApproved,
    Recovered,
    RiskState,
    SetTradingState,
    StopCause,
    TradingState,
    TradingStateChanged,
)
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_testkit.trading import LIMITS, D, S, an_order, of_kind

NEEDLESS = SetTradingState(5 * S, 5 * S, TradingState.ACTIVE, "resume", "ann")
STOPPED = TradingStateChanged(
    9 * S, 9 * S, "global", TradingState.ACTIVE, TradingState.HALTED, "risk", "drawdown",
    StopCause.DRAWDOWN,
)  # fmt: skip


def restarted(*events: Event) -> tuple[RiskState, list[CancelApproved]]:
    core = RiskCore(RiskConfig(**LIMITS), {"sim": D("0.001")})
    for event in events:
        core.handle(event)
    out = core.handle(Recovered(20 * S, 20 * S))
    (state,) = of_kind(out, RiskState)
    return state, of_kind(out, CancelApproved)


def test_a_resume_that_changed_nothing_does_not_undo_a_later_stop_at_a_restart() -> None:
    assert restarted(NEEDLESS, STOPPED)[0].state is TradingState.HALTED


def test_a_halt_from_a_clock_that_is_behind_is_carried_out_at_a_restart() -> None:
    resumed = TradingStateChanged(
        9 * S, 9 * S, "global", TradingState.HALTED, TradingState.ACTIVE, "ann", "resume"
    )
    halt = SetTradingState(8 * S, 8 * S, TradingState.HALTED, "kill", "bob")
    assert restarted(halt, resumed)[0].state is TradingState.HALTED


def test_a_restart_cancels_nothing_that_reducing_by_hand_left_alone() -> None:
    wish = SetTradingState(5 * S, 5 * S, TradingState.REDUCING, "x", "ann")
    change = TradingStateChanged(
        5 * S, 5 * S, "global", TradingState.ACTIVE, TradingState.REDUCING, "ann", "x"
    )
    state, cancels = restarted(wish, OrderApproved(S, S, an_order(1)), change)
    assert (state.state, cancels) == (TradingState.REDUCING, [])
