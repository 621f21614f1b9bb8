"""One TCP connection: HTTP by httptools, then perhaps a WebSocket by websockets' sans-IO protocol.

A response is written in the same call that read the request, so an order's answer leaves without
waiting for the event loop. A client that does not read is cut off at WRITE_BUFFER_MAX.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

import httptools
import msgspec
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from tickbus_exchange.app import Exchange
from tickbus_exchange.protocol.futures import ROUTES
from tickbus_exchange.protocol.futures_user import PRIVATE
from tickbus_exchange.protocol.market_session import MarketSession, StreamError
from tickbus_exchange.protocol.rest import Ending, HttpRequest, HttpResponse

log = logging.getLogger("tickbus_exchange")
_library_log = logging.getLogger("tickbus_exchange.websocket")
_library_log.setLevel(logging.WARNING)

WRITE_BUFFER_MAX = 4 * 1024 * 1024
"""Unsent bytes of one client above which it is disconnected: a minute or two of every stream."""
BODY_MAX = 64 * 1024
API, FUTURES_API = "/ws-api/v3", "/ws-fapi/v1"
HEAD_MAX = 32 * 1024
"""Bytes of request target and headers together."""
MESSAGE_MAX = 64 * 1024
MESSAGES_PER_S_MAX = 5
"""Inbound frames a second on a market stream, as on Binance; more is a disconnect."""
IDLE_S_MAX = 300.0
PING_EVERY_S = 20.0
PONG_WITHIN_S = 60.0
GOING_AWAY, POLICY_VIOLATION = 1001, 1008

Handler = Callable[[HttpRequest], HttpResponse]


class Session(Protocol):
    """What a WebSocket connection speaks."""

    def on_text(self, message: str) -> None:
        """Take a text message."""

    def close(self) -> None:
        """The connection is gone."""

    def shutdown_notice(self, now_ms: int) -> bytes:
        """Return the frame that announces a planned stop."""


def _is_ours(path: str) -> bool:
    """Whether a path is the simulation's own, which answers even in an outage."""
    return path.startswith("/admin/") or path in {"/healthz", "/readyz", "/metrics"}


def _route(path: str) -> tuple[str, str]:
    """The futures route that a path begins with, "" for spot, and the rest of the path."""
    first, _, rest = path.removeprefix("/").partition("/")
    return (first, f"/{rest}") if first in (*ROUTES, PRIVATE) else ("", path)


class Connection(asyncio.Protocol):
    """A client, from accept to close."""

    def __init__(
        self,
        exchange: Exchange,
        handler: Handler,
        fail: Callable[[BaseException], None],
        open_connections: dict["Connection", None],
    ) -> None:
        self._exchange = exchange
        self._handler = handler
        self._fail = fail
        self._open = open_connections
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._websocket: ServerProtocol | None = None
        self._session: Session | None = None
        self._address = ""
        self._loop_time = asyncio.get_running_loop().time
        self._active_s = self._pinged_s = self._opened_s = self._loop_time()
        self._ponged = True
        self._ping_payload = b""
        self._message = b""
        self._limited_to_market = False
        self._second, self._messages = 0, 0
        self._reset_request()

    def _reset_request(self) -> None:
        self._target = b""
        self._head_size = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_lines: list[tuple[bytes, bytes]] = []
        self._body = b""

    # -- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transport is one in all but name.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._open[self] = None
        self._exchange.connections = len(self._open)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._open.pop(self, None)
        self._exchange.connections = len(self._open)
        if self._session is not None:
            self._session.close()
            self._session = None

    def data_received(self, data: bytes) -> None:
        """Take bytes off the wire."""
        self._active_s = self._loop_time()
        if self._websocket is not None:
            self._feed_websocket(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._wants_websocket():
                self._upgrade(rest)
            else:
                # Another protocol was offered and the request answered in this one.
                self._parser = httptools.HttpRequestParser(self)
                self._reset_request()
                if rest:
                    self.data_received(rest)
        except httptools.HttpParserError as error:
            self._respond(_error(400, f"malformed HTTP request: {error}"), keep_alive=False)

    def eof_received(self) -> bool:
        """The client will send no more; close."""
        return False

    # -- HTTP (called by httptools) ------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Collect the request target."""
        self._target += url
        self._measure(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header."""
        self._headers[name.lower()] = value
        self._header_lines.append((name, value))
        self._measure(len(name) + len(value))

    def _measure(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_MAX:
            raise ValueError("request head too large")

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        self._body += body
        if len(self._body) > BODY_MAX:
            raise ValueError("body too large")

    def on_message_complete(self) -> None:
        """Answer a complete request, unless it asks for a WebSocket."""
        if self._wants_websocket():
            return
        path, _, query = self._target.partition(b"?")
        request = HttpRequest(
            self._parser.get_method().decode(), path.decode("latin-1"), query, self._headers,
            self._body, self._address,
        )  # fmt: skip
        keep_alive = self._parser.should_keep_alive()
        self._reset_request()
        if self._exchange.is_out() and not _is_ours(request.path):
            self._transport.abort()
            return
        response = self._handler(request)
        if response.ending is Ending.SILENT:
            # Whatever else the client sends stays unread, until it gives up.
            self._transport.pause_reading()
            return
        if response.ending is Ending.CUT:
            self._transport.abort()
            return
        if self._exchange.faults.cuts(request.path):
            whole = response.encode(keep_alive=keep_alive)
            self.write(whole[: len(whole) // 2])
            self._transport.close()
            return
        if response.delay_ms:
            self._exchange.after(
                response.delay_ms, lambda: self._respond(response, keep_alive=keep_alive)
            )
            return
        self._respond(response, keep_alive=keep_alive)

    def _wants_websocket(self) -> bool:
        wanted = self._headers.get(b"upgrade", b"").lower()
        return bool(self._parser.should_upgrade()) and wanted == b"websocket"

    def _respond(self, response: HttpResponse, *, keep_alive: bool) -> None:
        self.write(response.encode(keep_alive=keep_alive))
        if not keep_alive:
            self._transport.close()

    # -- WebSocket -----------------------------------------------------------------------------

    def _upgrade(self, rest: bytes) -> None:
        """Hand the request to the WebSocket library and start a session for its path."""
        if self._exchange.is_out():
            self._transport.abort()
            return
        path, _, query = self._target.decode("latin-1").partition("?")
        route, path = _route(path)
        is_market = path in {"/ws", "/stream", "/ws/", "/stream/"} or path.startswith("/ws/")
        if not is_market and path.removesuffix("/") not in {API, FUTURES_API}:
            self._respond(_error(404, f"no WebSocket at {path}"), keep_alive=False)
            return
        self._websocket = ServerProtocol(max_size=MESSAGE_MAX, logger=_library_log)
        lines = [b"GET " + self._target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self._header_lines]
        self._websocket.receive_data(b"\r\n".join(lines) + b"\r\n\r\n")
        self._limited_to_market = is_market
        for event in self._websocket.events_received():
            if not isinstance(event, Request):
                continue
            self._websocket.send_response(self._websocket.accept(event))
            self._flush_websocket()
            if self._websocket.state is not OPEN:
                return
            try:
                self._session = self._open_session(is_market, route, path, query)
            except StreamError as error:
                self.close(POLICY_VIOLATION, str(error))
                return
        if rest:
            self._feed_websocket(rest)

    def _open_session(self, is_market: bool, route: str, path: str, query: str) -> Session:
        if is_market and route == PRIVATE:
            return self._exchange.futures.private_session(self.write, path, query)
        if path.startswith(FUTURES_API):
            return self._exchange.futures_session(self._address, self.write)
        if is_market:
            hub = self._exchange.hub
            streams = hub.futures.route(route) if route else hub
            return MarketSession(streams, self.write, path, query)
        return self._exchange.api_session(self._address, self.write)

    def _feed_websocket(self, data: bytes) -> None:
        websocket = self._websocket
        assert websocket is not None
        try:
            websocket.receive_data(data)
            events = websocket.events_received()
        except (EOFError, ProtocolError):
            events = []
        for event in events:
            if isinstance(event, Frame) and self._session is not None:
                self._on_frame(event)
        self._flush_websocket()
        if websocket.close_expected():
            self._transport.close()

    def _on_frame(self, frame: Frame) -> None:
        if self._limited_to_market and self._too_many():
            self.close(POLICY_VIOLATION, "Too many requests")
            return
        if frame.opcode is Opcode.PONG:
            # Only the echo of our own ping counts as life.
            self._ponged = self._ponged or bytes(frame.data) == self._ping_payload
        elif frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            self._on_data(frame)

    def _on_data(self, frame: Frame) -> None:
        """Take a message or a piece of one; the library refuses one larger than MESSAGE_MAX."""
        self._message += bytes(frame.data)
        if frame.fin and self._session is not None:
            message, self._message = self._message, b""
            try:
                self._session.on_text(message.decode("utf-8", "replace"))
            except Exception as error:  # noqa: BLE001  # whatever it is, it ends the process
                self._fail(error)

    def _too_many(self) -> bool:
        second = int(self._loop_time())
        if second != self._second:
            self._second, self._messages = second, 0
        self._messages += 1
        return self._messages > MESSAGES_PER_S_MAX

    def _flush_websocket(self) -> None:
        assert self._websocket is not None
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def write(self, frame: bytes) -> None:
        """Send a complete frame or response; drop the client if it has stopped reading."""
        transport = self._transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > WRITE_BUFFER_MAX:
            self._exchange.slow_clients_total += 1
            log.warning("dropped a client that does not read: %s", self._address)
            transport.abort()
            return
        transport.write(frame)

    # -- shell ---------------------------------------------------------------------------------

    @property
    def is_websocket(self) -> bool:
        """Whether this is an open WebSocket."""
        return self._session is not None

    def check(self) -> None:
        """Ping a WebSocket, close what is silent too long or too old. Called once a second."""
        now = self._loop_time()
        if self._websocket is None:
            if now - self._active_s > IDLE_S_MAX:
                self._transport.close()
            return
        if now - self._opened_s > self._exchange.config.socket_life_s:
            self.close(GOING_AWAY, "this connection has reached its age limit")
        elif not self._ponged and now - self._pinged_s > PONG_WITHIN_S:
            self._transport.abort()
        elif self._ponged and now - self._pinged_s >= PING_EVERY_S:
            self._ping(self._websocket, now)

    def _ping(self, websocket: ServerProtocol, now: float) -> None:
        if websocket.state is OPEN:
            self._ping_payload = str(self._exchange.clock_ms()).encode()
            websocket.send_ping(self._ping_payload)
            self._flush_websocket()
            self._ponged, self._pinged_s = False, now

    def close(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """Say goodbye and close."""
        if self._websocket is not None and self._websocket.state is OPEN:
            if code == GOING_AWAY and self._session is not None and not reason:
                self.write(self._session.shutdown_notice(self._exchange.clock_ms()))
            self._websocket.send_close(code, reason)
            self._flush_websocket()
        self._transport.close()

    def announce(self) -> None:
        """Say that a planned stop is near."""
        if self._session is not None:
            self.write(self._session.shutdown_notice(self._exchange.clock_ms()))

    def drop(self) -> None:
        """Cut the line without a word."""
        self._transport.abort()


def _error(status: int, message: str) -> HttpResponse:
    return HttpResponse(status, msgspec.json.encode({"code": -1000, "msg": message}))
