"""The rules of observability/ as Prometheus evaluates them over scrapes of running services."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from scrapes import Sample, Scrape

RULES = sorted((Path(__file__).parents[2] / "observability" / "rules").glob("*.yml"))
STEP_S = 15
BEFORE_STEPS = 48
"""For so long all is as it was before: longer than any rule looks back for an increase."""
EVERY_S = 5
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


def rules() -> dict[str, dict[str, Any]]:
    """Every alert, by its name."""
    groups = [group for p in RULES for group in yaml.safe_load(p.read_text("utf-8"))["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def promtool() -> str:
    """Prometheus' own checker; the test is skipped where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool here (Debian: apt install prometheus)")
    return found


def not_as_told(
    directory: Path, alert: str, before: Scrape, during: Sequence[Scrape], services: Sequence[str]
) -> str:
    """What promtool says against it that `alert` is quiet before, and then fires for `services`;
    or for nobody where there are none.

    `before` stands for twelve minutes, then each of `during` for a step, the last one for as long
    as the rule wants its condition to hold. "" when all is as told.
    """
    held_s = _seconds(str(rules()[alert].get("for", "0s"))) + 2 * EVERY_S
    quiet_s = (BEFORE_STEPS - 1) * STEP_S
    since_s = quiet_s + len(during) * STEP_S
    firing = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    theirs = f'{firing[:-1]}, service=~"{"|".join(services)}"}}' if services else firing
    fires = [{"labels": _labels(service), "value": 1} for service in sorted(services)]
    test = {
        "interval": f"{STEP_S}s",
        "input_series": _series(before, during, held_s // STEP_S + 2),
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{quiet_s}s", "exp_samples": []},
            {
                "expr": f"count by (service) ({theirs}) > bool 0",
                "eval_time": f"{since_s + held_s}s", "exp_samples": fires,
            },
        ],
    }  # fmt: skip
    path = directory / f"{alert}.yml"
    body = {
        "rule_files": [str(rule) for rule in RULES],
        "evaluation_interval": f"{EVERY_S}s",
        "tests": [test],
    }
    path.write_text(json.dumps(body), encoding="utf-8")  # which is YAML, too
    done = subprocess.run(
        [promtool(), "test", "rules", str(path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return "" if done.returncode == 0 else f"{alert}: {done.stdout}{done.stderr}"


def _labels(service: str) -> str:
    return f'{{service="{service}"}}' if service else "{}"


def _series(before: Scrape, during: Sequence[Scrape], held: int) -> list[dict[str, str]]:
    names = sorted({sample for each in (before, *during) for sample in each})
    return [{"series": str(s), "values": _values(s, before, during, held)} for s in names]


def _values(sample: Sample, before: Scrape, during: Sequence[Scrape], held: int) -> str:
    """In promtool's words: `_` is none, and `stale` ends a series, as a scrape without it does."""
    words: list[str] = []
    for times, each in ((BEFORE_STEPS, before), *((1, each) for each in during[:-1])):
        words += [_value(sample, each, words)] * times
    return " ".join([*words, *[_value(sample, during[-1], words)] * held])


def _value(sample: Sample, scrape: Scrape, earlier: Sequence[str]) -> str:
    if sample in scrape:
        return repr(scrape[sample])
    return "stale" if earlier and earlier[-1] != "_" else "_"


def _seconds(duration: str) -> int:
    return int(timedelta(**{UNITS[duration[-1]]: float(duration[:-1])}).total_seconds())
