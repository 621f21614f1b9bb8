"""A process that stood still while another took its place sends nothing when it wakes."""

import asyncio
import os
import signal
import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tickbus import codec, subjects
from tickbus.bus import Message, NatsBus
from tickbus.events import (
    Event,
    Instrument,
    OrderApproved,
    OrderFilled,
    OrderRejected,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus.events.orders import message_id
from tickbus_embedded import free_port
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.processes import ServiceProcess

QUANTITY = Decimal("0.001")
CONFIG = Path(__file__).parents[3] / "config" / "default.yaml"


def an_approval(n: int) -> OrderApproved:
    now = time.time_ns()
    order = SubmitOrder(
        now, now, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, QUANTITY
    )
    return OrderApproved(now, now, order)


def an_environment(nats_url: str, port: int) -> dict[str, str]:
    return {
        "TICKBUS_NATS_URL": nats_url,
        "TICKBUS_CONFIG": str(CONFIG),
        "TICKBUS_VENUE_REST_URL": f"http://127.0.0.1:{port}",
        "TICKBUS_VENUE_WS_URL": f"ws://127.0.0.1:{port}",
        "TICKBUS_VENUE_WS_API_URL": f"ws://127.0.0.1:{port}/ws-api/v3",
        "TICKBUS_VENUE_API_KEY": "sim-key",
        "TICKBUS_VENUE_API_SECRET": "sim-secret",
    }


async def describe_instruments(bus: NatsBus) -> None:
    for base in ("BTC", "ETH", "SOL"):
        described = Instrument(
            "sim", f"{base}-USDT", f"{base}USDT", base, "USDT", Decimal("0.01"), Decimal("0.00001")
        )
        await bus.kv_put("instruments", f"sim.{base}-USDT", codec.encode_value(described))


async def approve(bus: NatsBus, n: int) -> None:
    event = an_approval(n)
    await bus.publish_durable(subjects.of(event), codec.encode([event]), message_id(event))


async def until_dead(process: ServiceProcess) -> None:
    async with asyncio.timeout(90):
        while process.lives():
            await asyncio.sleep(0.05)


@pytest.mark.slow(25)
@pytest.mark.timeout(400)
async def test_execution_that_was_paused_and_replaced_sends_nothing_when_it_wakes(
    tmp_path: Path,
) -> None:
    port = free_port()
    (tmp_path / "state").mkdir()
    arguments = ("--port", str(port), "--seed", "1", "--state-dir", str(tmp_path / "state"))
    exchange = ServiceProcess("exchange", tmp_path, {}, port, arguments).start().until_ready()
    made: list[ServiceProcess] = [exchange]
    try:
        async with nats_server() as server:
            environment = an_environment(server.url, port)
            bus = await NatsBus.connect(server.url, "test")
            await describe_instruments(bus)
            said: list[Event] = []

            async def keep(message: Message) -> None:
                said.extend(codec.decode(message.payload).events)

            await bus.follow(["orders.event.>"], 1, keep)

            def execution(number: int) -> ServiceProcess:
                logs = tmp_path / str(number)
                logs.mkdir()
                health = free_port()
                ours = environment | {"TICKBUS_METRICS_PORT": str(health)}
                process = ServiceProcess("execution", logs, ours, health)
                made.append(process)
                return process.start()

            async def until_filled(order_id: str) -> None:
                async with asyncio.timeout(90):
                    while _filled(said, order_id) < QUANTITY:  # an order may fill in parts
                        await asyncio.sleep(0.05)

            old = execution(1)
            await asyncio.to_thread(old.until_ready)
            await approve(bus, 1)
            await until_filled("s-r-1")
            with old.paused():
                await approve(bus, 2)  # into the sleeping process's socket
                await asyncio.sleep(0.5)
                new = execution(2)
                await asyncio.to_thread(new.until_ready)
                await until_filled("s-r-2")
                await approve(bus, 3)
                await until_filled("s-r-3")
            await until_dead(old)
            await asyncio.sleep(0.5)
            orders, fills = _ledger(exchange)
            assert orders == ["s-r-1", "s-r-2", "s-r-3"], old.tail()
            assert sorted(e.fill.fill_id for e in said if isinstance(e, OrderFilled)) == fills
            assert not [e for e in said if isinstance(e, OrderRejected)]
            assert "another process" in old.log()
            await bus.close()
    finally:
        for process in reversed(made):
            if process._process is not None and process.lives():
                os.kill(process._process.pid, signal.SIGCONT)
            process.stop()


def _filled(said: list[Event], order_id: str) -> Decimal:
    fills = (e for e in said if isinstance(e, OrderFilled) and e.client_order_id == order_id)
    return sum((e.fill.quantity for e in fills), Decimal(0))


def _ledger(exchange: ServiceProcess) -> tuple[list[str], list[str]]:
    """The ids of our orders as the exchange has them, and those of their fills."""
    ledger = httpx.get(f"{exchange.health_url}/admin/ledger", timeout=30).raise_for_status().json()
    orders = [o["clientOrderId"] for o in ledger["orders"]]
    return sorted(orders), sorted(str(fill["id"]) for fill in ledger["fills"])
