"""Real NATS and Postgres in containers, shared by the integration tests of one run.

Without a container engine the tests are skipped with the reason; with TICKBUS_REQUIRE_ENGINE=1,
as in continuous integration, that is a failure. With TICKBUS_BROKERS=embedded the contracts of the
services use the servers of `tickbus up` instead, which need no engine.
"""

import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest
import pytest_asyncio
from contracts import ONLY, Exchange, Start, command_for
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, LogMessageWaitStrategy

from contract import SERVICES
from tickbus_embedded import free_port
from tickbus_testkit.brokers import nats_server, postgres_server
from tickbus_testkit.neighbours import Neighbours
from tickbus_testkit.processes import ServiceProcess
from tickbus_testkit.users import Users

ROOT = Path(__file__).parents[2]
NATS_IMAGE = "nats:2-alpine"
POSTGRES_IMAGE = "postgres:17-alpine"
START_TIMEOUT_S = 60
EMBEDDED = os.environ.get("TICKBUS_BROKERS") == "embedded"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of one service alone, where TICKBUS_CONTRACT names it."""
    if not ONLY:
        return
    if ONLY not in SERVICES:
        raise pytest.UsageError(
            f"TICKBUS_CONTRACT={ONLY!r}: there is no such service; there are {', '.join(SERVICES)}"
        )
    wanted = [
        item for item in items
        if any(ONLY in mark.args for mark in item.iter_markers("contract"))
    ]  # fmt: skip
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


@pytest.fixture(scope="session")
def engine() -> None:
    """A container engine that answers."""
    try:
        docker.from_env(timeout=10).ping()
    except (DockerException, OSError) as error:
        reason = f"no container engine answers: {error}"
        if os.environ.get("TICKBUS_REQUIRE_ENGINE") == "1":
            pytest.fail(f"{reason}. Start one, or unset TICKBUS_REQUIRE_ENGINE to skip.")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def nats_users() -> Users:
    """The users of that server, with all permissions on."""
    return Users()


@pytest.fixture(scope="session")
def nats_url(engine: None, nats_users: Users) -> Iterator[str]:
    """Where a NATS server with JetStream listens, in a container of its own."""
    ready = LogMessageWaitStrategy("Server is ready").with_startup_timeout(START_TIMEOUT_S)
    configuration = {"jetstream": "enabled", "accounts": nats_users.accounts}
    command = (
        """sh -c 'printf %s "$CONFIGURATION" > /tmp/n.conf && exec nats-server -c /tmp/n.conf'"""
    )
    container = DockerContainer(
        NATS_IMAGE, command=command, ports=[4222], env={"CONFIGURATION": json.dumps(configuration)}
    ).waiting_for(ready)  # fmt: skip
    with container:
        yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_dsn(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Where a Postgres listens."""
    if EMBEDDED:
        async with postgres_server() as server:
            yield server.dsn
        return
    request.getfixturevalue("engine")
    password = secrets.token_urlsafe(16)
    env = {"POSTGRES_USER": "tickbus", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "tickbus"}
    # Over TCP: the server that only initialises the data listens on a socket file alone.
    ready = ExecWaitStrategy(["pg_isready", "-h", "127.0.0.1", "-U", "tickbus"])
    ready.with_startup_timeout(START_TIMEOUT_S)
    container = DockerContainer(POSTGRES_IMAGE, env=env, ports=[5432]).waiting_for(ready)
    with container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(5432)
        yield f"postgresql://tickbus:{password}@{host}:{port}/tickbus"


@pytest.fixture
async def bus_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A NATS server of the test's own: no history but its own."""
    if EMBEDDED:
        async with nats_server() as server:
            yield server.url
        return
    request.getfixturevalue("engine")
    ready = LogMessageWaitStrategy("Server is ready").with_startup_timeout(START_TIMEOUT_S)
    container = DockerContainer(NATS_IMAGE, command="-js", ports=[4222]).waiting_for(ready)
    with container:
        yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Neighbours]:
    neighbours = await Neighbours.connect(bus_url)
    yield neighbours
    await neighbours.close()


@pytest.fixture
def start(tmp_path: Path, bus_url: str) -> Iterator[Start]:
    """Starts one service, ready or not; stops it afterwards and looks at its exit code.

    A command in TICKBUS_CONTRACT_<SERVICE> is started in its place.
    """
    with ExitStack() as stack:

        def begin(name: str, *, ready: bool = True, **environment: str) -> ServiceProcess:
            port = free_port()
            process = ServiceProcess(
                name, tmp_path, {
                    "TICKBUS_NATS_URL": bus_url,
                    "TICKBUS_CONFIG": str(ROOT / "config" / "default.yaml"),
                    "TICKBUS_METRICS_PORT": str(port),
                    **environment,
                }, port, command=command_for(name),
            )  # fmt: skip
            process.start()
            stack.callback(_ends_well, process)
            return process.until_ready() if ready else process

        yield begin


def _ends_well(process: ServiceProcess) -> None:
    code = process.stop()
    assert code == 0, f"{process.name}, told to stop, ended with {code}: {process.tail()}"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    """The simulated exchange, with the environment that leads a service to it."""
    port = free_port()
    state = tmp_path / "exchange"
    state.mkdir()
    arguments = ("--port", str(port), "--seed", "3", "--state-dir", str(state))
    process = ServiceProcess("exchange", tmp_path, {}, port, arguments).start().until_ready()
    address = f"127.0.0.1:{port}"
    yield (
        process,
        {
            "TICKBUS_VENUE_REST_URL": f"http://{address}",
            "TICKBUS_VENUE_WS_URL": f"ws://{address}",
            "TICKBUS_VENUE_WS_API_URL": f"ws://{address}/ws-api/v3",
            "TICKBUS_VENUE_API_KEY": "sim-key",
            "TICKBUS_VENUE_API_SECRET": "sim-secret",
        },
    )
    process.stop()
