"""The network lets through every connection that the code makes, and none that nobody needs."""

import re
from functools import cache
from urllib.parse import urlsplit

import code_facts
import pytest
import yaml
from kustomized import (
    K8S,
    Document,
    containers_of,
    needs_kubectl,
    of_kind,
    on_the_base,
    overlay,
    pod_of,
    workloads,
)
from policies import End, allows, selects

pytestmark = needs_kubectl
EVERYTHING = (
    "nats", "nats-cluster", "postgres", "exchange", "routing", "strategy-momentum",
    "network-policies",
)  # fmt: skip
INTERNET = End(address="52.84.150.39")
MACHINE = End(address="169.254.169.254")
NODE_CACHE = End(address="169.254.20.10")
"""Where NodeLocal DNSCache listens on each machine."""
NEIGHBOR = End(address="10.1.2.3")


def policies() -> list[Document]:
    return list(of_kind(on_the_base(EVERYTHING), "NetworkPolicy"))


@cache
def pod(name: str) -> End:
    """A pod of a workload, with the labels that it really has."""
    labels = pod_of(workloads(on_the_base(EVERYTHING))[name])["metadata"]["labels"]
    return End(tuple(labels.items()))


def elsewhere(namespace: str) -> End:
    return End((), namespace)


def port(name: str, of: str) -> int:
    """The number of a port of a workload's first container."""
    container = containers_of(workloads(on_the_base(EVERYTHING))[name])[0]
    (found,) = [each["containerPort"] for each in container["ports"] if each["name"] == of]
    return int(found)


PROCESSES = (*code_facts.SERVICES, "strategy-momentum")


@pytest.mark.parametrize("name", PROCESSES)
def test_every_service_reaches_the_bus_and_is_scraped(name: str) -> None:
    assert allows(policies(), pod(name), pod("nats"), port("nats", "client"))
    assert allows(policies(), elsewhere("monitoring"), pod(name), port(name, "metrics"))
    assert not allows(policies(), elsewhere("default"), pod(name), port(name, "metrics"))


@pytest.mark.parametrize("name", PROCESSES)
def test_who_uses_the_database_reaches_it_and_nobody_else_does(name: str) -> None:
    uses = name in code_facts.users_of("postgres_dsn")
    assert allows(policies(), pod(name), pod("postgres"), port("postgres", "postgres")) == uses


def speaks_to_venues(name: str) -> bool:
    """Whether the code of a service reads where the venue is."""
    return bool(
        {*code_facts.users_of(r"\w*rest_url"), *code_facts.users_of("protocol_of")} & {name}
    )


@pytest.mark.parametrize("name", PROCESSES)
def test_who_speaks_to_venues_gets_there_and_nobody_else_does(name: str) -> None:
    assert allows(policies(), pod(name), pod("exchange"), port("exchange", "http")) == (
        speaks_to_venues(name)
    )
    for venue_port in venue_ports():
        assert allows(policies(), pod(name), INTERNET, venue_port) == (
            speaks_to_venues(name) or (name == "alerts" and venue_port == 443)
        )


def test_it_is_feed_execution_and_kill_switch_that_speak_to_venues() -> None:
    found = {name for name in code_facts.SERVICES if speaks_to_venues(name)}
    assert found == {"feed", "execution", "killswitch"}


def venue_ports() -> set[int]:
    """Of every address that an adapter, or the production overlay, names."""
    texts = list(code_facts.sources(code_facts.source_of("feed")))
    texts += code_facts.sources(code_facts.source_of("execution"))
    texts.append((K8S / "overlays/production/kustomization.yaml").read_text(encoding="utf-8"))
    texts += [path.read_text(encoding="utf-8") for path in K8S.parent.glob("config/venues/*.yaml")]
    found = set()
    for address in re.findall(r"(?:https|wss)://[\w.-]+(?::\d+)?", "\n".join(texts)):
        found.add(urlsplit(address).port or 443)
    return found


def test_the_ports_of_venues_are_found() -> None:
    assert {443, 9443} <= venue_ports()


@pytest.mark.parametrize("name", PROCESSES)
def test_nobody_gets_to_the_machine_or_to_a_neighbor_of_the_cluster(name: str) -> None:
    for number in (80, 443, 6443, 8443, 9443, 10250):
        assert not allows(policies(), pod(name), MACHINE, number)
        assert not allows(policies(), pod(name), NEIGHBOR, number)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_gateway_alone_reaches_the_kill_switch(name: str) -> None:
    assert code_facts.users_of("TICKBUS_KILL_URL") == {"api"}
    number = port("killswitch", "metrics")
    assert allows(policies(), pod(name), pod("killswitch"), number) == (name == "api")


def test_users_come_to_the_gateway_through_the_ingress_controller_alone() -> None:
    number = port("api", "http")
    assert allows(policies(), elsewhere("ingress-nginx"), pod("api"), number)
    assert not allows(policies(), elsewhere("default"), pod("api"), number)
    assert not allows(policies(), elsewhere("ingress-nginx"), pod("risk"), number)


def test_alerts_reach_messengers_and_mail() -> None:
    for number in (443, 465, 587):
        assert allows(policies(), pod("alerts"), INTERNET, number)
    assert not allows(policies(), pod("alerts"), INTERNET, 22)


def test_the_servers_of_the_bus_reach_each_other_and_nobody_else_plays_one() -> None:
    assert allows(policies(), pod("nats"), pod("nats"), port("nats", "cluster"))
    for name in PROCESSES:
        assert not allows(policies(), pod(name), pod("nats"), port("nats", "cluster"))


def test_the_database_of_the_operator_is_reached_and_kept() -> None:
    (cluster,) = of_kind(overlay("production"), "Cluster")
    labels = {
        **cluster["spec"]["inheritedMetadata"]["labels"],
        "cnpg.io/cluster": cluster["metadata"]["name"],
    }
    database = End(tuple(labels.items()))
    for name in ("ledger", "history"):
        assert allows(policies(), pod(name), database, 5432)
    assert allows(policies(), database, database, 5432)
    assert allows(policies(), database, database, 8000)
    assert allows(policies(), elsewhere("cnpg-system"), database, 8000)
    assert allows(policies(), database, NEIGHBOR, 6443), "they agree by the Kubernetes API"
    assert allows(policies(), elsewhere("monitoring"), database, 9187)
    for name in ("api", "risk", "strategy", "alerts"):
        assert not allows(policies(), pod(name), database, 5432)


def test_everybody_may_ask_for_names_and_all_else_is_denied() -> None:
    dns = elsewhere("kube-system")
    for name in (*PROCESSES, "nats", "postgres", "exchange"):
        assert allows(policies(), pod(name), dns, 53)
        assert allows(policies(), pod(name), NODE_CACHE, 53)
        assert not allows(policies(), pod(name), MACHINE, 53)
    (deny,) = [p for p in policies() if p["metadata"]["name"] == "deny-all"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_traces_reach_the_collector_where_the_component_sends_them() -> None:
    (data,) = (
        d["data"]
        for d in of_kind(on_the_base(("tracing",)), "ConfigMap")
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in d["data"]
    )
    url = urlsplit(data["OTEL_EXPORTER_OTLP_ENDPOINT"])
    _, namespace, _ = (url.hostname or "").split(".")
    config = yaml.safe_load(
        (K8S.parent / "observability/otel-collector.yaml").read_text(encoding="utf-8")
    )
    listens = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert listens.rpartition(":")[2] == str(url.port)
    for name in PROCESSES:
        assert allows(policies(), pod(name), elsewhere(namespace), url.port or 0)


def test_services_do_not_talk_past_the_bus() -> None:
    for source in PROCESSES:
        for target in code_facts.SERVICES:
            for number in {port(target, "metrics"), 8080}:
                expected = (source, target) == ("api", "killswitch") and number != 8080
                assert allows(policies(), pod(source), pod(target), number) == expected


@pytest.mark.parametrize("name", code_facts.SERVICES)
def test_a_copy_of_a_service_by_another_name_may_do_what_the_service_may(name: str) -> None:
    labels = {**dict(pod(name).labels), "app.kubernetes.io/name": f"{name}-sim2"}
    copy = End(tuple(labels.items()))
    for target, number in (
        (pod("nats"), 4222), (pod("postgres"), 5432), (pod("exchange"), 8090), (INTERNET, 9443),
        (pod("killswitch"), 9100),
    ):  # fmt: skip
        assert allows(policies(), copy, target, number) == (
            allows(policies(), pod(name), target, number)
        )


def test_every_policy_but_those_for_what_is_not_here_is_about_some_pod() -> None:
    documents = on_the_base(EVERYTHING)
    labels = [pod_of(each)["metadata"]["labels"] for each in workloads(documents).values()]
    idle = {
        policy["metadata"]["name"]
        for policy in policies()
        if not any(selects(policy["spec"]["podSelector"], each) for each in labels)
    }
    assert idle == {"database-cluster", "scraping-of-the-database"}, "those of CloudNativePG"


def test_every_file_of_the_component_says_why() -> None:
    for path in (K8S / "components" / "network-policies").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("#") or path.name == "deny-all.yaml", path
