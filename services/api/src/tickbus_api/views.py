"""The JSON that the gateway answers with; these classes are its OpenAPI documentation too.

Money, prices and quantities of ours are exact and travel as strings; market data are numbers as the
venue wrote them. Times are ISO 8601 UTC.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from tickbus.events import BookDepth, Instrument, RiskState, ServiceStatus
from tickbus.events.ledger import PositionRecord
from tickbus.ledger_api import FillRecord, OrderStep, PortfolioAnswer
from tickbus.order import Order
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


def rounded(number: Decimal | None) -> Decimal | None:
    """`number` to 12 decimals at most: for quotients, which have no last digit."""
    return None if number is None else round(number, 12).normalize()


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=str)
    except ValueError:
        return text


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
    """The best levels of one book, best first, as [price, size]."""

    symbol: str
    instrument_id: str
    venue: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
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
            sequence=depth.sequence,
            updated_at=iso(depth.ts_recv),
            stale=stale or depth.stale,
        )


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


class StepView(View):
    """One event of an order's life."""

    sequence: int
    event: str
    at: str | None
    received_at: str | None
    body: Any

    @classmethod
    def of(cls, step: OrderStep) -> "StepView":
        """The view of `step`."""
        return cls(
            sequence=step.sequence,
            event=step.kind,
            at=iso(step.ts_event),
            received_at=iso(step.ts_recv),
            body=_json(step.body),
        )


class OrderView(View):
    """One of our orders; `price` and `avg_fill_price` in quote, quantities in base currency."""

    id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    side: str
    type: str
    quantity: Exact
    price: Exact | None
    time_in_force: str
    post_only: bool
    reduce_only: bool
    state: str
    working: bool
    filled_quantity: Exact
    leaves_quantity: Exact
    avg_fill_price: Exact | None
    fees: dict[str, Exact]
    venue_order_id: str
    reason: str
    detail: str
    created_at: str | None
    updated_at: str | None
    events: list[StepView] | None = Field(None, description="only where one order is asked for")

    @classmethod
    def of(cls, order: Order, symbol: str, steps: Iterable[OrderStep] | None = None) -> "OrderView":
        """The view of `order`, which its venue spells `symbol`."""
        return cls(
            id=order.client_order_id,
            strategy=order.strategy_id,
            symbol=symbol,
            instrument_id=order.instrument_id,
            venue=order.venue,
            side=order.side,
            type=order.order_type,
            quantity=order.quantity,
            price=order.price,
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            state=order.state,
            working=order.is_working,
            filled_quantity=order.filled_quantity,
            leaves_quantity=order.leaves_quantity,
            avg_fill_price=rounded(order.avg_fill_price),
            fees=order.fees,
            venue_order_id=order.venue_order_id,
            reason=order.reason,
            detail=order.detail,
            created_at=iso(order.ts_created),
            updated_at=iso(order.ts_updated),
            events=None if steps is None else [StepView.of(step) for step in steps],
        )


class OrdersView(View):
    """A page of orders, newest first; ask again with `cursor=next_cursor` for the next."""

    orders: list[OrderView]
    next_cursor: str | None


class CancelAllView(View):
    """What a wish to cancel everything has done so far, as order ids."""

    command_id: str
    canceled: list[str]
    closed_otherwise: list[str] = Field(description="filled, or refused by the venue, meanwhile")
    pending: list[str]


class FillView(View):
    """One execution of one of our orders; `fee` is positive when we pay."""

    id: str
    order_id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    venue_order_id: str
    side: str
    price: Exact
    quantity: Exact
    fee: Exact
    fee_asset: str
    liquidity: str
    at: str | None

    @classmethod
    def of(cls, record: FillRecord, symbol: str) -> "FillView":
        """The view of `record`, whose venue spells the instrument `symbol`."""
        fill = record.fill
        return cls(
            id=fill.fill_id,
            order_id=record.client_order_id,
            strategy=record.strategy_id,
            symbol=symbol,
            instrument_id=record.instrument_id,
            venue=record.venue,
            venue_order_id=record.venue_order_id,
            side=fill.side,
            price=fill.price,
            quantity=fill.quantity,
            fee=fill.fee,
            fee_asset=fill.fee_asset,
            liquidity=fill.liquidity_side,
            at=iso(fill.ts_event),
        )


class FillsView(View):
    """A page of fills, newest first; ask again with `cursor=next_cursor` for the next."""

    fills: list[FillView]
    next_cursor: str | None


class PositionView(View):
    """One position, valued at `mark`; P&L in quote currency, fees only in `net_pnl`."""

    symbol: str
    instrument_id: str
    venue: str
    quantity: Exact
    avg_entry_price: Exact | None
    mark: Exact | None
    realized_pnl: Exact
    unrealized_pnl: Exact
    fees: Exact
    net_pnl: Exact
    fills: int
    updated_at: str | None

    @classmethod
    def of(cls, record: PositionRecord, symbol: str) -> "PositionView":
        """The view of `record`, whose venue spells the instrument `symbol`."""
        names = set(cls.model_fields) - {"symbol", "updated_at"}
        members = {name: getattr(record, name) for name in names}
        return cls(symbol=symbol, updated_at=iso(record.ts_updated), **members)


class BalanceView(View):
    """What an account at `venue` holds of one asset."""

    venue: str
    asset: str
    free: Exact
    locked: Exact
    total: Exact


class DifferenceView(View):
    """A balance on which the books and the venue disagree: `difference` = reported - amount."""

    venue: str
    asset: str
    amount: Exact
    reported: Exact | None
    difference: Exact | None


class PortfolioView(View):
    """The whole account, valued now, in `currency`; `net_pnl` = realised + unrealised - fees."""

    currency: str
    realized_pnl: Exact
    unrealized_pnl: Exact
    fees: Exact
    net_pnl: Exact
    equity: Exact | None
    equity_peak: Exact | None
    drawdown: Exact
    drawdown_max: Exact
    orders: int
    working_orders: int
    fills: int
    updated_at: str | None
    positions: list[PositionView]
    balances: list[BalanceView]
    differences: list[DifferenceView]

    @classmethod
    def of(cls, answer: PortfolioAnswer, symbol: Callable[[str, str], str]) -> "PortfolioView":
        """The view of `answer`; `symbol` spells (venue, instrument id) as the venue does."""
        names = set(cls.model_fields) - {"updated_at", "positions", "balances", "differences"}
        return cls(
            updated_at=iso(answer.ts),
            positions=[
                PositionView.of(p, symbol(p.venue, p.instrument_id)) for p in answer.positions
            ],
            balances=[
                BalanceView(venue=venue, asset=b.asset, free=b.free, locked=b.locked, total=b.total)
                for venue, balances in answer.balances.items()
                for b in balances
            ],
            differences=[
                DifferenceView(
                    venue=d.venue,
                    asset=d.asset,
                    amount=d.amount,
                    reported=d.reported,
                    difference=d.difference,
                )
                for d in answer.differences
            ],
            **{name: getattr(answer, name) for name in names},
        )


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
