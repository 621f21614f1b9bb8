"""What the router knows of the venues: books, fees, balances; and the one market made of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from tickbus.events import (
    SMART_VENUE,
    AccountUpdated,
    BookDepth,
    BookTop,
    Event,
    FeeSchedule,
    Instrument,
    Side,
)
from tickbus.portfolio import is_derivative
from tickbus_router.memory import FreeAt
from tickbus_router.planning import ZERO, VenueMarket

CONFIRM_NS = 1_000_000_000
"""How often an unchanged best price of all venues is told again: silence would look stale."""


class Markets:
    """Books, instruments and balances by venue; only venues with a fee schedule are routed to."""

    def __init__(self, fees: Mapping[str, FeeSchedule]) -> None:
        self._fees = fees
        self._instruments: dict[str, dict[str, Instrument]] = {}
        self._depths: dict[tuple[str, str], BookDepth] = {}
        self._tops: dict[str, dict[str, BookTop]] = {}
        # By venue and asset: how much is free, and when it was (ns, the venue's).
        self._free: dict[str, dict[str, tuple[Decimal, int]]] = {}
        self._told: dict[str, BookTop] = {}
        self._number = 0

    def of(self, instrument_id: str, side: Side, avoided: Iterable[str]) -> list[VenueMarket]:
        """Where an order of `side` can trade now, in the order of the venues' names."""
        left_out = set(avoided)
        found: list[VenueMarket] = []
        for venue, instrument in sorted(self._instruments.get(instrument_id, {}).items()):
            depth = self._depths.get((venue, instrument_id))
            if venue in left_out or depth is None or not instrument.trading:
                continue
            # The best price is told to be stale at once, the depth with the next one.
            top = self._tops.get(instrument_id, {}).get(venue)
            if depth.stale or (top is not None and top.stale):
                continue
            asset = instrument.quote if side is Side.BUY else instrument.base
            free = self._free.get(venue)
            # What a derivative needs is margin, and that only the venue knows.
            if free is None or is_derivative(instrument_id):
                money = None
            else:
                money, _ = free.get(asset, (ZERO, 0))
            found.append(VenueMarket(instrument, depth, self._fees[venue], money))
        return found

    def are_all(self, instrument_id: str, venues: Collection[str]) -> bool:
        """Whether every venue that trades it is among `venues`."""
        listed = self._instruments.get(instrument_id)
        return bool(listed) and all(venue in venues for venue in listed or ())

    def has_books(self, instrument_id: str) -> bool:
        """Whether every venue that trades it has shown its book."""
        return all(
            (venue, instrument_id) in self._depths
            for venue in self._instruments.get(instrument_id, ())
        )

    def balances(self) -> list[FreeAt]:
        """What is free at each venue; for a snapshot."""
        return [
            (venue, [(asset, *free) for asset, free in known.items()])
            for venue, known in self._free.items()
        ]

    def restore(self, balances: list[FreeAt]) -> None:
        """Know these balances."""
        self._free = {
            venue: {asset: (free, ts) for asset, free, ts in known} for venue, known in balances
        }

    def on_depth(self, event: BookDepth) -> Sequence[Event]:
        """Take in a book."""
        if event.venue in self._fees:
            self._depths[event.venue, event.instrument_id] = event
        return ()

    def on_account(self, event: AccountUpdated) -> Sequence[Event]:
        """Take in balances; an older one changes nothing."""
        venue, ts = event.venue, event.ts_event
        known = self._free.setdefault(venue, {}) if event.complete else self._free.get(venue)
        if known is None:
            return ()
        told = {balance.asset: balance.free for balance in event.balances}
        if event.complete:
            told = dict.fromkeys(known, ZERO) | told
        for asset, free in told.items():
            if asset not in known or ts >= known[asset][1]:
                known[asset] = (free, ts)
        return ()

    def on_instrument(self, instrument: Instrument) -> Sequence[Instrument]:
        """Take in what can be traded; gives the instrument of `smart` that follows from it."""
        counts_contracts = instrument.contract_size != 1 or instrument.inverse
        if instrument.venue not in self._fees or counts_contracts:
            return ()
        listed = self._instruments.setdefault(instrument.instrument_id, {})
        if listed.get(instrument.venue) == instrument:
            return ()
        listed[instrument.venue] = instrument
        return (_together(list(listed.values())),)

    def together(self) -> list[Instrument]:
        """The instruments of `smart`."""
        return [_together(list(listed.values())) for listed in self._instruments.values()]

    def on_top(self, event: BookTop) -> Sequence[Event]:
        """Take in a best price; gives that of all venues when it changed, or after a second."""
        if event.venue not in self._fees:
            return ()
        tops = self._tops.setdefault(event.instrument_id, {})
        tops[event.venue] = event
        sound = [top for top in tops.values() if not top.stale]
        bids = [(top.bid, top.bid_size) for top in sound if top.bid > 0]
        asks = [(top.ask, top.ask_size) for top in sound if top.ask > 0]
        bid = max(bids, default=(0.0, 0.0))
        ask = min(asks, default=(0.0, 0.0))
        before = self._told.get(event.instrument_id)
        stale = not sound
        if before is not None:
            same = (before.bid, before.ask, before.stale) == (bid[0], ask[0], stale)
            if same and event.ts_recv - before.ts_recv < CONFIRM_NS:
                return ()
        self._number += 1
        told = BookTop(
            event.ts_event, event.ts_recv, SMART_VENUE, event.instrument_id, *bid, *ask, 1,
            self._number, stale,
        )  # fmt: skip
        self._told[event.instrument_id] = told
        return (told,)


def _together(listed: Sequence[Instrument]) -> Instrument:
    """The rules of the whole: what every venue can take a part of."""
    most, highest = [i.quantity_max for i in listed], [i.price_max for i in listed]
    return msgspec.structs.replace(
        listed[0],
        venue=SMART_VENUE,
        symbol=f"{SMART_VENUE}:{listed[0].instrument_id}",
        tick_size=max(i.tick_size for i in listed),
        lot_size=max(i.lot_size for i in listed),
        quantity_min=min(i.quantity_min for i in listed),
        quantity_max=ZERO if ZERO in most else sum(most, ZERO),
        market_quantity_max=ZERO,
        price_min=min(i.price_min for i in listed),
        price_max=ZERO if ZERO in highest else max(highest),
        notional_min=min(i.notional_min for i in listed),
        notional_max=ZERO,
        trading=any(i.trading for i in listed),
    )
