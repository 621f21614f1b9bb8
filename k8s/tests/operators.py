"""What of the resources of operators these manifests use; anything else in them is a typo.

Kubernetes' own schemas do not know these kinds. Written after the references of the operators:
CloudNativePG 1.25, KEDA 2.16, Prometheus operator 0.80.
"""

from typing import Annotated, Any, Literal

import msgspec

Strings = dict[str, str]
Duration = Annotated[str, msgspec.Meta(pattern=r"^\d+(ms|s|m|h)$")]
Size = Annotated[str, msgspec.Meta(pattern=r"^\d+(Mi|Gi|Ti)$")]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Unknown keys are refused."""


class Selector(Strict):
    match_labels: Strings


class Spread(Strict):
    max_skew: int
    topology_key: str
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"]
    label_selector: Selector


# CloudNativePG: Cluster


class Resources(Strict):
    requests: Strings
    limits: Strings


class InitDb(Strict):
    database: str
    owner: str
    data_checksums: bool = False


class Bootstrap(Strict):
    initdb: InitDb


class Storage(Strict):
    size: Size
    storage_class: str = ""


class Synchronous(Strict):
    method: Literal["any", "first"]
    number: Annotated[int, msgspec.Meta(ge=1)]
    data_durability: Literal["required", "preferred"] = "required"


class Postgresql(Strict):
    synchronous: Synchronous | None = None
    parameters: Strings = {}


class Metadata(Strict):
    labels: Strings


class Seccomp(Strict):
    type: Literal["RuntimeDefault"]


class Affinity(Strict):
    enable_pod_anti_affinity: bool
    pod_anti_affinity_type: Literal["required", "preferred"]
    topology_key: str


class Cluster(Strict):
    instances: Annotated[int, msgspec.Meta(ge=1)]
    image_name: str
    inherited_metadata: Metadata
    enable_superuser_access: Literal[False]
    bootstrap: Bootstrap
    storage: Storage
    wal_storage: Storage
    postgresql: Postgresql
    primary_update_strategy: Literal["unsupervised", "supervised"]
    primary_update_method: Literal["switchover", "restart"]
    seccomp_profile: Seccomp
    resources: Resources
    affinity: Affinity
    topology_spread_constraints: list[Spread]


# KEDA: ScaledObject


class ScaleTarget(Strict):
    api_version: str
    kind: str
    name: str


class Fallback(Strict):
    failure_threshold: int
    replicas: int


class Advanced(Strict):
    horizontal_pod_autoscaler_config: dict[str, Any]


class Query(Strict):
    server_address: str
    query: str
    threshold: str


class Trigger(Strict):
    type: Literal["prometheus"]
    metric_type: Literal["AverageValue", "Value"]
    metadata: Query


class ScaledObject(Strict):
    scale_target_ref: ScaleTarget
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    fallback: Fallback
    advanced: Advanced
    triggers: Annotated[list[Trigger], msgspec.Meta(min_length=1)]


# Prometheus operator: ServiceMonitor, PodMonitor, PrometheusRule


class Relabeling(Strict):
    target_label: str
    source_labels: list[str] = []
    replacement: str = ""
    regex: str = ""
    action: str = ""


class Endpoint(Strict):
    port: str
    interval: Duration
    scrape_timeout: Duration
    path: str = "/metrics"
    relabelings: list[Relabeling] = []


class ServiceMonitor(Strict):
    selector: Selector
    endpoints: Annotated[list[Endpoint], msgspec.Meta(min_length=1)]
    job_label: str = ""


class PodMonitor(Strict):
    selector: Selector
    pod_metrics_endpoints: Annotated[list[Endpoint], msgspec.Meta(min_length=1)]


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    expr: str
    alert: str = ""
    record: str = ""
    for_: Duration = msgspec.field(name="for", default="0s")
    keep_firing_for: Duration = "0s"
    labels: Strings = {}
    annotations: Strings = {}


class Group(Strict):
    name: str
    rules: Annotated[list[Rule], msgspec.Meta(min_length=1)]
    interval: Duration = "1m"


class PrometheusRule(Strict):
    groups: Annotated[list[Group], msgspec.Meta(min_length=1)]


KINDS: dict[tuple[str, str], type[msgspec.Struct]] = {
    ("postgresql.cnpg.io/v1", "Cluster"): Cluster,
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitor,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRule,
}
"""The form of `spec`, by apiVersion and kind."""


class Named(msgspec.Struct, forbid_unknown_fields=True):
    """What every resource has beside its spec."""

    name: str
    namespace: str = ""
    labels: Strings = {}
    annotations: Strings = {}


def check(document: dict[str, Any]) -> None:
    """Raises msgspec.ValidationError where a resource of an operator is not what it reads."""
    kind = KINDS[document["apiVersion"], document["kind"]]
    extra = document.keys() - {"apiVersion", "kind", "metadata", "spec"}
    if extra:
        raise msgspec.ValidationError(f"{document['kind']}: {sorted(extra)} at the top level")
    msgspec.convert(document["metadata"], Named)
    msgspec.convert(document["spec"], kind)
