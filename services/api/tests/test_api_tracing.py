"""Requests of clients are in the traces of the orders that they are about."""

from collections.abc import AsyncIterator

import pytest
from api_platform import LIMIT_BUY, MARKET_BUY, Platform, accepted, denied, filled, running

from tickbus.traces.orders import wish_of_cancel
from tickbus.traces.spans import Kind
from tickbus.traces.tracer import Tracer
from tickbus.tracing import span_id_of, trace_id_of
from tickbus_testkit.tracing import KeptSpans, a_tracer


@pytest.fixture
def traced() -> tuple[Tracer, KeptSpans]:
    return a_tracer("api")


@pytest.fixture
async def platform(traced: tuple[Tracer, KeptSpans]) -> AsyncIterator[Platform]:
    platform = Platform()
    platform.shell.tracer = traced[0]
    async with running(platform):
        yield platform


def spans(traced: tuple[Tracer, KeptSpans]) -> KeptSpans:
    tracer, kept = traced
    tracer.stop()
    return kept


async def test_request_that_places_an_order_hangs_on_the_gateways_hop(
    platform: Platform, traced: tuple[Tracer, KeptSpans]
) -> None:
    header = f"00-{'ab' * 16}-{'cd' * 8}-01"
    answer = await platform.http.post(
        "/api/v1/orders", content=LIMIT_BUY, headers={"traceparent": header}
    )
    kept = spans(traced)
    call, hop = kept.named("POST /api/v1/orders"), kept.named("api")
    assert call.trace_id == hop.trace_id == trace_id_of("manual-r-1") == answer.json()["trace_id"]
    assert (call.parent_id, call.kind) == (hop.span_id, Kind.SERVER)
    assert call.links == (("ab" * 16, "cd" * 8, "client"),)
    assert call.attributes["http.response.status_code"] == 201
    assert hop.parent_id == span_id_of("manual-r-1")


async def test_denied_order_and_its_request_are_one_trace(
    platform: Platform, traced: tuple[Tracer, KeptSpans]
) -> None:
    platform.answer = denied
    await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    call = spans(traced).named("POST /api/v1/orders")
    assert (call.trace_id, call.error) == (trace_id_of("manual-r-1"), "")
    assert call.attributes["http.response.status_code"] == 422


async def test_cancel_is_in_the_trace_of_its_order_and_a_replacement_in_that_of_the_new_one(
    platform: Platform, traced: tuple[Tracer, KeptSpans]
) -> None:
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    await platform.http.put("/api/v1/orders/manual-r-1", content='{"price":99}')
    await platform.http.delete("/api/v1/orders/manual-r-2")
    kept = spans(traced)
    replacing = kept.named("PUT /api/v1/orders/{order_id}")
    canceling = kept.named("DELETE /api/v1/orders/{order_id}")
    assert replacing.trace_id == canceling.trace_id == trace_id_of("manual-r-2")
    assert canceling.parent_id == span_id_of("manual-r-2", "CancelOrder:manual-r-c1")


async def test_cancelling_everything_is_in_the_trace_of_each_order_that_worked(
    platform: Platform, traced: tuple[Tracer, KeptSpans]
) -> None:
    platform.answer = filled
    await platform.http.post("/api/v1/orders", content=MARKET_BUY)  # is over when they are
    platform.answer = accepted
    for _ in range(2):
        await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    header = f"00-{'ab' * 16}-{'cd' * 8}-01"
    answer = await platform.http.delete("/api/v1/orders", headers={"traceparent": header})
    command_id, canceled = answer.json()["command_id"], answer.json()["canceled"]
    calls = [span for span in spans(traced).spans if span.name == "DELETE /api/v1/orders"]
    assert sorted(canceled) == ["manual-r-2", "manual-r-3"]
    assert sorted(call.trace_id for call in calls) == sorted(map(trace_id_of, canceled))
    for call in calls:
        order_id = str(call.attributes["tickbus.client_order_id"])
        assert call.parent_id == span_id_of(order_id, wish_of_cancel(command_id))
        assert call.attributes["http.response.status_code"] == 200
        assert call.links == (("ab" * 16, "cd" * 8, "client"),)


async def test_requests_that_are_of_no_order_make_no_spans(
    platform: Platform, traced: tuple[Tracer, KeptSpans]
) -> None:
    await platform.http.get("/api/v1/orders")
    await platform.http.post("/api/v1/orders", content='{"symbol":"BTCUSDT"}')
    await platform.http.delete("/api/v1/orders")
    assert spans(traced).spans == []
