"""The route of candles and statistics, which the history service answers."""

import math
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, AwareDatetime

from tickbus import codec, history_api
from tickbus.bus import RequestTimeout
from tickbus.codec import MalformedMessage
from tickbus.events import Instrument
from tickbus.history_api import LIMIT_MAX, Candle, CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus_api.access import READ
from tickbus_api.exporting import FILES, ROWS_AT_ONCE, AsFile, as_file
from tickbus_api.gateway import Gateway
from tickbus_api.problems import Problem, unavailable
from tickbus_api.reading import Operations, Symbol, Venue
from tickbus_api.views import NS_PER_S, View, iso

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
INTERVAL_MAX_S = 31 * 86_400
STEPS = 60
"""Into how many candles a window of statistics is cut, at least."""

router = APIRouter()


def _readable(value: float) -> float:
    return float(f"{value:.14g}")


Measured = Annotated[float, AfterValidator(_readable)]
"""Told to 14 digits: what sums of binary fractions leave behind them is noise."""


class CandleView(View):
    """One interval; prices are null without trades, statistics null without views of the book.

    `buys` is the volume that buyers took, `volatility` the root of the sum of squared log returns
    of the mid within the interval, `spread_bps`, `bid_size` and `ask_size` averages; `imbalance`
    of these sizes: -1 to 1, above 0 with more bids.
    """

    opened_at: str | None
    open: Measured | None
    high: Measured | None
    low: Measured | None
    close: Measured | None
    volume: Measured
    notional: Measured
    buys: Measured
    trades: int
    vwap: Measured | None
    mid: Measured | None
    volatility: Measured | None
    spread_bps: Measured | None
    spread_bps_max: Measured | None
    bid_size: Measured | None
    ask_size: Measured | None
    imbalance: Measured | None

    @classmethod
    def of(cls, candle: Candle) -> "CandleView":
        """The view of `candle`."""
        names = set(cls.model_fields) - {"opened_at", "imbalance"}
        values = {name: getattr(candle, name) for name in names}
        imbalance = imbalance_of(candle.bid_size, candle.ask_size)
        return cls(opened_at=iso(candle.ts_open), imbalance=imbalance, **values)


class CandlesView(View):
    """Candles of one instrument, the newest first."""

    symbol: str
    instrument_id: str
    venue: str
    interval_s: int
    candles: list[CandleView]


class AnalyticsView(View):
    """One instrument over the last `window_s` seconds; null where nothing was seen.

    Sums over trades, averages over views of the book. `volatility` is that of the mid over the
    window, as a fraction; `return_bps` its change; `imbalance` of sizes at the best prices and
    `flow_imbalance` of what buyers and sellers took: -1 to 1.
    """

    symbol: str
    instrument_id: str
    venue: str
    window_s: int
    vwap: Measured | None
    volume: Measured
    notional: Measured
    trades: int
    high: Measured | None
    low: Measured | None
    mid: Measured | None
    return_bps: Measured | None
    volatility: Measured | None
    spread_bps: Measured | None
    spread_bps_max: Measured | None
    imbalance: Measured | None
    flow_imbalance: Measured | None

    @classmethod
    def of(cls, instrument: Instrument, window_s: int, found: Sequence[Candle]) -> "AnalyticsView":
        """The view of `found`, newest first, which lie within the window."""
        volume, notional = sum(c.volume for c in found), sum(c.notional for c in found)
        seen = [c for c in found if c.mid]
        first, last = (seen[-1].mid, seen[0].mid) if seen else (None, None)
        buys = sum(c.buys for c in found)
        return cls(
            symbol=instrument.symbol,
            instrument_id=instrument.instrument_id,
            venue=instrument.venue,
            window_s=window_s,
            vwap=notional / volume if volume else None,
            volume=volume,
            notional=notional,
            trades=sum(c.trades for c in found),
            high=max((c.high for c in found if c.high is not None), default=None),
            low=min((c.low for c in found if c.low is not None), default=None),
            mid=last,
            return_bps=(last / first - 1) * 10_000 if first and last else None,
            volatility=math.sqrt(sum(c.volatility**2 for c in seen if c.volatility is not None))
            if seen
            else None,
            spread_bps=_mean([c.spread_bps for c in found]),
            spread_bps_max=max(
                (c.spread_bps_max for c in found if c.spread_bps_max is not None), default=None
            ),
            imbalance=imbalance_of(
                _mean([c.bid_size for c in found]), _mean([c.ask_size for c in found])
            ),
            flow_imbalance=imbalance_of(buys, volume - buys) if volume else None,
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def imbalance_of(bids: float | None, asks: float | None) -> float | None:
    """How much more there is of the first, -1 to 1; None where nothing is known of either."""
    if bids is None or asks is None or bids + asks <= 0:
        return None
    return (bids - asks) / (bids + asks)


@router.get(
    "/api/v1/candles",
    tags=["market"],
    dependencies=READ,
    response_model=CandlesView,
    responses=FILES,
)
async def candles(
    gateway: Operations,
    symbol: Symbol,
    interval: Annotated[str, Query(description="10s, 1m, 4h, 1d, or seconds")] = "1m",
    start: Annotated[AwareDatetime | None, Query(description="ISO 8601, with its zone")] = None,
    end: Annotated[AwareDatetime | None, Query(description="ISO 8601, with its zone")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 500,
    venue: Venue = "",
    file: AsFile = None,
) -> CandlesView | Response:
    """Candles of any interval with VWAP, realised volatility, spread and depth."""
    instrument = gateway.instrument(symbol, venue)
    query = CandlesQuery(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        interval_s=interval_s(interval),
        start_ns=int(start.timestamp()) * NS_PER_S if start else 0,
        end_ns=int(end.timestamp()) * NS_PER_S if end else 0,
        limit=limit,
    )

    async def page(cursor: str) -> tuple[list[CandleView], str]:
        end_ns = int(cursor) if cursor else query.end_ns
        found = await _ask(
            gateway, msgspec.structs.replace(query, end_ns=end_ns, limit=ROWS_AT_ONCE)
        )
        more = len(found) == ROWS_AT_ONCE
        return [CandleView.of(each) for each in found], str(found[-1].ts_open) if more else ""

    if file is not None:
        return await as_file(file, "candles", CandleView, page)
    return await _view(gateway, instrument, query)


async def candles_of(
    gateway: Gateway, symbol: str, interval: str, limit: int, venue: str = ""
) -> CandlesView:
    """The newest `limit` candles of an instrument. Raises Problem."""
    instrument = gateway.instrument(symbol, venue)
    query = CandlesQuery(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        interval_s=interval_s(interval),
        limit=limit,
    )
    return await _view(gateway, instrument, query)


async def _view(gateway: Gateway, instrument: Instrument, query: CandlesQuery) -> CandlesView:
    found = await _ask(gateway, query)
    return CandlesView(
        symbol=instrument.symbol,
        instrument_id=instrument.instrument_id,
        venue=instrument.venue,
        interval_s=query.interval_s,
        candles=[CandleView.of(candle) for candle in found],
    )


@router.get("/api/v1/analytics", tags=["market"], dependencies=READ)
async def analytics(
    gateway: Operations,
    symbol: Symbol,
    window: Annotated[str, Query(description="5m, 1h, 1d, or seconds")] = "1h",
    venue: Venue = "",
) -> AnalyticsView:
    """VWAP, realised volatility, spread and imbalance of one instrument over the last `window`."""
    instrument = gateway.instrument(symbol, venue)
    window_s = interval_s(window, "window")
    query = CandlesQuery(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        interval_s=max(1, window_s // STEPS),
        start_ns=gateway.now_ns() - window_s * NS_PER_S,
        limit=LIMIT_MAX,
    )
    return AnalyticsView.of(instrument, window_s, await _ask(gateway, query))


def interval_s(text: str, field: str = "interval") -> int:
    """The seconds that `text` says, such as 10s, 1m, 4h, 1d. Raises Problem."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip().lower())
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 1 <= seconds <= INTERVAL_MAX_S:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INTERVAL_INVALID",
            f"{field} = {text!r} is no interval from 1s to 31d",
            field=field,
            value=text,
            remedy="write 10s, 1m, 4h or 1d",
        )
    return seconds


def written(seconds: int) -> str:
    """An interval in its largest unit: 60 is `1m`, 90 is `90s`."""
    unit = next(unit for unit in "dhms" if seconds % UNITS[unit] == 0)
    return f"{seconds // UNITS[unit]}{unit}"


async def _ask(gateway: Gateway, query: CandlesQuery) -> tuple[Candle, ...]:
    if gateway.context is None:
        raise unavailable("STARTING", "the gateway is starting", "repeat in a second")
    timeout_s = gateway.config.ledger_timeout_s
    remedy = "see GET /api/v1/status for what it waits for, then repeat"
    try:
        payload = await gateway.context.bus.request(
            history_api.CANDLES, codec.encode_value(query), timeout_s
        )
        answer: CandlesAnswer | HistoryRefusal = codec.decode_value(
            payload,
            CandlesAnswer | HistoryRefusal,  # type: ignore[arg-type]
        )
    except RequestTimeout as error:
        text = f"the history did not answer within {timeout_s:g} s"
        raise unavailable("HISTORY_UNAVAILABLE", text, remedy) from error
    except MalformedMessage as error:
        text = f"the history's answer could not be read: {error}"
        raise unavailable("HISTORY_UNINTELLIGIBLE", text, "run one version of all") from error
    if isinstance(answer, HistoryRefusal):
        raise unavailable("HISTORY_REFUSED", answer.reason, remedy)
    return answer.candles
