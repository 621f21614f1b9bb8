"""Whatever happens, wherever the service dies: nothing is lost and nothing doubled."""

from collections import defaultdict

from alerts_world import T0, S, World, a_denial, a_feed, a_state, canceled, unknown
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import CaughtUp, Event, FeedState, OrderDenied, Recovered, TradingState
from tickbus_alerts.core import AlertsCore
from tickbus_alerts.events import AlertCleared, AlertNoted, AlertRaised, Incident
from tickbus_alerts.kinds import KINDS, default_rules

STEP = S // 4
WHAT = ("denial", "other denial", "unknown", "canceled", "halt", "resume", "stale", "live", "wait")
steps = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 3), st.integers(0, 200)), max_size=60
)


def events_of(made: list[tuple[str, int, int]]) -> list[tuple[int, Event | None]]:
    """Each with its time, which only rises."""
    found: list[tuple[int, Event | None]] = []
    ts = T0
    for what, n, pause in made:
        ts += STEP + (pause * S if what == "wait" else 0)
        event: Event | None = {
            "denial": a_denial(ts, n),
            "other denial": a_denial(ts, n, f"s{n}"),
            "unknown": unknown(ts, n),
            "canceled": canceled(ts, n),
            "halt": a_state(ts, TradingState.HALTED),
            "resume": a_state(ts, TradingState.ACTIVE),
            "stale": a_feed(ts, FeedState.STALE, f"I{n}"),
            "live": a_feed(ts, FeedState.LIVE, f"I{n}"),
            "wait": None,
        }[what]
        found.append((ts, event))
    return found


def run(world: World, events: list[tuple[int, Event | None]]) -> None:
    for ts, event in events:
        world.at(ts, *([event] if event else []))


def assert_cools_down(world: World) -> None:
    """Between two messages on one subject lies the cool-down, and each end follows a beginning."""
    last: dict[tuple[str, str], int] = {}
    active: set[tuple[str, str]] = set()
    for event in world.said:
        if isinstance(event, AlertRaised):
            incident = event.incident
            key = (incident.rule, incident.subject)
            pause_ns = int(KINDS[incident.rule].cooldown_s * S)
            assert event.ts_recv - last.get(key, -pause_ns) >= pause_ns
            last[key] = event.ts_recv
            active.add(key)
        elif isinstance(event, AlertCleared) and event.incident.ts_raised:
            key = (event.incident.rule, event.incident.subject)
            assert not event.tell or key in active
            active.discard(key)


@settings(max_examples=150, deadline=None)
@given(made=steps)
def test_each_denial_is_counted_once_and_the_cool_down_holds(
    made: list[tuple[str, int, int]],
) -> None:
    world = World()
    events = events_of(made)
    run(world, events)
    end = T0 + 10**6 * S
    world.at(end)
    assert_cools_down(world)
    counts: dict[str, int] = {}
    for said in world.said:
        if not isinstance(said, AlertRaised | AlertNoted | AlertCleared):
            continue
        if said.incident.rule == "denial":
            counts[said.incident.alert_id] = said.incident.count
    assert sum(counts.values()) == sum(isinstance(event, OrderDenied) for _, event in events)
    # What lasts is still there, what happened at moments is over.
    assert all(KINDS[incident.rule].lasts for incident in world.core.incidents.values())


def remembered(world: World) -> list[Incident]:
    """What the store would have kept."""
    kept: dict[str, Incident] = {}
    for said in world.said:
        if isinstance(said, AlertNoted | AlertRaised | AlertCleared):
            kept[said.incident.alert_id] = said.incident
    return list(kept.values())


@settings(max_examples=150, deadline=None)
@given(made=steps, cut=st.integers(0, 60), again=st.integers(0, 3), away=st.integers(0, 30))
def test_a_process_that_dies_anywhere_loses_nothing_and_repeats_nothing(
    made: list[tuple[str, int, int]], cut: int, again: int, away: int
) -> None:
    events = events_of(made)
    cut = min(cut, len(events))
    whole = World()
    run(whole, events)
    whole.at(T0 + 10**6 * S)

    first = World()
    run(first, events[:cut])
    core = AlertsCore(default_rules())
    core.restore(remembered(first), [], 0)
    second = World(core, start=first.now + away * S)
    second.tell(Recovered(second.now, second.now, backlog=True))
    # What had not been acknowledged comes once more.
    for _, event in events[max(0, cut - again) : cut]:
        if event is not None:
            second.at(second.now, event)
    second.tell(CaughtUp(second.now, second.now))
    run(second, [(max(ts, second.now), event) for ts, event in events[cut:]])
    second.at(T0 + 10**6 * S)

    def told(*worlds: World) -> set[tuple[str, str]]:
        raised = [e.incident for world in worlds for e in world.of(AlertRaised)]
        return {(incident.rule, incident.subject) for incident in raised}

    notices: dict[str, list[int]] = defaultdict(list)
    for world in (first, second):
        for said in world.said:
            if isinstance(said, AlertRaised) or (isinstance(said, AlertCleared) and said.tell):
                notices[said.incident.alert_id].append(said.incident.notices)
    assert all(numbers == sorted(set(numbers)) for numbers in notices.values())
    # A thing may have ended while nobody was there to see how long it lasted.
    lasting = {key for key in told(whole) if KINDS[key[0]].lasts and KINDS[key[0]].wait_s}
    assert told(whole) - told(first, second) <= lasting
    assert {key for key in told(whole) if key[0] == "denial"} <= told(first, second)
