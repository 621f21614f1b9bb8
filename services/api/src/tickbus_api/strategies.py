"""Routes about strategies: where they are, and starting, stopping, switching, changing them."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from tickbus import codec
from tickbus.bus import Bus, BusError, RequestTimeout
from tickbus.codec import MalformedMessage
from tickbus.events import SetStrategy, StrategyOutcome, StrategyTerms
from tickbus.strategy_api import Checked, CheckStrategy, KindReports, ListKinds
from tickbus_api.access import READ, STOP_STRATEGIES, STRATEGIES
from tickbus_api.asking import (
    ask,
    away,
    bus_of,
    ids_of_all,
    no_bus,
    report_of,
    reports_of,
    require_id,
    unknown,
)
from tickbus_api.gateway import Gateway
from tickbus_api.orders import body_of
from tickbus_api.parsing import flag
from tickbus_api.problems import Problem, invalid
from tickbus_api.reading import Operations
from tickbus_api.strategy_views import (
    ChangedView,
    KindsView,
    KindView,
    StrategiesView,
    StrategyView,
)
from tickbus_api.wishing import ACTOR, WHO, WORDS_MAX, body_schema, fields_of, who, words

router = APIRouter(prefix="/api/v1", tags=["strategies"])
BUCKET = "strategies"
POLL_S = 0.02
_NAMES = {"type": "array", "items": {"type": "string"}}
_PUT = body_schema(
    {
        "kind": {"type": "string", "description": "see GET /api/v1/strategy-kinds; file.py:Class"},
        "instruments": _NAMES,
        "params": {"type": "object", "description": "what is not given has its default"},
        "is_running": {"type": "boolean", "default": True},
        "venue": {"type": "string", "description": "without it, the main one"},
        "venues": {**_NAMES, "description": "for a strategy that spans markets, instead of venue"},
        **WHO,
    },
    ["kind", "instruments", "reason"],
    {"kind": "momentum", "instruments": ["ETH-USDT"], "params": {"window_s": 3}, "reason": "try"},
)  # fmt: skip
_WHY = body_schema(WHO, ["reason"], {"reason": "back from lunch"})
_STOP = body_schema(
    {"flatten": {"type": "boolean", "description": "close what it holds, too"}, **WHO},
    ["reason"], {"flatten": True, "reason": "enough for today"},
)  # fmt: skip
_PARAMS = body_schema(
    {"params": {"type": "object", "description": "null: the default again"}, **WHO},
    ["params", "reason"], {"params": {"threshold_bps": 8}, "reason": "calmer"},
)  # fmt: skip
_KEPT: dict[int | str, dict[str, Any]] = {202: {"model": ChangedView}}

Terms = StrategyTerms | None
_Words = Annotated[str | None, Query(max_length=WORDS_MAX)]


@router.get("/strategies", dependencies=READ)
async def strategies(gateway: Operations) -> StrategiesView:
    """Every strategy that a running process knows: phase, terms, positions and P&L."""
    found = await reports_of(gateway, await ids_of_all(gateway))
    return StrategiesView(strategies=[StrategyView.of(report) for report in found])


@router.get("/strategies/{strategy_id}", dependencies=READ)
async def strategy(gateway: Operations, strategy_id: str) -> StrategyView:
    """One of them, with its working orders and its last decisions."""
    report = await report_of(gateway, strategy_id)
    if report is None:
        await unknown(gateway, strategy_id)
    return StrategyView.of(report, whole=True)


@router.get("/strategy-kinds", dependencies=READ)
async def strategy_kinds(
    gateway: Operations,
    kind: Annotated[
        str, Query(max_length=500, description="only this one, also a file.py:Class")
    ] = "",
) -> KindsView:
    """What can be run, with its idea and a JSON schema of its parameters."""
    try:
        answer = await ask(bus_of(gateway), ListKinds(kind), KindReports)
    except RequestTimeout:
        raise away() from None
    return KindsView(kinds=[KindView.of(report) for report in answer.kinds])


@router.put(
    "/strategies/{strategy_id}",
    openapi_extra=_PUT,
    responses=_KEPT,
    dependencies=STRATEGIES,
)
async def put(
    gateway: Operations, strategy_id: str, request: Request, response: Response
) -> ChangedView:
    """Have an id run this from now on, whatever it ran before; also an id that is new.

    200: applied. 202: kept, and applied as soon as a process that may run it is there.
    """
    fields = fields_of(
        await body_of(request),
        ("kind", "instruments", "params", "is_running", "venue", "venues", "actor", "reason"),
    )
    running = fields.get("is_running")
    wanted = StrategyTerms(
        words("kind", fields.get("kind")),
        _names("instruments", fields.get("instruments")),
        _params(fields.get("params", {})),
        True if running is None else flag("is_running", running),
        words("venue", fields["venue"]) if fields.get("venue") else "",
        _names("venues", fields.get("venues", [])),
    )
    by = who(fields, request)
    return await apply_wish(gateway, strategy_id, lambda _: wanted, by, response, new=True)


@router.post(
    "/strategies/{strategy_id}/start",
    openapi_extra=_WHY,
    responses=_KEPT,
    dependencies=STRATEGIES,
)
async def start(
    gateway: Operations, strategy_id: str, request: Request, response: Response
) -> ChangedView:
    """Start it with the terms that it has, also after it failed."""
    fields = fields_of(await body_of(request), ("actor", "reason"))
    by = who(fields, request)
    return await apply_wish(gateway, strategy_id, running_is(True), by, response)


@router.post(
    "/strategies/{strategy_id}/stop",
    openapi_extra=_STOP,
    responses=_KEPT,
    dependencies=STOP_STRATEGIES,
)
async def stop(
    gateway: Operations, strategy_id: str, request: Request, response: Response
) -> ChangedView:
    """Stop it: its orders are cancelled until none works; `flatten` closes what it holds, too."""
    fields = fields_of(await body_of(request), ("flatten", "actor", "reason"))
    flatten = flag("flatten", fields.get("flatten"))
    by = who(fields, request)
    return await apply_wish(
        gateway,
        strategy_id,
        running_is(False),
        by,
        response,
        flatten=flatten,
        ends=True,
    )


@router.post(
    "/strategies/{strategy_id}/flatten",
    openapi_extra=_WHY,
    responses=_KEPT,
    dependencies=STOP_STRATEGIES,
)
async def flatten(
    gateway: Operations, strategy_id: str, request: Request, response: Response
) -> ChangedView:
    """Cancel its orders and close what it holds; one that runs goes on afterwards."""
    fields = fields_of(await body_of(request), ("actor", "reason"))
    by = who(fields, request)
    return await apply_wish(
        gateway,
        strategy_id,
        lambda terms: terms,
        by,
        response,
        flatten=True,
        ends=True,
    )


@router.patch(
    "/strategies/{strategy_id}/params",
    openapi_extra=_PARAMS,
    responses=_KEPT,
    dependencies=STRATEGIES,
)
async def patch_params(
    gateway: Operations, strategy_id: str, request: Request, response: Response
) -> ChangedView:
    """Change the parameters that are given, and leave the others; its orders go on working."""
    fields = fields_of(await body_of(request), ("params", "actor", "reason"))
    given = _params(fields.get("params"))

    def change(terms: Terms) -> Terms:
        assert terms is not None
        merged = {**terms.params, **given}
        kept = {name: value for name, value in merged.items() if value is not None}
        return msgspec.structs.replace(terms, params=kept)

    by = who(fields, request)
    return await apply_wish(gateway, strategy_id, change, by, response)


@router.post(
    "/strategies/{strategy_id}/reset",
    openapi_extra=_WHY,
    responses=_KEPT,
    dependencies=STRATEGIES,
)
async def reset(
    gateway: Operations, strategy_id: str, request: Request, response: Response
) -> ChangedView:
    """Forget what was wished for: the files hold again; an id that they do not know is stopped."""
    fields = fields_of(await body_of(request), ("actor", "reason"))
    by = who(fields, request)
    return await apply_wish(gateway, strategy_id, lambda _: None, by, response, ends=True)


@router.delete("/strategies/{strategy_id}", responses=_KEPT, dependencies=STRATEGIES)
async def delete(
    gateway: Operations, strategy_id: str, request: Request, response: Response,
    reason: _Words = None, actor: _Words = None,
) -> ChangedView:  # fmt: skip
    """Give its id up: its place is free for another one, and what it remembered is forgotten.

    Only one that is stopped, holds nothing and is not in the files; its record stays.
    """
    given = {"reason": reason, "actor": ACTOR if actor is None else actor}
    by = who(given, request)
    return await apply_wish(
        gateway,
        strategy_id,
        lambda terms: terms,
        by,
        response,
        ends=True,
        deletes=True,
    )


# -- wishes --------------------------------------------------------------------------------------


def running_is(wanted: bool) -> Callable[[Terms], Terms]:
    """What makes terms those of a strategy that runs, or does not."""

    def change(terms: Terms) -> Terms:
        if terms is None:
            return None
        return msgspec.structs.replace(terms, is_running=wanted)

    return change


async def apply_wish(
    gateway: Gateway, strategy_id: str, change: Callable[[Terms], Terms], by: tuple[str, str],
    response: Response, *, flatten: bool = False, new: bool = False, ends: bool = False,
    deletes: bool = False,
) -> ChangedView:  # fmt: skip
    """Check a wish, keep it, and wait for what becomes of it. Raises Problem.

    One that only `ends` things is not checked: a file that is broken by now must not prevent it.
    """
    require_id(strategy_id)
    bus = bus_of(gateway)
    report = await report_of(gateway, strategy_id)
    known, place = await _kept(bus, strategy_id)
    wished = known.terms if known is not None and not known.deletes else None
    base = wished if report is None else report.terms
    if base is None and report is None and not new:
        await unknown(gateway, strategy_id)
    if base is None and not (new or ends):
        raise Problem(
            HTTPStatus.CONFLICT, "STRATEGY_WITHOUT_TERMS",
            f"{strategy_id} was reset, and the files do not know it",
            remedy=f"PUT /api/v1/strategies/{strategy_id} says what it shall run",
        )  # fmt: skip
    terms = change(base)
    if terms is not None and not ends:
        await _check(bus, strategy_id, terms)
    newest = (known.revision if known else 0, report.revision if report else 0)
    now = gateway.now_ns()
    wish = SetStrategy(now, now, strategy_id, max(newest) + 1, terms, *by, flatten, deletes)
    await _keep(gateway, bus, wish, place)
    applied = await _outcome(gateway, wish)
    response.status_code = HTTPStatus.OK if applied else HTTPStatus.ACCEPTED
    after = await report_of(gateway, strategy_id) if applied else None
    view = None if after is None else StrategyView.of(after, whole=True)
    return ChangedView(id=strategy_id, revision=wish.revision, applied=applied, strategy=view)


async def _kept(bus: Bus, strategy_id: str) -> tuple[SetStrategy | None, int]:
    """What is in the bucket, and at which place. Raises Problem."""
    try:
        value, place = await bus.kv_read(BUCKET, strategy_id)
    except BusError as error:
        raise no_bus() from error
    try:
        return (codec.decode_value(value, SetStrategy) if value else None), place
    except MalformedMessage:
        return None, place  # whatever it is, it gives way to what is wished for now


async def _keep(gateway: Gateway, bus: Bus, wish: SetStrategy, place: int) -> None:
    try:
        async with asyncio.timeout(gateway.config.order_wait_s):
            value = codec.encode_value(wish)
            kept = await bus.kv_swap(BUCKET, wish.strategy_id, value, place)
    except (TimeoutError, BusError) as error:
        raise no_bus() from error
    if not kept:
        raise _changed_meanwhile(wish.strategy_id)


def _changed_meanwhile(strategy_id: str) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT, "CHANGED_MEANWHILE",
        f"somebody else changed {strategy_id} in this moment",
        remedy=f"look at GET /api/v1/strategies/{strategy_id}, then repeat",
    )  # fmt: skip


async def _outcome(gateway: Gateway, wish: SetStrategy) -> bool:
    """Whether it was applied; False while nobody has said. Raises Problem for a refusal.

    Others may have wished for something else meanwhile: what counts is what became of this one.
    """
    for _ in range(int(gateway.config.order_wait_s / POLL_S)):
        change = gateway.core.changes.get((wish.strategy_id, wish.revision))
        if change is not None and change.outcome is StrategyOutcome.REFUSED:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "STRATEGY_REFUSED", change.problem,
                remedy="what ran goes on; correct the wish and repeat it",
            )  # fmt: skip
        if change is not None:
            return True
        if gateway.core.revisions.get(wish.strategy_id, 0) > wish.revision:
            raise _changed_meanwhile(wish.strategy_id)
        await asyncio.sleep(POLL_S)
    return False


async def _check(bus: Bus, strategy_id: str, terms: StrategyTerms) -> None:
    """Have the process that would run it look at the terms, if it is there. Raises Problem."""
    try:
        checked = await ask(bus, CheckStrategy(strategy_id, terms), Checked)
    except RequestTimeout:
        return  # kept all the same: who applies it checks it, too
    if checked.problem:
        raise invalid(checked.field, checked.value, checked.problem, checked.remedy)


def _names(field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise invalid(field, value, "must be a list of names", f'give {field} as ["BTC-USDT"]')
    return tuple(value)


def _params(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("params", value, "must be an object", 'give params as {"name": value}')
    return value
