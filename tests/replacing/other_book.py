"""Another book service, on a NATS client and MessagePack alone: nothing of tickbus is in it.

As small as the contract allows; it keeps the books of one venue in dictionaries and sorts them
when asked. With OTHER_BOOK_WRONG=1 it keeps levels that are gone: it takes a size of 0 for a size.
"""

import asyncio
import os
import signal
import time
from typing import Any

import msgspec
import nats
from nats.aio.msg import Msg

PACK, UNPACK = msgspec.msgpack.encode, msgspec.msgpack.decode
LIVE = "LIVE"
KEPT_MAX = 100


class Book:
    """The two sides of one instrument, and what became of it."""

    def __init__(self) -> None:
        self.sides: list[dict[float, float]] = [{}, {}]
        self.epoch = self.sequence = self.ts = 0
        self.feed, self.gap = LIVE, True

    def change(self, sides: list[list[list[float]]]) -> None:
        for side, levels in zip(self.sides, sides, strict=True):
            for price, size in levels:
                side[price] = size
                if not size and not os.environ.get("OTHER_BOOK_WRONG"):
                    del side[price]

    def levels(self, n: int) -> tuple[list[tuple[float, float]], ...]:
        bids, asks = (sorted(side.items()) for side in self.sides)
        return bids[::-1][: n or None], asks[: n or None]


class Service:
    """Everything that the contract names."""

    def __init__(self) -> None:
        self.books: dict[tuple[str, str], Book] = {}
        self.malformed = 0
        self.ready = False
        self.bus: Any = None

    async def take(self, message: Msg) -> None:
        received = time.time_ns()
        try:
            events, hops = UNPACK(message.data)
            said = [out for event in events for out in self.handle(event)]
        except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
            await self.put_aside(message, error)
            return
        for kind, subject, event in said:
            way = [*hops, ["book", received, time.time_ns()]]
            await self.bus.publish(f"book.{subject}", PACK([[[kind, *event]], way]))

    def handle(self, event: list[Any]) -> list[tuple[str, str, list[Any]]]:
        kind, ts, received, venue, instrument, *rest = event
        book = self.books.setdefault((venue, instrument), Book())
        if kind == "FeedStatus":
            book.feed = rest[0]
        elif kind == "BookSnapshot":
            book.epoch, book.sequence, bids, asks, book.ts = rest[:5]
            book.sides, book.gap = [{}, {}], False
            book.change([bids, asks])
        elif kind == "BookDelta":
            epoch, sequence, bids, asks, book.ts = rest[:5]
            if (epoch, sequence) == (book.epoch, book.sequence + 1):
                book.sequence = sequence
                book.change([bids, asks])
            else:
                book.gap = True
        else:
            raise ValueError(f"no event of the market: {kind!r}")
        return self.views([ts, received, venue, instrument], book)

    def views(self, head: list[Any], book: Book) -> list[tuple[str, str, list[Any]]]:
        stale, place = book.gap or book.feed != LIVE, f"{head[2]}.{head[3]}"
        bids, asks = book.levels(10)
        best = [*(bids or [(0.0, 0.0)])[0], *(asks or [(0.0, 0.0)])[0]]
        known = [book.epoch, book.sequence, stale]
        return [
            ("BookTop", f"top.{place}", [*head, *best, *known]),
            ("BookDepth", f"depth.{place}", [*head, bids, asks, *known]),
        ]

    async def put_aside(self, message: Msg, error: Exception) -> None:
        self.malformed += 1
        if self.malformed <= KEPT_MAX:
            kept = [time.time_ns(), "book", message.subject, str(error), message.data]
            await self.bus.jetstream().publish("quarantine.book", PACK(kept))

    async def answer(self, message: Msg) -> None:
        venue = message.subject.rpartition(".")[2]
        try:
            instrument, levels = UNPACK(message.data, type=tuple[str, int])
            book = self.books[venue, instrument]
        except (msgspec.DecodeError, KeyError) as error:
            await message.respond(PACK(["BookRefusal", f"no such book: {error}"]))
            return
        now = time.time_ns()
        head = ["BookSnapshot", now, now, venue, instrument, book.epoch, book.sequence]
        await message.respond(PACK([*head, *book.levels(levels), book.ts]))

    async def status(self, message: Msg) -> None:
        now = time.time_ns()
        told = [
            "ServiceStatus",
            now,
            now,
            "book",
            "other",
            "0",
            self.ready,
            "",
            0.0,
            {},
            {},
            {},
            {},
        ]
        await message.respond(PACK(told))

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).decode().split(" ")[1]
        waiting = "{}" if self.ready else '{"bus": "NATS"}'
        code, text = {
            "/healthz": (200, '{"status": "alive"}'),
            "/readyz": (
                200 if self.ready else 503,
                f'{{"ready": {str(self.ready).lower()}, "waiting_for": {waiting}}}',
            ),
            "/metrics": (
                200,
                f'tickbus_book_errors_total{{kind="malformed"}} {self.malformed}.0\n',
            ),
        }.get(path, (404, "{}"))
        head = f"HTTP/1.1 {code} X\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        writer.write((head + text).encode())
        await writer.drain()
        writer.close()

    async def connect(self) -> None:
        self.bus = await nats.connect(
            os.environ["TICKBUS_NATS_URL"], allow_reconnect=True, max_reconnect_attempts=-1
        )
        for kind in ("snapshot", "delta", "status"):
            await self.bus.subscribe(f"md.{kind}.*.*", cb=self.take)
        await self.bus.subscribe("control.book.snapshot.*", cb=self.answer)
        await self.bus.subscribe("control.status", cb=self.status)
        await self.bus.flush()
        self.ready = True

    async def run(self) -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        port = int(os.environ["TICKBUS_METRICS_PORT"])
        server = await asyncio.start_server(self.http, "127.0.0.1", port)
        connecting = asyncio.create_task(self.connect())
        await stopping.wait()
        connecting.cancel()
        if self.bus is not None:
            await self.bus.close()
        server.close()


if __name__ == "__main__":
    asyncio.run(Service().run())
