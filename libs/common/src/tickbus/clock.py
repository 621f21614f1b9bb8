"""Time as an interface: the wall clock for live services, a settable one for simulations."""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

LOOKS, NEAR_NS = 5, 10_000_000


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Do not make it."""
        ...


class Clock(Protocol):
    """Something that knows what time it is, and wakes whoever asks for it."""

    def now_ns(self) -> int:
        """Now, in nanoseconds UTC since 1970."""
        ...

    def call_at(self, at_ns: int, callback: Callable[[], object]) -> Timer:
        """Call back at `at_ns`, or at once where that has passed."""
        ...


def _call_at(clock: Clock, at_ns: int, callback: Callable[[], object]) -> Timer:
    delay_s = max(0.0, (at_ns - clock.now_ns()) / 1e9)
    return asyncio.get_running_loop().call_later(delay_s, callback)


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
        # In the order of `now_ns`: between the two looks the machine may stand still.
        self._last = wall_ns()
        self._steady = steady_ns()

    def now_ns(self) -> int:
        """Now, in nanoseconds UTC since 1970; never less than before."""
        wall, steady = self._wall_ns(), self._steady_ns()
        floor = self._last + (steady - self._steady) * 99 // 100
        self._steady = steady
        if wall <= floor:  # set back, or we stood still between the two looks
            wall = self._wall_ns()
            if wall > floor:
                self._steady = self._steady_ns()
        # Twice for each message, so max() would be felt.
        self._last = last = wall if wall > floor else floor
        return last

    def call_at(self, at_ns: int, callback: Callable[[], object]) -> Timer:
        """Call back on the running event loop."""
        return _call_at(self, at_ns, callback)

    @property
    def ahead_ns(self) -> int:
        """How far the machine's clock was set back and has not caught up, in nanoseconds."""
        for _ in range(LOOKS):
            before, now, after = self._wall_ns(), self.now_ns(), self._wall_ns()
            if after - before < NEAR_NS:  # else we stood still in between
                break
        return max(0, now - after)


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

    def call_at(self, at_ns: int, callback: Callable[[], object]) -> Timer:
        """Call back on the running event loop, after as long as it is to `at_ns`."""
        return _call_at(self, at_ns, callback)


class _Due:
    """A call to come in virtual time."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock(ManualClock):
    """A clock that stands still, its timers too, until it is told the time."""

    def __init__(self, now_ns: int = 0) -> None:
        super().__init__(now_ns)
        self._heap: list[tuple[int, int, _Due]] = []
        self._number = 0

    def call_at(self, at_ns: int, callback: Callable[[], object]) -> Timer:
        """Keep the call for `next_due`."""
        due = _Due(callback)
        self._number += 1
        heapq.heappush(self._heap, (max(at_ns, self.now_ns()), self._number, due))
        return due

    def next_due(self, until_ns: int) -> Callable[[], object] | None:
        """Move on to the first call due by `until_ns` and return it, to be made now; None: none.

        Calls for one time come in the order in which they were asked for.
        """
        while self._heap and self._heap[0][0] <= until_ns:
            at_ns, _, due = heapq.heappop(self._heap)
            if due.callback is not None:
                self.advance_to(at_ns)
                return due.callback
        return None
