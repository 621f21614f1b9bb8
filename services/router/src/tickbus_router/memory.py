"""What a snapshot of the router holds: all that folding the order path gave."""

from decimal import Decimal

import msgspec

from tickbus.events import (
    CancelRejected,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    SubmitOrder,
)
from tickbus.order import Order

OwnWord = (
    SubmitOrder | OrderSubmitted | OrderAccepted | OrderRejected | OrderFilled | OrderCanceled
    | OrderExpired | CancelRejected
)  # fmt: skip
"""What the router itself says of a whole order, and the parts that it sends out."""
FreeAt = tuple[str, list[tuple[str, Decimal, int]]]
"""A venue; for each asset what is free there, and when it was (ns, the venue's)."""


class ParentMemory(msgspec.Struct, frozen=True):
    """One order on its way: its parts, rounds (ns UTC), venues that refused, and what it cost."""

    event: OrderApproved
    parts: list[Order]
    rounds: int
    ts_round: int
    avoided: list[tuple[str, str]]
    canceling: bool
    cost: Decimal
    filled: Decimal


class RouterMemory(msgspec.Struct, frozen=True):
    """What `RouterCore` knows of the order path.

    Wholes; those still on their way; the whole of each part; early words; free balances.
    """

    wholes: list[Order]
    parents: list[ParentMemory]
    of_part: list[tuple[str, str]]
    early: list[OwnWord]
    balances: list[FreeAt]
