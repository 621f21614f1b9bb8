"""The base of every event, and the words of trading that several families share."""

from decimal import Decimal
from enum import StrEnum
from typing import Self

import msgspec


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """A frozen fact (past tense) or wish (imperative) that travels on the bus.

    `ts_event` is the clock of where it happened (the venue's, for market data), `ts_recv` is ours,
    stamped once where it entered the platform; both are integer nanoseconds UTC. New fields go
    last, with a default, so that old readers keep working.
    """

    ts_event: int
    ts_recv: int


class Explanation(StrEnum):
    """The base of a list whose values explain and decide nothing; a newer version may have more.

    A value that this version does not know is read as its `vaguest()`, so that what it explains is
    heard all the same. Where a value decides what is done, guessing would be worse than not
    reading: such a list is a plain StrEnum, and an unknown value of it is malformed.
    """

    @classmethod
    def vaguest(cls) -> Self:
        """What stands for a value of a newer version."""
        raise NotImplementedError

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls.vaguest() if isinstance(value, str) else None


class Side(StrEnum):
    """The side of an order or a trade."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order is priced; `post_only` and `reduce_only` are flags of an order, not types.

    A stop waits until the market trades at its trigger price or beyond it, against the order's
    side (a BUY above the market); a take-profit waits for the other direction (a BUY below it).
    Then each becomes the MARKET or LIMIT order of its name.
    """

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def has_trigger(self) -> bool:
        """Whether it waits for a trigger price."""
        return self not in (OrderType.LIMIT, OrderType.MARKET)

    @property
    def has_limit(self) -> bool:
        """Whether it has a limit price."""
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)

    def triggers_above(self, side: Side) -> bool:
        """Whether an order of `side` waits for a price at or above its trigger."""
        stops = self in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
        return stops is (side is Side.BUY)


class TimeInForce(StrEnum):
    """How long an order works (FIX 59); GTD until the order's `expires_ns`."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class LiquiditySide(StrEnum):
    """Whether a fill added (maker) or took (taker) liquidity (FIX 851)."""

    MAKER = "MAKER"
    TAKER = "TAKER"


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fee rates as fractions of notional; positive means that we pay."""

    maker: Decimal
    taker: Decimal
