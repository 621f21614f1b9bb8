"""One contract per service over a real bus: what it takes, what it gives, and what it survives.

The test plays every neighbour, so an implementation in another language would face the same suite.
"""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx

from tickbus.events import (
    BookTop,
    Instrument,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus_testkit.neighbours import Neighbours
from tickbus_testkit.processes import ServiceProcess

D = Decimal


def an_instrument(coin: str) -> Instrument:
    return Instrument(
        "sim", f"{coin}-USDT", f"{coin}USDT", coin, "USDT", D("0.01"), D("0.00001"),
        notional_min=D(5),
    )  # fmt: skip


BTC = an_instrument("BTC")

Start = Callable[..., ServiceProcess]


def now() -> int:
    return time.time_ns()


def a_top(bid: float = 59_999.0, ask: float = 60_001.0, sequence: int = 1) -> BookTop:
    return BookTop(now(), now(), "sim", "BTC-USDT", bid, 1.0, ask, 1.0, 1, sequence)


def an_order(
    n: int, quantity: str = "0.001", price: str | None = "59000", **more: Any
) -> SubmitOrder:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    return SubmitOrder(
        now(), now(), f"contract-t-{n}", "contract", "sim", "BTC-USDT", Side.BUY, kind, D(quantity),
        None if price is None else D(price), **more,
    )  # fmt: skip


def of_order(order: SubmitOrder) -> Callable[[Any], bool]:
    return lambda event: event.client_order_id == order.client_order_id


def judged(order: SubmitOrder) -> Callable[[Any], bool]:
    return lambda event: event.order.client_order_id == order.client_order_id


async def survives_nonsense(bus: Neighbours, process: ServiceProcess, subject: str) -> None:
    """It is counted, kept for inspection, and the service lives on."""
    await bus.say_nonsense(subject)
    deadline = time.monotonic() + 10
    while not any(m.subject == f"quarantine.{process.name}" for m in bus.quarantined):
        assert time.monotonic() < deadline, "nothing was kept"
        await breathe()
    counted = f'tickbus_{process.name}_errors_total{{kind="malformed"}} 1.0'
    assert counted in process.metrics()
    assert httpx.get(f"{process.health_url}/healthz").status_code == 200
    process.until_ready()


async def breathe() -> None:
    await asyncio.sleep(0.05)
