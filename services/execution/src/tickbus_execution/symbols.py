"""Instruments that nobody configured and the account has to do with all the same.

Somebody traded there by hand, or before the configuration changed. What the venue reports of them
waits until the venue has said what the symbol is, and then enters the books like everything else.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tickbus.backoff import delays_s
from tickbus.portfolio import assets
from tickbus.runtime import Context
from tickbus.subjects import token
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.reports import Reports
from tickbus_execution.venue import SymbolLearned
from tickbus_execution.wire import UNREADABLE

KEPT_MAX = 1_000
"""Reports on symbols that are not known yet; past that one goes to the quarantine, with its bytes.
What it said is then found by looking at the account."""

NO_SUCH_SYMBOL = -1121
log = logging.getLogger("tickbus.execution")


class Symbols:
    """Names symbols; `again` is called with each event that waited for the name of its symbol."""

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, core: ExecutionCore, reports: Reports,
        context: Context, again: Callable[[dict[str, Any], bytes], None],
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._calls = calls
        self._core = core
        self._reports = reports
        self._context = context
        self._again = again
        self._learned: dict[str, str] = {}
        self._hopeless: set[str] = set()
        self._kept: dict[str, list[tuple[dict[str, Any], bytes]]] = {}

    @property
    def foreign(self) -> dict[str, str]:
        """The instruments that were learned, with their symbols."""
        return {name: symbol for symbol, name in self._learned.items()}

    def name_of(self, symbol: str) -> str | None:
        """The instrument that the venue spells `symbol`; None while nobody has described it."""
        return self._core.instrument_of(symbol) or self._learned.get(symbol)

    def instrument_of(self, symbol: str) -> str | None:
        """As `name_of`, for the user stream.

        A symbol with reports that wait stays unknown, so that no later report overtakes them.
        """
        return None if symbol in self._kept else self.name_of(symbol)

    def keep(self, symbol: str, event: dict[str, Any], payload: bytes) -> None:
        """Have `event` wait for the name of its symbol, which is asked for."""
        telemetry = self._context.telemetry
        telemetry.error("report_of_unknown_symbol")
        kept = self._kept.get(symbol)
        if kept is None:
            log.warning("report on %s, which is not configured: asking what it is", symbol)
            kept = self._kept[symbol] = []
            self._context.spawn(self._resolve(symbol), f"symbol {symbol}")
        if sum(map(len, self._kept.values())) < KEPT_MAX:
            kept.append((event, payload))
        else:
            error = ValueError(f"{KEPT_MAX} reports wait already for the names of their symbols")
            self._context.quarantine(f"report on {symbol}", payload, error)

    async def learn(self, symbol: str) -> str | None:
        """Ask the venue what `symbol` is; None when it says that there is none such.

        Raises what `Calls.call` raises, and UNREADABLE.
        """
        known = self.name_of(symbol)
        if known is not None or symbol in self._hopeless:
            return known
        name = await self._ask(symbol)
        if name is None:
            self._hopeless.add(symbol)
            log.error("the venue says of %s nothing that could be its name", symbol)
            return None
        self._learned[symbol] = name
        now = self._context.clock.now_ns()
        self._reports.put([SymbolLearned(now, now, name, symbol)])
        log.warning("%s is %s: it is in the books from now on, as external", symbol, name)
        return name

    async def _ask(self, symbol: str) -> str | None:
        try:
            body = await self._calls.call(self._protocol.limits(symbol))
        except VenueRefused as error:
            if error.refusal.code == NO_SUCH_SYMBOL:
                return None
            raise
        name = self._protocol.read_instrument(body, symbol)
        if name is None:
            return None
        token(name)
        assets(name)
        return name

    async def _resolve(self, symbol: str) -> None:
        problem = ValueError(f"the venue lists no {symbol}")
        for delay_s in delays_s(0.25, 60.0):
            try:
                if await self.learn(symbol) is not None:
                    for event, payload in self._kept.pop(symbol):
                        self._again(event, payload)
                    return
                break
            except (VenueRefused, TimeoutError, ConnectionError) as error:
                log.warning("what %s is, is not known yet: %s", symbol, error)
            except UNREADABLE as error:
                problem = ValueError(f"{symbol} cannot be named: {error!r}")
                break
            await asyncio.sleep(delay_s)
        for _, payload in self._kept.pop(symbol):
            self._context.quarantine(f"report on {symbol}", payload, problem)
