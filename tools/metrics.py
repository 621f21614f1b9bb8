"""The declared list of metrics: docs/metrics.md is made from it, scrapes are held against it.

python tools/metrics.py [--check]: write the page, or fail where it is not what the list says.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[1]
LIST = ROOT / "observability" / "metrics.yaml"
PAGE = ROOT / "docs" / "metrics.md"
HOPS, ERRORS = "hops", "errors"
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
HEAD = """# Metrics

*Made from [observability/metrics.yaml](../observability/metrics.yaml) by `python tools/metrics.py`.
Tests hold that list against what running services export, and [rules](../observability/rules) and
[dashboards](../observability/grafana) against it.*

Every service serves `/metrics` on port 9100 of its container, the simulated exchange on its own
port; on one machine `tickbus up` gives each a port from 9101 on. Prometheus adds the labels
`service`, the name of the container, and `instance`. `{service}` in a name stands for the service.
A metric with a *when* may be missing, and that says when it is there. Money is a float here and
nowhere else: it is looked at, and nothing is reckoned with it.
"""


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric as it is declared; `labels` gives each label's values, or says what they are."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    services: str | tuple[str, ...]
    meaning: str
    labels: dict[str, str | tuple[str, ...]] = {}
    when: str = ""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics that belong together."""

    title: str
    metrics: tuple[Metric, ...]


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole list; `groups` are names for sets of services."""

    groups: dict[str, tuple[str, ...]]
    sections: tuple[Section, ...]
    hops: dict[str, str]
    errors: dict[str, str]

    def services(self, metric: Metric) -> tuple[str, ...]:
        """Who exports it."""
        named = metric.services
        return self.groups[named] if isinstance(named, str) else named

    def values(self, metric: Metric, label: str) -> tuple[str, ...]:
        """The values that `label` may have, with {…} for any text; () where any is right."""
        told = metric.labels[label]
        if isinstance(told, tuple):
            return told
        listed: Mapping[str, str] = {HOPS: self.hops, ERRORS: self.errors}.get(told, {})
        return tuple(listed)

    def of(self, service: str) -> dict[str, Metric]:
        """What a service exports, by the name that it has there."""
        return {
            metric.name.format(service=service): metric
            for section in self.sections
            for metric in section.metrics
            if service in self.services(metric)
        }

    def samples(self) -> dict[str, "Series"]:
        """Everything that can be asked for, by the name that a rule or a dashboard uses."""
        found: dict[str, Series] = {}
        for service in sorted({s for group in self._everybody() for s in group}):
            for name, metric in self.of(service).items():
                values = {label: self.values(metric, label) for label in metric.labels}
                for suffix in SUFFIXES.get(metric.type, ("",)):
                    more = {"le": ()} if suffix == "_bucket" else {}
                    found[name + suffix] = Series(name + suffix, {**values, **more})
        return found

    def _everybody(self) -> Iterator[Sequence[str]]:
        for section in self.sections:
            yield from map(self.services, section.metrics)


class Series(NamedTuple):
    """One name that can be asked for; `labels` with the values that they may have, () for any."""

    name: str
    labels: Mapping[str, Sequence[str]]


def is_among(value: str, values: Sequence[str]) -> bool:
    """Whether a label may have `value`."""
    return not values or any(re.fullmatch(_pattern(one), value) for one in values)


def _pattern(value: str) -> str:
    return "(.+)".join(re.escape(part) for part in re.split(r"\{\w+\}", value))


def declared(path: Path = LIST) -> Declared:
    """Read the list. Raises msgspec.ValidationError, or ValueError for what it says twice."""
    found = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Declared)
    names = [metric.name for section in found.sections for metric in section.metrics]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: declared twice: {', '.join(twice)}")
    return found


def problems(service: str, text: str, known: Declared) -> list[str]:
    """What a scrape of `service` has that is not declared, and what it lacks."""
    expected, out, seen = known.of(service), [], set[str]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue  # when a counter began; the client library adds it
            name = sample.name
            if family.type == "histogram":
                name = family.name
            metric = expected.get(name)
            if metric is None:
                out.append(f"{service} exports {name}, which is not declared")
                continue
            seen.add(name)
            if family.type != metric.type:
                out.append(f"{name} is a {family.type}, and declared as a {metric.type}")
            out.extend(_wrong_labels(name, sample.labels, metric, known))
    missing = [name for name in expected.keys() - seen if not expected[name].when]
    out += [f"{service} does not export {name}, and no `when` says why" for name in missing]
    return sorted(set(out))


def _wrong_labels(
    name: str, labels: Mapping[str, str], metric: Metric, known: Declared
) -> Iterator[str]:
    given = {label: value for label, value in labels.items() if label != "le"}
    if given.keys() != metric.labels.keys():
        yield f"{name} has the labels {sorted(given)}, and is declared with {sorted(metric.labels)}"
        return
    for label, value in given.items():
        if not is_among(value, known.values(metric, label)):
            yield f'{name} has {label}="{value}", which is not declared'


# -- the page --------------------------------------------------------------------------------------


def page(known: Declared) -> str:
    """docs/metrics.md."""
    parts = [HEAD]
    for section in known.sections:
        rows = ["| metric | type, unit | services | labels | meaning |", "|---|---|---|---|---|"]
        rows += [_row(metric, known) for metric in section.metrics]
        parts.append("\n".join([f"## {section.title}", "", *rows, ""]))
    parts.append(_listing("Hops", "Values of the label `hop`.", known.hops))
    parts.append(
        _listing("Errors", "Values of the label `kind`, and whose they are.", known.errors)
    )
    return "\n".join(parts)


def _row(metric: Metric, known: Declared) -> str:
    services = known.services(metric)
    everybody = len(services) > len(known.groups["all"]) // 2
    without = [name for name in known.groups["all"] if name not in services]
    who = "all" if not without else f"all but {', '.join(without)}"
    labels = "; ".join(f"`{label}`: {_values(metric.labels[label])}" for label in metric.labels)
    when = f" *When {metric.when}.*" if metric.when else ""
    cells = (
        f"`{metric.name}`", f"{metric.type}, {metric.unit}",
        who if everybody else ", ".join(services), labels, metric.meaning + when,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _values(told: str | tuple[str, ...]) -> str:
    if isinstance(told, str):
        return {HOPS: "[see below](#hops)", ERRORS: "[see below](#errors)"}.get(told, told)
    return ", ".join(f"`{value}`" for value in told)


def _listing(title: str, text: str, listed: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in listed.items()]
    return "\n".join([f"## {title}", "", text, "", "| value | meaning |", "|---|---|", *rows, ""])


def main(arguments: Sequence[str]) -> int:
    """Write or check the page; the exit code."""
    text = page(declared())
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE.relative_to(ROOT)} is not what the list says: run python tools/metrics.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
