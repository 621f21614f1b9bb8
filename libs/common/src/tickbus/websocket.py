"""A WebSocket client that hands over all messages of one network read at once.

Built on the sans-IO half of `websockets`. Its asyncio half wakes a task per message; here a backlog
arrives as one list, and the first message of a quiet stream is handled within the read itself.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any, Self

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosedError, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

MESSAGE_BYTES_MAX = 16 * 1024 * 1024


class StreamClosed(ConnectionError):
    """The connection is gone; the text says why."""


class FrameStream(asyncio.Protocol):
    """One connection, made by `FrameStream.connect`; `on_messages` gets complete messages."""

    def __init__(self, url: str, on_messages: Callable[[list[bytes]], None]) -> None:
        self._protocol = ClientProtocol(parse_uri(url), max_size=MESSAGE_BYTES_MAX)
        self._on_messages = on_messages
        self._transport: Any = None
        self._parts: list[bytes] = []
        self.heard_at = time.monotonic()
        """When anything came last, answers to pings included; monotonic seconds."""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(
        cls, url: str, on_messages: Callable[[list[bytes]], None], *, timeout_s: float
    ) -> Self:
        """Connect and shake hands. Raises OSError, TimeoutError or WebSocketException."""
        uri = parse_uri(url)
        context = ssl.create_default_context() if uri.secure else None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, stream = await loop.create_connection(
                lambda: cls(url, on_messages), uri.host, uri.port, ssl=context,
                server_hostname=uri.host if context else None,
            )  # fmt: skip
            try:
                await stream._opened
            except BaseException:
                stream.abort()
                raise
        return stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; called by asyncio."""
        self._transport = transport
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take in what came; called by asyncio."""
        self.heard_at = time.monotonic()
        self._protocol.receive_data(data)
        messages: list[bytes] = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event, messages)
            elif isinstance(event, Response):
                self._handshake_done()
        self._flush()
        if messages:
            self._on_messages(messages)
        if self._protocol.close_expected():
            self.abort()

    def _frame(self, frame: Frame, messages: list[bytes]) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            if frame.fin:
                messages.append(bytes(frame.data))
            else:
                self._parts = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                messages.append(b"".join(self._parts))
                self._parts = []

    def _handshake_done(self) -> None:
        if self._opened.done():
            return
        error = self._protocol.handshake_exc
        if error is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    def eof_received(self) -> None:
        """The venue ended the connection; called by asyncio."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; called by asyncio."""
        reason = str(error) if error else self._reason()
        if not self._opened.done():
            self._opened.set_exception(StreamClosed(reason))
        if not self.closed.done():
            self.closed.set_result(reason)

    def _reason(self) -> str:
        received = self._protocol.close_rcvd
        if received is None:
            return "cut"
        return f"closed by the venue ({received.code} {received.reason})".replace(" )", ")")

    def send(self, text: str) -> None:
        """Send one text message. Raises WebSocketException when the connection is closing."""
        self._still_open()
        self._protocol.send_text(text.encode())
        self._flush()

    def ping(self) -> None:
        """Ask whether anybody is there. Raises WebSocketException on a closing connection."""
        self._still_open()
        self._protocol.send_ping(b"tickbus")
        self._flush()

    def pause(self) -> None:
        """Read nothing more for now: the venue's data waits in the socket."""
        with contextlib.suppress(RuntimeError):
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        with contextlib.suppress(RuntimeError):
            self._transport.resume_reading()

    async def close(self, timeout_s: float = 1.0) -> None:
        """Say goodbye, wait a moment for the answer, and close."""
        with contextlib.suppress(WebSocketException):
            self._protocol.send_close(1000)
            self._flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.closed), timeout_s)
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _still_open(self) -> None:
        # A transport may be gone before anybody was told; what is written then is lost, or a bug.
        if self._transport.is_closing():
            raise ConnectionClosedError(None, None)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._transport.is_closing():
                continue
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
