"""Faults on the wire, at every venue: the book is right or known to be wrong, and gets right."""

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus import subjects
from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    TimerFired,
)
from tickbus.orderbook import BookReplica
from tickbus_feed.adapter import Unreadable
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import TIMER, FeedCore
from tickbus_feed.service import adapter_named
from tickbus_feed.venue import (
    FetchSnapshot,
    FrameRejected,
    ProbeAnswer,
    ProbeBook,
    Reconnect,
    Resubscribe,
    SnapshotAnswer,
    VenueConnected,
    VenueDisconnected,
    VenueFrame,
)
from tickbus_testkit.conformance import Conformance
from tickbus_testkit.venues import VENUES, Market, Session

SECOND = 1_000_000_000
STEP = 100_000_000
FAULTS = ("drop", "duplicate", "reorder", "truncate", "corrupt", "disconnect", "silence", "clock")


class World:
    """A venue, a faulty wire, the feed's core, and a consumer of what it publishes."""

    def __init__(self, venue: str, seed: int) -> None:
        self.said = VENUES[venue]
        self.rng = random.Random(seed)
        self.market = Market(self.rng)
        self.session = Session(self.market)
        self.adapter = adapter_named(venue)
        self.adapter.audit_every_s = min(self.adapter.audit_every_s, 10.0)
        self.adapter.keepalive_s = min(self.adapter.keepalive_s, 3.0)
        self.core = FeedCore(FeedConfig(stale_after_s=4.0, first_event_s=2.0), venue, self.adapter)
        self.now = 1_786_400_000 * SECOND
        self.set_forward = 0
        self.told = Conformance(venue)
        self.link = 1
        self.subscribed = False
        self.silent = False
        self.pending: list[tuple[int, Event]] = []
        self.held: list[bytes] = []
        self.replica = BookReplica()
        self.state: FeedState | None = None
        self.rejected = 0
        self.books: dict[int, Any] = {}
        base, quote, *_ = self.said.instrument_id.split("-")
        tick, lot = Decimal("0.1"), Decimal("0.001")
        instrument = Instrument(
            venue, self.said.instrument_id, self.said.symbol, base, quote, tick, lot
        )
        self.told.describe(instrument)
        self.take(self.core.handle(instrument))
        self.connect()

    # -- the connection ----------------------------------------------------------------------------

    def connect(self) -> None:
        self.session.frames = -1
        self.silent = False
        for line in self.core.streams:
            self.give(VenueConnected(self.now, self.now, line, self.link))
        self.subscribe()

    def subscribe(self) -> None:
        self.subscribed = True
        if self.adapter.books_in_stream:
            self.deliver(self.said.whole(self.session))

    def disconnect(self) -> None:
        for line in self.core.streams:
            self.give(VenueDisconnected(self.now, self.now, "fault", line, self.link))
        self.link += 1
        self.held.clear()
        self.connect()

    def deliver(self, payload: bytes) -> None:
        if not self.silent:
            self.give(VenueFrame(self.now, self.now, payload, self.said.line, self.link))

    def give(self, event: Event) -> None:
        self.take(self.core.handle(event))
        self.check()

    def take(self, outputs: Any) -> None:
        for event in outputs:
            if isinstance(event, BookSnapshot | BookDelta | FeedStatus):
                self.told.take(subjects.of(event), event, self.now - self.set_forward)
            if isinstance(event, FetchSnapshot):
                self.pending.append((max(event.at_ns, self.now) + STEP, event))
            elif isinstance(event, Resubscribe):
                self.pending.append((max(event.at_ns, self.now), event))
            elif isinstance(event, ProbeBook | Reconnect):
                self.pending.append((self.now, event))
            elif isinstance(event, BookSnapshot):
                self.replica.on_snapshot(event)
            elif isinstance(event, BookDelta):
                assert self.replica.on_delta(event), "the sequence rises by one"
            elif isinstance(event, FeedStatus):
                self.state = event.state
            elif isinstance(event, FrameRejected):
                self.rejected += 1

    # -- time --------------------------------------------------------------------------------------

    def step(self, fault: str = "") -> None:
        """A change of the market, sent with a fault; then what is due."""
        self.now += STEP
        changes = self.market.step()
        self.send(self.said.change(self.session, changes), fault)
        due = [event for at, event in self.pending if at <= self.now]
        self.pending = [(at, event) for at, event in self.pending if at > self.now]
        for event in due:
            self.fulfil(event)
        if self.now % SECOND == 0:
            self.give(TimerFired(self.now, self.now, TIMER))
        self.told.passed(self.now - self.set_forward)

    def send(self, payload: bytes, fault: str) -> None:
        if fault == "disconnect":
            self.disconnect()
        elif fault == "silence":
            self.silent = True
        elif fault == "clock":  # ours, set forward; back it is never set (tickbus.clock)
            self.now += 3_600 * SECOND
            self.set_forward += 3_600 * SECOND
            self.deliver(payload)
        elif fault == "reorder":
            self.held.append(payload)
        elif fault == "duplicate":
            self.deliver(payload)
            self.deliver(payload)
        elif fault == "truncate":
            self.deliver(payload[: self.rng.randrange(1, len(payload))])
        elif fault == "corrupt":
            place = self.rng.randrange(len(payload))
            self.deliver(payload[:place] + b"\x00" + payload[place + 1 :])
        elif fault != "drop":
            self.deliver(payload)
            while self.held:
                self.deliver(self.held.pop())

    def fulfil(self, event: Any) -> None:
        now = self.now
        if isinstance(event, FetchSnapshot):
            book = self.said.whole(self.session)
            self.give(SnapshotAnswer(now, now, event.symbol, book, "", event.number))
        elif isinstance(event, ProbeBook):
            self.give(ProbeAnswer(now, now, event.symbol, self.said.whole(self.session)))
        elif isinstance(event, Reconnect):
            self.disconnect()
        else:
            self.silent = False
            self.subscribe()

    # -- what must hold ----------------------------------------------------------------------------

    def book_at(self, version: int) -> Any:
        if version not in self.books:
            self.books[version] = self._book_at(version)
        return self.books[version]

    def _book_at(self, version: int) -> Any:
        sides = self.market.history[version]
        return (
            tuple((p / 10, s / 1000) for p, s in sorted(sides["b"].items(), reverse=True)),
            tuple((p / 10, s / 1000) for p, s in sorted(sides["a"].items())),
        )

    def check(self) -> None:
        if self.state is not FeedState.LIVE:
            return
        sync = next(iter(self.core.syncs.values()))
        assert sync.book.levels() == self.replica.book.levels()
        if self.said.version_of is not None:
            version = self.said.version_of(sync.last_id)
            assert sync.book.levels() == self.book_at(version), "what it says is what it was"
        else:
            # A silent stream is believed for four seconds.
            recent = range(max(0, self.market.version - 55), self.market.version + 1)
            ours = sync.book.levels()
            if self.adapter.name == "kraken":  # its checksum is of ten levels
                ours = sync.book.depth(10)
                known = [tuple(s[:10] for s in self.book_at(v)) for v in recent]
            else:
                known = [self.book_at(version) for version in recent]
            assert ours in known

    def is_right(self) -> bool:
        assert self.told.is_sound, [v for v in self.told.verdicts() if v.broken]
        sync = next(iter(self.core.syncs.values()))
        now = self.book_at(self.market.version)
        return self.state is FeedState.LIVE and sync.book.levels() == now


@pytest.mark.parametrize("venue", list(VENUES))
def test_sound_wire_is_never_in_doubt(venue: str) -> None:
    world = World(venue, 1)
    for _ in range(300):
        world.step()
    assert world.is_right()
    sync = next(iter(world.core.syncs.values()))
    assert (sync.gaps, sync.resyncs, sync.crossed, sync.checksum_failures) == (0, 0, 0, 0)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("venue", list(VENUES))
def test_one_fault_is_survived(venue: str, fault: str) -> None:
    for seed in range(5):
        world = World(venue, seed)
        for _ in range(30):
            world.step()
        assert world.state is FeedState.LIVE
        world.step(fault)
        for _ in range(200):
            world.step()
        assert world.is_right(), seed


@pytest.mark.parametrize("venue", list(VENUES))
@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from(("", "", "", *FAULTS)), min_size=20, max_size=150),
)
def test_no_row_of_faults_makes_a_wrong_book_good(venue: str, seed: int, faults: list[str]) -> None:
    world = World(venue, seed)
    for fault in faults:
        world.step(fault)
    for _ in range(600):
        world.step()
    assert world.is_right()


@pytest.mark.parametrize("venue", list(VENUES))
def test_fuzzed_frames_are_read_or_refused_and_nothing_grows(venue: str) -> None:
    world = World(venue, 7)
    adapter, rng = world.adapter, random.Random(7)
    seeds = [world.said.change(world.session, world.market.step()) for _ in range(5)]
    seeds += [world.said.whole(world.session)[:400], b"{}", b"[]", b'{"data":{}}', b'{"e":"trade"}']
    refused = 0
    for _ in range(20_000):
        frame = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(frame) + 1)
            kind = rng.random()
            if kind < 0.4 and place < len(frame):
                frame[place] = rng.randrange(256)
            elif kind < 0.7:
                frame[place:place] = rng.choice((b"0", b'"', b"[", b"}", b"null", b"-1", b"1e999"))
            else:
                del frame[place : place + rng.randint(1, 8)]
        try:
            adapter.read(bytes(frame), world.said.line)
        except Unreadable:
            refused += 1
        world.core.handle(
            VenueFrame(world.now, world.now, bytes(frame), world.said.line, world.link)
        )
    assert 0 < refused < 20_000
    assert len(world.core.syncs) == 1
    assert len(world.core.ignored) < 100


def test_kraken_change_that_was_lost_shows_as_soon_as_it_matters() -> None:
    found = 0
    for seed in range(20):
        world = World("kraken", seed)
        for _ in range(20):
            world.step()
        world.step("drop")
        for _ in range(200):
            world.step()  # `check` compares the ten best levels each time
        found += next(iter(world.core.syncs.values())).checksum_failures
    assert found >= 15
