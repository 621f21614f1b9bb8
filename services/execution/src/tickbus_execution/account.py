"""Looking at an account as it stands: working orders, balances, what was traded lately."""

from collections.abc import Sequence

from tickbus.clock import Clock
from tickbus.events import Event, ReconciliationCause
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.venue import ForeignFill, OrderReport, VenueSnapshot
from tickbus_execution.wire import MS_NS, entries

OVERLAP_MS = 60_000
"""How far each look reaches back before the one before: the venue's lists may lag."""


class Account:
    """Asks through `calls` about `instruments`, as far as `core` knows them."""

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, core: ExecutionCore,
        instruments: Sequence[str], clock: Clock,
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._calls = calls
        self._core = core
        self._instruments = frozenset(instruments)
        self._clock = clock
        self._cursor: dict[str, str] | None = None
        self._looked_ms: dict[str, int] = {}

    async def look(self, cause: ReconciliationCause) -> list[Event]:
        """Working orders, balances, fills since the last look, and why it was looked.

        Not since the newest fill known: one that was missed may be older than one that was not.
        Raises what `Calls.call` raises: half a look is none.
        """
        cursor = dict(self._core.fill_cursor)
        since = cursor if self._cursor is None else self._cursor
        looked_ms: dict[str, int] = {}
        open_orders: list[OrderReport] = []
        fills: list[ForeignFill] = []
        for name in sorted(self._core.instrument_ids() & self._instruments):
            symbol = self._core.symbol(name)
            await self._learn_triggered(name, symbol)
            open_orders += await self._open_orders(name, symbol)
            looked_ms[name] = self._calls.now_ms()
            fills += await self._fills_since(name, symbol, since.get(name))
        asked = self._calls.now_ms() * MS_NS
        body = await self._calls.call(self._protocol.account)
        now = self._clock.now_ns()
        account = self._protocol.read_account(body, now, asked, self._core.instrument_of)
        snapshot = VenueSnapshot(now, now, tuple(open_orders), tuple(fills), cause)
        self._cursor, self._looked_ms = cursor, looked_ms
        # The very first look: opening balances come before anything that changes them.
        return [snapshot, account] if self._core.ts_opened else [account, snapshot]

    async def _open_orders(self, name: str, symbol: str) -> list[OrderReport]:
        found: list[OrderReport] = []
        for ask in self._protocol.open_orders(symbol):
            listed = entries(await self._calls.call(ask))
            now = self._clock.now_ns()
            reports = (self._protocol.read_order(body, name, now) for body in listed)
            found += [report for report in reports if report is not None]
        return found

    async def _learn_triggered(self, name: str, symbol: str) -> None:
        ask = self._protocol.triggered(symbol)
        if ask is None:
            return
        try:
            listed = await self._calls.call(ask)
        except VenueRefused:
            return  # it only says whose some fills are; who has conditional orders is told again
        for body in listed:
            self._protocol.read_order(body, name, self._clock.now_ns())

    async def _fills_since(self, name: str, symbol: str, cursor: str | None) -> list[ForeignFill]:
        if cursor:
            return await self._pages(name, symbol, int(cursor) + 1)
        if not self._core.ts_opened:
            return []  # what was traded before our books were opened is in the opening balances
        looked_ms = self._looked_ms.get(name, 0) - OVERLAP_MS
        start_ms = max(self._core.ts_opened // MS_NS + 1, looked_ms)
        window_ms = self._protocol.trades_window_ms
        found: list[ForeignFill] = []
        # A question without an end is answered for one window only, the oldest.
        while not found and start_ms + window_ms <= self._calls.now_ms():
            found += await self._window(name, symbol, start_ms, start_ms + window_ms - 1)
            start_ms += window_ms
        if not found:
            found += await self._window(name, symbol, start_ms, None)
        if not found:
            return []
        last = max(int(each.fill.fill_id) for each in found)
        return found + await self._pages(name, symbol, last + 1)

    async def _window(
        self, name: str, symbol: str, start_ms: int, end_ms: int | None
    ) -> list[ForeignFill]:
        ask = self._protocol.trades(symbol, start_ms=start_ms, end_ms=end_ms)
        page = entries(await self._calls.call(ask))
        return [self._protocol.read_trade(body, name) for body in page]

    async def _pages(self, name: str, symbol: str, from_id: int) -> list[ForeignFill]:
        found: list[ForeignFill] = []
        while True:
            page = entries(await self._calls.call(self._protocol.trades(symbol, from_id=from_id)))
            found += [self._protocol.read_trade(body, name) for body in page]
            if len(page) < self._protocol.trades_page:
                return found
            from_id = max(int(body["id"]) for body in page) + 1
