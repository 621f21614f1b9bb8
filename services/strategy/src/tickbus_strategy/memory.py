"""What a snapshot of the strategy service holds: all that folding the order path gave."""

from decimal import Decimal

import msgspec

from tickbus.order import Order
from tickbus.portfolio import Position


class DeskMemory(msgspec.Struct, frozen=True):
    """One strategy's desk.

    Its clock (ns UTC), positions, balances by (venue, asset), and the highest numbers of its orders
    and cancels by run.
    """

    strategy_id: str
    now_ns: int
    ts_event: int
    positions: list[Position]
    balances: list[tuple[str, str, Decimal]]
    numbers: list[tuple[str, int, int]]


class StrategyMemory(msgspec.Struct, frozen=True):
    """Every desk, and the orders of all, each desk's in their order."""

    desks: list[DeskMemory]
    orders: list[Order]
