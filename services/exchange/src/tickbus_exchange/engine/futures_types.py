"""The vocabulary of USD-M futures: orders, fills, positions, income, and what changed at once.

All are frozen facts. Prices, quantities and amounts are integers in 1e-8 units, amounts in USDT;
times are integer milliseconds UTC. A `Changes` is all that one event did, so that it is kept or
lost as a whole.
"""

from enum import StrEnum

import msgspec

from tickbus_exchange.engine.orders import OrderStatus, SelfTradePrevention, Side, Transfer

ASSET = "USDT"


class FuturesType(StrEnum):
    """What stands in the market; conditional orders are algo orders. LIQUIDATION is the venue's."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIQUIDATION = "LIQUIDATION"


class FuturesTif(StrEnum):
    """GTX is post only; GTD ends at a given time."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    GTD = "GTD"


class AlgoType(StrEnum):
    """What a conditional order waits for, and what it becomes."""

    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"


class WorkingType(StrEnum):
    """The price that triggers: the last trade's or the mark."""

    CONTRACT_PRICE = "CONTRACT_PRICE"
    MARK_PRICE = "MARK_PRICE"


class AlgoStatus(StrEnum):
    """Where a conditional order is in its life."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Execution(StrEnum):
    """What an order report tells; CALCULATED is a fill of a liquidation."""

    NEW = "NEW"
    TRADE = "TRADE"
    CALCULATED = "CALCULATED"
    AMENDMENT = "AMENDMENT"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class IncomeType(StrEnum):
    """Why the wallet changed."""

    TRANSFER = "TRANSFER"
    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    FUNDING_FEE = "FUNDING_FEE"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"


class FuturesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to trade a perpetual. `good_till_ms` is of GTD alone."""

    symbol: str
    side: Side
    type: FuturesType
    quantity: int
    price: int = 0
    time_in_force: FuturesTif = FuturesTif.GTC
    client_order_id: str = ""
    reduce_only: bool = False
    stp: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER
    good_till_ms: int = 0
    price_match: str = "NONE"
    orig_type: str = ""
    stop_price: int = 0
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    close_position: bool = False


class FuturesOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as it stood after one event. Live: filled + leaves = quantity."""

    order_id: int
    client_order_id: str
    symbol: str
    side: Side
    type: FuturesType
    time_in_force: FuturesTif
    price: int
    quantity: int
    stp: SelfTradePrevention
    time_ms: int
    update_ms: int
    reduce_only: bool = False
    good_till_ms: int = 0
    price_match: str = "NONE"
    orig_type: str = ""
    stop_price: int = 0
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    close_position: bool = False
    status: OrderStatus = OrderStatus.NEW
    filled: int = 0
    quote_filled: int = 0
    amendments: int = 0

    @property
    def leaves(self) -> int:
        """Quantity still wanted."""
        return self.quantity - self.filled

    @property
    def is_live(self) -> bool:
        """Whether the order can still trade."""
        return self.status is OrderStatus.NEW or self.status is OrderStatus.PARTIALLY_FILLED


class FuturesFill(msgspec.Struct, frozen=True):
    """One fill. `commission` above 0 is paid; `realized` is profit before commission."""

    symbol: str
    trade_id: int
    order_id: int
    client_order_id: str
    side: Side
    price: int
    quantity: int
    quote: int
    commission: int
    realized: int
    is_maker: bool
    time_ms: int


class Income(msgspec.Struct, frozen=True):
    """One change of the wallet, signed. `trade_id` is 0 where no fill caused it."""

    income_id: int
    symbol: str
    type: IncomeType
    amount: int
    time_ms: int
    trade_id: int = 0


class Settings(msgspec.Struct, frozen=True):
    """What the user chose for a symbol."""

    symbol: str
    leverage: int


class Position(msgspec.Struct, frozen=True):
    """What is held of one symbol: `quantity` below 0 is short, `cost` is what opened it, >= 0."""

    symbol: str
    quantity: int = 0
    cost: int = 0
    realized: int = 0
    """Profit realised so far, commission not in it."""
    update_ms: int = 0


class AlgoOrder(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A conditional order. `callback_rate` is in 1e-8 percent; `peak` is the best price seen."""

    algo_id: int
    client_algo_id: str
    symbol: str
    side: Side
    type: AlgoType
    quantity: int
    price: int
    trigger_price: int
    time_in_force: FuturesTif
    working_type: WorkingType
    stp: SelfTradePrevention
    create_ms: int
    update_ms: int
    close_position: bool = False
    reduce_only: bool = False
    price_protect: bool = False
    callback_rate: int = 0
    activate_price: int = 0
    is_active: bool = True
    """Whether a trailing stop already follows the price."""
    peak: int = 0
    good_till_ms: int = 0
    price_match: str = "NONE"
    status: AlgoStatus = AlgoStatus.NEW
    trigger_ms: int = 0
    order_id: int = 0
    """The order it became, 0 before."""
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it still waits."""
        return self.status is AlgoStatus.NEW


class Countdown(msgspec.Struct, frozen=True):
    """The dead man's switch of one symbol: at `due_ms` its orders are cancelled; 0 is off."""

    symbol: str
    countdown_ms: int
    due_ms: int


class Changes(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that one event did to the account, each thing as it stands afterwards.

    `execution` tells what happened to the one order in `orders`; `reason` why balances or positions
    moved, in the venue's words, "" where they did not. `spot` is what it did to the spot wallet.
    """

    time_ms: int
    execution: str = ""
    reason: str = ""
    orders: tuple[FuturesOrder, ...] = ()
    fills: tuple[FuturesFill, ...] = ()
    income: tuple[Income, ...] = ()
    positions: tuple[Position, ...] = ()
    algos: tuple[AlgoOrder, ...] = ()
    settings: tuple[Settings, ...] = ()
    countdowns: tuple[Countdown, ...] = ()
    spot: tuple[Transfer, ...] = ()
