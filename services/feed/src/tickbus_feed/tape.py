"""What needs no book: trades, best prices, liquidations and funding, each once and in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tickbus.events import Event, Funding, Liquidation, Quote, Trade
from tickbus_feed.adapter import (
    Ignored,
    MarketFunding,
    MarketLiquidation,
    MarketQuote,
    MarketTrade,
)
from tickbus_feed.links import Links
from tickbus_feed.sync import BookSync
from tickbus_feed.venue import VenueFrame

if TYPE_CHECKING:
    from tickbus_feed.core import FeedCore

BEFORE_MAX = 2_000
Events = Sequence[Event]


class Tape:
    """Belongs to the feed's core. While two connections overlap, each of them tells everything."""

    def __init__(self, core: "FeedCore", venue: str, links: Links) -> None:
        self._core = core
        self._venue = venue
        self._links = links

    def trade(self, frame: VenueFrame, t: MarketTrade) -> Events:
        """A trade that was not told before.

        What a venue sends of the time before we asked is only remembered, unless we were listening
        already and missed it.
        """
        sync = self._core.syncs.get(t.symbol)
        if sync is None:
            return self._core.foreign(frame, "trade")
        if t.is_history and (not sync.has_traded or t.trade_id in sync.before):
            if len(sync.before) < BEFORE_MAX:
                sync.before.add(t.trade_id)
            return self._core.ignore(frame, Ignored("trade of before"))
        if not sync.is_new_trade(t.trade_id):
            return self._core.ignore(frame, Ignored("repeated trade"))
        sync.has_traded = sync.has_traded or not t.is_history
        return (
            Trade(
                t.ts_event, frame.ts_recv, self._venue, sync.instrument_id,
                t.trade_id, t.price, t.size, t.aggressor_side,
            ),
        )  # fmt: skip

    def quote(self, frame: VenueFrame, q: MarketQuote) -> Events:
        """Best prices, of the newest connection that has told any: they never go back."""
        sync = self._core.syncs.get(q.symbol)
        if sync is None:
            return self._core.foreign(frame, "quote")
        if self._core.quotes_from_book:
            return self._core.ignore(frame, Ignored("quote beside the book"))
        if sync.quote_link != frame.link:
            newer = sync.quote_link
            if frame.link < newer and self._links.is_open_link(frame.line, newer):
                return self._core.ignore(frame, Ignored("quote of an older connection"))
            sync.quote_link = frame.link
        return (
            Quote(
                q.ts_event or frame.ts_recv, frame.ts_recv, self._venue, sync.instrument_id,
                q.bid, q.bid_size, q.ask, q.ask_size, q.update_id,
            ),
        )  # fmt: skip

    def of_book(self, sync: BookSync, ts_event: int, ts_recv: int, number: int) -> Events:
        """The best prices of a book that changed, where they did."""
        bid, ask = sync.book.best_bid, sync.book.best_ask
        if bid is None or ask is None or (bid, ask) == sync.top:
            return ()
        sync.top = (bid, ask)
        at = (ts_event or ts_recv, ts_recv, self._venue, sync.instrument_id)
        return (Quote(*at, *bid, *ask, max(number, 0)),)

    def liquidation(self, frame: VenueFrame, x: MarketLiquidation) -> Events:
        """A forced order that was not told before."""
        sync = self._core.syncs.get(x.symbol)
        if sync is None:
            return self._core.foreign(frame, "liquidation")
        if not sync.is_new_liquidation(x):
            return self._core.ignore(frame, Ignored("repeated liquidation"))
        at = (x.ts_event, frame.ts_recv, self._venue, sync.instrument_id)
        return (Liquidation(*at, x.side, x.price, x.size),)

    def funding(self, frame: VenueFrame, f: MarketFunding) -> Events:
        """Mark price and funding."""
        sync = self._core.syncs.get(f.symbol)
        if sync is None:
            return self._core.foreign(frame, "funding")
        at = (f.ts_event, frame.ts_recv, self._venue, sync.instrument_id)
        return (Funding(*at, f.mark_price, f.index_price, f.rate, f.ts_next),)
