"""Both streams against the gateway itself, and against one whose connections break."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_platform import LIMIT_BUY, NOW, Platform, a_platform
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_async
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection as SyncConnection
from websockets.sync.server import serve as serve_sync

from tickbus.events import BookTop
from tickbus_api.service import HttpEdge
from tickbus_client import ApiError, AsyncClient, Client, StreamFailed, Update, streams
from tickbus_client.answers.streams import OrdersTold
from tickbus_testkit.patience import PATIENCE_S

HELLO = json.dumps({"kind": "hello", "run": "r"})


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that took its time to open, or is silent, is none that broke."""
    for name in ("OPEN_S", "SILENCE_S"):
        monkeypatch.setattr(streams, name, PATIENCE_S)


def delta(seq: int, kind: str = "delta") -> str:
    return json.dumps({"topic": "orders", "seq": seq, "kind": kind, "data": {}})


class Server:
    """Greets, notes each wish, answers by `script`, one connection after the other."""

    def __init__(self, *script: list[str]) -> None:
        self.script = list(script)
        self.wishes: list[Any] = []

    def texts(self, wish: str | bytes) -> list[str]:
        self.wishes.append(json.loads(wish))
        told = json.dumps({"kind": "subscribed", "topics": self.wishes[-1]["topics"]})
        return [told, *self.script.pop(0)]

    async def aside(self, connection: ServerConnection) -> None:
        await connection.send(HELLO)
        for text in self.texts(await connection.recv()):
            await connection.send(text)
        if not self.script:
            await connection.wait_closed()

    def plain(self, connection: SyncConnection) -> None:
        connection.send(HELLO)
        for text in self.texts(connection.recv()):
            connection.send(text)
        if not self.script:
            connection.recv()


SCRIPT = ([delta(7, "snapshot"), delta(8)], [delta(8), delta(9)])
EXPECTED = [("snapshot", 7), ("delta", 8), ("delta", 9)]
WISHES = [
    {"op": "subscribe", "topics": ["orders"]},
    {"op": "subscribe", "topics": ["orders"], "resume": {"orders": 8}},
]


@asynccontextmanager
async def a_server(server: Server) -> AsyncIterator[str]:
    async with serve_async(server.aside, "127.0.0.1", 0, open_timeout=PATIENCE_S) as listening:
        (bound, *_) = listening.sockets
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_asyncio_resumes_a_broken_connection() -> None:
    server, troubles = Server(*SCRIPT), list[str]()
    async with a_server(server) as url, AsyncClient(url, "") as client:
        stream = client.stream("orders", on_trouble=lambda why, _: troubles.append(why))
        async with asyncio.timeout(PATIENCE_S), stream as updates:
            seen = [await anext(updates) for _ in EXPECTED]
    assert [(each.kind, each.seq) for each in seen] == EXPECTED
    assert server.wishes == WISHES
    assert len(troubles) == 1


@pytest.fixture
def plain_server() -> Iterator[tuple[Server, str]]:
    server = Server(*SCRIPT)
    with serve_sync(server.plain, "127.0.0.1", 0, open_timeout=PATIENCE_S) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield server, f"http://127.0.0.1:{listening.socket.getsockname()[1]}"
        listening.shutdown()
        thread.join(5)


def test_plain_code_resumes_a_broken_connection(plain_server: tuple[Server, str]) -> None:
    server, url = plain_server
    with Client(url, "") as client, client.stream("orders") as updates:
        seen: list[Update] = []
        for update in updates:
            seen.append(update)
            if len(seen) == len(EXPECTED):
                break
        assert updates.next(0.01) is None, "nothing more comes, and nobody waits for it"
    assert [(each.kind, each.seq) for each in seen] == EXPECTED
    assert server.wishes == WISHES


async def test_a_gateway_that_stays_away_ends_the_stream() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with AsyncClient(url, "") as client:
            with pytest.raises(StreamFailed, match="is away"):
                await anext(client.stream("orders", patience_s=0.0))
        with Client(url, "") as plain, pytest.raises(StreamFailed, match="is away"):
            next(plain.stream("orders", patience_s=0.0))


async def test_who_is_refused_is_told_so_at_once() -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        problem = {"code": "UNAUTHENTICATED", "detail": "who are you?", "remedy": "log in"}
        return connection.respond(401, json.dumps(problem))

    server = Server()
    async with serve_async(server.aside, "127.0.0.1", 0, process_request=refuse) as listening:
        (bound, *_) = listening.sockets
        async with AsyncClient(f"http://127.0.0.1:{bound.getsockname()[1]}", "") as client:
            with pytest.raises(ApiError, match="who are you") as refused:
                await anext(client.stream("orders"))
    assert refused.value.code == "UNAUTHENTICATED"


# -- the gateway itself ----------------------------------------------------------------------------


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


def url_of(platform: Platform) -> str:
    (edge,) = platform.shell.spec.edges
    assert isinstance(edge, HttpEdge)
    return f"http://127.0.0.1:{edge.port}"


async def test_the_gateways_topics_are_heard_and_read(platform: Platform) -> None:
    await platform.publish(BookTop(NOW, NOW, "sim", "BTC-USDT", 99.5, 1.0, 100.5, 2.0, 1, 1))
    async with (
        AsyncClient(url_of(platform), "") as client,
        asyncio.timeout(PATIENCE_S),
    ):
        async with client.stream("orders") as updates:
            whole = await anext(updates)
            assert (whole.kind, whole.read(OrdersTold).orders) == ("snapshot", ())
            answer = await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
            assert answer.status_code == 201
            placed = (await anext(updates)).read(OrdersTold).orders[-1]
            assert placed.id == answer.json()["id"]
            await updates.subscribe("prices")
            async for update in updates:
                if update.topic == "prices":
                    break
            assert update.data["prices"][0]["bid"] == 99.5


async def test_a_topic_that_the_gateway_has_not_is_an_error(platform: Platform) -> None:
    async with (
        AsyncClient(url_of(platform), "") as client,
        asyncio.timeout(PATIENCE_S),
    ):
        async with client.stream("odrers") as updates:
            with pytest.raises(StreamFailed, match="did you mean 'orders'"):
                await anext(updates)
