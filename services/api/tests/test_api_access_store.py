"""Two gateways and their bucket of users: what is held after a change is the last of it."""

from collections.abc import Awaitable, Callable

import pytest

from tickbus.bus import BusError, MemoryBus
from tickbus_api.access.records import USED, Used
from tickbus_api.access.store import Store

KEY_ID = "0123456789abcdef"
EARLY, LATE = Used(ts=1, address="10.0.0.1"), Used(ts=2, address="10.0.0.2")


class SlowAnswers(MemoryBus):
    """A bus whose answer to a swap comes only after something else, when there is something."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        swapped = await super().kv_swap(bucket, key, value, revision)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return swapped


class LateWatches(MemoryBus):
    """A bus whose watches tell of a change only when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.untold: list[tuple[str, bytes]] = []

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        watches, self._watches = self._watches, []
        await super().kv_put(bucket, key, value)
        self._watches = watches
        self.untold.append((key, value))

    async def tell(self) -> None:
        """Tell the oldest change that was not told."""
        key, value = self.untold.pop(0)
        for _, handler in self._watches:
            await handler(key, value)


async def used(store: Store, now: Used | None) -> None:
    """Have `store` keep it."""
    await store.change(USED + KEY_ID, Used, lambda _: now)


@pytest.mark.parametrize("last", [LATE, None], ids=["changed", "removed"])
async def test_a_later_change_by_another_gateway_is_not_undone_here(last: Used | None) -> None:
    bus = SlowAnswers()
    one, other = Store(), Store()
    await one.start(bus)
    await other.start(bus)
    bus.meanwhile = lambda: used(other, last)
    await used(one, EARLY)
    assert one.used.get(KEY_ID) == other.used.get(KEY_ID) == last


async def test_what_was_changed_is_seen_before_the_watch_tells_of_it() -> None:
    bus = LateWatches()
    store = Store()
    await store.start(bus)
    await used(store, EARLY)
    assert store.used == {KEY_ID: EARLY}
    await used(store, LATE)
    assert store.used == {KEY_ID: LATE}


async def test_an_older_change_told_late_does_not_hide_the_newer_one() -> None:
    class Bus(LateWatches):
        async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
            swapped = await super().kv_swap(bucket, key, value, revision)
            if len(self.untold) == 2:
                await self.tell()
            return swapped

    bus = Bus()
    store = Store()
    await store.start(bus)
    await used(store, EARLY)
    await used(store, LATE)
    assert store.used == {KEY_ID: LATE}


async def test_a_bus_that_leaves_behind_a_change_does_not_make_it_fail() -> None:
    class Bus(LateWatches):
        async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
            swapped = await super().kv_swap(bucket, key, value, revision)
            if len(self.untold) == 2:
                await self.tell()
                self.is_away = True
            return swapped

        is_away = False

        async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
            if self.is_away:
                raise BusError("no bus")
            return await super().kv_read(bucket, key)

    bus = Bus()
    store = Store()
    await store.start(bus)
    await used(store, EARLY)
    await used(store, LATE)
    await bus.tell()
    assert store.used == {KEY_ID: LATE}
