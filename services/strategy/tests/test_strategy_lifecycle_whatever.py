"""Whatever people, the market, the venue and fate do: no order is orphaned, no fill is lost."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lifecycle_story import D, World, stopped, terms

from tickbus.events import DenialReason, Quote, Recovered
from tickbus.order import OrderState
from tickbus_testkit.memories import restored

IDS = ("a", "b", "c")
ACTS = st.one_of(
    st.tuples(st.just("wish"), st.sampled_from(IDS), st.sampled_from(
        ["Resting", "Taking", "Tunable", "BreaksAtQuote", "BreaksAtStop", "BreaksAtStart", "Nope"]
    ), st.booleans(), st.sampled_from(["BTC-USDT", "ETH-USDT"]), st.integers(1, 3)),
    st.tuples(st.just("stop"), st.sampled_from(IDS), st.booleans()),
    st.tuples(st.just("quote"), st.sampled_from(["BTC-USDT", "ETH-USDT"]),
              st.sampled_from([100.0, 100.0, 100.0, 201.0])),
    st.tuples(st.sampled_from(["accept", "fill", "part", "cancel", "refuse", "deny"]),
              st.integers(0, 30)),
    st.tuples(st.just("later"), st.integers(1, 5)),
    st.tuples(st.just("restart")),
)  # fmt: skip
FILES = {"a": terms(), "b": terms("Taking", "ETH-USDT")}


def do(world: World, act: tuple[Any, ...]) -> World:
    """One act of people, of the market, of the venue or of fate."""
    match act:
        case ("wish", name, what, flatten, instrument, size):
            world.wish(name, terms(what, instrument, size=size), flatten=flatten)
        case ("stop", name, flatten):
            hosted = world.core.hosted.get(name)
            if hosted is not None and hosted.terms is not None:
                world.wish(name, stopped(hosted.terms), flatten=flatten)
        case ("quote", name, bid):
            world.quote(bid, name)
        case ("later", seconds):
            world.later(seconds)
        case ("restart",):
            runs = int(world.core._maker._settings.run_id[1:] or 0) + 1
            return world.restarted(FILES, f"r{runs}").start()
        case (what, number) if world.live:
            order = list(world.live.values())[number % len(world.live)]
            known = world.core.core.desk(order.strategy_id).orders.get(order.client_order_id)
            if what == "deny" and known.state is not OrderState.PENDING_RISK:
                return world  # risk has spoken
            answers = {
                "accept": lambda: world.accept(order),
                "fill": lambda: world.fill(order),
                "part": lambda: world.fill(order, D("0.5")),
                "cancel": lambda: world.cancel(order),
                "refuse": lambda: world.refuse_cancel(order),
                "deny": lambda: world.deny(order, DenialReason.NOTIONAL_ABOVE_MAX),
            }
            answers[what]()
    return world


def is_sound(world: World) -> None:
    """Nothing is orphaned, nobody orders who may not, and positions are the sum of fills."""
    for name, hosted in world.core.hosted.items():
        assert str(hosted.phase) in ("STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED")
        known = {order.client_order_id for order in hosted.desk.orders.living()}
        assert known == {order.client_order_id for order in world.of(name)}
        if hosted.seats and hosted.quiet is None:
            continue
        if hosted.quiet is None:
            assert not known, f"{name} is {hosted.phase} and has orders"
            assert not hosted.seats
        else:
            closing = set(hosted.quiet._closing)
            assert known <= world.asked | closing, f"{name}: an order that nobody cancels"
            assert not hosted.desk.may_order
    for (name, instrument), total in world.sum.items():
        desk = world.core.core.desk(name)
        assert desk.portfolio.position("sim", instrument).quantity == total


@settings(max_examples=150, deadline=None)
@given(acts=st.lists(ACTS, max_size=60))
def test_whatever_comes_no_order_is_orphaned_and_positions_are_the_sum_of_fills(
    acts: list[tuple[Any, ...]],
) -> None:
    world = World(FILES, "r0").start()
    for act in acts:
        world = do(world, act)
        is_sound(world)
    for name in list(world.core.hosted):
        world.settle(name)
        world.wish(name, stopped(world.core.hosted[name].terms or terms()), flatten=True)
        world.settle(name)
        is_sound(world)
        assert world.phase(name) == "STOPPED"
        assert not world.of(name)
    assert not any(world.sum.values()), "all of it was closed"


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(ACTS.filter(lambda act: act[0] != "restart"), max_size=40))
def test_a_snapshot_knows_what_the_history_tells(acts: list[tuple[Any, ...]]) -> None:
    world = World(FILES, "r0").start()
    for act in acts:
        do(world, act)
    folded = World(FILES, "r1")
    taken = World(FILES, "r1")
    twin = World(FILES, "r9")
    for other in (folded, twin):
        for event in world.stream:
            other.core.handle(event)
    restored(twin.core, taken.core)
    later = Recovered(world.now, world.now)
    for other in (folded, taken):
        for wish in world.core.wishes.values():
            other.core.handle(wish)
    assert folded.core.handle(later) == taken.core.handle(later)
    quote = Quote(world.now, world.now, "sim", "BTC-USDT", 100.0, 5.0, 100.02, 5.0, 1)
    assert folded.core.handle(quote) == taken.core.handle(quote)
