"""What the gateway knows: instruments, prices, depth and the orders somebody may wait for.

Consumes: Instrument, BookTop, BookDepth, ConsolidatedTop, Trade, RiskState, RiskReport and every
event of the order path.
Produces: OrderChanged, for local waiters, each time an order took a step.
Invariants: of the market only the last value per instrument; at most CLOSED_ORDERS_MAX orders that
ended, the oldest forgotten first.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tickbus.events import (
    BookDepth,
    BookTop,
    CancelRejected,
    ConsolidatedTop,
    Event,
    Instrument,
    RiskReport,
    RiskState,
    Trade,
)
from tickbus.order import Order, Orders, client_order_id_of

CLOSED_ORDERS_MAX = 5_000

Key = tuple[str, str]
"""(venue, instrument_id)."""


class OrderChanged(Event, frozen=True):
    """An order took a step; `refusal` says why a cancel of it failed. Never on the bus."""

    client_order_id: str
    refusal: str = ""


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
        self.consolidated: dict[str, ConsolidatedTop] = {}
        self.orders = Orders(CLOSED_ORDERS_MAX)
        self.risk: RiskState | None = None
        self.risk_report: RiskReport | None = None
        self.market_ts = 0
        """When the newest market event was received, ns UTC; 0 before the first."""
        self._spellings: dict[str, list[Key]] = {}
        self._handlers: dict[type, Any] = {
            Instrument: self._on_instrument,
            BookTop: self._on_top,
            BookDepth: self._on_depth,
            ConsolidatedTop: self._on_consolidated,
            Trade: self._on_trade,
            RiskState: self._on_risk,
            RiskReport: self._on_risk_report,
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
        keys = self._spellings.get(_plain(spelling), ())
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
        """Take in an order from the ledger, unless it is known already; returns what is known."""
        known = self.orders.get(order.client_order_id)
        if known is None:
            self.orders.add(order)
        return known or order

    def _on_instrument(self, event: Instrument) -> None:
        key = (event.venue, event.instrument_id)
        self.instruments[key] = event
        for spelling in {_plain(event.symbol), _plain(event.instrument_id)}:
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
        self.trades[(event.venue, event.instrument_id)] = event
        self.market_ts = max(self.market_ts, event.ts_recv)

    def _on_risk(self, event: RiskState) -> None:
        self.risk = event

    def _on_risk_report(self, event: RiskReport) -> None:
        self.risk_report = event

    def _on_order(self, event: Any) -> Sequence[Event]:
        client_order_id = client_order_id_of(event)
        if not client_order_id:
            return ()
        self.orders.fold(event)
        refusal = ""
        if isinstance(event, CancelRejected):
            refusal = f"{event.reason}: {event.detail}" if event.detail else event.reason
        return (OrderChanged(event.ts_event, event.ts_recv, client_order_id, refusal),)


def _plain(spelling: str) -> str:
    return "".join(c for c in spelling.upper() if c.isalnum())
