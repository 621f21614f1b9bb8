"""What clients of a stream say, and the frames that answer them."""

from http import HTTPStatus
from typing import Any

import msgspec

from tickbus_api.problems import Problem, shown
from tickbus_api.views import iso

_REMEDY = (
    'send {"op":"subscribe","topics":["prices"]}, {"op":"unsubscribe","topics":["prices"]}'
    ' or {"op":"ping"}'
)


class Subscribe(
    msgspec.Struct, frozen=True, tag_field="op", tag="subscribe", forbid_unknown_fields=True
):
    """Hear `topics` from now on; `resume` is the last `seq` seen of some of them."""

    topics: list[str]
    resume: dict[str, int] = {}


class Unsubscribe(
    msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe", forbid_unknown_fields=True
):
    """Hear no more of `topics`."""

    topics: list[str]


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping", forbid_unknown_fields=True):
    """Asks for a sign of life."""


Command = Subscribe | Unsubscribe | Ping
_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def parse(text: str | bytes) -> Command:
    """One message of a client. Raises Problem."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INVALID_COMMAND",
            f"the message {shown(text)!r} is no command: {error}",
            value=text,
            remedy=_REMEDY,
        ) from None


def hello(run: str, version: str, now: int) -> str:
    """The first frame of every stream; `run` is another one when another process answers."""
    return _frame(kind="hello", run=run, version=version, at=iso(now))


def heartbeat(now: int) -> str:
    """What says that the stream lives, though nothing happened."""
    return _frame(kind="heartbeat", at=iso(now))


def pong(now: int) -> str:
    """The answer to a ping."""
    return _frame(kind="pong", at=iso(now))


def subscribed(topics: list[str]) -> str:
    """The answer to a subscribe or unsubscribe: all topics that the client hears now."""
    return _frame(kind="subscribed", topics=topics)


def error(problem: Problem, topic: str = "") -> str:
    """A problem as a frame; with `topic` it is why that one is not told, or not up to date."""
    body = problem.body()
    members = {name: body[name] for name in ("code", "detail", "remedy", "value") if name in body}
    return _frame(kind="error", **({"topic": topic} if topic else {}), **members)


def _frame(**members: Any) -> str:
    return msgspec.json.encode(members).decode()
