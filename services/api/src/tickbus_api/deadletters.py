"""Routes about messages that a service could never handle; see `tickbus dead-letters`."""

from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field

from tickbus import codec
from tickbus.codec import MalformedMessage
from tickbus.runtime.deadletters import DeadLetter, LetterState
from tickbus_api import letters
from tickbus_api.access import READ
from tickbus_api.problems import Problem
from tickbus_api.reading import Limit, Operations
from tickbus_api.views import View, iso, plain

router = APIRouter()


class EventView(View):
    """One event of the message, its fields by name; numbers of ours are strings, and exact."""

    event: str
    body: Any


class DeadLetterView(View):
    """A message that `service` failed at; it stays in the stream ORDERS at `sequence`."""

    name: str
    service: str
    state: str = Field(
        description="DEAD; FAILING while it is still tried; REPLAYED or DROPPED by a person"
    )
    subject: str
    sequence: int
    attempts: int
    error: str
    trace_hash: str = Field(description="the same for the same place in the code")
    failed_at: str | None
    replays: int
    events: list[EventView] | None = Field(None, description="only where one letter is asked for")
    payload: str | None = Field(None, description="the message as it is, in hexadecimal digits")

    @classmethod
    def of(cls, letter: DeadLetter, *, whole: bool = False) -> "DeadLetterView":
        """The view of `letter`, `whole` with what it says."""
        return cls(
            name=letter.key,
            service=letter.service,
            state=letter.state,
            subject=letter.subject,
            sequence=letter.sequence,
            attempts=letter.attempts,
            error=letter.error,
            trace_hash=letter.trace_hash,
            failed_at=iso(letter.ts_failed),
            replays=letter.replays,
            events=_events(letter.payload) if whole else None,
            payload=letter.payload.hex() if whole else None,
        )


class DeadLettersView(View):
    """The newest letters, newest first; `dead` counts all that nobody has seen to."""

    dead: int
    letters: list[DeadLetterView]


@router.get("/api/v1/dead-letters", tags=["operations"], dependencies=READ)
async def dead_letters(
    gateway: Operations,
    limit: Limit = 100,
    everything: Annotated[
        bool, Query(alias="all", description="also those failing, replayed or dropped")
    ] = False,
) -> DeadLettersView:
    """Messages that a service gave up; `tickbus dead-letters` replays or drops them."""
    found = await letters.dead_letters(gateway)
    dead = [letter for letter in found if letter.state is LetterState.DEAD]
    newest = list(reversed(found if everything else dead))[:limit]
    return DeadLettersView(dead=len(dead), letters=[DeadLetterView.of(each) for each in newest])


@router.get("/api/v1/dead-letters/{name}", tags=["operations"], dependencies=READ)
async def dead_letter(gateway: Operations, name: str) -> DeadLetterView:
    """One of them, with what it says."""
    found = {letter.key: letter for letter in await letters.dead_letters(gateway)}
    if name not in found:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "UNKNOWN_DEAD_LETTER",
            f"there is no dead letter {name!r}",
            field="name",
            value=name,
            remedy="GET /api/v1/dead-letters?all=true lists them",
        )
    return DeadLetterView.of(found[name], whole=True)


def _events(payload: bytes) -> list[EventView] | None:
    try:
        events = codec.decode(payload).events
    except MalformedMessage:
        return None
    return [EventView(event=type(event).__name__, body=_named(event)) for event in events]


def _named(value: Any) -> Any:
    # Structs travel as arrays; a person reads names.
    match value:
        case msgspec.Struct():
            return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
        case Decimal():
            return plain(value) if value.is_finite() else str(value)
        case Enum():
            return value.value
        case tuple() | list():
            return [_named(item) for item in value]
        case bytes():
            return value.hex()
    return value
