"""Requests that wait until an order took the step they wait for."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

from tickbus_api.core import OrderChanged

CHANGES_MAX = 1_000
"""Steps kept for one waiting request; past that it wakes up by what it has."""


class Waiters:
    """Who waits for which orders."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Queue[OrderChanged]]] = {}

    def tell(self, change: OrderChanged) -> None:
        """Wake up whoever waits for this order."""
        for queue in self._waiting.get(change.client_order_id, ()):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(change)

    @contextlib.contextmanager
    def watch(self, client_order_ids: Iterable[str]) -> Iterator[asyncio.Queue[OrderChanged]]:
        """The steps of these orders from now on."""
        queue: asyncio.Queue[OrderChanged] = asyncio.Queue(CHANGES_MAX)
        watched = list(client_order_ids)
        for client_order_id in watched:
            self._waiting.setdefault(client_order_id, set()).add(queue)
        try:
            yield queue
        finally:
            for client_order_id in watched:
                self._waiting[client_order_id].discard(queue)
                if not self._waiting[client_order_id]:
                    del self._waiting[client_order_id]


async def until(
    changes: asyncio.Queue[OrderChanged],
    decided: Callable[[OrderChanged | None], bool],
    timeout_s: float,
) -> bool:
    """Whether `decided` became true within `timeout_s`; it is asked first, then at each change."""
    if decided(None):
        return True
    try:
        async with asyncio.timeout(timeout_s):
            while not decided(await changes.get()):
                pass
    except TimeoutError:
        return False
    return True
