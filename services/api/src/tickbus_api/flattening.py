"""Routes that close everything, in two steps: what it would do with a token, then the doing."""

import hmac
import secrets
from decimal import Decimal
from hashlib import sha256
from http import HTTPStatus

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import Field

from tickbus.bus import BusError
from tickbus.events import PositionRecord, SetTradingState, TradingState
from tickbus.order import WORKING
from tickbus_api.access import STOP, Principal, principal_of
from tickbus_api.gateway import Gateway, OrderFilter
from tickbus_api.names import Named, require
from tickbus_api.orders import body_of
from tickbus_api.problems import Problem, invalid, unavailable
from tickbus_api.reading import Operations
from tickbus_api.risk import RiskStateView, enforce
from tickbus_api.views import NS_PER_S, Exact, View, iso
from tickbus_api.wishing import WHO, body_schema, fields_of, who, words

router = APIRouter(prefix="/api/v1/flatten", tags=["risk"])
BUCKET = "confirmations"
SLOTS = 64
"""How many may wait to be confirmed at once, over all gateways."""
VALID_S = 60
_BODY = body_schema(
    {"strategy": {"type": "string", "description": "only this one; without it, everything"}, **WHO},
    ["reason"],
    {"reason": "the exchange announced a halt"},
)
_CONFIRMATION = body_schema(
    {"token": {"type": "string", "description": "that of the plan"}},
    ["token"],
    {"token": "17-c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
)


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept until it is confirmed: who wishes it, and a digest of the token.

    Once it was confirmed the digest is "".
    """

    digest: str
    expires_ns: int
    user: str
    actor: str
    reason: str
    strategy_id: str


class CloseView(View):
    """A position that would be closed: what it takes, at the price it is valued at now."""

    venue: str
    symbol: str
    instrument_id: str
    side: str
    quantity: Exact
    mark: Exact | None
    value: Exact | None = Field(description="in quote currency")


class FlattenPlanView(View):
    """What a confirmation would do. Trading then stays halted until somebody resumes it."""

    token: str = Field(description="for POST /api/v1/flatten/confirm, good once")
    expires_at: str | None
    strategy: str | None = Field(description="null: everything")
    cancels: list[str] = Field(description="ids of orders that work")
    closes: list[CloseView]
    value: Exact = Field(description="of all that would be closed, in `currency`")
    currency: str


@router.post("", status_code=201, openapi_extra=_BODY, dependencies=STOP)
async def plan(gateway: Operations, request: Request) -> FlattenPlanView:
    """Ask for everything, or one strategy, to be closed: nothing happens before it is confirmed.

    The answer says what would be cancelled and closed, and holds a token that is good for a minute.
    """
    fields = fields_of(await body_of(request), ("strategy", "actor", "reason"))
    strategy = words("strategy", fields["strategy"]) if fields.get("strategy") is not None else ""
    actor, reason = who(fields, request)
    require(gateway, Named.STRATEGY, strategy)
    principal = await principal_of(request)
    orders, _ = await gateway.orders(OrderFilter(tuple(WORKING), strategy), 1000, "")
    books = await gateway.portfolio()
    held = books.positions
    if strategy:
        held = tuple(
            position
            for record in books.strategies
            if record.strategy_id == strategy
            for position in record.positions
        )
    closes = [_close(gateway, position) for position in held if position.quantity]
    token, expires_ns = await _promise(gateway, principal, actor, reason, strategy)
    return FlattenPlanView(
        token=token,
        expires_at=iso(expires_ns),
        strategy=strategy or None,
        cancels=[order.client_order_id for order in orders],
        closes=closes,
        value=sum((close.value for close in closes if close.value is not None), Decimal(0)),
        currency=books.currency,
    )


@router.post(
    "/confirm",
    openapi_extra=_CONFIRMATION,
    dependencies=STOP,
    responses={202: {"model": RiskStateView}},
)
async def confirm(gateway: Operations, request: Request, response: Response) -> RiskStateView:
    """Do it: halt, cancel what works and close what is held, by market orders that only reduce.

    200: risk is at it, see GET /api/v1/risk/state. 202: it is kept, and risk will do it as soon as
    it is back. 410: the token is none, too old, or was used.
    """
    # Not in the path: that would end in the access log of each proxy on the way.
    token = fields_of(await body_of(request), ("token",)).get("token")
    if not isinstance(token, str):
        raise invalid("token", None, "must be a text", "give that of the answer to POST /flatten")
    waiting = await _redeem(gateway, await principal_of(request), token)
    now = gateway.now_ns()
    wish = SetTradingState(
        now, now, TradingState.HALTED, waiting.actor, waiting.reason, waiting.strategy_id, True
    )
    response.status_code, view = await enforce(gateway, wish)
    return view


def _close(gateway: Gateway, position: PositionRecord) -> CloseView:
    quantity, mark = abs(position.quantity), position.mark
    return CloseView(
        venue=position.venue,
        symbol=gateway.core.symbol(position.venue, position.instrument_id),
        instrument_id=position.instrument_id,
        side="SELL" if position.quantity > 0 else "BUY",
        quantity=quantity,
        mark=mark,
        value=None if mark is None else quantity * mark,
    )


async def _promise(
    gateway: Gateway, principal: Principal, actor: str, reason: str, strategy_id: str
) -> tuple[str, int]:
    """A token for somebody, and until when it is good. Raises Problem."""
    # In a bucket, so that any gateway can be told it; each slot is used over and over.
    now_ns, secret = gateway.now_ns(), secrets.token_urlsafe(24)
    first = secrets.randbelow(SLOTS)
    for number in range(SLOTS):
        slot = (first + number) % SLOTS
        token = f"{slot}-{secret}"
        known, revision = await _read(gateway, slot)
        if known is not None and known.digest and known.expires_ns > now_ns:
            continue
        expires_ns = now_ns + VALID_S * NS_PER_S
        waiting = Waiting(
            digest=_digest(token), expires_ns=expires_ns, user=principal.user, actor=actor,
            reason=reason, strategy_id=strategy_id,
        )  # fmt: skip
        if await _swap(gateway, slot, waiting, revision):
            return token, expires_ns
    raise Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "TOO_MANY_CONFIRMATIONS",
        f"{SLOTS} wishes wait to be confirmed already",
        remedy=f"repeat it in {VALID_S} s; PUT /api/v1/risk/state with flatten asks for no token",
        headers={"Retry-After": str(VALID_S)},
    )


async def _redeem(gateway: Gateway, principal: Principal, token: str) -> Waiting:
    """What the token is for; it is used up. Raises Problem."""
    slot, _, _ = token.partition("-")
    if slot.isascii() and slot.isdecimal() and len(slot) <= 2 and int(slot) < SLOTS:
        waiting, revision = await _read(gateway, int(slot))
        if (
            waiting is not None
            and hmac.compare_digest(waiting.digest, _digest(token))
            and waiting.user == principal.user
            and waiting.expires_ns > gateway.now_ns()
            and await _swap(
                gateway, int(slot), msgspec.structs.replace(waiting, digest=""), revision
            )
        ):
            return waiting
    raise Problem(
        HTTPStatus.GONE,
        "CONFIRMATION_GONE",
        f"this token is none of yours, older than {VALID_S} s, or was used: nothing was done",
        remedy="POST /api/v1/flatten gives a new one",
    )


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def _read(gateway: Gateway, slot: int) -> tuple[Waiting | None, int]:
    try:
        value, revision = await gateway.bus.kv_read(BUCKET, f"flatten-{slot}")
    except BusError as error:
        raise _no_bus() from error
    try:
        return (msgspec.json.decode(value, type=Waiting) if value else None), revision
    except msgspec.DecodeError:
        return None, revision  # of another version: it gives way


async def _swap(gateway: Gateway, slot: int, waiting: Waiting, revision: int) -> bool:
    try:
        value = msgspec.json.encode(waiting)
        return await gateway.bus.kv_swap(BUCKET, f"flatten-{slot}", value, revision)
    except BusError as error:
        raise _no_bus() from error


def _no_bus() -> Problem:
    return unavailable(
        "BUS_UNAVAILABLE",
        "the bus did not answer in time: nothing was done",
        "repeat it; `tickbus kill --flatten` needs nobody",
    )
