"""The WebSocket of the streams."""

from collections.abc import Sequence

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from tickbus.runtime.http import Wire
from tickbus_api.access import Scope, principal_of
from tickbus_api.guarding import guard
from tickbus_api.problems import PROBLEM_JSON, Problem
from tickbus_api.streaming.edge import Listener, Streams
from tickbus_api.streaming.frames import Frame
from tickbus_api.streaming.serving import serve, wire_of

PATH = "/api/v1/stream"
POLICY_VIOLATED, TRY_AGAIN_LATER = 1008, 1013
REASON_BYTES_MAX = 120
"""A little less than a closing frame can hold."""


class _Socket:
    """A WebSocket past the protocol: whole frames, the same bytes for all who hear them.

    Through the protocol each frame is made anew for each client, and each waits for its turn.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def backlog(self) -> int:
        return self._wire.backlog

    def write(self, frames: Sequence[Frame]) -> None:
        self._wire.write(b"".join([frame.wire for frame in frames]))


async def stream(websocket: WebSocket) -> None:
    """Topics over one connection; docs/streaming.md has the protocol."""
    streams: Streams = websocket.app.state.streams
    try:
        await guard(websocket.app.state.gateway, websocket)
        await principal_of(websocket, Scope.READ)
        listener = streams.join()
    except Problem as problem:
        await websocket.send_denial_response(
            JSONResponse(problem.body(), problem.status, problem.headers, PROBLEM_JSON)
        )
        return

    async def close(problem: Problem) -> None:
        code = TRY_AGAIN_LATER if problem.status >= 500 else POLICY_VIOLATED
        reason = f"{problem.code}: {problem.detail}".encode()[:REASON_BYTES_MAX]
        await websocket.close(code, reason.decode(errors="ignore"))

    try:
        await websocket.accept()
        wire = wire_of(websocket)
        if wire is not None:
            listener.open(_Socket(wire))
            await serve(websocket, listener, [_read(websocket, listener)], close)
    except WebSocketDisconnect:
        pass
    finally:
        streams.leave(listener)


async def _read(websocket: WebSocket, listener: Listener) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        listener.obey(message.get("text") or message.get("bytes") or b"")
