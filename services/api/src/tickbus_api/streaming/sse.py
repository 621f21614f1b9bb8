"""Server-sent events: the same topics for who has no WebSocket, chosen once in the address."""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from tickbus_api.access import READ
from tickbus_api.problems import Problem, invalid
from tickbus_api.streaming import commands, topics
from tickbus_api.streaming.edge import Listener, Streams
from tickbus_api.streaming.frames import Frame
from tickbus_api.streaming.serving import serve

MEDIA_TYPE = "text/event-stream"
PLACES_LENGTH_MAX = 4_000
_PLACE = re.compile(r'\{"topic":"([^"]+)","seq":(\d+),')
router = APIRouter(prefix="/api/v1/stream", tags=["streams"])


class _Pipe:
    """Frames that wait for their turn in the answer."""

    def __init__(self) -> None:
        self.backlog = 0
        self._frames: deque[Frame] = deque()
        self._sending = 0
        self._awake = asyncio.Event()

    def write(self, frames: Sequence[Frame]) -> None:
        self._frames += frames
        self.backlog += sum(len(frame.text) for frame in frames)
        self._awake.set()

    async def next(self) -> str:
        """The next one, once there is one; the one before has been sent then."""
        self.backlog -= self._sending
        self._sending = 0
        while not self._frames:
            self._awake.clear()
            await self._awake.wait()
        text = self._frames.popleft().text
        self._sending = len(text)
        return text


class EventStream(Response):
    """An answer that goes on for as long as both sides want."""

    media_type = MEDIA_TYPE

    def __init__(self, request: Request, listener: Listener) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._listener = listener
        self._places: dict[str, str] = {}

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Send frames as events until it is over."""
        streams: Streams = self._request.app.state.streams

        pipe = _Pipe()

        async def write() -> None:
            while True:
                body = self._event(await pipe.next()).encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})

        async def close(problem: Problem) -> None:
            body = self._event(commands.error(problem)).encode()
            await send({"type": "http.response.body", "body": body, "more_body": False})

        async def disconnected() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            self._listener.open(pipe)
            await serve(self._request, self._listener, [disconnected(), write()], close)
        except (OSError, ClientDisconnect):
            pass
        finally:
            streams.leave(self._listener)

    def _event(self, frame: str) -> str:
        """The lines of one event; its id is where every topic that can be resumed is then."""
        place = _PLACE.match(frame)
        if place is None or not topics.is_resumable(place[1]):
            return f"data: {frame}\n\n"
        self._places[place[1]] = place[2]
        places = ",".join(f"{topic}={seq}" for topic, seq in self._places.items())
        return f"id: {places}\ndata: {frame}\n\n"


@router.get(
    "/sse",
    status_code=200,  # FastAPI cannot read it off a response of our own
    dependencies=READ,
    response_class=EventStream,
    responses={200: {"content": {MEDIA_TYPE: {"example": 'data: {"kind":"hello"}\n\n'}}}},
)
async def sse(
    request: Request,
    topic: Annotated[list[str], Query(description="repeat for several", max_length=200)],
    last_event_id: Annotated[
        str, Header(description="set by a browser that comes back", max_length=PLACES_LENGTH_MAX)
    ] = "",
) -> EventStream:
    """Topics as server-sent events; each event's data is one frame as the WebSocket sends it.

    The topics, and what a frame says, are in docs/streaming.md. A browser that lost the connection
    comes back by itself, and is told what it missed.
    """
    streams: Streams = request.app.state.streams
    resume = places_of(last_event_id)
    listener = streams.join()
    try:
        for name in dict.fromkeys(topic):
            streams.subscribe(listener.client, name, resume.get(name))
    except Problem:
        streams.leave(listener)
        raise
    return EventStream(request, listener)


def places_of(text: str) -> dict[str, int]:
    """The place in each topic, as the id of an event says it. Raises Problem."""
    places: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        topic, _, seq = part.rpartition("=")
        if not seq.isdecimal() or len(seq) > 18:
            raise invalid(
                "Last-Event-ID", text, f"{part!r} is no place", "leave it out to begin anew"
            )
        places[topic] = int(seq)
    return places
