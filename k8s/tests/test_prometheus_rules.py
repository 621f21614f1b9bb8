"""The alert rules reach Kubernetes as they are in their files, in a form the operator reads."""

import re
from pathlib import Path

import operators
import pytest
import yaml
from kustomized import containers_of, needs_kubectl, on_the_base, overlay, workloads

import metrics
import prometheus_rules

ALERTS = """
groups:
  - name: tickbus-bus
    interval: 30s
    rules:
      - alert: BusAway
        expr: up{service="risk"} == 0
        for: 1m
        labels: {severity: critical}
        annotations: {summary: "risk does not answer"}
"""
RECORDING = """
groups:
  - name: tickbus-recording
    rules:
      - {record: "tickbus:events:rate1m", expr: "rate(tickbus_feed_events_total[1m])"}
"""


def test_the_groups_of_all_files_are_in_one_resource(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(ALERTS, encoding="utf-8")
    (tmp_path / "recording.yml").write_text(RECORDING, encoding="utf-8")
    (tmp_path / "README.md").write_text("no rules", encoding="utf-8")
    found = prometheus_rules.rules(tmp_path)
    operators.check(found)
    assert [group["name"] for group in found["spec"]["groups"]] == [
        "tickbus-bus", "tickbus-recording",
    ]  # fmt: skip
    assert found["spec"]["groups"][0] == yaml.safe_load(ALERTS)["groups"][0]


@pytest.mark.skipif(not prometheus_rules.RULES.is_dir(), reason="there are no rules yet")
def test_the_rules_of_this_repository_are_taken() -> None:
    found = prometheus_rules.rules()
    assert found["spec"]["groups"]
    operators.check(found)
    names = [group["name"] for group in found["spec"]["groups"]]
    assert len(names) == len(set(names)), "one resource has one namespace for groups"


def test_what_kubernetes_applies_is_what_prometheus_reads_under_compose() -> None:
    made = prometheus_rules.MADE.read_text(encoding="utf-8")
    assert made == prometheus_rules.text(), "run: python tools/prometheus_rules.py"


def threshold(alert: str) -> float:
    """From which number on an alert of this repository fires."""
    groups = prometheus_rules.rules()["spec"]["groups"]
    (rule,) = (each for group in groups for each in group["rules"] if each.get("alert") == alert)
    return float(rule["expr"].rpartition(">")[2])


def size(text: str) -> int:
    """Bytes, as Kubernetes writes them."""
    number, unit = re.fullmatch(r"(\d+)([MG]i)", text).groups()  # type: ignore[union-attr]
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


@needs_kubectl
def test_a_service_is_said_to_need_much_memory_before_it_is_ended_for_it() -> None:
    there = workloads(overlay("production"))
    for service in metrics.declared().groups["shell"]:
        limit = containers_of(there[service])[0]["resources"]["limits"]["memory"]
        assert size(limit) > threshold("TickbusMemoryHigh"), service


@needs_kubectl
def test_the_stream_is_said_to_be_large_long_before_it_refuses_orders() -> None:
    for components in (("nats",), ("nats", "nats-cluster")):
        (claim,) = workloads(on_the_base(components))["nats"]["spec"]["volumeClaimTemplates"]
        # JetStream takes three quarters of the disk, for the buckets and other streams too.
        room = size(claim["spec"]["resources"]["requests"]["storage"]) * 3 // 4
        assert threshold("TickbusStreamLarge") <= room / 2
