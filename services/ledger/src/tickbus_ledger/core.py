"""The books: orders, fills, positions, balances and equity, folded from the ORDERS stream.

Consumes: every event of the order path through `fold` with its sequence; BookTop and TimerFired
through `handle`. Produces: PortfolioUpdated, SetTimer; and `take_changes`, what to write down.
Invariants: an event at or below `position` changes nothing; a fill counts once; a balance is
opening plus fills, and what the venue reports is only compared with it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from tickbus.codec import Hop
from tickbus.events import (
    AccountUpdated,
    BalanceReport,
    BookTop,
    EquityPoint,
    Event,
    OrderFilled,
    PortfolioUpdated,
    PositionRecord,
    Recovered,
    SetTimer,
    TimerFired,
)
from tickbus.order import Order, Orders, client_order_id_of
from tickbus.portfolio import Drawdown, Portfolio, Position, assets, balance_changes
from tickbus_ledger.comparison import Comparison
from tickbus_ledger.config import LedgerConfig

ZERO = Decimal(0)
FILL_IDS_MAX = 50_000
TIMER = "portfolio"

Key = tuple[str, str]


class Account(msgspec.Struct, kw_only=True):
    """One asset at one venue; times are the venue's, in ns.

    `ts_opened` is when the opening was read, 0 before; `ts_touched` that of the last fill that
    moved it.
    """

    opening: Decimal = ZERO
    ts_opened: int = 0
    reported: Decimal | None = None
    ts_reported: int = 0
    ts_touched: int = 0


class Logged(NamedTuple):
    """One event of the stream as it is kept."""

    sequence: int
    client_order_id: str
    event: Event
    hops: tuple[Hop, ...]


class Changes(msgspec.Struct, kw_only=True):
    """What was changed since the last time, to be written in one transaction."""

    position_before: int
    position: int
    events: list[Logged]
    fills: list[tuple[int, OrderFilled]]
    orders: list[tuple[int, Order]]
    positions: list[Position]
    balances: list[tuple[Key, Account, Decimal]]
    equity: list[EquityPoint]

    def __bool__(self) -> bool:
        return self.position != self.position_before or bool(self.equity)


class Books(msgspec.Struct, kw_only=True):
    """What a database holds, to go on from."""

    position: int = 0
    orders: list[tuple[int, Order]] = []
    fill_keys: list[tuple[str, str, str]] = []
    positions: list[Position] = []
    balances: list[tuple[Key, Account, Decimal]] = []
    orders_count: int = 0
    fills_count: int = 0
    drawdown: Drawdown = msgspec.field(default_factory=Drawdown)


class LedgerCore:
    """Keeps the books; see the module's first lines."""

    def __init__(self, config: LedgerConfig, instruments: Sequence[str]) -> None:
        self._config = config
        self._instruments = frozenset(instruments)
        self.load(Books())

    def load(self, books: Books) -> None:
        """Go on from `books`, forgetting everything but the market."""
        self._orders = Orders()
        self._portfolio = Portfolio()
        self._accounts: dict[Key, Account] = {}
        self._comparisons: dict[Key, Comparison] = {}
        self._opened: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._fill_keys: dict[tuple[str, str, str], None] = dict.fromkeys(books.fill_keys)
        self._tops: dict[Key, BookTop] = getattr(self, "_tops", {})
        self._orders_count, self._fills_count = books.orders_count, books.fills_count
        self._drawdown = books.drawdown
        self.position = self._written = books.position
        self._now_event = self._now_ns = self._ts_sampled = 0
        self._events: list[Logged] = []
        self._fills: list[tuple[int, OrderFilled]] = []
        self._dirty_orders: dict[str, Order] = {}
        self._dirty_positions: dict[Key, Position] = {}
        self._dirty_accounts: dict[Key, None] = {}
        self._samples: list[EquityPoint] = []
        for sequence, order in books.orders:
            self._orders.add(order)
            self._sequences[order.client_order_id] = sequence
        for position in books.positions:
            self._portfolio.positions[position.venue, position.instrument_id] = position
        for key, account, amount in books.balances:
            self._accounts[key] = account
            self._portfolio.balances[key] = amount
            # What was traded before is in the amount, no longer one by one.
            settle_ns = self._config.settle_ms * 1_000_000
            self._comparisons[key] = Comparison(settle_ns, account.ts_touched)
            if account.ts_opened:
                self._opened[key[0]] = account.ts_opened

    @property
    def pending(self) -> int:
        """Events folded and not yet taken by `take_changes`."""
        return len(self._events)

    # -- the market and the timer ------------------------------------------------------------------

    def handle(self, event: Event) -> Sequence[Event]:
        """Marks, and once per interval the portfolio."""
        if isinstance(event, BookTop):
            self._tops[event.venue, event.instrument_id] = event
            self._see(event)
        elif isinstance(event, Recovered):
            return (self._timer(event),)
        elif isinstance(event, TimerFired) and event.key == TIMER:
            self._see(event)
            self._sample()
            return (self.portfolio(), self._timer(event))
        return ()

    def _timer(self, event: Event) -> SetTimer:
        at_ns = event.ts_recv + int(self._config.portfolio_interval_s * 1e9)
        return SetTimer(event.ts_event, event.ts_recv, TIMER, at_ns)

    def _see(self, event: Event) -> None:
        self._now_event = max(self._now_event, event.ts_event)
        self._now_ns = max(self._now_ns, event.ts_recv)

    def _sample(self) -> None:
        interval_ns = int(self._config.equity_interval_s * 1e9)
        if not self.is_valued() or self._now_ns - self._ts_sampled < interval_ns:
            return
        self._ts_sampled = self._now_ns
        portfolio = self._portfolio
        self._drawdown.update(portfolio.equity(self._config.currency))
        point = EquityPoint(
            self._now_ns,
            portfolio.equity(self._config.currency),
            portfolio.net_pnl(),
            self._drawdown.drawdown,
        )
        self._samples = [*self._samples[-999:], point]  # unwritten points are bounded, too

    # -- the stream --------------------------------------------------------------------------------

    def fold(self, sequence: int, event: Any, hops: tuple[Hop, ...] = ()) -> None:
        """Take in the event at `sequence`. Raises ValueError, with nothing changed, if unsound."""
        if sequence <= self.position:
            return
        if isinstance(event, OrderFilled):
            _check_fill(event)
        self.position = sequence
        self._see(event)
        order_id = client_order_id_of(event)
        self._events.append(Logged(sequence, order_id, event, hops))
        if isinstance(event, AccountUpdated):
            self._report(event)
            return
        if isinstance(event, OrderFilled):
            self._fill(sequence, event)
        known = order_id in self._orders
        order = self._orders.fold(event)
        if order is None and not known:
            order = self._orders.get(order_id)  # a SubmitOrder creates without changing
        if order is not None:
            self._dirty_orders[order_id] = order
            if not known:
                self._sequences[order_id] = sequence
                self._orders_count += 1

    def _fill(self, sequence: int, event: OrderFilled) -> None:
        fill, key = event.fill, (event.venue, event.instrument_id)
        fill_key = (*key, fill.fill_id)
        if fill_key in self._fill_keys:
            return
        self._fill_keys[fill_key] = None
        if len(self._fill_keys) > FILL_IDS_MAX:
            del self._fill_keys[next(iter(self._fill_keys))]
        self._fills_count += 1
        self._fills.append((sequence, event))
        self._dirty_positions[key] = self._portfolio.apply(*key, fill)
        for asset, amount in balance_changes(event.instrument_id, fill):
            account = self._account((event.venue, asset))
            account.ts_touched = max(account.ts_touched, fill.ts_event)
            self._comparison((event.venue, asset)).change(fill.ts_event, amount)
            if fill.ts_event <= account.ts_opened:
                # Traded before the opening was read, and told after it: it is in there already.
                account.opening -= amount
                self._portfolio.add_opening(event.venue, {asset: -amount})

    def _report(self, event: AccountUpdated) -> None:
        if event.complete and event.venue not in self._opened:
            self._open(event)
        for balance in event.balances:
            key = (event.venue, balance.asset)
            account = self._account(key)
            if event.ts_event >= account.ts_reported:
                account.reported, account.ts_reported = balance.total, event.ts_event
            if event.ts_event >= account.ts_opened > 0:
                comparison = self._comparison(key)
                comparison.report(event.ts_event, event.ts_recv, balance.total)

    def _open(self, event: AccountUpdated) -> None:
        # The first complete report is where the books begin; fills up to then are in it.
        self._opened[event.venue] = event.ts_event
        for key in {key for key in self._accounts if key[0] == event.venue}:
            self._accounts[key].ts_opened = event.ts_event
        for balance in event.balances:
            key = (event.venue, balance.asset)
            account = self._account(key)
            later = self._comparison(key).since(event.ts_event)
            account.opening = balance.total - (self._amount(key) - later)
            self._portfolio.add_opening(event.venue, {balance.asset: account.opening})

    def _account(self, key: Key) -> Account:
        self._dirty_accounts[key] = None
        if key not in self._accounts:
            self._accounts[key] = Account(ts_opened=self._opened.get(key[0], 0))
        return self._accounts[key]

    def _comparison(self, key: Key) -> Comparison:
        if key not in self._comparisons:
            self._comparisons[key] = Comparison(self._config.settle_ms * 1_000_000)
        return self._comparisons[key]

    def take_changes(self) -> Changes:
        """Everything since the last call; make rows of it before anything else is folded."""
        before, self._written = self._written, self.position
        changes = Changes(
            position_before=before,
            position=self.position,
            events=self._events,
            fills=self._fills,
            orders=[
                (self._sequences[order_id], order) for order_id, order in self._dirty_orders.items()
            ],
            positions=list(self._dirty_positions.values()),
            balances=[
                (key, self._accounts[key], self._amount(key)) for key in self._dirty_accounts
            ],
            equity=self._samples,
        )
        self._events, self._fills, self._samples = [], [], []
        self._dirty_orders, self._dirty_positions, self._dirty_accounts = {}, {}, {}
        if len(self._sequences) > 2 * len(self._orders) + 1000:
            self._sequences = {k: v for k, v in self._sequences.items() if k in self._orders}
        return changes

    # -- what the books say ------------------------------------------------------------------------

    def portfolio(self) -> PortfolioUpdated:
        """Positions, balances and their sums at the newest marks."""
        self._mark()
        portfolio, currency = self._portfolio, self._config.currency
        positions = tuple(self._position(position) for position in portfolio)
        # Profits in different currencies do not add up: the sums are over those in `currency`.
        summed = [p for p in positions if assets(p.instrument_id)[1] == currency]
        equity = portfolio.equity(currency)
        if self.is_valued():
            self._drawdown.update(equity)
        return PortfolioUpdated(
            ts_event=self._now_event,
            ts_recv=self._now_ns,
            sequence=self.position,
            currency=currency,
            positions=positions,
            balances=tuple(self._balance(key) for key in self._accounts),
            realized_pnl=sum((p.realized_pnl for p in summed), ZERO),
            unrealized_pnl=sum((p.unrealized_pnl for p in summed), ZERO),
            fees=sum((p.fees for p in summed), ZERO),
            net_pnl=sum((p.net_pnl for p in summed), ZERO),
            equity=equity,
            equity_peak=equity
            if self._drawdown.equity_peak is None
            else self._drawdown.equity_peak,
            drawdown=self._drawdown.drawdown,
            drawdown_max=self._drawdown.drawdown_max,
            orders=self._orders_count,
            working_orders=sum(1 for _ in self._orders.working()),
            fills=self._fills_count,
            unvalued=tuple(portfolio.unvalued(currency)),
        )

    def is_valued(self) -> bool:
        """Whether equity is whole: the opening and the marks of all that we trade are known."""
        self._mark()
        currency = self._config.currency
        return bool(self._opened) and not any(
            f"{asset}-{currency}" in self._instruments
            for _, asset in self._portfolio.unvalued(currency)
        )

    def _mark(self) -> None:
        for key, top in self._tops.items():
            prices = [Decimal(repr(price)) for price in (top.bid, top.ask) if price > 0]
            if prices:
                self._portfolio.mark(*key, sum(prices, ZERO) / len(prices))

    def _position(self, position: Position) -> PositionRecord:
        mark = self._portfolio.mark_of(position)
        value = mark or ZERO
        return PositionRecord(
            venue=position.venue,
            instrument_id=position.instrument_id,
            quantity=position.quantity,
            avg_entry_price=position.avg_entry_price,
            mark=self._portfolio.marks.get((position.venue, position.instrument_id)),
            realized_pnl=position.realized_pnl,
            unrealized_pnl=position.unrealized_pnl(value),
            fees=position.fees,
            net_pnl=position.net_pnl(value),
            fills=position.fills,
            ts_updated=position.ts_updated,
        )

    def _amount(self, key: Key) -> Decimal:
        return self._portfolio.balances.get(key, ZERO)

    def _balance(self, key: Key) -> BalanceReport:
        account = self._accounts[key]
        return BalanceReport(
            venue=key[0],
            asset=key[1],
            opening=account.opening,
            amount=self._amount(key),
            reported=account.reported,
            difference=self._comparison(key).settle(self._now_ns, self._amount(key)),
        )


def _check_fill(event: OrderFilled) -> None:
    assets(event.instrument_id)
    fill = event.fill
    numbers = (fill.price, fill.quantity, fill.fee)
    if not all(n.is_finite() and abs(n.adjusted()) < 18 for n in numbers) or fill.quantity <= 0:
        raise ValueError(f"fill {fill.fill_id!r} of {event.client_order_id!r}: {numbers}")
