"""Time as an interface: the wall clock for live services, a settable one for simulations."""

import time
from typing import Protocol


class Clock(Protocol):
    """Something that knows what time it is."""

    def now_ns(self) -> int:
        """Now, in nanoseconds UTC since 1970."""
        ...


class WallClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Now, in nanoseconds UTC since 1970."""
        return time.time_ns()


class ManualClock:
    """A clock that stands still until it is told the time; for simulations and tests."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time it was last told."""
        return self._now_ns

    def advance_to(self, now_ns: int) -> None:
        """Move on to `now_ns`; an earlier time is ignored, so that time never runs backwards."""
        self._now_ns = max(self._now_ns, now_ns)
