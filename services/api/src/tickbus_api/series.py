"""Routes about profit and loss over time: curves by range and strategy, and sessions."""

import asyncio
import contextlib
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from tickbus import ledger_api
from tickbus.events import EquityPoint, SessionStarted
from tickbus.ledger_api import Curve, SeriesAnswer, SessionRecord
from tickbus_api.access import READ, TRADE
from tickbus_api.gateway import Gateway
from tickbus_api.orders import body_of
from tickbus_api.problems import Problem, invalid
from tickbus_api.reading import Operations
from tickbus_api.views import NS_PER_S, Exact, View, iso
from tickbus_api.wishing import WHO, body_schema, fields_of, who

router = APIRouter(prefix="/api/v1/portfolio", tags=["books"])
POLL_S = 0.02
POINTS = 500
ZERO = Decimal(0)


class Range(StrEnum):
    """What part of the past a curve is about; days, months and years are those of a time zone."""

    SESSION = "session"
    TODAY = "today"
    MONTH = "month"
    YEAR = "year"
    ALL = "all"


class By(StrEnum):
    """What there is a curve of."""

    ACCOUNT = "account"
    STRATEGY = "strategy"


class SessionView(View):
    """A session: `since` is null where nobody ever began one, and all that was is in it."""

    since: str | None
    actor: str
    reason: str

    @classmethod
    def of(cls, record: SessionRecord | None) -> "SessionView":
        """The view of `record`."""
        if record is None:
            return cls(since=None, actor="", reason="")
        return cls(since=iso(record.ts_started), actor=record.actor, reason=record.reason)


class SeriesPointView(View):
    """One point of a curve; what P&L is made of is null in points that older versions wrote.

    `net_pnl` = realised + unrealised - fees + funding. Of a strategy, `equity` is its net P&L.
    """

    at: str | None
    equity: Exact
    net_pnl: Exact
    realized_pnl: Exact | None
    unrealized_pnl: Exact | None
    fees: Exact | None
    funding: Exact | None
    drawdown: Exact

    @classmethod
    def of(cls, point: EquityPoint) -> "SeriesPointView":
        """The view of `point`."""
        names = set(cls.model_fields) - {"at"}
        return cls(at=iso(point.ts), **{name: getattr(point, name) for name in names})


class ChangeView(View):
    """What came of the span: from its baseline to its last point; null where it is not known."""

    equity: Exact | None
    net_pnl: Exact | None
    realized_pnl: Exact | None
    unrealized_pnl: Exact | None
    fees: Exact | None
    funding: Exact | None

    @classmethod
    def of(cls, curve: Curve) -> "ChangeView":
        """What came of `curve`."""
        last = curve.points[-1] if curve.points else curve.baseline
        changes: dict[str, Decimal | None] = dict.fromkeys(cls.model_fields)
        for name in cls.model_fields if last is not None else ():
            # Without a point before the span, all that is was earned in it; capital was not, of
            # which a strategy has none.
            is_capital = name == "equity" and not curve.strategy_id
            origin = curve.points[0] if curve.points and is_capital else None
            before = curve.baseline if curve.baseline is not None else origin
            start = ZERO if before is None else getattr(before, name)
            end = getattr(last, name)
            changes[name] = None if start is None or end is None else end - start
        return cls(**changes)


class CurveView(View):
    """One curve, oldest point first; P&L of the span is measured from `baseline`."""

    strategy: str | None = Field(description="null: the account")
    baseline: SeriesPointView | None = Field(description="the last point before the span")
    change: ChangeView
    points: list[SeriesPointView]

    @classmethod
    def of(cls, curve: Curve) -> "CurveView":
        """The view of `curve`."""
        baseline = None if curve.baseline is None else SeriesPointView.of(curve.baseline)
        return cls(
            strategy=curve.strategy_id or None,
            baseline=baseline,
            change=ChangeView.of(curve),
            points=[SeriesPointView.of(point) for point in curve.points],
        )


class SeriesView(View):
    """Curves in `currency` from `since` to `until`, one point per `step_s` at most."""

    range: str
    timezone: str
    currency: str
    since: str | None
    until: str | None
    step_s: float
    session: SessionView
    curves: list[CurveView]

    @classmethod
    def of(cls, wanted: Range, zone: str, answer: SeriesAnswer) -> "SeriesView":
        """The view of `answer`."""
        return cls(
            range=wanted,
            timezone=zone,
            currency=answer.currency,
            since=iso(answer.since_ns),
            until=iso(answer.until_ns),
            step_s=answer.step_ns / NS_PER_S,
            session=SessionView.of(answer.session),
            curves=[CurveView.of(curve) for curve in answer.curves],
        )


_CLEAR = body_schema(WHO, ["reason"], {"reason": "a new trading day"})


@router.get("/series", dependencies=READ)
async def series(
    gateway: Operations,
    wanted: Annotated[Range, Query(alias="range")] = Range.TODAY,
    by: By = By.ACCOUNT,
    tz: Annotated[
        str, Query(max_length=64, description="whose days, months and years: Europe/Zurich")
    ] = "UTC",
    points: Annotated[int, Query(ge=2, le=ledger_api.POINTS_MAX)] = POINTS,
) -> SeriesView:
    """Equity, P&L, fees and drawdown over a range, of the account or of every strategy.

    Each point is the last one of its step, and the last of all is now.
    """
    zone = zone_of(tz)
    query = ledger_api.SeriesQuery(
        since_ns=begin_of(wanted, gateway.now_ns(), zone),
        points=points,
        in_session=wanted is Range.SESSION,
        by_strategy=by is By.STRATEGY,
    )
    answer = await gateway.ask(ledger_api.SERIES, query, SeriesAnswer)
    return SeriesView.of(wanted, tz, answer)


@router.get("/session", dependencies=READ)
async def session(gateway: Operations) -> SessionView:
    """The session that is on: since when, who began it and why."""
    return SessionView.of(await _session(gateway))


@router.post(
    "/session/clear",
    dependencies=TRADE,
    openapi_extra=_CLEAR,
    responses={202: {"model": SessionView}},
)
async def clear(gateway: Operations, request: Request, response: Response) -> SessionView:
    """Begin a new session: P&L of the range `session` counts from now; nothing is deleted.

    200: the books have it. 202: it is on record, and the books will have it in a moment.
    """
    fields = fields_of(await body_of(request), ("actor", "reason"))
    now, (actor, reason) = gateway.now_ns(), who(fields, request)
    await gateway.record(SessionStarted(now, now, actor, reason))
    with contextlib.suppress(Problem):  # the books are away: it is on record all the same
        for _ in range(int(gateway.config.order_wait_s / POLL_S)):
            found = await _session(gateway)
            if found is not None and found.ts_started >= now:
                return SessionView.of(found)
            await asyncio.sleep(POLL_S)
    response.status_code = HTTPStatus.ACCEPTED
    return SessionView(since=iso(now), actor=actor, reason=reason)


async def _session(gateway: Gateway) -> SessionRecord | None:
    answer = await gateway.ask(
        ledger_api.SESSION, ledger_api.SessionQuery(), ledger_api.SessionAnswer
    )
    return answer.session


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises Problem."""
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError):  # also for what would be a path elsewhere
        remedy = "give a name of the IANA database such as UTC, Europe/Zurich or Asia/Tokyo"
        raise invalid("tz", name, "is no time zone", remedy) from None


def begin_of(wanted: Range, now_ns: int, zone: ZoneInfo) -> int:
    """When the day, month or year began in `zone` (ns UTC); 0 for what has another beginning."""
    now = datetime.fromtimestamp(now_ns // NS_PER_S, zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match wanted:
        case Range.TODAY:
            begin = midnight
        case Range.MONTH:
            begin = midnight.replace(day=1)
        case Range.YEAR:
            begin = midnight.replace(month=1, day=1)
        case _:
            return 0
    return int(begin.timestamp()) * NS_PER_S
