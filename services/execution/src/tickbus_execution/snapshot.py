"""What a snapshot of execution holds: all that folding the order path gave."""

from decimal import Decimal

import msgspec

from tickbus.events import CancelApproved, OrderApproved, SubmitOrder
from tickbus.order import Order
from tickbus.portfolio import Position


class HeldMemory(msgspec.Struct, frozen=True, array_like=True):
    """What `AccountBooks` knows: since when (ns UTC), how much of what, and payments told before.

    `touched` is when each amount was last moved, by the venue's time.
    """

    ts_opened: int = 0
    amounts: list[tuple[str, Decimal]] = []
    touched: list[tuple[str, int]] = []
    positions: list[Position] = []
    payments: list[str] = []


class ExecutionMemory(msgspec.Struct, frozen=True):
    """What `ExecutionCore` knows of the order path.

    Orders; ids that were sent; the order of each venue id; cancels that nothing answered yet;
    approvals that nothing followed yet; the newest fill per instrument; when the books were opened,
    ns UTC; what the account holds; until when its payments were looked at, ns by the venue.
    """

    orders: list[Order]
    submitted: list[str]
    venue_ids: dict[str, str]
    cancels: list[CancelApproved]
    waiting: list[OrderApproved]
    fill_cursor: list[tuple[str, str]]
    ts_opened: int
    held: HeldMemory
    ts_payments: int


class PaperMemory(msgspec.Struct, frozen=True):
    """The same with the paper account behind it: what it holds by asset, and what was filled."""

    orders: list[Order]
    submitted: list[str]
    venue_ids: dict[str, str]
    cancels: list[CancelApproved]
    waiting: list[OrderApproved]
    fill_cursor: list[tuple[str, str]]
    ts_opened: int
    held: HeldMemory
    ts_payments: int
    free: list[tuple[str, Decimal]]
    filled: list[tuple[SubmitOrder, Decimal]]
    early: list[tuple[str, Decimal]]
