"""What execution tells of an order: when it left, how long the venue took, and its cancel."""

import time

from execution_bench import ExchangeBench

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
    telemetry = bench.running.telemetry
    await bench.stop()
    bench.tracer.stop()

    resting = [span for span in kept.spans if span.attributes["tickbus.client_order_id"] == "s-r-1"]
    root = next(span for span in resting if span.name == "order")
    hops = [span for span in resting if span.parent_id == root.span_id]
    assert [span.name for span in hops] == ["risk to execution", "execution", "venue"]
    own, venue = hops[1:]
    assert own.end_ns == venue.start_ns
    assert venue.end_ns == root.end_ns
    assert 0 < venue.end_ns - venue.start_ns <= telemetry.latencies["order_round_trip"].total_ns
    assert root.attributes["tickbus.tick_to_order_us"] == (venue.start_ns - now) / 1000
    cancel = next(span for span in resting if span.name == "cancel")
    assert cancel.parent_id == venue.span_id
    below = [span.name for span in resting if span.parent_id == cancel.span_id]
    assert below == ["risk to execution", "execution", "venue"]

    fills = [span for span in kept.spans if span.name == "fill"]
    assert fills
    assert {span.parent_id for span in fills} == {span_id_of("s-r-2", "venue")}
