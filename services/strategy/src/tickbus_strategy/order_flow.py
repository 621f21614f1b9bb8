"""How far from the mid price market orders reach: A and kappa of A exp(-kappa distance), fitted.

M. Avellaneda and S. Stoikov, "High-frequency trading in a limit order book", Quantitative Finance
8(3), 2008, section 2.4: an order that rests at some distance from the mid is filled at a rate that
falls off exponentially with the distance.
"""

from bisect import bisect_left
from itertools import pairwise
from math import exp, log, sqrt
from typing import NamedTuple

from tickbus.events import Trade

BPS = 10_000
SECOND_NS = 1_000_000_000
POINTS = 20
"""Distances at which rates are compared with the line."""
ORDERS_MIN = 10
"""A distance that fewer orders reached tells nothing of its rate."""
HOLE_S = 10.0
"""Without prices for so long nobody watched; that time does not count."""


class NotEnoughOrders(ValueError):
    """Too few market orders, or all reach equally far: there is no line to draw."""


class Rate(NamedTuple):
    """Orders per second and side that reach `distance_bps` from the mid, as counted and fitted."""

    distance_bps: float
    counted: float
    fitted: float


class FlowFit(NamedTuple):
    """What a tape says of its market orders.

    `a`: orders per second and side that would reach the mid itself. `kappa`: per basis point; each
    1 / kappa further away fills become 2.7 times rarer. `r_squared`: 1 when the logs of the rates
    lie on a line. `sigma`: basis points per square root of a second, of the mid sampled once a
    second. `half_spread_bps`: the median. `from_bps` to `to_bps` is the range that was fitted.
    """

    a: float
    kappa: float
    r_squared: float
    sigma: float
    half_spread_bps: float
    from_bps: float
    to_bps: float
    orders: int
    seconds: float
    rates: list[Rate]

    def fills_per_s(self, distance_bps: float) -> float:
        """The most that an order resting this far from the mid can hope for, on its side.

        It supposes that nobody stands before it in the queue, and that it is as large as any.
        """
        return self.a * exp(-self.kappa * distance_bps)


class OrderFlow:
    """Watches one market: give it every mid price and every trade in order, then ask for `fit`."""

    def __init__(self) -> None:
        self._mid = 0.0
        self._half_bps = 0.0
        self._ts_priced = 0
        self._watched_ns = 0
        self._reaches: list[float] = []
        self._halves: list[float] = []
        self._order: tuple[int, str] | None = None
        self._order_mid = 0.0
        self._reach = 0.0
        self._samples: list[tuple[int, float]] = []

    def price(self, now_ns: int, bid: float, ask: float) -> None:
        """The best prices changed, ns of the receiver's clock."""
        if not bid or not ask or bid >= ask:
            return
        gone = now_ns - self._ts_priced
        if self._ts_priced and gone < HOLE_S * SECOND_NS:
            self._watched_ns += gone
        self._ts_priced = now_ns
        self._mid = (bid + ask) / 2
        self._half_bps = (ask - bid) / 2 / self._mid * BPS
        if not self._samples or now_ns - self._samples[-1][0] >= SECOND_NS:
            self._samples.append((now_ns, self._mid))

    def trade(self, trade: Trade) -> None:
        """Somebody traded. Trades of one instant and direction are one market order's."""
        if not self._mid:
            return
        order = trade.ts_event, str(trade.aggressor_side)
        if order != self._order:
            self._end_order()
            self._order, self._order_mid, self._reach = order, self._mid, 0.0
            self._halves.append(self._half_bps)
        away = (trade.price - self._order_mid) * trade.aggressor_side.sign
        self._reach = max(self._reach, away / self._order_mid * BPS)

    def _end_order(self) -> None:
        if self._order is not None:
            self._reaches.append(self._reach)
            self._order = None

    def fit(self, from_bps: float | None = None) -> FlowFit:
        """Draw the line through the logs of the rates, from `from_bps` on (the median half spread).

        By least squares over evenly spaced distances, up to the last that ten orders reached.
        Raises NotEnoughOrders.
        """
        self._end_order()
        reaches, seconds = sorted(self._reaches), self._watched_ns / SECOND_NS
        if len(reaches) < ORDERS_MIN or not seconds:
            raise NotEnoughOrders(f"{len(reaches)} market orders in {seconds:.1f} s of prices")
        half = sorted(self._halves)[len(self._halves) // 2]
        begin = half if from_bps is None else from_bps
        end = reaches[-ORDERS_MIN]
        if end <= begin:
            raise NotEnoughOrders(
                f"fewer than {ORDERS_MIN} of {len(reaches)} market orders reach beyond"
                f" {begin:.3g} bps"
            )
        distances = [begin + (end - begin) * n / (POINTS - 1) for n in range(POINTS)]
        counted = [
            (len(reaches) - bisect_left(reaches, distance)) / seconds / 2 for distance in distances
        ]
        slope, start, r_squared = _line(distances, [log(rate) for rate in counted])
        if slope >= 0:
            raise NotEnoughOrders("orders do not become rarer with the distance")
        rates = [
            Rate(distance, rate, exp(start + slope * distance))
            for distance, rate in zip(distances, counted, strict=True)
        ]
        return FlowFit(
            a=exp(start), kappa=-slope, r_squared=r_squared, sigma=self._sigma(),
            half_spread_bps=half, from_bps=begin, to_bps=end, orders=len(reaches),
            seconds=seconds, rates=rates,
        )  # fmt: skip

    def _sigma(self) -> float:
        squares, seconds = 0.0, 0.0
        for (before, old), (now, new) in pairwise(self._samples):
            gone = (now - before) / SECOND_NS
            if gone < HOLE_S:
                squares += (log(new / old) * BPS) ** 2
                seconds += gone
        return sqrt(squares / seconds) if seconds else 0.0


def _line(xs: list[float], ys: list[float]) -> tuple[float, float, float]:
    """Slope, value at 0 and R squared of the least squares line."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    sxx = sum((x - mean_x) ** 2 for x in xs)
    sxy = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    syy = sum((y - mean_y) ** 2 for y in ys)
    slope = sxy / sxx
    return slope, mean_y - slope * mean_x, sxy * sxy / (sxx * syy) if syy else 1.0
