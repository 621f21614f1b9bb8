"""A page that listens to the gateway under test, over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from api_platform import Gateway
from websockets.asyncio.client import ClientConnection, connect

from tickbus.clock import ManualClock
from tickbus_api.service import HttpEdge

WAIT_S = 30
Said = dict[str, Any]


def edge_of(platform: Gateway) -> HttpEdge:
    (edge,) = platform.shell.spec.edges
    assert isinstance(edge, HttpEdge)
    return edge


def url_of(platform: Gateway) -> str:
    return f"ws://127.0.0.1:{edge_of(platform).port}/api/v1/stream"


def connected(platform: Gateway, **more: Any) -> connect:
    """A connection to the streams, patient with a machine that may stand still."""
    return connect(url_of(platform), open_timeout=WAIT_S, ping_interval=None, **more)


class Page:
    """A connection to the streams."""

    def __init__(self, socket: ClientConnection, platform: Gateway) -> None:
        self.socket = socket
        self._platform = platform

    async def say(self, **command: Any) -> None:
        await self.socket.send(json.dumps(command))

    async def hear(self, topic: str | None = None, kind: str | None = None) -> Said:
        """The next frame of `topic` and `kind`; time goes on while it waits."""
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    async with asyncio.timeout(0.02):
                        frame: Said = json.loads(await self.socket.recv())
                except TimeoutError:
                    advance(self._platform)
                    continue
                if topic in (None, frame.get("topic")) and kind in (None, frame["kind"]):
                    return frame

    async def subscribe(self, *topics: str, **resume: int) -> None:
        await self.say(op="subscribe", topics=topics, resume=resume)


def advance(platform: Gateway) -> None:
    clock = platform.shell.clock
    assert isinstance(clock, ManualClock)
    clock.advance_to(clock.now_ns() + 100_000_000)


@asynccontextmanager
async def a_page(platform: Gateway, credential: str = "") -> AsyncIterator[Page]:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    async with connected(platform, additional_headers=headers) as socket:
        page = Page(socket, platform)
        assert (await page.hear())["kind"] == "hello"
        yield page


def limit(platform: Gateway, **limits: float) -> None:
    gateway = edge_of(platform).app.state.gateway
    streams = msgspec.structs.replace(gateway.config.streams, **limits)
    gateway.config = msgspec.structs.replace(gateway.config, streams=streams)
