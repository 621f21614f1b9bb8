"""Reads a stretch of a stream at once, without a consumer: the server's own batched look."""

import asyncio
from datetime import UTC, datetime

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tickbus.bus.base import BusError, Kept, Message

TIMEOUT_S = 5.0
END_OF_BATCH = "204"
NOTHING = "404"
"""The server's words for the end of what was asked for, and for no message at all."""


async def look_back(
    client: Client, stream: str, subject: str, since_ns: int, after: int, limit: int
) -> Kept:
    """Messages of `subject`, oldest first; see `Bus.look_back`. Raises BusError."""
    found: list[Message] = []
    over: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()

    async def take(message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if not status and message.data:
            found.append(Message(subject, message.data, int(headers["Nats-Sequence"])))
        elif over.done():
            return
        elif status in (END_OF_BATCH, NOTHING):
            over.set_result(Kept(found, int(headers.get("Nats-Num-Pending", 0)) > 0))
        else:
            said = headers.get("Description") or status or "no such stream"
            over.set_exception(BusError(f"{stream}: {subject!r} cannot be read: {said}"))

    question: dict[str, object] = {"batch": limit, "next_by_subj": subject}
    if after:
        question["seq"] = after + 1
    else:
        since = datetime.fromtimestamp(max(0, since_ns) / 1e9, UTC)
        question["start_time"] = since.isoformat().replace("+00:00", "Z")
    inbox = client.new_inbox()
    try:
        subscription = await client.subscribe(inbox, cb=take)
        try:
            payload = msgspec.json.encode(question)
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", payload, reply=inbox)
            async with asyncio.timeout(TIMEOUT_S):
                return await over
        finally:
            await subscription.unsubscribe()
    except (nats.errors.Error, TimeoutError) as error:
        raise BusError(
            f"{stream}: {subject!r} was not read within {TIMEOUT_S:g} s: is the NATS server 2.11"
            " or newer?"
        ) from error
