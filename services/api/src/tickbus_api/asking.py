"""What the gateway asks the processes that run strategies, and what it says when none answers."""

import asyncio
import contextlib
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NoReturn, TypeVar

from tickbus import codec, strategy_api, subjects
from tickbus.bus import Bus, BusError, RequestTimeout
from tickbus.codec import MalformedMessage
from tickbus.permissions import RESERVED
from tickbus.strategy_api import ListStrategies, StrategyReport, StrategyReports
from tickbus_api.gateway import Gateway
from tickbus_api.problems import Problem, invalid, unavailable

ASKED_AT_ONCE = 50
LISTED_MAX = 2_000
"""Strategies in one list; there are 200 in a process."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")
T = TypeVar("T")


async def ask(bus: Bus, question: strategy_api.Question, kind: type[T]) -> T:
    """The answer, which is a `kind`. Raises Problem, RequestTimeout.

    About one strategy only who may speak for it is asked: nobody else hears the question.
    """
    asked = getattr(question, "strategy_id", "")
    subject = subjects.strategy_questions(asked) if asked else subjects.STRATEGIES
    payload = codec.encode_value(question)
    try:
        answer = strategy_api.read_answer(
            await bus.request(subject, payload, strategy_api.TIMEOUT_S)
        )
    except MalformedMessage as error:
        raise _unintelligible(str(error)) from error
    if not isinstance(answer, kind):
        raise _unintelligible(f"{type(answer).__name__} is no answer to what was asked")
    return answer


def _unintelligible(why: str) -> Problem:
    return unavailable(
        "STRATEGIES_UNINTELLIGIBLE", f"their answer could not be read: {why}",
        "run the same version of every service",
    )  # fmt: skip


async def reports_of(gateway: Gateway, ids: Iterable[str]) -> list[StrategyReport]:
    """Each of `ids` that says in time how it is, as told by who may. Raises Problem."""
    at_once = asyncio.Semaphore(ASKED_AT_ONCE)

    async def report(strategy_id: str) -> StrategyReport | None:
        async with at_once:
            return await report_of(gateway, strategy_id, whole=False)

    found = await asyncio.gather(*map(report, ids))
    return [each for each in found if each is not None]


async def ids_of_all(gateway: Gateway) -> list[str]:
    """The strategies that processes say they run, sorted. Raises Problem where there is none."""
    payload = codec.encode_value(ListStrategies())
    found: set[str] = set()
    answers: list[bytes] = []
    for wait_s in (strategy_api.GATHER_S, strategy_api.GATHER_PATIENT_S):
        try:
            answers = await bus_of(gateway).gather(subjects.STRATEGIES, payload, wait_s)
        except BusError as error:
            raise no_bus() from error
        if answers:
            break
    for payload in answers:
        with contextlib.suppress(MalformedMessage):
            answer = strategy_api.read_answer(payload)
            if isinstance(answer, StrategyReports):
                found |= {report.strategy_id for report in answer.strategies}
    if not answers:
        raise away()
    return sorted(name for name in found if _ID.fullmatch(name))[:LISTED_MAX]


def expected_ids(gateway: Gateway) -> set[str]:
    """The strategies that should be somewhere: those of the files, and those wished for."""
    named = {*gateway.configured.strategies, *gateway.core.wishes}
    return {name for name in named if _ID.fullmatch(name)}


async def report_of(
    gateway: Gateway, strategy_id: str, *, whole: bool = True
) -> StrategyReport | None:
    """One of them; None where there is no such strategy, or no process that may run it."""
    require_id(strategy_id)
    try:
        answer = await ask(bus_of(gateway), ListStrategies(strategy_id, whole), StrategyReports)
    except RequestTimeout:
        return None
    own = (report for report in answer.strategies if report.strategy_id == strategy_id)
    return next(own, None)


async def unknown(gateway: Gateway, strategy_id: str) -> NoReturn:
    """Why `strategy_id` has no report. Raises Problem."""
    ids = await ids_of_all(gateway)
    if strategy_id in ids or strategy_id in expected_ids(gateway):
        raise away(strategy_id)  # its process is too busy to answer in time, or away
    known = ", ".join(ids)
    raise Problem(
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_STRATEGY",
        f"there is no strategy {strategy_id!r}",
        field="strategy_id",
        value=strategy_id,
        remedy=f"there are {known or 'none'}; PUT /api/v1/strategies/{strategy_id} makes one",
    )


def require_id(strategy_id: str) -> None:
    """Raises Problem for what is no id of a strategy."""
    if not _ID.fullmatch(strategy_id) or strategy_id in RESERVED:
        if strategy_id in RESERVED:
            remedy = f"POST /api/v1/flatten with the strategy {strategy_id!r} closes what it holds"
            raise invalid("strategy_id", strategy_id, "stands for orders of no strategy", remedy)
        remedy = "give at most 16 letters, digits, - and _"
        raise invalid("strategy_id", strategy_id, "is no id of a strategy", remedy)


def bus_of(gateway: Gateway) -> Bus:
    """The bus of a gateway that has started."""
    assert gateway.context is not None  # requests come only once the service has started
    return gateway.context.bus


def no_bus() -> Problem:
    """What a wish meets while the bus is away."""
    return unavailable(
        "BUS_UNAVAILABLE", "the bus did not answer in time",
        "it may have been kept: look at GET /api/v1/strategies first",
    )  # fmt: skip


def away(which: str = "strategies") -> Problem:
    """What a question meets that no process answers in time."""
    return unavailable(
        "STRATEGIES_UNAVAILABLE", f"no process that runs {which} answers",
        "see GET /api/v1/status whether one runs, then repeat",
    )  # fmt: skip
