"""The platform that the tests of the dashboard run against."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from tickbus_cli.profile import Ports
from tickbus_embedded import free_offset
from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[3]


class Running(NamedTuple):
    """The platform under test: where it and its exchange are, and its process."""

    url: str
    exchange: str
    desk: Desk
    process: int

    def gateway(self) -> psutil.Process:
        """The process of the gateway."""
        family = psutil.Process(self.process).children(recursive=True)
        return next(each for each in family if "tickbus_api" in " ".join(each.cmdline()))


@contextmanager
def a_platform(directory: Path, *configs: str) -> Iterator[Running]:
    """The whole platform as `tickbus up` runs it, with `configs` of the repository laid over."""
    offset = free_offset(Ports().all(True).values())
    command = [
        sys.executable, "-m", "tickbus_cli", "up", "--no-screen",
        "--data-dir", str(directory / "data"), "--port-offset", str(offset),
    ]  # fmt: skip
    for config in (*configs, "tests/patient.yaml"):
        command += ["--config", str(ROOT / config)]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        url, exchange = (f"http://127.0.0.1:{port + offset}" for port in (8080, 8090))
        desk = Desk(url, exchange)
        try:
            wait_for(
                "the gateway to be ready", lambda: desk.get("/health")["status"] == "ready", 180
            )
            yield Running(url, exchange, desk, process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(150)
