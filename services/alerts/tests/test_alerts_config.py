"""Rules as people write them: what is merged, what is refused, and what the page on them says."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tickbus.alerts_api import Severity
from tickbus.config import ConfigError, Settings, load
from tickbus_alerts.config import AlertsConfig, reports, rules_of
from tickbus_alerts.kinds import KINDS, Kind
from tickbus_alerts.rules import Rule
from tickbus_alerts.service import build

ROOT = Path(__file__).parents[3]


def rules(entries: dict[str, Any], *channels: str, **section: Any) -> dict[str, Rule]:
    settings = Settings({"alerts": {"rules": entries, **section}})
    config = settings.section("alerts", AlertsConfig)
    return {rule.name: rule for rule in rules_of(config, channels, "file.yaml")}


def test_an_entry_changes_the_rule_of_its_name_and_nothing_else_of_it() -> None:
    found = rules({"denial": {"cooldown_s": 900, "strategies": ["mom*"]}})
    assert set(found) == set(KINDS)
    assert (found["denial"].cooldown_s, found["denial"].strategies) == (900.0, ("mom*",))
    assert (found["denial"].severity, found["denial"].wait_s) == (Severity.WARNING, 1.0)


def test_a_new_name_adds_a_rule_of_a_kind() -> None:
    found = rules({"near": {"when": "drawdown", "share": 0.95, "severity": "CRITICAL"}})
    assert (found["near"].share, found["near"].severity) == (Decimal("0.95"), Severity.CRITICAL)
    assert found["drawdown"].share == Decimal("0.8")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"denail": {}}, "did you mean 'denial'"),
        ({"x": {"when": "fills"}}, "did you mean 'fill'"),
        ({"Fill": {"when": "fill"}}, "small letters"),
        ({"denial": {"cool_s": 1}}, "unknown key"),
        ({"denial": {"share": 0.5}}, "does not apply to 'denial'"),
        ({"drawdown": {"share": 1.5}}, "a part of the limit"),
        ({"fill": {"notional_min": -1}}, "an amount, 0 or more"),
        ({"denial": {"cooldown_s": 0}}, "at least 1"),
        ({"denial": {"severity": "LOUD"}}, "severity"),
        ({"denial": {"channels": ["slak"]}}, "TICKBUS_ALERTS_SLAK or .*did you mean 'slack'"),
        ({"feed": {"at_least": 3}}, "leave it out"),
        ({"flatten": {"at_least": 3}}, "set wait_s"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(entries: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        rules(entries, "slack")


def test_settings_of_a_channel_that_is_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="TICKBUS_ALERTS_PHONE"):
        rules({}, "slack", channels={"phone": {"severity_min": "CRITICAL"}})


def test_there_are_no_more_rules_than_a_bound() -> None:
    with pytest.raises(ConfigError, match="more than 100"):
        rules({f"r{n}": {"when": "fill"} for n in range(100)})


def test_rules_are_told_with_whom_they_tell() -> None:
    entries = {"fill": {"channels": [], "notional_min": 50}, "halt": {"channels": ["b"]}}
    found = rules(entries, "a", "b")
    told = {report.name: report for report in reports(tuple(found.values()), ("a", "b"))}
    assert told["fill"].channels == ()
    assert told["halt"].channels == ("b",)
    assert told["denial"].channels == ("a", "b")
    assert told["fill"].filters == {"notional_min": "50"}
    assert told["drawdown"].filters == {"share": "0.8"}


def test_the_shipped_configuration_builds_without_a_channel() -> None:
    spec = build(load([ROOT / "config" / "default.yaml"], {}))
    assert spec.name == "alerts"
    assert not spec.recover


def row(name: str, kind: Kind) -> str:
    filters = ", ".join(f"`{each}`" for each in kind.filters) or ""
    often = f", {kind.at_least} times" if kind.at_least > 1 else ""
    off = "" if kind.enabled else " (off)"
    return (
        f"| `{name}`{'†' if kind.lasts else ''} | {kind.says}{off} | {kind.severity} |"
        f" {kind.wait_s:g} s{often} | {kind.cooldown_s:g} s | {filters} |"
    )


def test_the_page_lists_every_kind_as_it_is() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    table = page.partition("<!-- rules -->\n")[2].partition("<!-- end -->")[0]
    assert table.splitlines()[2:] == [row(name, kind) for name, kind in KINDS.items()]
