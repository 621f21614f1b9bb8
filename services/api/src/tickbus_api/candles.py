"""The route of candles and statistics, which the history service answers."""

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from tickbus import codec, history_api
from tickbus.bus import RequestTimeout
from tickbus.codec import MalformedMessage
from tickbus.history_api import LIMIT_MAX, Candle, CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus_api.gateway import Gateway
from tickbus_api.problems import Problem, unavailable
from tickbus_api.reading import Operations, Symbol, Venue
from tickbus_api.views import NS_PER_S, View, iso

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
INTERVAL_MAX_S = 31 * 86_400

router = APIRouter()


class CandleView(View):
    """One interval; prices are null without trades, statistics null without views of the book.

    `buys` is the volume that buyers took, `volatility` the root of the sum of squared log returns
    of the mid within the interval, `spread_bps`, `bid_size` and `ask_size` averages.
    """

    opened_at: str | None
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    notional: float
    buys: float
    trades: int
    vwap: float | None
    mid: float | None
    volatility: float | None
    spread_bps: float | None
    spread_bps_max: float | None
    bid_size: float | None
    ask_size: float | None

    @classmethod
    def of(cls, candle: Candle) -> "CandleView":
        """The view of `candle`."""
        names = [name for name in cls.model_fields if name != "opened_at"]
        values = {name: getattr(candle, name) for name in names}
        return cls(opened_at=iso(candle.ts_open), **values)


class CandlesView(View):
    """Candles of one instrument, the newest first."""

    symbol: str
    instrument_id: str
    venue: str
    interval_s: int
    candles: list[CandleView]


@router.get("/api/v1/candles", tags=["market"])
async def candles(
    gateway: Operations,
    symbol: Symbol,
    interval: Annotated[str, Query(description="10s, 1m, 4h, 1d, or seconds")] = "1m",
    start: Annotated[AwareDatetime | None, Query(description="ISO 8601, with its zone")] = None,
    end: Annotated[AwareDatetime | None, Query(description="ISO 8601, with its zone")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 500,
    venue: Venue = "",
) -> CandlesView:
    """Candles of any interval with VWAP, realised volatility, spread and depth."""
    instrument = gateway.instrument(symbol, venue)
    query = CandlesQuery(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        interval_s=_interval_s(interval),
        start_ns=int(start.timestamp()) * NS_PER_S if start else 0,
        end_ns=int(end.timestamp()) * NS_PER_S if end else 0,
        limit=limit,
    )
    found = await _ask(gateway, query)
    return CandlesView(
        symbol=instrument.symbol,
        instrument_id=instrument.instrument_id,
        venue=instrument.venue,
        interval_s=query.interval_s,
        candles=[CandleView.of(candle) for candle in found],
    )


def _interval_s(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip().lower())
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 1 <= seconds <= INTERVAL_MAX_S:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INTERVAL_INVALID",
            f"interval = {text!r} is no interval from 1s to 31d",
            remedy="write 10s, 1m, 4h or 1d",
        )
    return seconds


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
