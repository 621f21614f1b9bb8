"""What a snapshot of the strategy service holds: all that folding the order path gave."""

from decimal import Decimal

import msgspec

from tickbus.events import StrategyTerms, TradingState
from tickbus.order import Order
from tickbus.portfolio import Position


class DeskMemory(msgspec.Struct, frozen=True):
    """One strategy's desk.

    Its clock (ns UTC), positions, balances by (venue, asset), the highest numbers of its orders and
    cancels by run, and the trading states that risk has recorded, by scope.
    """

    strategy_id: str
    now_ns: int
    ts_event: int
    positions: list[Position]
    balances: list[tuple[str, str, Decimal]]
    numbers: list[tuple[str, int, int]]
    states: list[tuple[str, TradingState]]


class StrategyMemory(msgspec.Struct, frozen=True):
    """Every desk, and the orders of all, each desk's in their order."""

    desks: list[DeskMemory]
    orders: list[Order]


class Told(msgspec.Struct):
    """What is on record of one strategy's control.

    `revision` is the highest; `terms` are those applied last, if any ever were (`applied`), None
    for what the files say; it `closes` while positions are to be closed and that is not over.
    `leaving` are the orders that worked when it was stopped, switched or failed: they are to end.
    `deleted`: the id was given up.
    """

    strategy_id: str
    revision: int = 0
    applied: bool = False
    terms: StrategyTerms | None = None
    closes: bool = False
    leaving: list[str] = []
    deleted: bool = False


class LifecycleMemory(msgspec.Struct, frozen=True):
    """What the strategies' own core knows, and what is on record of their control."""

    strategies: StrategyMemory
    told: list[Told]
