"""Routes about risk: where every scope stands, its limits, and halting and resuming."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from tickbus import codec
from tickbus.bus import BusError
from tickbus.events import (
    GLOBAL,
    LimitReport,
    RiskReport,
    RiskState,
    ScopeReport,
    SetLimit,
    SetTradingState,
    TradingState,
)
from tickbus.limits import LimitError, check, names_of
from tickbus_api.gateway import Gateway
from tickbus_api.orders import body_of
from tickbus_api.parsing import choice, json_object, nearest
from tickbus_api.problems import Problem, invalid, shown, unavailable
from tickbus_api.reading import Operations
from tickbus_api.views import View, iso

router = APIRouter(prefix="/api/v1/risk", tags=["risk"])

POLL_S = 0.02
ACTOR = "api"
WORDS_MAX = 500
_LIMIT_FIELDS = ("scope", "name", "value", "actor", "reason")
_STATE_FIELDS = ("state", "strategy", "flatten", "actor", "reason")


class ScopeView(View):
    """One scope, in quote currency; exposures with every working order filled on the worse side."""

    scope: str
    state: str
    reason: str
    gross_exposure: str
    net_exposure: str
    net_pnl: str
    daily_loss: str
    drawdown: str
    heartbeat_lost: bool

    @classmethod
    def of(cls, report: ScopeReport) -> "ScopeView":
        """The view of `report`."""
        return cls(
            scope=report.scope,
            state=report.state,
            reason=report.reason,
            gross_exposure=_exact(report.gross_exposure),
            net_exposure=_exact(report.net_exposure),
            net_pnl=_exact(report.net_pnl),
            daily_loss=_exact(report.daily_loss),
            drawdown=_exact(report.drawdown),
            heartbeat_lost=report.heartbeat_lost,
        )


class RiskStateView(View):
    """What risk lets pass, and where every scope stands."""

    state: str
    reason: str
    working_orders: int
    denials: int
    currency: str
    scopes: list[ScopeView]
    updated_at: str | None


class LimitView(View):
    """One limit in force; `configured` is the one of the files, null where they have none."""

    scope: str
    name: str
    value: str | None
    configured: str | None
    actor: str
    reason: str
    changed_at: str | None

    @classmethod
    def of(cls, report: LimitReport) -> "LimitView":
        """The view of `report`."""
        return cls(
            scope=report.scope,
            name=report.name,
            value=None if report.value is None else _exact(report.value),
            configured=None if report.configured is None else _exact(report.configured),
            actor=report.actor,
            reason=report.reason,
            changed_at=iso(report.ts_changed) if report.ts_changed else None,
        )


class LimitsView(View):
    """Every limit that is set, those of everything first."""

    limits: list[LimitView]


def _body_of(fields: dict[str, Any], required: list[str], example: dict[str, Any]) -> Any:
    schema = {
        "type": "object", "required": required, "additionalProperties": False, "properties": fields
    }  # fmt: skip
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


_WHO = {"actor": {"type": "string"}, "reason": {"type": "string", "description": "for the record"}}
_LIMIT_BODY = _body_of(
    {
        "scope": {
            "type": "string",
            "description": "global, strategy:<id>, venue:<name> or instrument:<id>",
        },
        "name": {"type": "string"},
        "value": {
            "oneOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}],
            "description": "null: as configured",
        },
        **_WHO,
    },
    ["name", "value", "reason"],
    {"scope": "strategy:momentum", "name": "daily_loss_max", "value": 100, "reason": "new month"},
)
_STATE_BODY = _body_of(
    {
        "state": {"type": "string", "enum": list(TradingState)},
        "strategy": {"type": "string", "description": "only this one; without it, everything"},
        "flatten": {"type": "boolean", "description": "with HALTED: close what is held, too"},
        **_WHO,
    },
    ["state", "reason"],
    {"state": "HALTED", "reason": "drill"},
)


@router.get("/state")
async def state(gateway: Operations) -> RiskStateView:
    """The trading state, and exposure, P&L, losses and heartbeat of every scope."""
    now, report = _risk(gateway)
    return _state_view(now, report)


@router.get("/limits")
async def limits(gateway: Operations) -> LimitsView:
    """Every limit in force, with the configured value and who changed it."""
    _, report = _risk(gateway)
    return LimitsView(limits=[LimitView.of(limit) for limit in report.limits])


@router.put("/limits", openapi_extra=_LIMIT_BODY, responses={202: {"model": LimitsView}})
async def set_limit(gateway: Operations, request: Request, response: Response) -> LimitsView:
    """Change one limit at once; `value` null goes back to the configured one.

    200: risk enforces it. 202: it is kept, and risk will enforce it as soon as it is back.
    """
    fields = _fields(await body_of(request), _LIMIT_FIELDS)
    scope = _words("scope", fields.get("scope", GLOBAL))
    name = _words("name", fields.get("name"))
    try:
        if "value" not in fields:
            names_of(scope)
            raise LimitError("value", "", "is missing", "give a number, or null for the configured")
        value = check(scope, name, fields["value"])
    except LimitError as error:
        raise invalid(error.field, error.value, error.problem, error.remedy) from None
    now = gateway.now_ns()
    wish = SetLimit(now, now, scope, name, value, *_who(fields))

    def done() -> bool:
        report = gateway.core.risk_report
        return report is not None and _enforces(report, wish)

    response.status_code = await _keep(gateway, "limits", f"{scope}/{name}", wish, done)
    report = gateway.core.risk_report
    return LimitsView(limits=[LimitView.of(limit) for limit in report.limits] if report else [])


@router.put("/state", openapi_extra=_STATE_BODY, responses={202: {"model": RiskStateView}})
async def set_state(gateway: Operations, request: Request, response: Response) -> RiskStateView:
    """Halt, let only reduce, or resume: everything, or one strategy.

    200: risk enforces it. 202: it is kept, and risk will enforce it as soon as it is back.
    """
    fields = _fields(await body_of(request), _STATE_FIELDS)
    wanted = choice("state", fields.get("state"), TradingState)
    strategy = _words("strategy", fields["strategy"]) if fields.get("strategy") is not None else ""
    scope = f"strategy:{strategy}" if strategy else GLOBAL
    flatten = fields.get("flatten") or False
    if not isinstance(flatten, bool) or (flatten and wanted is not TradingState.HALTED):
        raise invalid(
            "flatten", flatten, "goes only with HALTED", "leave it out, or give true with HALTED"
        )
    try:
        names_of(scope)
    except LimitError as error:
        raise invalid("strategy", strategy, error.problem, error.remedy) from None
    now = gateway.now_ns()
    wish = SetTradingState(now, now, wanted, *_who(fields), strategy, flatten)

    def done() -> bool:
        report = gateway.core.risk_report
        return report is not None and any(
            line.scope == scope and line.state is wanted for line in report.scopes
        )

    key = f"strategy/{strategy}" if strategy else "trading"
    response.status_code = await _keep(gateway, "control", key, wish, done)
    return _state_view(*_risk(gateway))


def _exact(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _risk(gateway: Gateway) -> tuple[RiskState, RiskReport]:
    now, report = gateway.core.risk, gateway.core.risk_report
    if now is None or report is None:
        raise unavailable(
            "RISK_UNKNOWN",
            "risk has not said anything yet",
            "see GET /api/v1/status whether it runs, then repeat",
        )
    return now, report


def _state_view(now: RiskState, report: RiskReport) -> RiskStateView:
    return RiskStateView(
        state=now.state,
        reason=now.reason,
        working_orders=now.working_orders,
        denials=now.denials,
        currency=report.currency,
        scopes=[ScopeView.of(scope) for scope in report.scopes],
        updated_at=iso(report.ts_recv),
    )


def _enforces(report: RiskReport, wish: SetLimit) -> bool:
    for line in report.limits:
        if (line.scope, line.name) == (wish.scope, wish.name):
            return line.ts_changed == wish.ts_recv
    return wish.value is None and report.ts_recv >= wish.ts_recv


async def _keep(
    gateway: Gateway, bucket: str, key: str, wish: Any, done: Callable[[], bool]
) -> HTTPStatus:
    wait_s = gateway.config.order_wait_s
    try:
        async with asyncio.timeout(wait_s):
            await gateway.keep(bucket, key, codec.encode_value(wish))
    except (TimeoutError, BusError) as error:
        raise unavailable(
            "BUS_UNAVAILABLE",
            f"the bus did not confirm the change within {wait_s:g} s",
            "it may have arrived: look at GET /api/v1/risk/limits and /api/v1/risk/state first",
        ) from error
    for _ in range(int(wait_s / POLL_S)):
        if done():
            return HTTPStatus.OK
        await asyncio.sleep(POLL_S)
    return HTTPStatus.ACCEPTED


def _fields(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    fields = json_object(body)
    for name in fields:
        if name in known:
            continue
        near = nearest(name, known, 1)
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "UNKNOWN_FIELD",
            f"{shown(name)!r} is not a field of this request",
            field=shown(name),
            remedy=f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(known)}",
        )
    return fields


def _words(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        problem = "is missing" if value is None else "must be a non-empty string"
        raise invalid(field, value, problem, f"give {field} as words in quotes")
    return value.strip()


def _who(fields: dict[str, Any]) -> tuple[str, str]:
    reason = _words("reason", fields.get("reason"))
    actor = _words("actor", fields.get("actor", ACTOR))
    for name, words in (("actor", actor), ("reason", reason)):
        if len(words) > WORDS_MAX:
            raise invalid(
                name, words, f"has more than {WORDS_MAX} characters", "say it in fewer words"
            )
    return actor, reason
