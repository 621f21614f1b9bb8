"""A platform as processes of this machine: start, watch, stop, in the order that loses nothing."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tickbus import permissions, scheduling
from tickbus.bus import Bus, BusError, NatsBus
from tickbus.codec import MalformedMessage
from tickbus.events import StrategyTerms
from tickbus.ledger_api import PortfolioAnswer
from tickbus.ledger_client import LedgerRefused
from tickbus_cli import accessing, cancelling, desired
from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError
from tickbus_cli.further import ROUTER, STRATEGY, service_of, strategy_of, venue_of
from tickbus_cli.logins import Logins
from tickbus_cli.monitor import Snapshot, observe, portfolio_of
from tickbus_cli.profile import (
    ALERTS,
    BUS_SECRETS,
    KILL_TOKEN,
    ExchangeSection,
    Ports,
    Profile,
    child_environment,
    scheduling_of,
)
from tickbus_cli.saying import Say
from tickbus_cli.supervisor import Child, Crash, ready_when
from tickbus_embedded import EmbeddedError, EmbeddedNats, EmbeddedPostgres
from tickbus_embedded.ports import require_free

SAY_WAITING_S = 4.0
READY_TIMEOUT_S = 15.0
"""After that a service that still waits (for a venue, say) is shown as waiting, and we go on."""
STOP_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 10.0
HOST = "127.0.0.1"

T = TypeVar("T")


class Stopped(Exception):
    """Somebody asked to stop, or a child crashed, while something was being waited for."""


class Server(Protocol):
    """An embedded server."""

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        ...

    async def start(self) -> None:
        """Start it and wait until it answers."""
        ...

    async def stop(self) -> None:
        """Stop it in order."""
        ...

    async def wait(self) -> int:
        """Wait for its end."""
        ...


@dataclass(kw_only=True)
class Plan:
    """All that is decided before anything starts."""

    profile: Profile
    ports: Ports
    files: tuple[Path, ...]
    data: DataDir
    run_id: str
    environment: Mapping[str, str]
    seed: int | None = None
    venue: str = ""
    """The main one; the further ones are in `ports`."""
    access: str = "login"
    """Who may use the gateway: `login` or `local`."""
    strategies: tuple[str, ...] = (permissions.ANY,)
    """The ids that the strategies' user may speak for."""
    configured: Mapping[str, StrategyTerms] = field(default_factory=dict)
    """What the configuration, or the command line, says of each strategy."""
    asked: str = ""
    """The part of the command line that says so; "" where it is the configuration alone."""
    exchange: ExchangeSection = field(default_factory=ExchangeSection)
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Replaces how a service is started; for tests."""


class Platform:
    """The servers and services of one run; `stop` may be asked for at any time."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self.plan = plan
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.crashed = asyncio.Event()
        self.crash: Crash | None = None
        self.children: dict[str, Child] = {}
        self.bus: NatsBus | None = None
        self.first_password = ""
        """Of the admin that this start made; "" when there was one."""
        self.books_before: PortfolioAnswer | None = None
        self.last = Snapshot(time.monotonic())
        self.left_working: tuple[str, ...] = ()
        self._say = say
        self._servers: dict[str, Server] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._ending = False

    # -- start -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until it is ready. Raises CliError, EmbeddedError, Stopped."""
        plan = self.plan
        self.require_ports()
        place = partial(scheduling.take, scheduling_of(self.plan.environment, "nats"))
        people = Logins.draw(plan.data.credentials, plan.strategies, plan.ports.strategies)
        nats = EmbeddedNats(
            plan.data.nats, port=plan.ports.nats, before=place, accounts=people.accounts
        )
        postgres = EmbeddedPostgres(plan.data.postgres)
        await self.unless_stopped(
            _both(self._serve("nats", nats), self._serve("postgres", postgres))
        )
        if plan.profile.simulated:
            for exchange in self._exchanges():
                await self.unless_stopped(self._launch(exchange))
                await self.unless_stopped(self._ready(exchange))
        self.bus = await self.unless_stopped(
            NatsBus.connect(nats.url, "tickbus-up", people.operator)
        )
        shared = {
            "TICKBUS_CONFIG": os.pathsep.join(str(file) for file in plan.files),
            "TICKBUS_NATS_URL": nats.url,
            "TICKBUS_RUN_ID": plan.run_id,
            "PYTHONUNBUFFERED": "1",
        }
        if not any(plan.environment.get(name) for name in (KILL_TOKEN, f"{KILL_TOKEN}_FILE")):
            shared[KILL_TOKEN] = secrets.token_urlsafe(24)
        gateways = {accessing.VARIABLE: plan.access}
        if plan.access == "login":
            self.first_password = await accessing.first_password(self.bus, plan.environment)
            if self.first_password:
                gateways[accessing.PASSWORD] = self.first_password
        for name in plan.ports.names:
            own = people.environment(name if strategy_of(name) else service_of(name))
            if name == "api":
                own = {**own, **gateways}
            self.children[name] = self._service(name, shared, postgres.dsn, own)
        first = [self.children[n] for n in plan.ports.names if service_of(n) != STRATEGY]
        self._say(f"  {', '.join(child.name for child in first)}: starting")
        for child in first:
            await self.unless_stopped(self._launch(child))
        await self.unless_stopped(
            asyncio.gather(self._strategies(nats.url), *(self._ready(child) for child in first))
        )

    async def _strategies(self, nats_url: str) -> None:
        # Before they act, risk checks, the ledger writes, and it is noted where the books stood.
        assert self.bus is not None
        for name in ("risk", "ledger"):
            await self._settled(self.children[name])
        self.books_before = await portfolio_of(self.bus)
        plan = self.plan
        await desired.settle(self.bus, plan.configured, plan.asked, time.time_ns(), self._say)
        strategies = [c for name, c in self.children.items() if service_of(name) == STRATEGY]
        self._say(f"  {', '.join(child.name for child in strategies)}: starting")
        for child in strategies:
            await self._launch(child)
        self._publish(nats_url)
        await asyncio.gather(*map(self._ready, strategies))

    async def _settled(self, child: Child) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_TIMEOUT_S):
                await child.until_ready()

    def require_ports(self) -> None:
        """Refuse to start when a port is taken. Raises CliError naming port, holder and remedy."""
        for name, port in self.plan.ports.all(self.plan.profile.simulated).items():
            try:
                require_free(name, HOST, port)
            except EmbeddedError as error:
                offset = self.plan.ports.offset + 100
                raise CliError(
                    error.message,
                    f"Stop that process, or use other ports for everything: --port-offset {offset}"
                    + (", or for the API alone: TICKBUS_API_PORT=8180." if name == "api" else "."),
                ) from None

    async def _serve(self, name: str, server: Server) -> None:
        self._say(f"  {name}: starting")
        began = time.monotonic()
        self._servers[name] = server
        await server.start()
        self._watch(self._server_ends(name, server))
        self._say(f"  {name}: ready in {time.monotonic() - began:.1f} s")

    def _exchanges(self) -> Iterator[Child]:
        """One per venue, each with an account and, by its seed, prices of its own."""
        plan = self.plan
        yield self._exchange("exchange", plan.ports.exchange, plan.seed)
        for number, venue in enumerate(plan.ports.further, 1):
            seed = (1 if plan.seed is None else plan.seed) + number
            yield self._exchange(f"exchange-{venue.name}", venue.exchange_port, seed)

    def _exchange(self, name: str, port: int, seed: int | None) -> Child:
        plan = self.plan
        state = plan.data.state(name)
        options = ["--port", str(port), "--state-dir", str(state)]
        options += plan.exchange.options()
        if seed is not None:
            options += ["--seed", str(seed)]
        private = (*BUS_SECRETS, ALERTS)
        environment = {k: v for k, v in plan.environment.items() if not k.startswith(private)}
        for key in ("TICKBUS_EXCHANGE_API_KEY", "TICKBUS_EXCHANGE_API_SECRET"):
            environment.pop(key, None)  # the keys that execution gets are the built-in ones
        state.mkdir(exist_ok=True)
        self._say(f"  {name}: starting")
        return self._child(name, options, environment, ready_when(port, "/api/v3/ping"))

    def _service(
        self, name: str, shared: Mapping[str, str], dsn: str, own: Mapping[str, str]
    ) -> Child:
        plan = self.plan
        environment = child_environment(
            plan.environment, name, plan.profile, plan.ports, shared, dsn, own,
            venue_of(name) or plan.venue,
        )  # fmt: skip
        return self._child(name, [], environment, ready_when(plan.ports.metrics(name), "/readyz"))

    def _child(
        self,
        name: str,
        options: list[str],
        environment: Mapping[str, str],
        ready: Callable[[], Awaitable[str]],
    ) -> Child:
        # -P: a file of the working directory hides no module, whatever a user called it.
        default = (sys.executable, "-P", "-m", f"tickbus_{service_of(name)}", *options)
        command = self.plan.commands.get(name, default)
        return Child(name, command, environment, self.plan.data.log(name), ready)

    async def _launch(self, child: Child) -> None:
        self.children[child.name] = child
        await child.start()
        self._watch(self._child_ends(child))

    async def _ready(self, child: Child) -> None:
        said = ""
        for patience_s in (SAY_WAITING_S, READY_TIMEOUT_S - SAY_WAITING_S):
            try:
                async with asyncio.timeout(patience_s):
                    await child.until_ready()
            except TimeoutError:
                if child.waiting_for != said:
                    said = child.waiting_for
                    self._say(f"  {child.name}: waiting for {said} (log: {child.log})")
            else:
                self._say(f"  {child.name}: ready in {child.ready_in_s:.1f} s")
                return

    def _publish(self, nats_url: str) -> None:
        plan = self.plan
        plan.data.publish(
            {
                "pid": os.getpid(),
                "profile": plan.profile.name,
                "run_id": plan.run_id,
                "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "nats_url": nats_url,
                "api_url": self.api_url,
                "exchange_url": f"http://{HOST}:{plan.ports.exchange}"
                if plan.profile.simulated
                else "",
                "exchange_urls": {
                    venue.name: f"http://{HOST}:{venue.exchange_port}"
                    for venue in plan.ports.further
                    if venue.exchange_port
                },
                "config": [str(file) for file in plan.files],
                "services": {
                    name: {"pid": child.pid, "log": str(child.log)}
                    for name, child in self.children.items()
                },
            }
        )

    @property
    def waiting(self) -> list[str]:
        """Services that were not ready when the start had waited long enough for them."""
        return [child.name for child in self.children.values() if child.waiting_for]

    @property
    def api_url(self) -> str:
        """Where the gateway is."""
        return f"http://{HOST}:{self.plan.ports.api}"

    # -- watch -----------------------------------------------------------------------------------

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """What `work` returns. Raises Stopped when the platform is to end before that."""
        task = asyncio.ensure_future(work)
        signals = [asyncio.ensure_future(e.wait()) for e in (self.stopping, self.crashed)]
        try:
            await asyncio.wait([task, *signals], return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not self.crashed.is_set():
                return task.result()
        finally:
            for pending in (task, *signals):
                pending.cancel()
            await asyncio.gather(task, *signals, return_exceptions=True)
        raise Stopped

    async def look(self) -> Snapshot:
        """The platform as it is now; kept for the summary."""
        if self.bus is not None:
            self._remember(await observe(self.bus, self.plan.ports.names))
        return self.last

    async def _last_words(self) -> None:
        # The summary is made of them, so who runs and is late is asked again.
        names = self.plan.ports.names
        wanted = [n for n in names if (child := self.children.get(n)) and child.running]
        if self.bus is not None:
            self._remember(await observe(self.bus, names, () if self.crash else wanted))

    def _remember(self, snapshot: Snapshot) -> None:
        # A service that has been stopped keeps its last word.
        services = self.last.services | snapshot.services if self._ending else snapshot.services
        portfolio = snapshot.portfolio or (self.last.portfolio if self._ending else None)
        self.last = replace(snapshot, services=services, portfolio=portfolio)

    def _watch(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _child_ends(self, child: Child) -> None:
        crash = await child.ended()
        if crash is not None:
            self._crashed(crash)

    async def _server_ends(self, name: str, server: Server) -> None:
        status = await server.wait()
        if not self._ending:
            log = self.plan.data.path / name
            self._crashed(Crash(name, status, "", log))

    def _crashed(self, crash: Crash) -> None:
        if self.crash is None and not self._ending:
            self.crash = crash
            self.crashed.set()

    # -- stop ------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Strategies first, then our orders, then the services in reverse, then the servers.

        When `hurry` is set everything is killed at once.
        """
        task = asyncio.create_task(self._stop())
        hurry = asyncio.create_task(self.hurry.wait())
        try:
            await asyncio.wait([task, hurry], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._say("hurrying: every process is killed; working orders were left alone")
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        finally:
            hurry.cancel()
            await self._kill()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _stop(self) -> None:
        children = self.children.items()
        strategies = [c for name, c in children if service_of(name) == STRATEGY and c.running]
        if strategies:
            self._say("stopping: strategies first")
            await self._last_words()
            self._ending = True
            await asyncio.gather(*map(self._end, strategies))
        if self._can_cancel():
            self._say("  cancelling working orders")
            assert self.bus is not None
            outcome = await cancelling.cancel_working(
                self.bus, self.plan.run_id, CANCEL_TIMEOUT_S if self.crash is None else 5.0
            )
            self.left_working = outcome.left
            self._say(f"  {outcome.sentence}")
        elif self.bus is not None and "execution" in self.children:
            await self._say_what_works(self.bus)
        self._ending = True
        await self._last_words()
        running = [child for child in self.children.values() if child.running]
        if running:
            self._say(f"  stopping {', '.join(child.name for child in reversed(running))}")
        for child in reversed(running):
            await self._end(child)
        await self._disconnect()
        for name in ("postgres", "nats"):
            server = self._servers.get(name)
            if server is not None and server.pid is not None:
                self._say(f"  stopping {name}")
                await server.stop()

    async def _say_what_works(self, bus: Bus) -> None:
        # Without risk and execution nothing can be cancelled; a start recovers and goes on.
        try:
            self.left_working = await cancelling.working(bus)
        except (BusError, MalformedMessage, LedgerRefused):
            self._say("  whether orders are still working at the venue is not known: look there")
            return
        if self.left_working:
            listed = ", ".join(self.left_working[:10])
            self._say(f"  still working at the venue: {listed}; start again, or cancel them there")

    def _can_cancel(self) -> bool:
        # The router, too: a smart order ends when it says so.
        names = [n for n in self.plan.ports.names if service_of(n) in ("risk", "execution", ROUTER)]
        needed = [self.children.get(name) for name in names]
        return self.bus is not None and all(child and child.running for child in needed)

    async def _end(self, child: Child) -> None:
        if not await child.stop(STOP_TIMEOUT_S):
            self._say(f"  {child.name} did not stop within {STOP_TIMEOUT_S:.0f} s and was killed")

    async def _disconnect(self) -> None:
        bus: Bus | None = self.bus
        self.bus = None
        if bus is not None:
            with contextlib.suppress(BusError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await bus.close()

    async def _kill(self) -> None:
        """Whatever still runs ends now; both servers recover from that at the next start."""
        self._ending = True
        for child in self.children.values():
            child.kill()
        await self._disconnect()
        for server in self._servers.values():
            if server.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server.pid, signal.SIGQUIT)
                await server.stop()
        for watcher in list(self._watchers):
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)


async def _both(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(first)
            group.create_task(second)
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
