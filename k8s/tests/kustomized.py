"""What `kubectl kustomize` makes of the overlays, and of components put on the base."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]

K8S = Path(__file__).parents[1]
OVERLAYS = tuple(sorted(path.name for path in (K8S / "overlays").iterdir()))
COMPONENTS = tuple(sorted(path.name for path in (K8S / "components").iterdir()))
BEHIND = {"nats-cluster": ("nats",), "strategy-momentum": ("nats",)}
"""What a component changes, and so has to come before it."""
ON_THE_BASE = tuple((*BEHIND.get(name, ()), name) for name in COMPONENTS)
TOGETHER = (
    ("nats", "nats-cluster", "strategy-momentum", "postgres-operator", "network-policies"),
    ("nats", "strategy-momentum", "nats-cluster", "sharding", "routing", "exchange"),
)
"""Components that change the same things, in more than one order."""
KUBECTL = shutil.which("kubectl")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""As safe as the other, and ten times as fast, where it was built."""

needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


@cache
def overlay(name: str) -> tuple[Document, ...]:
    """The documents of an overlay."""
    return _built(K8S / "overlays" / name)


@cache
def on_the_base(components: Sequence[str]) -> tuple[Document, ...]:
    """The documents of the base with `components`."""
    with tempfile.TemporaryDirectory(prefix="tickbus-kustomize-") as folder:
        here = Path(folder).resolve()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "tickbus",
            "resources": [os.path.relpath(K8S / "base", here)],
            "components": [os.path.relpath(K8S / "components" / name, here) for name in components],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return _built(here)


@cache
def production_with_keda() -> tuple[Document, ...]:
    """The overlay for production as its own words say that it is switched to KEDA."""
    with tempfile.TemporaryDirectory(prefix="tickbus-kustomize-") as folder:
        here = Path(folder).resolve() / "production"
        shutil.copytree(K8S / "overlays" / "production", here)
        file = here / "kustomization.yaml"
        kustomization = yaml.safe_load(switched_to_keda(file.read_text(encoding="utf-8")))
        for kind in ("resources", "components"):
            kustomization[kind] = [
                os.path.relpath(K8S / each.removeprefix("../../"), here)
                if each.startswith("../../")
                else each
                for each in kustomization[kind]
            ]
        file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return _built(here)


def switched_to_keda(text: str) -> str:
    """A kustomization with the commented line of KEDA in the place of the one in front of it."""
    plain, keda = "  - ../../components/autoscaling\n", "  # - ../../components/autoscaling-keda"
    assert f"{plain}{keda}" in text
    return text.replace(plain, "").replace(keda, keda.replace("# ", ""))


def builds() -> dict[str, tuple[Document, ...]]:
    """Everything that is built in these tests, by name."""
    found = {f"overlay {name}": overlay(name) for name in OVERLAYS}
    found["overlay production, switched to KEDA"] = production_with_keda()
    found |= {"+".join(names): on_the_base(names) for names in (*ON_THE_BASE, *TOGETHER)}
    return found


def of_kind(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    """Those of `documents` that are of one of `kinds`."""
    return (document for document in documents if document["kind"] in kinds)


def workloads(documents: Sequence[Document]) -> dict[str, Document]:
    """What runs pods, by name."""
    found = of_kind(documents, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    return {document["metadata"]["name"]: document for document in found}


def pod_of(workload: Document) -> Document:
    """The template of its pods."""
    spec = workload["spec"]
    template: Document = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)[
        "template"
    ]
    return template


def containers_of(workload: Document) -> list[Document]:
    """Its containers, those that only begin too."""
    spec = pod_of(workload)["spec"]
    return [*spec["containers"], *spec.get("initContainers", ())]


def environment_of(workload: Document, documents: Sequence[Document]) -> dict[str, Document]:
    """What the environment of its first container holds: entries with `value` or `valueFrom`."""
    container = pod_of(workload)["spec"]["containers"][0]
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(documents, "ConfigMap")}
    found: dict[str, Document] = {}
    for source in container.get("envFrom", ()):
        name = source.get("configMapRef", {}).get("name")
        for key, value in maps.get(name, {}).items():
            found[key] = {"name": key, "value": value}
    return found | {entry["name"]: entry for entry in container.get("env", ())}


def _built(folder: Path) -> tuple[Document, ...]:
    assert KUBECTL is not None
    done = subprocess.run(
        [KUBECTL, "kustomize", str(folder)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "KUBECONFIG": os.devnull},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(document for document in yaml.load_all(done.stdout, LOADER) if document)
