"""A stub of a venue that can send frames much faster than any market: for benchmarks only."""

import asyncio
import json
import re
import time
from types import TracebackType
from typing import Any, Self

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from tickbus_cli.bench_frames import a_market, snapshot

SYMBOLS = ("BTCUSDT",)
SLICE_S = 0.002
BACKLOG_BYTES_MAX = 4 * 1024 * 1024
FIRST_ID = 10**12
_NUMBERS = {b"@depth": re.compile(rb'"U":\d+,"u":\d+'), b"@trade": re.compile(rb'"t":\d+')}
_FORMS = {b"@depth": b'"U":%d,"u":%d', b"@trade": b'"t":%d'}
Part = tuple[bytes, bytes, bytes]
"""A frame before its number, the form of the number, and the frame behind it."""


class StubVenue:
    """Answers exchangeInfo and depth over HTTP and streams prepared frames over WebSocket."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._streams: list[asyncio.StreamWriter] = []
        self._update = self._trade = FIRST_ID
        self._frames = _prepare()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for writer in list(self._streams):
            writer.close()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            if b"upgrade: websocket" in head.lower():
                await self._websocket(head, reader, writer)
            else:
                await self._http(head, writer)
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _http(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ", 2)[1]
        body = snapshot(update_id=self._update - 1) if b"/depth" in path else _listing()
        lines = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(lines + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def _websocket(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(head)
        request: Any = protocol.events_received()[0]
        protocol.send_response(protocol.accept(request))
        writer.write(b"".join(protocol.data_to_send()))
        self._streams.append(writer)
        try:
            while data := await reader.read(65_536):
                protocol.receive_data(data)  # subscriptions are not looked at: all get everything
                protocol.events_received()
                writer.write(b"".join(protocol.data_to_send()))
        finally:
            self._streams.remove(writer)  # the feed makes one that was silent for long anew

    async def send(self, rate: int, seconds: float) -> tuple[int, int, float]:
        """Send `rate` frames/s; (trades and quotes, changes of books, seconds it took)."""
        (writer,) = self._streams
        begin, n, changes = time.monotonic(), 0, 0
        total = int(rate * seconds)
        while n < total:
            due = min(total, int((time.monotonic() - begin) * rate) + 1)
            parts = []
            while n < due:
                head, form, tail = self._frames[n % len(self._frames)]
                if form:
                    head += self._number(form) + tail
                    changes += form == _FORMS[b"@depth"]
                parts.append(head)
                n += 1
            writer.write(b"".join(parts))
            if writer.transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
                await writer.drain()
            await asyncio.sleep(SLICE_S)
        await writer.drain()
        return total - changes, changes, time.monotonic() - begin

    def _number(self, form: bytes) -> bytes:
        """The next id, of the same length as all others, so that the frame's head stays right."""
        if form == _FORMS[b"@trade"]:
            self._trade += 1
            return form % self._trade
        number = self._update
        self._update += 1
        return form % (number, number)


def _prepare() -> list[Part]:
    """Frames of one market, ready for the wire but for the ids of changes and of trades."""
    frames: list[Part] = []
    for message in a_market(SYMBOLS[0], 4_000):
        if message.kind != "frame":
            continue
        payload, form = message.payload, b""
        for kind, numbers in _NUMBERS.items():
            if kind in payload[:40]:
                form = _FORMS[kind]
                placeholder = form % ((FIRST_ID,) * form.count(b"%d"))
                payload = numbers.sub(placeholder, payload, count=1)
        frame = Frame(Opcode.TEXT, payload).serialize(mask=False)
        if not form:
            frames.append((frame, b"", b""))
            continue
        head, _, tail = frame.partition(placeholder)
        frames.append((head, form, tail))
    return frames


def _listing() -> bytes:
    symbols = [
        {
            "symbol": symbol, "status": "TRADING", "baseAsset": symbol[:3], "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00001", "minQty": "0.00001"},
            ],
        }
        for symbol in SYMBOLS
    ]  # fmt: skip
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 10**6}
    ]
    return json.dumps({"symbols": symbols, "rateLimits": limits}).encode()
