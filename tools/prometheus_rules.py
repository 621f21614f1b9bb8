"""The alert rules of observability/ as a resource of the Prometheus operator, for Kubernetes.

    python tools/prometheus_rules.py | kubectl --namespace tickbus apply --filename -

Nothing of it is kept: the rules have one place, the files that Prometheus reads under Compose.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[1] / "observability" / "rules"
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


def main() -> None:
    """Print it."""
    yaml.safe_dump(rules(), sys.stdout, sort_keys=False, width=100)


if __name__ == "__main__":
    main()
