"""The route of what a strategy decided, over a stretch of time."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from tickbus import codec, subjects
from tickbus.bus import BusError, Message
from tickbus.codec import MalformedMessage
from tickbus.events import StrategyDecision
from tickbus_api.access import READ
from tickbus_api.asking import bus_of, require_id
from tickbus_api.gateway import Gateway
from tickbus_api.parsing import EPOCH
from tickbus_api.problems import invalid, unavailable
from tickbus_api.reading import Operations
from tickbus_api.strategy_views import DecisionView
from tickbus_api.views import NS_PER_S, View

router = APIRouter(prefix="/api/v1", tags=["strategies"])
LIMIT_MAX = 1_000
READ_MAX = 20
"""So many times the bus is asked for one page; then the page is what was found until there."""
AT_ONCE = 500
SKEW_NS = 10 * NS_PER_S
"""So much the clock of who stores decisions may be behind that of who stamps them."""
FOREVER_NS = 2**63
DEFAULT_NS = 3_600 * NS_PER_S


class DecisionsView(View):
    """A page of decisions, oldest first; ask again with `cursor=next_cursor` for the next."""

    decisions: list[DecisionView]
    next_cursor: str | None = Field(description="null on the last page")


@router.get("/strategies/{strategy_id}/decisions", dependencies=READ)
async def decisions(
    gateway: Operations,
    strategy_id: str,
    start: Annotated[
        AwareDatetime | None, Query(description="ISO 8601, with its zone; an hour ago without it")
    ] = None,
    end: Annotated[AwareDatetime | None, Query(description="ISO 8601, with its zone")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
    cursor: str = "",
) -> DecisionsView:
    """What it looked at when it decided in [start, end), as far back as the bus keeps it.

    That is seven days, 256 MiB of all strategies, and 500,000 of one. Of its decisions ten a second
    and those with orders are told, or each where `every_decision` is set.
    """
    require_id(strategy_id)
    after = _after(cursor)
    hour_ago_ns = 0 if after else gateway.now_ns() - DEFAULT_NS
    start_ns = hour_ago_ns if start is None else _ns(start)
    end_ns = FOREVER_NS if end is None else _ns(end)
    subject = subjects.decision(strategy_id)
    try:
        found, last = await _read(gateway, subject, (start_ns, end_ns), after, limit)
    except BusError as error:
        raise unavailable(
            "BUS_UNAVAILABLE", f"what was decided could not be read: {error}", "try again later"
        ) from error
    views = [DecisionView.of(each) for each in found]
    return DecisionsView(decisions=views, next_cursor=str(last) if last else None)


def _ns(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def _after(cursor: str) -> int:
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
        raise invalid("cursor", cursor, "is none of ours", "ask without it")
    return int(cursor or 0)


async def _read(
    gateway: Gateway, subject: str, between: tuple[int, int], after: int, limit: int
) -> tuple[list[StrategyDecision], int]:
    """At most `limit` of them and the place of the last one read, 0 where nothing is left."""
    bus, (start_ns, end_ns) = bus_of(gateway), between
    found: list[StrategyDecision] = []
    for _ in range(READ_MAX):
        kept = await bus.look_back(subject, start_ns - SKEW_NS, after, AT_ONCE)
        for message in kept.messages:
            for decision in _decoded(gateway, message):
                if decision.ts_recv >= end_ns:
                    return found, 0
                if decision.ts_recv >= start_ns:
                    found.append(decision)
            after = message.sequence
            if len(found) >= limit:
                return found, after
        if not kept.more:
            return found, 0
    return found, after


def _decoded(gateway: Gateway, message: Message) -> list[StrategyDecision]:
    try:
        events = codec.decode(message.payload).events
    except MalformedMessage as error:
        # Its stream keeps it; the others of the page are readable.
        assert gateway.context is not None  # who has a bus has this, too
        gateway.context.telemetry.error("malformed")
        gateway.context.log.warning(
            "%s: number %d of %s cannot be read and is not shown: %s",
            subjects.DECISIONS_STREAM, message.sequence, message.subject, error,
        )  # fmt: skip
        return []
    return [event for event in events if isinstance(event, StrategyDecision)]
