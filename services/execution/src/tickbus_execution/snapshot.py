"""What a snapshot of execution holds: all that folding the order path gave."""

from decimal import Decimal

import msgspec

from tickbus.events import CancelApproved, OrderApproved, SubmitOrder
from tickbus.order import Order


class ExecutionMemory(msgspec.Struct, frozen=True):
    """What `ExecutionCore` knows of the order path.

    Orders; ids that were sent; the order of each venue id; cancels that nothing answered yet;
    approvals that nothing followed yet; the newest fill per instrument; when the books were opened,
    ns UTC.
    """

    orders: list[Order]
    submitted: list[str]
    venue_ids: dict[str, str]
    cancels: list[CancelApproved]
    waiting: list[OrderApproved]
    fill_cursor: list[tuple[str, str]]
    ts_opened: int


class PaperMemory(msgspec.Struct, frozen=True):
    """The same with the paper account behind it: what it holds by asset, and what was filled."""

    orders: list[Order]
    submitted: list[str]
    venue_ids: dict[str, str]
    cancels: list[CancelApproved]
    waiting: list[OrderApproved]
    fill_cursor: list[tuple[str, str]]
    ts_opened: int
    free: list[tuple[str, Decimal]]
    filled: list[tuple[SubmitOrder, Decimal]]
    early: list[tuple[str, Decimal]]
