"""A venue that answers what a test tells it to: REST, WebSocket API, user streams; on loopback."""

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Script = Any
"""An answer; {"status", "error"} for a refusal; a function of the parameters, which may be a
coroutine; None for silence."""
API_PATH = "/ws-"
"""How the path of a WebSocket API begins; any other is a user stream."""


class ScriptedVenue:
    """`rest` by "VERB /path", `api` by method; `asked` keeps all that came, in order."""

    def __init__(self) -> None:
        self.rest: dict[str, Script] = {}
        self.api: dict[str, Script] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.api_lines: list[ServerConnection] = []
        self.user_lines: list[ServerConnection] = []
        self.paths: list[str] = []
        self.rest_port = 0
        self.ws_port = 0
        self._ws: Server | None = None
        self._http: asyncio.Server | None = None

    def names(self) -> list[str]:
        """What was asked for, without the parameters."""
        return [name for name, _ in self.asked]

    def count(self, name: str) -> int:
        """How often `name` was asked for."""
        return self.names().count(name)

    def params(self, name: str) -> list[dict[str, Any]]:
        """The parameters of each request for `name`."""
        return [params for asked, params in self.asked if asked == name]

    async def push(self, event: dict[str, Any]) -> None:
        """An event on the newest user stream."""
        await self.user_lines[-1].send(json.dumps(event))

    async def refuse_websockets(self) -> None:
        """Cut every WebSocket and take no new one; REST goes on."""
        if self._ws is not None:
            self._ws.close()
            await self._ws.wait_closed()
            self._ws = None

    async def take_websockets(self) -> None:
        """Take WebSockets (again), at the address they had."""
        self._ws = await serve(self._serve, "127.0.0.1", self.ws_port)
        self.ws_port = next(iter(self._ws.sockets)).getsockname()[1]

    async def start(self) -> None:
        """Listen on free ports of the loopback."""
        self._http = await asyncio.start_server(self._serve_rest, "127.0.0.1", 0)
        self.rest_port = self._http.sockets[0].getsockname()[1]
        await self.take_websockets()

    async def stop(self) -> None:
        """Stop listening and cut every line."""
        await self.refuse_websockets()
        if self._http is not None:
            self._http.close()

    # -- answering ---------------------------------------------------------------------------------

    async def _answer(
        self, name: str, params: dict[str, Any], scripts: dict[str, Script]
    ) -> Script:  # fmt: skip
        self.asked.append((name, params))
        script = scripts.get(name)
        answer = script(params) if callable(script) else script
        return await answer if inspect.isawaitable(answer) else answer

    async def _serve(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request is not None else ""
        self.paths.append(path)
        if not path.startswith(API_PATH):
            self.user_lines.append(connection)
            await connection.wait_closed()
            return
        self.api_lines.append(connection)
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                request = json.loads(text)
                answer = await self._answer(request["method"], request.get("params", {}), self.api)
                if answer is None:
                    continue
                refused = isinstance(answer, dict) and "error" in answer
                body = answer if refused else {"status": 200, "result": answer}
                await connection.send(json.dumps({"id": request["id"], **body}))

    async def _serve_rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                verb, target, _ = first.split(" ")
                self.headers.append(
                    {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
                )
                url = urlsplit(target)
                answer = await self._answer(
                    f"{verb} {url.path}", dict(parse_qsl(url.query)), self.rest
                )
                if answer is None:
                    continue  # the client gives up in the end
                refused = isinstance(answer, dict) and "error" in answer
                status = answer.get("status", 400) if refused else 200
                error = answer["error"] if refused else answer
                text = error if isinstance(error, str) else json.dumps(error)
                extra = answer.get("headers", "") if refused else ""
                writer.write(
                    f"HTTP/1.1 {status} X\r\n{extra}content-length: {len(text.encode())}\r\n\r\n"
                    f"{text}".encode()
                )
                await writer.drain()
        writer.close()


@asynccontextmanager
async def a_scripted_venue(
    prepare: Callable[[ScriptedVenue], None] | None = None,
) -> AsyncIterator[ScriptedVenue]:
    """A venue that listens for as long as the block lasts."""
    venue = ScriptedVenue()
    if prepare is not None:
        prepare(venue)
    await venue.start()
    try:
        yield venue
    finally:
        await venue.stop()
