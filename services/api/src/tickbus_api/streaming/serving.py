"""One connection that listens, whatever carries it: served, watched, ended with a reason."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import HTTPConnection

from tickbus.ending import end
from tickbus.runtime.http import Wire
from tickbus_api.access import Scope, principal_of
from tickbus_api.problems import Problem
from tickbus_api.streaming.edge import Listener, Streams

ACCESS_EVERY_S = 5.0
FAREWELL_S = 1.0
STALLED = "STREAM_STALLED"

Close = Callable[[Problem], Awaitable[None]]


async def serve(
    connection: HTTPConnection, listener: Listener, work: Sequence[Coroutine[Any, Any, None]],
    close: Close,
) -> None:  # fmt: skip
    """Until some of `work` ends or raises, or the client may not listen any more, or does not.

    `close` is told why where the client should know, and then has a second to say so.
    """
    streams: Streams = connection.app.state.streams
    stalled = _stalled(listener, streams.stalled_after_s)
    tasks = [asyncio.create_task(each) for each in (*work, _watch(connection), stalled)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)
        streams.leave(listener)  # before its farewell: nothing may come behind that
    for task in done:
        try:
            await task
        except Problem as problem:
            with contextlib.suppress(TimeoutError, OSError, RuntimeError):
                async with asyncio.timeout(FAREWELL_S):
                    await close(problem)
            if problem.code == STALLED and (wire := wire_of(connection)) is not None:
                wire.abort()


def wire_of(connection: HTTPConnection) -> Wire | None:
    """What carries `connection`; None when it is over."""
    client = connection.client
    streams: Streams = connection.app.state.streams
    return streams.wire((client.host, client.port)) if client else None


async def _stalled(listener: Listener, after_s: float) -> None:
    await listener.stalled
    raise Problem(HTTPStatus.REQUEST_TIMEOUT, STALLED, f"nothing was read for {after_s:g} s")


async def _watch(connection: HTTPConnection) -> None:
    """Look again and again whether whoever opened it still may. Raises Problem when not."""
    while True:
        await asyncio.sleep(ACCESS_EVERY_S)
        await principal_of(connection, Scope.READ)
