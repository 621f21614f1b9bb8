"""A short way through the NATS client for what is hot: straight from the socket to the handler.

nats-py keeps the connection: servers, TLS, authentication, pings, reconnecting, subscribing again.
A message of a direct subscription is taken from the byte stream before nats-py sees it, and a
publish is written to the socket without its queue and flusher task; all other bytes pass through
untouched. On an idle machine, where code is cold, that halves a hop (`docs/decisions`, number 5).
It leans on names of nats-py that are not public; they are all in this module.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, Protocol
from urllib.parse import ParseResult

import nats.errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

log = logging.getLogger("tickbus.bus")

WRITE_BUFFER_MAX = 1024 * 1024
"""With more than this unsent, publishing goes through nats-py, which waits and bounds."""
CONTROL_LINE_MAX = 1024 * 1024
STOP_TIMEOUT_S = 0.5
PORT = 4222
SUBJECTS_MAX = 10_000


class Delivery(NamedTuple):
    """One message as it came; an answer without payload carries its status in `header`."""

    subject: str
    reply: str
    payload: bytes
    header: bytes = b""


Taker = Callable[[Delivery], None]


class Lagging(Protocol):
    """Somebody who reads a stream, and may be behind."""

    @property
    def stream(self) -> str:
        """The stream's name."""
        ...

    @property
    def lag(self) -> int:
        """How many stored messages are still to be handled, as far as is known."""
        ...


class Tap(asyncio.Protocol):
    """Stands between the socket and nats-py's reader, and takes out what is taken by `takers`.

    `takers` is by subscription id as it is spelled on the wire. A frame is taken or passed on
    whole; what cannot be read is passed on, for nats-py to complain of and to reconnect.
    """

    def __init__(self, inner: asyncio.StreamReaderProtocol, takers: dict[bytes, Taker]) -> None:
        self._inner = inner
        self._takers = takers
        self._rest = b""
        # nats-py's writer was given `inner`, which therefore has to hear of everything.
        self.connection_made = inner.connection_made  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        """Take complete frames; keep an incomplete one for next time."""
        if self._rest:
            data = self._rest + data
        position = passed = 0
        while (line_end := data.find(b"\r\n", position)) >= 0:
            frame = _frame(data, position, line_end)
            if frame is None:  # neither MSG nor HMSG
                position = line_end + 2
                continue
            fields, has_reply, header_size, size = frame
            body = line_end + 2
            end = body + size + 2
            if end > len(data):
                break
            taker = self._takers.get(fields[1])
            if taker is not None:
                if passed < position:
                    self._inner.data_received(data[passed:position])
                passed = end
                taker(
                    Delivery(
                        fields[0].decode(),
                        fields[2].decode() if has_reply else "",
                        data[body + header_size : end - 2],
                        data[body : body + header_size],
                    )
                )
            position = end
        else:
            if len(data) - position > CONTROL_LINE_MAX:  # not a line of NATS: let nats-py say so
                position = len(data)
        if passed < position:
            self._inner.data_received(data[passed:position])
        self._rest = data[position:]


def _frame(data: bytes, start: int, end: int) -> tuple[list[bytes], bool, int, int] | None:
    """Of a MSG or HMSG line: fields, whether a reply is among them, size of header and of all."""
    has_header = data.startswith(b"HMSG ", start)
    if not has_header and not data.startswith(b"MSG ", start):
        return None
    fields = data[start + 4 + has_header : end].split()
    has_reply = len(fields) == 4 + has_header
    if not has_reply and len(fields) != 3 + has_header:
        return None
    try:
        return fields, has_reply, int(fields[-2]) if has_header else 0, int(fields[-1])
    except ValueError:
        return None


class DirectTransport(TcpTransport):
    """nats-py's TCP transport with a tap in it, put there anew at each connect."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.takers: dict[bytes, Taker] = {}

    def __bool__(self) -> bool:
        return True  # or the client would put its own in this one's place before it connects

    def at_eof(self) -> bool:
        """Whether there is nothing to read and never will be."""
        return self._io_reader is None or self._io_reader.at_eof()

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Open a connection. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=buffer_size)
        inner = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.wait_for(
            loop.create_connection(
                lambda: Tap(inner, self.takers), uri.hostname or "127.0.0.1", uri.port or PORT
            ),
            connect_timeout,
        )
        writer = asyncio.StreamWriter(transport, inner, reader, loop)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int,
        connect_timeout: int,
    ) -> None:  # fmt: skip
        """Go on over TLS. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        assert self._io_writer is not None, "connect first"
        reader = asyncio.StreamReader(limit=buffer_size)
        inner = asyncio.StreamReaderProtocol(reader)
        transport = await asyncio.wait_for(
            loop.start_tls(
                self._io_writer.transport,
                Tap(inner, self.takers),
                ssl_context,
                server_hostname=uri if isinstance(uri, str) else uri.hostname,
            ),
            connect_timeout,
        )
        assert transport is not None  # it is None only on a closed connection, which raises
        self._io_reader = reader
        self._io_writer = asyncio.StreamWriter(transport, inner, reader, loop)

    def write_now(self, command: bytes) -> bool:
        """Write, unless too much is unsent already."""
        if self._io_writer is None:
            return False
        transport = self._io_writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > WRITE_BUFFER_MAX:
            return False
        transport.write(command)
        return True


class DirectSubscription:
    """Hands deliveries to `handler` one at a time, in order, in a task of its own.

    Up to `messages_max` deliveries and `bytes_max` bytes wait; beyond that the newest is dropped
    and `on_slow` told.
    """

    def __init__(
        self, lane: "DirectLane", subject: str, handler: Callable[[Delivery], Awaitable[None]],
        on_slow: Callable[[str], None], messages_max: int, bytes_max: int,
    ) -> None:  # fmt: skip
        self._lane = lane
        self._subject = subject
        self._handler = handler
        self._on_slow = on_slow
        self._messages_max = messages_max
        self._bytes_left = bytes_max
        self._waiting: deque[Delivery] = deque()
        self._idle: asyncio.Future[None] | None = None
        self._stopped = False
        self._subscription: Any = None
        self._sid = b""
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many deliveries wait for the handler."""
        return len(self._waiting)

    async def start(self) -> None:
        """Subscribe. Raises nats.errors.Error."""
        self._worker = asyncio.create_task(self._work(), name=f"bus {self._subject}")
        self._sid, self._subscription = await self._lane.take(self._subject, self._put)
        self._lane.queues[self] = None

    async def stop(self) -> None:
        """Deliver nothing more; what is being handled has half a second to finish."""
        self._stopped = True
        self._waiting.clear()
        self._lane.queues.pop(self, None)
        self._lane.leave(self._sid)
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()
        worker = self._worker
        if worker is None or worker is asyncio.current_task():
            return
        if self._idle is None:
            await asyncio.wait([worker], timeout=STOP_TIMEOUT_S)
        worker.cancel()
        await asyncio.wait([worker], timeout=STOP_TIMEOUT_S)

    def _put(self, delivery: Delivery) -> None:
        if self._stopped:
            return
        left = self._bytes_left - len(delivery.payload)
        if left < 0 or len(self._waiting) >= self._messages_max:
            self._on_slow(self._subject)
            return
        self._bytes_left = left
        self._waiting.append(delivery)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _work(self) -> None:
        waiting = self._waiting
        while not self._stopped:
            while waiting:
                delivery = waiting.popleft()
                self._bytes_left += len(delivery.payload)
                await self._handler(delivery)
            if not self._stopped:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
                self._idle = None


class DirectLane:
    """The short way of one client; made before the client connects."""

    def __init__(self) -> None:
        self.client = Client()
        self._transport = DirectTransport()
        # Typed as nats-py's own; it keeps a transport that it finds there.
        self.client._transport = self._transport
        self._subjects: dict[str, bytes] = {}
        self.queues: dict[DirectSubscription, None] = {}
        self.lags: dict[Lagging, None] = {}
        """Who reads a stream."""

    def measure(self) -> Iterator[tuple[str, float, dict[str, str]]]:
        """What waits in this process, and what of each stream is still to be handled."""
        waiting = [queue.waiting for queue in self.queues]
        yield "queue_messages", sum(waiting), {}
        yield "queue_messages_max", max(waiting, default=0), {}
        lags: dict[str, int] = {}
        for reader in self.lags:
            lags[reader.stream] = max(lags.get(reader.stream, 0), reader.lag)
        for stream, lag in lags.items():
            yield "consumer_lag_messages", lag, {"stream": stream}

    async def take(self, subject: str, taker: Taker) -> tuple[bytes, Any]:
        """Subscribe, and have `taker` called with every delivery; nats-py renews it for us."""
        # Nothing else runs between here and nats-py's counting up, so the id is known before the
        # first message can come.
        sid = b"%d" % (self.client._sid + 1)
        self._transport.takers[sid] = taker
        try:
            subscription = await self.client.subscribe(subject)
        except BaseException:
            self.leave(sid)
            raise
        assert sid == b"%d" % subscription._id
        return sid, subscription

    def leave(self, sid: bytes) -> None:
        """Deliveries of this subscription are nats-py's affair from now on."""
        self._transport.takers.pop(sid, None)

    async def publish(
        self, subject: str, payload: bytes, reply: bytes = b"", message_id: str = ""
    ) -> None:
        """Write a message to the socket; through nats-py where that cannot be done now.

        Raises nats.errors.Error: no connection and nothing may be buffered, too large, bad subject.
        """
        if not self._write(subject, payload, reply, message_id):
            headers = {"Nats-Msg-Id": message_id} if message_id else None
            await self.client.publish(subject, payload, reply.decode(), headers)

    def _write(self, subject: str, payload: bytes, reply: bytes, message_id: str) -> bool:
        client = self.client
        # What waits in nats-py's buffer was published before and has to go first.
        if not client.is_connected or client._pending_data_size:
            return False
        to = self._subjects.get(subject) or self._checked(subject)
        size = len(payload)
        if not to or size > client.max_payload:
            return False  # nats-py says what is wrong with it
        if not message_id:
            answer = reply + b" " if reply else b""
            command = b"PUB %s %s%d\r\n%s\r\n" % (to, answer, size, payload)
        elif message_id.isascii() and message_id.isprintable():
            head = b"NATS/1.0\r\nNats-Msg-Id: %s\r\n\r\n" % message_id.encode()
            length = len(head)
            command = b"HPUB %s %s %d %d\r\n%s%s\r\n" % (
                to, reply, length, length + size, head, payload,
            )  # fmt: skip
        else:
            return False
        return self._transport.write_now(command)

    def _checked(self, subject: str) -> bytes:
        if not subject or any(c.isspace() or not c.isprintable() for c in subject):
            return b""
        if len(self._subjects) >= SUBJECTS_MAX:
            self._subjects.clear()
        encoded = self._subjects[subject] = subject.encode()
        return encoded
