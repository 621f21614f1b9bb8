"""`tickbus up` and `tickbus status` as a person runs them; the services only pretend."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tickbus_cli.profile import Ports
from tickbus_embedded import free_offset

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow(10)

# The real command with one thing replaced: how each service is started. It is patient with them, as
# on a machine that tests share each may stand still for seconds.
LAUNCH = f"""
import sys; from functools import partial
from tickbus_cli import cancelling, main, monitor, running, up
pretend = {str(HERE / "pretend.py")!r}
names = (
    "feed", "book", "strategy", "risk", "execution", "ledger", "history", "api", "killswitch",
    "alerts",
)
cancelling.ASK_TIMEOUT_S = monitor.LEDGER_TIMEOUT_S = running.CANCEL_TIMEOUT_S = 60.0
monitor.ASKS = 30
up.Plan = partial(up.Plan, commands={{n: (sys.executable, pretend, n) for n in names}})
sys.exit(main.main(sys.argv[1:]))
"""


def command(directory: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "-c", LAUNCH, "up", "--venue", "binance", "--data-dir", str(directory),
        "--port-offset", str(free_offset(Ports().all(True).values())), "--no-screen", *arguments,
    ]  # fmt: skip


@contextlib.contextmanager
def up(directory: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(directory, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def until(process: subprocess.Popen[str], words: str) -> str:
    """What the platform said, up to the line with `words`."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


def until_ready(status: list[str]) -> dict[str, Any]:
    """What `tickbus status` says once every service answers it."""

    def look() -> Any:
        seen = subprocess.run(status, capture_output=True, text=True, timeout=60, check=False)
        return (seen.returncode, json.loads(seen.stdout or "{}"))

    deadline = time.monotonic() + 60
    while (found := look())[0] and time.monotonic() < deadline:
        pass
    code, report = found
    assert (code, report["ready"]) == (0, True), report
    return dict(report)


def nothing_left(directory: Path) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [
            p for p in psutil.process_iter(["cmdline"])
            if any(str(directory) in part for part in p.info["cmdline"] or ())
        ]  # fmt: skip
        if not left:
            return True
        time.sleep(0.05)
    return False


def test_a_timed_run_ends_with_exactly_one_json_object(tmp_path: Path) -> None:
    with up(tmp_path / "d", "--duration", "1.5s", "--json") as process:
        out, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    summary = json.loads(out)
    assert summary["profile"] == "binance-paper"
    assert summary["ticks"] > 0
    assert set(summary["events"]) == {
        "feed", "book", "strategy", "risk", "execution", "ledger", "history", "api", "killswitch",
        "alerts",
    }  # fmt: skip
    assert (summary["crashed"], summary["error"]) == (None, None)
    assert summary["tick_to_order"]["count"] == 1
    assert "cancelled 1 of 1 working orders" in said
    assert "Traceback" not in said
    assert nothing_left(tmp_path / "d")


def test_ctrl_c_stops_in_order_and_status_sees_it_run(tmp_path: Path) -> None:
    status = [sys.executable, "-m", "tickbus_cli", "status", "--json"]
    status += ["--data-dir", str(tmp_path / "d")]
    with up(tmp_path / "d") as process:
        until(process, "ticks/s")
        report = until_ready(status)
        assert report["platform"]["pid"] == process.pid
        assert report["services"]["feed"]["counts"]["Quote/published"] > 0
        again = subprocess.run(
            command(tmp_path / "d"), capture_output=True, text=True, timeout=60, check=False
        )
        assert again.returncode == 1
        assert f"another platform (pid {process.pid})" in again.stderr
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    words = [
        "strategies first",
        "cancelled 1 of 1",
        "stopping alerts, api, history, ledger",
        "nothing is left",
    ]
    places = [out.index(word) for word in words]
    assert places == sorted(places)
    assert nothing_left(tmp_path / "d")
    gone = subprocess.run(status, capture_output=True, text=True, timeout=60, check=False)
    assert (gone.returncode, "no platform runs" in gone.stderr) == (1, True)


def test_a_crash_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    flag = tmp_path / "crash"
    with up(tmp_path / "d", PRETEND_CRASH=str(flag)) as process:
        until(process, "ready in ")
        until(process, "ticks/s")
        flag.touch()
        _, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "feed ended unexpectedly (exit code 1): stopping: ticks: RuntimeError" in err
    assert "feed.log" in err
    assert "Traceback" not in err
    assert nothing_left(tmp_path / "d")


def test_orders_that_cannot_be_cancelled_are_named(tmp_path: Path) -> None:
    with up(tmp_path / "d") as process:
        said = until(process, "ticks/s")
        facts = json.loads((tmp_path / "d" / "platform.json").read_text(encoding="utf-8"))
        os.kill(facts["services"]["execution"]["pid"], signal.SIGKILL)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 1, said
    assert "still working at the venue: pretend-r-1" in out
    assert "execution ended unexpectedly (killed by SIGKILL)\n" in err
    assert nothing_left(tmp_path / "d")
