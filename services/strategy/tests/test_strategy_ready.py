"""A strategy is told once when its orders can leave, however it came to run."""

from typing import Any

from lifecycle_story import World, kind, stopped, terms, wishes

from tickbus.events import FeedState, FeedStatus, StrategyChanged, StrategyDecision, SubmitOrder
from tickbus_strategy.refusing import NotOrdered, NotOrderedReason


def calls(world: World) -> list[str]:
    found: list[str] = world.core.hosted["a"].seats[0].strategy.calls
    return found


def holding() -> World:
    """`a` ordered once and waits."""
    world = World({"a": terms("Holding")}).start()
    assert calls(world) == ["start"], "there is no price yet"
    (order,) = wishes(SubmitOrder, world.quote())
    world.accept(order)
    assert not wishes(SubmitOrder, world.quote())
    return world


def ordered(events: list[Any]) -> bool:
    return bool(wishes(SubmitOrder, events))


def test_after_a_switch_it_orders_as_soon_as_nothing_of_before_works() -> None:
    world = World({"a": terms()}).start()
    world.quote()
    (order,) = world.of("a")
    assert not ordered(world.wish("a", terms("Holding")))
    assert not ordered(world.quote())
    out = world.cancel(order)
    assert ordered(out)
    record = next(n for n, each in enumerate(out) if type(each) is StrategyChanged)
    submit = next(n for n, each in enumerate(out) if type(each) is SubmitOrder)
    assert record < submit, "on record before anything follows from it"
    assert calls(world) == ["start", "ready"]


def test_an_order_asked_for_at_the_start_while_others_are_cancelled_is_refused_and_told() -> None:
    world = World({"a": terms()}).start()
    world.quote()
    (order,) = world.of("a")
    out = world.wish("a", terms("Hasty"))
    of_stopping, missing = wishes(NotOrdered, out)
    assert of_stopping.reason is NotOrderedReason.MUST_WAIT
    assert missing.reason is NotOrderedReason.MUST_WAIT
    assert missing.detail == "orders of before are not over; order in on_ready"
    decision = wishes(StrategyDecision, out)[-1]
    assert decision.inputs == {"not_ordered": "MUST_WAIT"}
    assert not ordered(out)
    (later,) = wishes(SubmitOrder, world.cancel(order))
    assert calls(world) == ["start", "none", "ready"]
    assert later.client_order_id == "a-r-2", "that of on_ready, and no other"


def test_an_order_asked_for_at_the_start_leaves_where_nothing_is_in_its_way() -> None:
    world = World({"a": terms("Hasty")}).start()
    assert calls(world) == ["start", "order"]
    assert len(world.of("a")) == 1


def test_after_stop_and_start_it_orders_again() -> None:
    world = holding()
    world.wish("a", stopped(terms("Holding")))
    world.settle("a")
    world.wish("a", terms("Holding"))
    assert ordered(world.quote())


def test_started_again_before_it_has_stopped_it_orders_once_it_has() -> None:
    world = holding()
    (order,) = world.of("a")
    world.wish("a", stopped(terms("Holding")))
    assert not ordered(world.wish("a", terms("Holding")))
    assert not ordered(world.quote())
    assert ordered(world.cancel(order))


def test_with_other_parameters_the_new_instance_is_told_and_sees_what_works() -> None:
    world = holding()
    out = world.wish("a", terms("Holding", size=2))
    assert ordered(out), "its market is known already"
    assert calls(world) == ["start", "ready"]


def test_one_that_is_only_flattened_is_not_told_again() -> None:
    world = holding()
    world.wish("a", terms("Holding"), flatten=True)
    world.settle("a")
    assert calls(world) == ["start", "ready"]


def test_a_switch_while_the_feed_is_down_waits_for_it() -> None:
    world = holding()
    for order in world.of("a"):
        world.fill(order)
    now = world.now
    world.tell(FeedStatus(now, now, "sim", "BTC-USDT", FeedState.DISCONNECTED))
    assert not ordered(world.wish("a", terms("Taking")))
    assert not ordered(world.quote()), "whoever came knows that the market cannot be trusted"
    assert not ordered(world.wish("a", terms("Holding")))
    world.tell(FeedStatus(now, now, "sim", "BTC-USDT", FeedState.LIVE))
    assert ordered(world.quote())


def test_one_that_raises_then_is_stopped_as_always() -> None:
    world = World({"a": terms()}).start()
    world.quote()
    world.wish("a", terms("BreaksWhenReady"))
    world.settle("a")
    assert world.phase("a") == "FAILED"
    assert "not so soon" in world.core.hosted["a"].error
    assert world.core.hosted["a"].terms.kind == kind("BreaksWhenReady")
