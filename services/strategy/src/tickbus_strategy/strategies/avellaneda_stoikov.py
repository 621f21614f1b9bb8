"""Avellaneda-Stoikov: market making with the spread and the lean that a model calls for.

M. Avellaneda and S. Stoikov, "High-frequency trading in a limit order book", Quantitative Finance
8(3), 2008, pages 217-224.
"""

from math import exp, log, log1p, sqrt
from typing import Annotated, ClassVar

import msgspec

from tickbus_strategy.base import BPS
from tickbus_strategy.desk import SECOND_NS
from tickbus_strategy.quoting import QuotingParams, QuotingStrategy, Shape, describes_all

SAMPLE_NS = SECOND_NS
HOLE_NS = 10 * SECOND_NS
"""A pause in the prices as long as this says nothing of how they move; it is left out."""


@describes_all
class AvellanedaStoikovParams(QuotingParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model needs.

    `gamma`: aversion to the risk of holding, per basis point and quote; larger leans and widens
    more. `kappa`: how fast fills become rarer with the distance from the mid, per basis point; fit
    it with `tickbus fit-avellaneda`. `horizon_s`: how long what is held has to be borne.
    `sigma_halflife_s`: price moves this old count half in the estimate of their size. `warmup_s`:
    so long prices are only watched.
    """

    gamma: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.01
    kappa: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 0.2
    horizon_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 10.0
    sigma_halflife_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    warmup_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 10.0


class Volatility:
    """How far the mid moves: basis points per square root of a second, recent moves first.

    Sampled at most once a second, since from tick to tick a mid mostly flips back and forth.
    """

    def __init__(self, halflife_s: float, warmup_s: float) -> None:
        self._rate = log(2) / halflife_s
        self._warmup_s = warmup_s
        self._ts = 0
        self._mid = 0.0
        self._sum = 0.0
        self._weight = 0.0
        self._seen_s = 0.0

    @property
    def value(self) -> float | None:
        """None until `warmup_s` seconds of prices were seen."""
        if self._seen_s < self._warmup_s or not self._weight:
            return None
        return sqrt(self._sum / self._weight)

    def update(self, mid: float, now_ns: int) -> float | None:
        """Take in a mid price; times do not run backwards."""
        gone = now_ns - self._ts
        if self._mid and gone < SAMPLE_NS:
            return self.value
        if self._mid and gone < HOLE_NS:
            seconds = gone / SECOND_NS
            move = log(mid / self._mid) * BPS
            # An average over time of move^2 per second, each second weighing less as it ages.
            keep = exp(-self._rate * seconds)
            self._sum = self._sum * keep + move * move / seconds * (1 - keep)
            self._weight = self._weight * keep + (1 - keep)
            self._seen_s += seconds
        self._ts, self._mid = now_ns, mid
        return self.value


class AvellanedaStoikov(QuotingStrategy):
    """Quotes around a reservation price, as wide as risk and the flow of orders call for.

    Idea: who holds q of a price that moves by sigma, and minds it by gamma, is indifferent at the
    reservation price r = s - q gamma sigma^2 T, not at the mid s; and with fills that come at a
    rate of A exp(-kappa distance) earns most by quoting around r at a total distance of
    gamma sigma^2 T + (2 / gamma) ln(1 + gamma / kappa). Prices here are basis points of the mid, q
    counts quotes from the middle of the bounds, and T stays `horizon_s`, since this market never
    closes. Entry: a post-only bid and a post-only ask there, never nearer than both maker's fees
    and `min_profit_bps`. Exit: the other side's fill; bounds, tolerance and pulling are those of
    market making. Loses when the price runs on after each fill (those who trade know more), and
    when sigma jumps faster than its estimate follows.
    """

    title: ClassVar[str] = "market making by the model of Avellaneda and Stoikov"
    Params = AvellanedaStoikovParams
    params: AvellanedaStoikovParams

    def on_start(self) -> None:
        """Volatility is measured anew."""
        super().on_start()
        self._volatility = Volatility(self.params.sigma_halflife_s, self.params.warmup_s)

    def shape(self, mid: float, inventory: float, quotes: float) -> Shape | None:
        """By the two formulas; None while volatility is not known."""
        sigma = self._volatility.update(mid, self.now_ns)
        if sigma is None:
            self.note(mid=mid, sigma="measuring")
            return None
        p = self.params
        risk_bps = p.gamma * sigma * sigma * p.horizon_s
        width_bps = risk_bps + 2 / p.gamma * log1p(p.gamma / p.kappa)
        self.note(sigma=sigma, quotes=quotes, risk_bps=risk_bps)
        return Shape(mid * (1 - quotes * risk_bps / BPS), width_bps)
