"""The gateway benchmark: what it adds between an order's HTTP request and its intent on the bus."""

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tickbus import codec, subjects
from tickbus.bus import Message, NatsBus
from tickbus.events import DenialReason, OrderDenied, OrderType, Side, SubmitOrder
from tickbus.events.orders import message_id
from tickbus_cli.bench_frames import an_instrument
from tickbus_cli.bench_processes import end
from tickbus_cli.errors import CliError
from tickbus_cli.profile import find_configuration
from tickbus_embedded import EmbeddedNats
from tickbus_embedded.ports import free_port

ROUNDS = 4
ORDERS = 250
"""In each round: through the gateway, then straight to the bus."""
WARM_UP = 50
READY_S = 20.0
ANSWER_S = 5.0
CONFIG = """
platform: {{mode: simulated}}
bus: {{url: "{nats}"}}
api: {{port: {port}, access: local, rate_per_s: 1000000, rate_burst: 1000000, order_wait_s: 30}}
venue:
  name: sim
  adapter: binance
  rest_url: http://127.0.0.1:1
  ws_url: ws://127.0.0.1:1
  ws_api_url: ws://127.0.0.1:1
  instruments: [BTC-USDT]
  fees: {{maker: 0.001, taker: 0.001}}
"""
BODY = b'{"symbol":"BTCUSDT","side":"BUY","quantity":"0.001","price":"60000.00"}'
Say = Callable[[str], None]


class Intents:
    """Hears each intent, notes when, and refuses it, so that nobody waits for an outcome."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._heard: asyncio.Queue[tuple[int, SubmitOrder]] = asyncio.Queue(1_000)

    async def on_intent(self, message: Message) -> None:
        """An order on its way to risk."""
        now_ns = time.time_ns()
        (event,) = codec.decode(message.payload).events
        if isinstance(event, SubmitOrder):
            self._heard.put_nowait((now_ns, event))

    async def next(self) -> tuple[int, SubmitOrder]:
        """When the next one was heard (ns UTC), and what it was. Raises CliError."""
        try:
            return await asyncio.wait_for(self._heard.get(), ANSWER_S)
        except TimeoutError:
            raise CliError("no intent came", "Look at the gateway's log.") from None

    async def refuse(self, order: SubmitOrder) -> None:
        """Say what risk would say, were it here."""
        now = time.time_ns()
        denied = OrderDenied(now, now, order, DenialReason.TRADING_HALTED, "limit=0 value=0")
        payload = codec.encode([denied])
        await self._bus.publish_durable(subjects.of(denied), payload, message_id(denied))


class Client:
    """The leanest client of HTTP there is, on one connection: what is measured is the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._request = (
            b"POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
        )

    def send(self) -> int:
        """Order once; when (ns UTC)."""
        now_ns = time.time_ns()
        self._writer.write(self._request)
        return now_ns

    async def answer(self) -> int:
        """The status of the answer, read to its end."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), ANSWER_S)
        lines = head.decode().lower().split("\r\n")
        length = next(line.partition(":")[2] for line in lines if line.startswith("content-length"))
        await self._reader.readexactly(int(length))
        return int(head.split(b" ", 2)[1])


async def bench_gateway(say: Say) -> dict[str, Any]:
    """Microseconds from the request to the intent, with the gateway and without it, in turns."""
    find_configuration(Path.cwd())  # says so where there is no project
    with tempfile.TemporaryDirectory(prefix="tickbus-gateway-") as directory:
        async with EmbeddedNats(Path(directory) / "nats") as server:
            bus = await NatsBus.connect(server.url, "bench")
            instrument = codec.encode_value(an_instrument("BTCUSDT", "sim"))
            await bus.kv_put("instruments", "sim.BTC-USDT", instrument)
            intents = Intents(bus)
            await bus.subscribe(subjects.INTENTS_ALL, intents.on_intent)
            port = free_port()
            config = Path(directory) / "gateway.yaml"
            config.write_text(CONFIG.format(nats=server.url, port=port), encoding="utf-8")
            process = await _start(config)
            try:
                client = await _connected(port, process)
                numbers = itertools.count(1)
                for _ in range(WARM_UP):
                    await _by_gateway(client, intents)
                    await _straight(bus, intents, next(numbers))
                through: list[tuple[int, int]] = []
                straight: list[int] = []
                cpu_s = 0.0
                for number in range(ROUNDS):
                    say(f"gateway: round {number + 1} of {ROUNDS}")
                    before_s = _cpu_s(process)
                    through += [await _by_gateway(client, intents) for _ in range(ORDERS)]
                    cpu_s += _cpu_s(process) - before_s
                    straight += [
                        await _straight(bus, intents, next(numbers)) for _ in range(ORDERS)
                    ]
            finally:
                await end([process])
                await bus.close()
    total = _quantiles([total for total, _ in through])
    floor = _quantiles(straight)
    return {
        "orders": len(through),
        "post_to_intent": total,
        "until_understood": _quantiles([understood for _, understood in through]),
        "floor": floor,
        "added_p50_us": round(total["p50_us"] - floor["p50_us"], 1),
        "cpu_us_per_order": round(cpu_s / len(through) * 1e6, 1),
    }


async def _by_gateway(client: Client, intents: Intents) -> tuple[int, int]:
    """Until the intent is heard, and until the gateway had understood the order; ns."""
    sent_ns = client.send()
    heard_ns, order = await intents.next()
    await intents.refuse(order)
    status = await client.answer()
    if status != 422:
        raise CliError(f"the gateway answered {status}", "It should have passed on the refusal.")
    return heard_ns - sent_ns, order.ts_recv - sent_ns


def _cpu_s(process: asyncio.subprocess.Process) -> float:
    # Of all that one order costs it, the answer and the record among it.
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


async def _straight(bus: NatsBus, intents: Intents, number: int) -> int:
    """What the same order takes without the gateway: published durably, and heard; ns."""
    now_ns = time.time_ns()
    order = SubmitOrder(
        now_ns, now_ns, f"manual-straight-{number}", subjects.MANUAL, "sim", "BTC-USDT", Side.BUY,
        OrderType.LIMIT, an_instrument("BTCUSDT").lot_size, an_instrument("BTCUSDT").tick_size,
    )  # fmt: skip
    payload = codec.encode([order])
    sent_ns = time.time_ns()
    publishing = asyncio.create_task(
        bus.publish_durable(subjects.of(order), payload, message_id(order))
    )
    heard_ns, _order = await intents.next()
    await publishing
    return heard_ns - sent_ns


def _quantiles(found: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(found, n=100)
    return {"p50_us": round(cuts[49] / 1000, 1), "p99_us": round(cuts[98] / 1000, 1)}


async def _start(config: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickbus_api", "--config", str(config),
        env={
            **os.environ, "TICKBUS_METRICS_PORT": "0", "TICKBUS_LOG_LEVEL": "error",
            "TICKBUS_RUN_ID": "bench", "TICKBUS_API_PORT": "",
        },
    )  # fmt: skip


async def _connected(port: int, process: asyncio.subprocess.Process) -> Client:
    """A connection, once the gateway knows the instrument. Raises CliError."""
    for _ in range(int(READY_S / 0.1)):
        if process.returncode is not None:
            break
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.write(b"GET /api/v1/instruments HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if json.loads(await reader.readexactly(length)).get("instruments"):
            return Client(reader, writer)
        writer.close()
        await asyncio.sleep(0.1)
    raise CliError(f"the gateway is not there after {READY_S:.0f} s", "Look at its log.")
