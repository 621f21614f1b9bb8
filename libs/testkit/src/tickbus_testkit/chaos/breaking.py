"""Everything that a run does to the bus, the database and the exchanges."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.chaos.schedule import Blow
from tickbus_testkit.processes import PlatformProcesses

EXCHANGE_S = 120.0
Act = Callable[[str, float], Coroutine[Any, Any, None]]
"""Of which exchange, for how many seconds."""


class Breaking:
    """`strike` carries out one blow, and returns when it is over."""

    def __init__(
        self, platform: PlatformProcesses, nats: EmbeddedNats, postgres: EmbeddedPostgres,
        http: httpx.AsyncClient, seed: int,
    ) -> None:  # fmt: skip
        self._platform = platform
        self._nats = nats
        self._postgres = postgres
        self._http = http
        self._seed = seed
        self._rng = random.Random(seed)
        names = ("nats", "postgres", *platform.exchange_urls)
        self._one_at_a_time = {name: asyncio.Lock() for name in names}
        self._faults: dict[str, dict[str, Any]] = {name: {} for name in platform.exchange_urls}
        self._acts: dict[str, Act] = {
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
            "busy": self._be_busy,
            "funding": self._fund,
            "transfer": self._transfer,
            "liquidation": self._liquidate,
        }

    async def strike(self, blow: Blow) -> None:
        """Do it; for its time, where it has one."""
        await self._acts[blow.what](blow.where, blow.lasts_s)

    # -- processes ---------------------------------------------------------------------------------

    async def _break_exchange(self, where: str, seconds: float) -> None:
        exchange = self._platform[where]
        async with self._one_at_a_time[where]:
            await asyncio.to_thread(exchange.kill)
            await asyncio.sleep(seconds)
            exchange.start()
            await asyncio.to_thread(exchange.until_ready, EXCHANGE_S)

    async def _break_nats(self, _: str, seconds: float) -> None:
        await self._restart("nats", self._nats, seconds)

    async def _break_postgres(self, _: str, seconds: float) -> None:
        await self._restart("postgres", self._postgres, seconds)

    async def _restart(
        self, name: str, server: EmbeddedNats | EmbeddedPostgres, seconds: float
    ) -> None:
        async with self._one_at_a_time[name]:  # two blows may follow closely; it has to be up first
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await server.wait()
            await asyncio.sleep(seconds)
            await server.start()

    # -- an exchange that misbehaves ---------------------------------------------------------------

    async def _disconnect(self, where: str, _: float) -> None:
        await self._post(where, "disconnect")

    async def _spoil_wire(self, where: str, seconds: float) -> None:
        rates = dict.fromkeys(("drop", "duplicate", "reorder", "truncate", "corrupt"), 0.02)
        await self._faulty(where, rates, seconds)

    async def _spoil_answers(self, where: str, seconds: float) -> None:
        """Orders are taken and never answered, or nobody knows whether they were; books are cut."""
        await self._faulty(where, {"lose_answer": 0.1, "unknown": 0.1, "cut": 0.5}, seconds)

    async def _spoil_events(self, where: str, seconds: float) -> None:
        rates = dict.fromkeys(("drop_user", "duplicate_user", "reorder_user"), 0.05)
        await self._faulty(where, rates, seconds)

    async def _answer_with_errors(self, where: str, seconds: float) -> None:
        """5xx and refusals, some of which leave open whether the request was carried out."""
        await self._faulty(where, {"server_error": 0.1, "refuse": 0.1}, seconds)

    async def _delay(self, where: str, seconds: float) -> None:
        """Answers and user events come late, answers sometimes after they were given up."""
        late = {"delay": 0.3, "delay_ms": 500, "delay_jitter_ms": 3_000}
        late |= {"delay_user_ms": 300, "delay_user_jitter_ms": 700}
        await self._faulty(where, late, seconds)

    async def _outage(self, where: str, seconds: float) -> None:
        await self._post(where, "outage", {"seconds": max(1, round(seconds))})

    async def _silence(self, where: str, seconds: float) -> None:
        """The user stream is open, and says nothing; then it ends, as the venue says."""
        await self._faulty(where, {"silent_user": True}, seconds)
        await self._faulty(where, {"terminate_user": 0.2}, 1.0)

    async def _be_busy(self, where: str, seconds: float) -> None:
        """The three kinds of 503 of futures, of which one leaves open what was done."""
        kinds = ("futures_unknown", "futures_unavailable", "futures_throttled")
        await self._faulty(where, dict.fromkeys(kinds, 0.1), seconds)

    async def _faulty(self, where: str, faults: dict[str, Any], seconds: float) -> None:
        current = self._faults[where]
        current |= faults  # two may overlap
        await self._post(where, "faults", {"seed": self._seed, **current})
        await asyncio.sleep(seconds)
        for kind in faults:
            current.pop(kind, None)
        await self._post(where, "faults", current)

    # -- what a venue does by itself ---------------------------------------------------------------

    async def _fund(self, where: str, _: float) -> None:
        rate = self._rng.choice(("0.0003", "-0.0002", "0.00007"))
        await self._post(where, "funding", {"rate": rate})

    async def _transfer(self, where: str, _: float) -> None:
        cents = self._rng.randint(-50_000, 50_000) or 1
        await self._post(where, "futures/transfer", {"amount": f"{cents / 100:.2f}"})

    async def _liquidate(self, where: str, _: float) -> None:
        """Take away a position, if there is one, as the venue does when the margin is gone."""
        async with self._one_at_a_time[where]:
            answer = await self._http.get(self._url(where, "ledger"))
        ledger = answer.raise_for_status().json()
        held = [s for s, p in ledger["futures"]["positions"].items() if float(p["quantity"])]
        if held:
            body = {"symbol": self._rng.choice(held)}
            await self._post(where, "futures/liquidate", body, may_be_late=True)

    def _url(self, where: str, path: str) -> str:
        return f"{self._platform.exchange_urls[where]}/admin/{path}"

    async def _post(
        self, where: str, path: str, body: dict[str, Any] | None = None, *,
        may_be_late: bool = False,
    ) -> None:  # fmt: skip
        async with self._one_at_a_time[where]:  # it may be down for a moment
            answer = await self._http.post(self._url(where, path), json=body)
        if not (may_be_late and answer.status_code == 400):  # say: it is closed already
            answer.raise_for_status()
