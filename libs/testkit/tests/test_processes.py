"""The processes of a platform under test, without starting one."""

from pathlib import Path

import pytest

from tickbus_testkit.processes import SERVICES, PlatformProcesses


def test_every_service_is_started_and_none_tells_the_channels_of_who_runs_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_ALERTS_PHONE", "tgram://token/chat")
    platform = PlatformProcesses(tmp_path, "nats://x", "postgresql://x", [], further=["sim2"])
    further = {"exchange", "exchange-sim2", "feed-sim2", "execution-sim2", "router"}
    assert set(platform.processes) == {*SERVICES, *further}
    assert set(platform.stop_order) == set(platform.processes)
    assert platform.stop_order[:2] == ["alerts", "strategy"]
    for process in platform.processes.values():
        assert "TICKBUS_ALERTS_PHONE" not in process.environment, process.name
