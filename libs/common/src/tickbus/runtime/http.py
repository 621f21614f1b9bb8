"""A small HTTP server inside a service: health for probes, metrics, or a whole app."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest

from tickbus.config import ConfigError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 3.0
UNSENT_BYTES_MAX = 64 * 1024
"""In the kernel, of one connection."""
WEBSOCKET_BYTES_MAX = 64 * 1024
"""Of one message that a client sends; with a longer one it is closed."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals belong to the service that hosts this server.
        yield


class Wire:
    """One connection below all protocols, for bytes that are made once and sent to many.

    Whoever writes here writes whole frames, and sees to it that not too many wait.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    @property
    def backlog(self) -> int:
        """The bytes that were written and that the network has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send `data`, never waiting; nothing happens where the connection is over."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """End it at once, and drop what was not read.

        Closing would wait for as long as the client keeps its end open without reading.
        """
        self._transport.abort()


class HttpServer:
    """An ASGI app served on the running loop."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve; with port 0 `port` is then the one chosen. Raises ConfigError."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # What waits for a slow client waits here, where it can still be replaced by what is
            # newer; what connects inherits it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
        try:
            sock.bind((self.host, self.port))
        except OSError as error:
            sock.close()
            raise ConfigError(
                f"cannot listen on {self.host}:{self.port} ({error.strerror}): stop what uses the"
                " port or choose another (0 takes any free one): TICKBUS_METRICS_PORT for metrics,"
                " TICKBUS_API_PORT for the gateway"
            ) from error
        self.port = sock.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,  # who sends is who the socket says, whatever a header claims
            ws_max_size=WEBSOCKET_BYTES_MAX,
            ws_per_message_deflate=False,  # costs more than the network it saves
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]))
        async with asyncio.timeout(START_TIMEOUT_S):
            while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)

    def wire(self, client: tuple[str, int]) -> Wire | None:
        """The connection with `client`; None when it is over."""
        for connection in self._server.server_state.connections if self._server else ():
            if getattr(connection, "client", None) == client:
                return Wire(connection.transport)
        return None

    async def stop(self) -> None:
        """Close within 3 s; requests still open then are cut."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self._task, STOP_TIMEOUT_S)


def health_app(
    registry: CollectorRegistry, waiting: Callable[[], dict[str, str]],
    notes: Callable[[], dict[str, str]] = dict,
) -> Any:  # fmt: skip
    """ASGI app with /healthz (the process lives), /readyz (it does its job) and /metrics.

    `notes` are what somebody should look at although the service is ready.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = _answer(scope["path"], registry, waiting, notes)
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _answer(
    path: str,
    registry: CollectorRegistry,
    waiting: Callable[[], dict[str, str]],
    notes: Callable[[], dict[str, str]],
) -> tuple[int, bytes, bytes]:
    if path == "/metrics":
        return 200, b"text/plain; version=0.0.4; charset=utf-8", generate_latest(registry)
    if path == "/healthz":
        return 200, b"application/json", b'{"status":"alive"}'
    if path == "/readyz":
        reasons = waiting()
        body = {"ready": not reasons, "waiting_for": reasons, "notes": notes()}
        return 503 if reasons else 200, b"application/json", json.dumps(body).encode()
    text = b'{"error":"not found; there are /healthz, /readyz and /metrics"}'
    return 404, b"application/json", text
