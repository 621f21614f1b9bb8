"""The JSON that the gateway answers with; the classes document it in OpenAPI too.

Money, prices and quantities of ours are exact and travel as strings; market data are numbers as the
venue wrote them. Times are ISO 8601 UTC.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from tickbus.events import (
    BookDepth,
    BookSnapshot,
    ConsolidatedTop,
    Instrument,
    RiskState,
    ServiceStatus,
)
from tickbus_api.core import Price

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def plain(number: Decimal) -> str:
    """`number` without exponent."""
    return format(number, "f")


def iso(ts_ns: int) -> str | None:
    """`ts_ns` as ISO 8601 with microseconds; None for 0, which means never."""
    if not ts_ns:
        return None
    seconds, rest = divmod(ts_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


Exact = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]


class View(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(frozen=True)


class PriceView(View):
    """The market in one instrument; null where nothing is known yet."""

    symbol: str
    instrument_id: str
    venue: str
    bid: float | None
    bid_size: float | None
    ask: float | None
    ask_size: float | None
    mid: float | None
    last_price: float | None
    last_size: float | None
    updated_at: str | None
    age_ms: int | None = Field(description="since the market last said anything of it")
    stale: bool = Field(description="do not trust: feed trouble, or too old")

    @classmethod
    def of(cls, price: Price, now_ns: int, stale_after_ns: int) -> "PriceView":
        """The view of `price` at `now_ns`."""
        top, last, instrument = price.top, price.last, price.instrument
        return cls(
            symbol=instrument.symbol,
            instrument_id=instrument.instrument_id,
            venue=instrument.venue,
            bid=(top.bid or None) if top else None,
            bid_size=(top.bid_size or None) if top else None,
            ask=(top.ask or None) if top else None,
            ask_size=(top.ask_size or None) if top else None,
            mid=price.mid,
            last_price=last.price if last else None,
            last_size=last.size if last else None,
            updated_at=iso(price.ts_recv),
            age_ms=max(0, now_ns - price.ts_recv) // NS_PER_MS if price.ts_recv else None,
            stale=price.is_stale(now_ns, stale_after_ns),
        )


class PricesView(View):
    """The market in every instrument."""

    prices: list[PriceView]


class DepthView(View):
    """The best levels of one book, best first, as [price, size].

    `imbalance` is of all levels that the book service publishes: -1 to 1, above 0 with more bids.
    `micro_price` is the mid weighted by the sizes of the other side.
    """

    symbol: str
    instrument_id: str
    venue: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    spread: float | None
    micro_price: float | None
    imbalance: float | None
    sequence: int
    updated_at: str | None
    stale: bool

    @classmethod
    def of(cls, instrument: Instrument, depth: BookDepth, count: int, stale: bool) -> "DepthView":
        """The best `count` levels of `depth`."""
        return cls(
            symbol=instrument.symbol,
            instrument_id=instrument.instrument_id,
            venue=instrument.venue,
            bids=list(depth.bids[:count]),
            asks=list(depth.asks[:count]),
            spread=_spread(depth),
            micro_price=depth.micro_price or None,
            imbalance=depth.imbalance if depth.spread else None,
            sequence=depth.sequence,
            updated_at=iso(depth.ts_recv),
            stale=stale or depth.stale,
        )


def deeper(found: BookSnapshot, view: BookDepth | None) -> BookDepth:
    """The whole book `found`, with the figures of the last `view` of its best levels."""
    if view is None:
        return BookDepth(
            found.ts_event, found.ts_recv, found.venue, found.instrument_id,
            found.bids, found.asks, found.epoch, found.sequence,
        )  # fmt: skip
    return msgspec.structs.replace(
        view, ts_event=found.ts_event, ts_recv=found.ts_recv, bids=found.bids, asks=found.asks,
        epoch=found.epoch, sequence=found.sequence, stale=False,
    )  # fmt: skip


def _spread(depth: BookDepth) -> float | None:
    # Through Decimal: 100.1 - 100.0 is 0.1 to everybody but floats.
    if not depth.bids or not depth.asks:
        return None
    return float(Decimal(repr(depth.asks[0][0])) - Decimal(repr(depth.bids[0][0])))


class ConsolidatedView(View):
    """The tops of one instrument at all venues, as [venue, price, size], the best first."""

    instrument_id: str
    bids: list[tuple[str, float, float]]
    asks: list[tuple[str, float, float]]
    updated_at: str | None

    @classmethod
    def of(cls, top: ConsolidatedTop) -> "ConsolidatedView":
        """The view of `top`."""
        return cls(
            instrument_id=top.instrument_id,
            bids=list(top.bids),
            asks=list(top.asks),
            updated_at=iso(top.ts_recv),
        )


class ConsolidatedTopsView(View):
    """Every instrument that several venues have."""

    tops: list[ConsolidatedView]


class InstrumentView(View):
    """What can be traded, with the venue's filters; a limit of 0 means none."""

    symbol: str
    instrument_id: str
    venue: str
    base: str
    quote: str
    tick_size: Exact
    lot_size: Exact
    quantity_min: Exact
    quantity_max: Exact
    market_quantity_max: Exact
    price_min: Exact
    price_max: Exact
    notional_min: Exact
    notional_max: Exact
    trading: bool

    @classmethod
    def of(cls, instrument: Instrument) -> "InstrumentView":
        """The view of `instrument`."""
        return cls(**{name: getattr(instrument, name) for name in instrument.__struct_fields__})


class InstrumentsView(View):
    """Everything that can be traded."""

    instruments: list[InstrumentView]


class ServiceView(View):
    """What one running service says of itself."""

    service: str
    instance: str
    version: str
    ready: bool
    waiting_for: str
    uptime_s: float
    counts: dict[str, int]
    gauges: dict[str, float]
    latency_us: dict[str, dict[str, float]]
    errors: dict[str, int]
    metrics_url: str

    @classmethod
    def of(cls, status: ServiceStatus) -> "ServiceView":
        """The view of `status`."""
        return cls(
            service=status.service,
            instance=status.instance,
            version=status.version,
            ready=status.ready,
            waiting_for=status.waiting_for,
            uptime_s=round(status.uptime_s, 3),
            counts=status.counts,
            gauges=status.gauges,
            latency_us={
                hop: {"p50": p50, "p99": p99, "count": count}
                for hop, (p50, p99, count) in status.latency_us.items()
            },
            errors=status.errors,
            metrics_url=status.metrics_url,
        )


class RiskView(View):
    """What risk currently lets pass."""

    state: str
    reason: str
    working_orders: int
    denials: int
    updated_at: str | None

    @classmethod
    def of(cls, state: RiskState) -> "RiskView":
        """The view of `state`."""
        return cls(
            state=state.state,
            reason=state.reason,
            working_orders=state.working_orders,
            denials=state.denials,
            updated_at=iso(state.ts_recv),
        )


class StatusView(View):
    """Every service that answered, and what risk lets pass."""

    services: list[ServiceView]
    risk: RiskView | None
    dead_letters: int | None = Field(
        description="messages given up that nobody has seen to: GET /api/v1/dead-letters"
    )


class CheckView(View):
    """One thing the gateway needs; `detail` says what is wrong with it."""

    ok: bool
    detail: str = ""


class HealthView(View):
    """`status` is ready, degraded (answers, but something it needs is in trouble) or starting."""

    status: str
    version: str
    uptime_s: float
    checks: dict[str, CheckView]
    market_data_age_ms: int | None


class ProblemView(BaseModel):
    """RFC 9457 problem details; branch on `code`, show `detail` and `remedy`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    value: str | None = None
    remedy: str | None = None
