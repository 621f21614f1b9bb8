"""Streams without a network: given events and subscriptions, when there is a tick, then frames."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus_api.streaming.core import LINGER_NS, WHOLE, Client, Hub, Source, Terms

MS = 1_000_000
START = 1_700_000_000_000 * MS


class Board:
    """A source for tests: numbers under names; a delta has the names that changed, null if gone."""

    def __init__(self) -> None:
        self.is_ready = True
        self.now: dict[str, int] = {}
        self.said: dict[str, int] = {}
        self.says_whole = False
        self.polls = 0

    def changes(self, now: int) -> str | None:
        self.polls += 1
        before, self.said = self.said, dict(self.now)
        if before == self.said:
            return None
        if self.says_whole:
            return WHOLE
        moved: dict[str, int | None] = {k: v for k, v in self.said.items() if before.get(k) != v}
        moved |= dict.fromkeys(before.keys() - self.said.keys())
        return json.dumps(moved)

    def state(self) -> str:
        return json.dumps(self.said)


class Reader:
    """What a client knows that does as docs/streaming.md says; it checks every step it is told."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.client: Client = hub.join()
        self.known: dict[str, dict[str, int]] = {}
        self.seq: dict[str, int] = {}
        self.in_gap: set[str] = set()
        self.kinds: list[str] = []

    def read(self) -> None:
        for frame in self.hub.take(self.client):
            self.hear(json.loads(frame.text))

    def hear(self, frame: dict[str, Any]) -> None:
        topic, kind, data = frame["topic"], frame["kind"], frame["data"]
        self.kinds.append(kind)
        if kind == "gap":
            assert data == {"after": self.seq[topic]}
            self.in_gap.add(topic)
        elif kind == "snapshot":
            self.known[topic] = data
            self.in_gap.discard(topic)
        else:
            assert topic not in self.in_gap, "behind a gap comes a snapshot"
            assert frame["seq"] == self.seq[topic] + 1, "deltas follow each other"
            for name, value in data.items():
                if value is None:
                    del self.known[topic][name]
                else:
                    self.known[topic][name] = value
        self.seq[topic] = frame["seq"]


class World:
    """A hub over boards, each topic under its own terms."""

    TERMS = {
        "state": Terms(every_ms=0, kept=3),
        "whole": Terms(every_ms=0),
        "events": Terms(every_ms=0, kept=3, resumes=True),
        "slow": Terms(every_ms=100, kept=3),
    }

    def __init__(self, origin: int = 0) -> None:
        self.now = START
        self.is_ready = True
        self.boards: dict[str, Board] = {}
        self.values: dict[str, dict[str, int]] = {topic: {} for topic in self.TERMS}
        self.hub = Hub(self.open, origin)
        self.failed: list[str] = []

    def open(self, topic: str) -> tuple[Source, Terms]:
        board = Board()
        board.now = self.values[topic]
        board.says_whole = topic == "whole"
        board.is_ready = self.is_ready
        self.boards[topic] = board
        return board, self.TERMS[topic]

    def set(self, topic: str, name: str, value: int | None) -> None:
        if value is None:
            self.values[topic].pop(name, None)
        else:
            self.values[topic][name] = value

    def subscribe(self, reader: Reader, topic: str, resume: int | None = None) -> None:
        self.hub.subscribe(reader.client, topic, self.now, resume)

    def tick(self, ms: int = 1) -> list[Client]:
        self.now += ms * MS
        return self.hub.tick(self.now, lambda topic, _: self.failed.append(topic))


@pytest.fixture
def world() -> World:
    return World()


def test_a_source_that_raises_takes_no_other_topic_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(world.hub)
    for topic in ("events", "state"):
        world.subscribe(reader, topic)
    reader.read()

    def broken(now: int) -> str | None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.boards["events"], "changes", broken)
    world.set("state", "a", 1)
    world.tick()
    reader.read()
    assert world.failed == ["events"]
    assert reader.known["state"] == {"a": 1}


def test_a_place_at_one_gateway_means_nothing_at_another() -> None:
    # Both opened the topic within a moment, and count the same steps.
    worlds = [World(origin=0), World(origin=1 << 50)]
    readers = [Reader(world.hub) for world in worlds]
    for late, (world, reader) in enumerate(zip(worlds, readers, strict=True)):
        world.now += late * MS
        world.subscribe(reader, "events")
        reader.read()
        for value in range(5):
            world.set("events", "a", value)
            world.tick()
            reader.read()
    for world, place in (
        (worlds[1], readers[0].seq["events"]),
        (worlds[0], readers[1].seq["events"]),
    ):
        moved = Reader(world.hub)
        moved.seq["events"] = place
        world.subscribe(moved, "events", place)
        moved.read()
        assert moved.kinds == ["gap", "snapshot"]


def test_the_first_frame_is_a_snapshot_and_deltas_follow(world: World) -> None:
    reader = Reader(world.hub)
    world.set("state", "a", 1)
    world.subscribe(reader, "state")
    reader.read()
    world.set("state", "b", 2)
    assert world.tick() == [reader.client]
    reader.read()
    assert reader.kinds == ["snapshot", "delta"]
    assert reader.known["state"] == {"a": 1, "b": 2}


def test_a_topic_that_nobody_hears_is_not_even_asked(world: World) -> None:
    reader = Reader(world.hub)
    world.subscribe(reader, "state")
    world.hub.unsubscribe(reader.client, "state", world.now)
    polls = world.boards["state"].polls
    world.set("state", "a", 1)
    assert world.tick() == []
    assert (world.boards["state"].polls, world.hub.topics) == (polls, [])


def test_a_frame_is_made_once_for_all(world: World) -> None:
    readers = [Reader(world.hub) for _ in range(3)]
    for reader in readers:
        world.subscribe(reader, "state")
    world.set("state", "a", 1)
    world.tick()
    first, second, third = (world.hub.take(reader.client)[-1] for reader in readers)
    assert first is second is third
    assert world.boards["state"].polls == 2


def test_one_that_is_behind_is_told_the_latest_state_and_holds_up_nobody(world: World) -> None:
    quick, stalled = Reader(world.hub), Reader(world.hub)
    for reader in (quick, stalled):
        world.subscribe(reader, "state")
        reader.read()
    for number in range(10):
        world.set("state", "a", number)
        world.tick()
        quick.read()
    stalled.read()
    assert quick.kinds == ["snapshot"] + ["delta"] * 10
    assert stalled.kinds == ["snapshot", "snapshot"]
    assert stalled.known == quick.known
    assert stalled.seq == quick.seq


def test_a_gap_in_events_is_told_before_the_snapshot_that_heals_it(world: World) -> None:
    reader = Reader(world.hub)
    world.subscribe(reader, "events")
    reader.read()
    for number in range(10):
        world.set("events", "a", number)
        world.tick()
    reader.read()
    assert reader.kinds == ["snapshot", "gap", "snapshot"]


def test_resuming_within_what_is_kept_replays_what_was_missed(world: World) -> None:
    before = Reader(world.hub)
    world.subscribe(before, "events")
    before.read()
    world.hub.leave(before.client, world.now)
    for number in range(3):
        world.set("events", str(number), number)
        world.tick()
    after = Reader(world.hub)
    after.known, after.seq = before.known, before.seq
    world.subscribe(after, "events", before.seq["events"])
    after.read()
    assert after.kinds == ["delta"] * 3
    assert after.known["events"] == {"0": 0, "1": 1, "2": 2}


def test_resuming_too_late_or_elsewhere_is_a_gap(world: World) -> None:
    before = Reader(world.hub)
    world.subscribe(before, "events")
    before.read()
    world.hub.leave(before.client, world.now)
    world.set("events", "a", 1)
    world.tick(LINGER_NS // MS + 1)
    assert world.hub.topics == []
    other = World()
    other.now = world.now
    for place in (world, other):
        after = Reader(place.hub)
        after.seq = dict(before.seq)
        place.subscribe(after, "events", before.seq["events"])
        after.read()
        assert after.kinds == ["gap", "snapshot"]
        assert after.known["events"] == place.values["events"]


def test_what_changes_too_often_is_told_as_one(world: World) -> None:
    reader = Reader(world.hub)
    world.subscribe(reader, "slow")
    reader.read()
    for number in range(100):
        world.set("slow", "a", number)
        world.tick(10)
        reader.read()
    assert reader.kinds.count("delta") <= 12
    world.tick(100)
    reader.read()
    assert reader.known["slow"] == {"a": 99}


def test_what_is_not_known_yet_is_told_once_it_is(world: World) -> None:
    reader = Reader(world.hub)
    world.is_ready = False
    world.subscribe(reader, "whole")
    reader.read()
    assert reader.kinds == []
    world.set("whole", "a", 1)
    world.boards["whole"].is_ready = True
    assert world.tick() == [reader.client]
    reader.read()
    assert reader.known["whole"] == {"a": 1}


def test_trouble_is_told_once_and_to_whoever_comes_later(world: World) -> None:
    first, second = Reader(world.hub), Reader(world.hub)
    world.subscribe(first, "whole")
    world.hub.take(first.client)
    assert world.hub.trouble("whole", "{}") == [first.client]
    assert world.hub.trouble("whole", "{}") == []
    world.subscribe(second, "whole")
    assert [frame.text for frame in world.hub.take(first.client)] == ["{}"]
    assert world.hub.take(second.client)[0].text == "{}"
    assert world.hub.trouble("nobody hears it", "{}") == []


topics = st.sampled_from(list(World.TERMS))
readers = st.integers(0, 2)
steps = st.one_of(
    st.tuples(
        st.just("set"), topics, st.sampled_from("abc"), st.none() | st.integers(0, 9)
    ),
    st.tuples(st.just("tick"), st.sampled_from([1, 60, 100, 70_000])),
    st.tuples(st.just("read"), readers),
    st.tuples(st.just("subscribe"), readers, topics),
    st.tuples(st.just("unsubscribe"), readers, topics),
    st.tuples(st.just("reconnect"), readers, st.booleans()),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=80))
def test_snapshots_and_deltas_always_make_the_source(story: list[tuple[Any, ...]]) -> None:
    """Whatever happens in whatever order: who reads to the end knows what the source last said."""
    world = World()
    heard = [Reader(world.hub) for _ in range(3)]
    for what, *given_ in story:
        if what == "set":
            world.set(*given_)
        elif what == "tick":
            world.tick(*given_)
        elif what == "read":
            heard[given_[0]].read()
        elif what == "subscribe":
            world.subscribe(heard[given_[0]], given_[1])
        elif what == "unsubscribe":
            world.hub.unsubscribe(heard[given_[0]].client, given_[1], world.now)
        else:
            heard[given_[0]] = reconnected(world, heard[given_[0]], resumes=given_[1])
    world.tick(100)
    for reader in heard:
        reader.read()
        assert not reader.in_gap
        for topic in reader.client.places:
            assert reader.known[topic] == world.values[topic]


def reconnected(world: World, reader: Reader, *, resumes: bool) -> Reader:
    """The same listener on a new connection: what was on its way is lost, what it knows is not."""
    wanted = list(reader.client.places)
    world.hub.leave(reader.client, world.now)
    again = Reader(world.hub)
    if resumes:
        again.known, again.seq = reader.known, reader.seq
    for topic in wanted:
        world.subscribe(again, topic, again.seq.get(topic))
    return again
