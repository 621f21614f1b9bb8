"""Things to be done a little later: a delayed answer, a delayed event."""

import heapq
from collections.abc import Callable
from itertools import count

PENDING_MAX = 100_000
"""Actions that may wait; one more is done at once."""


class Later:
    """Actions by the time they are due; equal times keep their order. Told the time."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()

    def add(self, due_ms: int, action: Callable[[], None]) -> None:
        """Do `action` in the first `run` at or after `due_ms`."""
        if len(self._pending) >= PENDING_MAX:
            action()
            return
        heapq.heappush(self._pending, (due_ms, next(self._number), action))

    def run(self, now_ms: int) -> None:
        """Do what is due."""
        pending = self._pending
        while pending and pending[0][0] <= now_ms:
            heapq.heappop(pending)[2]()
