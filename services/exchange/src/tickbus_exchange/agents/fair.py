"""The crowd's idea of a fair price: calm drift, trends with reversals, always pulled back home.

Over hours the price stays within a few percent of where it began; within a minute it makes several
moves of 40 bps and more in 5 to 20 seconds.
"""

from enum import Enum
from math import exp, log, sqrt
from random import Random

BPS = 1e-4
CALM_BPS_PER_ROOT_SECOND = 0.7
HOME_TIME_S = 1_800.0
"""Time in which a displacement shrinks to a third when nothing else happens."""
HOME_WIDTH_BPS = 250.0
"""Displacement at which every trend points home."""


class Regime(Enum):
    """What the fair price is doing."""

    CALM = "calm"
    TREND = "trend"
    PAUSE = "pause"
    REVERSAL = "reversal"


class FairPrice:
    """One symbol's fair price. `advance` is told how much time went by."""

    def __init__(self, rng: Random, home: float) -> None:
        self._rng = rng
        self._home = home
        self.displacement_bps = 0.0
        self.regime = Regime.CALM
        self.speed_bps_per_s = 0.0
        self._left_s = rng.uniform(2.0, 12.0)
        self._move_bps = 0.0

    @property
    def price(self) -> float:
        """The fair price, in the unit of `home`."""
        return self._home * exp(self.displacement_bps * BPS)

    def start_at(self, price: float) -> None:
        """Go on from `price`, as after a restart."""
        self.displacement_bps = log(price / self._home) / BPS

    @property
    def direction(self) -> int:
        """1 while a trend goes up, -1 while it goes down, otherwise 0."""
        return (self.speed_bps_per_s > 0) - (self.speed_bps_per_s < 0)

    def advance(self, seconds: float) -> float:
        """Let `seconds` go by and return the price."""
        noise = self._rng.gauss(0.0, CALM_BPS_PER_ROOT_SECOND * sqrt(seconds))
        home = -self.displacement_bps * seconds / HOME_TIME_S
        self.displacement_bps += noise + home + self.speed_bps_per_s * seconds
        self._left_s -= seconds
        if self._left_s <= 0:
            self._next_regime()
        return self.price

    def _next_regime(self) -> None:
        rng = self._rng
        if self.regime is Regime.CALM:
            tilt = max(-0.5, min(0.5, 0.5 * self.displacement_bps / HOME_WIDTH_BPS))
            up = rng.random() >= 0.5 + tilt
            self._move_bps = rng.uniform(50.0, 100.0) * (1 if up else -1)
            self._go(Regime.TREND, self._move_bps, rng.uniform(4.0, 12.0))
        elif self.regime is Regime.TREND:
            self._go(Regime.PAUSE, 0.0, rng.uniform(0.5, 3.0))
        elif self.regime is Regime.PAUSE:
            back = -self._move_bps * rng.uniform(0.6, 1.1)
            self._go(Regime.REVERSAL, back, rng.uniform(5.0, 18.0))
        else:
            self._go(Regime.CALM, 0.0, 2.0 + rng.expovariate(1 / 9.0))

    def _go(self, regime: Regime, move_bps: float, seconds: float) -> None:
        self.regime = regime
        self.speed_bps_per_s = move_bps / seconds
        self._left_s = seconds
