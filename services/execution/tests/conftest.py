"""Time for a process that stands still; a simulated exchange, and execution at it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from execution_bench import ExchangeBench

from tickbus_embedded import free_port
from tickbus_execution import countdown, gateway, reconciling, rest, session
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import ServiceProcess


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine that stands still for seconds would run into; who tests it sets it again."""
    monkeypatch.setattr(gateway, "HELD_S", PATIENCE_S)
    monkeypatch.setattr(session, "CONNECT_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(rest, "CONNECT_S_MAX", PATIENCE_S)
    monkeypatch.setattr(countdown, "LAST_S", PATIENCE_S)
    monkeypatch.setattr(reconciling, "LOOK_S", PATIENCE_S)
    monkeypatch.setattr(reconciling, "SETTLE_S", PATIENCE_S)


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
