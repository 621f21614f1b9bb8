"""The benchmarks measure what they say: short runs, and nothing about how fast they are."""

from pathlib import Path
from typing import Any

import pytest

from tickbus_cli import bench_colocated, bench_feed, bench_floor, bench_latency, bench_pipeline
from tickbus_cli.bench_venue import StubVenue

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def quiet(_: str) -> None: ...


async def test_feed_counts_every_frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKBUS_CAPTURES", str(tmp_path))
    monkeypatch.setattr(bench_feed, "MADE_FRAMES", 2_000)
    monkeypatch.setattr(bench_feed, "ROUNDS", 1)
    result = await bench_feed.bench_feed(quiet)
    assert result["frames"] == 2_000
    assert result["events"] >= 2_000, "a frame became less than an event"
    assert 0 < result["frames_per_s"] < result["floor"]["frames_per_s"]
    assert "generated" in result["source"]


def test_stub_venue_never_says_a_number_twice() -> None:
    venue = StubVenue()
    said = set()
    for head, form, tail in venue._frames * 2:
        if form:
            frame = head + venue._number(form) + tail
            assert frame not in said, "a feed takes a trade that comes twice for one"
            said.add(frame)
            assert len(frame) - 4 == int.from_bytes(frame[2:4], "big"), "the head tells its length"


@pytest.mark.slow
async def test_pipeline_loses_nothing_and_weighs_each_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_pipeline, "RATES", (1_000,))
    monkeypatch.setattr(bench_pipeline, "SECONDS", 1.0)
    result = await bench_pipeline.bench_pipeline(quiet)
    assert result["lost"] == 0
    assert result["ticks_per_s"] > 0
    assert set(result["rss_mb"]) == {"feed", "book", "strategy"}
    assert all(megabytes > 0 for megabytes in result["rss_mb"].values())
    assert result["rungs"]["1000"]["asked"] == 1_000


@pytest.mark.slow
async def test_tick_to_order_stands_on_orders_of_every_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_latency, "SECONDS", 6)
    monkeypatch.setattr(bench_floor, "SECONDS", 2)
    monkeypatch.setattr(bench_colocated, "FRAMES", 1_500)
    result: dict[str, Any] = await bench_latency.bench_tick_to_order(quiet)
    floor = result["floor"]
    for measured in (result["nats"], result["colocated"], floor["before"], floor["after"]):
        assert measured["count"] > 10
        assert 0 < measured["p50_us"] <= measured["p99_us"]
    assert floor["p50_us"] > 0
    assert set(result["nats"]["hops"]) == {
        "feed>strategy", "strategy>risk", "risk>execution", "approved_to_sent"
    }  # fmt: skip
    assert result["nats"]["errors"] == {}
