"""`tickbus feed --record`: whoever comes back for a recording that is not there is told so."""

from pathlib import Path
from typing import Any

import pytest

from tickbus_cli import feed
from tickbus_cli.main import main


@pytest.fixture(autouse=True)
def _own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the command sets for its service would stay for the tests behind this one.
    monkeypatch.setenv("TICKBUS_METRICS_PORT", "0")


def recording(directory: Path) -> int:
    """Record Kraken without a bus; the exit code."""
    return main(["feed", "--venue", "kraken", "--alone", "--record", str(directory)])


def test_a_run_that_recorded_nothing_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "earlier.zst").write_bytes(b"of another day")
    monkeypatch.setattr(feed, "run_service", lambda *_, **__: 0)
    assert recording(tmp_path) == 1
    assert f"nothing was recorded in {tmp_path}" in capsys.readouterr().err


def test_a_run_that_recorded_something_is_exit_code_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def record(*_: Any, **__: Any) -> int:
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "now.zst").write_bytes(b"a frame")
        return 0

    monkeypatch.setattr(feed, "run_service", record)
    assert recording(tmp_path / "raw") == 0
    assert not capsys.readouterr().err
