"""The shell runs a core: recovery, outputs, timers, malformed input, bugs."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus, Message
from tickbus.clock import WallClock
from tickbus.codec import Hop
from tickbus.events import (
    DenialReason,
    Event,
    Instrument,
    OrderApproved,
    OrderDenied,
    OrderType,
    Quote,
    Recovered,
    ServiceStatus,
    SetTimer,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus.events.orders import message_id
from tickbus.runtime import Context, Reading, ServiceSpec, Shell, Telemetry
from tickbus.traces.tracer import Tracer


def a_quote(bid: float = 100.0) -> Quote:
    return Quote(1, 2, "sim", "BTC-USDT", bid, 1.0, bid + 1, 1.0, 7)


def an_order(n: int = 1) -> SubmitOrder:
    return SubmitOrder(
        1, 2, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
    )


class Approver:
    """Approves each order and remembers all it was given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handle(self, event: Any, /) -> Sequence[Event]:
        self.seen.append(event)
        if isinstance(event, SubmitOrder):
            return (OrderApproved(event.ts_event, event.ts_recv, event),)
        if isinstance(event, Quote):
            if event.bid < 0:
                raise RuntimeError("a price below zero")
            return (SetTimer(event.ts_event, event.ts_recv, "later", 0),) if event.bid > 200 else ()
        return ()


async def publish(bus: MemoryBus, order: SubmitOrder, hops: tuple[Hop, ...] = ()) -> None:
    await bus.publish_durable(
        "orders.intent.s", codec.encode([order], hops), f"SubmitOrder:{order.client_order_id}"
    )


async def approvals(bus: MemoryBus) -> list[Message]:
    found: list[Message] = []

    async def keep(message: Message) -> None:
        found.append(message)

    reader = await bus.follow(["orders.approved.*"], 1, keep)
    await bus.settle()
    await reader.stop()
    return found


def a_shell(core: Approver, bus: MemoryBus, **more: Any) -> Shell:
    spec = ServiceSpec(
        name="risk", core=core, subscribe=("md.quote.>",), consume=("orders.intent.*",), **more
    )
    return Shell(spec, bus)


async def test_output_is_published_with_the_way_that_led_to_it() -> None:
    bus = MemoryBus()
    shell = a_shell(Approver(), bus)
    await shell.start()
    await publish(bus, an_order(), (Hop("strategy", 5, 6),))
    (message,) = await approvals(bus)
    envelope = codec.decode(message.payload)
    assert envelope.events == [OrderApproved(1, 2, an_order())]
    assert [hop.service for hop in envelope.hops] == ["strategy", "risk"]
    await shell.stop()


async def test_restart_folds_history_silently_then_goes_on() -> None:
    bus = MemoryBus()
    first = a_shell(Approver(), bus)
    await first.start()
    await publish(bus, an_order(1))
    await bus.settle()
    await first.stop()
    core = Approver()
    await publish(bus, an_order(2))
    second = a_shell(core, bus)
    await second.start()
    await bus.settle()
    kinds = [type(event) for event in core.seen]
    assert kinds == [SubmitOrder, Recovered, SubmitOrder]
    assert len(await approvals(bus)) == 2
    assert second.telemetry.counts["SubmitOrder", "folded"] == 1
    await second.stop()


async def test_redelivered_intent_is_approved_once() -> None:
    bus = MemoryBus()
    core = Approver()
    shell = a_shell(core, bus)
    await shell.start()
    await publish(bus, an_order())
    await publish(bus, an_order())
    assert len(await approvals(bus)) == 1
    await shell.stop()


async def test_what_the_stream_kept_outranks_what_is_said_again() -> None:
    bus = MemoryBus()
    earlier = OrderDenied(1, 2, an_order(), DenialReason.MARKET_DATA_STALE, "in another market")
    said_now = OrderApproved(1, 2, an_order())
    await bus.publish_durable("orders.denied.s", codec.encode([earlier]), message_id(said_now))
    core = Approver()
    shell = a_shell(core, bus)
    await shell.start()
    await publish(bus, an_order())
    await bus.settle()
    assert await approvals(bus) == []
    assert core.seen[-1] == earlier
    assert shell.telemetry.counts["OrderApproved", "repeated"] == 1
    await shell.stop()


async def test_timer_comes_back_to_the_core() -> None:
    bus = MemoryBus()
    core = Approver()
    shell = a_shell(core, bus)
    await shell.start()
    await bus.publish("md.quote.sim.BTC-USDT", codec.encode([a_quote(201)]))
    async with asyncio.timeout(30):
        while not any(isinstance(event, TimerFired) for event in core.seen):
            await asyncio.sleep(0.01)
    await shell.stop()


async def test_malformed_message_is_counted_and_kept_and_the_service_lives_on() -> None:
    bus = MemoryBus()
    core = Approver()
    shell = a_shell(core, bus)
    await shell.start()
    kept: list[Message] = []

    async def keep(message: Message) -> None:
        kept.append(message)

    await bus.follow(["quarantine.>"], 1, keep)
    for payload in (b"", b"\xff\xff", b"not msgpack", codec.encode_value([["Nonsense", 1]])):
        await bus.publish("md.quote.sim.BTC-USDT", payload)
    await bus.publish("md.quote.sim.BTC-USDT", codec.encode([a_quote()]))
    await bus.settle()
    async with asyncio.timeout(30):
        while len(kept) < 4:
            await asyncio.sleep(0.01)
    assert shell.telemetry.errors["malformed"] == 4
    assert a_quote() in core.seen
    assert not shell.stopping.is_set()
    await shell.stop()


async def test_machines_clock_set_back_is_said_once_and_no_time_is_negative() -> None:
    hour_ns = 3_600_000_000_000
    set_to = [10 * hour_ns]
    clock = WallClock(lambda: set_to[0] + time.monotonic_ns())
    shell = Shell(ServiceSpec(name="approver", core=Approver()), MemoryBus(), clock=clock)
    before = clock.now_ns()
    set_to[0] -= hour_ns
    assert clock.now_ns() >= before
    await shell.start()
    async with asyncio.timeout(30):
        while not shell.telemetry.errors.get("clock_set_back"):
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.1)  # it is looked at every second
    assert shell.telemetry.errors["clock_set_back"] == 1
    await shell.stop()


async def test_bug_in_the_core_ends_the_service_and_nothing_is_acknowledged() -> None:
    bus = MemoryBus()
    shell = a_shell(Approver(), bus)
    running = asyncio.create_task(shell.run_until_stopped())
    await asyncio.sleep(0.05)
    await bus.publish("md.quote.sim.BTC-USDT", codec.encode([a_quote(-1)]))
    with pytest.raises(RuntimeError, match="below zero"):
        await asyncio.wait_for(running, 30)


async def test_sink_takes_an_output_instead_of_the_bus() -> None:
    taken: list[Any] = []

    async def sink(event: Any, hops: tuple[Hop, ...]) -> None:
        taken.append((event, hops[-1].service))

    bus = MemoryBus()
    shell = a_shell(Approver(), bus, sinks={OrderApproved: sink})
    await shell.start()
    await publish(bus, an_order())
    await bus.settle()
    assert taken == [(OrderApproved(1, 2, an_order()), "risk")]
    assert await approvals(bus) == []
    await shell.stop()


class Untouched(Tracer):
    """Fails whoever does anything with it."""

    def __init__(self) -> None:
        """Nothing to keep notes in."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"a tick that leads to nothing asks for {name} of the tracer")


async def test_tick_that_leads_to_nothing_does_nothing_with_the_tracer() -> None:
    bus, telemetry = MemoryBus(), Telemetry("strategy")
    core = Approver()
    spec = ServiceSpec(name="strategy", core=core, subscribe=("md.quote.>",))
    shell = Shell(spec, bus, telemetry=telemetry, tracer=Untouched())
    await shell.start()
    payload = codec.encode([a_quote(), a_quote(), a_quote(101)], (Hop("feed", 1, 2),))
    for _ in range(10):
        await bus.publish("md.quote.sim.BTC-USDT", payload)
    await bus.settle()
    await shell.stop()
    assert telemetry.counts["Quote", "handled"] == 30
    assert [(hop, seen.count) for hop, seen in telemetry.latencies.items()] == [
        ("feed>strategy", 10)
    ]


async def test_instruments_reach_the_core_from_the_bucket() -> None:
    instrument = Instrument(
        "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001")
    )
    bus = MemoryBus()
    await bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(instrument))
    core = Approver()
    shell = a_shell(core, bus, watch=("instruments",))
    await shell.start()
    assert instrument in core.seen
    await shell.stop()


async def test_what_a_core_says_before_its_history_is_read_is_counted_as_lost() -> None:
    class Hasty(Approver):
        def handle(self, event: Any, /) -> Sequence[Event]:
            said = super().handle(event)
            return (a_quote(),) if isinstance(event, Instrument) else said

    instrument = Instrument(
        "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001")
    )
    bus = MemoryBus()
    await bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(instrument))
    shell = a_shell(Hasty(), bus, watch=("instruments",))
    await shell.start()
    assert shell.telemetry.errors == {"said_before_live": 1}
    await bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(instrument))
    await bus.settle()
    assert shell.telemetry.published[Quote] == 1, "by now it is heard"
    assert shell.telemetry.errors == {"said_before_live": 1}
    await shell.stop()


async def test_status_tells_readiness_and_what_is_waited_for() -> None:
    class Slow:
        async def start(self, context: Context) -> None:
            context.set_ready(False, "the venue")
            self.context = context

        async def stop(self) -> None: ...

    edge = Slow()
    bus = MemoryBus()
    shell = a_shell(Approver(), bus, edges=(edge,))
    await shell.start()
    status = codec.decode_value(await bus.request("control.status", b"", 30), ServiceStatus)
    assert (status.ready, status.waiting_for) == (False, "the venue")
    edge.context.set_ready(True)
    shell.telemetry.gauge("loop_lag_seconds", 0.5)
    shell.telemetry.told.append(lambda: [Reading("orders_behind_messages", 7)])
    status = codec.decode_value(await bus.request("control.status", b"", 30), ServiceStatus)
    assert status.ready
    assert status.gauges["loop_lag_seconds"] == 0.5
    assert status.gauges["orders_behind_messages"] == 7
    await shell.stop()


async def test_consecutive_market_events_of_one_subject_travel_together() -> None:
    class Fan:
        def handle(self, event: Any, /) -> Sequence[Event]:
            return [a_quote(1), a_quote(2)] if isinstance(event, TimerFired) else ()

    bus = MemoryBus()
    got: list[Message] = []

    async def keep(message: Message) -> None:
        got.append(message)

    await bus.subscribe("md.>", keep)
    shell = Shell(ServiceSpec(name="feed", core=Fan()), bus)
    await shell.start()
    await shell.run([TimerFired(9, 9, "x")], ())
    await bus.settle()
    (message,) = got
    assert codec.decode(message.payload).events == [a_quote(1), a_quote(2)]
    await shell.stop()


async def test_sink_that_raises_ends_the_service_and_nothing_behind_it_is_acknowledged() -> None:
    async def broken(event: Any, hops: tuple[Hop, ...]) -> None:
        raise LookupError("the venue object is not there")

    bus = MemoryBus()
    shell = a_shell(Approver(), bus, sinks={OrderApproved: broken})
    running = asyncio.create_task(shell.run_until_stopped())
    await asyncio.sleep(0.05)
    await publish(bus, an_order(1))
    await publish(bus, an_order(2))
    with pytest.raises(LookupError):
        await asyncio.wait_for(running, 30)
    core = Approver()
    second = a_shell(core, bus)
    await second.start()
    assert len(await approvals(bus)) == 2, "both orders are handled again"
    await second.stop()


async def test_edge_is_started_before_the_first_live_event_reaches_its_sink() -> None:
    class Gateway:
        started = False
        taken = 0

        async def start(self, context: Context) -> None:
            self.started = True

        async def stop(self) -> None: ...

        async def submit(self, event: Any, hops: tuple[Hop, ...]) -> None:
            assert self.started
            self.taken += 1

    bus = MemoryBus()
    await publish(bus, an_order())
    gateway = Gateway()
    shell = a_shell(Approver(), bus, sinks={OrderApproved: gateway.submit}, edges=(gateway,))
    await shell.start()
    await bus.settle()
    assert gateway.taken == 1
    await shell.stop()


async def test_service_that_is_reading_history_can_be_told_to_stop() -> None:
    class Endless(MemoryBus):
        async def consume(self, *arguments: Any, **more: Any) -> Any:
            await asyncio.Event().wait()

    class Connected:
        async def start(self, context: Context) -> None:
            self.line = "made with what only the start knows"

        async def stop(self) -> None:
            del self.line

    shell = a_shell(Approver(), Endless(), edges=(Connected(),))
    running = asyncio.create_task(shell.run_until_stopped())
    await asyncio.sleep(0.05)
    shell.stopping.set()
    await asyncio.wait_for(running, 30)
