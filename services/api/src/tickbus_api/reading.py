"""Routes that only read: health, status, metrics, market, portfolio, fills."""

import time
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import HTTPConnection

from tickbus import __version__
from tickbus.ledger_api import LIMIT_MAX, FillsQuery
from tickbus.runtime.deadletters import LetterState
from tickbus.times import time_ns
from tickbus_api.access import READ, open_to_all
from tickbus_api.books import FillsView, FillView, PortfolioView
from tickbus_api.exporting import FILES, ROWS_AT_ONCE, AsFile, as_file
from tickbus_api.gateway import Gateway
from tickbus_api.letters import dead_letters
from tickbus_api.names import Named, require_past
from tickbus_api.problems import Problem, invalid, unavailable
from tickbus_api.views import (
    NS_PER_MS,
    NS_PER_S,
    CheckView,
    ConsolidatedTopsView,
    ConsolidatedView,
    DepthView,
    HealthView,
    InstrumentsView,
    InstrumentView,
    PricesView,
    PriceView,
    RiskView,
    ServiceView,
    StatusView,
)

_METRICS = "# TYPE tickbus_ready gauge\ntickbus_ready 1.0\n"
router = APIRouter()
_started = time.monotonic()


async def gateway_of(connection: HTTPConnection) -> Gateway:
    """The gateway that the app was made for."""
    # Async, though it waits for nothing: FastAPI would take each request to a thread and back.
    gateway: Gateway = connection.app.state.gateway
    return gateway


Operations = Annotated[Gateway, Depends(gateway_of)]
Symbol = Annotated[
    str, Query(description="BTCUSDT, BTC-USDT or btc/usdt", max_length=64, min_length=1)
]
Venue = Annotated[str, Query(description="only this venue", max_length=64)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Since = Annotated[
    str, Query(description="from this time on: ISO 8601 or ns; no zone is UTC", max_length=40)
]
Until = Annotated[str, Query(description="up to this time: ISO 8601 or ns", max_length=40)]
Cursor = Annotated[str, Query(description="`next_cursor` of the page before", max_length=200)]


@router.get("/health", tags=["operations"], dependencies=[open_to_all()])
async def health(gateway: Operations, response: Response) -> HealthView:
    """Whether the gateway and what it needs are well; 503 only when it cannot serve at all."""
    now, core = _now(gateway), gateway.core
    bus, ledger = await gateway.wellness.problems()
    age_ms = max(0, now - core.market_ts) // NS_PER_MS if core.market_ts else None
    stale = age_ms is None or age_ms > gateway.config.stale_after_s * 1000
    market = ("no market data yet" if age_ms is None else "market data is old") if stale else ""
    problems = {"bus": bus, "ledger": ledger, "market_data": market}
    if bus:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return HealthView(
        status="degraded" if any(problems.values()) else "ready",
        version=__version__,
        uptime_s=round(time.monotonic() - _started, 3),
        checks={name: CheckView(ok=not why, detail=why) for name, why in problems.items()},
        market_data_age_ms=age_ms,
    )


@router.get(
    "/metrics",
    tags=["operations"],
    response_class=Response,
    dependencies=[open_to_all()],
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS}}}
    },
)
async def metrics(gateway: Operations) -> Response:
    """The gateway's own metrics in Prometheus' text format."""
    if gateway.context is None:
        raise unavailable("STARTING", "the gateway is starting", "repeat in a second")
    registry = gateway.context.telemetry.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/api/v1/status", tags=["operations"], dependencies=READ)
async def status(gateway: Operations) -> StatusView:
    """What every running service says of itself, what risk lets pass, what was given up."""
    risk = gateway.core.risk
    try:
        dead = sum(each.state is LetterState.DEAD for each in await dead_letters(gateway))
    except Problem:
        dead = None  # the rest is worth as much without it
    return StatusView(
        services=[ServiceView.of(status) for status in await gateway.services()],
        risk=RiskView.of(risk) if risk else None,
        dead_letters=dead,
    )


@router.get("/api/v1/instruments", tags=["market"], dependencies=READ)
async def instruments(gateway: Operations) -> InstrumentsView:
    """Everything that can be traded, with the venue's filters."""
    known = gateway.core.instruments
    return InstrumentsView(instruments=[InstrumentView.of(known[key]) for key in sorted(known)])


@router.get("/api/v1/prices", tags=["market"], dependencies=READ)
async def prices(
    gateway: Operations,
    symbol: Annotated[str | None, Query(max_length=64)] = None,
    venue: Venue = "",
) -> PricesView:
    """Best bid, best ask, mid and last trade of every instrument, or of one."""
    now, core = _now(gateway), gateway.core
    stale_after_ns = int(gateway.config.stale_after_s * NS_PER_S)
    if symbol is not None:
        found = [core.price(gateway.instrument(symbol, venue))]
    else:
        gateway.require_venue(venue)
        found = [p for p in core.prices() if venue in ("", p.instrument.venue)]
    return PricesView(prices=[PriceView.of(price, now, stale_after_ns) for price in found])


@router.get("/api/v1/depth", tags=["market"], dependencies=READ)
async def depth(
    gateway: Operations,
    symbol: Symbol,
    levels: Annotated[int, Query(ge=1, le=5000)] = 20,
    venue: Venue = "",
) -> DepthView:
    """The best levels of our replica of a book."""
    instrument = gateway.instrument(symbol, venue)
    found = await gateway.depth(instrument, levels)
    stale_after_ns = int(gateway.config.stale_after_s * NS_PER_S)
    stale = gateway.core.price(instrument).is_stale(_now(gateway), stale_after_ns)
    return DepthView.of(instrument, found, levels, stale)


@router.get("/api/v1/consolidated", tags=["market"], dependencies=READ)
async def consolidated(
    gateway: Operations, symbol: Annotated[str | None, Query(max_length=64)] = None
) -> ConsolidatedTopsView:
    """Best bid and ask at every venue, of the instruments that several venues have, or of one."""
    found = gateway.core.consolidated
    name = gateway.instrument(symbol, "").instrument_id if symbol is not None else ""
    chosen = [found[key] for key in sorted(found) if name in ("", key)]
    return ConsolidatedTopsView(tops=[ConsolidatedView.of(top) for top in chosen])


@router.get("/api/v1/portfolio", tags=["books"], dependencies=READ)
async def portfolio(gateway: Operations) -> PortfolioView:
    """Positions, balances and profit and loss, valued at the market as it is now."""
    return PortfolioView.of(await gateway.portfolio(), gateway.core.symbol)


@router.get(
    "/api/v1/fills",
    tags=["books"],
    dependencies=READ,
    response_model=FillsView,
    responses=FILES,
)
async def fills(
    gateway: Operations,
    symbol: Annotated[str | None, Query(max_length=64)] = None,
    venue: Venue = "",
    strategy: Annotated[str, Query(max_length=64)] = "",
    order_id: Annotated[str, Query(max_length=64)] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    file: AsFile = None,
) -> FillsView | Response:
    """Executions of our orders, newest first."""
    await require_past(gateway, Named.VENUE, venue)
    await require_past(gateway, Named.STRATEGY, strategy)
    query = FillsQuery(
        client_order_id=order_id,
        strategy_id=strategy,
        venue=venue,
        instrument_id=gateway.instrument(symbol, venue).instrument_id if symbol else "",
        since_ns=ns_of("since", since),
        until_ns=ns_of("until", until),
    )
    spell = gateway.core.symbol

    async def page(cursor: str, limit: int = ROWS_AT_ONCE) -> tuple[list[FillView], str]:
        answer = await gateway.fills(msgspec.structs.replace(query, cursor=cursor, limit=limit))
        views = [FillView.of(r, spell(r.venue, r.instrument_id)) for r in answer.fills]
        return views, answer.next_cursor

    if file is not None:
        return await as_file(file, "fills", FillView, page)
    views, following = await page(cursor, limit)
    return FillsView(fills=views, next_cursor=following or None)


def ns_of(field: str, text: str) -> int:
    """A time parameter as ns UTC, 0 where it is not given. Raises Problem."""
    try:
        return time_ns(text) if text else 0
    except ValueError as error:
        raise invalid(field, text, str(error), "for example 2026-11-21T18:30:00Z") from None


def _now(gateway: Gateway) -> int:
    if gateway.context is None:
        raise unavailable("STARTING", "the gateway is starting", "repeat in a second")
    return gateway.context.clock.now_ns()
