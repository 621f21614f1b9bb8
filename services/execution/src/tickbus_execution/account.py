"""Looking at an account as it stands: working orders, balances, what was traded and paid lately."""

import itertools
from collections.abc import Sequence
from typing import Any

from tickbus.clock import Clock
from tickbus.events import Event, ReconciliationCause
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.payments import PAYMENTS_PAGE
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.symbols import Symbols
from tickbus_execution.venue import ForeignFill, OrderReport, Payment, VenueSnapshot
from tickbus_execution.wire import MS_NS, entries

PAYMENTS_KEPT_MS = 89 * 86_400_000
"""The venue tells of nothing that was paid longer ago."""
OVERLAP_MS = 60_000
"""How far each look reaches back before the one before: the venue's lists may lag."""


class Account:
    """Asks through `calls` about `instruments`, as far as `core` knows them."""

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, core: ExecutionCore,
        symbols: Symbols, instruments: Sequence[str], clock: Clock,
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._calls = calls
        self._core = core
        self._symbols = symbols
        self._instruments = frozenset(instruments)
        self._clock = clock
        self._cursor: dict[str, str] | None = None
        self._looked_ms: dict[str, int] = {}

    async def look(self, cause: ReconciliationCause) -> list[Event]:
        """Working orders, balances, fills since the last look, and why it was looked.

        Not since the newest fill known: one that was missed may be older than one that was not.
        Raises what `Calls.call` raises: half a look is none.
        """
        for name in sorted(self._core.strange() - self._instruments):
            await self._symbols.learn(self._protocol.symbol_of(name))
        ts_asked = self._clock.now_ns()
        cursor = dict(self._core.fill_cursor)
        since = cursor if self._cursor is None else self._cursor
        looked_ms: dict[str, int] = {}
        open_orders: list[OrderReport] = []
        fills: list[ForeignFill] = []
        for name, symbol in self._known():
            await self._learn_triggered(name, symbol)
            open_orders += await self._open_orders(name, symbol)
            looked_ms[name] = self._calls.now_ms()
            fills += await self._fills_since(name, symbol, since.get(name))
        asked = self._calls.now_ms() * MS_NS
        body = await self._calls.call(self._protocol.account)
        now = self._clock.now_ns()
        if await self._learn_held(body):
            return await self.look(cause)  # with what it missed
        account = self._protocol.read_account(body, now, asked, self._symbols.name_of)
        payments, until = await self.payments()
        snapshot = VenueSnapshot(
            now, now, tuple(open_orders), tuple(fills), cause, payments, until, ts_asked
        )  # fmt: skip
        self._cursor, self._looked_ms = cursor, looked_ms
        # The very first look: opening balances come before anything that changes them.
        return [snapshot, account] if self._core.ts_opened else [account, snapshot]

    def _known(self) -> list[tuple[str, str]]:
        configured = self._core.instrument_ids() & self._instruments
        symbols = {name: self._core.symbol(name) for name in configured}
        return sorted({**self._symbols.foreign, **symbols}.items())

    async def _learn_held(self, body: dict[str, Any]) -> bool:
        """Name the symbols that are held and that nobody described; whether there were any."""
        strange = [
            symbol
            for symbol in self._protocol.symbols_held(body)
            if self._symbols.name_of(symbol) is None
        ]
        found = [await self._symbols.learn(symbol) for symbol in strange]
        return any(name is not None for name in found)

    async def payments(self) -> tuple[tuple[Payment, ...], int]:
        """What moved balances beside fills since the last look, and until when that is (venue, ns).

        Raises as `look`. The venue's list may lag: each time it is read from a minute before.
        """
        until_ms = self._calls.now_ms()
        opened_ms = self._core.ts_opened // MS_NS
        if not opened_ms or self._protocol.payments(0, 0, 1) is None:
            return (), 0
        since_ms = max(opened_ms, self._core.ts_payments // MS_NS - OVERLAP_MS)
        since_ms = max(since_ms, until_ms - PAYMENTS_KEPT_MS) + 1
        found: list[Payment] = []
        while since_ms <= until_ms:
            end_ms = min(until_ms, since_ms + self._protocol.trades_window_ms - 1)
            found += await self._payments_of(since_ms, end_ms)
            since_ms = end_ms + 1
        return tuple(found), until_ms * MS_NS

    async def _payments_of(self, start_ms: int, end_ms: int) -> list[Payment]:
        found: list[Payment] = []
        for page in itertools.count(1):
            ask = self._protocol.payments(start_ms, end_ms, page)
            assert ask is not None  # `payments` has asked
            bodies = entries(await self._calls.call(ask))
            read = (self._protocol.read_payment(b, self._symbols.name_of) for b in bodies)
            found += [payment for payment in read if payment is not None]
            if len(bodies) < PAYMENTS_PAGE:
                break
        return found

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
            # It says whose some fills are: without it those of our own might be taken for others'.
            if any(order.order_type.has_trigger for order in self._core.orders.living()):
                raise
            return
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
