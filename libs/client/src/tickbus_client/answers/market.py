"""Answers about the market."""

from datetime import datetime
from decimal import Decimal

from tickbus_client.answers.base import Answer


class Price(Answer, frozen=True, kw_only=True):
    """The market in one instrument, in quote currency; None where nothing is known yet.

    `age_ms` counts from when the market last said anything. `stale`: do not trust it.
    """

    symbol: str
    instrument_id: str
    venue: str
    bid: float | None
    bid_size: float | None
    ask: float | None
    ask_size: float | None
    mid: float | None
    last_price: float | None
    last_size: float | None
    updated_at: datetime | None
    age_ms: int | None
    stale: bool


class Prices(Answer, frozen=True, kw_only=True):
    """The market in every instrument that was asked for."""

    prices: tuple[Price, ...]


class Depth(Answer, frozen=True, kw_only=True):
    """The best levels of one book, best first, as (price, size).

    `imbalance` is -1 to 1, above 0 with more bids; `micro_price` is the mid weighted by the sizes
    of the other side.
    """

    symbol: str
    instrument_id: str
    venue: str
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    spread: float | None
    micro_price: float | None
    imbalance: float | None
    sequence: int
    updated_at: datetime | None
    stale: bool


class Consolidated(Answer, frozen=True, kw_only=True):
    """The tops of one instrument at all venues, best first, as (venue, price, size)."""

    instrument_id: str
    bids: tuple[tuple[str, float, float], ...]
    asks: tuple[tuple[str, float, float], ...]
    updated_at: datetime | None


class ConsolidatedTops(Answer, frozen=True, kw_only=True):
    """Every instrument that several venues have."""

    tops: tuple[Consolidated, ...]


class Instrument(Answer, frozen=True, kw_only=True):
    """What can be traded, with the venue's filters; a limit of 0 means none."""

    symbol: str
    instrument_id: str
    venue: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    market_quantity_max: Decimal
    price_min: Decimal
    price_max: Decimal
    notional_min: Decimal
    notional_max: Decimal
    trading: bool


class Instruments(Answer, frozen=True, kw_only=True):
    """Everything that can be traded."""

    instruments: tuple[Instrument, ...]


class Candle(Answer, frozen=True, kw_only=True):
    """One interval; prices are None without trades, statistics None without views of the book.

    `volume` and `buys` (what buyers took) in base currency, `notional` in quote currency.
    `volatility` is the root of the sum of squared log returns of the mid; `spread_bps`, `bid_size`
    and `ask_size` are averages; `imbalance` of these sizes: -1 to 1, above 0 with more bids.
    """

    opened_at: datetime | None
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
    imbalance: float | None = None


class Candles(Answer, frozen=True, kw_only=True):
    """Candles of one instrument, the newest first; `interval_s` is how long each is."""

    symbol: str
    instrument_id: str
    venue: str
    interval_s: int
    candles: tuple[Candle, ...]


class Analytics(Answer, frozen=True, kw_only=True):
    """One instrument over the last `window_s` seconds; None where nothing was seen.

    Sums over trades, averages over views of the book. `volatility` is that of the mid over the
    window, as a fraction; `return_bps` its change; `imbalance` of sizes at the best prices and
    `flow_imbalance` of what buyers and sellers took: -1 to 1.
    """

    symbol: str
    instrument_id: str
    venue: str
    window_s: int
    vwap: float | None
    volume: float
    notional: float
    trades: int
    high: float | None
    low: float | None
    mid: float | None
    return_bps: float | None
    volatility: float | None
    spread_bps: float | None
    spread_bps_max: float | None
    imbalance: float | None
    flow_imbalance: float | None


class Trade(Answer, frozen=True, kw_only=True):
    """One trade of the market; `aggressor` is the side that took."""

    id: str
    price: float
    size: float
    aggressor: str
    at: datetime | None
    received_at: datetime | None


class Trades(Answer, frozen=True, kw_only=True):
    """The last trades of one instrument, newest first; older ones are in candles.

    All since `complete_since` are there.
    """

    symbol: str
    instrument_id: str
    venue: str
    trades: tuple[Trade, ...]
    complete_since: datetime | None


class Feed(Answer, frozen=True, kw_only=True):
    """How well one instrument is heard; `state` is SYNCING, LIVE, STALE or DISCONNECTED.

    The feed says so every second, last at `heard_at`; `market_age_ms` counts from what the market
    said last; `sequence` is of our replica of its book.
    """

    venue: str
    symbol: str
    instrument_id: str
    state: str
    reason: str
    since: datetime | None
    heard_at: datetime | None
    market_age_ms: int | None
    sequence: int | None


class Feeds(Answer, frozen=True, kw_only=True):
    """Every instrument that a feed speaks of."""

    feeds: tuple[Feed, ...]


class Connection(Answer, frozen=True, kw_only=True):
    """One process that speaks with a venue; `clock_offset_ms` is the venue's clock less ours.

    `gauges` count gaps, resyncs, checksum failures and the like.
    """

    service: str
    instance: str
    ready: bool
    waiting_for: str
    uptime_s: float
    clock_offset_ms: float | None
    round_trip_ms: float | None
    gauges: dict[str, float]


class Venue(Answer, frozen=True, kw_only=True):
    """One venue account: its fees (fractions of notional), and whether its market is heard.

    `feed_state` is the worst of its instruments, None while none was ever heard.
    """

    name: str
    adapter: str
    is_main: bool
    instruments: tuple[str, ...]
    maker_fee: Decimal
    taker_fee: Decimal
    feed_state: str | None
    instruments_live: int
    connections: tuple[Connection, ...]


class Venues(Answer, frozen=True, kw_only=True):
    """Every venue that is configured, the main one first."""

    venues: tuple[Venue, ...]
