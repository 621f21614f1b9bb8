"""The fit of the order flow: given a tape made with known numbers, then those numbers."""

from math import exp
from random import Random

import pytest

from tickbus.events import Side, Trade
from tickbus_strategy.order_flow import NotEnoughOrders, OrderFlow

SECOND = 1_000_000_000


def a_trade(ts: int, price: float, side: Side) -> Trade:
    return Trade(ts, ts, "sim", "BTC-USDT", str(ts), price, 1.0, side)


def a_tape(kappa: float, a: float, seconds: int, seed: int = 1) -> OrderFlow:
    """Poisson market orders whose reach beyond the half spread is exponential."""
    rng, flow = Random(seed), OrderFlow()
    mid, half_bps = 100.0, 0.5
    # As many as reach the half spread: A exp(-kappa half) per second on each side.
    rate = 2 * a * exp(-kappa * half_bps)
    now, until, priced = SECOND, (1 + seconds) * SECOND, 0
    while now < until:
        now += max(1, int(rng.expovariate(rate) * SECOND))
        while priced < now:
            priced += SECOND // 2
            flow.price(priced, mid * (1 - half_bps / 10_000), mid * (1 + half_bps / 10_000))
        side = rng.choice((Side.BUY, Side.SELL))
        reach = half_bps + rng.expovariate(kappa)
        for part in (half_bps, reach):  # a sweep is several trades of one instant
            flow.trade(a_trade(now, mid * (1 + side.sign * part / 10_000), side))
    return flow


@pytest.mark.parametrize(("kappa", "a"), [(0.5, 2.0), (0.2, 5.0), (2.0, 8.0)])
def test_fit_finds_the_numbers_that_the_tape_was_made_with(kappa: float, a: float) -> None:
    fit = a_tape(kappa, a, 3_000).fit()
    assert fit.kappa == pytest.approx(kappa, rel=0.1)
    assert fit.a == pytest.approx(a, rel=0.25)
    assert fit.r_squared > 0.97
    assert fit.half_spread_bps == pytest.approx(0.5, abs=1e-6)
    assert fit.seconds == pytest.approx(3_000, rel=0.01)


def test_rates_are_counts_per_second_and_side() -> None:
    flow = OrderFlow()
    for n in range(100):
        now = (1 + n) * SECOND
        flow.price(now, 99.99, 100.01)
        reach_bps = 1 + n // 10
        flow.trade(a_trade(now, 100 * (1 + reach_bps / 10_000), Side.BUY))
    fit = flow.fit(1.0)
    assert fit.orders == 100
    assert fit.from_bps == 1.0
    assert fit.to_bps == pytest.approx(10.0)
    for rate in fit.rates:
        reaching = sum(1 + n // 10 >= rate.distance_bps - 1e-9 for n in range(100))
        assert rate.counted == pytest.approx(reaching / 99 / 2, abs=0.051)


def test_time_without_prices_does_not_count() -> None:
    flow = OrderFlow()
    for second in (*range(1, 21), *range(500, 520)):
        flow.price(second * SECOND, 99.99, 100.01)
        flow.trade(a_trade(second * SECOND, 100.01 + second % 5 / 100, Side.BUY))
    assert flow.fit().seconds == pytest.approx(38.0)


def test_too_little_is_said_to_be_too_little() -> None:
    flow = OrderFlow()
    with pytest.raises(NotEnoughOrders, match="0 market orders"):
        flow.fit()
    for second in range(1, 30):
        flow.price(second * SECOND, 99.99, 100.01)
        flow.trade(a_trade(second * SECOND, 100.01, Side.BUY))
    with pytest.raises(NotEnoughOrders, match="reach beyond"):
        flow.fit(2.0)
