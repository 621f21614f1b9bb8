"""The supervisor of a run: what ends is started again, as Compose or Kubernetes would."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx

from tickbus_testkit.processes import PlatformProcesses

RESTART_S = 0.2
"""What a supervisor takes to notice that a process is gone."""
READY_S = 90.0
LOOK_S = 0.05
LOOK_TIMEOUT_S = 5.0
Say = Callable[[str], None]


class Keeper:
    """Watches `wanted` for ever, and measures how long each takes to be ready again.

    One that is not ready `patience_s` after it fell raises AssertionError.
    """

    def __init__(
        self, platform: PlatformProcesses, wanted: Sequence[str], http: httpx.AsyncClient,
        patience_s: float, say: Say,
    ) -> None:  # fmt: skip
        self.wanted = dict.fromkeys(wanted)
        self.recoveries: list[float] = []
        self._platform = platform
        self._http = http
        self._patience_s = patience_s
        self._say = say
        self._fell: dict[str, float] = {}

    def is_down(self, name: str) -> bool:
        """Whether it has fallen and is not ready again."""
        return name in self._fell

    async def run(self) -> None:
        """Look, start, measure."""
        while True:
            for name in list(self.wanted):
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
        elif await self._is_ready(name):
            del self._fell[name]
            self.recoveries.append(took)
            self._say(f"          {name} ready again after {took:.1f} s")
        elif took > self._patience_s:
            raise AssertionError(f"{name} does not get ready again: {process.tail()}")

    async def late(self) -> list[str]:
        """Those of the wanted that are not ready."""
        states = {name: await self._is_ready(name) for name in self.wanted}
        return [name for name, ready in states.items() if not ready or name in self._fell]

    async def _is_ready(self, name: str) -> bool:
        url = f"{self._platform[name].health_url}/readyz"
        try:
            return (await self._http.get(url, timeout=LOOK_TIMEOUT_S)).status_code == 200
        except httpx.HTTPError:
            return False
