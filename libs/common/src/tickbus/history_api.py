"""What one may ask the history service, and what it answers: request and reply over the bus."""

from typing import Annotated

import msgspec

LIMIT_MAX = 5_000
CANDLES = "control.history.candles"


class CandlesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Candles that begin in [`start_ns`, `end_ns`), ns UTC, 0 for no bound; the newest first."""

    venue: str
    instrument_id: str
    interval_s: Annotated[int, msgspec.Meta(ge=1, le=31 * 86_400)] = 60
    start_ns: Annotated[int, msgspec.Meta(ge=0)] = 0
    end_ns: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 500


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """One interval from `ts_open` (ns UTC) on.

    Prices are None without trades. `buys` is the volume that buyers took. `volatility` is the root
    of the sum of squared log returns of the mid within the interval. `mid` is the last one;
    spread (basis points of the mid) and sizes are averages over views of the book.
    """

    ts_open: int
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


class CandlesAnswer(msgspec.Struct, frozen=True, tag=True):
    """The candles, newest first."""

    candles: tuple[Candle, ...]


class HistoryRefusal(msgspec.Struct, frozen=True, tag=True):
    """Why a query was not answered."""

    reason: str
