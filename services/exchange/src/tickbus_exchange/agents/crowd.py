"""The crowd as a whole: fair prices, makers and takers of every symbol, moved by `step`.

Deterministic: the same seed and the same times give the same orders. Only orders sent through the
venue move the market; nothing here touches a book.
"""

from collections.abc import Sequence
from random import Random

from tickbus_exchange.agents.fair import BPS, FairPrice
from tickbus_exchange.agents.maker import DEEP, QUICK, TIGHT, Maker
from tickbus_exchange.agents.taker import Takers
from tickbus_exchange.config import Listing
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Report, Trade
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import TRADING, Venue

FAIR_EVERY_MS = 100
STYLES = (("tight", TIGHT), ("quick", QUICK), ("deep", DEEP))
IMPACT_BPS = 0.03
"""How far makers lean away per typical quantity taken."""
IMPACT_MAX_BPS = 40.0
IMPACT_FADES_S = 4.0


class Corner:
    """Everybody who trades one symbol."""

    def __init__(self, venue: Venue, rng: Random, listing: Listing, intensity: float) -> None:
        rules = listing.rules
        typical = max(rules.step_size, int(listing.typical_quantity * SCALE))
        self._typical = typical
        self._intensity = intensity
        price = venue.engine.markets[rules.symbol].last_price
        self.fair = FairPrice(rng, float(listing.first_price))
        self.fair.start_at(float(price))
        self.makers = [
            Maker(venue, rng, f"{name}-{rules.symbol}", rules, style, typical)
            for name, style in STYLES
        ]
        self.takers = Takers(venue, rng, rules, typical, intensity)
        self._lean_bps = 0.0
        self._fair_ms = self._last_ms = 0

    def open(self, now_ms: int) -> None:
        """Put up the whole book."""
        reference = self.fair.price
        for maker in self.makers:
            maker.quote(reference, now_ms, inserts_max=1_000)
        self._last_ms = self._fair_ms = now_ms
        if self._intensity > 0:
            self.takers.start(now_ms)

    def taken(self, quantity: int, *, bought: bool) -> None:
        """Lean away from who takes, the more the larger."""
        lean = IMPACT_BPS * quantity / self._typical * (1 if bought else -1)
        self._lean_bps = max(-IMPACT_MAX_BPS, min(IMPACT_MAX_BPS, self._lean_bps + lean))

    def step(self, now_ms: int) -> None:
        """Do what is due by `now_ms`."""
        if now_ms >= self._fair_ms:
            seconds = min(1.0, max(0.001, (now_ms - self._last_ms) / 1_000))
            self._last_ms = now_ms
            self._fair_ms = now_ms + int(FAIR_EVERY_MS / self._intensity)
            self._requote(seconds, now_ms)
        self.takers.step(now_ms, self.fair)

    def set_clock(self, by_ms: int) -> None:
        """The clock was set by so much."""
        self._fair_ms += by_ms
        self._last_ms += by_ms
        self.takers.set_clock(by_ms)

    def _requote(self, seconds: float, now_ms: int) -> None:
        self._lean_bps *= max(0.0, 1.0 - seconds / IMPACT_FADES_S)
        reference = self.fair.advance(seconds) * (1.0 + self._lean_bps * BPS)
        for maker in self.makers:
            maker.pull(reference, now_ms)
        for maker in self.makers:
            maker.quote(reference, now_ms)


class Crowd:
    """All corners of the market. An Observer of the venue, to see what is taken."""

    def __init__(self, venue: Venue, rng: Random) -> None:
        config = venue.config
        self._venue = venue
        self._still = config.intensity <= 0
        self.corners = {
            listing.rules.symbol: Corner(venue, rng, listing, config.intensity * listing.activity)
            for listing in config.listings
        }

    def open(self, now_ms: int) -> None:
        """Put up every book."""
        for corner in self.corners.values():
            corner.open(now_ms)

    def step(self, now_ms: int) -> None:
        """Do what is due by `now_ms`; with intensity 0 that is nothing, ever."""
        if self._still:
            return
        for symbol, corner in self.corners.items():
            if self._venue.statuses[symbol] == TRADING:
                corner.step(now_ms)

    def set_clock(self, by_ms: int) -> None:
        """The clock was set by so much; the market goes on as if it had not been."""
        for corner in self.corners.values():
            corner.set_clock(by_ms)

    def on_reports(self, reports: Sequence[Report]) -> None:
        """The crowd does not know who trades."""

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Remember how much was taken from which side."""
        corner = self.corners[symbol]
        for trade in trades:
            corner.taken(trade.quantity, bought=not trade.buyer_is_maker)

    def on_book(self, symbol: str) -> None:
        """Makers look at the fair price, not at the book."""
