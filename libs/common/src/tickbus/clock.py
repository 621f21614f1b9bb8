"""Time as an interface: the wall clock for live services, a settable one for simulations."""

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Something that knows what time it is."""

    def now_ns(self) -> int:
        """Now, in nanoseconds UTC since 1970."""
        ...


class WallClock:
    """The machine's clock, but for going back.

    Whoever sets the machine's clock back would make every age negative: a dead stream would look
    fresh for as long as the clock was set back. So this one then goes on, slower by a hundredth,
    until the machine's has caught up. Forward steps are taken at once: they only make things look
    older than they are.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._steady = steady_ns()
        self._last = wall_ns()

    def now_ns(self) -> int:
        """Now, in nanoseconds UTC since 1970; never less than before."""
        wall, steady = self._wall_ns(), self._steady_ns()
        self._last = max(wall, self._last + (steady - self._steady) * 99 // 100)
        self._steady = steady
        return self._last

    @property
    def ahead_ns(self) -> int:
        """How far the machine's clock was set back and has not caught up, in nanoseconds."""
        return max(0, self._last - self._wall_ns())


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
