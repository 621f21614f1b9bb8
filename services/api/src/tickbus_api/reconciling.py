"""The route that has an account compared with our books now, and tells what differs."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

import msgspec
from fastapi import APIRouter, Request

from tickbus import reconcile_api
from tickbus.bus import BusError
from tickbus.codec import MalformedMessage
from tickbus.events import DifferenceFound
from tickbus.reconcile_api import ReconcileRefusal, ReconcileReport
from tickbus_api.access import TRADE
from tickbus_api.gateway import Gateway
from tickbus_api.orders import body_of
from tickbus_api.problems import Problem, invalid, unavailable
from tickbus_api.reading import Operations
from tickbus_api.views import View, iso

router = APIRouter(prefix="/api/v1", tags=["reconciliation"])
_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "venue": {"type": "string", "description": "without it, every venue"}
                    },
                },
                "example": {"venue": "sim"},
            }
        },
    }
}


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say."""

    venue: Annotated[str, msgspec.Meta(max_length=64)] = ""


class FoundView(View):
    """One difference; `detail` says in `k=v` pairs what corrected it, or what was expected."""

    kind: str
    cause: str
    order_id: str
    strategy: str
    instrument_id: str
    detail: str
    found_at: str | None

    @classmethod
    def of(cls, found: DifferenceFound) -> "FoundView":
        """The view of `found`."""
        return cls(
            kind=found.kind,
            cause=found.cause,
            order_id=found.client_order_id,
            strategy=found.strategy_id,
            instrument_id=found.instrument_id,
            detail=found.detail,
            found_at=iso(found.ts_recv),
        )


class ReconciledView(View):
    """One account as it was looked at, and what that brought to light.

    `open_orders`, `fills` and `payments` were listed by the venue, `asked` are working orders that
    were not. `differences` are new; those in `standing` were told before, and nothing explains
    them. `settled` is false while answers are missing: what comes of them is told as events.
    """

    venue: str
    cause: str
    looked_at: str | None
    open_orders: int
    fills: int
    payments: int
    asked: int
    differences: list[FoundView]
    standing: list[FoundView]
    settled: bool

    @classmethod
    def of(cls, report: ReconcileReport) -> "ReconciledView":
        """The view of `report`."""
        look = report.reconciled
        return cls(
            venue=report.venue,
            cause=look.cause,
            looked_at=iso(look.ts_recv),
            open_orders=look.open_orders,
            fills=look.fills,
            payments=look.payments,
            asked=look.asked,
            differences=[FoundView.of(found) for found in report.differences],
            standing=[FoundView.of(found) for found in report.standing],
            settled=report.settled,
        )


class ReconciliationView(View):
    """Every account that was looked at."""

    accounts: list[ReconciledView]


_read = msgspec.json.Decoder(Command).decode


@router.post("/reconcile", openapi_extra=_BODY, dependencies=TRADE)
async def reconcile(gateway: Operations, request: Request) -> ReconciliationView:
    """Compare the account at one venue, or at each, with our books now.

    Takes some seconds where something differs: what explains it may still be on its way. 503: an
    account could not be looked at; nothing is known of it.
    """
    try:
        command = _read(await body_of(request) or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INVALID_VALUE",
            f"body: {error}",
            field="body",
            remedy='send {"venue": "name"}, or {} for every venue',
        ) from error
    if command.venue and command.venue not in gateway.venues:
        known = ", ".join(gateway.venues)
        raise invalid("venue", command.venue, "is not configured", f"use one of {known}")
    venues = [command.venue] if command.venue else gateway.venues
    reports = await asyncio.gather(*(_ask(gateway, venue) for venue in venues))
    return ReconciliationView(accounts=[ReconciledView.of(report) for report in reports])


async def _ask(gateway: Gateway, venue: str) -> ReconcileReport:
    assert gateway.context is not None  # requests come only once the service has started
    bus, subject = gateway.context.bus, reconcile_api.subject(venue)
    try:
        payload = await bus.request(subject, b"", reconcile_api.TIMEOUT_S)
        answer = reconcile_api.read_answer(payload)
    except BusError as error:
        _away(venue, f"did not answer: {error}")
    except MalformedMessage as error:
        _away(venue, f"answered something else than documented: {error}")
    if isinstance(answer, ReconcileRefusal):
        if answer.retry:
            _away(venue, answer.reason)
        raise Problem(
            HTTPStatus.CONFLICT,
            "NOTHING_TO_RECONCILE",
            f"{venue}: {answer.reason}",
            remedy="name a venue where orders really go",
            extra={"venue": venue},
        )
    return answer


def _away(venue: str, why: str) -> NoReturn:
    raise unavailable(
        "EXECUTION_UNAVAILABLE",
        f"execution of {venue}: {why}",
        "see GET /api/v1/status for what it waits for, then repeat",
    )
