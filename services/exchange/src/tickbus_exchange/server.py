"""The shell: sockets, clock and signals around an Exchange."""

import asyncio
import errno
import logging
import signal
import time
from collections.abc import Coroutine
from typing import cast

from tickbus_exchange.admin import Admin
from tickbus_exchange.app import Exchange
from tickbus_exchange.config import ExchangeConfig
from tickbus_exchange.connection import GOING_AWAY, Connection
from tickbus_exchange.protocol.rest import HttpRequest, HttpResponse

log = logging.getLogger("tickbus_exchange")

STEP_S = 0.01
CONNECTIONS_MAX = 1_000


class PortInUseError(Exception):
    """Somebody else listens on the port; the message names the remedy."""


def clock_ms() -> int:
    """Return milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class Server:
    """A listening exchange. `port` is known once `start` has returned."""

    def __init__(self, config: ExchangeConfig) -> None:
        self._config = config
        self.exchange = Exchange(config, clock_ms)
        self._connections: dict[Connection, None] = {}
        self._admin = Admin(self.exchange, self.disconnect, self.announce_stop)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self.failure: BaseException | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen and set the market in motion. Raises PortInUseError."""
        host, port = self._config.host, self._config.port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept, host, port, backlog=256
            )
        except OSError as error:
            self.exchange.close()
            if error.errno == errno.EADDRINUSE:
                message = f"port {port} on {host} is in use; stop its owner or choose --port"
                raise PortInUseError(message) from error
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks = [
            asyncio.create_task(self._guard(self._run_market())),
            asyncio.create_task(self._guard(self._check_connections())),
        ]

    def _accept(self) -> asyncio.Protocol:
        if len(self._connections) >= CONNECTIONS_MAX:
            return _Refused()
        return Connection(self.exchange, self._handle, self._fail, self._connections)

    def _handle(self, request: HttpRequest) -> HttpResponse:
        """Answer any HTTP request. An unforeseen failure stops the exchange."""
        try:
            if request.path.startswith("/api/"):
                return self.exchange.rest.handle(request)
            if request.path.startswith("/fapi/"):
                return self.exchange.futures.rest.handle(request)
            return self._admin.handle(request) or self.exchange.rest.handle(request)
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the process
            self._fail(error)
            body = b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}'
            return HttpResponse(500, body)

    def _fail(self, error: BaseException) -> None:
        log.critical("unexpected failure, stopping", exc_info=error)
        self.failure = error
        self._stopped.set()

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        """Run `work`; a failure of it stops the exchange."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the process
            self._fail(error)

    async def _run_market(self) -> None:
        while True:
            self.exchange.step()
            await asyncio.sleep(STEP_S)

    async def _check_connections(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for connection in tuple(self._connections):
                connection.check()

    def disconnect(self) -> int:
        """Cut every WebSocket without a word; return how many there were."""
        sockets = [c for c in self._connections if c.is_websocket]
        for connection in sockets:
            connection.drop()
        return len(sockets)

    def announce_stop(self, after_ms: int) -> int:
        """Announce a planned stop to every WebSocket and close those then; return how many."""
        sockets = [c for c in self._connections if c.is_websocket]
        for connection in sockets:
            connection.announce()

        def close() -> None:
            for connection in sockets:
                connection.close(GOING_AWAY, "planned stop")

        self.exchange.after(after_ms, close)
        return len(sockets)

    def stop(self) -> None:
        """Ask `wait` to return."""
        self._stopped.set()

    async def wait(self) -> None:
        """Return when `stop` was called, by a signal or otherwise."""
        await self._stopped.wait()

    async def close(self) -> None:
        """Announce the stop to every client, close everything, save the counters."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.close()
        # One turn of the loop, so that the goodbyes leave.
        await asyncio.sleep(0.05)
        for connection in tuple(self._connections):
            connection.drop()
        try:
            self.exchange.close()
        except OSError as error:
            self._fail(error)


class _Refused(asyncio.Protocol):
    """Turns a client away at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        transport.close()


async def serve(config: ExchangeConfig) -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    server = Server(config)
    await server.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    for note in server.exchange.notes:
        log.info("%s", note)
    log.info("listening on http://%s:%d, seed %d", config.host, server.port, config.seed)
    await server.wait()
    await server.close()
    log.info("stopped")
    return 1 if server.failure is not None else 0
