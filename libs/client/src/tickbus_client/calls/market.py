"""Calls about the market."""

from datetime import datetime

from tickbus_client.answers.market import (
    Analytics,
    Candles,
    ConsolidatedTops,
    Depth,
    Feeds,
    Instruments,
    Prices,
    Trades,
    Venues,
)
from tickbus_client.call import Call, Query, When, moment


def instruments() -> Call[Instruments]:
    """Everything that can be traded, with the venue's filters."""
    return Call("GET", "/api/v1/instruments", Instruments)


def prices(symbol: str = "", *, venue: str = "") -> Call[Prices]:
    """Best bid, best ask, mid and last trade of every instrument, or of one."""
    return Call("GET", "/api/v1/prices", Prices, query={"symbol": symbol, "venue": venue})


def depth(symbol: str, *, levels: int = 20, venue: str = "") -> Call[Depth]:
    """The best `levels` (1 to 5000) of our replica of a book."""
    query: Query = {"symbol": symbol, "levels": levels, "venue": venue}
    return Call("GET", "/api/v1/depth", Depth, query=query)


def consolidated(symbol: str = "") -> Call[ConsolidatedTops]:
    """Best bid and ask at every venue, of the instruments that several venues have, or of one."""
    return Call("GET", "/api/v1/consolidated", ConsolidatedTops, query={"symbol": symbol})


def candles(
    symbol: str, interval: str = "1m", *, start: datetime | str | None = None,
    end: datetime | str | None = None, limit: int = 500, venue: str = "",
) -> Call[Candles]:  # fmt: skip
    """Candles of any interval ("10s", "1m", "4h", "1d") with VWAP, volatility, spread and depth."""
    query: Query = {
        "symbol": symbol, "interval": interval, "start": moment(start), "end": moment(end),
        "limit": limit, "venue": venue,
    }  # fmt: skip
    return Call("GET", "/api/v1/candles", Candles, query=query, has_files=True)


def analytics(symbol: str, window: str = "1h", *, venue: str = "") -> Call[Analytics]:
    """VWAP, volatility, spread and imbalance over the last `window` ("5m", "1h", "1d")."""
    query: Query = {"symbol": symbol, "window": window, "venue": venue}
    return Call("GET", "/api/v1/analytics", Analytics, query=query)


def trades(
    symbol: str, *, limit: int = 100, since: When | None = None, venue: str = ""
) -> Call[Trades]:
    """Time and sales: the last `limit` (1 to 1000) trades of one instrument, newest first."""
    query: Query = {"symbol": symbol, "limit": limit, "since": moment(since), "venue": venue}
    return Call("GET", "/api/v1/trades", Trades, query=query)


def feeds(venue: str = "") -> Call[Feeds]:
    """How well each instrument is heard: live, syncing, stale or disconnected, since when, why."""
    return Call("GET", "/api/v1/feeds", Feeds, query={"venue": venue})


def venues() -> Call[Venues]:
    """Every venue account, its fees, and the processes that speak with it."""
    return Call("GET", "/api/v1/venues", Venues)
