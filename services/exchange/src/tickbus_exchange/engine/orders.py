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
    """LIMIT_MAKER is a LIMIT order that is refused where it would take."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"


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
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    WOULD_TAKE = "WOULD_TAKE"
    DUPLICATE = "DUPLICATE"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"


FILTER_REFUSALS = frozenset(
    {
        Refusal.PRICE_FILTER,
        Refusal.PERCENT_PRICE_BY_SIDE,
        Refusal.LOT_SIZE,
        Refusal.MARKET_LOT_SIZE,
        Refusal.NOTIONAL,
        Refusal.MAX_NUM_ORDERS,
    }
)


class OrderRequest(msgspec.Struct, gc=False):
    """A wish to trade. `quote_quantity` (quote units to spend or earn) replaces `quantity`."""

    symbol: str
    side: Side
    type: OrderType
    quantity: int = 0
    price: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    quote_quantity: int = 0
    client_order_id: str = ""
    stp: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER


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

    `cancel_client_order_id` names the cancel request, `client_order_id` always the order.
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

    @property
    def is_live(self) -> bool:
        """Whether the order could still trade after this report."""
        return self.status is OrderStatus.NEW or self.status is OrderStatus.PARTIALLY_FILLED
