"""One contract per service over a real bus: what it takes, what it gives, and what it survives.

The test plays every neighbour. TICKBUS_CONTRACT_<SERVICE> is a command that is started in the
service's place, so an implementation in another language faces the same suite
(docs/replacing-a-service.md).
"""

import asyncio
import os
import secrets
import shlex
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tickbus import codec
from tickbus.bus import RequestTimeout
from tickbus.events import (
    BookTop,
    Instrument,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus.runtime.quarantine import Quarantined
from tickbus_testkit.neighbours import NONSENSE, Neighbours
from tickbus_testkit.processes import ServiceProcess

D = Decimal
ROOT = Path(__file__).parents[2]
ONLY = os.environ.get("TICKBUS_CONTRACT", "")
"""The service of which alone the contract is checked; "" for all."""
contract = pytest.mark.contract
"""Of which service a test is the contract."""


def command_for(service: str) -> list[str]:
    """The words of the command that takes the place of `service`; none for our own."""
    return shlex.split(os.environ.get(f"TICKBUS_CONTRACT_{service.upper()}", ""))


def an_instrument(coin: str, venue: str = "sim") -> Instrument:
    return Instrument(
        venue, f"{coin}-USDT", f"{coin}USDT", coin, "USDT", D("0.01"), D("0.00001"),
        notional_min=D(5),
    )  # fmt: skip


BTC = an_instrument("BTC")

Start = Callable[..., ServiceProcess]
Exchange = tuple[ServiceProcess, dict[str, str]]
"""The simulated exchange, and the environment that leads a service to it."""


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
    deadline = time.monotonic() + 30
    while not (found := [m for m in bus.quarantined if m.subject == f"quarantine.{process.name}"]):
        assert time.monotonic() < deadline, f"nothing was kept on quarantine.{process.name}"
        await breathe()
    kept = codec.decode_value(found[0].payload, Quarantined)
    assert (kept.service, kept.source, kept.payload) == (process.name, subject, NONSENSE)
    counted = f'tickbus_{process.name}_errors_total{{kind="malformed"}} 1.0'
    assert counted in process.metrics()
    assert httpx.get(f"{process.health_url}/healthz", timeout=30).status_code == 200
    process.until_ready()


async def breathe() -> None:
    await asyncio.sleep(0.05)


async def a_database(server: str) -> str:
    """A new database on the server of that DSN; its own DSN."""
    name = f"contract_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.rpartition("/")[0] + f"/{name}"


async def answer(bus: Neighbours, subject: str, question: bytes, kind: Any) -> Any:
    """What is answered; asked again while nobody does, for 30 s at most."""
    async with asyncio.timeout(30):
        while True:
            try:
                return codec.decode_value(await bus.bus.request(subject, question, 5), kind)
            except RequestTimeout:
                await breathe()
