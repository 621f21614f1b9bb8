"""What was begun when a process died is brought to its end by the next one."""

from pathlib import Path
from typing import Any

import pytest
from lifecycle_story import KINDS, SECOND, World, an_instrument, kind, stopped, terms, wishes

from tickbus.events import CancelOrder, Recovered, StrategyChanged, StrategyTerms, SubmitOrder
from tickbus_testkit.memories import restored


def running() -> World:
    """`a` runs as the files say, and has three resting orders."""
    world = World({"a": terms()}).start()
    for _ in range(3):
        world.quote()
    for order in world.of("a"):
        world.accept(order)
    return world


def died_behind(world: World, record: type) -> None:
    """Whatever was said behind the last `record` never got to the stream."""
    last = max(n for n, event in enumerate(world.stream) if type(event) is record)
    del world.stream[last + 1 :]


def test_a_switch_that_was_only_put_on_record_cancels_the_orders_of_before() -> None:
    world = running()
    world.wish("a", terms("Taking", "ETH-USDT"))
    died_behind(world, StrategyChanged)
    again = world.restarted({"a": terms()}).start()
    asked = {each.client_order_id for each in wishes(CancelOrder, again.said)}
    assert asked == set(again.live)
    assert len(asked) == 3
    assert not wishes(SubmitOrder, again.quote(name="ETH-USDT")), "not before they are over"
    again.settle("a")
    assert again.phase("a") == "RUNNING"
    assert wishes(SubmitOrder, again.quote(name="ETH-USDT"))


def test_a_switch_whose_cancels_came_to_nothing_repeats_them_after_a_restart() -> None:
    world = running()
    world.wish("a", terms("Taking"))
    for order in world.of("a"):
        world.refuse_cancel(order)
    again = world.restarted({"a": terms()}).start()
    assert len(wishes(CancelOrder, again.said)) == 3


def test_orders_of_the_same_strategy_go_on_after_a_restart() -> None:
    world = running()
    world.wish("a", terms("Taking"))
    world.settle("a")
    world.wish("a", terms("Resting"))
    world.quote()
    world.wish("a", terms("Resting", most=2))
    assert world.of("a")
    again = world.restarted({"a": terms()}).start()
    assert not wishes(CancelOrder, again.said)
    assert again.phase("a") == "RUNNING"


def test_a_snapshot_knows_which_orders_are_to_end() -> None:
    world = running()
    world.wish("a", terms("Taking"))
    died_behind(world, StrategyChanged)
    folded = world.restarted({"a": terms()})
    other: Any = World({"a": terms()}, "r3")
    other.core = restored(folded.core, other.core)
    for wish in world.core.wishes.values():
        other.core.handle(wish)
    other.now = world.now + SECOND
    other.start()
    assert len(wishes(CancelOrder, other.said)) == 3


@pytest.mark.parametrize("flatten", [False, True])
def test_closing_goes_on_when_parameters_change_meanwhile(flatten: bool) -> None:
    world = running()
    (order, *_) = world.of("a")
    world.fill(order)
    world.wish("a", terms(), flatten=True)
    world.wish("a", terms(most=2), flatten=flatten)
    again = world.restarted({"a": terms()}).start()
    again.settle("a")
    assert not any(again.sum.values())
    assert kind("Resting") == again.core.hosted["a"].terms.kind


def test_flattening_one_that_failed_closes_what_it_holds_and_does_not_start_it() -> None:
    world = World({"a": terms("BreaksAtQuote")}).start()
    world.quote()
    world.fill(world.of("a")[0])
    world.quote(201)
    world.settle("a")
    assert world.phase("a") == "FAILED"
    world.wish("a", terms("BreaksAtQuote"), flatten=True)
    world.settle("a")
    assert not any(world.sum.values())
    assert world.phase("a") == "FAILED"
    assert not wishes(SubmitOrder, world.quote())
    world.wish("a", terms("BreaksAtQuote"))
    assert world.phase("a") == "RUNNING"


def test_one_whose_file_is_broken_by_now_can_be_flattened_and_stopped(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(Path(KINDS).read_text(encoding="utf-8"), encoding="utf-8")
    mine = StrategyTerms(f"{file}:Resting", ("BTC-USDT",), {})
    world = World({"a": mine}).start()
    world.quote()
    world.fill(world.of("a")[0])
    file.write_text("what?", encoding="utf-8")
    world.wish("a", mine, flatten=True)
    world.settle("a")
    assert not any(world.sum.values())
    assert world.phase("a") == "RUNNING"
    world.wish("a", stopped(mine))
    world.settle("a")
    assert world.phase("a") == "STOPPED"


def flattened_and_died() -> World:
    """`a` held something, and the process died behind the record that it is to be closed."""
    world = running()
    (order, *_) = world.of("a")
    world.fill(order)
    for other in world.of("a"):
        world.cancel(other)
    world.wish("a", stopped(terms()), flatten=True)
    died_behind(world, StrategyChanged)
    again = world.restarted({"a": terms()})
    again.live.clear()
    again.tell(Recovered(again.now, again.now))
    return again


def test_closing_waits_after_a_restart_until_the_instrument_is_described() -> None:
    again = flattened_and_died()
    again.later(30)
    assert again.phase("a") == "STOPPING"
    again.tell(an_instrument("BTC-USDT"))
    again.settle("a")
    assert not any(again.sum.values())
    assert again.core.hosted["a"].error == ""


def test_closing_what_is_never_described_ends_and_is_told() -> None:
    again = flattened_and_died()
    out = again.later(301)
    (record,) = wishes(StrategyChanged, out)
    assert record.problem == "could not close sim BTC-USDT 1.000"
    assert again.phase("a") == "STOPPED"
