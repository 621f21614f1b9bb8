"""Rules and dashboards ask only for what is declared, and every alert is tested and explained."""

import argparse
import ast
import functools
import importlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import dashboards
import metrics
from metrics import Series
from promql import Asked, Matcher, Selector, asked, labels_of_record
from tickbus import events
from tickbus_cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "observability"
RULES = sorted((OBSERVABILITY / "rules").glob("*.yml"))
RULE_TESTS = sorted((OBSERVABILITY / "tests").glob("*.yml"))
TARGET = ("job", "service", "instance")
"""Labels that Prometheus gives every series of a target."""
OF_PROMETHEUS = {"up": Series("up", {}), "ALERTS": Series("ALERTS", {})}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in read(path)["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


@functools.cache
def known_series() -> dict[str, Series]:
    """All that can be asked for: what services export, and what is recorded of it."""
    found = {**OF_PROMETHEUS, **metrics.declared().samples()}
    for record, expression in RECORDS.items():
        values: dict[str, Any] = {}
        labels = {name: frozenset((*each.labels, *TARGET)) for name, each in found.items()}
        for selector in asked(expression).selectors:
            for one in matching(selector, found):
                values |= one.labels
        kept = labels_of_record(expression, labels)
        found[record] = Series(record, {label: values.get(label, ()) for label in kept})
    return found


def matching(selector: Selector, known: Mapping[str, Series]) -> list[Series]:
    """The series that a selector asks for."""
    if selector.name in known:
        return [known[selector.name]]
    return [each for name, each in known.items() if re.fullmatch(selector.name, name)]


def wrongs(question: Asked, known: Mapping[str, Series]) -> Iterator[str]:
    """What an expression asks for that nobody exports."""
    labels = set(TARGET)
    for selector in question.selectors:
        found = matching(selector, known)
        if not found:
            yield f"{selector.name} is exported by nobody"
        for each in found:
            labels |= each.labels.keys()
            for matcher in selector.matchers:
                yield from wrong_matcher(matcher, each)
    for label in question.labels - labels:
        yield f"grouped by {label}, which nothing of it has"


def wrong_matcher(matcher: Matcher, series: Series) -> Iterator[str]:
    label, sign, value = matcher
    if label in TARGET or "$" in value or series.name == "ALERTS":
        return
    if label not in series.labels:
        yield f"{series.name} has no label {label}"
        return
    listed = series.labels[label]
    if label == "type" and not listed:
        if not hasattr(events, value) and value not in ("Kill", "Bar", "Batch"):
            yield f'{series.name}: there is no event "{value}"'
        return
    if label == "hop" and "~" in sign:
        return
    for one in value.split("|") if "~" in sign else (value,):
        if not metrics.is_among(one, listed):
            yield f'{series.name} never has {label}="{one}"'


def test_the_page_is_what_the_list_says() -> None:
    assert metrics.main(["--check"]) == 0


def test_the_dashboards_are_what_is_told() -> None:
    assert dashboards.main(["--check"]) == 0


@pytest.mark.parametrize("name", [*RECORDS, *ALERTS])
def test_each_rule_asks_for_what_is_exported(name: str) -> None:
    expression = RECORDS.get(name) or ALERTS[name]["expr"]
    assert list(wrongs(asked(expression), known_series())) == []


@pytest.mark.parametrize("dashboard", dashboards.ALL, ids=lambda each: each.uid)
def test_each_panel_asks_for_what_is_exported(dashboard: dashboards.Dashboard) -> None:
    known = known_series()
    found = {
        f"{title}: {wrong}"
        for title, expression in dashboards.expressions(dashboard)
        for wrong in wrongs(asked(expression), known)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("tickbus_feed_gapz", "exported by nobody"),
        ("sum by (venu) (tickbus_book_books)", "grouped by venu"),
        ('tickbus_book_books{instrument="X"}', "no label instrument"),
        ('tickbus_feed_instruments{state="DEAD"}', 'never has state="DEAD"'),
        ('tickbus:errors:increase5m{kind="bugs"}', 'never has kind="bugs"'),
        ('tickbus_risk_events_total{type="SubmitOdrer"}', "there is no event"),
        ('{__name__=~"tickbus_[a-z]+_lag"} > 1', "exported by nobody"),
    ],
)
def test_a_question_for_what_nobody_exports_is_seen(expression: str, wrong: str) -> None:
    assert any(wrong in each for each in wrongs(asked(expression), known_series()))


def test_every_metric_of_money_or_health_is_on_some_dashboard() -> None:
    everything = " ".join(
        expression
        for dashboard in dashboards.ALL
        for _, expression in (*dashboards.expressions(dashboard), *RECORDS.items())
    )
    own = [
        metric.name
        for section in metrics.declared().sections
        for metric in section.metrics
        if "{" not in metric.name and metric.name.startswith("tickbus_")
    ]
    shown_otherwise = {"tickbus_feed_instruments_live", "tickbus_feed_rest_weight_used"}
    exempt = {name for name in own if name.startswith("tickbus_exchange_")} | shown_otherwise
    exempt |= {
        "tickbus_ledger_orders_total", "tickbus_ledger_working_orders",
        "tickbus_strategy_running", "tickbus_strategy_strategies_failed",
    }  # fmt: skip
    assert [name for name in own if name not in exempt and name not in everything] == []


def test_every_alert_fires_and_is_quiet_in_a_test() -> None:
    fires, quiet = set[str](), set[str]()
    for path in RULE_TESTS:
        for test in read(path)["tests"]:
            for each in test["alert_rule_test"]:
                (fires if each["exp_alerts"] else quiet).add(each["alertname"])
    assert fires == ALERTS.keys()
    assert quiet == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook"}
    assert notes["runbook"] == f"docs/runbooks.md#{name.lower()}"
    runbook = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    body = re.search(rf"^## {name}\n+(.+?)(?=^#|\Z)", runbook, re.MULTILINE | re.DOTALL)
    assert body is not None
    assert body.group(1).startswith(f"*{rule['labels']['severity']}")
    assert "\n1. " in body.group(1)


def test_the_runbooks_name_sections_that_exist() -> None:
    runbook = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (\w+)$", runbook, re.MULTILINE)
    assert set(titles) == ALERTS.keys()
    assert set(re.findall(r"\(#(\w+)\)", runbook)) <= {t.lower() for t in titles}


def commands_of_the_runbooks() -> list[str]:
    """What stands there as `tickbus ...`."""
    runbook = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"`tickbus ([^`]+)`", runbook)))


@pytest.mark.parametrize("line", commands_of_the_runbooks())
def test_a_command_of_the_runbooks_is_one_that_the_command_line_takes(line: str) -> None:
    name, *rest = shlex.split(line)
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[name].module).configure(parser)
    parser.parse_args(rest)  # ends the program where it is none


COUNTERS = ("telemetry", "_telemetry", "_access", "_wiring", "self")
"""What has a method that counts an error, by the last part of its name."""


def error_kinds() -> Iterator[tuple[str, str]]:
    """(kind, where) of every call that counts an error under a name written in place."""
    for path in (*ROOT.glob("libs/common/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name, owner = node.func.attr, ast.unparse(node.func.value).rpartition(".")[2]
            # `count` of an event has an outcome, too.
            counts = name == "error" or (name in ("count", "_on_error") and len(node.args) == 1)
            if counts and owner in COUNTERS and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), str(path.relative_to(ROOT))


def test_every_error_that_the_code_counts_is_declared() -> None:
    known = metrics.declared().errors
    found = dict(error_kinds())
    assert len(found) > 40
    assert {
        kind: where for kind, where in found.items() if not metrics.is_among(kind, [*known])
    } == {}


def test_compose_mounts_what_prometheus_and_grafana_read() -> None:
    services = read(ROOT / "docker-compose.yml")["services"]
    mounts = {
        target: ROOT / source
        for name in ("prometheus", "grafana")
        for source, _, target in (
            volume.removesuffix(":ro").partition(":") for volume in services[name]["volumes"]
        )
    }
    [pattern] = read(OBSERVABILITY / "prometheus.yml")["rule_files"]
    folder, _, names = f"/etc/prometheus/{pattern}".rpartition("/")
    assert sorted(mounts[folder].glob(names)) == RULES
    provisioning = mounts["/etc/grafana/provisioning"]
    [provider] = read(provisioning / "dashboards" / "tickbus.yaml")["providers"]
    assert mounts[provider["options"]["path"]].resolve() == dashboards.FOLDER
    [source] = read(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == dashboards.SOURCE


@pytest.fixture
def promtool() -> str:
    """Prometheus' own checker."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool here (Debian: apt install prometheus); tests/integration runs it")
    return found


def test_prometheus_takes_configuration_and_rules(promtool: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "config", str(OBSERVABILITY / "prometheus.yml")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RECORDS)} rules found" in checked.stdout + checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout + checked.stderr


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_every_alert_fires_when_its_condition_holds(promtool: str, path: Path) -> None:
    tested = subprocess.run(
        [promtool, "test", "rules", str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
