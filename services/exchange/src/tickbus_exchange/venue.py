"""The venue: engine, tape and ledger behind one door, telling observers what happened.

Consumes: orders and cancels of any account. Produces: calls of its observers, right away and in
order: reports first, then market data, so a user hears of a fill no later than the public.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from tickbus_exchange.config import ExchangeConfig
from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.matching import Engine
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Order, OrderRequest, Refusal, Report, Trade, Transfer
from tickbus_exchange.ledger import Ledger, live_order
from tickbus_exchange.tape import AggTrade, Tape

USER = "user"
"""The first user's account."""
TRADING = "TRADING"
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
        self.engine.fee_asset_rate = config.fee_asset_rate
        self.opening = {USER: config.balances} | {
            account.name: account.units() for account in config.accounts if account.name != USER
        }
        """First balances by account."""
        self.ledgers = {name: Ledger(name, funds) for name, funds in self.opening.items()}
        self.users = {name: self._open_user(name, funds) for name, funds in self.opening.items()}
        self.observers: list[Observer] = []
        self.transfer_observers: list[Callable[[Transfer], None]] = []
        self.forced_accounts: set[str] = set()
        """Crowd accounts that others close by force: what futures call liquidations."""
        self.is_forced = False
        self.statuses = dict.fromkeys(self.rules, TRADING)
        """Symbols by status; in all but TRADING only cancels are taken."""
        self.elsewhere: dict[str, Callable[[Sequence[Report]], None]] = {}
        """Who keeps the books of an account that has no ledger here."""
        self.events_total = 0
        self._own: list[Report] = []

    @property
    def user(self) -> Account:
        """The first user's account."""
        return self.users[USER]

    @property
    def ledger(self) -> Ledger:
        """The first user's ledger."""
        return self.ledgers[USER]

    def _open_user(self, name: str, balances: dict[str, int]) -> Account:
        funds = {a: 0 for r in self.rules.values() for a in (r.base, r.quote)} | balances
        account = self.engine.add_account(Account(name, funds, tracked=True))
        account.fee_asset = self.config.fee_asset
        return account

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
        self, request: OrderRequest, now_ms: int, account_id: str = USER
    ) -> tuple[Order | Refusal, list[Report]]:
        """Submit an order of a user; return it with the reports on it alone."""
        self._own = []
        result = self.submit(account_id, request, now_ms)
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

    def amend(
        self,
        account_id: str,
        symbol: str,
        order_id: int,
        quantity: int,
        now_ms: int,
        client_order_id: str,
    ) -> Order | Refusal:
        """Make an order smaller and tell the observers."""
        result = self.engine.amend(account_id, symbol, order_id, quantity, now_ms, client_order_id)
        if not isinstance(result, Refusal):
            self._tell(symbol)
        return result

    def transfer(self, account_id: str, asset: str, amount: int, now_ms: int) -> Transfer | None:
        """Deposit (`amount` above 0) or withdraw; None where the free balance is too small."""
        balance = self.users[account_id].balance(asset)
        if balance.free + amount < 0:
            return None
        balance.free += amount
        self.engine.execution_id += 1
        transfer = Transfer(
            account_id, self.engine.execution_id, asset, amount, now_ms, balance.free,
            balance.locked,
        )  # fmt: skip
        self.ledgers[account_id].move(transfer)
        for observe in self.transfer_observers:
            observe(transfer)
        return transfer

    def _tell(self, symbol: str) -> None:
        events = self.engine.drain()
        self.events_total += 1
        if events:
            trades = [e for e in events if type(e) is Trade]
            reports: list[Report] = []
            for e in events:
                if type(e) is Report:
                    keep = self.elsewhere.get(e.account_id)
                    if keep is not None:
                        keep((e,))
                    else:
                        reports.append(e)
            for report in reports:
                self.ledgers[report.account_id].apply(report)
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

    def resume(
        self,
        account_id: str,
        reports: Sequence[Report],
        transfers: Sequence[Transfer],
        initial: dict[str, int],
    ) -> None:
        """Rebuild a user's books from the journal and put live orders back into the market."""
        ledger = self.ledgers[account_id] = Ledger(account_id, initial)
        engine = self.engine
        for transfer in transfers:
            ledger.move(transfer)
            engine.execution_id = max(engine.execution_id, transfer.transfer_id)
        for report in reports:
            ledger.apply(report)
            engine.order_id = max(engine.order_id, report.order_id)
            engine.execution_id = max(engine.execution_id, report.execution_id)
            market = engine.markets[report.symbol]
            market.trade_id = max(market.trade_id, report.trade_id)
            if report.last_price:
                self.set_price(report.symbol, report.last_price)
        pairs = {r.symbol: (r.base, r.quote) for r in self.rules.values()}
        self.users[account_id] = self._open_user(account_id, ledger.holdings(pairs))
        for report in ledger.working_orders():
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
