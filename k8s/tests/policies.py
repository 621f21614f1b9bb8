"""What a network that enforces NetworkPolicies lets through: the rules, in a few functions."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod with labels in a namespace, or an address elsewhere."""

    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = "tickbus"
    address: str = ""


def pod(namespace: str = "tickbus", /, **labels: str) -> End:
    """A pod of this namespace, or of another."""
    return End(tuple(labels.items()), namespace)


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector takes `labels`; an empty one takes everything."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In", "teach the tests this operator"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True


def allows(policies: Sequence[Document], source: End, target: End, port: int) -> bool:
    """Whether a TCP connection passes: out of the source and into the target."""
    out = source.address or _passes(policies, "Egress", source, target, port)
    into = target.address or _passes(policies, "Ingress", target, source, port)
    return bool(out) and bool(into)


def _passes(policies: Sequence[Document], direction: str, own: End, other: End, port: int) -> bool:
    if own.namespace != "tickbus":
        return True  # what holds there is somebody else's
    rules, side = direction.lower(), "to" if direction == "Egress" else "from"
    chosen = [
        policy["spec"]
        for policy in policies
        if selects(policy["spec"]["podSelector"], dict(own.labels))
        and direction in policy["spec"]["policyTypes"]
    ]
    return not chosen or any(
        _ports(rule, port) and _peers(rule.get(side), other)
        for spec in chosen
        for rule in spec.get(rules, ())
    )


def _ports(rule: Document, port: int) -> bool:
    ports = rule.get("ports")
    return ports is None or any(
        each["port"] == port and each.get("protocol", "TCP") == "TCP" for each in ports
    )


def _peers(peers: list[Document] | None, other: End) -> bool:
    return peers is None or any(_peer(peer, other) for peer in peers)


def _peer(peer: Document, other: End) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        if not other.address:
            return False
        address = ipaddress.ip_address(other.address)
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(less) for less in block.get("except", ())
        )
    if other.address:
        return False
    if "namespaceSelector" in peer:
        space = {"kubernetes.io/metadata.name": other.namespace}
        if not selects(peer["namespaceSelector"], space):
            return False
    elif other.namespace != "tickbus":
        return False
    return selects(peer.get("podSelector", {}), dict(other.labels))
