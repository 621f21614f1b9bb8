"""The books: orders, fills, positions, balances and equity, folded from the ORDERS stream.

Consumes: every event of the order path through `fold` with its sequence; BookTop, Instrument and
TimerFired through `handle`. Produces: PortfolioUpdated, SetTimer; and `take_changes`, what to write
down. Invariants: an event at or below `position` changes nothing; a fill or adjustment counts once;
every event is in the log, chained; a balance is the sum of its postings, and what the venue reports
is only compared with it. What the books know beyond the event (marks) is noted in the log, so that
`apply` gives the same books from the log alone.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any, TypeGuard

from tickbus.codec import Hop
from tickbus.events import (
    SMART_VENUE,
    AccountUpdated,
    AdjustmentCause,
    BalanceAdjusted,
    BookTop,
    EquityPoint,
    Event,
    Instrument,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderReplaced,
    OrderSubmitted,
    PortfolioUpdated,
    Recovered,
    SessionStarted,
    SetTimer,
    TimerFired,
)
from tickbus.order import Order, Orders, client_order_id_of
from tickbus.portfolio import Portfolio, assets, is_derivative, moves_of
from tickbus.subjects import EXTERNAL
from tickbus_ledger.changes import Books, Changes, Entry, FillRow, Key, Session
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.held import HeldPositions
from tickbus_ledger.journal import COUNTER_ACCOUNTS, FILL, BookAccount, Journal
from tickbus_ledger.log import (
    GAP,
    MALFORMED,
    NOTHING,
    LogRow,
    Notes,
    head_text,
    odd_row,
    row_of,
    time,
)
from tickbus_ledger.profits import Profits, Sums, strategy_of

ZERO = Decimal(0)
KEYS_MAX = 50_000
TIMER = "portfolio"
SAMPLES_MAX = 1_000
DIGITS = 60
"""Carried by every sum, as in `tickbus.portfolio`."""


class TaintedBooks(Exception):
    """An event could be taken in only in part: the books in memory must be loaded anew."""


class LedgerCore:
    """Keeps the books; see the module's first lines.

    `tainted` says that an event failed half-way: until `load` they give nothing to write.
    """

    def __init__(self, config: LedgerConfig, instruments: Sequence[str]) -> None:
        self._config = config
        self._instruments = frozenset(instruments)
        self._tops: dict[Key, BookTop] = {}
        self._contracts: dict[Key, Instrument] = {}
        self.statement: PortfolioUpdated | None = None
        """The newest that was said of the books."""
        self.load(Books())

    def load(self, books: Books) -> None:
        """Go on from `books`, forgetting everything but the market."""
        self.tainted = False
        self._orders = Orders()
        self._portfolio = Portfolio()
        settle_ns = self._config.settle_ms * 1_000_000
        self._journal = Journal(self._portfolio, settle_ns, books)
        self._held = HeldPositions(self._portfolio, settle_ns)
        self._profits = Profits(self._portfolio, self._config.currency, books)
        self._sequences: dict[str, int] = {}
        self._fill_keys = dict(books.fill_keys)
        self._ts_forgotten = books.ts_forgotten
        self._adjustment_keys = dict.fromkeys(books.adjustment_keys)
        self._orders_count, self._fills_count = books.orders_count, books.fills_count
        self._drawdown = books.drawdown
        self.position = self._written = books.position
        self._head = books.head
        self.audit_head = head_text(books.position, books.head)
        self._now_event = self._now_ns = self._ts_sampled = 0
        self._log: list[LogRow] = []
        self._fills: list[FillRow] = []
        self._dirty_orders: dict[str, Order] = {}
        self._samples: list[EquityPoint] = []
        self._strategy_samples: list[tuple[str, EquityPoint]] = []
        self._sessions: list[Session] = []
        for sequence, order in books.orders:
            self._orders.add(order)
            self._sequences[order.client_order_id] = sequence

    @property
    def pending(self) -> int:
        """Events folded and not yet taken by `take_changes`."""
        return len(self._log)

    # -- the market and the timer ------------------------------------------------------------------

    def handle(self, event: Any) -> Sequence[Event]:
        """Marks, contracts, and once per interval the portfolio."""
        if isinstance(event, BookTop):
            self._tops[event.venue, event.instrument_id] = event
            self._see(event)
        elif isinstance(event, Instrument):
            self._contracts[event.venue, event.instrument_id] = event
        elif isinstance(event, Recovered):
            return (self._timer(event),)
        elif isinstance(event, TimerFired) and event.key == TIMER:
            if self.tainted:
                return (self._timer(event),)
            self._see(event)
            self._sample()
            return (self.portfolio(), self._timer(event))
        return ()

    def _timer(self, event: Event) -> SetTimer:
        at_ns = event.ts_recv + int(self._config.portfolio_interval_s * 1e9)
        return SetTimer(event.ts_event, event.ts_recv, TIMER, at_ns)

    def _see(self, event: Event) -> None:
        self._now_event = max(self._now_event, time(event.ts_event))
        self._now_ns = max(self._now_ns, time(event.ts_recv))

    def _sample(self) -> None:
        interval_ns = int(self._config.equity_interval_s * 1e9)
        if self._now_ns - self._ts_sampled >= interval_ns:
            self._sample_at(self._now_ns)

    def _sample_at(self, ts: int) -> None:
        if not self.is_valued():
            return
        self._ts_sampled = ts
        with localcontext(prec=DIGITS):
            equity = self._portfolio.equity(self._config.currency)
            self._drawdown.update(equity)
            point = self._profits.sums().point(ts, equity, self._drawdown.drawdown)
            strategies = list(self._profits.sample(ts))
        # Unwritten points are bounded, too.
        self._samples = [*self._samples, point][-SAMPLES_MAX:]
        self._strategy_samples = [*self._strategy_samples, *strategies][-SAMPLES_MAX:]

    # -- the stream --------------------------------------------------------------------------------

    def is_doubtful(self, event: Any) -> TypeGuard[OrderFilled]:
        """Whether `event` is a fill so old that only the database knows if it was told before."""
        return (
            isinstance(event, OrderFilled)
            and event.fill.ts_event <= self._ts_forgotten
            and (event.venue, event.instrument_id, event.fill.fill_id) not in self._fill_keys
        )

    def fold(
        self, sequence: int, event: Any, hops: tuple[Hop, ...] = (), *, duplicate: bool = False
    ) -> None:
        """Take in the event at `sequence`.

        `duplicate` says that a doubtful fill was told before. Raises TaintedBooks when it failed
        half-way, anything else (ValueError for what is unsound) with nothing changed.
        """
        if sequence <= self.position:
            return
        _check(event)
        notes = NOTHING
        if isinstance(event, OrderFilled | BalanceAdjusted):
            notes = self._note(event)
        if duplicate:
            notes = Notes(duplicate=True)
        self._append_gap(sequence)
        row = row_of(self._head, sequence, client_order_id_of(event), event, hops, notes)
        self._log.append(row)
        self._head = row.hash
        try:
            self.apply(sequence, event, notes)
        except Exception as error:
            self.tainted = True
            raise TaintedBooks(f"{type(error).__name__}: {error}") from error
        if isinstance(event, SessionStarted):
            self._sample_at(time(event.ts_recv))  # what the session is measured from

    def skip(self, sequence: int, payload: bytes, reason: str) -> None:
        """Log a message that is no sound event; it changes nothing else."""
        if sequence > self.position:
            self._append_gap(sequence)
            self._append_odd(sequence, MALFORMED, {"reason": reason, "payload": payload.hex()})

    def _append_gap(self, sequence: int) -> None:
        # What the stream no longer has must be seen to be missing, not look like tampering.
        if sequence > self.position + 1:
            self._append_odd(sequence - 1, GAP, {"first": self.position + 1})

    def _append_odd(self, sequence: int, kind: str, body: dict[str, Any]) -> None:
        row = odd_row(self._head, sequence, kind, body)
        self._log.append(row)
        self._head, self.position = row.hash, sequence

    def apply(self, sequence: int, event: Any, notes: Notes) -> None:
        """What the event at `sequence` does to the books, without the log; see `fold`."""
        self.position = sequence
        self._see(event)
        with localcontext(prec=DIGITS):
            if isinstance(event, AccountUpdated):
                self._journal.report(sequence, event)
                self._held.report(event)
                return
            if isinstance(event, BalanceAdjusted):
                self._adjust(sequence, event, notes)
                return
            if isinstance(event, SessionStarted):
                started = Session(sequence, time(event.ts_recv), event.actor, event.reason)
                self._sessions.append(started)
                return
            # What the router tells of an order for all venues, its parts have told before.
            if isinstance(event, OrderFilled) and event.venue != SMART_VENUE:
                self._fill(sequence, event, notes)
        self._order(sequence, event)

    def _note(self, event: OrderFilled | BalanceAdjusted) -> Notes:
        if not event.instrument_id:
            return NOTHING
        key = (event.venue, event.instrument_id)
        base, quote = assets(event.instrument_id)
        if isinstance(event, OrderFilled):
            asset, amount, instead = event.fill.fee_asset, event.fill.fee, [quote]
            if not is_derivative(event.instrument_id):
                instead.append(base)  # the price of the fill itself values it
            value = None if asset in instead else self._worth(event.venue, asset, amount, quote)
        else:
            value = self._worth(event.venue, event.asset, event.amount, quote)
        size = self._profits.contract_size(*key)
        contract = self._contracts.get(key)
        if contract is not None:
            if contract.inverse:
                raise ValueError(f"{event.instrument_id}: the books keep no inverse contracts yet")
            size = size or contract.contract_size
        return Notes(value=value, contract_size=None if size == 1 else size)

    def _worth(self, venue: str, asset: str, amount: Decimal, quote: str) -> Decimal | None:
        if not amount:
            return None
        key = (venue, f"{asset}-{quote}")
        if key in self._tops:
            self._mark(key)
        with localcontext(prec=DIGITS):
            return self._portfolio.worth(venue, asset, amount, quote)

    def _order(self, sequence: int, event: Any) -> None:
        order_id = client_order_id_of(event)
        known = order_id in self._orders
        if not known and isinstance(event, OrderSubmitted) and (found := Order.from_found(event)):
            self._orders.add(found)
        order = self._orders.fold(event)
        if order is None and not known:
            order = self._orders.get(order_id)  # a SubmitOrder creates without changing
        if order is not None:
            if order.strategy_id == EXTERNAL:  # how much it was for may not have been known
                order.quantity = max(order.quantity, order.filled_quantity)
            self._dirty_orders[order_id] = order
            if not known:
                self._sequences[order_id] = sequence
                self._orders_count += 1
        if isinstance(event, OrderApproved) and event.order.replaces in self._orders:
            # It is on its way out, and no event of its own says so.
            replaced = self._orders.get(event.order.replaces)
            if replaced is not None and replaced.client_order_id in self._sequences:
                self._dirty_orders[replaced.client_order_id] = replaced

    def _fill(self, sequence: int, event: OrderFilled, notes: Notes) -> None:
        fill = event.fill
        key = (event.venue, event.instrument_id, fill.fill_id)
        if key in self._fill_keys or notes.duplicate:
            return
        self._fill_keys[key] = fill.ts_event
        if len(self._fill_keys) > KEYS_MAX:
            oldest = next(iter(self._fill_keys))
            self._ts_forgotten = max(self._ts_forgotten, self._fill_keys.pop(oldest))
        self._fills_count += 1
        self._fills.append(FillRow(sequence, event, notes.value))
        self._held.fill(event)
        realized = self._profits.fill(event, notes)
        entry = Entry(
            sequence, FILL, fill.fill_id, event.venue, event.instrument_id, strategy_of(event),
            event.client_order_id, fill.ts_event,
        )  # fmt: skip
        for move in moves_of(event.instrument_id, fill, realized):
            counter = BookAccount.FEES if move.is_fee else BookAccount.TRADING
            self._journal.move(entry, counter, move.asset, move.amount)

    def _adjust(self, sequence: int, event: BalanceAdjusted, notes: Notes) -> None:
        key = (event.venue, event.cause.value, event.reference)
        if key in self._adjustment_keys:
            return
        self._adjustment_keys[key] = None
        if len(self._adjustment_keys) > KEYS_MAX:
            del self._adjustment_keys[next(iter(self._adjustment_keys))]
        self._profits.adjust(event, notes)
        entry = Entry(
            sequence, event.cause.value, event.reference, event.venue, event.instrument_id, "", "",
            event.ts_event,
        )  # fmt: skip
        is_new = not self._journal.is_before_opening(event.venue, event.ts_event)
        counter = COUNTER_ACCOUNTS.get(event.cause, BookAccount.ADJUSTMENT)
        self._journal.move(entry, counter, event.asset, event.amount)
        if event.cause is AdjustmentCause.TRANSFER and is_new:
            currency = self._config.currency
            value = self._worth(event.venue, event.asset, event.amount, currency)
            self._drawdown.transfer(value or ZERO)

    def take_changes(self) -> Changes:
        """Everything since the last call; make rows of it before anything else is folded."""
        assert not self.tainted, "half of an event must not be written"
        before, self._written = self._written, self.position
        entries, postings, balances = self._journal.take()
        positions, strategy_positions = self._profits.take()
        changes = Changes(
            position_before=before,
            position=self.position,
            head=self._head,
            log=self._log,
            fills=self._fills,
            orders=[(self._sequences[name], order) for name, order in self._dirty_orders.items()],
            positions=positions,
            strategy_positions=strategy_positions,
            balances=balances,
            entries=entries,
            postings=postings,
            equity=self._samples,
            strategy_equity=self._strategy_samples,
            sessions=self._sessions,
        )
        self._log, self._fills, self._dirty_orders = [], [], {}
        self._samples, self._strategy_samples, self._sessions = [], [], []
        if len(self._sequences) > 2 * len(self._orders) + 1000:
            self._sequences = {k: v for k, v in self._sequences.items() if k in self._orders}
        return changes

    def written(self, position: int, head: bytes) -> None:
        """The log is durable up to there: from now on that is what anchors it."""
        self.audit_head = head_text(position, head)

    # -- what the books say ------------------------------------------------------------------------

    def points(self) -> dict[str, EquityPoint]:
        """Where the curves are now, the account's under "" and each strategy's under its id."""
        now = self.portfolio()
        sums = Sums(now.realized_pnl, now.unrealized_pnl, now.fees, now.funding, now.net_pnl)
        points = {"": sums.point(now.ts_recv, now.equity, now.drawdown)} if self.is_valued() else {}
        for record in now.strategies:
            sums = Sums(*(getattr(record, name) for name in Sums._fields))
            point = sums.point(now.ts_recv, record.net_pnl, record.drawdown)
            points[record.strategy_id] = point
        return points

    def portfolio(self) -> PortfolioUpdated:
        """Positions, balances and their sums at the newest marks."""
        with localcontext(prec=DIGITS):
            self.statement = self._statement()
        return self.statement

    def _statement(self) -> PortfolioUpdated:
        self._mark_all()
        portfolio, currency, drawdown = self._portfolio, self._config.currency, self._drawdown
        equity = portfolio.equity(currency)
        if self.is_valued():
            drawdown.update(equity)
        return PortfolioUpdated(
            ts_event=self._now_event,
            ts_recv=self._now_ns,
            sequence=self.position,
            currency=currency,
            positions=tuple(self._held.beside(self._profits.records(), self._now_ns)),
            balances=tuple(self._journal.reports(self._now_ns)),
            **self._profits.sums()._asdict(),
            equity=equity,
            equity_peak=equity if drawdown.equity_peak is None else drawdown.equity_peak,
            drawdown=drawdown.drawdown,
            drawdown_max=drawdown.drawdown_max,
            orders=self._orders_count,
            working_orders=sum(1 for _ in self._orders.working()),
            fills=self._fills_count,
            unvalued=tuple(portfolio.unvalued(currency)),
            unvalued_fees=self._profits.unvalued_fees(),
            strategies=self._profits.strategies(),
            audit_head=self.audit_head,
        )

    def is_valued(self) -> bool:
        """Whether equity is whole: the opening and the marks of all that we trade are known."""
        self._mark_all()
        currency = self._config.currency
        return self._journal.is_open and not any(
            f"{asset}-{currency}" in self._instruments
            for _, asset in self._portfolio.unvalued(currency)
        )

    def _mark_all(self) -> None:
        for key in self._tops:
            self._mark(key)

    def _mark(self, key: Key) -> None:
        top = self._tops[key]
        prices = [Decimal(repr(price)) for price in (top.bid, top.ask) if 0 < price < math.inf]
        if prices:
            self._portfolio.mark(*key, sum(prices, ZERO) / len(prices))


def _check(event: Any) -> None:
    # Whatever gets past here must be something that the books can count and Postgres can keep.
    if isinstance(event, OrderFilled):
        assets(event.instrument_id)
        fill = event.fill
        numbers: tuple[Decimal, ...] = (fill.price, fill.quantity, fill.fee)
        if not all(_is_sound(number) for number in numbers) or fill.quantity <= 0:
            raise ValueError(f"fill {fill.fill_id!r} of {event.client_order_id!r}: {numbers}")
    if isinstance(event, OrderFilled | OrderCanceled | OrderExpired):
        if not _is_sound(event.filled_quantity):
            told = event.filled_quantity
            raise ValueError(f"report on {event.client_order_id!r}: filled_quantity = {told}")
    elif isinstance(event, OrderReplaced):
        if not _is_sound(event.quantity):
            raise ValueError(f"replacing {event.replaced_id!r}: quantity = {event.quantity}")
    elif isinstance(event, AccountUpdated):
        for balance in event.balances:
            if not (_is_sound(balance.free) and _is_sound(balance.locked)):
                raise ValueError(f"balance of {balance.asset}: {balance.free}, {balance.locked}")
    elif isinstance(event, BalanceAdjusted):
        if event.instrument_id:
            assets(event.instrument_id)
        if not _is_sound(event.amount):
            raise ValueError(f"{event.cause} {event.reference!r}: amount = {event.amount}")


def _is_sound(number: Decimal) -> bool:
    return number.is_finite() and (not number or abs(number.adjusted()) < 18)
