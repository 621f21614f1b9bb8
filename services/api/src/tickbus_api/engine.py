"""Routes about all strategies at once: which run, and starting and stopping every one."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import Field

from tickbus.events import StrategyPhase
from tickbus.strategy_api import StrategyReport
from tickbus_api.access import READ, STOP_STRATEGIES, STRATEGIES
from tickbus_api.asking import expected_ids, ids_of_all, reports_of
from tickbus_api.gateway import Gateway
from tickbus_api.orders import body_of
from tickbus_api.parsing import flag
from tickbus_api.problems import Problem
from tickbus_api.reading import Operations
from tickbus_api.strategies import apply_wish, running_is
from tickbus_api.views import View
from tickbus_api.wishing import WHO, body_schema, fields_of, who

router = APIRouter(prefix="/api/v1/engine", tags=["strategies"])
AT_ONCE = 8
"""Strategies that are told at the same time."""
_START = body_schema(WHO, ["reason"], {"reason": "the venue is back"})
_STOP = body_schema(
    {"flatten": {"type": "boolean", "description": "close what they hold, too"}, **WHO},
    ["reason"],
    {"flatten": False, "reason": "the venue is down for an hour"},
)


class EngineView(View):
    """Every strategy, by where it is."""

    running: list[str] = Field(description="starting ones among them")
    stopped: list[str] = Field(description="stopping ones among them")
    failed: list[str]
    silent: list[str] = Field(
        description="of the files, or wished for, and no process says how they are"
    )


class RefusedView(View):
    """A strategy that could not be told, and why."""

    id: str
    code: str
    detail: str


class EngineChangedView(View):
    """What became of a wish for all strategies, as ids."""

    applied: list[str]
    pending: list[str] = Field(description="kept, and applied once a process that runs it is there")
    unchanged: list[str] = Field(description="it was so already")
    refused: list[RefusedView]


@router.get("", dependencies=READ)
async def engine(gateway: Operations) -> EngineView:
    """Which strategies run, which do not, which failed, and of which nobody answers."""
    ids = {*await ids_of_all(gateway), *expected_ids(gateway)}
    found = await reports_of(gateway, sorted(ids))
    ends = (StrategyPhase.STOPPING, StrategyPhase.STOPPED)
    return EngineView(
        running=[r.strategy_id for r in found if _is_running(r)],
        stopped=[r.strategy_id for r in found if r.phase in ends],
        failed=[r.strategy_id for r in found if r.phase is StrategyPhase.FAILED],
        silent=sorted(ids - {r.strategy_id for r in found}),
    )


@router.post(
    "/start",
    openapi_extra=_START,
    dependencies=STRATEGIES,
    responses={202: {"model": EngineChangedView}},
)
async def start(gateway: Operations, request: Request, response: Response) -> EngineChangedView:
    """Start every strategy that is stopped or failed, with the terms that it has.

    200: all run. 202: some will once their process is there. 409: some were refused, see `refused`.
    """
    by = who(fields_of(await body_of(request), ("actor", "reason")), request)

    async def tell(strategy_id: str, answer: Response) -> bool:
        changed = await apply_wish(gateway, strategy_id, running_is(True), by, answer)
        return changed.applied

    return await _all(gateway, response, lambda report: not _is_running(report), tell)


@router.post(
    "/stop",
    openapi_extra=_STOP,
    dependencies=STOP_STRATEGIES,
    responses={202: {"model": EngineChangedView}},
)
async def stop(gateway: Operations, request: Request, response: Response) -> EngineChangedView:
    """Stop every strategy: their orders are cancelled; `flatten` closes what they hold, too.

    200, 202 and 409 as for a start. Orders by hand go on: PUT /api/v1/risk/state stops those, too.
    """
    fields = fields_of(await body_of(request), ("flatten", "actor", "reason"))
    by, flatten = who(fields, request), flag("flatten", fields.get("flatten"))

    async def tell(strategy_id: str, answer: Response) -> bool:
        changed = await apply_wish(
            gateway, strategy_id, running_is(False), by, answer, flatten=flatten, ends=True
        )
        return changed.applied

    # With `flatten` also those that are stopped already: they may still hold something.
    return await _all(gateway, response, lambda report: flatten or _is_running(report), tell)


def _is_running(report: StrategyReport) -> bool:
    return report.phase in (StrategyPhase.STARTING, StrategyPhase.RUNNING)


async def _all(
    gateway: Gateway,
    response: Response,
    is_meant: Callable[[StrategyReport], bool],
    tell: Callable[[str, Response], Awaitable[bool]],
) -> EngineChangedView:
    ids = sorted({*await ids_of_all(gateway), *expected_ids(gateway)})
    found = {report.strategy_id: report for report in await reports_of(gateway, ids)}
    # Who does not say how it is, busy or away, is told, too: it is not left out in silence.
    meant = [name for name in ids if name not in found or is_meant(found[name])]
    room = asyncio.Semaphore(AT_ONCE)
    refused: list[RefusedView] = []
    applied: list[str] = []
    pending: list[str] = []

    async def one(strategy_id: str) -> None:
        try:
            async with room:
                done = await tell(strategy_id, Response())
            (applied if done else pending).append(strategy_id)
        except Problem as problem:
            refused.append(RefusedView(id=strategy_id, code=problem.code, detail=problem.detail))

    await asyncio.gather(*(one(strategy_id) for strategy_id in meant))
    view = EngineChangedView(
        applied=sorted(applied),
        pending=sorted(pending),
        unchanged=[name for name in ids if name not in meant],
        refused=sorted(refused, key=lambda each: each.id),
    )
    if refused:
        raise Problem(
            HTTPStatus.CONFLICT,
            "STRATEGIES_REFUSED",
            f"{len(refused)} of {len(meant)} strategies could not be told: "
            + "; ".join(f"{each.id}: {each.detail}" for each in view.refused),
            remedy="see to these, then repeat it: the others are as you wished",
            extra=view.model_dump(),
        )
    response.status_code = HTTPStatus.ACCEPTED if pending else HTTPStatus.OK
    return view
