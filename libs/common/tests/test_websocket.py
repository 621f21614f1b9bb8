"""What becomes of a message for a connection that is gone."""

import asyncio

import pytest
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tickbus.websocket import FrameStream


async def listen(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def write_where_nobody_is() -> None:
    async with serve(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        stream = await FrameStream.connect(f"ws://127.0.0.1:{port}", print, timeout_s=30)
        stream.send("{}")
        stream.abort()  # as when a read fails: nobody has been told yet
        assert not stream.closed.done()
        with pytest.raises(WebSocketException):
            stream.send("{}")
        with pytest.raises(WebSocketException):
            stream.ping()
        assert await asyncio.wait_for(stream.closed, 30) == "cut"
        with pytest.raises(WebSocketException):
            stream.send("{}")
        await stream.close()


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_what_can_not_be_written_is_said_at_once(new_loop: object) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
        runner.run(write_where_nobody_is())
