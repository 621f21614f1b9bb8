"""What the books are made of, between the core that keeps them and the database that holds them."""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from tickbus.events import EquityPoint, OrderFilled
from tickbus.order import Order
from tickbus.portfolio import Drawdown, Position
from tickbus_ledger.log import GENESIS, LogRow

ZERO = Decimal(0)

Key = tuple[str, str]
"""(venue, asset) of a balance, (venue, instrument id) of a position."""
StrategyKey = tuple[str, str, str]
"""(strategy id, venue, instrument id)."""


class Account(msgspec.Struct, kw_only=True):
    """One asset at one venue; times are the venue's, in ns.

    `ts_opened` is when the opening was read, 0 before; `ts_touched` that of the last fill that
    moved it.
    """

    opening: Decimal = ZERO
    ts_opened: int = 0
    reported: Decimal | None = None
    ts_reported: int = 0
    ts_touched: int = 0


class Entry(NamedTuple):
    """Why balances moved: one event of the stream, by its `sequence`.

    `cause` is FILL, OPENING or an AdjustmentCause; `reference` the venue's id of it (a fill's id).
    """

    sequence: int
    cause: str
    reference: str
    venue: str
    instrument_id: str
    strategy_id: str
    client_order_id: str
    ts_event: int


class Posting(NamedTuple):
    """One line of an entry; the lines of an entry sum to zero in every asset.

    `balance` is what the account at the venue holds after it, None on every other account.
    """

    sequence: int
    line: int
    venue: str
    account: str
    asset: str
    amount: Decimal
    balance: Decimal | None


class FillRow(NamedTuple):
    """A fill and what its fee in a third asset was worth, in quote currency."""

    sequence: int
    event: OrderFilled
    fee_value: Decimal | None


class Session(NamedTuple):
    """A session that somebody began; its place in the stream, and when (ns UTC)."""

    sequence: int
    ts_started: int
    actor: str
    reason: str


class Changes(msgspec.Struct, kw_only=True):
    """What was changed since the last time, to be written in one transaction."""

    position_before: int
    position: int
    head: bytes
    log: list[LogRow]
    fills: list[FillRow]
    orders: list[tuple[int, Order]]
    positions: list[Position]
    strategy_positions: list[tuple[str, Position]]
    balances: list[tuple[Key, Account, Decimal]]
    entries: list[Entry]
    postings: list[Posting]
    equity: list[EquityPoint]
    strategy_equity: list[tuple[str, EquityPoint]]
    sessions: list[Session]

    def __bool__(self) -> bool:
        return self.position != self.position_before or bool(self.equity or self.strategy_equity)


class Books(msgspec.Struct, kw_only=True):
    """What a database holds, to go on from.

    `fill_keys` are (venue, instrument id, fill id) with the venue's time, oldest first;
    `ts_forgotten` is that of the newest fill that is not among them. `moves` are those of accounts
    that are not opened yet: (key, time, amount).
    """

    position: int = 0
    head: bytes = GENESIS
    orders: list[tuple[int, Order]] = []
    fill_keys: dict[tuple[str, str, str], int] = {}
    ts_forgotten: int = 0
    adjustment_keys: list[tuple[str, str, str]] = []
    positions: list[Position] = []
    strategy_positions: list[tuple[str, Position]] = []
    balances: list[tuple[Key, Account, Decimal]] = []
    moves: list[tuple[Key, int, Decimal]] = []
    orders_count: int = 0
    fills_count: int = 0
    drawdown: Drawdown = msgspec.field(default_factory=Drawdown)
    drawdowns: dict[str, Drawdown] = {}
