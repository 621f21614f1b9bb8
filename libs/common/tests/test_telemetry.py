"""Quantiles of durations, and what Prometheus is told."""

import gc
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from tickbus import codec
from tickbus.events import Quote
from tickbus.runtime import Latency, Reading, Telemetry
from tickbus.runtime.telemetry import REASONS_MAX, Pauses


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=200))
def test_quantiles_are_right_within_the_bucket_width(durations: list[int]) -> None:
    latency = Latency()
    for ns in durations:
        latency.record(ns)
    for q in (0.5, 0.99, 1.0):
        rank = max(1, -(-len(durations) * q // 1))
        exact = sorted(durations)[int(rank) - 1]
        assert exact <= round(latency.quantile_us(q) * 1000) <= exact * 1.04 + 1


@given(st.lists(st.integers(0, 10**10), max_size=50))
def test_cumulative_counts_rise_to_the_total(durations: list[int]) -> None:
    latency = Latency()
    for ns in durations:
        latency.record(ns)
    counts = [n for _, n in latency.cumulative()]
    assert counts == sorted(counts)
    assert counts[-1] == sum(ns <= 17_179_869_183 for ns in durations)


@given(st.integers(-(10**20), 10**20))
def test_any_duration_is_counted_once_and_none_is_negative(ns: int) -> None:
    latency = Latency()
    latency.record(ns)
    assert (latency.count, latency.total_ns) == (1, max(ns, 0))
    assert (latency.quantile_us(1.0) == 0) == (ns <= 0)


def test_what_the_shell_counts_by_type_is_among_the_counts() -> None:
    telemetry = Telemetry("risk")
    telemetry.count("Quote", "handled", 2)
    telemetry.handled[Quote] += 3
    telemetry.published[Quote] += 1
    assert telemetry.counts == {("Quote", "handled"): 5, ("Quote", "published"): 1}
    text = generate_latest(telemetry.registry).decode()
    assert 'tickbus_risk_events_total{outcome="handled",type="Quote"} 5.0' in text


def test_scrape_shows_counts_errors_gauges_and_latency() -> None:
    telemetry = Telemetry("risk")
    telemetry.count("SubmitOrder", "handled", 3)
    telemetry.error("malformed")
    telemetry.gauge("working_orders", 2)
    telemetry.observe_us("strategy>risk", 150)
    text = generate_latest(telemetry.registry).decode()
    assert 'tickbus_risk_events_total{outcome="handled",type="SubmitOrder"} 3.0' in text
    assert 'tickbus_risk_errors_total{kind="malformed"} 1.0' in text
    assert "tickbus_risk_working_orders 2.0" in text
    assert 'tickbus_risk_latency_seconds_count{hop="strategy>risk"} 1.0' in text


def test_gauge_of_a_truth_is_a_number_that_a_status_can_hold() -> None:
    telemetry = Telemetry("feed")
    telemetry.gauge("recording_failed", False)
    assert codec.decode_value(codec.encode_value(telemetry.gauges), dict[str, float]) == {
        "recording_failed": 0.0
    }


def test_what_is_read_is_read_when_somebody_scrapes() -> None:
    telemetry, held = Telemetry("book"), {"sim": 1.0}

    def read() -> Iterator[Reading]:
        for venue, count in held.items():
            yield Reading("books", count, {"venue": venue})
        yield Reading("gaps_total", 3)

    telemetry.readers.append(read)
    generate_latest(telemetry.registry)
    held["sim2"] = 2.0
    text = generate_latest(telemetry.registry).decode()
    assert 'tickbus_book_books{venue="sim"} 1.0' in text
    assert 'tickbus_book_books{venue="sim2"} 2.0' in text
    assert "# TYPE tickbus_book_gaps_total counter" in text
    assert "tickbus_book_gaps_total 3.0" in text


def test_reasons_are_told_apart_up_to_a_bound() -> None:
    telemetry = Telemetry("execution")
    for number in range(REASONS_MAX + 50):
        telemetry.reason("OrderRejected", f"WORDS_{number}")
    telemetry.reason("OrderRejected", "WORDS_0")
    assert len(telemetry.reasons) == REASONS_MAX + 1
    assert telemetry.reasons["OrderRejected", "OTHER"] == 50
    assert telemetry.reasons["OrderRejected", "WORDS_0"] == 2


def test_pauses_of_the_garbage_collector_add_up() -> None:
    pauses = Pauses()
    pauses.watch()
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(pauses._on_collection)
    assert pauses.seconds[2] > 0
    labels = [reading.labels["generation"] for reading in pauses.read()]
    assert labels == ["0", "1", "2"]
