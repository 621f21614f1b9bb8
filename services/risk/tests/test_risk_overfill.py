"""An order that filled for more than it was for: everything stops, once, and stays stopped."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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
from tickbus_testkit.trading import (
    LIMITS,
    D,
    S,
    a_fill,
    a_top,
    an_instrument,
    an_order,
    of_kind,
    tick,
    verdict,
)

ORDER = an_order(1)
HISTORY = (OrderApproved(S, S, ORDER), a_fill(ORDER, 1))
TOO_MUCH = a_fill(ORDER, 2, "0.25", ts=2 * S)
RESUMED = SetTradingState(4 * S, 4 * S, TradingState.ACTIVE, "ann", "looked at it")


def a_core(*history: Event, wishes: tuple[SetTradingState, ...] = ()) -> tuple[RiskCore, list[Any]]:
    """A core that has folded `history`, and what it said when that was over."""
    core = RiskCore(RiskConfig(**LIMITS), {"sim": D("0.001")})
    core.handle(an_instrument("BTC-USDT"))
    for event in (*wishes, *history):
        core.handle(event)
    said = list(core.handle(Recovered(3 * S, 3 * S)))
    core.handle(a_top(ts=3 * S))
    return core, said


def stops(said: list[Any]) -> list[TradingStateChanged]:
    return [e for e in of_kind(said, TradingStateChanged) if e.cause is StopCause.OVERFILL]


def test_overfill_halts_everything_and_names_order_quantity_and_filled() -> None:
    core, said = a_core(*HISTORY)
    assert not stops(said), "filled exactly is no overfill"
    core.handle(an_order(2, price=D(990)))
    said = list(core.handle(TOO_MUCH))
    (stop,) = stops(said)
    assert (stop.scope, stop.after, stop.actor) == ("global", TradingState.HALTED, "risk")
    assert stop.reason == "OVERFILL order=pp-r-1 quantity=1 filled=1.25"
    assert (stop.order_id, stop.limit, stop.value) == ("pp-r-1", D(1), D("1.25"))
    (cancel,) = of_kind(said, CancelApproved)
    assert cancel.cancel.client_order_id == "pp-r-2"
    (state,) = of_kind(said, RiskState)
    assert "OVERFILL" in state.reason
    assert verdict(core, an_order(3)).startswith("TRADING_HALTED")
    assert not stops(tick(core, 5 * S)), "said once"


@given(st.permutations([(1, "0.5"), (2, "0.5"), (3, "0.25"), (1, "0.5"), (3, "0.25")]))
def test_overfill_halts_once_in_whatever_order_and_however_often_fills_are_told(
    fills: list[tuple[int, str]],
) -> None:
    core, _ = a_core(OrderApproved(S, S, ORDER))
    said: list[Any] = []
    told: dict[int, str] = {}
    for number, quantity in fills:
        said += core.handle(a_fill(ORDER, number, quantity, ts=4 * S))
        told[number] = quantity
        assert len(stops(said)) == (sum(map(D, told.values())) > 1)
    assert verdict(core, an_order(3)).startswith("TRADING_HALTED")


def test_same_fill_told_again_is_no_overfill() -> None:
    core, _ = a_core(*HISTORY)
    assert not stops(list(core.handle(a_fill(ORDER, 1))))


def test_overfill_while_halted_already_is_put_on_record_too() -> None:
    core, _ = a_core(*HISTORY)
    core.handle(SetTradingState(3 * S, 3 * S, TradingState.HALTED, "ann", "drill"))
    (stop,) = stops(list(core.handle(TOO_MUCH)))
    assert (stop.before, stop.after) == (TradingState.HALTED, TradingState.HALTED)


def test_overfill_that_came_while_risk_was_down_halts_at_the_start() -> None:
    core, said = a_core(*HISTORY, TOO_MUCH)
    (stop,) = stops(said)
    assert stop.order_id == "pp-r-1"
    assert verdict(core, an_order(3)).startswith("TRADING_HALTED")


def test_stop_outlives_a_restart_and_is_not_told_again() -> None:
    core, _ = a_core(*HISTORY)
    (stop,) = stops(list(core.handle(TOO_MUCH)))
    core, said = a_core(*HISTORY, TOO_MUCH, stop)
    assert not stops(said)
    assert verdict(core, an_order(3)).startswith("TRADING_HALTED")


def test_whoever_resumed_is_not_halted_again_for_the_same_order() -> None:
    core, _ = a_core(*HISTORY)
    (stop,) = stops(list(core.handle(TOO_MUCH)))
    (resumed,) = of_kind(core.handle(RESUMED), TradingStateChanged)
    assert not verdict(core, an_order(3))
    assert not stops(list(core.handle(a_fill(ORDER, 3, "0.1", ts=5 * S))))

    core, said = a_core(*HISTORY, TOO_MUCH, stop, resumed, wishes=(RESUMED,))
    assert not stops(said)
    assert not verdict(core, an_order(4))
    other = an_order(5)
    core.handle(other)
    assert stops(list(core.handle(a_fill(other, 9, "2", ts=6 * S)))), "another order's does"
