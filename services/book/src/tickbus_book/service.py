"""The declaration of the book service."""

from functools import partial
from typing import Annotated

import msgspec

from tickbus import codec, subjects
from tickbus.codec import MalformedMessage
from tickbus.config import Settings
from tickbus.runtime import ServiceSpec
from tickbus.shard import Shard
from tickbus_book.config import BookConfig
from tickbus_book.core import BookCore
from tickbus_book.measures import measure


class BookRequest(msgspec.Struct, frozen=True, array_like=True):
    """Asks for one book; `levels` per side, 0 for all of them."""

    instrument_id: str
    levels: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class BookRefusal(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer where there is no book: why, and what there is."""

    error: str


def build(settings: Settings) -> ServiceSpec:
    """Books of every venue on the bus; answers snapshot requests for the configured venues.

    With TICKBUS_SHARD=I/N only those of its part of the instruments.
    """
    core = BookCore(settings.section("book", BookConfig))
    shard = Shard.of(settings.environment)

    async def answer(venue: str, payload: bytes) -> bytes | None:
        try:
            request = codec.decode_value(payload, BookRequest)
        except MalformedMessage as error:
            return codec.encode_value(BookRefusal(f"{error}; send [instrument_id, levels]"))
        if not shard.owns(request.instrument_id):
            return None  # whoever has it answers
        found = core.depth(venue, request.instrument_id, request.levels)
        if found is None:
            known = ", ".join(i for v, i in core.known() if v == venue) or "none yet"
            text = f"no book of {request.instrument_id!r} at {venue} is in step; there are: {known}"
            return codec.encode_value(BookRefusal(text))
        return codec.encode_value(found)

    return ServiceSpec(
        name="book",
        core=core,
        subscribe=tuple(subjects.market(kind) for kind in ("snapshot", "delta", "status")),
        wants=(lambda subject: shard.owns(subjects.instrument_of(subject)))
        if shard.parts > 1
        else None,
        watch=("instruments",),
        responders={
            subjects.book_snapshot_request(venue.name): partial(answer, venue.name)
            for venue in settings.venues
        },
        measure=partial(measure, core),
    )
