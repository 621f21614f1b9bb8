"""A whole platform with its kill switch, under load, on which things are made to happen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nats
from nats.aio.client import Client
from scrapes import Sample, scrape

from tickbus import subjects
from tickbus_embedded import EmbeddedNats, EmbeddedPostgres, free_port
from tickbus_testkit.processes import PlatformProcesses, ServiceProcess
from tickbus_testkit.story import Desk
from tickbus_testkit.users import NEIGHBOR, Users

ROOT = Path(__file__).parents[2]
TOKEN = "a-token"
START_S = 120.0


class Stage:
    """The platform, its servers, and whoever acts on them."""

    def __init__(
        self, directory: Path, broker: EmbeddedNats, postgres: EmbeddedPostgres, users: Users,
        configs: Sequence[Path], further: Sequence[str], weight: int,
    ) -> None:  # fmt: skip
        self.directory = directory
        self._servers: dict[str, EmbeddedNats | EmbeddedPostgres] = {
            "nats": broker, "postgres": postgres,
        }  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._nats = broker
        self.users = users
        exchange = ("--orders-per-10s", "100000", "--weight-per-minute", str(weight))
        self.platform = PlatformProcesses(
            directory, broker.url, postgres.dsn, configs, 7, exchange, users, further
        )
        port = free_port()
        own = {"TICKBUS_KILL_TOKEN": TOKEN, "TICKBUS_METRICS_PORT": str(port)}
        environment = {**self.platform.environment, **users.environment("killswitch"), **own}
        self.processes = dict(self.platform.processes)
        self.processes["killswitch"] = ServiceProcess("killswitch", directory, environment, port)
        self.desk = Desk(self.platform.api_url, self.platform.exchange_url, "sim")

    def start(self) -> None:
        """Start everything and wait until it is ready."""
        for process in self.processes.values():
            process.start()
        for process in self.processes.values():
            process.until_ready(START_S)

    def stop(self) -> None:
        """End everything; strategies first, the exchanges last."""
        for name in ("killswitch", *self.platform.stop_order):
            self.processes[name].stop()

    def replace(self, name: str, command: Sequence[str]) -> None:
        """Have `command` run as that service; before the start."""
        old = self.processes[name]
        port = int(old.health_url.rpartition(":")[2])
        new = ServiceProcess(name, self.directory, old.environment, port, command=command)
        self.processes[name] = self.platform.processes[name] = new

    def restart(self, name: str, **environment: str) -> None:
        """Kill a process and start it again, with `environment` over its own."""
        process = self.processes[name]
        process.kill()
        process.environment.update(environment)
        process.start().until_ready(START_S)

    def ready(self) -> None:
        """Wait until everybody is ready again; who has ended is started, as in production."""
        for process in self.processes.values():
            if not process.lives():
                process.start()
        for process in self.processes.values():
            process.until_ready(START_S)

    def stop_server(self, name: str) -> None:
        """End `nats` or `postgres`; call it from another thread than the server's."""
        self._do(self._servers[name].stop())

    def start_server(self, name: str) -> None:
        """Start it again, where it was and with what it kept."""
        self._do(self._servers[name].start())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    def scrape(self) -> dict[Sample, float]:
        """What every process exports now."""
        return scrape(self.processes.values())

    def kill(self) -> int:
        """Use the kill switch; the HTTP status of its answer."""
        url = f"{self.processes['killswitch'].health_url}/kill"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.post(url, headers=headers, json={"reason": "a test"}, timeout=150).status_code

    def exchange(self, path: str, method: str = "POST", **body: Any) -> Any:
        """Have the exchange do something; raises httpx.HTTPStatusError when it does not."""
        url = f"{self.platform.exchange_url}/admin/{path}"
        return httpx.request(method, url, json=body, timeout=60).raise_for_status().json()

    def cancel_by_hand(self) -> None:
        """Cancel at the exchange what rests there, as its owner does on the venue's own page."""
        for order in self.desk.ledger_of_the_exchange()["orders"]:
            if order["status"] == "NEW":
                names = {"symbol": order["symbol"], "orderId": str(order["orderId"])}
                with contextlib.suppress(httpx.HTTPStatusError):  # it has ended meanwhile
                    self.exchange("orders", "DELETE", **names)

    def api(self, method: str, path: str, **body: Any) -> Any:
        """Ask the gateway; raises httpx.HTTPStatusError for a refusal."""
        url = f"{self.platform.api_url}/api/v1/{path}"
        body = {"reason": "a test", **body}
        return httpx.request(method, url, json=body, timeout=60).raise_for_status().json()

    def limit_the_stream(self, bytes_max: int) -> None:
        """Give the ORDERS stream a limit, as the operator does."""

        async def limit(client: Client) -> None:
            js = client.jetstream(timeout=30)
            config = (await js.stream_info(subjects.ORDERS_STREAM)).config
            await js.update_stream(config.evolve(max_bytes=bytes_max))

        asyncio.run(self._at_the_bus(limit))

    def publish(self, subject: str, payload: bytes) -> None:
        """Store a message in the ORDERS stream, as whoever got hold of a login would."""

        async def say(client: Client) -> None:
            await client.jetstream(timeout=30).publish(subject, payload)

        asyncio.run(self._at_the_bus(say))

    async def _at_the_bus(self, act: Callable[[Client], Awaitable[None]]) -> None:
        login = self.users.login(NEIGHBOR)
        client = await nats.connect(self._nats.url, user=login.user, password=login.password)
        try:
            await act(client)
        finally:
            await client.close()


@asynccontextmanager
async def a_stage(
    directory: Path,
    configs: Sequence[Path],
    further: Sequence[str] = (),
    replaced: Mapping[str, Sequence[str]] | None = None,
    weight: int = 1_000_000,
) -> AsyncIterator[Stage]:
    """Everything runs with all permissions on; `weight` is what the exchange takes in a minute."""
    users = Users()
    async with (
        EmbeddedNats(directory / "nats", accounts=users.accounts) as broker,
        EmbeddedPostgres(directory / "pg") as postgres,
    ):
        stage = Stage(directory, broker, postgres, users, configs, further, weight)
        for name, command in (replaced or {}).items():
            stage.replace(name, command)
        try:
            await asyncio.to_thread(stage.start)
            yield stage
        finally:
            await asyncio.to_thread(stage.stop)
