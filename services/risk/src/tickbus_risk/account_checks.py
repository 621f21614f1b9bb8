"""The checks of an order against all that we hold, work and have lost: pure functions, no loops."""

from decimal import Decimal

from tickbus.events import (
    GLOBAL,
    SMART_VENUE,
    DenialReason,
    OrderType,
    Side,
    StopCause,
    SubmitOrder,
    TradingState,
)
from tickbus_risk.checks import Request, decimal
from tickbus_risk.denial import Denial, deny
from tickbus_risk.exposure import Slot, Sums, add, mul, sub

ZERO = Decimal(0)
R = DenialReason

CAUSES = {
    StopCause.DAILY_LOSS: R.DAILY_LOSS_ABOVE_MAX,
    StopCause.DRAWDOWN: R.DRAWDOWN_ABOVE_MAX,
    StopCause.PROFIT_TARGET: R.PROFIT_TARGET_REACHED,
}
"""The reason by which an order is refused when it finds a loss first."""


def heartbeat(r: Request) -> Denial | None:
    """A strategy that fell silent gets no more orders through before it is heard again."""
    lost = r.book.heartbeats.lost
    if not lost or r.order.strategy_id not in lost:
        return None
    strategy_id = r.order.strategy_id
    own = r.config.strategies.get(strategy_id)
    limit = own.heartbeat_timeout_s if own is not None else None
    scope = GLOBAL if limit is None else f"strategy:{strategy_id}"
    limit = r.config.heartbeat_timeout_s if limit is None else limit
    silent_s = f"{r.book.heartbeats.silent_ns(strategy_id) / 1e9:.1f}s"
    return deny(R.STRATEGY_HEARTBEAT_LOST, f"{limit}s", silent_s, scope)


def exposure(r: Request) -> Denial | None:
    """Gross and net exposure with this order working, of all, of the venue and of the strategy."""
    order, config, exposures = r.order, r.config, r.book.exposures
    key = (order.venue, order.instrument_id)
    exposures.notice(key)
    if r.rules.quote != exposures.currency and exposures.rate(key) is None:
        return deny(R.MARKET_DATA_MISSING, f"{r.rules.quote}-{exposures.currency}", "none", GLOBAL)
    slot = exposures.peek(key)
    limits = (config.gross_exposure_max, config.net_exposure_max)
    denial = _exposure(r, slot, exposures.sums(GLOBAL), limits, GLOBAL)
    venue = config.venues.get(order.venue)
    if denial is None and venue is not None:
        scope = f"venue:{order.venue}"
        limits_of = (venue.gross_exposure_max, venue.net_exposure_max)
        denial = _exposure(r, slot, exposures.sums(scope), limits_of, scope)
    own = config.strategies.get(order.strategy_id)
    if denial is None and own is not None:
        scope = f"strategy:{order.strategy_id}"
        limits_of = (own.gross_exposure_max, own.net_exposure_max)
        slot = exposures.peek(key, order.strategy_id)
        denial = _exposure(r, slot, exposures.sums(scope), limits_of, scope)
    return denial


def _exposure(
    r: Request, slot: Slot, sums: Sums, limits: tuple[Decimal | None, Decimal | None], scope: str
) -> Denial | None:
    gross_max, net_max = limits
    if gross_max is None and net_max is None:
        return None
    quantity = r.added_quantity
    buys = r.order.side is Side.BUY
    gross, top, low = slot.worst(quantity, ZERO) if buys else slot.worst(ZERO, quantity)
    # What does not make it larger always passes: it is the way back below the limit.
    if gross_max is not None and gross > slot.gross:
        value = add(sums.gross, sub(gross, slot.gross))
        if value > gross_max:
            return deny(R.GROSS_EXPOSURE_ABOVE_MAX, gross_max, value, scope)
    if net_max is not None:
        value = (
            add(sums.long, sub(top, slot.long)) if buys else -add(sums.short, sub(low, slot.short))
        )
        if value > net_max:
            return deny(R.NET_EXPOSURE_ABOVE_MAX, net_max, value, scope)
    return None


def balance(r: Request) -> Denial | None:
    """A spot order is covered by what is free at the venue and not held by an order on its way."""
    if not r.config.balance_check or not is_spot(r.order):
        return None
    balances = r.book.balances
    key, needed = balances.needed(r.order, r.rules, r.expected_price)
    free = balances.available(key)
    if free is not None and r.order.replaces:
        free = add(free, _freed(r))
    scope = f"venue:{key[0]} asset={key[1]}"
    if free is None:
        return deny(R.BALANCE_UNKNOWN, "unknown", needed, scope)
    return deny(R.BALANCE_INSUFFICIENT, free, needed, scope) if needed > free else None


def _freed(r: Request) -> Decimal:
    # What the order that this one replaces ties up; it is cancelled before this one is sent.
    old = r.book.order(r.order.replaces)
    if old is None or not old.is_working:
        return ZERO
    price = old.price or old.trigger_price or r.expected_price
    return old.leaves_quantity if old.side is Side.SELL else mul(old.leaves_quantity, price)


def is_spot(order: SubmitOrder) -> bool:
    """Whether it moves whole balances at its venue: `BTC-USDT`, not `BTC-USDT-260327`.

    An order that is to be routed moves none: its parts do, each at its venue.
    """
    return order.instrument_id.count("-") == 1 and order.venue != SMART_VENUE


def self_trade(r: Request) -> Denial | None:
    """It would not meet an order of our own, whichever strategy's."""
    order = r.order
    if order.post_only or order.order_type.has_trigger or r.config.self_trade != "deny":
        return None  # a venue refuses a post-only order that would meet anything; a trigger waits
    best = r.book.resting.best(order.venue, order.instrument_id, order.side.opposite)
    if best is None or (order.price is not None and (order.price - best) * order.side.sign < 0):
        return None
    # Ours is reached behind the best price at the earliest, and that alone may be enough.
    assert r.top is not None
    buys = order.side is Side.BUY
    edge, size = (r.top.ask, r.top.ask_size) if buys else (r.top.bid, r.top.bid_size)
    behind = (best - decimal(edge)) * order.side.sign > 0
    if behind and order.quantity <= decimal(size):
        return None
    value = OrderType.MARKET if order.price is None else order.price
    return deny(R.SELF_TRADE, best, value, f"venue:{order.venue}")


def orders_per_fill(r: Request) -> Denial | None:
    """Orders let through per fill within the last ten minutes, where that is limited.

    The first orders of a quiet time are measured as if one fill had come. What only reduces a
    position is never kept from it.
    """
    ratios = r.limits.orders_per_fill
    if not ratios or r.order.reduce_only or r.by_risk:
        return None
    for limit, scope in ratios:
        orders, fills = r.book.traffic.counts(scope, r.book.now_ns)
        if orders + 1 > limit * max(fills, 1):
            value = f"{orders + 1}/{fills}"
            return deny(R.ORDERS_PER_FILL_ABOVE_MAX, f"{limit}/1", value, scope)
    return None


def losses(r: Request) -> Denial | None:
    """Daily loss, drawdown and target of everything and of the strategy, at this very moment."""
    book, strategy_id = r.book, r.order.strategy_id
    if r.by_risk or not book.losses.trusted:
        return None
    # A scope that is stopped already lets through what reduces: that is behind us here.
    if book.trading_state is TradingState.ACTIVE:
        breach = book.losses.breach(GLOBAL, r.config)
        if breach is not None:
            return deny(CAUSES[breach.cause], breach.limit, breach.value, GLOBAL)
    if strategy_id not in r.config.strategies:
        return None
    scope = f"strategy:{strategy_id}"
    if book.strategy_states.get(strategy_id, TradingState.ACTIVE) is not TradingState.ACTIVE:
        return None
    breach = book.losses.breach(scope, r.config)
    return None if breach is None else deny(CAUSES[breach.cause], breach.limit, breach.value, scope)
