"""The checks of an order by itself and against its market: pure functions; `gate` orders them."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from tickbus import subjects
from tickbus.events import (
    GLOBAL,
    BookTop,
    DenialReason,
    FeedState,
    Instrument,
    Side,
    SubmitOrder,
    TradingState,
)
from tickbus_risk.config import Limits, RiskConfig
from tickbus_risk.denial import Denial, deny
from tickbus_risk.state import Rate, RiskBook

ZERO = Decimal(0)
SANE_MAX = Decimal("1e15")
"""A quantity or price above this is refused whatever the venue allows: arithmetic stays exact."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,36}\Z")

R = DenialReason


class Request(NamedTuple):
    """An order with everything its checks need."""

    order: SubmitOrder
    book: RiskBook
    limits: Limits
    instrument: Instrument | None
    top: BookTop | None
    rates: tuple[Rate, ...]
    config: RiskConfig
    middle: Decimal | None = None
    by_risk: bool = False
    """Risk itself closes a position with it: it passes a stop, and no limit on losses."""

    @property
    def now_ns(self) -> int:
        """The order's own date where that is later: it moves no clock but its own."""
        return max(self.book.now_ns, self.order.ts_recv)

    @property
    def rules(self) -> Instrument:
        """The instrument, for checks behind `instrument_known`."""
        assert self.instrument is not None
        return self.instrument

    @property
    def mid(self) -> Decimal:
        """The middle of the book, for checks behind `market_data`."""
        assert self.middle is not None
        return self.middle

    @property
    def expected_price(self) -> Decimal:
        """The limit price; without one the price at which it begins to trade."""
        if self.order.price is not None:
            return self.order.price
        if self.order.trigger_price is not None:
            return self.order.trigger_price
        assert self.top is not None
        return decimal(self.top.ask if self.order.side is Side.BUY else self.top.bid)

    @property
    def added_quantity(self) -> Decimal:
        """What it adds to what works: of a replacement, what it wants beyond the order it replaces.

        That one is cancelled first, and what it fills until then counts towards this one.
        """
        order = self.order
        old = self.book.order(order.replaces) if order.replaces else None
        if old is None:
            return order.quantity
        return max(ZERO, order.quantity - old.filled_quantity - old.leaves_quantity)


Check = Callable[[Request], Denial | None]


def decimal(value: float) -> Decimal:
    """The shortest decimal that reads back as the same float."""
    return Decimal(repr(value))


def order_id_valid(r: Request) -> Denial | None:
    """Ids that any venue takes: 1 to 36 letters, digits, `_` and `-`."""
    for value in (r.order.client_order_id, r.order.strategy_id):
        if not _ID.match(value):
            return deny(R.ORDER_ID_INVALID, "[A-Za-z0-9_-]{1,36}", repr(value))
    if r.order.strategy_id == subjects.RISK and not r.by_risk:
        return deny(R.ORDER_ID_INVALID, "a strategy id that is not reserved", repr(subjects.RISK))
    return None


def order_id_unique(r: Request) -> Denial | None:
    """An id is used once, for ever: a venue frees ids of closed orders, so a repeat may fill."""
    order_id = r.order.client_order_id
    return deny(R.ORDER_ID_DUPLICATE, 1, order_id) if order_id in r.book.ids else None


def trading_state(r: Request) -> Denial | None:
    """HALTED lets nothing pass, REDUCING (and the flag reduce_only) what shrinks a position."""
    order = r.order
    state, scope = r.book.trading_state, GLOBAL
    own = r.book.strategy_states.get(order.strategy_id)
    if own is not None and state is not TradingState.HALTED and own is not TradingState.ACTIVE:
        state, scope = own, f"strategy:{order.strategy_id}"
    if state is TradingState.HALTED and not r.by_risk:
        reason = R.TRADING_HALTED if scope == GLOBAL else R.STRATEGY_STOPPED
        return deny(reason, TradingState.ACTIVE, state, scope)
    if state is TradingState.ACTIVE and not order.reduce_only:
        return None
    position = r.book.position(order.venue, order.instrument_id)
    working = r.book.working_quantity(order.venue, order.instrument_id, order.side)
    wanted, old = order.quantity, r.book.order(order.replaces) if order.replaces else None
    if old is not None:  # that one works no more, and what it filled counts towards this one
        working -= old.leaves_quantity
        wanted -= old.filled_quantity
    reducible = max(ZERO, -order.side.sign * position - working)
    if order.quantity.is_finite() and wanted <= reducible:
        return None
    return deny(R.TRADING_REDUCING_ONLY, reducible, wanted, scope)


def instrument_known(r: Request) -> Denial | None:
    """Only what the feed has described may be traded."""
    name = f"{r.order.venue}.{r.order.instrument_id}"
    return deny(R.INSTRUMENT_UNKNOWN, "known", name) if r.instrument is None else None


def instrument_trading(r: Request) -> Denial | None:
    """The venue may have paused it."""
    return None if r.rules.trading else deny(R.INSTRUMENT_NOT_TRADING, "trading", "paused")


def quantity_positive(r: Request) -> Denial | None:
    """A quantity is a number above 0."""
    quantity = r.order.quantity
    ok = quantity.is_finite() and quantity > 0
    return None if ok else deny(R.QUANTITY_NOT_POSITIVE, 0, quantity)


def quantity_max(r: Request) -> Denial | None:
    """The venue's most, which for MARKET may be less."""
    limit = r.rules.quantity_max or SANE_MAX
    if not r.order.order_type.has_limit and r.rules.market_quantity_max:
        limit = min(limit, r.rules.market_quantity_max)
    return deny(R.QUANTITY_ABOVE_MAX, limit, r.order.quantity) if r.order.quantity > limit else None


def quantity_min(r: Request) -> Denial | None:
    """The venue's least."""
    limit = r.rules.quantity_min
    return deny(R.QUANTITY_BELOW_MIN, limit, r.order.quantity) if r.order.quantity < limit else None


def quantity_lot(r: Request) -> Denial | None:
    """Whole lots only."""
    lot = r.rules.lot_size
    if lot > 0 and r.order.quantity % lot:
        return deny(R.QUANTITY_NOT_LOT_MULTIPLE, lot, r.order.quantity)
    return None


def price_given(r: Request) -> Denial | None:
    """LIMIT has a price, MARKET has none; so with stops and take-profits of either kind."""
    price = r.order.price
    kind = r.order.order_type
    if kind.has_limit:
        return deny(R.PRICE_MISSING, kind, price) if price is None else None
    return deny(R.PRICE_UNEXPECTED, kind, price) if price is not None else None


def price_positive(r: Request) -> Denial | None:
    """A price is a number above 0."""
    price = r.order.price
    if price is None or (price.is_finite() and price > 0):
        return None
    return deny(R.PRICE_NOT_POSITIVE, 0, price)


def price_range(r: Request) -> Denial | None:
    """The venue's least and most."""
    price = r.order.price
    low, high = r.rules.price_min, r.rules.price_max or SANE_MAX
    if price is None or low <= price <= high:
        return None
    return deny(R.PRICE_OUT_OF_RANGE, f"{low}..{high}", price)


def price_tick(r: Request) -> Denial | None:
    """Whole ticks only."""
    price, tick = r.order.price, r.rules.tick_size
    if price is not None and tick > 0 and price % tick:
        return deny(R.PRICE_NOT_TICK_MULTIPLE, tick, price)
    return None


def market_data(r: Request) -> Denial | None:
    """Nobody trades blind: both sides of the book, in sync, and lately."""
    top = r.top
    if top is None or top.bid <= 0 or top.ask <= 0:
        return deny(R.MARKET_DATA_MISSING, "bid and ask", "none" if top is None else "one side")
    trouble = r.book.feeds.get((top.venue, top.instrument_id))
    if top.stale or trouble is not None:
        state = "stale" if trouble is None else trouble.state
        return deny(R.MARKET_DATA_STALE, FeedState.LIVE, state)
    age_ms = (r.now_ns - top.ts_recv) // 1_000_000
    if age_ms > r.limits.market_data_age_ms_max:
        limit, scope = r.limits.market_data_age_ms_max, r.limits.scopes["market_data_age_ms_max"]
        return deny(R.MARKET_DATA_STALE, f"{limit}ms", f"{age_ms}ms", scope)
    return None


def price_deviation(r: Request) -> Denial | None:
    """The expected price lies near the middle of the book, on either side.

    An order that waits for a trigger is measured from there: that is where its market will be.
    """
    mid = r.mid if r.order.trigger_price is None else r.order.trigger_price
    bps = abs(r.expected_price - mid) / mid * 10_000
    limit = r.limits.price_deviation_bps_max
    return (
        deny(
            R.PRICE_DEVIATION_ABOVE_MAX, f"{limit}bps", f"{bps:.1f}bps",
            r.limits.scopes["price_deviation_bps_max"],
        )
        if bps > limit
        else None
    )  # fmt: skip


def notional(r: Request) -> Denial | None:
    """Value at the expected price: the venue's least and most, and our most."""
    value = r.rules.notional(r.expected_price, r.order.quantity)
    if value < r.rules.notional_min:
        return deny(R.NOTIONAL_BELOW_MIN, r.rules.notional_min, value)
    limit, scope = r.limits.order_notional_max, r.limits.scopes["order_notional_max"]
    if r.rules.notional_max and r.rules.notional_max < limit:
        limit, scope = r.rules.notional_max, f"venue:{r.order.venue}"
    return deny(R.NOTIONAL_ABOVE_MAX, limit, value, scope) if value > limit else None


def position_limit(r: Request) -> Denial | None:
    """The position if this order and all that works on its side filled; reducing always passes."""
    order = r.order
    position = r.book.positions.get((order.venue, order.instrument_id), ZERO)
    working = r.book.working_quantity(order.venue, order.instrument_id, order.side)
    worst = position + order.side.sign * (working + r.added_quantity)
    value = abs(worst) * r.mid
    limit = r.limits.position_notional_max
    if value <= limit or abs(worst) <= abs(position):
        return None
    return deny(R.POSITION_ABOVE_MAX, limit, value, r.limits.scopes["position_notional_max"])


def order_count(r: Request) -> Denial | None:
    """Working orders of the strategy, this one included; it may be in the place of another."""
    count = r.book.open_orders.get(r.order.strategy_id, 0) + (not r.order.replaces)
    limit = r.limits.open_orders_max
    if count <= limit:
        return None
    return deny(R.ORDER_COUNT_ABOVE_MAX, limit, count, r.limits.scopes["open_orders_max"])


def order_rate(r: Request) -> Denial | None:
    """Orders let through within one second: of the strategy, at the venue, and of all."""
    for rate in r.rates:
        if rate.is_exhausted(r.now_ns):
            limit = rate.limit
            return deny(R.ORDER_RATE_ABOVE_MAX, f"{limit}/s", f"{limit + 1}/s", rate.scope)
    return None
