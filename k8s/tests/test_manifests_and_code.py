"""What the manifests say of variables, ports, metrics, shards and single writers is the code's."""

import re
from urllib.parse import urlsplit

import code_facts
import pytest
from kustomized import (
    K8S,
    Document,
    builds,
    containers_of,
    environment_of,
    needs_kubectl,
    of_kind,
    on_the_base,
    overlay,
    pod_of,
    workloads,
)
from prometheus_client import CollectorRegistry

from tickbus.config import load
from tickbus.credentials import server_configuration, variable
from tickbus.permissions import TABLE, StrategyUser, is_strategy, users
from tickbus.runtime import http, lease, shell
from tickbus.shard import Shard
from tickbus_api.config import ApiConfig
from tickbus_killswitch.config import KillConfig

pytestmark = needs_kubectl
SHARDED = ("feed", "book", "history")
WRITERS = tuple(name for name in code_facts.SERVICES if name not in (*SHARDED, "api", "killswitch"))
"""Of these two would end each other, or write everything twice."""


def service_of(workload: Document) -> str:
    """Which service's image it runs, without the project's name."""
    image: str = containers_of(workload)[0]["image"]
    return image.rpartition("/")[2].partition(":")[0].removeprefix("tickbus-")


def ours(documents: tuple[Document, ...]) -> dict[str, tuple[str, Document]]:
    """The workloads that run our services: name to (service, workload)."""
    found = {name: (service_of(each), each) for name, each in workloads(documents).items()}
    return {name: pair for name, pair in found.items() if pair[0] in code_facts.SERVICES}


def test_every_service_of_the_code_runs_and_nothing_else_of_ours() -> None:
    found = {service for service, _ in ours(overlay("production")).values()}
    assert found == set(code_facts.SERVICES)


def test_every_variable_that_is_set_is_one_that_the_service_reads() -> None:
    for build, documents in builds().items():
        for name, (service, workload) in ours(documents).items():
            known = code_facts.variables(service)
            for key in environment_of(workload, documents):
                assert key in known, f"{build}: {name} is given {key}, which nobody reads"


def test_a_variable_that_nobody_reads_would_be_noticed() -> None:
    assert "TICKBUS_NATS_URL" in code_facts.variables("feed")
    assert "TICKBUS_KILL_URL" in code_facts.variables("api")
    assert "TICKBUS_KILL_URL" not in code_facts.variables("feed")
    assert "TICKBUS_NATS_ADDRESS" not in code_facts.variables("feed")


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("TICKBUS_POSTGRES_DSN", "postgres_dsn"),
        ("TICKBUS_KILL_URL", "TICKBUS_KILL_URL"),
        ("TICKBUS_VENUE_API_SECRET", "venue_keys"),
    ],
)
def test_who_needs_a_secret_or_a_neighbor_is_told_and_nobody_else(key: str, word: str) -> None:
    documents = overlay("production")
    given = {
        service
        for service, workload in ours(documents).values()
        if key in environment_of(workload, documents)
    }
    assert given == code_facts.users_of(word)


def test_metrics_and_health_are_served_where_they_are_looked_for() -> None:
    dockerfile = (K8S.parent / "Dockerfile").read_text(encoding="utf-8")
    for build, documents in builds().items():
        for name, (_, workload) in ours(documents).items():
            where, container = f"{build}: {name}", containers_of(workload)[0]
            port = environment_of(workload, documents)["TICKBUS_METRICS_PORT"]["value"]
            ports = {each["name"]: each["containerPort"] for each in container["ports"]}
            assert str(ports["metrics"]) == port, where
            assert f"EXPOSE {port}" in dockerfile
            annotations = pod_of(workload)["metadata"]["annotations"]
            assert annotations["prometheus.io/port"] == port, where
            for probe, path in (("liveness", "/healthz"), ("readiness", "/readyz")):
                action = container[f"{probe}Probe"]["httpGet"]
                assert action == {"path": path, "port": "metrics"}, where


async def test_the_paths_of_the_probes_and_of_the_scraping_are_answered() -> None:
    app = http.health_app(CollectorRegistry(), dict)
    for path in ("/healthz", "/readyz", "/metrics"):
        said: list[Document] = []

        async def send(message: Document, said: list[Document] = said) -> None:
            said.append(message)

        async def receive() -> Document:
            return {"type": "http.request", "body": b"", "more_body": False}

        await app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
        assert said[0]["status"] == 200, path


def test_the_gateway_listens_where_its_service_leads() -> None:
    documents = overlay("production")
    workload = workloads(documents)["api"]
    environment = environment_of(workload, documents)
    ports = {each["name"]: each["containerPort"] for each in containers_of(workload)[0]["ports"]}
    assert str(ports["http"]) == environment["TICKBUS_API_PORT"]["value"]
    (ingress,) = of_kind(documents, "Ingress")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "api", "port": {"name": "http"}}


def test_the_name_of_the_ingress_is_one_that_the_gateway_takes() -> None:
    files = [K8S.parent / "config" / "default.yaml", K8S / "overlays/production/platform.yaml"]
    api = load(files, {}).section("api", ApiConfig)
    (ingress,) = of_kind(overlay("production"), "Ingress")
    assert {rule["host"] for rule in ingress["spec"]["rules"]} == set(api.hosts)
    assert {host for tls in ingress["spec"]["tls"] for host in tls["hosts"]} == set(api.hosts)
    assert api.cookies_secure


def test_every_address_in_the_environment_is_a_service_with_that_port() -> None:
    for build, documents in builds().items():
        if "nats" not in workloads(documents):
            continue
        there = {
            (service["metadata"]["name"], port["port"])
            for service in of_kind(documents, "Service")
            for port in service["spec"]["ports"]
        }
        for name, (_, workload) in ours(documents).items():
            for key, entry in environment_of(workload, documents).items():
                url = urlsplit(entry.get("value", ""))
                if url.hostname and "." not in url.hostname:
                    assert (url.hostname, url.port) in there, f"{build}: {name}: {key}"


def test_the_bus_listens_where_its_configuration_says() -> None:
    configured = server_configuration(dict.fromkeys(users([StrategyUser()]), ""), [StrategyUser()])
    for components in (("nats",), ("nats", "nats-cluster")):
        container = containers_of(workloads(on_the_base(components))["nats"])[0]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert configured["listen"] == f"0.0.0.0:{ports['client']}"
        assert configured["http"] == f"0.0.0.0:{ports['monitor']}"
        mounts = {each["mountPath"] for each in container["volumeMounts"]}
        assert configured["jetstream"]["store_dir"] in mounts


def test_a_cluster_keeps_every_stream_on_each_of_its_servers() -> None:
    documents = on_the_base(("nats", "nats-cluster"))
    servers = workloads(documents)["nats"]["spec"]["replicas"]
    for _, workload in ours(documents).values():
        environment = environment_of(workload, documents)
        assert environment["TICKBUS_NATS_REPLICAS"]["value"] == str(servers)


def test_components_that_change_the_bus_keep_what_the_others_said() -> None:
    for components in (
        ("nats", "nats-cluster", "strategy-momentum"),
        ("nats", "strategy-momentum", "nats-cluster"),
    ):
        documents = on_the_base(components)
        (conf,) = (d["data"] for d in of_kind(documents, "ConfigMap") if "nats.conf" in d["data"])
        assert "strategy-momentum" in conf["nats.conf"]
        assert "cluster.conf" in conf
        environment = environment_of(workloads(documents)["nats"], documents)
        assert variable("strategy-momentum") in environment
        assert variable("cluster") in environment


def test_each_pod_of_a_sharded_service_has_its_part_and_together_they_have_all() -> None:
    instruments = [f"COIN{n}-USDT" for n in range(200)]
    for build, documents in builds().items():
        for name, (service, workload) in ours(documents).items():
            if service not in SHARDED:
                continue
            where = f"{build}: {name}"
            assert workload["kind"] == "StatefulSet", where
            environment = environment_of(workload, documents)
            field = environment["TICKBUS_INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"]
            assert field == "metadata.name", where
            parts = [
                Shard.of(
                    {"TICKBUS_SHARDS": environment["TICKBUS_SHARDS"]["value"],
                     "TICKBUS_INSTANCE": f"{name}-{ordinal}"}
                )
                for ordinal in range(workload["spec"]["replicas"])
            ]  # fmt: skip
            for instrument in instruments:
                assert sum(part.owns(instrument) for part in parts) == 1, where


def test_a_single_writer_is_one_and_the_old_one_ends_before_the_new_one_begins() -> None:
    durable = {name for name, row in TABLE.items() if row.durable} | {"ledger", "strategy"}
    assert set(WRITERS) == durable, "a service became a writer, or no longer is one"
    for build, documents in builds().items():
        scaled = {
            scaler["spec"]["scaleTargetRef"]["name"]
            for scaler in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
        }
        assert scaled <= {"api"}, f"{build}: only what is stateless is scaled by load"
        for name, (service, workload) in ours(documents).items():
            if service in WRITERS:
                assert workload["kind"] == "Deployment", f"{build}: {name}"
                assert workload["spec"]["replicas"] <= 1, f"{build}: {name}"
                assert workload["spec"]["strategy"] == {"type": "Recreate"}, f"{build}: {name}"


def test_gateway_and_kill_switch_are_there_all_through_an_update() -> None:
    documents = overlay("production")
    for name in ("api", "killswitch"):
        strategy = workloads(documents)[name]["spec"]["strategy"]
        rolling = {"maxUnavailable": 0, "maxSurge": 1}
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": rolling}


def test_a_lost_machine_is_given_up_later_than_a_lease_runs_out_and_soon() -> None:
    for build, documents in builds().items():
        for name, (_, workload) in ours(documents).items():
            given = pod_of(workload)["spec"]["tolerations"]
            tolerated = {each["key"]: each["tolerationSeconds"] for each in given}
            for taint in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
                assert lease.TTL_S * 2 < tolerated[taint] <= 60, f"{build}: {name}"


def test_each_has_longer_to_end_than_it_takes() -> None:
    kill = KillConfig()
    for build, documents in builds().items():
        for name, (service, workload) in ours(documents).items():
            pod = pod_of(workload)["spec"]
            # Draining its server, stopping its edges, and the bus: 6 s (NatsBus.close).
            needed = http.STOP_TIMEOUT_S + shell.STOP_TIMEOUT_S + 6
            if service == "killswitch":
                needed = 3 * kill.timeout_s + kill.halt_wait_s
            hook = containers_of(workload)[0].get("lifecycle", {}).get("preStop")
            if hook:
                needed += float(hook["exec"]["command"][-1])
            assert pod["terminationGracePeriodSeconds"] > needed, f"{build}: {name}"


def test_every_metric_in_a_query_of_a_scaler_is_exported() -> None:
    found = [
        metric
        for scaled in of_kind(on_the_base(("autoscaling-keda",)), "ScaledObject")
        for trigger in scaled["spec"]["triggers"]
        for metric in re.findall(
            r"tickbus_\w+", re.sub(r"\{[^}]*\}", "", trigger["metadata"]["query"])
        )
    ]
    assert found
    for metric in found:
        assert code_facts.exported(metric), metric
    assert not code_facts.exported("tickbus_api_no_such_thing")


def test_what_is_scraped_are_ports_that_services_and_pods_have() -> None:
    documents = overlay("production")
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        chosen = [
            s for s in of_kind(documents, "Service") if wanted <= s["metadata"]["labels"].items()
        ]
        assert {s["metadata"]["name"] for s in chosen} == set(code_facts.SERVICES)
        for endpoint in monitor["spec"]["endpoints"]:
            for service in chosen:
                assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_every_user_of_the_bus_is_a_service_a_strategy_or_a_person() -> None:
    known = set(users([StrategyUser()]))
    for build, documents in builds().items():
        for name, (_, workload) in ours(documents).items():
            user = environment_of(workload, documents)["TICKBUS_NATS_USER"]["value"]
            assert user in known or is_strategy(user), f"{build}: {name}"
