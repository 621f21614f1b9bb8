"""What running services export, as Prometheus would have it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tickbus_testkit.processes import ServiceProcess


class Sample(NamedTuple):
    """One value of a series; the labels are sorted."""

    name: str
    labels: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        labels = ", ".join(f'{label}="{_escaped(value)}"' for label, value in self.labels)
        return f"{self.name}{{{labels}}}"


Scrape = Mapping[Sample, float]
"""Every series of every target, with `up`, and the labels of the target."""


def samples_of(service: str, text: str) -> dict[Sample, float]:
    """What one target said, with the labels that Prometheus adds."""
    target = {"job": "tickbus", "service": service, "instance": f"{service}:9100"}
    return {
        Sample(sample.name, tuple(sorted({**sample.labels, **target}.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(processes: Iterable[ServiceProcess]) -> dict[Sample, float]:
    """Ask each once; who does not answer is not up."""
    found: dict[Sample, float] = {}
    for process in processes:
        try:
            found |= samples_of(process.name, process.metrics())
            answers = 1.0
        except httpx.HTTPError:
            answers = 0.0
        found |= samples_of(process.name, f"up {answers}\n")
    return found


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
