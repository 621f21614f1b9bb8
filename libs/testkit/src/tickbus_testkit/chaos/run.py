"""One run: start the platform, break it under load, let it settle, compare its books."""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.chaos.breaking import Breaking
from tickbus_testkit.chaos.keeping import READY_S, Keeper, Say
from tickbus_testkit.chaos.modes import Mode
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import PlatformProcesses
from tickbus_testkit.story import Desk, differences
from tickbus_testkit.users import Users

START_S = 120.0
SETTLE_S = 240.0
"""For so long what is down may take to be ready after the load, and then the books to be equal."""
VERIFY_S = 180.0
LOAD_ON_S = 180.0
"""So much longer at most the load goes on where there were not enough orders or fills yet."""
DIFFERENCES_MAX = 200
SERVERS = ("nats", "postgres")
"""What there is one of, however many exchanges there are."""


@dataclass
class Report:
    """What a run did and what came of it; `differences` must be empty.

    `load` is the machine's load average over the last minute, at the beginning and the end.
    """

    mode: str
    seed: int
    seconds: float
    kills: int = 0
    faults: int = 0
    pauses: int = 0
    acts: int = 0
    orders: int = 0
    fills: int = 0
    orders_per_s: float = 0.0
    payments: int = 0
    wholes: int = 0
    recovery_median_s: float = 0.0
    recovery_max_s: float = 0.0
    load: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether the books are equal."""
        return not self.differences


class Chaos:
    """One run of `mode`; `directory` keeps logs and stores, `root` is the repository's.

    The load lasts `seconds`, and longer on a machine that takes longer for so many orders and fills
    as are wanted at the least.
    """

    def __init__(
        self, mode: Mode, seed: int, seconds: float, directory: Path, root: Path, say: Say, *,
        orders_min: float = 0, fills_min: float = 0,
    ) -> None:  # fmt: skip
        self._report = Report(mode.name, seed, seconds)
        self._mode = mode
        self._configs: Sequence[Path] = mode.paths(root)
        self._seconds = seconds
        self._loaded_s = seconds
        self._orders_min, self._fills_min = orders_min, fills_min
        self._say = say
        self._directory = directory
        self._users = Users()
        self._nats = EmbeddedNats(
            directory / "nats", accounts=self._users.accounts, start_timeout_s=PATIENCE_S
        )
        self._postgres = EmbeddedPostgres(directory / "postgres", start_timeout_s=PATIENCE_S)
        self._platform: PlatformProcesses
        self._keeper: Keeper
        self._http = httpx.AsyncClient(timeout=60.0)

    async def run(self) -> Report:
        """Start, load, break, settle, compare. Raises AssertionError when it does not come up."""
        self._report.load.append(round(os.getloadavg()[0], 1))
        async with self._nats, self._postgres:
            logs = self._directory / "logs"
            logs.mkdir()
            self._platform = PlatformProcesses(
                logs, self._nats.url, self._postgres.dsn, self._configs, self._report.seed,
                exchange=self._mode.exchange, users=self._users, further=self._mode.further,
            )  # fmt: skip
            keeping: asyncio.Task[None] | None = None
            try:
                for process in self._platform.processes.values():
                    process.start()
                for process in self._platform.processes.values():
                    await asyncio.to_thread(process.until_ready, START_S)
                self._keeper = Keeper(
                    self._platform, self._mode.services, self._http, READY_S + self._seconds,
                    self._say,
                )  # fmt: skip
                keeping = asyncio.create_task(self._keeper.run())
                self._say(f"up; {self._seconds:g} s of load, seed {self._report.seed}")
                await self._break_things(keeping)
                await self._settle(keeping)
            finally:
                if keeping is not None:
                    keeping.cancel()
                for name in self._platform.stop_order:
                    await asyncio.to_thread(self._platform[name].stop)
                await self._http.aclose()
        self._report.load.append(round(os.getloadavg()[0], 1))
        return self._report

    # -- what goes wrong ---------------------------------------------------------------------------

    async def _break_things(self, keeping: asyncio.Task[None]) -> None:
        seed, report = self._report.seed, self._report
        breaking = Breaking(self._platform, self._nats, self._postgres, self._http, seed)
        began = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        for blow in self._mode.schedule(seed, self._seconds):
            await asyncio.sleep(max(0.0, began + blow.at_s - time.monotonic()))
            _check(keeping)
            verb, _, name = blow.what.partition(" ")
            if verb == "kill":
                self._kill(name)
                continue
            several = bool(self._mode.further) and not name and blow.what not in SERVERS
            where = f" of {blow.where}" if several else ""
            at_s = time.monotonic() - began
            self._say(f"{at_s:6.1f} s  {blow.what}{where} for {blow.lasts_s:g} s")
            if verb == "pause":
                under_way.add(asyncio.create_task(self._pause(name, blow.lasts_s)))
                continue
            if blow.what in self._mode.acts:
                report.acts += 1
            else:
                report.faults += 1
            under_way.add(asyncio.create_task(breaking.strike(blow)))
        await asyncio.sleep(max(0.0, began + self._seconds - time.monotonic()))
        await asyncio.gather(*under_way)
        await self._load_on(keeping)
        self._loaded_s = time.monotonic() - began

    async def _load_on(self, keeping: asyncio.Task[None]) -> None:
        """Return once there was a load that is worth the name, or it is late."""
        deadline = time.monotonic() + LOAD_ON_S
        desks = self._desks()
        while time.monotonic() < deadline:
            _check(keeping)
            with contextlib.suppress(httpx.HTTPError):
                orders, fills = await asyncio.to_thread(_counted, desks)
                if orders > self._orders_min and fills > self._fills_min:
                    return
            await asyncio.sleep(1.0)

    def _kill(self, name: str) -> None:
        """Kill it, or the next that lives where it is down already: on a slow machine, say."""
        names = self._mode.services
        place = names.index(name)
        living = [n for n in names[place:] + names[:place] if not self._keeper.is_down(n)]
        if not living:
            return
        name = living[0]
        self._report.kills += 1
        self._say(f"          kill {name}")
        self._platform[name].kill()

    async def _pause(self, name: str, seconds: float) -> None:
        if self._keeper.is_down(name):
            return
        self._report.pauses += 1
        with self._platform[name].paused():
            await asyncio.sleep(seconds)

    # -- what must hold ----------------------------------------------------------------------------

    async def _settle(self, keeping: asyncio.Task[None]) -> None:
        """End the load in order, wait until nothing moves, and compare."""
        deadline = time.monotonic() + SETTLE_S
        while late := await self._keeper.late():
            _check(keeping)
            if time.monotonic() > deadline:
                tails = "\n".join(f"{name}: {self._platform[name].tail()}" for name in late)
                self._report.differences.append(f"not ready again: {', '.join(late)}\n{tails}")
                return
            await asyncio.sleep(0.2)
        del self._keeper.wanted["strategy"]
        await asyncio.to_thread(self._platform["strategy"].stop)
        desks = self._desks()
        await asyncio.to_thread(self._compare, desks)
        await asyncio.to_thread(self._verify)
        await asyncio.to_thread(self._measure, desks)

    def _desks(self) -> list[Desk]:
        url, exchanges = self._platform.api_url, self._platform.exchange_urls
        several = bool(self._mode.further)
        return [
            Desk(url, exchanges[exchange], venue if several else "")
            for venue, exchange in self._mode.venues.items()
        ]

    def _compare(self, desks: Sequence[Desk]) -> None:
        deadline = time.monotonic() + SETTLE_S
        found = ["never compared"]
        while found and time.monotonic() < deadline:
            try:
                desks[0].cancel_all()
                found = differences(desks, self._mode.compare)
            except (AssertionError, httpx.HTTPError) as error:
                found = [repr(error)]
            time.sleep(0.5)
        more = len(found) - DIFFERENCES_MAX
        self._report.differences += found[:DIFFERENCES_MAX]
        self._report.differences += [f"and {more} more"] if more > 0 else []

    def _verify(self) -> None:
        """Have the audit log folded once more: the books must be what it gives."""
        command = [sys.executable, "-m", "tickbus_cli", "audit", "verify"]
        done = subprocess.run(
            [*command, "--dsn", self._postgres.dsn], capture_output=True, text=True,
            timeout=VERIFY_S, check=False,
        )  # fmt: skip
        if done.returncode:
            self._report.differences.append(f"audit: {done.stdout}{done.stderr}")

    def _measure(self, desks: Sequence[Desk]) -> None:
        report = self._report
        report.orders, report.fills = _counted(desks)
        ours = desks[0].books()
        report.payments = len(ours.payments)
        report.wholes = sum(order["venue"] == "smart" for order in ours.orders)
        report.orders_per_s = round(report.orders / self._loaded_s, 1)
        if self._keeper.recoveries:
            report.recovery_median_s = round(statistics.median(self._keeper.recoveries), 2)
            report.recovery_max_s = round(max(self._keeper.recoveries), 2)


def _counted(desks: Sequence[Desk]) -> tuple[int, int]:
    """Orders and fills at all exchanges."""
    ledgers = [desk.ledger_of_the_exchange() for desk in desks]
    books = [book for ledger in ledgers for book in (ledger, ledger["futures"])]
    return sum(len(book["orders"]) for book in books), sum(len(book["fills"]) for book in books)


def _check(keeping: asyncio.Task[None]) -> None:
    if keeping.done():
        keeping.result()  # raises what ended it
