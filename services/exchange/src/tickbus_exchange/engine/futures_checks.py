"""What a futures order must pass: pure checks, asked in one order, each with its own refusal."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.futures_types import FuturesRequest, FuturesTif, FuturesType
from tickbus_exchange.engine.numbers import SCALE, notional
from tickbus_exchange.engine.orders import Side

PERCENT_UP = SCALE * 105 // 100
PERCENT_DOWN = SCALE * 95 // 100
"""A buy may be priced so far above the mark, a sell so far below it."""
GOOD_TILL_MIN_MS = 600_000
GOOD_TILL_MAX_MS = 253_402_300_799_000


class FuturesRefusal(StrEnum):
    """Why the futures desk did not take a request."""

    PRICE_BELOW_MIN = "PRICE_BELOW_MIN"
    PRICE_ABOVE_MAX = "PRICE_ABOVE_MAX"
    TICK_SIZE = "TICK_SIZE"
    QUANTITY_BELOW_MIN = "QUANTITY_BELOW_MIN"
    QUANTITY_ABOVE_MAX = "QUANTITY_ABOVE_MAX"
    STEP_SIZE = "STEP_SIZE"
    PRICE_TOO_HIGH = "PRICE_TOO_HIGH"
    PRICE_TOO_LOW = "PRICE_TOO_LOW"
    MARKET_PRICE = "MARKET_PRICE"
    MIN_NOTIONAL = "MIN_NOTIONAL"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    GOOD_TILL = "GOOD_TILL"
    DUPLICATE = "DUPLICATE"
    REDUCE_ONLY = "REDUCE_ONLY"
    MAX_POSITION = "MAX_POSITION"
    MARGIN = "MARGIN"
    FOK = "FOK"
    POST_ONLY = "POST_ONLY"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    LIMIT_ONLY = "LIMIT_ONLY"
    NO_CHANGE = "NO_CHANGE"
    MAX_AMENDMENTS = "MAX_AMENDMENTS"
    WOULD_TRIGGER = "WOULD_TRIGGER"
    MAX_CONDITIONAL = "MAX_CONDITIONAL"
    LEVERAGE = "LEVERAGE"
    BALANCE = "BALANCE"


class Refused(msgspec.Struct, frozen=True):
    """A refusal, and the limit it names, in 1e-8 units, where it names one."""

    reason: FuturesRefusal
    limit: int = 0


class Prices(msgspec.Struct, frozen=True):
    """What a check looks at besides the request: the mark, and the best price to trade at."""

    mark: int
    opposite: int
    now_ms: int


Check = Callable[[FuturesRequest, SymbolRules, Prices], Refused | None]


def _is_limit(request: FuturesRequest) -> bool:
    return request.type is FuturesType.LIMIT


def price_range(request: FuturesRequest, rules: SymbolRules, _: Prices) -> Refused | None:
    """Check the price's range and tick, counted from its minimum."""
    if not _is_limit(request):
        return None
    if request.price < rules.price_min:
        return Refused(FuturesRefusal.PRICE_BELOW_MIN, rules.price_min)
    if request.price > rules.price_max:
        return Refused(FuturesRefusal.PRICE_ABOVE_MAX, rules.price_max)
    if (request.price - rules.price_min) % rules.tick_size:
        return Refused(FuturesRefusal.TICK_SIZE, rules.tick_size)
    return None


def quantity_range(request: FuturesRequest, rules: SymbolRules, _: Prices) -> Refused | None:
    """Check the quantity's range and step, counted from its minimum."""
    most = rules.quantity_max if _is_limit(request) else rules.market_quantity_max
    if request.quantity < rules.quantity_min:
        return Refused(FuturesRefusal.QUANTITY_BELOW_MIN, rules.quantity_min)
    if request.quantity > most:
        return Refused(FuturesRefusal.QUANTITY_ABOVE_MAX, most)
    if (request.quantity - rules.quantity_min) % rules.step_size:
        return Refused(FuturesRefusal.STEP_SIZE, rules.step_size)
    return None


def percent_price(request: FuturesRequest, _: SymbolRules, prices: Prices) -> Refused | None:
    """Check that the price is not absurd beside the mark; of a market order, the best price."""
    high, low = notional(prices.mark, PERCENT_UP), notional(prices.mark, PERCENT_DOWN)
    price = request.price if _is_limit(request) else prices.opposite
    if request.side is Side.BUY and price > high:
        reason = FuturesRefusal.PRICE_TOO_HIGH
        return Refused(reason if _is_limit(request) else FuturesRefusal.MARKET_PRICE, high)
    if request.side is Side.SELL and 0 < price < low:
        reason = FuturesRefusal.PRICE_TOO_LOW
        return Refused(reason if _is_limit(request) else FuturesRefusal.MARKET_PRICE, low)
    return None


def min_notional(request: FuturesRequest, rules: SymbolRules, prices: Prices) -> Refused | None:
    """Check price times quantity; a market order is valued at the mark, reduce-only is exempt."""
    price = request.price if _is_limit(request) else prices.mark
    if request.reduce_only or notional(price, request.quantity) >= rules.notional_min:
        return None
    return Refused(FuturesRefusal.MIN_NOTIONAL, rules.notional_min)


def good_till(request: FuturesRequest, _: SymbolRules, prices: Prices) -> Refused | None:
    """Check that a GTD order stands ten minutes at least."""
    if request.time_in_force is not FuturesTif.GTD:
        return None
    earliest = prices.now_ms + GOOD_TILL_MIN_MS
    in_range = earliest < request.good_till_ms < GOOD_TILL_MAX_MS
    return None if in_range else Refused(FuturesRefusal.GOOD_TILL)


CHECKS: tuple[Check, ...] = (price_range, quantity_range, percent_price, min_notional, good_till)


def first_refusal(request: FuturesRequest, rules: SymbolRules, prices: Prices) -> Refused | None:
    """Return the first check that `request` fails, None when it passes all."""
    for check in CHECKS:
        refused = check(request, rules, prices)
        if refused is not None:
            return refused
    return None
