"""Writes the rules of observability/ as a resource of the Prometheus operator, for Kubernetes.

    python tools/prometheus_rules.py

The rules have one place, the files that Prometheus reads under Compose; a test holds the copy.
"""

from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[1] / "observability" / "rules"
MADE = Path(__file__).parents[1] / "k8s" / "components" / "observability" / "rules.yaml"
HEAD = "# Made by tools/prometheus_rules.py of observability/rules, where they are changed.\n"
LABELS = {"app.kubernetes.io/part-of": "tickbus"}


def rules(folder: Path = RULES) -> dict[str, Any]:
    """One PrometheusRule with the groups of every file in `folder`, in the files' order."""
    groups = [
        group
        for file in sorted(folder.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tickbus", "labels": LABELS},
        "spec": {"groups": groups},
    }


def text() -> str:
    """The file as it should be."""
    return HEAD + yaml.safe_dump(rules(), sort_keys=False, width=100)


def main() -> None:
    """Write it."""
    MADE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
