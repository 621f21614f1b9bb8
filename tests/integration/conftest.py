"""Real NATS and Postgres in containers, shared by the integration tests of one run.

Without a container engine the tests are skipped with the reason; with TICKBUS_REQUIRE_ENGINE=1,
as in continuous integration, that is a failure.
"""

import json
import os
import secrets
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, LogMessageWaitStrategy

from tickbus_testkit.users import Users

NATS_IMAGE = "nats:2-alpine"
POSTGRES_IMAGE = "postgres:17-alpine"
START_TIMEOUT_S = 60


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


@pytest.fixture(scope="session")
def postgres_dsn(engine: None) -> Iterator[str]:
    """Where a Postgres listens, in a container of its own."""
    password = secrets.token_urlsafe(16)
    env = {"POSTGRES_USER": "tickbus", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "tickbus"}
    # Over TCP: the server that only initialises the data listens on a socket file alone.
    ready = ExecWaitStrategy(["pg_isready", "-h", "127.0.0.1", "-U", "tickbus"])
    ready.with_startup_timeout(START_TIMEOUT_S)
    container = DockerContainer(POSTGRES_IMAGE, env=env, ports=[5432]).waiting_for(ready)
    with container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(5432)
        yield f"postgresql://tickbus:{password}@{host}:{port}/tickbus"
