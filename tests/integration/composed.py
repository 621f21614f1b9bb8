"""One project of docker-compose.yml, as a test starts and kills it."""

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tickbus_embedded import free_port
from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[2]
BUILD_S = 600
COMMAND_S = 240
LOST_COUNT = "active endpoints"
"""What an engine says where it takes containers that have ended for still on a network, as it may
after their processes were killed; until it begins anew the network cannot be removed."""
IMAGE_BYTES_MAX = 200 * 10**6
OURS = (
    "exchange", "feed", "book", "strategy", "risk", "execution", "killswitch", "ledger", "history",
    "api", "alerts",
)  # fmt: skip
"""Which of our services run without a profile."""
ROOTS = {
    "credentials": "writes into volumes that belong to root, and ends",
    "nats-owner": "gives the server's volume to the server's user, and ends",
    "postgres": "its entry point prepares the data as root, then becomes `postgres`",
}
"""Who begins as root, and why."""


class Compose:
    """One project of the file that users start, with books, names and ports of its own."""

    def __init__(self, directory: Path, exchanges: Sequence[str] = ("exchange",)) -> None:
        self.api_port, self.password = free_port(), secrets.token_urlsafe(16)
        self.healthy_after_s = 0.0
        self.settings: dict[str, str] = {}
        self._project = f"tickbus-test-{secrets.token_hex(4)}"
        # Whoever compares the books looks into those of the exchange; nobody else needs that.
        self._exchanges = {name: free_port() for name in exchanges}
        ports = {
            name: {"ports": [f"127.0.0.1:{port}:8090"]} for name, port in self._exchanges.items()
        }
        self._override = directory / "override.json"
        self._override.write_text(json.dumps({"services": ports}))

    def __call__(
        self,
        *arguments: str,
        timeout_s: float = COMMAND_S,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What `docker compose` prints. Raises AssertionError with its last words if it fails."""
        command = ("docker", "compose", "-p", self._project, "-f", "docker-compose.yml")
        # No setting of whoever runs this: what a clean clone does is to be seen.
        variables = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("TICKBUS_", "POSTGRES_", "OTEL_", "COMPOSE_"))
        }  # fmt: skip
        variables |= {
            "TICKBUS_API_PORT": str(self.api_port), "TICKBUS_ADMIN_PASSWORD": self.password,
            "COMPOSE_DISABLE_ENV_FILE": "1", **self.settings, **(environment or {}),
        }  # fmt: skip
        ended = subprocess.run(
            [*command, "-f", str(self._override), *arguments], cwd=ROOT, env=variables,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s,
            check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{arguments}: {ended.stdout[-8_000:]}"
        return ended.stdout

    def up(self) -> None:
        """Build and fetch what is missing, then start it; notes how long the latter took."""
        self("build", timeout_s=BUILD_S)
        self("pull", "--ignore-buildable", "--policy", "missing")
        began = time.monotonic()
        self("up", "--wait", "--wait-timeout", "180")
        self.healthy_after_s = time.monotonic() - began

    def desk(self, venue: str = "", exchange: str = "exchange") -> Desk:
        """The admin, who sees the ledger of one exchange too."""
        port = self._exchanges[exchange]
        desk = Desk(f"http://127.0.0.1:{self.api_port}", f"http://127.0.0.1:{port}", venue)
        desk.log_in("admin", self.password)
        return desk

    def containers(self) -> dict[str, Any]:
        """What the engine says of each container, by service; of a second one `<service>-2`."""
        ids = self("ps", "--all", "--quiet").split()
        told = subprocess.run(
            ["docker", "inspect", *ids], capture_output=True, timeout=30, check=True
        )
        found: dict[str, Any] = {}
        for each in json.loads(told.stdout):
            labels = each["Config"]["Labels"]
            name = labels["com.docker.compose.service"]
            number = labels["com.docker.compose.container-number"]
            found[name if number == "1" else f"{name}-{number}"] = each
        return found

    def kill(self, *names: str) -> None:
        """End their processes by force, as a crash would, and wait until they are healthy again.

        A kill by way of the engine is a wish to have them ended: it starts none again.
        """
        before = self.containers()
        for name in names:
            assert before[name]["State"]["Pid"], f"{name} does not run"
            os.kill(before[name]["State"]["Pid"], signal.SIGKILL)

        def are_back() -> bool:
            now = self.containers()
            return all(
                now[name]["RestartCount"] > before[name]["RestartCount"]
                and now[name]["State"].get("Health", {}).get("Status") == "healthy"
                for name in names
            )

        wait_for(f"{', '.join(names)} to be healthy again", are_back, 120)

    @contextmanager
    def running(self) -> Iterator["Compose"]:
        """Up and healthy; in the end nothing of it is left."""
        try:
            self.up()
            yield self
        finally:
            self._down()

    def _down(self) -> None:
        try:
            self("down", "--volumes", "--timeout", "20")
        except AssertionError as error:
            # That of ours stays, with nobody on it.
            if LOST_COUNT not in str(error):
                raise
            assert not self("ps", "--all", "--quiet").strip(), "all of it has ended"

    @contextmanager
    def still(self, name: str) -> Iterator[None]:
        """The processes of one service stand still.

        Not by way of the engine, whose freezer gives up on a busy machine.
        """
        pids = wait_for(f"every process of {name}", lambda: self._pids(name))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _pids(self, name: str) -> list[int]:
        # One that is just being started again has 0, which for a signal means ourselves.
        pids: list[int] = [
            each["State"]["Pid"]
            for each in self.containers().values()
            if each["Config"]["Labels"]["com.docker.compose.service"] == name
        ]
        return pids if all(pids) else []


def judge_image(name: str, container: Any) -> None:
    """Ours are small, and run as nobody in particular."""
    told = subprocess.run(
        ["docker", "image", "inspect", container["Image"]],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    (image,) = json.loads(told.stdout)
    assert image["Size"] < IMAGE_BYTES_MAX, name
    assert image["Config"]["User"] == container["Config"]["User"] == "10001:10001", name


def judge_container(name: str, container: Any) -> None:
    """It may do no more than it must, whoever made its image."""
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"], name
    assert host["CapDrop"] == ["ALL"], name
    assert bool(host["CapAdd"]) <= (name in ROOTS), name
    assert "no-new-privileges:true" in host["SecurityOpt"], name
    assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0, name
    as_root = container["Config"]["User"] in ("", "0:0")
    assert as_root == (name in ROOTS), name
    pid = container["State"]["Pid"]
    if pid:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        (users,) = re.findall(r"^Uid:(.*)$", status, re.MULTILINE)
        assert "0" not in users.split(), f"{name} runs as root"
