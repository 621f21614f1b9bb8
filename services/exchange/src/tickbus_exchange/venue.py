"""The venue: engine, tape and ledger behind one door, telling observers what happened.

Consumes: orders and cancels of any account. Produces: calls of its observers, right away and in
order: reports first, then market data, so a user hears of a fill no later than the public.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tickbus_exchange.config import ExchangeConfig
from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.matching import Engine
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Order, OrderRequest, Refusal, Report, Trade
from tickbus_exchange.ledger import Ledger, live_order
from tickbus_exchange.tape import AggTrade, Tape

USER = "user"
CROWD_FUNDS = 1_000_000_000_000 * SCALE
"""What each agent owns of each asset: for all purposes without end."""


class SymbolCounters(msgspec.Struct, frozen=True):
    """Where one symbol's counters and price stand."""

    trade_id: int
    update_id: int
    agg_id: int
    last_price: int


class SavedCounters(msgspec.Struct, frozen=True):
    """Where every counter stands."""

    order_id: int
    execution_id: int
    symbols: dict[str, SymbolCounters]


class Observer(Protocol):
    """Who is told at once what happened."""

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Take reports of tracked accounts, oldest first."""

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Take the trades of one request."""

    def on_book(self, symbol: str) -> None:
        """Look at a book that may have changed."""


class Venue:
    """Orders in, trades and reports out. The caller supplies the time in ms and never awaits."""

    def __init__(self, config: ExchangeConfig) -> None:
        rules = [listing.rules for listing in config.listings]
        self.config = config
        self.rules = {r.symbol: r for r in rules}
        self.engine = Engine(rules, config.maker_fee, config.taker_fee)
        self.tapes: dict[str, Tape] = {}
        for listing in config.listings:
            self.set_price(listing.rules.symbol, listing.first_price)
        self.ledger = Ledger(USER, config.balances)
        self.user = self._open_user(config.balances)
        self.observers: list[Observer] = []
        self.forced_accounts: set[str] = set()
        """Crowd accounts that others close by force: what futures call liquidations."""
        self.is_forced = False
        self.events_total = 0
        self._own: list[Report] = []

    def _open_user(self, balances: dict[str, int]) -> Account:
        funds = {a: 0 for r in self.rules.values() for a in (r.base, r.quote)} | balances
        return self.engine.add_account(Account(USER, funds, tracked=True))

    def open_crowd_account(self, account_id: str) -> Account:
        """Open an agent's account, funded beyond any need."""
        assets = {a for r in self.rules.values() for a in (r.base, r.quote)}
        return self.engine.add_account(Account(account_id, dict.fromkeys(assets, CROWD_FUNDS)))

    def set_price(self, symbol: str, price: int) -> None:
        """Start the symbol's market at `price`."""
        market = self.engine.markets[symbol]
        market.last_price = market.average_price = price
        self.tapes[symbol] = Tape(price, self.tapes[symbol].agg_id if symbol in self.tapes else 0)

    def submit(self, account_id: str, request: OrderRequest, now_ms: int) -> Order | Refusal:
        """Send an order to the engine and tell the observers what came of it."""
        result = self.engine.submit(account_id, request, now_ms)
        self.is_forced = account_id in self.forced_accounts
        if not isinstance(result, Refusal):
            self._tell(request.symbol)
        return result

    def submit_user(
        self, request: OrderRequest, now_ms: int
    ) -> tuple[Order | Refusal, list[Report]]:
        """Submit an order of the user; return it with the reports on it alone."""
        self._own = []
        result = self.submit(USER, request, now_ms)
        own, self._own = self._own, []
        if isinstance(result, Refusal):
            return result, []
        return result, [r for r in own if r.order_id == result.order_id]

    def cancel(
        self, account_id: str, symbol: str, order_id: int, now_ms: int, cancel_id: str = ""
    ) -> Order | Refusal:
        """Cancel an order and tell the observers."""
        result = self.engine.cancel(account_id, symbol, order_id, now_ms, cancel_id)
        if not isinstance(result, Refusal):
            self._tell(symbol)
        return result

    def _tell(self, symbol: str) -> None:
        events = self.engine.drain()
        self.events_total += 1
        if events:
            trades = [e for e in events if type(e) is Trade]
            reports = [e for e in events if type(e) is Report]
            for report in reports:
                self.ledger.apply(report)
            self._own = reports
            aggregates: list[AggTrade] = []
            if trades:
                tape = self.tapes[symbol]
                aggregates = tape.add(trades)
                self.engine.markets[symbol].average_price = tape.average_price
            for observer in self.observers:
                if reports:
                    observer.on_reports(reports)
                if trades:
                    observer.on_trades(symbol, trades, aggregates)
        for observer in self.observers:
            observer.on_book(symbol)

    # -- restart -------------------------------------------------------------------------------

    def resume(self, reports: Sequence[Report], initial: dict[str, int]) -> None:
        """Rebuild the user's books from the journal and put live orders back into the market."""
        self.ledger = Ledger(USER, initial)
        engine = self.engine
        for report in reports:
            self.ledger.apply(report)
            engine.order_id = max(engine.order_id, report.order_id)
            engine.execution_id = max(engine.execution_id, report.execution_id)
            market = engine.markets[report.symbol]
            market.trade_id = max(market.trade_id, report.trade_id)
            if report.last_price:
                self.set_price(report.symbol, report.last_price)
        pairs = {r.symbol: (r.base, r.quote) for r in self.rules.values()}
        self.user = self._open_user(self.ledger.holdings(pairs))
        for report in self.ledger.working_orders():
            engine.restore(live_order(report))

    def counters(self) -> SavedCounters:
        """Return where every counter and price stands, for `skip_ids`."""
        engine = self.engine
        return SavedCounters(
            engine.order_id,
            engine.execution_id,
            {
                symbol: SymbolCounters(
                    m.trade_id, m.book.update_id, self.tapes[symbol].agg_id, m.last_price
                )
                for symbol, m in engine.markets.items()
            },
        )

    def skip_ids(self, saved: SavedCounters | None, gap: int) -> None:
        """Go on from the saved prices, every counter `gap` higher, so that no id is used twice."""
        engine = self.engine
        if saved is not None:
            engine.order_id = max(engine.order_id, saved.order_id)
            engine.execution_id = max(engine.execution_id, saved.execution_id)
        engine.order_id += gap
        engine.execution_id += gap
        for symbol, market in engine.markets.items():
            before = saved.symbols.get(symbol) if saved is not None else None
            if before is not None:
                self.set_price(symbol, before.last_price)
                market.trade_id = max(market.trade_id, before.trade_id)
                market.book.update_id = max(market.book.update_id, before.update_id)
                self.tapes[symbol].agg_id = max(self.tapes[symbol].agg_id, before.agg_id)
            market.trade_id += gap
            market.book.update_id += gap
            self.tapes[symbol].agg_id += gap
