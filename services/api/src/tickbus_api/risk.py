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
from tickbus_api.access import READ, STOP, Scope, needs
from tickbus_api.access import require as require_scopes
from tickbus_api.gateway import Gateway
from tickbus_api.names import FORCE, FORCED, Named, require
from tickbus_api.orders import body_of
from tickbus_api.parsing import choice, flag
from tickbus_api.problems import invalid, unavailable
from tickbus_api.reading import Operations
from tickbus_api.views import View, iso
from tickbus_api.wishing import WHO, body_schema, fields_of, who, words

router = APIRouter(prefix="/api/v1/risk", tags=["risk"])

POLL_S = 0.02
_LIMIT_FIELDS = ("scope", "name", "value", "actor", "reason", FORCE)
_STATE_FIELDS = ("state", "strategy", "flatten", "actor", "reason", FORCE)


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


_WHO = {
    **WHO,
    FORCE: {"type": "boolean", "description": "also for a name that nobody here has yet"},
}
_LIMIT_BODY = body_schema(
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
_STATE_BODY = body_schema(
    {
        "state": {"type": "string", "enum": list(TradingState)},
        "strategy": {"type": "string", "description": "only this one; without it, everything"},
        "flatten": {"type": "boolean", "description": "with HALTED: close what is held, too"},
        **_WHO,
    },
    ["state", "reason"],
    {"state": "HALTED", "reason": "drill"},
)


@router.get("/state", dependencies=READ)
async def state(gateway: Operations) -> RiskStateView:
    """The trading state, and exposure, P&L, losses and heartbeat of every scope."""
    return state_view(*_risk(gateway))


@router.get("/limits", dependencies=READ)
async def limits(gateway: Operations) -> LimitsView:
    """Every limit in force, with the configured value and who changed it."""
    _, report = _risk(gateway)
    return LimitsView(limits=[LimitView.of(limit) for limit in report.limits])


@router.put(
    "/limits",
    openapi_extra=_LIMIT_BODY,
    responses={202: {"model": LimitsView}},
    dependencies=[needs(Scope.RISK)],
)
async def set_limit(gateway: Operations, request: Request, response: Response) -> LimitsView:
    """Change one limit at once; `value` null goes back to the configured one.

    200: risk enforces it. 202: it is kept, and risk will enforce it as soon as it is back.
    """
    fields = fields_of(await body_of(request), _LIMIT_FIELDS)
    scope = words("scope", fields.get("scope", GLOBAL))
    name = words("name", fields.get("name"))
    try:
        if "value" not in fields:
            names_of(scope)
            raise LimitError("value", "", "is missing", "give a number, or null for the configured")
        value = check(scope, name, fields["value"])
    except LimitError as error:
        raise invalid(error.field, error.value, error.problem, error.remedy) from None
    forced = flag(FORCE, fields.get(FORCE))
    kind, _, named = scope.partition(":")
    if named and not forced:
        require(gateway, Named(kind), named, "scope", FORCED)
    now = gateway.now_ns()
    wish = SetLimit(now, now, scope, name, value, *who(fields, request))

    def done() -> bool:
        report = gateway.core.risk_report
        return report is not None and _enforces(report, wish)

    response.status_code = await _keep(gateway, "limits", f"{scope}/{name}", wish, done)
    report = gateway.core.risk_report
    return LimitsView(limits=[LimitView.of(limit) for limit in report.limits] if report else [])


@router.put(
    "/state",
    openapi_extra=_STATE_BODY,
    responses={202: {"model": RiskStateView}},
    dependencies=STOP,
)
async def set_state(gateway: Operations, request: Request, response: Response) -> RiskStateView:
    """Halt, let only reduce, or resume: everything, or one strategy.

    200: risk enforces it. 202: it is kept, and risk will enforce it as soon as it is back. While
    risk is silent a halt is kept for any name: it may only be unknown because of that.
    """
    fields = fields_of(await body_of(request), _STATE_FIELDS)
    wanted = choice("state", fields.get("state"), TradingState)
    strategy = words("strategy", fields["strategy"]) if fields.get("strategy") is not None else ""
    scope = f"strategy:{strategy}" if strategy else GLOBAL
    flatten = flag("flatten", fields.get("flatten"))
    if flatten and wanted is not TradingState.HALTED:
        raise invalid(
            "flatten", flatten, "goes only with HALTED", "leave it out, or give true with HALTED"
        )
    try:
        names_of(scope)
    except LimitError as error:
        raise invalid("strategy", strategy, error.problem, error.remedy) from None
    if _loosens(gateway, wanted, scope):
        # Who trades may stop everything; that it goes on is for who answers for the risk.
        require_scopes(request.state.principal, Scope.RISK)
    stops_unseen = wanted is not TradingState.ACTIVE and gateway.core.risk_report is None
    if not (flag(FORCE, fields.get(FORCE)) or stops_unseen):
        require(gateway, Named.STRATEGY, strategy, remedy=FORCED)
    now = gateway.now_ns()
    wish = SetTradingState(now, now, wanted, *who(fields, request), strategy, flatten)
    response.status_code, view = await enforce(gateway, wish)
    return view


async def enforce(gateway: Gateway, wish: SetTradingState) -> tuple[HTTPStatus, RiskStateView]:
    """Keep what somebody wants risk to let pass, and wait until it does so. Raises Problem."""
    wanted, strategy = wish.state, wish.strategy_id
    scope = f"strategy:{strategy}" if strategy else GLOBAL

    def done() -> bool:
        report = gateway.core.risk_report
        line = (
            None if report is None else next((x for x in report.scopes if x.scope == scope), None)
        )
        # What is halted already may still have to be closed.
        return (
            line is not None
            and line.state is wanted
            and (line.ts_wished == wish.ts_recv or not wish.flatten)
        )

    key = f"strategy/{strategy}" if strategy else "trading"
    status = await _keep(gateway, "control", key, wish, done)
    if gateway.core.risk_report is None:
        checked = f"; whether there is a strategy {strategy!r} was not checked" if strategy else ""
        raise unavailable(
            "RISK_UNKNOWN",
            f"{wanted} is kept, but risk has not said anything yet: it obeys once it runs{checked}",
            "see GET /api/v1/status whether risk runs; `tickbus kill` needs nobody",
        )
    return status, state_view(*_risk(gateway))


def _loosens(gateway: Gateway, wanted: TradingState, scope: str) -> bool:
    """Whether more may be traded than now, as far as is known."""
    if wanted is TradingState.HALTED:
        return False
    lines = gateway.core.risk_report.scopes if gateway.core.risk_report is not None else ()
    now = next((line.state for line in lines if line.scope == scope), TradingState.HALTED)
    return wanted is TradingState.ACTIVE or now is TradingState.HALTED


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


def state_view(now: RiskState, report: RiskReport) -> RiskStateView:
    """What risk says of everything and of every scope."""
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
            "it may have arrived: see GET /api/v1/risk/limits and GET /api/v1/risk/state first",
        ) from error
    for _ in range(int(wait_s / POLL_S)):
        if done():
            return HTTPStatus.OK
        await asyncio.sleep(POLL_S)
    return HTTPStatus.ACCEPTED
