"""An HTTP server on loopback that answers as a test says, or passes on what it wants to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import parse_qsl

import httpx


class Asked(NamedTuple):
    """One request; `query` as it was sent, header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def params(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(self.query))


class Told(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Asked], Awaitable[Told | None]]
"""None: the connection ends without an answer."""


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[str]:
    """Serve what `answer` gives; the server's URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                told = await answer(await _read(reader))
                if told is None:
                    break
                headers = "".join(f"{name}: {value}\r\n" for name, value in told.headers)
                head = f"HTTP/1.1 {told.status} X\r\ncontent-length: {len(told.body)}\r\n"
                writer.write(f"{head}{headers}\r\n".encode() + told.body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    return Asked(method, path, query, headers, body)


async def passed_on(upstream: str, asked: Asked) -> Told:
    """What the server at `upstream` answers to the same request."""
    url = f"{upstream}{asked.path}?{asked.query}"
    key = asked.headers.get("x-mbx-apikey", "")
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.request(asked.method, url, headers={"X-MBX-APIKEY": key})
    return Told(answer.status_code, answer.content)
