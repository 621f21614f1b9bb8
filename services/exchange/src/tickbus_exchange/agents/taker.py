"""Those who cross the spread: noise, followers of a trend, and forced sellers and buyers."""

from random import Random

from tickbus_exchange.agents.fair import FairPrice
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.orders import OrderRequest, OrderType, Side, TimeInForce
from tickbus_exchange.venue import Venue

NOISE_PER_S = 4.0
TREND_FACTOR = 2.0
TREND_BIAS = 0.8
"""Chance that a taker goes with a trend."""
BURST_EVERY_S = 25.0
BURST_AFTER_TREND = 0.35
"""Share of bursts that push on in the direction of a running trend."""
LATE_MS = 1_000
"""A taker that overslept by more than this starts its schedule anew."""


class Takers:
    """All takers of one symbol, on one schedule."""

    def __init__(
        self, venue: Venue, rng: Random, rules: SymbolRules, typical_quantity: int, intensity: float
    ) -> None:
        self._venue = venue
        self._rng = rng
        self._rules = rules
        self._typical = typical_quantity
        self._intensity = intensity
        self._noise_id = venue.open_crowd_account(f"noise-{rules.symbol}").account_id
        self._forced_id = venue.open_crowd_account(f"forced-{rules.symbol}").account_id
        venue.forced_accounts.add(self._forced_id)
        self._next_noise_ms = self._next_burst_ms = 0
        self._burst_side = Side.SELL
        self._burst_left = 0

    def start(self, now_ms: int) -> None:
        """Begin the schedule."""
        self._next_noise_ms = now_ms + self._wait_ms(NOISE_PER_S)
        self._next_burst_ms = now_ms + self._wait_ms(1 / BURST_EVERY_S)

    def set_clock(self, by_ms: int) -> None:
        """The clock was set by so much: what is due stays as far away as it was."""
        self._next_noise_ms += by_ms
        self._next_burst_ms += by_ms

    def _wait_ms(self, per_second: float) -> int:
        return 1 + int(1_000 * self._rng.expovariate(per_second * self._intensity))

    def step(self, now_ms: int, fair: FairPrice) -> None:
        """Trade whatever is due by `now_ms`."""
        if now_ms - min(self._next_noise_ms, self._next_burst_ms) > LATE_MS:
            self.start(now_ms)
        while self._next_noise_ms <= now_ms:
            self._noise(now_ms, fair.direction)
            rate = NOISE_PER_S * (TREND_FACTOR if fair.direction else 1.0)
            self._next_noise_ms += self._wait_ms(rate)
        while self._next_burst_ms <= now_ms:
            self._burst(now_ms, fair.direction)

    def _noise(self, now_ms: int, direction: int) -> None:
        rng = self._rng
        up_chance = 0.5 + direction * (TREND_BIAS - 0.5)
        side = Side.BUY if rng.random() < up_chance else Side.SELL
        size = rng.lognormvariate(-0.7, 1.0)
        self._take(self._noise_id, side, size, now_ms, limited=rng.random() < 0.3)

    def _burst(self, now_ms: int, direction: int) -> None:
        """Sell or buy a large position in pieces, faster than makers come back."""
        rng = self._rng
        if self._burst_left <= 0:
            self._burst_left = rng.randint(8, 24)
            with_trend = direction and rng.random() < BURST_AFTER_TREND
            self._burst_side = rng.choice((Side.BUY, Side.SELL))
            if with_trend:
                self._burst_side = Side.BUY if direction > 0 else Side.SELL
        self._take(self._forced_id, self._burst_side, rng.uniform(4.0, 16.0), now_ms)
        self._burst_left -= 1
        pause = rng.randint(20, 120)
        if self._burst_left <= 0:
            pause = self._wait_ms(1 / BURST_EVERY_S)
        self._next_burst_ms += pause

    def _take(
        self, account_id: str, side: Side, size: float, now_ms: int, *, limited: bool = False
    ) -> None:
        rules = self._rules
        lots = max(1, int(size * self._typical / rules.step_size))
        request = OrderRequest(rules.symbol, side, OrderType.MARKET, lots * rules.step_size)
        if limited:
            best = self._venue.engine.markets[rules.symbol].book.opposite(side).best_price()
            if best:
                request.type = OrderType.LIMIT
                request.time_in_force = TimeInForce.IOC
                request.price = best
        self._venue.submit(account_id, request, now_ms)
