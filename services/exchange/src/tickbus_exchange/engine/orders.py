"""The engine's vocabulary: what is asked, what stands in the book, what happened.

Prices, quantities and amounts are integers in 1e-8 units; times are integer milliseconds UTC.
"""

from enum import StrEnum

import msgspec


class Side(StrEnum):
    """Direction of an order."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """LIMIT_MAKER is a LIMIT order that is refused where it would take.

    The last four wait outside the book until a trade reaches their stop price; then those with
    LIMIT in their name become limit orders, the others market orders.
    """

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


STOP_TYPES = frozenset(
    {
        OrderType.STOP_LOSS,
        OrderType.STOP_LOSS_LIMIT,
        OrderType.TAKE_PROFIT,
        OrderType.TAKE_PROFIT_LIMIT,
    }
)
MARKET_TYPES = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
"""Orders without a price of their own: once they work they trade at any price."""
STOP_LIMIT_TYPES = STOP_TYPES - MARKET_TYPES


class TimeInForce(StrEnum):
    """How long an order stands: until cancelled, not at all, or all at once or not at all."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(StrEnum):
    """Where an order is in its life; every status but the first two is final."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"


class ExecutionType(StrEnum):
    """What a report tells."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    TRADE_PREVENTION = "TRADE_PREVENTION"
    REPLACED = "REPLACED"


class SelfTradePrevention(StrEnum):
    """Whose order gives way when an account meets itself; the taker's mode decides."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class Refusal(StrEnum):
    """Why the engine did not take a request."""

    PRICE_FILTER = "PRICE_FILTER"
    PERCENT_PRICE_BY_SIDE = "PERCENT_PRICE_BY_SIDE"
    LOT_SIZE = "LOT_SIZE"
    MARKET_LOT_SIZE = "MARKET_LOT_SIZE"
    NOTIONAL = "NOTIONAL"
    MAX_NUM_ORDERS = "MAX_NUM_ORDERS"
    MAX_NUM_ALGO_ORDERS = "MAX_NUM_ALGO_ORDERS"
    MAX_NUM_ORDER_AMENDS = "MAX_NUM_ORDER_AMENDS"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    WOULD_TAKE = "WOULD_TAKE"
    WOULD_TRIGGER = "WOULD_TRIGGER"
    DUPLICATE = "DUPLICATE"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    AMEND_INCREASE = "AMEND_INCREASE"
    AMEND_BELOW_FILLED = "AMEND_BELOW_FILLED"
    AMEND_NOTHING = "AMEND_NOTHING"


FILTER_REFUSALS = frozenset(
    {
        Refusal.PRICE_FILTER,
        Refusal.PERCENT_PRICE_BY_SIDE,
        Refusal.LOT_SIZE,
        Refusal.MARKET_LOT_SIZE,
        Refusal.NOTIONAL,
        Refusal.MAX_NUM_ORDERS,
        Refusal.MAX_NUM_ALGO_ORDERS,
        Refusal.MAX_NUM_ORDER_AMENDS,
    }
)


class OrderRequest(msgspec.Struct, gc=False):
    """A wish to trade. `quote_quantity` (quote units to spend or earn) replaces `quantity`.

    An order that trades at any price has price 0, one that waits for no price stop_price 0.
    """

    symbol: str
    side: Side
    type: OrderType
    quantity: int = 0
    price: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    quote_quantity: int = 0
    client_order_id: str = ""
    stp: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER
    stop_price: int = 0
    reduce_only: bool = False


class Order(msgspec.Struct, gc=False, eq=False):
    """An order in the engine. Live: filled + prevented + leaves = quantity."""

    order_id: int
    client_order_id: str
    account_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: int
    quantity: int
    quote_quantity: int
    stp: SelfTradePrevention
    time_ms: int
    filled: int = 0
    quote_filled: int = 0
    prevented: int = 0
    locked: int = 0
    status: OrderStatus = OrderStatus.NEW
    stop_price: int = 0
    triggered_ms: int = 0
    amendments: int = 0
    reduce_only: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether the order still waits for its stop price, outside the book."""
        return self.stop_price != 0 and self.triggered_ms == 0

    @property
    def leaves(self) -> int:
        """Quantity still wanted, in base units."""
        return self.quantity - self.filled

    @property
    def is_live(self) -> bool:
        """Whether the order can still trade."""
        return self.status is OrderStatus.NEW or self.status is OrderStatus.PARTIALLY_FILLED


class Trade(msgspec.Struct, gc=False, frozen=True):
    """One match, at the maker's price."""

    symbol: str
    trade_id: int
    price: int
    quantity: int
    quote: int
    buyer_order_id: int
    seller_order_id: int
    taker_order_id: int
    buyer_is_maker: bool
    time_ms: int


class Report(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """An order of a tracked account as it stood right after one event, with both balances.

    `cancel_client_order_id` names the cancel request, `client_order_id` always the order, and
    `former_client_order_id` what an amended order was called before. `fee_asset_free` and
    `fee_asset_locked` are its balance where the fee was paid in neither base nor quote.
    """

    account_id: str
    symbol: str
    order_id: int
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: int
    quantity: int
    quote_quantity: int
    stp: SelfTradePrevention
    execution_type: ExecutionType
    status: OrderStatus
    filled: int
    quote_filled: int
    time_ms: int
    transact_ms: int
    execution_id: int
    base_free: int
    base_locked: int
    quote_free: int
    quote_locked: int
    working: bool = False
    last_quantity: int = 0
    last_price: int = 0
    last_quote: int = 0
    fee: int = 0
    fee_asset: str = ""
    trade_id: int = -1
    is_maker: bool = False
    cancel_client_order_id: str = ""
    prevented: int = 0
    last_prevented: int = 0
    prevented_match_id: int = -1
    counter_order_id: int = -1
    counter_price: int = 0
    stop_price: int = 0
    triggered_ms: int = 0
    """When the stop price was reached, 0 for not yet."""
    amendments: int = 0
    former_client_order_id: str = ""
    former_quantity: int = 0
    fee_asset_free: int = 0
    fee_asset_locked: int = 0

    @property
    def is_live(self) -> bool:
        """Whether the order could still trade after this report."""
        return self.status is OrderStatus.NEW or self.status is OrderStatus.PARTIALLY_FILLED

    @property
    def working_ms(self) -> int:
        """When the order began to work, -1 for a stop order that waits."""
        return self.time_ms if not self.stop_price else self.triggered_ms or -1


class Transfer(msgspec.Struct, gc=False, frozen=True):
    """A deposit (`amount` above 0) or a withdrawal (below 0), with the balance it left."""

    account_id: str
    transfer_id: int
    asset: str
    amount: int
    time_ms: int
    free: int
    locked: int
