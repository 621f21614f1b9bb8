"""Routes that ask risk without ordering anything: would it pass, and how much is used."""

from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field

from tickbus import codec, risk_api
from tickbus.bus import RequestTimeout
from tickbus.codec import MalformedMessage
from tickbus.events import Instrument, SubmitOrder
from tickbus.risk_api import (
    LimitUsage,
    PreviewAnswer,
    PreviewQuery,
    RiskRefusal,
    UsageAnswer,
    UsageQuery,
)
from tickbus_api.access import ASK, READ
from tickbus_api.gateway import Gateway
from tickbus_api.orders import ORDER_BODY, body_of
from tickbus_api.outcomes import field_of
from tickbus_api.parsing import parse_order
from tickbus_api.problems import unavailable
from tickbus_api.reading import Operations
from tickbus_api.refusals import parts_of
from tickbus_api.views import Exact, View, iso

router = APIRouter(prefix="/api/v1")
A = TypeVar("A", bound=msgspec.Struct)
UNITS = {
    "open_orders_max": "orders",
    "order_rate_per_s_max": "orders/s",
    "total_order_rate_per_s_max": "orders/s",
    "orders_per_fill_max": "orders/fill",
    "price_deviation_bps_max": "bps",
    "market_data_age_ms_max": "ms",
    "heartbeat_timeout_s": "s",
}
"""Of the limits that are no amount of money."""


class PreviewView(View):
    """What would become of an order at risk, now; money in `currency`, which is the quote's.

    `field`, `limit`, `value`, `scope`, `meaning` and `remedy` say why it would be refused.
    `fee` is what the venue takes at most for it. `position_after` is if it filled.
    """

    passes: bool
    reason: str
    detail: str
    field: str
    limit: str
    value: str
    scope: str
    meaning: str
    remedy: str
    symbol: str
    instrument_id: str
    venue: str
    side: str
    type: str
    quantity: Exact
    price: Exact | None = Field(description="at which it is expected to trade")
    notional: Exact | None
    fee: Exact | None
    currency: str
    position: Exact
    position_after: Exact

    @classmethod
    def of(
        cls, order: SubmitOrder, instrument: Instrument, answer: PreviewAnswer, fee: Decimal | None
    ) -> "PreviewView":
        """The view of what risk says of `order`."""
        parts = parts_of(answer.detail)
        return cls(
            passes=not answer.reason,
            reason=answer.reason,
            detail=answer.detail,
            field=field_of(answer.reason),
            limit=parts.get("limit", ""),
            value=parts.get("value", ""),
            scope=parts.get("scope", ""),
            meaning=answer.meaning,
            remedy=answer.remedy,
            symbol=instrument.symbol,
            instrument_id=order.instrument_id,
            venue=order.venue,
            side=order.side,
            type=order.order_type,
            quantity=order.quantity,
            price=answer.price,
            notional=answer.notional,
            fee=fee,
            currency=instrument.quote,
            position=answer.position,
            position_after=answer.position_after,
        )


class LimitUsageView(View):
    """One limit and the most that is used of it; null where each order meets it anew."""

    scope: str
    name: str
    limit: Exact
    used: Exact | None
    used_part: Exact | None = Field(description="of the limit, to four digits; may be above 1")
    unit: str = Field(description="of both: a currency, orders, orders/s, ms, s or bps")
    where: str = Field(description="what uses most: an instrument at its venue, or a strategy")

    @classmethod
    def of(cls, usage: LimitUsage, currency: str) -> "LimitUsageView":
        """The view of `usage`."""
        part = None
        if usage.used is not None and usage.limit:
            part = round(usage.used / usage.limit, 4)
        return cls(
            scope=usage.scope,
            name=usage.name,
            limit=usage.limit,
            used=usage.used,
            used_part=part,
            unit=UNITS.get(usage.name, currency),
            where=usage.where,
        )


class UsageView(View):
    """Every limit that is set and how much of it is used, as risk has it now."""

    currency: str
    at: str | None
    limits: list[LimitUsageView]


@router.post("/orders/validate", tags=["orders"], dependencies=ASK, openapi_extra=ORDER_BODY)
async def validate(gateway: Operations, request: Request) -> PreviewView:
    """Ask risk what would become of an order, and send nothing.

    200 whether or not it would pass: `passes` says so. The body is that of POST /api/v1/orders.
    """
    wanted = parse_order(await body_of(request))
    instrument = gateway.instrument(wanted.symbol, wanted.venue)
    preview_id = f"preview-{gateway.now_ns()}"
    order = gateway.wish(wanted, instrument, preview_id, request.state.principal)
    answer = await _ask(gateway, risk_api.PREVIEW, PreviewQuery(order=order), PreviewAnswer)
    return PreviewView.of(order, instrument, answer, _fee(gateway, order, answer))


@router.get("/risk/usage", tags=["risk"], dependencies=READ)
async def usage(
    gateway: Operations,
    scope: Annotated[
        str, Query(max_length=100, description="global, strategy:<id>, venue:<name>, instrument:..")
    ] = "",
) -> UsageView:
    """How much of every limit is used now, measured as the checks do."""
    answer = await _ask(gateway, risk_api.USAGE, UsageQuery(scope=scope), UsageAnswer)
    return UsageView(
        currency=answer.currency,
        at=iso(gateway.now_ns()),
        limits=[LimitUsageView.of(limit, answer.currency) for limit in answer.limits],
    )


def _fee(gateway: Gateway, order: SubmitOrder, answer: PreviewAnswer) -> Decimal | None:
    account = next((a for a in gateway.configured.accounts if a.name == order.venue), None)
    if account is None or answer.notional is None:
        return None
    fees = account.fees
    return answer.notional * (fees.maker if order.post_only else max(fees.maker, fees.taker))


async def _ask(gateway: Gateway, subject: str, query: msgspec.Struct, kind: type[A]) -> A:
    timeout_s = gateway.config.ledger_timeout_s
    remedy = "see GET /api/v1/status for what risk waits for, then repeat"
    try:
        payload = await gateway.bus.request(subject, codec.encode_value(query), timeout_s)
        wanted: Any = kind | RiskRefusal
        answer: A | RiskRefusal = codec.decode_value(payload, wanted)
    except RequestTimeout as error:
        text = f"risk did not answer within {timeout_s:g} s"
        raise unavailable("RISK_UNAVAILABLE", text, remedy) from error
    except MalformedMessage as error:
        text = f"risk's answer could not be read: {error}"
        raise unavailable("RISK_UNINTELLIGIBLE", text, "run one version of all") from error
    if isinstance(answer, RiskRefusal):
        raise unavailable("RISK_REFUSED", answer.reason, remedy)
    return answer
