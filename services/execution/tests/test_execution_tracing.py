"""What execution tells of an order: when it left, when the venue answered, and its cancel."""

import time

from execution_bench import Bench, ExchangeBench

from tickbus import codec
from tickbus.codec import Hop
from tickbus.events import OrderAccepted, OrderCanceled, OrderFilled
from tickbus.tracing import span_id_of
from tickbus_testkit.tracing import a_tracer


async def test_time_at_the_venue_is_told_apart_from_our_own(bench: ExchangeBench) -> None:
    bench.tracer, kept = a_tracer("execution")
    await bench.start()
    now = time.time_ns()
    bench.hops = (Hop("feed", now, now), Hop("strategy", now, now), Hop("risk", now, now))
    await bench.hear(OrderAccepted, await bench.order(1, "30000"))
    await bench.cancel("s-r-1")
    await bench.hear(OrderCanceled, "s-r-1")
    await bench.hear(OrderFilled, await bench.order(2))
    round_trips = bench.running.telemetry.latencies["order_round_trip"]
    await bench.stop()
    bench.tracer.stop()

    resting = [span for span in kept.spans if span.attributes["tickbus.client_order_id"] == "s-r-1"]
    root = next(span for span in resting if span.name == "order")
    hops = [span for span in resting if span.parent_id == root.span_id]
    assert [span.name for span in hops] == ["risk to execution", "execution", "venue"]
    own, venue = hops[1:]
    assert own.end_ns == venue.start_ns
    assert venue.end_ns == root.end_ns
    assert venue.start_ns < venue.end_ns == await heard_at(bench, OrderAccepted, "s-r-1")
    assert round_trips.count == 2
    assert root.attributes["tickbus.tick_to_order_us"] == (venue.start_ns - now) / 1000
    cancel = next(span for span in resting if span.name == "cancel")
    assert cancel.parent_id == venue.span_id
    below = [span.name for span in resting if span.parent_id == cancel.span_id]
    assert below == ["risk to execution", "execution", "venue"]

    fills = [span for span in kept.spans if span.name == "fill"]
    assert fills
    assert {span.parent_id for span in fills} == {span_id_of("s-r-2", "venue")}


async def heard_at(bench: Bench, kind: type, order_id: str) -> int:
    """When execution heard from the venue what it then said of an order, in ns UTC."""
    for sequence in range(1, await bench.bus.last_sequence() + 1):
        envelope = codec.decode((await bench.bus.read(sequence)).payload)
        (event,) = envelope.events
        if isinstance(event, kind) and getattr(event, "client_order_id", "") == order_id:
            return envelope.hops[-1].ts_recv
    raise AssertionError(f"no {kind.__name__} of {order_id}")
