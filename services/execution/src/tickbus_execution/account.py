"""Looking at a Binance account as it stands: working orders, balances, what was traded lately."""

from collections.abc import Sequence
from typing import Any

from tickbus.clock import Clock
from tickbus.events import Event
from tickbus_execution import binance
from tickbus_execution.calls import Calls
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import ForeignFill, OrderReport, VenueSnapshot

TRADES_PAGE = 1000


class Account:
    """Asks through `calls` about `instruments`, as far as `core` knows them."""

    def __init__(
        self, calls: Calls, core: ExecutionCore, instruments: Sequence[str], clock: Clock
    ) -> None:
        self._calls = calls
        self._core = core
        self._instruments = frozenset(instruments)
        self._clock = clock
        self._cursor: dict[str, str] | None = None

    async def look(self) -> list[Event]:
        """Working orders, balances, fills since the last look.

        Not since the newest fill known: one that was missed may be older than one that was not.
        Raises what `Calls.call` raises.
        """
        cursor = dict(self._core.fill_cursor)
        since = cursor if self._cursor is None else self._cursor
        open_orders: list[OrderReport] = []
        fills: list[ForeignFill] = []
        for name in sorted(self._core.instrument_ids() & self._instruments):
            symbol = self._core.symbol(name)
            listed = await self._calls.call("openOrders.status", {"symbol": symbol}, signed=True)
            now = self._clock.now_ns()
            open_orders += [binance.order_report(body, name, now) for body in listed]
            fills += await self._fills_since(name, symbol, since.get(name))
        asked = self._clock.now_ns() + self._calls.offset_ms * binance.MS_NS
        body = await self._calls.call("account.status", {}, signed=True)
        now = self._clock.now_ns()
        account = binance.account_report(body, now, asked)
        snapshot = VenueSnapshot(now, now, tuple(open_orders), tuple(fills))
        self._cursor = cursor
        # The very first look: opening balances come before anything that changes them.
        return [snapshot, account] if self._core.ts_opened else [account, snapshot]

    async def _fills_since(self, name: str, symbol: str, cursor: str | None) -> list[ForeignFill]:
        params: dict[str, Any] = {"symbol": symbol, "limit": TRADES_PAGE}
        if cursor:
            params["fromId"] = int(cursor) + 1
        elif self._core.ts_opened:
            params["startTime"] = self._core.ts_opened // binance.MS_NS + 1
        else:
            return []  # what was traded before our books were opened is in the opening balances
        found: list[ForeignFill] = []
        while True:
            page = await self._calls.call("myTrades", params, signed=True)
            found += [binance.foreign_fill(body, name) for body in page]
            if len(page) < TRADES_PAGE:
                return found
            params = {"symbol": symbol, "limit": TRADES_PAGE, "fromId": int(page[-1]["id"]) + 1}
