"""The floor of the order path: bare nats-py processes, one core NATS hop and two JetStream hops."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig

from tickbus import scheduling
from tickbus_embedded import EmbeddedNats

# About what the platform has with benchmarks/tick_to_order.yaml: rare orders are slow orders, so a
# floor with more of them would be another floor.
TICKS_PER_S = 1_400
TICKS_PER_ORDER = 24
SECONDS = 12
WARM_UP = 0.25
READY_S = 30.0
ARRIVE_S = 30.0
"""For the last orders on their way; what has not arrived by then is not measured."""
END_S = 60.0
ROLES = ("one", "two", "three")
PLACE = partial(scheduling.take, "realtime")


async def floor() -> dict[str, Any]:
    """p50 and p99 in µs over all orders but the first quarter."""
    with tempfile.TemporaryDirectory(prefix="tickbus-floor-") as directory:
        # In the class in which `tickbus up` runs what stands between a tick and its order.
        async with EmbeddedNats(Path(directory), before=PLACE) as server:
            client = await nats.connect(server.url)
            await client.jetstream().add_stream(
                StreamConfig(name="FLOOR", subjects=["floor.>"], storage=StorageType.FILE)
            )
            processes = [
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    __name__,
                    role,
                    server.url,
                    stdout=subprocess.PIPE,
                    preexec_fn=PLACE,
                )
                for role in ROLES
            ]
            try:
                await _until_ready(client)
                await _until_arrived(client, await _ticks(client))
                await client.publish("bare.stop", b"")
                await client.flush()
                outputs = [await asyncio.wait_for(p.communicate(), END_S) for p in processes]
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
                await client.close()
    times = sorted(json.loads(outputs[-1][0]))
    return {
        "p50_us": round(times[len(times) // 2] / 1000, 1),
        "p99_us": round(times[int(len(times) * 0.99)] / 1000, 1),
        "count": len(times),
    }


async def _ask(client: Client, subject: str) -> bytes | None:
    """What a role answers; None while it does not."""
    try:
        return bytes((await client.request(subject, b"", timeout=1.0)).data)
    except (nats.errors.NoRespondersError, TimeoutError):
        return None


async def _until_ready(client: Client) -> None:
    """Return once every role listens. Raises TimeoutError."""
    async with asyncio.timeout(READY_S):
        for role in ROLES:
            while True:
                if await _ask(client, f"bare.count.{role}") is not None:
                    break
                await asyncio.sleep(0.05)


async def _until_arrived(client: Client, orders: int) -> None:
    deadline = time.monotonic() + ARRIVE_S
    while int(await _ask(client, f"bare.count.{ROLES[-1]}") or 0) < orders:
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.05)


async def _ticks(client: Client) -> int:
    """Ticks at a steady rate; each n-th is marked and goes all the way: how many those are."""
    begin, ticks = time.monotonic(), TICKS_PER_S * SECONDS
    for n in range(ticks):
        mark = b"1" if n % TICKS_PER_ORDER == 0 else b"0"
        await client.publish("bare.tick", mark + b"%d" % time.time_ns() + b" " * 120)
        delay = begin + n / TICKS_PER_S - time.monotonic()
        await asyncio.sleep(max(0.0, delay))
    return -(-ticks // TICKS_PER_ORDER)


async def _role(role: str, url: str) -> None:
    client = await nats.connect(url)
    js = client.jetstream()
    stop = asyncio.Event()
    times: list[int] = []

    async def on_tick(message: Msg) -> None:
        if message.data[:1] == b"1":
            await js.publish(
                "floor.two", message.data[1:], headers={"Nats-Msg-Id": message.data[1:20].decode()}
            )

    async def on_two(message: Msg) -> None:
        data = message.data
        await js.publish("floor.three", data, headers={"Nats-Msg-Id": "b" + data[:19].decode()})
        await client.publish(message.reply, b"+ACK")

    async def on_three(message: Msg) -> None:
        times.append(time.time_ns() - int(message.data.strip()))
        await client.publish(message.reply, b"+ACK")

    async def on_count(message: Msg) -> None:
        await message.respond(b"%d" % len(times))

    async def on_stop(_: Msg) -> None:
        stop.set()

    if role == "one":
        await client.subscribe("bare.tick", cb=on_tick)
    else:
        inbox = client.new_inbox()
        await client.subscribe(inbox, cb=on_two if role == "two" else on_three)
        await js.add_consumer(
            "FLOOR",
            ConsumerConfig(
                durable_name=role,
                deliver_subject=inbox,
                filter_subject=f"floor.{role}",
                ack_policy=AckPolicy.EXPLICIT,
                deliver_policy=DeliverPolicy.ALL,
            ),
        )
    await client.subscribe("bare.stop", cb=on_stop)
    await client.subscribe(f"bare.count.{role}", cb=on_count)  # last: who answers hears the rest
    await asyncio.wait_for(stop.wait(), READY_S + SECONDS + ARRIVE_S + END_S)
    await client.close()
    kept = times[int(len(times) * WARM_UP) :]
    sys.stdout.write(json.dumps(kept))


def _main() -> None:
    import uvloop

    uvloop.run(_role(sys.argv[1], sys.argv[2]))


if __name__ == "__main__":
    _main()
