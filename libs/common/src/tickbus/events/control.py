"""Commands, state and timers: what steers the services, not what a market or venue said."""

from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from tickbus.events.base import Event


class Balance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an account holds of one asset: `free` to use, `locked` in working orders."""

    asset: str
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return self.free + self.locked


class VenuePosition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A derivative position as the venue has it; `quantity` is signed, long above zero."""

    instrument_id: str
    quantity: Decimal


class TradingState(StrEnum):
    """What risk lets pass: everything, only orders that reduce a position, or cancels only."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    def or_stricter(self, other: "TradingState") -> "TradingState":
        """The one of both that lets less pass."""
        order = list(TradingState)
        return max(self, other, key=order.index)


class SetTradingState(Event, frozen=True):
    """The desired trading state, kept in the control bucket; resuming is always somebody's act.

    Of one strategy, or of everything where `strategy_id` is empty. HALTED cancels what works and,
    with `flatten`, closes what is held, too.
    """

    state: TradingState
    actor: str
    reason: str
    strategy_id: str = ""
    flatten: bool = False


class RiskState(Event, frozen=True):
    """What risk currently enforces, published on each change and every few seconds."""

    state: TradingState
    reason: str
    working_orders: int
    denials: int


class SetTimer(Event, frozen=True):
    """A core's request for `TimerFired(key)` at `at_ns` (ns UTC); never on the bus."""

    key: str
    at_ns: int


class TimerFired(Event, frozen=True):
    """The answer to `SetTimer`; `ts_recv` is the time at which it fired."""

    key: str


class Recovered(Event, frozen=True):
    """History has been folded; what the core returns from here on is live. Never on the bus.

    With `backlog`, what comes until `CaughtUp` may have been given to an earlier process, too.
    """

    backlog: bool = False


class CaughtUp(Event, frozen=True):
    """From here on each message of the stream is one that no earlier process was ever given.

    Told by its place in the stream, right before the first such message. Never on the bus.
    """


class MessageDead(Event, frozen=True):
    """A message that could never be handled is given up; never on the bus.

    `event` is what it held. The core says what has to follow, so that nobody waits for it for ever.
    """

    event: Any
    error: str


class ServiceStatus(Event, frozen=True):
    """What one running service says of itself when asked on `control.status`.

    `counts` are events by `<type>/<outcome>` since start; `gauges` are numbers that the service
    finds worth showing; `latency_us` maps a hop to its (p50, p99, count) in microseconds. `venue`
    is that of a feed or an execution for a further venue, "" for every other process.
    """

    service: str
    instance: str
    version: str
    ready: bool
    waiting_for: str
    uptime_s: float
    counts: dict[str, int]
    gauges: dict[str, float]
    latency_us: dict[str, tuple[float, float, int]]
    errors: dict[str, int]
    metrics_url: str = ""
    venue: str = ""


PlatformEvent = SetTradingState | RiskState | ServiceStatus
