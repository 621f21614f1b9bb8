"""Every overlay, and every component on the base, builds, is valid, hardened, limited and whole."""

import json
import re
from pathlib import Path

import kubernetes_validate
import msgspec
import operators
import pytest
from kustomized import (
    K8S,
    OVERLAYS,
    Document,
    builds,
    containers_of,
    environment_of,
    needs_kubectl,
    of_kind,
    overlay,
    pod_of,
    production_with_keda,
    workloads,
)

VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that these manifests are for, and the newest with schemas."""
SECRET_NAMES = re.compile(r"PASSWORD|SECRET|_KEY$|TOKEN|DSN|CREDENTIAL")
pytestmark = needs_kubectl


def each_kind() -> dict[tuple[str, str], list[Document]]:
    """All documents that differ, by apiVersion and kind."""
    found: dict[tuple[str, str], dict[str, Document]] = {}
    for documents in builds().values():
        for document in documents:
            alike = found.setdefault((document["apiVersion"], document["kind"]), {})
            alike[json.dumps(document, sort_keys=True)] = document
    return {kind: list(alike.values()) for kind, alike in found.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid(version: str) -> None:
    for (api, kind), documents in each_kind().items():
        if (api, kind) in operators.KINDS:
            for document in documents:
                operators.check(document)
            continue
        # As one list: the schemas are read anew for each call.
        together = {"apiVersion": api, "kind": f"{kind}List", "items": documents}
        try:
            kubernetes_validate.validate(together, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            pytest.fail(f"{api} {kind}: nobody knows this kind; describe it in operators.py")
        except kubernetes_validate.ValidationError as error:
            name = documents[int(error.absolute_path[1])]["metadata"]["name"]
            pytest.fail(f"{kind} {name}: {error.json_path}: {error.message}")


def test_a_typo_in_what_an_operator_reads_is_noticed() -> None:
    (cluster,) = of_kind(overlay("production"), "Cluster")
    wrong = {**cluster, "spec": {**cluster["spec"], "instnaces": 3}}
    with pytest.raises(msgspec.ValidationError, match="instnaces"):
        operators.check(wrong)


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_document_is_there_twice_and_all_are_in_the_namespace(name: str) -> None:
    keys = [(d["kind"], d["metadata"]["name"]) for d in overlay(name)]
    assert len(keys) == len(set(keys))
    spaces = {d["metadata"].get("namespace") for d in overlay(name) if d["kind"] != "Namespace"}
    assert spaces == {"tickbus"}


def test_nothing_runs_as_root_or_may_become_more_than_it_is() -> None:
    for build, documents in builds().items():
        for name, workload in workloads(documents).items():
            where, pod = f"{build}: {name}", pod_of(workload)["spec"]
            security = pod["securityContext"]
            assert security["runAsNonRoot"] is True, where
            assert security["runAsUser"] > 0, where
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
            assert pod["automountServiceAccountToken"] is False, where
            assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), where
            assert all("hostPath" not in volume for volume in pod.get("volumes", ())), where
            for container in containers_of(workload):
                own = container["securityContext"]
                assert own["allowPrivilegeEscalation"] is False, where
                assert own["readOnlyRootFilesystem"] is True, where
                assert own["capabilities"] == {"drop": ["ALL"]}, where
                assert not {"privileged", "runAsUser", "runAsNonRoot"} & own.keys(), where


def test_nothing_is_without_limits_and_all_that_serves_is_probed() -> None:
    for build, documents in builds().items():
        for name, workload in workloads(documents).items():
            for container in containers_of(workload):
                where = f"{build}: {name}/{container['name']}"
                for kind in ("requests", "limits"):
                    assert {"cpu", "memory"} <= container["resources"][kind].keys(), where
                if container in pod_of(workload)["spec"].get("initContainers", ()):
                    continue
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    assert probe in container, where
            for volume in pod_of(workload)["spec"].get("volumes", ()):
                assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], volume


def test_no_secret_is_written_down_but_those_of_the_simulated_exchange() -> None:
    for build, documents in builds().items():
        if not build.startswith("overlay local"):
            assert not list(of_kind(documents, "Secret")), build
        for name, workload in workloads(documents).items():
            for variable, entry in environment_of(workload, documents).items():
                if SECRET_NAMES.search(variable):
                    assert "secretKeyRef" in entry.get("valueFrom", {}), f"{build}: {name} {entry}"


def references(workload: Document) -> set[tuple[str, str]]:
    """The (secret, key) pairs without which its pods do not start."""
    return {
        (ref["name"], ref["key"])
        for container in containers_of(workload)
        for entry in container.get("env", ())
        if (ref := entry.get("valueFrom", {}).get("secretKeyRef")) and not ref.get("optional")
    }


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name.startswith("local")])
def test_every_secret_that_is_wanted_is_there_with_its_key(name: str) -> None:
    documents = overlay(name)
    there = {
        (secret["metadata"]["name"], key)
        for secret in of_kind(documents, "Secret")
        for key in secret["data"]
    }
    for workload in workloads(documents).values():
        assert references(workload) <= there


def test_the_production_overlay_says_how_each_secret_is_made() -> None:
    text = (K8S / "overlays" / "production" / "kustomization.yaml").read_text(encoding="utf-8")
    made = re.findall(r"create secret generic (\S+) (.*(?:\\\n.*)*)", text)
    users = re.search(r"for user in \\\n#\s+([a-z ]+); do", text)
    assert users is not None
    there = {(name, key) for name, rest in made for key in re.findall(r"literal=(\w+)=", rest)}
    there |= {("tickbus-nats", user) for user in users[1].split()}
    # What CloudNativePG makes of the cluster `postgres`.
    there.add(("postgres-app", "uri"))
    for workload in workloads(overlay("production")).values():
        assert references(workload) <= there


def test_every_map_account_and_service_that_is_named_is_there() -> None:
    for build, documents in builds().items():
        there = {(d["kind"], d["metadata"]["name"]) for d in documents}
        for name, workload in workloads(documents).items():
            pod = pod_of(workload)["spec"]
            maps = [v["configMap"]["name"] for v in pod.get("volumes", ()) if "configMap" in v]
            for container in containers_of(workload):
                sources = container.get("envFrom", ())
                maps += [s["configMapRef"]["name"] for s in sources if "configMapRef" in s]
            for each in maps:
                assert ("ConfigMap", each) in there, f"{build}: {name}"
            assert ("ServiceAccount", pod["serviceAccountName"]) in there, f"{build}: {name}"
            if workload["kind"] == "StatefulSet":
                assert ("Service", workload["spec"]["serviceName"]) in there, f"{build}: {name}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_image_has_a_tag_that_says_which_one(name: str) -> None:
    for workload in workloads(overlay(name)).values():
        for container in containers_of(workload):
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            assert tag not in ("", "latest"), container["image"]


def matches(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a selector of labels takes `labels`."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def test_every_workload_has_a_budget_that_lets_a_machine_be_emptied() -> None:
    for build, documents in builds().items():
        budgets = list(of_kind(documents, "PodDisruptionBudget"))
        for name, workload in workloads(documents).items():
            labels = pod_of(workload)["metadata"]["labels"]
            own = [b for b in budgets if matches(b["spec"]["selector"], labels)]
            assert len(own) == 1, f"{build}: {name}"
            assert own[0]["spec"]["maxUnavailable"] == 1, f"{build}: {name}"


def test_every_service_leads_to_pods_and_to_a_port_of_theirs() -> None:
    for build, documents in builds().items():
        for service in of_kind(documents, "Service"):
            where, selector = f"{build}: {service['metadata']['name']}", service["spec"]["selector"]
            (workload,) = [
                workload
                for workload in workloads(documents).values()
                if matches({"matchLabels": selector}, pod_of(workload)["metadata"]["labels"])
            ]
            ports = {p["name"] for c in containers_of(workload) for p in c.get("ports", ())}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, where


def test_where_several_pods_do_one_job_they_are_spread_over_machines_and_zones() -> None:
    for build, documents in builds().items():
        scaled = {d["spec"]["scaleTargetRef"]["name"] for d in scalers(documents)}
        for name, workload in workloads(documents).items():
            if workload["spec"].get("replicas", 1) > 1 or name in scaled:
                spread = pod_of(workload)["spec"]["topologySpreadConstraints"]
                keys = {each["topologyKey"] for each in spread}
                where = f"{build}: {name}"
                assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, where


def scalers(documents: tuple[Document, ...]) -> list[Document]:
    """What scales by load."""
    return list(of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject"))


def test_production_is_switched_to_keda_by_one_line_and_scaled_by_nothing_else() -> None:
    plain, keda = overlay("production"), production_with_keda()
    assert [(d["kind"], d["metadata"]["name"]) for d in scalers(plain)] == [
        ("HorizontalPodAutoscaler", "api")
    ]
    assert [(d["kind"], d["metadata"]["name"]) for d in scalers(keda)] == [("ScaledObject", "api")]
    assert "replicas" not in workloads(keda)["api"]["spec"], "each apply would set it back"
    rest = [d for d in plain if d not in scalers(plain)]
    assert [d for d in keda if d not in scalers(keda)] == rest


@pytest.mark.parametrize(
    "path", sorted(K8S.rglob("kustomization.yaml")), ids=lambda p: p.parent.name
)
def test_every_file_beside_a_kustomization_is_used_by_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for file in path.parent.iterdir():
        assert file == path or file.name in text, f"{file} is used nowhere"
