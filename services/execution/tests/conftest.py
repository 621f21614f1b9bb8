"""A simulated exchange, and execution at it, for the tests that need a real venue."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from execution_bench import ExchangeBench

from tickbus_embedded import free_port
from tickbus_testkit.processes import ServiceProcess


@pytest.fixture
def lively_exchange(tmp_path: Path) -> Iterator[ServiceProcess]:
    """An exchange with a crowd that trades all the time, and keeps its account over restarts."""
    port = free_port()
    state = tmp_path / "state"
    state.mkdir()
    arguments = (
        "--port", str(port), "--seed", "1", "--state-dir", str(state), "--intensity", "4",
    )  # fmt: skip
    process = ServiceProcess("exchange", tmp_path, {}, port, arguments).start().until_ready()
    yield process
    process.stop()


@pytest.fixture
async def bench(lively_exchange: ServiceProcess) -> AsyncIterator[ExchangeBench]:
    """Execution that has not been started yet."""
    made = ExchangeBench(lively_exchange)
    yield made
    await made.stop()
