"""A cluster of three NATS servers in containers, by the configuration of production."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from composed import LOST_COUNT
from docker.errors import APIError
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tickbus.credentials import draw
from tickbus_embedded import free_port
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.story import wait_for
from tickbus_testkit.users import Users

ROOT = Path(__file__).parents[2]
FILES = (
    ROOT / "config" / "nats" / "nats.conf",
    ROOT / "k8s" / "components" / "nats-cluster" / "cluster.conf",
)
NAMES = ("nats-0", "nats-1", "nats-2")
CLIENTS, MONITOR, ROUTES = 4222, 8222, 6222


class ClusteredServer:
    """One of the servers; it comes back on the same ports of this machine, with its data."""

    def __init__(
        self, name: str, image: str, network: Network, environment: dict[str, str]
    ) -> None:
        self.name = name
        # Clients know all three: what the servers would tell them are addresses inside.
        self._container = DockerContainer(
            image, command="nats-server --config /etc/nats/cluster.conf --no_advertise",
            env={**environment, "TICKBUS_NATS_SERVER_NAME": name},
            network=network, network_aliases=[name],
        )  # fmt: skip
        for file in FILES:
            self._container.with_volume_mapping(str(file), f"/etc/nats/{file.name}")
        for port in (CLIENTS, MONITOR):
            self._container.with_bind_ports(port, free_port())
        self._addresses: dict[int, str] = {}

    def __enter__(self) -> "ClusteredServer":
        self._container.start()
        host = self._container.get_container_host_ip()
        for port in (CLIENTS, MONITOR):
            self._addresses[port] = f"{host}:{self._container.get_exposed_port(port)}"
        return self

    def __exit__(self, *_: object) -> None:
        self._container.stop()

    def kill(self) -> None:
        """SIGKILL, as `docker kill` does."""
        self._container.get_wrapped_container().kill()

    def start_again(self) -> None:
        """With the data that it had."""
        self._container.get_wrapped_container().start()

    def address(self, port: int) -> str:
        """Where this machine finds a port of it, also while it is away."""
        return self._addresses[port]

    def monitor(self, path: str, **parameters: Any) -> Any:
        """What its monitoring says. Raises httpx.HTTPError, also for what is not well."""
        url = f"http://{self.address(MONITOR)}/{path}"
        return httpx.get(url, params=parameters, timeout=10).raise_for_status().json()

    def streams(self) -> dict[str, Any]:
        """Of the account of the platform, by name, as this server sees them."""
        said = self.monitor("jsz", streams=True, config=True, acc="platform")
        return {stream["name"]: stream for stream in said["account_details"][0]["stream_detail"]}

    def until_caught_up(self) -> None:
        """Wait until it says what Kubernetes waits for: all that it keeps is up to date."""
        wait_for(f"{self.name} to be healthy", lambda: self.monitor("healthz"), PATIENCE_S)


def leaders_of(servers: Iterable[ClusteredServer], stream: str) -> list[ClusteredServer]:
    """Who says of itself that it leads; none or two while they do not agree."""
    return [s for s in servers if s.streams()[stream]["cluster"].get("leader") == s.name]


def late_copies(servers: Iterable[ClusteredServer]) -> list[str]:
    """What is not on each server as its leader has it, or has no leader."""
    seen = {server.name: server.streams() for server in servers}
    late = []
    for name in sorted(set().union(*seen.values())):
        leaders = [s for s in seen if seen[s].get(name, {}).get("cluster", {}).get("leader") == s]
        if len(leaders) != 1:
            late.append(f"{name} is led by {leaders}")
            continue
        copies = seen[leaders[0]][name]["cluster"].get("replicas", ())
        current = {copy["name"] for copy in copies if copy["current"] and not copy.get("offline")}
        late += [f"{name} at {s}" for s in seen if s not in {*current, *leaders}]
    return late


@contextmanager
def a_network() -> Iterator[Network]:
    """A network of its own, which stays where the engine lost count of who was on it."""
    network = Network().create()
    try:
        yield network
    finally:
        try:
            network.remove()
        except APIError as error:
            if LOST_COUNT not in str(error):
                raise


@contextmanager
def nats_cluster(image: str, users: Users) -> Iterator[list[ClusteredServer]]:
    """Three servers that have found each other, with all permissions on."""
    password = draw()
    routes = [f"nats://cluster:{password}@{name}:{ROUTES}" for name in NAMES]
    environment = {
        **users.of_the_server(),
        "TICKBUS_NATS_PASSWORD_CLUSTER": password,
        "TICKBUS_NATS_ROUTES": json.dumps(routes),
    }
    with ExitStack() as stack:
        network = stack.enter_context(a_network())
        servers = [
            stack.enter_context(ClusteredServer(name, image, network, environment))
            for name in NAMES
        ]
        for server in servers:
            server.until_caught_up()
        yield servers
