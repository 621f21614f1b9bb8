"""Quantiles of durations, and what Prometheus is told."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from tickbus import codec
from tickbus.runtime import Latency, Telemetry


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
