"""Kills and breaks a platform under load, by a seed, and compares its books with the venue's.

`python -m tickbus_testkit.chaos --minutes 5 --seed 1` runs the whole platform against the simulated
exchange on NATS and Postgres of its own, in a temporary directory, on loopback only. Whatever dies
is started again, as Compose or Kubernetes would; nothing else is mended. At the end the faults
stop, the strategies are stopped in order, and every order, fill, fee, balance and position of ours
must be the exchange's, to the last digit.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.processes import SERVICES, PlatformProcesses
from tickbus_testkit.story import Desk
from tickbus_testkit.users import Users

KILL_EVERY_S = 8.5
FAULT_EVERY_S = 17.0
PAUSE_EVERY_S = 25.0
OUTAGE_S = 120.0
"""For how long the database is away, once, in a run that is long enough for it."""
OUTAGE_NEEDS_S = 240.0
RESTART_S = 0.2
"""What a supervisor takes to notice that a process is gone."""
READY_S = 40.0
SETTLE_S = 60.0
LOOK_S = 0.05
QUIET_S = 6.0
"""No fault begins in the first and the last seconds: it would not meet the load."""
FAULTS = (
    "answers", "nats", "disconnect", "postgres", "events", "wire", "exchange", "errors", "delays",
    "outage", "silence",
)  # fmt: skip
Say = Callable[[str], None]


class Blow(NamedTuple):
    """One thing that goes wrong, `at_s` after the load began, for `lasts_s` where that matters."""

    at_s: float
    what: str
    lasts_s: float = 0.0


def schedule(seed: int, seconds: float) -> list[Blow]:
    """What goes wrong when; the same for the same seed and time."""
    rng = random.Random(seed)
    blows: list[Blow] = []
    for every_s, kinds in (
        (KILL_EVERY_S, [f"kill {name}" for name in SERVICES]),
        (FAULT_EVERY_S, list(FAULTS)),
        # Stands still and wakes up later, without knowing of it.
        (PAUSE_EVERY_S, [f"pause {name}" for name in SERVICES]),
    ):
        count = max(1, int((seconds - 2 * QUIET_S) / every_s))
        # Each once before any comes again: a short run meets all of them, too.
        drawn = [kind for _ in range(count // len(kinds) + 1) for kind in _shuffled(rng, kinds)]
        for number in range(count):
            at_s = QUIET_S + (number + rng.random()) * (seconds - 2 * QUIET_S) / count
            blows.append(Blow(round(at_s, 2), drawn[number], round(rng.uniform(0.5, 4.0), 2)))
    if seconds >= OUTAGE_NEEDS_S:
        at_s = QUIET_S + rng.random() * (seconds - OUTAGE_S - 2 * QUIET_S)
        blows.append(Blow(round(at_s, 2), "postgres", OUTAGE_S))
    return sorted(blows)


def _shuffled(rng: random.Random, kinds: Sequence[str]) -> list[str]:
    return rng.sample(list(kinds), len(kinds))


@dataclass
class Report:
    """What a run did and what came of it; `differences` must be empty."""

    seed: int
    seconds: float
    kills: int = 0
    faults: int = 0
    pauses: int = 0
    orders: int = 0
    fills: int = 0
    orders_per_s: float = 0.0
    recovery_median_s: float = 0.0
    recovery_max_s: float = 0.0
    differences: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether the books are equal."""
        return not self.differences


class Chaos:
    """One run; `directory` keeps logs and stores, `config` is laid over the platform's own."""

    def __init__(
        self, seed: int, seconds: float, directory: Path, configs: Sequence[Path], say: Say
    ) -> None:
        self._report = Report(seed, seconds)
        self._seconds = seconds
        self._say = say
        self._directory = directory
        self._configs = configs
        self._users = Users()
        self._nats = EmbeddedNats(directory / "nats", accounts=self._users.accounts)
        self._postgres = EmbeddedPostgres(directory / "postgres")
        self._breaking = {name: asyncio.Lock() for name in ("nats", "postgres", "exchange")}
        self._wanted: set[str] = set()
        self._faults: dict[str, Any] = {}
        self._fell: dict[str, float] = {}
        self._recoveries: list[float] = []
        self._platform: PlatformProcesses
        self._http = httpx.AsyncClient(timeout=5.0)
        self._acts: dict[str, Callable[[float], Coroutine[Any, Any, None]]] = {
            "nats": self._break_nats,
            "postgres": self._break_postgres,
            "exchange": self._break_exchange,
            "disconnect": self._disconnect,
            "wire": self._spoil_wire,
            "answers": self._spoil_answers,
            "events": self._spoil_events,
            "errors": self._answer_with_errors,
            "delays": self._delay,
            "outage": self._outage,
            "silence": self._silence,
        }

    async def run(self) -> Report:
        """Start, load, break, settle, compare. Raises AssertionError when it does not come up."""
        async with self._nats, self._postgres:
            logs = self._directory / "logs"
            logs.mkdir()
            self._platform = PlatformProcesses(
                logs, self._nats.url, self._postgres.dsn, self._configs, self._report.seed,
                exchange=("--intensity", "8", "--orders-per-10s", "100000",
                          "--weight-per-minute", "1000000"),
                users=self._users,
            )  # fmt: skip
            keeper: asyncio.Task[None] | None = None
            try:
                for process in self._platform.processes.values():
                    process.start()
                for process in self._platform.processes.values():
                    await asyncio.to_thread(process.until_ready)
                self._wanted = set(SERVICES)
                keeper = asyncio.create_task(self._keep())
                self._say(f"up; {self._seconds:g} s of load, seed {self._report.seed}")
                await self._break_things(keeper)
                await self._settle(keeper)
            finally:
                self._wanted = set()
                if keeper is not None:
                    keeper.cancel()
                for name in self._platform.stop_order:
                    await asyncio.to_thread(self._platform[name].stop)
                await self._http.aclose()
        return self._report

    # -- what goes wrong ---------------------------------------------------------------------------

    async def _break_things(self, keeper: asyncio.Task[None]) -> None:
        began = time.monotonic()
        acts: set[asyncio.Task[None]] = set()
        for blow in schedule(self._report.seed, self._seconds):
            await asyncio.sleep(max(0.0, began + blow.at_s - time.monotonic()))
            self._check(keeper)
            if blow.what.startswith("kill "):
                self._kill(blow.what.removeprefix("kill "))
                continue
            self._say(f"{time.monotonic() - began:6.1f} s  {blow.what} for {blow.lasts_s:g} s")
            if blow.what.startswith("pause "):
                pausing = self._pause(blow.what.removeprefix("pause "), blow.lasts_s)
                acts.add(asyncio.create_task(pausing))
                continue
            self._report.faults += 1
            acts.add(asyncio.create_task(self._acts[blow.what](blow.lasts_s)))
        await asyncio.sleep(max(0.0, began + self._seconds - time.monotonic()))
        await asyncio.gather(*acts)
        self._check(keeper)

    @staticmethod
    def _check(keeper: asyncio.Task[None]) -> None:
        if keeper.done():
            keeper.result()  # raises what ended it

    def _kill(self, name: str) -> None:
        if name in self._fell:
            return  # it is down already
        self._report.kills += 1
        self._say(f"          kill {name}")
        self._platform[name].kill()

    async def _pause(self, name: str, seconds: float) -> None:
        if name in self._fell:
            return
        self._report.pauses += 1
        with self._platform[name].paused():
            await asyncio.sleep(seconds)

    async def _break_exchange(self, seconds: float) -> None:
        exchange = self._platform["exchange"]
        async with self._breaking["exchange"]:
            await asyncio.to_thread(exchange.kill)
            await asyncio.sleep(seconds)
            exchange.start()
            await asyncio.to_thread(exchange.until_ready)

    async def _break_nats(self, seconds: float) -> None:
        await self._restart("nats", self._nats, seconds)

    async def _break_postgres(self, seconds: float) -> None:
        await self._restart("postgres", self._postgres, seconds)

    async def _restart(
        self, name: str, server: EmbeddedNats | EmbeddedPostgres, seconds: float
    ) -> None:
        async with self._breaking[name]:  # two blows may follow closely; it has to be up first
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await server.wait()
            await asyncio.sleep(seconds)
            await server.start()

    async def _disconnect(self, _: float) -> None:
        await self._post("/admin/disconnect")

    async def _spoil_wire(self, seconds: float) -> None:
        rates = dict.fromkeys(("drop", "duplicate", "reorder", "truncate", "corrupt"), 0.02)
        await self._faulty(rates, seconds)

    async def _spoil_answers(self, seconds: float) -> None:
        """Orders are taken and never answered, or nobody knows whether they were; books are cut."""
        await self._faulty({"lose_answer": 0.1, "unknown": 0.1, "cut": 0.5}, seconds)

    async def _spoil_events(self, seconds: float) -> None:
        rates = dict.fromkeys(("drop_user", "duplicate_user", "reorder_user"), 0.05)
        await self._faulty(rates, seconds)

    async def _answer_with_errors(self, seconds: float) -> None:
        """5xx and refusals, some of which leave open whether the request was carried out."""
        await self._faulty({"server_error": 0.1, "refuse": 0.1}, seconds)

    async def _delay(self, seconds: float) -> None:
        """Answers and user events come late, answers sometimes after they were given up."""
        late = {"delay": 0.3, "delay_ms": 500, "delay_jitter_ms": 3_000}
        await self._faulty({**late, "delay_user_ms": 300, "delay_user_jitter_ms": 700}, seconds)

    async def _outage(self, seconds: float) -> None:
        await self._post("/admin/outage", {"seconds": max(1, round(seconds))})

    async def _silence(self, seconds: float) -> None:
        """The user stream is open, and says nothing; then it ends, as the venue says."""
        await self._faulty({"silent_user": True}, seconds)
        await self._faulty({"terminate_user": 0.2}, 1.0)

    async def _faulty(self, faults: dict[str, Any], seconds: float) -> None:
        self._faults |= faults  # two may overlap
        await self._post("/admin/faults", {"seed": self._report.seed, **self._faults})
        await asyncio.sleep(seconds)
        self._faults = {kind: rate for kind, rate in self._faults.items() if kind not in faults}
        await self._post("/admin/faults", self._faults)

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> None:
        async with self._breaking["exchange"]:  # it may be down for a moment
            url = f"{self._platform.exchange_url}{path}"
            (await self._http.post(url, json=body)).raise_for_status()

    # -- what is mended: processes that ended are started again ------------------------------------

    async def _keep(self) -> None:
        """As a supervisor does, for ever; measures how long each takes to be ready again."""
        while True:
            for name in self._wanted:
                process = self._platform[name]
                if name not in self._fell and not process.lives():
                    self._fell[name] = time.monotonic()
                    await asyncio.sleep(RESTART_S)
                    process.start()
                elif name in self._fell:
                    await self._look(name)
            await asyncio.sleep(LOOK_S)

    async def _look(self, name: str) -> None:
        process, took = self._platform[name], time.monotonic() - self._fell[name]
        if not process.lives():
            process.start()  # it did not like what it found: a database that is away, say
        elif await self._is_ready(process.health_url):
            del self._fell[name]
            self._recoveries.append(took)
            self._say(f"          {name} ready again after {took:.1f} s")
        elif took > READY_S + self._seconds:
            raise AssertionError(f"{name} does not get ready again: {process.tail()}")

    async def _is_ready(self, url: str) -> bool:
        try:
            return (await self._http.get(f"{url}/readyz", timeout=1.0)).status_code == 200
        except httpx.HTTPError:
            return False

    # -- what must hold ----------------------------------------------------------------------------

    async def _settle(self, keeper: asyncio.Task[None]) -> None:
        """End the load in order, wait until nothing moves, and compare."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            self._check(keeper)
            states = [await self._is_ready(self._platform[n].health_url) for n in SERVICES]
            if all(states) and not self._fell:
                break
            if time.monotonic() > deadline:
                late = [n for n, ready in zip(SERVICES, states, strict=True) if not ready]
                tails = "\n".join(f"{n}: {self._platform[n].tail()}" for n in late)
                self._report.differences.append(f"not ready again: {', '.join(late)}\n{tails}")
                return
            await asyncio.sleep(0.2)
        self._wanted.discard("strategy")
        await asyncio.to_thread(self._platform["strategy"].stop)
        desk = Desk(self._platform.api_url, self._platform.exchange_url)
        await asyncio.to_thread(self._compare, desk, deadline)
        report, theirs = self._report, desk.ledger_of_the_exchange()
        report.orders, report.fills = len(theirs["orders"]), len(theirs["fills"])
        report.orders_per_s = round(report.orders / self._seconds, 1)
        if self._recoveries:
            report.recovery_median_s = round(statistics.median(self._recoveries), 2)
            report.recovery_max_s = round(max(self._recoveries), 2)

    def _compare(self, desk: Desk, deadline: float) -> None:
        found = ["never compared"]
        while found and time.monotonic() < deadline:
            try:
                desk.cancel_all()
                found = desk.differences()
            except (AssertionError, httpx.HTTPError) as error:
                found = [repr(error)]
            time.sleep(0.5)
        self._report.differences += found


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Run from the command line; 0 when the books are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--config", action="append", required=True, type=Path)
    parser.add_argument("--keep", type=Path, help="keep logs and stores in this directory")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = arguments.keep
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        directory.mkdir(parents=True, exist_ok=True)
        chaos = Chaos(
            arguments.seed, arguments.minutes * 60, directory, arguments.config,
            _say,
        )  # fmt: skip
        report = asyncio.run(chaos.run())
    sys.stdout.write(json.dumps(msgspec.to_builtins(report), indent=2) + "\n")
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
