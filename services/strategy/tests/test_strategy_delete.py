"""An id is given up once nothing hangs on it; its place is another's, its numbers are nobody's."""

from decimal import Decimal
from typing import Any

import pytest
from lifecycle_story import World, stopped, terms, wishes

from tickbus.events import OrderCanceled, StrategyChanged, StrategyPhase, SubmitOrder
from tickbus_strategy.lifecycle import HOSTED_MAX
from tickbus_testkit.memories import restored


def was_running() -> World:
    """`new` was started at run time, had an order, and is stopped."""
    world = World().start()
    world.wish("new", terms())
    world.quote()
    world.wish("new", stopped(terms()))
    world.settle("new")
    return world


def delete(world: World, strategy_id: str = "new") -> StrategyChanged:
    out = world.wish(strategy_id, stopped(terms()), deletes=True)
    record: StrategyChanged = wishes(StrategyChanged, out)[0]
    assert record.deleted
    return record


def test_one_that_is_stopped_and_flat_is_given_up_and_on_record() -> None:
    world = was_running()
    record = delete(world)
    assert (record.outcome, record.after, record.actor) == ("APPLIED", None, "ada")
    assert record.before == stopped(terms())
    assert world.core.hosted == {}


def test_its_place_is_another_one_s() -> None:
    world = was_running()
    for number in range(HOSTED_MAX - 1):
        world.wish(f"n{number}", stopped(terms()))
    (refused,) = wishes(StrategyChanged, world.wish("more", terms()))
    assert refused.outcome == "REFUSED"
    assert "more" not in world.core.hosted, "one that was refused takes no place"
    delete(world)
    (record,) = wishes(StrategyChanged, world.wish("more", terms()))
    assert record.outcome == "APPLIED"


def test_who_comes_back_under_the_id_uses_no_order_number_again() -> None:
    world = was_running()
    delete(world)
    world.wish("new", terms())
    (order,) = wishes(SubmitOrder, world.quote())
    assert order.client_order_id == "new-r-2"
    assert world.phase("new") == StrategyPhase.RUNNING


def refusal(world: World, strategy_id: str = "new") -> str:
    before = world.core.hosted[strategy_id].terms
    record = delete(world, strategy_id)
    assert record.outcome == "REFUSED"
    assert world.core.hosted[strategy_id].terms == before
    return record.problem


def test_one_that_runs_is_not_given_up() -> None:
    world = World().start()
    world.wish("new", terms())
    assert "it is RUNNING; stop it first" in refusal(world)
    world.quote()
    world.wish("new", stopped(terms()))
    assert "it is STOPPING" in refusal(world)


def test_one_of_the_files_is_not_given_up() -> None:
    world = World({"a": stopped(terms())}).start()
    assert "the configuration names it" in refusal(world, "a")


def test_one_that_holds_something_is_not_given_up_until_it_is_flattened() -> None:
    world = World().start()
    world.wish("new", terms())
    world.quote()
    world.fill(world.of("new")[0])
    world.wish("new", stopped(terms()))
    world.settle("new")
    assert "it holds sim BTC-USDT 1.000; flatten it first" in refusal(world)
    world.wish("new", stopped(terms()), flatten=True)
    world.settle("new")
    assert delete(world).outcome == "APPLIED"


def test_one_whose_last_fill_is_still_to_be_told_is_not_given_up() -> None:
    world = World().start()
    world.wish("new", terms())
    world.quote()
    (order,) = world.of("new")
    world.wish("new", stopped(terms()))
    world.live.pop(order.client_order_id)
    world._report(OrderCanceled, order, "v", Decimal("0.5"), "")
    assert "fills of its last orders are still to be told" in refusal(world)


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_after_a_restart_it_is_still_given_up(from_snapshot: bool) -> None:
    world = was_running()
    delete(world)
    again: Any = world.restarted({})
    if from_snapshot:
        other: Any = World({}, "r3")
        other.core = restored(again.core, other.core)
        for wish in world.core.wishes.values():
            other.core.handle(wish)
        again = other
    again.now = world.now + 1
    again.start()
    assert again.core.hosted == {}


def test_a_wish_to_give_up_that_was_not_on_record_is_applied_at_the_restart() -> None:
    world = was_running()
    delete(world)
    last = max(n for n, event in enumerate(world.stream) if type(event) is StrategyChanged)
    del world.stream[last:]
    again = world.restarted({}).start()
    assert again.core.hosted == {}
    (record,) = [each for each in wishes(StrategyChanged, again.said) if each.deleted]
    assert record.outcome == "APPLIED"


def test_an_id_that_the_files_name_by_now_runs_as_they_say() -> None:
    world = was_running()
    delete(world)
    again = world.restarted({"new": terms("Taking")}).start()
    assert again.phase("new") == "RUNNING"
    assert again.core.hosted["new"].terms == terms("Taking")
