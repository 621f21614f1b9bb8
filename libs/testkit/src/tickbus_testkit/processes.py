"""Services as the processes they are in production, for tests that talk to them from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tickbus_embedded import free_port
from tickbus_testkit.users import Users

READY_S = 90.0
STOP_S = 30.0
LOG_TAIL = 3_000


class ServiceProcess:
    """`python -m tickbus_<name>`, or `command`, with a log file; `health_port` answers /readyz.

    A name with a dash, such as `feed-sim2`, is another process of the service before the dash. It
    knows no channel of whoever runs the tests: nobody is to be told what goes wrong in one.
    """

    def __init__(
        self, name: str, logs: Path, environment: Mapping[str, str], health_port: int,
        arguments: tuple[str, ...] = (), command: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.service = name.partition("-")[0]
        self.health_url = f"http://127.0.0.1:{health_port}"
        self._log = logs / f"{name}.log"
        around = {k: v for k, v in os.environ.items() if not k.startswith("TICKBUS_ALERTS_")}
        self.environment = {**around, **environment}
        own = (sys.executable, "-m", f"tickbus_{self.service}")
        self._command = [*(command or own), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "ServiceProcess":
        """Start it; returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self.environment, stdout=log, stderr=log
            )
        return self

    def until_ready(self, timeout_s: float = READY_S) -> "ServiceProcess":
        """Wait for /readyz. Raises AssertionError with the end of its log."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.lives(), f"{self.name} ended: {self.tail()}"
            try:
                if httpx.get(f"{self.health_url}/readyz", timeout=10).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{self.name} is not ready after {timeout_s:g} s: {self.tail()}")

    def until_alive(self, timeout_s: float = READY_S) -> int:
        """Wait for /healthz; what /readyz says then. Raises AssertionError with its log's end."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.lives(), f"{self.name} ended: {self.tail()}"
            try:
                if httpx.get(f"{self.health_url}/healthz", timeout=2).status_code == 200:
                    return httpx.get(f"{self.health_url}/readyz", timeout=2).status_code
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{self.name} is not alive after {timeout_s:g} s: {self.tail()}")

    def lives(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def metrics(self) -> str:
        """What /metrics says now."""
        return httpx.get(f"{self.health_url}/metrics", timeout=30).raise_for_status().text

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still meanwhile, without knowing of it; for a few seconds at most."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)  # of no consequence if it was killed

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and SIGKILL after 30 s; the exit code."""
        return self._signal(signal.SIGTERM)

    def tail(self) -> str:
        """The end of its log."""
        return self.log()[-LOG_TAIL:]

    def log(self) -> str:
        """All that it logged, each time that it ran."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _signal(self, number: int) -> int:
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(STOP_S)


STOP_ORDER = (
    "alerts",
    "strategy",
    "api",
    "router",
    "risk",
    "execution",
    "history",
    "ledger",
    "book",
    "feed",
    "exchange",
)
SERVICES = ("feed", "book", "risk", "execution", "ledger", "history", "strategy", "api", "alerts")


class PlatformProcesses:
    """The simulated exchange and every service, against given NATS and Postgres servers.

    `exchange` are further arguments of the simulated exchange. `users` are those of the NATS
    server; each service connects as its own. `further` are the names of the configured `venues`:
    each gets an exchange of its own (its URLs are those of config/venues/two-exchanges.yaml), a
    feed and an execution, and all together a router.
    """

    def __init__(
        self, logs: Path, nats_url: str, postgres_dsn: str, configs: Sequence[Path], seed: int = 1,
        exchange: Sequence[str] = (), users: Users | None = None, further: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._users = users
        api_port = free_port()
        ports = {name: free_port() for name in ("exchange", *(f"exchange-{v}" for v in further))}
        self.exchange_url = f"http://127.0.0.1:{ports['exchange']}"
        self.exchange_urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.api_url = f"http://127.0.0.1:{api_port}"
        self.environment = {
            "TICKBUS_NATS_URL": nats_url,
            "TICKBUS_POSTGRES_DSN": postgres_dsn,
            "TICKBUS_CONFIG": os.pathsep.join(map(str, configs)),
            "TICKBUS_VENUE_API_KEY": "sim-key",
            "TICKBUS_VENUE_API_SECRET": "sim-secret",
            "TICKBUS_API_PORT": str(api_port),
            "TICKBUS_API_ACCESS": "local",  # the tests are at this machine
            "TICKBUS_LOG_FORMAT": "json",
        }
        self.processes: dict[str, ServiceProcess] = {}
        for number, (name, port) in enumerate(ports.items()):
            self.environment |= _urls(f"TICKBUS_VENUE{number + 1 if number else ''}", port)
            state = logs / name
            state.mkdir(exist_ok=True)
            own = ("--port", str(port), "--seed", str(seed + number), "--state-dir", str(state))
            self.processes[name] = ServiceProcess(name, logs, {}, port, (*own, *exchange))
        for name in SERVICES:
            self.processes[name] = self._service(name, logs)
        for venue in further:
            for name in (f"feed-{venue}", f"execution-{venue}"):
                self.processes[name] = self._service(name, logs, {"TICKBUS_VENUE": venue})
        if further:
            self.processes["router"] = self._service("router", logs)

    def _service(
        self, name: str, logs: Path, own: Mapping[str, str] | None = None
    ) -> ServiceProcess:
        port = free_port()
        environment = {**self.environment, **(own or {}), "TICKBUS_METRICS_PORT": str(port)}
        if self._users is not None:
            environment |= self._users.environment(name.partition("-")[0])
        return ServiceProcess(name, logs, environment, port)

    @property
    def stop_order(self) -> list[str]:
        """Every process, alerts and strategies first and the exchanges last."""
        places = {name: place for place, name in enumerate(STOP_ORDER)}
        return sorted(self.processes, key=lambda name: places[name.partition("-")[0]])

    def __getitem__(self, name: str) -> ServiceProcess:
        return self.processes[name]

    @contextmanager
    def running(self) -> Iterator["PlatformProcesses"]:
        """All of it ready; stopped afterwards in `stop_order`, each with an exit code of 0."""
        try:
            for process in self.processes.values():
                process.start()
            for process in self.processes.values():
                process.until_ready()
            yield self
        finally:
            codes = {name: self.processes[name].stop() for name in self.stop_order}
        wrong = {name: code for name, code in codes.items() if code}
        tails = "\n".join(f"{name}: {self.processes[name].tail()}" for name in wrong)
        assert not wrong, f"exit codes {wrong}\n{tails}"


def _urls(prefix: str, port: int) -> dict[str, str]:
    return {
        f"{prefix}_REST_URL": f"http://127.0.0.1:{port}",
        f"{prefix}_WS_URL": f"ws://127.0.0.1:{port}",
        f"{prefix}_WS_API_URL": f"ws://127.0.0.1:{port}/ws-api/v3",
    }
