"""Orders that a strategy asked for and that were not made: which, and why."""

from decimal import Decimal
from enum import StrEnum

from tickbus.events import Event, Side

TOLD_MAX = 20
"""In one call to a strategy; more of them would tell nothing new."""


class NotOrderedReason(StrEnum):
    """Why `buy`, `sell`, `replace` or `flatten` made no order."""

    TOO_SMALL = "TOO_SMALL"
    """Rounded down to lots it is less than the venue's least."""
    UNUSABLE = "UNUSABLE"
    """The market's book cannot be trusted now."""
    TRADING_STATE = "TRADING_STATE"
    """Trading is halted, or reducing and the order shrinks nothing."""
    MUST_WAIT = "MUST_WAIT"
    """Orders of before are being cancelled, or the strategy is being stopped."""


class NotOrdered(Event, frozen=True):
    """A strategy asked for an order and there is none. Never on the bus: its service logs it.

    `quantity` is what was asked for, base currency.
    """

    strategy_id: str
    venue: str
    instrument_id: str
    side: Side
    quantity: float | Decimal
    reason: NotOrderedReason
    detail: str
