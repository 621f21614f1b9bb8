"""Traces leave several services by OTLP, and come together at a collector that decodes them."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.codec import Hop
from tickbus.events import (
    SMART_VENUE,
    DenialReason,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderDenied,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    Quote,
    Side,
    SubmitOrder,
)
from tickbus.runtime import Context, ServiceSpec, Shell, Telemetry
from tickbus.traces.notes import Said, Sent
from tickbus.traces.spans import Span
from tickbus.traces.tracer import Tracer
from tickbus.tracing import span_id_of, trace_id_of
from tickbus_testkit.collector import Collector, Received, a_collector
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.story import wait_for

SERVER, CLIENT, CONSUMER = 2, 3, 5
BIG = Decimal(10)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as made:
        yield made


@pytest.fixture
def environment(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a service finds that is to trace; the process's own variables are put back."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hidden",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
        "OTEL_TRACES_SAMPLER": "",
        "OTEL_TRACES_SAMPLER_ARG": "",
    }
    for name in variables:
        monkeypatch.setenv(name, "")
    return variables


def names(order: SubmitOrder) -> tuple[str, str, str, str]:
    return order.client_order_id, order.strategy_id, order.venue, order.instrument_id


class Feed:
    """Says what it is given."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        return (event,) if isinstance(event, Quote) else ()


class Strategy:
    """Orders at each tick: what is bid for is how much it wants, on 7 it wants it routed."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        if not isinstance(event, Quote):
            return ()
        venue = SMART_VENUE if event.bid == 7 else event.venue
        return (
            SubmitOrder(
                event.ts_event, event.ts_recv, f"s-r-{event.bid:g}", "s", venue, "BTC-USDT",
                Side.BUY, OrderType.MARKET, Decimal(event.bid),
            ),
        )  # fmt: skip


class Risk:
    """Denies what is big."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        if not isinstance(event, SubmitOrder):
            return ()
        if event.quantity >= BIG:
            reason = DenialReason.QUANTITY_ABOVE_MAX
            return (OrderDenied(event.ts_event, event.ts_recv, event, reason, "max=10"),)
        return (OrderApproved(event.ts_event, event.ts_recv, event),)


class Router:
    """Sends the whole of an order as one part."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        if not isinstance(event, OrderApproved):
            return ()
        order, times = event.order, (event.ts_event, event.ts_recv)
        part = msgspec.structs.replace(
            order, client_order_id=f"{order.client_order_id}-1", venue="sim",
            parent_id=order.client_order_id,
        )  # fmt: skip
        whole = names(order)
        return (OrderSubmitted(*times, *whole), part, OrderAccepted(*times, *whole, "w1"))


class Send(Event, frozen=True):
    """To the venue, which is an edge of this test."""

    order: SubmitOrder


class Execution:
    """Sends what is approved, and tells what the venue says."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        if isinstance(event, OrderApproved):
            times = (event.ts_event, event.ts_recv)
            return (OrderSubmitted(*times, *names(event.order)), Send(*times, event.order))
        return (event,) if isinstance(event, OrderAccepted | OrderFilled) else ()


class Venue:
    """Accepts and fills each order, in the answer to it."""

    def __init__(self) -> None:
        self._context: Context | None = None

    async def start(self, context: Context) -> None:
        self._context = context

    async def stop(self) -> None: ...

    async def take(self, wish: Send, _: tuple[Hop, ...]) -> None:
        context = self._context
        assert context is not None
        if context.tracer is not None:
            context.tracer.sent(wish.order.client_order_id, context.clock.now_ns())
        context.spawn(self._answer(context, wish.order), "the venue's answer")

    async def _answer(self, context: Context, order: SubmitOrder) -> None:
        where, now = names(order), context.clock.now_ns()
        await context.emit([OrderAccepted(now, now, *where, "v1")])
        fill = Fill(
            "f1", Side.BUY, Decimal(1), order.quantity, Decimal(0), "BTC", LiquiditySide.TAKER, now
        )
        now = context.clock.now_ns()
        filled = OrderFilled(now, now, *where, "v1", fill, order.quantity, Decimal(0))
        await context.emit([filled])


class Books:
    """Commits each event at once."""

    def __init__(self) -> None:
        self._following: Any = None

    async def start(self, context: Context) -> None:
        async def on_message(message: Message) -> None:
            now = context.clock.now_ns()
            envelope = codec.decode(message.payload)
            if context.tracer is not None:
                event, hops = envelope.events[0], envelope.hops
                context.tracer.booked(event, hops, now, context.clock.now_ns())

        self._following = await context.bus.follow([subjects.ORDERS_ALL], 1, on_message)

    async def stop(self) -> None:
        await self._following.stop()


def the_services() -> list[ServiceSpec]:
    venue = Venue()
    return [
        ServiceSpec(
            name="execution", core=Execution(), consume=(subjects.approved("sim"),),
            sinks={Send: venue.take}, edges=(venue,),
        ),
        ServiceSpec(name="router", core=Router(), consume=(subjects.approved(SMART_VENUE),)),
        ServiceSpec(name="ledger", core=Feed(), edges=(Books(),)),
        ServiceSpec(name="risk", core=Risk(), consume=(subjects.INTENTS_ALL,)),
        ServiceSpec(name="strategy", core=Strategy(), subscribe=("md.quote.>",)),
        ServiceSpec(name="feed", core=Feed()),
    ]  # fmt: skip


class Platform:
    """Several services over one bus, each with a tracer of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.bus = MemoryBus()
        self.shells: dict[str, Shell] = {}
        for spec in the_services():
            telemetry = Telemetry(spec.name)
            tracer = Tracer.of(environment, spec.name, "i1", telemetry)
            if tracer is not None:
                tracer.start()
            self.shells[spec.name] = Shell(spec, self.bus, telemetry=telemetry, tracer=tracer)

    async def tick(self, bid: float) -> None:
        """A tick enters, and all that follows from it happens."""
        now = time.time_ns()
        quote = Quote(now - 1_000_000, now, "sim", "BTC-USDT", bid, 1.0, bid + 1, 1.0, 7)
        await self.shells["feed"].run([quote], ())
        for _ in range(5):
            await self.bus.settle()

    async def stop(self) -> None:
        """Stop as a process does: the shell, then what is left of the traces."""
        for shell in reversed(self.shells.values()):
            await shell.stop()
            if shell.tracer is not None:
                await asyncio.to_thread(shell.tracer.stop, PATIENCE_S)
        await self.bus.close()


@asynccontextmanager
async def a_platform(environment: dict[str, str]) -> AsyncIterator[Platform]:
    platform = Platform(environment)
    for shell in platform.shells.values():
        await shell.start()
    yield platform
    await platform.stop()


def named(spans: Sequence[Received], name: str) -> Received:
    (found,) = [span for span in spans if span.name == name]
    return found


def under(spans: Sequence[Received], parent: Received) -> list[Received]:
    return [span for span in spans if span.parent_id == parent.span_id]


async def test_order_is_one_trace_from_the_tick_to_its_booking(
    collector: Collector, environment: dict[str, str]
) -> None:
    async with a_platform(environment) as platform:
        await platform.tick(1)
    trace = collector.trace(trace_id_of("s-r-1"))
    assert {span.trace_id for span in collector.spans} == {trace_id_of("s-r-1")}
    root = named(trace, "order")
    assert (root.span_id, root.parent_id, root.service) == (span_id_of("s-r-1"), "", "strategy")
    hops = under(trace, root)
    assert [(span.service, span.name) for span in hops] == [
        ("feed", "venue to feed"), ("feed", "feed"),
        ("strategy", "feed to strategy"), ("strategy", "strategy"),
        ("risk", "strategy to risk"), ("risk", "risk"),
        ("execution", "risk to execution"), ("execution", "execution"), ("execution", "venue"),
    ]  # fmt: skip
    assert root.duration_ns > 1_000_000
    assert sum(span.duration_ns for span in hops) == root.duration_ns
    later = under(trace, named(trace, "venue"))
    assert [span.name for span in later] == ["ack", "working", "fill"]
    for span in (named(trace, "ack"), named(trace, "fill")):
        assert [s.name for s in under(trace, span)] == ["execution to ledger", "ledger"]
    known = {span.span_id for span in trace}
    assert all(span.parent_id in known for span in trace if span is not root)
    assert len(known) == len(trace)


async def test_spans_say_where_they_were_made_and_carry_no_secret(
    collector: Collector, environment: dict[str, str]
) -> None:
    async with a_platform(environment) as platform:
        await platform.tick(1)
    assert all(request["authorization"] == "Bearer hidden" for request in collector.requests)
    assert "hidden" not in repr(collector.spans)
    venue, bus = named(collector.spans, "venue"), named(collector.spans, "risk to execution")
    assert (venue.kind, bus.kind) == (CLIENT, CONSUMER)
    own, of_another = named(collector.spans, "execution"), named(collector.spans, "feed")
    assert own.resource["service.instance.id"] == "i1"
    assert own.resource["service.namespace"] == "tickbus"
    assert "service.instance.id" not in of_another.resource


async def test_denied_order_ends_at_risk_as_an_error(
    collector: Collector, environment: dict[str, str]
) -> None:
    async with a_platform(environment) as platform:
        await platform.tick(11)
    trace = collector.trace(trace_id_of("s-r-11"))
    root = named(trace, "order")
    assert (root.is_error, root.error) == (True, "QUANTITY_ABOVE_MAX: max=10")
    assert root.attributes["tickbus.denial_reason"] == "QUANTITY_ABOVE_MAX"
    last = under(trace, root)[-1]
    assert (last.name, last.is_error, last.end_ns) == ("risk", True, root.end_ns)
    assert "venue" not in [span.name for span in trace]


async def test_routed_order_and_its_part_are_linked_both_ways(
    collector: Collector, environment: dict[str, str]
) -> None:
    async with a_platform(environment) as platform:
        await platform.tick(7)
    whole, part = trace_id_of("s-r-7"), trace_id_of("s-r-7-1")
    assert named(collector.trace(whole), "part").links == ((part, span_id_of("s-r-7-1")),)
    root = named(collector.trace(part), "order")
    assert root.links == ((whole, span_id_of("s-r-7")),)
    for trace_id in (whole, part):
        trace = collector.trace(trace_id)
        root = named(trace, "order")
        hops = sum(span.duration_ns for span in under(trace, root))
        assert hops == root.duration_ns


async def test_collector_that_refuses_loses_spans_and_nothing_else(
    collector: Collector, environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 503
    environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "0.3"
    caplog.set_level(logging.INFO)
    async with a_platform(environment) as platform:
        await platform.tick(1)
        assert await platform.bus.last_sequence() == 5
    lost = [shell.telemetry.errors.get("spans_lost", 0) for shell in platform.shells.values()]
    assert sum(lost) >= 16
    assert collector.spans == []
    said = [record for record in caplog.records if "does not take traces" in record.message]
    assert len(said) == sum(1 for n in lost if n), "once a service, however often it fails"


async def test_collector_that_is_away_loses_spans_and_nothing_else(
    environment: dict[str, str],
) -> None:
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "0.3"
    async with a_platform(environment) as platform:
        await platform.tick(1)
        assert await platform.bus.last_sequence() == 5
    assert platform.shells["execution"].telemetry.errors["spans_lost"] > 0


async def test_half_of_the_traces_are_the_same_half_for_every_service(
    collector: Collector, environment: dict[str, str]
) -> None:
    environment |= {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    async with a_platform(environment) as platform:
        for n in range(10, 30):  # each denied, which is shortest
            await platform.tick(n)
    kept = {span.trace_id for span in collector.spans}
    assert 0 < len(kept) < 20
    for trace_id in kept:
        assert {"strategy", "risk", "order"} < {span.name for span in collector.trace(trace_id)}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_nothing_is_traced(variables: dict[str, str]) -> None:
    assert Tracer.of(variables, "risk", "1", Telemetry("risk")) is None


class Held:
    """An exporter that stays in `export` until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()
        self.spans: list[Span] = []
        self.takes = True

    def is_wanted(self, trace_id: str) -> bool:
        return bool(trace_id)

    def export(self, spans: Sequence[Span]) -> bool:
        self.entered.set()
        self.free.wait(2 * PATIENCE_S)
        self.spans += spans
        return self.takes

    def shutdown(self) -> None:
        self.free.set()


def errors(telemetry: Telemetry) -> dict[str, int]:
    return {kind: n for kind, n in telemetry.errors.items() if n}


def a_wish(n: int) -> Said:
    order = SubmitOrder(
        1, 2, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
    )
    return Said(order, (Hop("strategy", 5, 6),))


def test_full_queue_drops_and_counts_and_does_not_wait() -> None:
    telemetry, held = Telemetry("strategy"), Held()
    tracer = Tracer("strategy", telemetry, lambda: held, every_s=0.01, notes_max=5)
    tracer.start()
    tracer.note(a_wish(0))
    assert held.entered.wait(PATIENCE_S)
    for n in range(1, 9):
        tracer.note(a_wish(n))
    assert errors(telemetry) == {"trace_notes_dropped": 3}
    held.free.set()
    tracer.stop(PATIENCE_S)
    assert telemetry.counts == {("Span", "exported"): 6}
    assert len(held.spans) == 6


def test_end_waits_for_the_collector_only_so_long() -> None:
    telemetry, held = Telemetry("strategy"), Held()
    tracer = Tracer("strategy", telemetry, lambda: held, every_s=0.01)
    tracer.start()
    tracer.note(a_wish(0))
    assert held.entered.wait(PATIENCE_S)
    tracer.note(a_wish(1))
    tracer.stop(timeout_s=0.05)
    assert held.free.is_set(), "what was being sent is given up"


def test_note_that_cannot_be_told_is_counted_and_the_next_is_told() -> None:
    telemetry, held = Telemetry("strategy"), Held()
    held.free.set()
    tracer = Tracer("strategy", telemetry, lambda: held, every_s=0.01)
    tracer.note(a_wish(0)._replace(hops=()))
    tracer.note(a_wish(1))
    tracer.start()
    tracer.stop(PATIENCE_S)
    assert errors(telemetry) == {"tracing_broken": 1}
    assert [span.name for span in held.spans] == ["strategy"]


def test_what_makes_no_span_says_nothing_of_a_collector_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    telemetry, held = Telemetry("execution"), Held()
    held.takes = False
    held.free.set()
    tracer = Tracer("execution", telemetry, lambda: held, every_s=0.01)
    tracer.start()
    for n in range(3):
        tracer.note(a_wish(n))
        wait_for("its loss", lambda: telemetry.errors["spans_lost"] > n)  # noqa: B023
        tracer.note(Sent(f"s-r-{n}", 7))  # of an order that it never heard of
        wait_for("an empty queue", lambda: not tracer._notes)
    tracer.stop(PATIENCE_S)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the collector does not take traces"
    ]


def test_exporter_that_cannot_be_made_leaves_trading_alone() -> None:
    def connect() -> Held:
        raise ValueError("no such compression")

    telemetry = Telemetry("risk")
    tracer = Tracer("risk", telemetry, connect)
    tracer.start()
    tracer.note(a_wish(1))
    tracer.stop(PATIENCE_S)
    assert errors(telemetry) == {"tracing_not_started": 1, "trace_notes_dropped": 1}
