"""What the gateway knows: instruments, prices, depth and the orders somebody may wait for.

Consumes: Instrument, BookTop, BookDepth, ConsolidatedTop, Trade, FeedStatus, RiskState, RiskReport,
StrategyDecision, LogRecorded, SetStrategy, and every event of the order path, StrategyChanged among
them.
Produces: OrderChanged, for local waiters, each time an order took a step.
Invariants: of the market only the last value per instrument, and its last TAPE_MAX trades; at most
CLOSED_ORDERS_MAX orders that ended, STEPS_MAX steps of orders, FILLS_MAX fills and
DECISIONS_MAX decisions and LOGS_MAX lines of logs, the oldest forgotten first; one wish for each
strategy that is to be, as many as the bucket has.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tickbus.events import (
    BookDepth,
    BookTop,
    CancelRejected,
    ConsolidatedTop,
    Event,
    FeedStatus,
    Instrument,
    LogRecorded,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    RiskReport,
    RiskState,
    SetStrategy,
    StrategyChanged,
    StrategyDecision,
    StrategyOutcome,
    Trade,
)
from tickbus.ledger_api import FillRecord
from tickbus.order import Order, Orders, client_order_id_of

CLOSED_ORDERS_MAX = 5_000
TAPE_MAX = 1_000
"""Trades remembered per instrument; the oldest is forgotten first."""
LEARNED_MAX = 10_000
"""Orders of which it is remembered that the ledger told of them; then who is gone is forgotten."""
CHANGES_MAX = 1_000
STEPS_MAX = 5_000
FILLS_MAX = 1_000
DECISIONS_MAX = 1_000
LOGS_MAX = 2_000

Key = tuple[str, str]
"""(venue, instrument_id)."""


class OrderChanged(Event, frozen=True):
    """An order took a step; `refusal` says why a cancel of it failed. Never on the bus."""

    client_order_id: str
    refusal: str = ""


class Feed(NamedTuple):
    """What a feed says of one instrument: how it stands since when and why, and its last word."""

    since: FeedStatus
    last: FeedStatus


class Price(NamedTuple):
    """The market in one instrument; `ts_recv` is when it last said anything (ns UTC, 0 never)."""

    instrument: Instrument
    top: BookTop | None
    last: Trade | None
    ts_recv: int

    @property
    def mid(self) -> float | None:
        """Halfway between best bid and best ask; None while a side is empty."""
        if self.top is None or not self.top.bid or not self.top.ask:
            return None
        # Through Decimal: half of 299.53999999999996 is nothing that a venue would ever quote.
        return float((Decimal(repr(self.top.bid)) + Decimal(repr(self.top.ask))) / 2)

    def is_stale(self, now_ns: int, after_ns: int) -> bool:
        """Whether the price must not be trusted: the book says so, or it is too old."""
        return self.top is None or self.top.stale or now_ns - self.ts_recv > after_ns


class ApiCore:
    """The gateway's memory; `handle` keeps it up to date, the other methods answer questions."""

    def __init__(self) -> None:
        self.instruments: dict[Key, Instrument] = {}
        self.tops: dict[Key, BookTop] = {}
        self.depths: dict[Key, BookDepth] = {}
        self.trades: dict[Key, Trade] = {}
        self.tapes: dict[Key, deque[Trade]] = {}
        self.feeds: dict[Key, Feed] = {}
        self.consolidated: dict[str, ConsolidatedTop] = {}
        self.orders = Orders(CLOSED_ORDERS_MAX)
        self._learned: dict[str, None] = {}
        self._ends: dict[str, Event] = {}
        """How orders ended that are older than the gateway, and that the ledger did not tell of."""
        self.steps: deque[OrderChanged] = deque(maxlen=STEPS_MAX)
        self.fills: deque[FillRecord] = deque(maxlen=FILLS_MAX)
        self.decisions: deque[StrategyDecision] = deque(maxlen=DECISIONS_MAX)
        """Of strategies, while somebody listens to them."""
        self.logs: deque[LogRecorded] = deque(maxlen=LOGS_MAX)
        self.risk: RiskState | None = None
        self.risk_report: RiskReport | None = None
        self.changes: dict[tuple[str, int], StrategyChanged] = {}
        """What became of the last wishes, by strategy and revision."""
        self.revisions: dict[str, int] = {}
        """The highest revision of each strategy among them."""
        self.wishes: dict[str, SetStrategy] = {}
        """The last wish for each strategy that is to be, as the bucket has it."""
        self.market_ts = 0
        """When the newest market event was received, ns UTC; 0 before the first."""
        self._spellings: dict[str, list[Key]] = {}
        self._handlers: dict[type, Any] = {
            Instrument: self._on_instrument,
            BookTop: self._on_top,
            BookDepth: self._on_depth,
            ConsolidatedTop: self._on_consolidated,
            Trade: self._on_trade,
            FeedStatus: self._on_feed,
            RiskState: self._on_risk,
            RiskReport: self._on_risk_report,
            SetStrategy: self._on_wish,
            StrategyChanged: self._on_strategy,
            StrategyDecision: self.decisions.append,
            LogRecorded: self.logs.append,
        }

    def handle(self, event: Any, /) -> Sequence[Event]:
        """Remember what `event` says; what it does not know it ignores."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
            return ()
        return self._on_order(event)

    def find(self, spelling: str, venue: str = "") -> Instrument | None:
        """The instrument meant by BTCUSDT, BTC-USDT or btc/usdt, at `venue` or the first known."""
        keys = self._spellings.get(plain(spelling), ())
        return next((self.instruments[k] for k in keys if venue in ("", k[0])), None)

    def known(self) -> list[str]:
        """Every canonical instrument id, sorted."""
        return sorted({key[1] for key in self.instruments})

    def price(self, instrument: Instrument) -> Price:
        """What the market says of `instrument` now."""
        key = (instrument.venue, instrument.instrument_id)
        top, last, depth = self.tops.get(key), self.trades.get(key), self.depths.get(key)
        ts_recv = max(e.ts_recv if e else 0 for e in (top, last, depth))
        return Price(instrument, top, last, ts_recv)

    def prices(self) -> Iterator[Price]:
        """`price` of every instrument, in order of venue and id."""
        return (self.price(self.instruments[key]) for key in sorted(self.instruments))

    def symbol(self, venue: str, instrument_id: str) -> str:
        """The venue's spelling of an instrument; the canonical one while it is not known."""
        instrument = self.instruments.get((venue, instrument_id))
        return instrument.symbol if instrument else instrument_id

    def learn(self, order: Order) -> Order:
        """Take in an order as the ledger has it, to follow it from there; what is known of it."""
        if order.client_order_id not in self.orders:
            self._learned[order.client_order_id] = None
            if len(self._learned) > LEARNED_MAX:
                kept = [name for name in self._learned if name in self.orders]
                self._learned = dict.fromkeys(kept)
            self.orders.add(order)
            if not order.is_terminal and (end := self._ends.get(order.client_order_id)):
                self.orders.fold(end)
        return self.newest(order)

    def newest(self, order: Order) -> Order:
        """`order` as the ledger has it, or as we know it, whichever knows more.

        One that was followed from its beginning is known better than the ledger, which may be
        behind. Of one that was learned, events may have been missed, those between the ledger's
        position and the first that was followed: there the ledger's later word counts.
        """
        known = self.orders.get(order.client_order_id)
        if known is None:
            return order
        if order.client_order_id in self._learned and _knows(order) >= _knows(known):
            for name in Order.__struct_fields__:  # whoever waits holds on to the same object
                setattr(known, name, getattr(order, name))
            self.orders.add(known)
        return known

    def is_followed(self, client_order_id: str) -> bool:
        """Whether the order is known, and its life was seen from the beginning."""
        return client_order_id in self.orders and client_order_id not in self._learned

    def followed(self) -> Iterator[Order]:
        """All such orders."""
        return (order for order in self.orders if self.is_followed(order.client_order_id))

    def _on_instrument(self, event: Instrument) -> None:
        key = (event.venue, event.instrument_id)
        self.instruments[key] = event
        for spelling in {plain(event.symbol), plain(event.instrument_id)}:
            keys = self._spellings.setdefault(spelling, [])
            if key not in keys:
                keys.append(key)
                keys.sort()

    def _on_top(self, event: BookTop) -> None:
        self.tops[(event.venue, event.instrument_id)] = event
        self.market_ts = max(self.market_ts, event.ts_recv)

    def _on_depth(self, event: BookDepth) -> None:
        self.depths[(event.venue, event.instrument_id)] = event

    def _on_consolidated(self, event: ConsolidatedTop) -> None:
        self.consolidated[event.instrument_id] = event

    def _on_trade(self, event: Trade) -> None:
        key = (event.venue, event.instrument_id)
        self.trades[key] = event
        tape = self.tapes.get(key)
        if tape is None:
            tape = self.tapes[key] = deque(maxlen=TAPE_MAX)
        tape.append(event)
        self.market_ts = max(self.market_ts, event.ts_recv)

    def _on_feed(self, event: FeedStatus) -> None:
        # Repeated every second: since when it is so, and why, only the first one of them says.
        key = (event.venue, event.instrument_id)
        known = self.feeds.get(key)
        same = known is not None and known.since.state is event.state and not event.reason
        self.feeds[key] = Feed(known.since if known is not None and same else event, event)

    def _on_risk(self, event: RiskState) -> None:
        self.risk = event

    def _on_risk_report(self, event: RiskReport) -> None:
        self.risk_report = event

    def _on_wish(self, event: SetStrategy) -> None:
        self.wishes[event.strategy_id] = event
        self._forget_wish(event.strategy_id)

    def _on_strategy(self, event: StrategyChanged) -> None:
        if event.outcome in (StrategyOutcome.APPLIED, StrategyOutcome.REFUSED):
            self.changes[event.strategy_id, event.revision] = event
            self.revisions.pop(event.strategy_id, None)
            self.revisions[event.strategy_id] = event.revision
            if len(self.changes) > CHANGES_MAX:
                del self.changes[next(iter(self.changes))]
            if len(self.revisions) > CHANGES_MAX:
                del self.revisions[next(iter(self.revisions))]
            self._forget_wish(event.strategy_id)

    def _forget_wish(self, strategy_id: str) -> None:
        """Of what is not to be, or was refused as the first thing ever wished for it, keep none."""
        wish = self.wishes.get(strategy_id)
        if wish is None:
            return
        change = self.changes.get((strategy_id, wish.revision))
        was_refused = change is not None and (
            change.outcome is StrategyOutcome.REFUSED and change.before is None
        )
        if wish.deletes or wish.terms is None or was_refused:
            del self.wishes[strategy_id]

    def _on_order(self, event: Any) -> Sequence[Event]:
        client_order_id = client_order_id_of(event)
        if not client_order_id:
            return ()
        changed = self.orders.fold(event)
        if client_order_id not in self.orders and _is_end(event):
            self._ends[client_order_id] = event
            if len(self._ends) > LEARNED_MAX:
                del self._ends[next(iter(self._ends))]
        refusal = ""
        if isinstance(event, CancelRejected):
            refusal = f"{event.reason}: {event.detail}" if event.detail else event.reason
        elif isinstance(event, OrderFilled) and (
            # Of an order that is not known here nobody can say whether its fill is told again.
            changed is not None or client_order_id not in self.orders
        ):
            self.fills.append(_record(event))
        elif isinstance(event, OrderApproved) and event.order.replaces:
            self.steps.append(OrderChanged(event.ts_event, event.ts_recv, event.order.replaces))
        step = OrderChanged(event.ts_event, event.ts_recv, client_order_id, refusal)
        self.steps.append(step)
        return (step,)


def _record(event: OrderFilled) -> FillRecord:
    return FillRecord(
        client_order_id=event.client_order_id,
        strategy_id=event.strategy_id,
        venue=event.venue,
        instrument_id=event.instrument_id,
        venue_order_id=event.venue_order_id,
        fill=event.fill,
    )


def _is_end(event: Any) -> bool:
    if isinstance(event, OrderFilled):
        return not event.leaves_quantity
    return isinstance(event, OrderCanceled | OrderExpired | OrderRejected)


def _knows(order: Order) -> tuple[int, bool, Decimal]:
    return order.ts_updated, order.is_terminal, order.filled_quantity


def plain(spelling: str) -> str:
    """A spelling of an instrument as letters and digits alone, in capitals."""
    return "".join(c for c in spelling.upper() if c.isalnum())
