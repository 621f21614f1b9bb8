"""Strategies are started, stopped, switched, changed and flattened between two events."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from lifecycle_story import D, World, kind, stopped, terms, wishes

from tickbus.events import (
    CancelAllOrders,
    CancelOrder,
    DenialReason,
    OrderCanceled,
    OrderType,
    Side,
    StrategyChanged,
    StrategyOutcome,
    StrategyState,
    StrategyTerms,
    SubmitOrder,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus_strategy.hosting import Hearing


def the_instance(world: World, strategy_id: str = "a") -> Any:
    return world.core.hosted[strategy_id].seats[0].strategy


def records(events: list[Any]) -> list[tuple[str, str]]:
    return [(each.strategy_id, each.outcome) for each in wishes(StrategyChanged, events)]


def running(name: str = "Resting", **params: Any) -> World:
    """`a` runs as the files say, and has three resting orders."""
    world = World({"a": terms(name, **params)}).start()
    for _ in range(3):
        world.quote()
    for order in world.of("a"):
        world.accept(order)
    assert len(world.live) == 3
    return world


def test_at_the_start_the_files_hold_and_their_markets_are_heard() -> None:
    world = World({"a": terms(), "b": stopped(terms())})
    out = world.start().said
    (heard,) = wishes(Hearing, out)
    assert "md.quote.sim.BTC-USDT" in heard.subjects
    assert "md.liquidation.sim.BTC-USDT" in heard.subjects
    assert "book.top.sim.BTC-USDT" in heard.subjects
    assert (world.phase("a"), world.phase("b")) == ("RUNNING", "STOPPED")
    assert not wishes(StrategyChanged, out), "nobody changed anything"
    assert wishes(SubmitOrder, world.quote())


def test_an_id_that_nobody_configured_is_started_at_run_time() -> None:
    world = World().start()
    out = world.wish("new", terms("Resting", "ETH-USDT"))
    (record,) = wishes(StrategyChanged, out)
    assert (record.before, record.outcome, record.actor) == (None, "APPLIED", "ada")
    assert out.index(record) == 0, "on record before anything follows from it"
    (heard,) = wishes(Hearing, out)
    assert heard.subjects[0] == "md.trade.sim.ETH-USDT"
    assert world.quote(name="BTC-USDT") == []
    (order,) = wishes(SubmitOrder, world.quote(name="ETH-USDT"))
    assert order.client_order_id == "new-r-1"


def test_stopping_cancels_every_order_and_ends_when_none_works() -> None:
    world = running()
    instance = the_instance(world)
    out = world.wish("a", stopped(terms()))
    assert {each.client_order_id for each in wishes(CancelOrder, out)} == set(world.live)
    assert not wishes(SubmitOrder, out), "what it wishes for in on_stop is no order"
    assert instance.calls[-1] == "stop"
    assert world.phase("a") == "STOPPING"
    assert wishes(Hearing, out)[0].subjects == ()
    assert world.quote() == []
    for order in world.of("a"):
        out = world.cancel(order)
    assert world.phase("a") == "STOPPED"
    assert records(out) == [("a", "QUIET")]


def test_a_cancel_that_leads_to_nothing_is_repeated_ever_more_slowly() -> None:
    world = running()
    world.wish("a", stopped(terms()))
    (order, *others) = world.of("a")
    for other in others:
        world.cancel(other)
    assert wishes(CancelOrder, world.refuse_cancel(order)) == [], "not in a hurry"
    gaps, waited = list[int](), 0
    while len(gaps) < 6:
        waited += 1
        if wishes(CancelOrder, world.later()):
            gaps.append(waited)
            waited = 0
    assert gaps == sorted(gaps)
    assert gaps[-1] > 10
    world.cancel(order)
    assert world.phase("a") == "STOPPED"


def test_a_fill_that_wins_the_race_is_in_the_position_of_the_stopped_strategy() -> None:
    world = running()
    world.wish("a", stopped(terms()))
    (first, *rest) = world.of("a")
    world.fill(first)
    for order in rest:
        world.cancel(order)
    position = world.core.core.desk("a").portfolio.position("sim", "BTC-USDT")
    assert (world.phase("a"), position.quantity) == ("STOPPED", 1)


def test_stopping_with_flatten_closes_what_is_held_once_nothing_works() -> None:
    world = running()
    (first, *rest) = world.of("a")
    world.fill(first)
    out = world.wish("a", stopped(terms()), flatten=True)
    assert not wishes(SubmitOrder, out)
    world.cancel(rest[0])
    out = world.cancel(rest[1])
    (close,) = wishes(SubmitOrder, out)
    assert (close.side, close.quantity, close.order_type) == (Side.SELL, 1, OrderType.MARKET)
    assert close.reduce_only
    assert world.phase("a") == "STOPPING"
    out = world.fill(close)
    assert world.phase("a") == "STOPPED"
    (record,) = wishes(StrategyChanged, out)
    assert (record.outcome, record.flatten, record.problem) == (StrategyOutcome.QUIET, True, "")


def test_what_another_strategy_holds_the_other_way_does_not_keep_it_from_closing() -> None:
    world = running()
    for order in world.of("a"):
        world.fill(order)
    (close,) = wishes(SubmitOrder, world.wish("a", stopped(terms()), flatten=True))
    assert close.reduce_only
    world.deny(close, DenialReason.TRADING_REDUCING_ONLY)
    (close,) = wishes(SubmitOrder, world.later())
    assert (close.quantity, close.reduce_only) == (2, False)
    world.fill(close)
    world.later()
    (close,) = world.of("a")
    world.fill(close)
    assert world.phase("a") == "STOPPED"
    assert not world.sum["a", "BTC-USDT"]


def a_halt() -> TradingStateChanged:
    states = (TradingState.ACTIVE, TradingState.HALTED)
    return TradingStateChanged(1, 1, "global", *states, "ada", "enough")


def test_a_halt_of_before_holds_for_one_who_comes_later() -> None:
    world = World().start()
    world.tell(a_halt())
    world.wish("a", terms())
    assert wishes(SubmitOrder, world.quote()) == []
    assert the_instance(world).trading_state is TradingState.HALTED


def test_what_is_too_much_for_one_order_is_closed_in_parts() -> None:
    world = running(size=4.0)
    for order in world.of("a"):
        world.fill(order)
    out = world.wish("a", stopped(terms(size=4.0)), flatten=True)
    (close,) = wishes(SubmitOrder, out)
    assert close.quantity == 2, "the venue takes no more at the market"
    world.deny(close, DenialReason.NOTIONAL_ABOVE_MAX)
    (close,) = wishes(SubmitOrder, world.later())
    assert close.quantity == 1
    for _ in range(14):
        for order in world.of("a"):
            world.fill(order)
        world.later()
    assert world.phase("a") == "STOPPED"
    assert world.sum["a", "BTC-USDT"] == 0


def test_what_cannot_be_closed_is_said() -> None:
    world = running()
    world.fill(world.of("a")[0])
    for order in world.of("a"):
        world.cancel(order)
    world.tell(a_halt())
    out = world.wish("a", stopped(terms()), flatten=True)
    for _ in range(80):
        out += world.later()
    assert not wishes(SubmitOrder, out), "risk would refuse it"
    assert world.phase("a") == "STOPPED"
    assert world.core.hosted["a"].error == "could not close sim BTC-USDT 1.000"


def test_another_kind_takes_over_the_desk_and_hears_every_tick_but_orders_only_afterwards() -> None:
    world = running()
    old = the_instance(world)
    out = world.wish("a", terms("Taking"))
    assert old.calls[-1] == "stop"
    assert len(wishes(CancelOrder, out)) == 3
    new = the_instance(world)
    assert type(new).__name__ == "Taking"
    assert world.phase("a") == "STARTING"
    assert wishes(SubmitOrder, world.quote()) == [], "orders of before are still about"
    for order in world.of("a"):
        world.cancel(order)
    assert world.phase("a") == "RUNNING"
    (order,) = wishes(SubmitOrder, world.quote())
    assert order.client_order_id == "a-r-4", "numbers go on"
    world.fill(order)
    assert new.fills == [1]


def test_other_instruments_cancel_the_orders_in_those_of_before() -> None:
    world = running()
    out = world.wish("a", terms("Resting", "ETH-USDT"))
    assert {each.client_order_id for each in wishes(CancelOrder, out)} == set(world.live)
    (late, *rest) = world.of("a")
    for order in rest:
        world.cancel(order)
    world.fill(late, D("0.4"))
    assert world.phase("a") == "STARTING", "one is still about, though nobody trades it any more"
    world.cancel(late)
    assert world.phase("a") == "RUNNING"
    assert world.core.core.desk("a").portfolio.position("sim", "BTC-USDT").quantity == D("0.4")


def test_other_parameters_make_another_instance_and_orders_go_on() -> None:
    world = running()
    old = the_instance(world)
    old.state.quotes = 77
    out = world.wish("a", terms(size=2.0, most=5))
    new = the_instance(world)
    assert new is not old
    assert new.params.size == 2
    assert not wishes(CancelOrder, out)
    assert "stop" not in old.calls
    assert world.phase("a") == "RUNNING"
    (order,) = wishes(SubmitOrder, world.quote())
    assert order.quantity == 2


def test_a_strategy_that_can_is_told_of_its_new_parameters_and_stays() -> None:
    world = running("Tunable")
    old = the_instance(world)
    world.wish("a", terms("Tunable", size=2.0))
    assert the_instance(world) is old
    assert old.calls == ["start", "from 1 to 2"]


def test_timers_of_one_who_is_gone_are_not_for_the_next() -> None:
    world = World({"a": terms()}).start()
    world.top()
    world.wish("a", terms(size=3.0))
    key = "a/sim/BTC-USDT/t"
    world.tell(TimerFired(world.now, world.now, key))
    assert the_instance(world).calls == ["start"]
    world.top()
    world.tell(TimerFired(world.now, world.now, key))
    assert the_instance(world).calls == ["start", "timer t"]


def test_flattening_one_that_runs_closes_its_position_and_it_goes_on() -> None:
    world = running()
    instance = the_instance(world)
    world.fill(world.of("a")[0])
    world.wish("a", terms(), flatten=True)
    assert world.phase("a") == "STARTING"
    seen = instance.quotes
    assert wishes(SubmitOrder, world.quote()) == [], "it may not order meanwhile"
    assert instance.quotes == seen + 1, "but it is told"
    world.settle("a")
    assert world.sum["a", "BTC-USDT"] == 0
    assert world.phase("a") == "RUNNING"
    assert wishes(SubmitOrder, world.quote())


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (terms("Nobody"), "kind = "),
        (StrategyTerms("nope", ("BTC-USDT",)), "kind = nope: not known"),
        (terms(size="many"), "params.size = 'many': Expected `float`"),
        (terms(size=-1), "params.size = -1: Expected `float` > 0"),
        (terms(sise=1), "params.sise = 1: unknown key; did you mean 'size'?"),
        (terms("Resting", "BTC-USD"), "instruments = BTC-USD: not known at sim; did you mean"),
        (StrategyTerms(kind("Resting"), ()), "instruments = none: there is nothing to trade"),
        (StrategyTerms(kind("Resting"), ("BTC-USDT",), venue="nyse"), "venue = nyse"),
        (StrategyTerms(kind("Resting"), ("BTC-USDT",), venues=("sim",)), "give venue instead"),
        (terms("BreaksWhenMade"), "it cannot be made: ZeroDivisionError('never')"),
    ],
)
def test_what_cannot_be_is_refused_and_what_runs_goes_on(wanted: StrategyTerms, words: str) -> None:
    world = running()
    instance = the_instance(world)
    out = world.wish("a", wanted)
    (record,) = wishes(StrategyChanged, out)
    assert record.outcome is StrategyOutcome.REFUSED
    assert words in record.problem
    assert record.after == record.before == terms()
    assert not wishes(CancelOrder, out)
    assert the_instance(world) is instance
    assert world.phase("a") == "RUNNING"
    world.cancel(world.of("a")[0])
    assert wishes(SubmitOrder, world.quote())


def test_one_that_raises_is_stopped_with_its_orders_and_may_be_started_again() -> None:
    world = World({"a": terms("BreaksAtQuote"), "b": terms()}).start()
    world.quote()
    out = world.quote(201)
    (failed,) = [r for r in wishes(StrategyChanged, out) if r.outcome == "FAILED"]
    assert "too high" in failed.problem
    assert len(wishes(CancelAllOrders, out)) == 1
    assert (world.phase("a"), world.phase("b")) == ("FAILED", "RUNNING")
    assert len(world.of("b")) == 2, "the other went on"
    (late,) = world.of("a")
    assert [o.client_order_id for o in wishes(CancelOrder, world.later(2))] == ["a-r-1"]
    world.cancel(late)
    assert (world.phase("a"), world.core.hosted["a"].quiet) == ("FAILED", None)
    world.wish("a", terms("BreaksAtQuote"))
    assert (world.phase("a"), world.core.hosted["a"].error) == ("RUNNING", "")
    assert wishes(SubmitOrder, world.quote())


@pytest.mark.parametrize("name", ["BreaksAtStart", "BreaksAtStop"])
def test_raising_while_it_comes_or_goes_fails_it_alone(name: str) -> None:
    world = World({"a": terms(), "b": terms()}).start()
    world.quote()
    world.wish("a", terms(name))
    world.settle("a")
    assert world.phase("a") == ("FAILED" if name == "BreaksAtStart" else "RUNNING")
    world.wish("a", terms("Taking"))
    world.settle("a")
    assert world.phase("a") == "RUNNING"
    assert world.phase("b") == "RUNNING"


def test_a_bucket_that_tells_its_values_again_changes_nothing() -> None:
    world = World().start()
    world.wish("a", terms())
    wish = world.core.wishes["a"]
    assert world.tell(wish) == []
    assert world.tell(msgspec.structs.replace(wish, ts_recv=5)) == [], "its revision is on record"


def test_after_a_restart_what_was_applied_last_holds() -> None:
    world = World({"a": terms()}).start()
    world.wish("a", terms(size=2.0))
    world.wish("a", terms(sise=2.0))  # refused
    again = world.restarted({"a": terms()}).start()
    assert the_instance(again).params.size == 2
    assert not wishes(StrategyChanged, again.said), "all of it is on record"
    assert again.wish("a", None), "reset"
    assert the_instance(again).params.size == 1
    third = again.restarted({"a": terms(size=9.0)}, "r3").start()
    assert the_instance(third).params.size == 9, "what the files say now"


def test_a_wish_that_came_while_nobody_ran_is_carried_out_at_the_start() -> None:
    world = World({"a": terms()})
    world.wish("a", stopped(terms()))
    world.wish("b", terms("Resting", "ETH-USDT"))
    out = world.start().said
    assert ("a", "APPLIED") in records(out)
    assert (world.phase("a"), world.phase("b")) == ("STOPPED", "RUNNING")


def test_a_stop_that_a_crash_interrupted_is_finished_by_the_next_process() -> None:
    world = running()
    world.fill(world.of("a")[0])
    world.wish("a", stopped(terms()), flatten=True)
    again = world.restarted({"a": terms()}).start()
    assert again.phase("a") == "STOPPING"
    assert again.asked >= {order.client_order_id for order in world.of("a")}
    again.settle("a")
    assert again.phase("a") == "STOPPED"
    assert again.sum["a", "BTC-USDT"] == 0
    third = again.restarted({"a": terms()}, "r3").start()
    assert third.phase("a") == "STOPPED"
    assert not wishes(SubmitOrder, third.said)


def test_a_kind_that_is_gone_after_a_restart_fails_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(Path(kind("x").rpartition(":")[0]).read_text())
    mine = StrategyTerms(f"{file}:Resting", ("BTC-USDT",))
    world = World({"b": terms()}).start()
    world.wish("a", mine)
    file.unlink()
    again = world.restarted({"b": terms()}).start()
    assert (again.phase("a"), again.phase("b")) == ("FAILED", "RUNNING")
    assert "there is no Python file" in again.core.hosted["a"].error


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    source = "from tickbus_strategy import Strategy\nclass Mine(Strategy):\n    title = '{}'\n"
    file.write_text(source.format("one"))
    world = World().start()
    mine = StrategyTerms(f"{file}:Mine", ("BTC-USDT",))
    world.wish("a", mine)
    file.write_text(source.format("another"))
    world.wish("a", stopped(mine))
    world.wish("a", mine)
    assert the_instance(world).title == "another"


def test_a_strategy_over_several_markets_is_one_instance() -> None:
    world = World().start()
    world.wish("a", terms("Spanning", "BTC-USDT", "ETH-USDT"))
    assert len(world.core.hosted["a"].seats) == 1
    (order,) = wishes(SubmitOrder, world.quote(name="ETH-USDT"))
    assert order.instrument_id == "ETH-USDT"


def test_one_waits_for_its_instrument() -> None:
    world = World({"a": terms("Resting", "ETH-USDT")}).start("BTC-USDT")
    assert world.phase("a") == "STARTING"
    from lifecycle_story import an_instrument

    out = world.tell(an_instrument("ETH-USDT"))
    assert [state.phase for state in wishes(StrategyState, out)] == ["RUNNING"]


def test_reserved_ids_and_those_of_other_processes_are_left_alone() -> None:
    world = World().start()
    for name in ("manual", "risk", "external", "a b", "x" * 17, ""):
        assert world.wish(name, terms()) == []
    assert world.core.hosted == {}


@pytest.mark.parametrize("last", [DenialReason.NOTIONAL_ABOVE_MAX, DenialReason.NOTIONAL_BELOW_MIN])
def test_what_risk_refuses_in_any_part_is_told_as_left(last: DenialReason) -> None:
    world = running()
    for order in world.of("a"):
        world.fill(order)
    out = world.wish("a", stopped(terms()), flatten=True)
    denied = 0
    while world.core.hosted["a"].quiet is not None:
        for order in world.of("a"):
            denied += 1
            out = world.deny(order, DenialReason.NOTIONAL_ABOVE_MAX if denied == 1 else last)
        if world.core.hosted["a"].quiet is not None:
            out = world.later()
    (record,) = wishes(StrategyChanged, out)
    assert record.problem == "could not close sim BTC-USDT 3.000"


def test_a_closing_order_whose_fill_is_told_after_its_end_is_not_sent_twice() -> None:
    world = running()
    for order in world.of("a"):
        world.fill(order)
    world.wish("a", stopped(terms()), flatten=True)
    (close,) = world.of("a")
    world.live.pop(close.client_order_id)
    world._report(OrderCanceled, close, "v", close.quantity, "")
    world.later()
    assert not world.of("a")
    world.later(20)
    assert len(world.of("a")) == 1, "nobody tells it any more"
