"""Orders and cancels while nobody knows whether another process is in our place."""

from typing import Any

import pytest
from execution_bench import ExchangeBench, until

from tickbus.bus import BusError, MemoryBus
from tickbus.events import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
)
from tickbus.runtime import lease
from tickbus.runtime.lease import BUCKET
from tickbus_execution import gateway

FAR = "30000"


class Away(MemoryBus):
    """A bus whose bucket of leases may be out of reach."""

    away = False

    async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
        if self.away and bucket == BUCKET:
            raise BusError("away")
        return await super().kv_read(bucket, key)

    async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        if self.away and bucket == BUCKET:
            raise BusError("away")
        return await super().kv_swap(bucket, key, value, revision)


@pytest.fixture
async def no_lease(
    bench: ExchangeBench, monkeypatch: pytest.MonkeyPatch
) -> tuple[ExchangeBench, Away]:
    """The bench, and a bus that can take the lease away from it.

    It is renewed often, and ends only when a test says so: not where a machine stood still.
    """
    monkeypatch.setattr(lease, "MARGIN", -100.0)
    bench.bus = bus = Away()
    await bench.start(lease_ttl_s=0.5, recv_window_ms=20_000)
    return bench, bus


async def take_away(bench: ExchangeBench, bus: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows any more who has the lease, and nobody waits for it for long."""
    monkeypatch.setattr(gateway, "HELD_S", 0.2)
    bus.away = True
    bench.gateway._lease._valid_until_s = float("-inf")
    await until(lambda: not holds(bench))


def holds(bench: ExchangeBench) -> bool:
    return not any("lease" in what for what in bench.running.waiting().values())


def bids(bench: ExchangeBench) -> list[dict[str, Any]]:
    return [o for o in bench.truth()["orders"] if o["clientOrderId"].startswith("s-r-")]


async def test_a_cancel_without_the_lease_is_kept_and_sent_when_it_is_back(
    no_lease: tuple[ExchangeBench, Away], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, bus = no_lease
    order_id = await bench.order(1, FAR)
    await bench.hear(OrderAccepted, order_id)
    await take_away(bench, bus, monkeypatch)
    await bench.cancel(order_id)
    unknown = await bench.hear(OrderUnknown, order_id)
    assert unknown.detail.startswith("CANCEL: LEASE_AWAY"), "the wait has an end, and it is said"
    await until(lambda: len(bench.all(OrderUnknown, order_id)) > 1)
    assert bids(bench)[0]["status"] == "NEW", "nothing is sent meanwhile"
    for kind in (CancelRejected, OrderCanceled, OrderRejected):
        assert not bench.all(kind)
    bus.away = False
    await bench.hear(OrderCanceled, order_id)
    assert bids(bench)[0]["status"] == "CANCELED"


async def test_an_order_without_the_lease_is_unknown_and_what_others_sent_is_found(
    no_lease: tuple[ExchangeBench, Away], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, bus = no_lease
    await take_away(bench, bus, monkeypatch)
    order_id = await bench.order(1)
    unknown = await bench.hear(OrderUnknown, order_id)
    assert unknown.detail.startswith("SUBMIT: LEASE_AWAY")
    somebody = bench.gateway  # in our place has sent it
    await somebody._calls.call(somebody._protocol.place(bench.wish(1), "BTCUSDT"))
    await bench.hear(OrderFilled, order_id)
    assert not bench.all(OrderRejected)
    bus.away = False
    await until(lambda: holds(bench))
    assert len(bids(bench)) == 1, "it is not sent a second time"


async def test_an_order_that_nobody_sent_is_rejected_only_by_who_has_the_lease(
    no_lease: tuple[ExchangeBench, Away], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, bus = no_lease
    await take_away(bench, bus, monkeypatch)
    bench.gateway._questions._late_s = 4.0  # nothing of it can be on its way
    order_id = await bench.order(1)
    await bench.hear(OrderUnknown, order_id)

    def failures() -> int:
        return int(bench.running.telemetry.counts.get(("RequestFailed", "handled"), 0))

    await until(lambda: failures() >= 4)
    assert not bench.all(OrderRejected), "the venue does not know it, and somebody may send it yet"
    bus.away = False
    rejected = await bench.hear(OrderRejected, order_id)
    assert rejected.reason == "NOT_AT_VENUE"
    assert not bids(bench)
