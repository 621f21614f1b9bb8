"""Binance's symbol filters: each is one pure function, all are asked in one order."""

from collections.abc import Callable

import msgspec

from tickbus_exchange.engine.numbers import SCALE, notional
from tickbus_exchange.engine.orders import MARKET_TYPES, OrderRequest, OrderType, Refusal, Side


class SymbolRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be traded how. Prices, quantities and multipliers in 1e-8 units."""

    symbol: str
    base: str
    quote: str
    tick_size: int
    step_size: int
    price_min: int
    price_max: int
    quantity_min: int
    quantity_max: int
    market_quantity_max: int
    notional_min: int = 5 * SCALE
    notional_max: int = 9_000_000 * SCALE
    price_multiplier_up: int = 5 * SCALE
    price_multiplier_down: int = SCALE // 5
    orders_max: int = 200
    average_price_minutes: int = 5
    algo_orders_max: int = 5
    amendments_max: int = 10

    def __post_init__(self) -> None:
        """Refuse steps that would make a traded amount inexact."""
        if self.tick_size * self.step_size % SCALE:
            raise ValueError(
                f"{self.symbol}: tick_size {self.tick_size} times step_size {self.step_size} is "
                f"not a whole number of 1e-8 {self.quote}; choose a larger step"
            )


class Situation(msgspec.Struct, gc=False):
    """What a filter may look at besides the request and the rules."""

    average_price: int
    working_orders: int
    stop_orders: int = 0


Filter = Callable[[OrderRequest, SymbolRules, Situation], bool]


def price_filter(request: OrderRequest, rules: SymbolRules, _: Situation) -> bool:
    """Check range and tick of the price and of the stop price, where there are any."""
    prices: tuple[int, ...] = () if request.type in MARKET_TYPES else (request.price,)
    if request.stop_price:
        prices += (request.stop_price,)
    return all(
        rules.price_min <= price <= rules.price_max and price % rules.tick_size == 0
        for price in prices
    )


def percent_price_by_side(request: OrderRequest, rules: SymbolRules, now: Situation) -> bool:
    """Check that the price is not absurdly far from the average price."""
    if request.type in MARKET_TYPES or not now.average_price:
        return True
    scaled = request.price * SCALE
    low = now.average_price * rules.price_multiplier_down
    return low <= scaled <= now.average_price * rules.price_multiplier_up


def lot_size(request: OrderRequest, rules: SymbolRules, _: Situation) -> bool:
    """Check the quantity's range and step."""
    if request.quote_quantity:
        return True
    in_range = rules.quantity_min <= request.quantity <= rules.quantity_max
    return in_range and request.quantity % rules.step_size == 0


def market_lot_size(request: OrderRequest, rules: SymbolRules, _: Situation) -> bool:
    """Check the size of a market order."""
    return request.type not in MARKET_TYPES or request.quantity <= rules.market_quantity_max


def notional_range(request: OrderRequest, rules: SymbolRules, now: Situation) -> bool:
    """Check price times quantity; a market order is valued at the average price, no maximum."""
    if request.type in MARKET_TYPES:
        value = request.quote_quantity or notional(now.average_price, request.quantity)
        return value >= rules.notional_min
    return rules.notional_min <= notional(request.price, request.quantity) <= rules.notional_max


def max_num_orders(request: OrderRequest, rules: SymbolRules, now: Situation) -> bool:
    """Check the number of open orders; only orders that may rest count against it."""
    return request.type is OrderType.MARKET or now.working_orders < rules.orders_max


def max_num_algo_orders(request: OrderRequest, rules: SymbolRules, now: Situation) -> bool:
    """Check the number of open stop orders."""
    return not request.stop_price or now.stop_orders < rules.algo_orders_max


FILTERS: tuple[tuple[Refusal, Filter], ...] = (
    (Refusal.PRICE_FILTER, price_filter),
    (Refusal.PERCENT_PRICE_BY_SIDE, percent_price_by_side),
    (Refusal.LOT_SIZE, lot_size),
    (Refusal.MARKET_LOT_SIZE, market_lot_size),
    (Refusal.NOTIONAL, notional_range),
    (Refusal.MAX_NUM_ORDERS, max_num_orders),
    (Refusal.MAX_NUM_ALGO_ORDERS, max_num_algo_orders),
)


def first_failure(request: OrderRequest, rules: SymbolRules, now: Situation) -> Refusal | None:
    """Return the first filter that `request` fails, None when it passes all."""
    for refusal, passes in FILTERS:
        if not passes(request, rules, now):
            return refusal
    return None


def opposite(side: Side) -> Side:
    """Return the other side."""
    return Side.SELL if side is Side.BUY else Side.BUY
