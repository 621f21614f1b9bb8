"""The three NATS servers of the manifests are one cluster, and orders go on when one is killed.

Their configuration is that of components/nats-cluster; only addresses and directories are others.
"""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import nats.errors
import pytest
from kustomized import Document, environment_of, needs_kubectl, of_kind, on_the_base, workloads

from tickbus.bus import BusError, NatsBus
from tickbus.credentials import draw
from tickbus.login import Login
from tickbus_embedded import free_port
from tickbus_embedded.nats import nats_binary
from tickbus_embedded.process import ServerProcess

pytestmark = [needs_kubectl, pytest.mark.timeout(600)]
TIMEOUT_S = 90.0
SWAPS = 30
T = TypeVar("T")


def documents() -> tuple[Document, ...]:
    return on_the_base(("nats", "nats-cluster"))


def environment(name: str) -> dict[str, str]:
    """What Kubernetes gives to the server `name`: passwords drawn, `$(...)` filled in."""
    found = {"TICKBUS_NATS_SERVER_NAME": name}
    for key, entry in environment_of(workloads(documents())["nats"], documents()).items():
        if key.startswith("TICKBUS_NATS_PASSWORD_"):
            found[key] = draw()
        elif "value" in entry:
            # Kubernetes knows only what stands before it in the list; so does this.
            found[key] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], entry["value"])
    return found


def test_the_routes_lead_to_every_server_with_the_password_of_the_cluster() -> None:
    spec, given = workloads(documents())["nats"]["spec"], environment("nats-0")
    routes = [urlsplit(route) for route in json.loads(given["TICKBUS_NATS_ROUTES"])]
    pods = [f"nats-{number}.{spec['serviceName']}" for number in range(spec["replicas"])]
    assert [route.hostname for route in routes] == pods
    assert {route.password for route in routes} == {given["TICKBUS_NATS_PASSWORD_CLUSTER"]}


class Server:
    """One of the servers, on ports of this machine."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.client, self.monitor, self.route = free_port(), free_port(), free_port()
        log = self.folder / "nats.log"
        command = [nats_binary(), "--config", str(self.folder / "cluster.conf")]
        self.process = ServerProcess(name, command, log, stop_signal=signal.SIGTERM)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.client}"

    def configure(self) -> None:
        """Write the files of the manifests, for these ports and directories."""
        (data,) = (d["data"] for d in of_kind(documents(), "ConfigMap") if "nats.conf" in d["data"])
        (self.folder / "data").mkdir(parents=True)
        places = {
            "0.0.0.0:4222": f"127.0.0.1:{self.client}",
            "0.0.0.0:8222": f"127.0.0.1:{self.monitor}",
            "0.0.0.0:6222": f"127.0.0.1:{self.route}",
            '"/data"': f'"{self.folder}/data"',
            '"/tmp/nats.pid"': f'"{self.folder}/nats.pid"',
        }
        for name, text in data.items():
            for place, ours in places.items():
                text = text.replace(place, ours)  # noqa: PLW2901
            (self.folder / name).write_text(text, encoding="utf-8")


async def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def cluster(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[list[Server], dict[str, str]]]:
    """The servers, each started with what the manifests say, and the passwords."""
    given = environment("nats-0")
    servers = [Server(f"nats-{number}", folder) for number in range(3)]
    for server in servers:
        inside = f"{server.name}.nats-peers:6222"
        assert inside in given["TICKBUS_NATS_ROUTES"]
        outside = given["TICKBUS_NATS_ROUTES"].replace(inside, f"127.0.0.1:{server.route}")
        given["TICKBUS_NATS_ROUTES"] = outside
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    # Servers that stand still choose who leads more than once before an order is stored.
    monkeypatch.setattr("tickbus.bus.nats.DURABLE_TIMEOUT_S", TIMEOUT_S)
    try:
        for server in servers:
            server.configure()
            monkeypatch.setenv("TICKBUS_NATS_SERVER_NAME", server.name)
            await server.process.start(partial(answers, server.client), TIMEOUT_S)
        yield servers, given
    finally:
        for server in servers:
            await server.process.stop(5)


async def connected(url: str, user: str, given: dict[str, str]) -> NatsBus:
    """As a service does: until the servers have agreed who leads."""
    login = Login(user, given[f"TICKBUS_NATS_PASSWORD_{user.upper()}"])
    return await patiently(partial(NatsBus.connect, url, user, login, replicas=3))


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, as soon as the servers of that stream have agreed who leads."""
    began = time.monotonic()
    while True:
        try:
            return await ask()
        except (BusError, nats.errors.Error):
            if time.monotonic() - began > TIMEOUT_S:
                raise
            await asyncio.sleep(0.1)


async def leader_of_orders(bus: NatsBus, servers: list[Server]) -> Server:
    """Who leads them, once somebody does: servers that stood still choose anew."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            said = (await patiently(lambda: bus._js.stream_info("ORDERS"))).cluster
            for server in servers:
                if said is not None and server.name == said.leader:
                    return server
            await asyncio.sleep(0.1)


@pytest.mark.slow(20)
async def test_orders_go_on_when_the_server_that_leads_them_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, monkeypatch) as (servers, given):
        bus = await connected(servers[0].url, "risk", given)
        for number in range(10):
            await bus.publish_durable("orders.approved.sim", b"%d" % number, f"id-{number}")
        await patiently(lambda: bus.kv_put("control", "trading", b"ACTIVE"))
        for stream in ("ORDERS", "KV_control"):
            info = await patiently(partial(bus._js.stream_info, stream))
            assert info.config.num_replicas == 3
            assert info.cluster is not None
        lost = await leader_of_orders(bus, servers)
        assert lost.process.pid is not None
        os.kill(lost.process.pid, signal.SIGKILL)
        await lost.process.wait()
        for number in range(10, 20):
            await bus.publish_durable("orders.approved.sim", b"%d" % number, f"id-{number}")
        again = await bus.publish_durable("orders.approved.sim", b"5", "id-5")
        assert again.duplicate, "what was stored before is known to who leads now"
        await bus.close()
        alive = next(server for server in servers if server is not lost)
        strategy = await connected(alive.url, "strategy", given)
        wish = await strategy.publish_durable("orders.intent.alpha", b"wish", "id-wish")
        assert wish.sequence == 21, "out of its account, on whichever server it is"
        await strategy.close()
        reader = await connected(alive.url, "ledger", given)
        found = [
            (await patiently(partial(reader.read, sequence))).payload for sequence in range(1, 21)
        ]
        assert found == [b"%d" % number for number in range(20)]
        await reader.close()
        watcher = await connected(alive.url, "risk", given)
        value, _ = await patiently(lambda: watcher.kv_read("control", "trading"))
        assert value == b"ACTIVE"
        await watcher.close()


@pytest.mark.slow(15)
async def test_of_those_who_swap_a_value_at_once_one_does_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, monkeypatch) as (servers, given):
        first, *others = [await connected(each.url, "feed", given) for each in servers]
        swapped, began = 0, time.monotonic()
        while swapped < SWAPS:
            assert time.monotonic() - began < 3 * TIMEOUT_S, swapped
            _, revision = await patiently(lambda: first.kv_read("budget", "venue"))
            swapping = [bus.kv_swap("budget", "venue", b"it", revision) for bus in (first, *others)]
            answers = await asyncio.gather(*swapping, return_exceptions=True)
            # While there is no leader nobody is told anything; that is another matter.
            assert not [answer for answer in answers if "last sequence" in str(answer)]
            assert answers.count(True) <= 1
            swapped += answers.count(True)
        for bus in (first, *others):
            await bus.close()
