"""Strategies hear what risk lets pass, and wish for nothing else."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    CancelOrder,
    Event,
    FeeSchedule,
    Fill,
    Instrument,
    LiquiditySide,
    OrderApproved,
    OrderFilled,
    Quote,
    Recovered,
    Side,
    StrategyDecision,
    SubmitOrder,
    TradingState,
    TradingStateChanged,
)
from tickbus_strategy import Strategy
from tickbus_strategy.core import Seat, StrategyCore
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.refusing import NotOrdered
from tickbus_testkit.memories import restored

D = Decimal
NOW = 1_000_000_000
ACTIVE, REDUCING, HALTED = TradingState
FEES = FeeSchedule(maker=D(0), taker=D(0))
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))
QUOTE = Quote(NOW, NOW, "sim", "BTC-USDT", 100.0, 5.0, 101.0, 5.0, 1)


class Busy(Strategy):
    """Takes back what works, buys, sells, and would reduce, at each quote."""

    def on_quote(self, quote: Quote) -> None:
        self.cancel_all()
        self.buy(2, quote.bid)
        self.sell(1)
        self.sell(3)
        self.buy(5, reduce_only=True)


def a_core(*names: str) -> StrategyCore:
    seats = []
    for name in names or ("s",):
        desk, market = Desk(name, "r", FEES), Market("sim", "BTC-USDT")
        seats.append(Seat(Busy(desk, market, Busy.Params()), desk, market))
    return StrategyCore(seats)


def started(core: StrategyCore) -> StrategyCore:
    core.handle(BTC)
    core.handle(Recovered(NOW, NOW))
    return core


def a_change(after: TradingState, scope: str = "global", ts: int = NOW) -> TradingStateChanged:
    return TradingStateChanged(ts, ts, scope, ACTIVE, after, "ops", "test")


def orders(events: Iterable[Event]) -> list[tuple[str, str, int]]:
    found = [event for event in events if isinstance(event, SubmitOrder)]
    return [(order.strategy_id, order.side.value, int(order.quantity)) for order in found]


ALL = [("s", "BUY", 2), ("s", "SELL", 1), ("s", "SELL", 3), ("s", "BUY", 5)]


@pytest.mark.parametrize("scope", ["global", "strategy:s"])
def test_halted_it_wishes_for_no_order_and_cancels_all_the_same(scope: str) -> None:
    core = started(a_core())
    first = core.handle(QUOTE)
    assert orders(first) == ALL
    for order in first:
        if isinstance(order, SubmitOrder):
            core.handle(OrderApproved(NOW, NOW, order))
    core.handle(a_change(HALTED, scope))
    *cancels, decision, first_missing, _, _, _ = core.handle(QUOTE)
    assert [type(wish) for wish in cancels] == [CancelOrder] * 4
    assert isinstance(decision, StrategyDecision)
    assert decision.inputs == {"not_ordered": "TRADING_STATE"}
    assert isinstance(first_missing, NotOrdered)
    assert first_missing.detail == "trading is HALTED"
    assert not any(isinstance(said, SubmitOrder | CancelOrder) for said in core.handle(QUOTE))


def test_it_goes_on_by_itself_when_somebody_resumes() -> None:
    core = started(a_core())
    core.handle(a_change(HALTED))
    assert orders(core.handle(QUOTE)) == []
    core.handle(a_change(ACTIVE))
    assert orders(core.handle(QUOTE)) == ALL


def test_reducing_it_wishes_for_what_shrinks_its_position() -> None:
    core = started(a_core())
    (bought, *_) = core.handle(QUOTE)
    assert isinstance(bought, SubmitOrder)
    fill = Fill("1", Side.BUY, D(100), D(2), D(0), "USDT", LiquiditySide.TAKER, NOW)
    head = (NOW, NOW, bought.client_order_id, "s", "sim", "BTC-USDT", "v")
    core.handle(OrderFilled(*head, fill, D(2), D(0)))
    core.handle(a_change(REDUCING))
    wishes = [w for w in core.handle(QUOTE) if isinstance(w, SubmitOrder)]
    assert orders(wishes) == [("s", "SELL", 1), ("s", "BUY", 5)]
    assert [wish.reduce_only for wish in wishes] == [False, True], "the last says so, risk judges"


def test_the_stop_of_one_strategy_is_no_other_s() -> None:
    core = started(a_core("s", "other"))
    core.handle(a_change(HALTED, "strategy:other"))
    assert orders(core.handle(QUOTE)) == ALL
    core.handle(a_change(HALTED, "venue:s"))
    assert orders(core.handle(QUOTE))[:1] == ALL[:1]


def test_a_stop_in_the_history_holds_after_a_restart_and_in_a_snapshot() -> None:
    before = a_core()
    before.handle(a_change(HALTED))
    again: Any = restored(before, a_core())
    for core in (before, again):
        assert orders(started(core).handle(QUOTE)) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["global", "strategy:s"]), st.sampled_from(list(TradingState)))
    )
)
def test_the_stricter_of_both_states_holds(changes: list[tuple[str, TradingState]]) -> None:
    core = started(a_core())
    last = {"global": ACTIVE, "strategy:s": ACTIVE}
    for scope, after in changes:
        core.handle(a_change(after, scope))
        last[scope] = after
    wished = orders(core.handle(QUOTE))
    if HALTED in last.values():
        assert wished == []
    elif REDUCING in last.values():
        assert wished == [("s", "BUY", 5)]
    else:
        assert wished == ALL
