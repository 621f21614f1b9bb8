"""Routes about venues: what trades happened there, and how well we hear them."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from tickbus.config import VenueConfig
from tickbus.events import FeedState, Instrument, ServiceStatus, Trade
from tickbus_api.access import READ
from tickbus_api.core import TAPE_MAX, Feed
from tickbus_api.gateway import Gateway
from tickbus_api.reading import Operations, Since, Symbol, Venue, ns_of
from tickbus_api.views import NS_PER_MS, Exact, View, iso

router = APIRouter(prefix="/api/v1", tags=["market"])
_WORST = (FeedState.DISCONNECTED, FeedState.STALE, FeedState.SYNCING, FeedState.LIVE)


class TradeView(View):
    """One trade of the market; `aggressor` is the side that took."""

    id: str
    price: float
    size: float
    aggressor: str
    at: str | None
    received_at: str | None

    @classmethod
    def of(cls, trade: Trade) -> "TradeView":
        """The view of `trade`."""
        return cls(
            id=trade.trade_id,
            price=trade.price,
            size=trade.size,
            aggressor=trade.aggressor_side,
            at=iso(trade.ts_event),
            received_at=iso(trade.ts_recv),
        )


class TradesView(View):
    """The last trades of one instrument, newest first."""

    symbol: str
    instrument_id: str
    venue: str
    trades: list[TradeView]
    complete_since: str | None = Field(
        description="the oldest trade that the gateway still has; older ones are in /candles"
    )


class FeedView(View):
    """How well one instrument is heard."""

    venue: str
    symbol: str
    instrument_id: str
    state: str = Field(description=", ".join(FeedState))
    reason: str
    since: str | None
    heard_at: str | None = Field(description="when the feed last said so; it does every second")
    market_age_ms: int | None = Field(description="since the market last said anything of it")
    sequence: int | None = Field(description="of our replica of its book")


class FeedsView(View):
    """Every instrument that a feed speaks of."""

    feeds: list[FeedView]


class ConnectionView(View):
    """One process that speaks with the venue: a feed or an execution."""

    service: str
    instance: str
    ready: bool
    waiting_for: str
    uptime_s: float
    clock_offset_ms: float | None = Field(description="the venue's clock less ours")
    round_trip_ms: float | None
    gauges: dict[str, float] = Field(description="gaps, resyncs, checksum failures and the like")

    @classmethod
    def of(cls, status: ServiceStatus) -> "ConnectionView":
        """The view of `status`."""
        return cls(
            service=status.service,
            instance=status.instance,
            ready=status.ready,
            waiting_for=status.waiting_for,
            uptime_s=round(status.uptime_s, 3),
            clock_offset_ms=status.gauges.get("clock_offset_ms"),
            round_trip_ms=status.gauges.get("clock_round_trip_ms"),
            gauges=status.gauges,
        )


class VenueView(View):
    """One venue account: its fees (fractions of notional), and whether its market is heard."""

    name: str
    adapter: str
    is_main: bool
    instruments: list[str]
    maker_fee: Exact
    taker_fee: Exact
    feed_state: str | None = Field(description="the worst of its instruments; null: never heard")
    instruments_live: int
    connections: list[ConnectionView]

    @classmethod
    def of(
        cls, venue: VenueConfig, is_main: bool, feeds: Sequence[Feed],
        statuses: Sequence[ServiceStatus],
    ) -> "VenueView":  # fmt: skip
        """The view of `venue`."""
        states = [feed.last.state for feed in feeds]
        return cls(
            name=venue.name,
            adapter=venue.adapter,
            is_main=is_main,
            instruments=list(venue.instruments),
            maker_fee=venue.fees.maker,
            taker_fee=venue.fees.taker,
            feed_state=min(states, key=_WORST.index, default=None),
            instruments_live=states.count(FeedState.LIVE),
            connections=[ConnectionView.of(status) for status in statuses],
        )


class VenuesView(View):
    """Every venue that is configured, the main one first."""

    venues: list[VenueView]


@router.get("/trades", dependencies=READ)
async def trades(
    gateway: Operations,
    symbol: Symbol,
    limit: Annotated[int, Query(ge=1, le=TAPE_MAX)] = 100,
    since: Since = "",
    venue: Venue = "",
) -> TradesView:
    """Time and sales: the last trades of one instrument, newest first."""
    instrument = gateway.instrument(symbol, venue)
    tape = gateway.core.tapes.get((instrument.venue, instrument.instrument_id), ())
    since_ns = ns_of("since", since)
    found = [trade for trade in reversed(tape) if trade.ts_event >= since_ns][:limit]
    return TradesView(
        symbol=instrument.symbol,
        instrument_id=instrument.instrument_id,
        venue=instrument.venue,
        trades=[TradeView.of(trade) for trade in found],
        complete_since=iso(tape[0].ts_event) if tape else None,
    )


@router.get("/feeds", dependencies=READ)
async def feeds(gateway: Operations, venue: Venue = "") -> FeedsView:
    """How well each instrument is heard: live, syncing, stale or disconnected, since when, why."""
    gateway.require_venue(venue)
    known = gateway.core.feeds
    chosen = [key for key in sorted(known) if venue in ("", key[0])]
    return FeedsView(feeds=[_feed(gateway, known[key]) for key in chosen])


@router.get("/venues", dependencies=READ)
async def venues(gateway: Operations) -> VenuesView:
    """Every venue account, its fees, and the processes that speak with it."""
    statuses = await gateway.services()
    accounts = gateway.configured.accounts
    found = []
    for number, account in enumerate(accounts):
        own = (account.name,) if number else (account.name, "")
        found.append(
            VenueView.of(
                account,
                number == 0,
                [feed for key, feed in gateway.core.feeds.items() if key[0] == account.name],
                [s for s in statuses if s.service in ("feed", "execution") and s.venue in own],
            )
        )
    return VenuesView(venues=found)


def _feed(gateway: Gateway, feed: Feed) -> FeedView:
    core, last = gateway.core, feed.last
    key = (last.venue, last.instrument_id)
    top, trade = core.tops.get(key), core.trades.get(key)
    heard_ns = max((event.ts_recv for event in (top, trade) if event is not None), default=0)
    instrument: Instrument | None = core.instruments.get(key)
    depth = core.depths.get(key)
    return FeedView(
        venue=last.venue,
        symbol=instrument.symbol if instrument else last.instrument_id,
        instrument_id=last.instrument_id,
        state=last.state,
        reason=feed.since.reason,
        since=iso(feed.since.ts_recv),
        heard_at=iso(last.ts_recv),
        market_age_ms=max(0, gateway.now_ns() - heard_ns) // NS_PER_MS if heard_ns else None,
        sequence=depth.sequence if depth else None,
    )
