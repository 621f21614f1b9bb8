"""The Kubernetes manifests: every service is there, hardened, limited and probed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tickbus.config import load
from tickbus.credentials import APPROVAL, SEALERS, variable
from tickbus.permissions import StrategyUser, users

K8S = Path(__file__).parents[1]
SERVICES = sorted(
    path.name
    for path in (K8S.parent / "services").iterdir()
    if (path / "pyproject.toml").is_file() and path.name != "exchange"
)
WORKLOADS = {"Deployment", "StatefulSet"}


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every YAML document below k8s/."""
    for path in sorted(K8S.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document:
                yield path, document


def workloads() -> list[Any]:
    return [
        pytest.param(document, id=document["metadata"]["name"])
        for _, document in documents()
        if document.get("kind") in WORKLOADS
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_its_file_with_deployment_service_and_account(name: str) -> None:
    kinds = {
        document["kind"]: document["metadata"]["name"]
        for document in yaml.safe_load_all((K8S / "base" / f"{name}.yaml").read_text("utf-8"))
    }
    assert WORKLOADS & kinds.keys()
    assert {"Service", "ServiceAccount"} <= kinds.keys()
    assert set(kinds.values()) == {name}


@pytest.mark.parametrize("workload", workloads())
def test_workload_is_hardened_limited_and_probed(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"]["drop"] == ["ALL"]
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= container["resources"][kind].keys()
        assert "readinessProbe" in container
        assert "livenessProbe" in container


def test_every_resource_that_is_named_exists() -> None:
    for path, document in documents():
        if path.name != "kustomization.yaml":
            continue
        for name in [*document.get("resources", ()), *document.get("components", ())]:
            target = path.parent / name
            assert target.is_file() or (target / "kustomization.yaml").is_file(), (path, name)


def test_every_file_that_is_generated_from_exists() -> None:
    for path, document in documents():
        generators = [*document.get("configMapGenerator", ()), *document.get("secretGenerator", ())]
        for name in (name for each in generators for name in each.get("files", ())):
            assert (path.parent / name.rpartition("=")[2]).is_file(), (path, name)


def test_platform_of_production_is_a_sound_configuration() -> None:
    files = [K8S.parent / "config" / "default.yaml", K8S / "overlays/production/platform.yaml"]
    settings = load(files, {})
    assert [venue.name for venue in settings.venues] == ["binance"]
    assert settings.platform.mode == "paper", "who wants real orders says so"


def test_no_secret_of_a_real_venue_is_in_the_manifests() -> None:
    for path, document in documents():
        assert document.get("kind") != "Secret", path
        if "secretGenerator" in document:
            assert "overlays/local" in path.as_posix()


@pytest.mark.parametrize("name", [n for n in SERVICES if (K8S / "base" / f"{n}.yaml").is_file()])
def test_each_service_connects_to_the_bus_as_itself_with_its_own_password(name: str) -> None:
    (workload,) = [
        document
        for document in yaml.safe_load_all((K8S / "base" / f"{name}.yaml").read_text("utf-8"))
        if document["kind"] in WORKLOADS
    ]
    given = {e["name"]: e for e in workload["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert given["TICKBUS_NATS_USER"]["value"] == name
    password = given["TICKBUS_NATS_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert password == {"name": "tickbus-nats", "key": name}
    assert ("TICKBUS_APPROVAL_KEY" in given) == (name in SEALERS)


def test_the_bus_and_the_local_secret_know_every_user() -> None:
    wanted = {variable(user) for user in users([StrategyUser()])}
    nats = [d for p, d in documents() if p.name == "nats.yaml" and d["kind"] == "StatefulSet"]
    given = nats[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {entry["name"] for entry in given} == wanted
    local = yaml.safe_load((K8S / "overlays" / "local" / "kustomization.yaml").read_text("utf-8"))
    (secret,) = [s for s in local["secretGenerator"] if s["name"] == "tickbus-nats"]
    keys = {literal.partition("=")[0] for literal in secret["literals"]}
    assert keys == {*users([StrategyUser()]), APPROVAL}
