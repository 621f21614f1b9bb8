"""The benchmarks measure what they say: short runs, and nothing about how fast they are."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tickbus_cli import (
    bench_colocated,
    bench_feed,
    bench_floor,
    bench_gateway,
    bench_latency,
    bench_pipeline,
    bench_processes,
    bench_stream,
)
from tickbus_cli.bench_venue import StubVenue
from tickbus_testkit.stillness import watching

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # A machine that tests share may stand still for seconds: nothing is given up for that.
    monkeypatch.setattr(bench_processes, "END_S", 60.0)
    for bench in (bench_gateway, bench_pipeline):
        monkeypatch.setattr(bench, "READY_S", 120.0)


@pytest.fixture
def own_gc() -> Iterator[None]:
    """The collector is as it was for the tests behind this one."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def quiet(_: str) -> None: ...


@pytest.mark.usefixtures("own_gc")
async def test_feed_counts_every_frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKBUS_CAPTURES", str(tmp_path))
    monkeypatch.setattr(bench_feed, "MADE_FRAMES", 2_000)
    monkeypatch.setattr(bench_feed, "ROUNDS", 1)
    result = await bench_feed.bench_feed(quiet)
    assert result["frames"] == 2_000
    assert result["events"] >= 2_000, "a frame became less than an event"
    ours, floor = result["frames_per_s"], result["floor"]["frames_per_s"]
    assert min(ours, floor) > 0
    assert result["of_floor"] == pytest.approx(ours / floor, abs=0.001)
    assert "generated" in result["source"]


@pytest.mark.slow(10)
async def test_gateway_is_measured_beside_the_bare_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gateway, "ROUNDS", 1)
    monkeypatch.setattr(bench_gateway, "ORDERS", 20)
    monkeypatch.setattr(bench_gateway, "WARM_UP", 2)
    monkeypatch.setattr(bench_gateway, "ANSWER_S", 60.0)
    result = await bench_gateway.bench_gateway(quiet)
    assert result["orders"] == 20
    total, understood = result["post_to_intent"]["p50_us"], result["until_understood"]["p50_us"]
    assert 0 < understood < total
    assert result["floor"]["p50_us"] > 0


def test_stub_venue_never_says_a_number_twice() -> None:
    venue = StubVenue()
    said = set()
    for head, form, tail in venue._frames * 2:
        if form:
            frame = head + venue._number(form) + tail
            assert frame not in said, "a feed takes a trade that comes twice for one"
            said.add(frame)
            assert len(frame) - 4 == int.from_bytes(frame[2:4], "big"), "the head tells its length"


@pytest.mark.slow(10)
async def test_pipeline_loses_nothing_and_weighs_each_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_pipeline, "RATES", (1_000,))
    monkeypatch.setattr(bench_pipeline, "SECONDS", 1.0)
    monkeypatch.setattr(bench_pipeline, "SETTLE_S", 60.0)
    result = await bench_pipeline.bench_pipeline(quiet)
    assert result["lost"] == 0
    assert result["ticks_per_s"] > 0
    assert set(result["rss_mb"]) == {"feed", "book", "strategy"}
    assert all(megabytes > 0 for megabytes in result["rss_mb"].values())
    assert result["rungs"]["1000"]["asked"] == 1_000


@pytest.mark.slow(50)
@pytest.mark.timeout(300)
async def test_tick_to_order_stands_on_orders_of_every_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So long that some orders are sent even where a service stands still for most of it.
    monkeypatch.setattr(bench_latency, "SECONDS", 25)
    monkeypatch.setattr(bench_floor, "SECONDS", 2)
    monkeypatch.setattr(bench_colocated, "FRAMES", 1_500)
    with watching() as stillness:
        result: dict[str, Any] = await bench_latency.bench_tick_to_order(quiet)
    floor = result["floor"]
    for measured in (result["nats"], result["colocated"], floor["before"], floor["after"]):
        assert measured["count"] > 0
        assert 0 < measured["p50_us"] <= measured["p99_us"]
    assert floor["p50_us"] > 0
    assert set(result["nats"]["hops"]) == {
        "feed>strategy", "strategy>risk", "risk>execution", "approved_to_sent"
    }  # fmt: skip
    assert stillness.blamed(result["nats"]["errors"]) == {}


def test_a_page_is_as_late_as_the_newest_news_in_a_delta_is_old() -> None:
    delays = bench_stream.Delays()
    prices = b'{"topic":"prices","seq":8,"kind":"delta","data":{"prices":[%s,%s]}}' % (
        b'{"updated_at":"2026-11-22T02:10:23.540000Z"}',
        b'{"updated_at":"2026-11-22T02:10:23.640000Z"}',
    )
    snapshot = prices.replace(b"delta", b"snapshot")
    at = 1_795_313_423_650_000_000
    hello = b'{"kind":"hello"}'
    read = [(at, snapshot), (at, prices), (at + 5_000_000, prices), (at, hello)]
    assert delays.add(read) == {"prices"}
    assert delays.add([(at, snapshot), (at, hello)]) == set()
    assert delays.of(["prices"]) == {"p50_ms": 15.0, "p99_ms": 15.0, "frames": 2}


@pytest.mark.slow(60)
async def test_pages_are_told_beside_one_that_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_stream, "CLIENTS", 3)
    monkeypatch.setattr(bench_stream, "ROUNDS", 1)
    monkeypatch.setattr(bench_stream, "PHASE_S", 3.0)
    monkeypatch.setattr(bench_stream, "PHASES_MOST", 15)
    result = await bench_stream.bench_stream(quiet)
    assert (result["clients"], len(result["gateway_rss_mb"])) == (3, 2)
    for topic in bench_stream.MEASURED:
        (one,), (many,) = result[topic]["one"], result[topic]["many"]
        assert one["frames"] >= 1
        assert many["frames"] >= 2, "each of the two that read was told"
        assert 0 < one["p50_ms"] <= one["p99_ms"]
