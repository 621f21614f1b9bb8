"""More orders than can be told of: the same traces are left out everywhere, the others whole."""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.codec import Hop
from tickbus.events import OrderAccepted, OrderApproved, OrderType, Side, SubmitOrder
from tickbus.runtime import Telemetry
from tickbus.traces import tracer as tracing
from tickbus.traces.notes import Booked, Heard, Note, Said, Sent
from tickbus.traces.orders import orders_of
from tickbus.traces.shedding import STEPS_MAX, Shedding
from tickbus.traces.tracer import NOTES_MAX, Tracer
from tickbus.tracing import trace_id_of
from tickbus_testkit.collector import Collector, a_collector
from tickbus_testkit.story import wait_for
from tickbus_testkit.tracing import KeptSpans

IDS = [trace_id_of(f"s-r-{n}") for n in range(2000)]
MANY, FULL = 1000, 3000
NS = 1_000_000
ORDERS = 100
WHOLE = [
    "ack", "execution", "execution to ledger", "feed", "feed to strategy", "ledger", "order",
    "risk", "risk to execution", "strategy", "strategy to risk", "venue", "venue to feed",
]  # fmt: skip

Look = tuple[int, bool, float, float]
LOOKS = st.lists(
    st.tuples(
        st.integers(0, NOTES_MAX), st.booleans(), st.floats(0, 5, allow_nan=False),
        st.floats(0.25, 20, allow_nan=False),
    ),
    max_size=30,
)  # fmt: skip


def kept(shedding: Shedding) -> set[str]:
    return {trace_id for trace_id in IDS if shedding.keeps(trace_id)}


@given(st.lists(LOOKS, min_size=2, max_size=6))
def test_whatever_presses_services_what_they_keep_is_nested(services: list[list[Look]]) -> None:
    all_of_them = [Shedding(NOTES_MAX // 2) for _ in services]
    for shedding, looks in zip(all_of_them, services, strict=True):
        for look in looks:
            before = shedding.steps
            assert shedding.look(*look) is (shedding.steps != before)
            assert 0 <= shedding.steps <= STEPS_MAX
    by_pressure = sorted(all_of_them, key=lambda shedding: shedding.steps)
    for less, more in pairwise(by_pressure):
        assert kept(more) <= kept(less)
    assert set.intersection(*map(kept, all_of_them)) == kept(by_pressure[-1])


def test_each_step_halves_what_is_kept() -> None:
    shedding = Shedding(0)
    sizes = [len(kept(shedding))]
    for n in range(1, 5):
        assert shedding.look(n, False, 1.0, 1.0)
        sizes.append(len(kept(shedding)))
    assert sizes[0] == len(IDS)
    for more, fewer in pairwise(sizes):
        assert 0.4 < fewer / more < 0.6


class Turns:
    """A thread that tells 45 us a note and passes over one in 1.6 us, on 0.5 % of a processor."""

    def __init__(self) -> None:
        self.shedding = Shedding(NOTES_MAX // 2)
        self.steps: list[int] = []
        self.dropped = 0
        self._waiting = self._is_full = 0
        self._busy_s = self._lasted_s = 0.0

    def run(self, per_s: int, seconds: float) -> None:
        """As if so many notes came, for so long."""
        while seconds > 0:
            self.shedding.look(self._waiting, self._is_full > 0, self._busy_s, self._lasted_s)
            self.steps.append(self.shedding.steps)
            ratio = 2**self.shedding.steps
            looked = min(self._waiting, tracing.LOOKS_AT_ONCE, tracing.NOTES_AT_ONCE * ratio)
            self._busy_s = (looked / ratio * 45e-6 + looked * 1.6e-6) / tracing.CPU_SHARE
            self._lasted_s = max(tracing.EVERY_S, self._busy_s)
            came = self._waiting - looked + int(per_s * self._lasted_s)
            self._waiting = min(came, NOTES_MAX)
            self._is_full = came - self._waiting
            self.dropped += self._is_full
            seconds -= self._lasted_s


@pytest.mark.parametrize("per_s", [200, 500, 1000, 2000])
def test_share_settles_and_nothing_is_torn_once_it_has(per_s: int) -> None:
    turns = Turns()
    turns.run(per_s, 120)
    turns.steps.clear()
    turns.dropped = 0
    turns.run(per_s, 1200)
    assert turns.dropped == 0
    assert len(set(turns.steps)) == 1, "it does not swing"
    assert turns.steps[0] > 0
    turns.run(10, 200)
    assert turns.shedding.steps == 0, "all are told again"


def test_what_can_be_told_is_told_and_a_burst_waits() -> None:
    turns = Turns()
    turns.run(50, 600)
    turns.run(2000, 1)
    turns.run(50, 600)
    assert set(turns.steps) == {0}


# -- through tracers and the protocol --------------------------------------------------------------


class Step(NamedTuple):
    """A service's tracer, and how hard it is pressed before the orders that count."""

    service: str
    tracer: Tracer
    shedding: Shedding
    telemetry: Telemetry


def an_order(order_id: str, parent_id: str = "") -> SubmitOrder:
    return SubmitOrder(
        0, NS, order_id, "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1),
        parent_id=parent_id,
    )  # fmt: skip


def notes_of(service: str, order_id: str) -> list[Note]:
    """What a service notes of an order that the venue takes."""
    order = an_order(order_id)
    approved = OrderApproved(0, NS, order)
    way = tuple(
        Hop(name, n * 10 * NS, (n * 10 + 5) * NS)
        for n, name in enumerate(("feed", "strategy", "risk"), 1)
    )
    accepted = OrderAccepted(0, 60 * NS, order_id, "s", "sim", "BTC-USDT", "v1")
    told = (Hop("execution", 60 * NS, 65 * NS),)
    notes: dict[str, list[Note]] = {
        "strategy": [Said(order, way[:2])],
        "risk": [Said(approved, way)],
        "execution": [
            Heard(approved, way, 40 * NS), Sent(order_id, 45 * NS), Said(accepted, told),
        ],
        "ledger": [Booked(accepted, told, 70 * NS, 75 * NS)],
    }  # fmt: skip
    return notes[service]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setattr(tracing, "CPU_SHARE", 1.0)  # pressure comes from what is noted alone
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    with a_collector() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made


def a_pressed(service: str, notes: int) -> Step:
    """A tracer that found so many notes of other orders when it began, and is done with them."""
    from tickbus.traces.otlp import OtlpExporter

    telemetry, shedding = Telemetry(service), Shedding(MANY, recover_s=math.inf)
    tracer = Tracer(
        service, telemetry, lambda: OtlpExporter(service, "i1"), every_s=0.01, notes_max=FULL,
        shedding=shedding,
    )  # fmt: skip
    for n in range(notes):
        tracer.note(Said(an_order(f"p-r-{n}"), (Hop("strategy", 1, 2),)))
    tracer.start()
    wait_for("an empty queue", lambda: not tracer._notes)
    return Step(service, tracer, shedding, telemetry)


def told_of(collector: Collector, steps: Sequence[Step]) -> dict[str, list[str]]:
    """Note the orders in every service; the names in each trace that came of it, by trace."""
    ids = [f"s-r-{n}" for n in range(ORDERS)]
    for order_id in ids:
        for step in steps:
            for note in notes_of(step.service, order_id):
                step.tracer.note(note)
    for step in steps:
        step.tracer.stop(60)
    wanted = {trace_id_of(order_id) for order_id in ids}
    names: dict[str, list[str]] = {}
    for span in collector.spans:
        if span.trace_id in wanted:
            names.setdefault(span.trace_id, []).append(span.name)
    return {trace_id: sorted(found) for trace_id, found in names.items()}


@pytest.mark.parametrize(
    ("notes", "levels"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((FULL + 1, FULL + 1, FULL + 1, FULL + 1), (3, 3, 3, 3)),
        ((0, MANY + 1, FULL + 1, MANY + 1), (0, 1, 3, 1)),
        ((FULL + 1, 0, MANY + 1, 0), (3, 0, 1, 0)),
    ],
)
def test_what_the_most_pressed_service_tells_is_whole(
    collector: Collector, notes: Sequence[int], levels: Sequence[int]
) -> None:
    services = ("strategy", "risk", "execution", "ledger")
    steps = [a_pressed(s, n) for s, n in zip(services, notes, strict=True)]
    assert tuple(step.shedding.steps for step in steps) == tuple(levels)
    found = told_of(collector, steps)
    most = max(steps, key=lambda step: step.shedding.steps)
    whole = {trace_id for trace_id, names in found.items() if names == WHOLE}
    ids = {trace_id_of(f"s-r-{n}") for n in range(ORDERS)}
    assert whole == {trace_id for trace_id in ids if most.shedding.keeps(trace_id)}
    assert whole
    if len(set(levels)) == 1:
        assert whole == found.keys(), "every trace that is told at all is whole"
    for step in steps:
        shed = sum(not step.shedding.keeps(trace_id) for trace_id in ids)
        each = len(notes_of(step.service, "any"))
        assert step.telemetry.errors["trace_notes_shed"] >= shed * each
        assert bool(step.telemetry.errors["trace_notes_shed"]) is (step.shedding.steps > 0)


def test_part_of_an_order_is_told_in_each_trace_that_is_kept() -> None:
    shedding = Shedding(0, recover_s=math.inf)
    shedding.look(1, False, 0.0, 0.0)
    parts = [an_order(f"w-r-{n}-1", f"w-r-{n}") for n in range(40)]
    kept_spans = KeptSpans()
    tracer = Tracer("router", Telemetry("router"), lambda: kept_spans, shedding=shedding)
    for part in parts:
        tracer.note(Said(part, (Hop("router", 1, 2),)))
    tracer.start()
    tracer.stop(60)
    ids = {trace_id_of(each) for part in parts for each in (part.client_order_id, part.parent_id)}
    told = {span.trace_id for span in kept_spans.spans}
    assert told == {trace_id for trace_id in ids if shedding.keeps(trace_id)}
    assert 0 < len(told) < len(ids)
    wholes = {trace_id_of(part.parent_id) for part in parts}
    assert {s.trace_id for s in kept_spans.spans if s.name == "part"} == told & wholes


def test_note_names_the_orders_that_it_is_told_of() -> None:
    assert orders_of(Sent("a", 1)) == ("a",)
    assert orders_of(Said(an_order("b", "a"), ())) == ("b", "a")
    assert [orders_of(note) for note in notes_of("execution", "c")] == [("c",)] * 3
    assert [orders_of(note) for note in notes_of("ledger", "d")] == [("d",)]
