"""Indicators: whatever comes, they read what the plain formula says of the whole history."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus_strategy import indicators
from tickbus_strategy.indicators import (
    Atr,
    Ema,
    RollingMax,
    RollingMean,
    RollingMin,
    RollingStd,
    RollingSum,
    Rsi,
    Sma,
    Velocity,
    Vwap,
)

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND

prices = st.floats(min_value=0.01, max_value=1e6, allow_nan=False)
steps_ns = st.integers(min_value=0, max_value=3 * SECOND)
ticks = st.lists(st.tuples(prices, steps_ns), min_size=1, max_size=60)
counts = st.integers(min_value=1, max_value=12)
windows_s = st.sampled_from([0.25, 1.0, 2.5, 7.0])

Series = list[tuple[int, float]]


def timed(steps: Sequence[tuple[Any, int]]) -> Any:
    """(time, price), each so many ns after the one before."""
    now, out = NOW, []
    for price, step in steps:
        now += step
        out.append((now, price))
    return out


def last_count(series: Series, count: int) -> list[float] | None:
    return [price for _, price in series[-count:]] if len(series) >= count else None


def last_seconds(series: Series, window_s: float) -> list[float] | None:
    begin = series[-1][0] - int(window_s * SECOND)
    return [price for ts, price in series if ts > begin] if series[0][0] <= begin else None


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def deviation(values: list[float]) -> float:
    return math.sqrt(math.fsum((x - mean(values)) ** 2 for x in values) / len(values))


def agrees(found: float | None, expected: float | None, absolute: float = 0.0) -> bool:
    if found is None or expected is None:
        return found is expected
    return found == pytest.approx(expected, rel=1e-9, abs=absolute)


PLAIN: list[tuple[type[Any], Callable[[list[float]], float]]] = [
    (RollingSum, math.fsum),
    (RollingMean, mean),
    (RollingStd, deviation),
    (RollingMax, max),
    (RollingMin, min),
]


@pytest.mark.parametrize(("kind", "formula"), PLAIN)
@given(ticks, counts)
def test_window_of_a_count_reads_the_formula_of_its_last_values(
    kind: Any, formula: Callable[[list[float]], float], steps: Any, count: int
) -> None:
    indicator, series = kind(count=count), timed(steps)
    for n, (_, price) in enumerate(series, 1):
        window = last_count(series[:n], count)
        found = indicator.update(price)
        assert agrees(found, None if window is None else formula(window), absolute=1e-8)
        assert found == indicator.value
        assert indicator.ready == (n >= count)


@pytest.mark.parametrize(("kind", "formula"), PLAIN)
@given(ticks, windows_s)
def test_window_of_time_reads_the_formula_of_the_values_in_it(
    kind: Any, formula: Callable[[list[float]], float], steps: Any, window_s: float
) -> None:
    indicator, series = kind(window_s=window_s), timed(steps)
    for n, (ts, price) in enumerate(series, 1):
        window = last_seconds(series[:n], window_s)
        found = indicator.update(price, ts)
        assert agrees(found, None if window is None else formula(window), absolute=1e-8)


@given(ticks, counts)
def test_sma_is_the_mean_of_its_last_values(steps: Any, count: int) -> None:
    sma, plain = Sma(count), RollingMean(count=count)
    for price, _ in steps:
        assert sma.update(price) == plain.update(price)


@given(st.lists(st.tuples(prices, st.floats(0, 1e6), steps_ns), min_size=1), counts, windows_s)
def test_vwap_weighs_prices_by_size(steps: Any, count: int, window_s: float) -> None:
    def formula(window: list[Any] | None) -> float | None:
        if window is None or not math.fsum(size for _, size in window):
            return None
        notional = math.fsum(price * size for price, size in window)
        return notional / math.fsum(size for _, size in window)

    series = timed([((price, size), step) for price, size, step in steps])
    by_count, by_time = Vwap(count=count), Vwap(window_s=window_s)
    for n, (ts, (price, size)) in enumerate(series, 1):
        assert agrees(by_count.update(price, size), formula(last_count(series[:n], count)))
        expected = formula(last_seconds(series[:n], window_s))
        assert agrees(by_time.update(price, size, ts), expected)


@given(ticks, counts, windows_s)
def test_velocity_compares_with_the_price_of_then(steps: Any, count: int, window_s: float) -> None:
    series = timed(steps)
    by_count, by_time = Velocity(count=count), Velocity(window_s=window_s)
    for n, (ts, price) in enumerate(series):
        then = series[n - count][1] if n >= count else None
        expected = None if then is None else (price - then) / then * 10_000
        assert agrees(by_count.update(price), expected, absolute=1e-8)
        old = [p for t, p in series[: n + 1] if t <= ts - int(window_s * SECOND)]
        expected = (price - old[-1]) / old[-1] * 10_000 if old else None
        assert agrees(by_time.update(price, ts), expected, absolute=1e-8)


@given(ticks, counts)
def test_ema_of_a_count_weighs_each_value_less_the_older_it_is(steps: Any, count: int) -> None:
    ema, series, alpha = Ema(count=count), timed(steps), 2 / (count + 1)
    for n, (_, price) in enumerate(series, 1):
        values = [p for _, p in series[:n]]
        weights = [alpha * (1 - alpha) ** age for age in range(n - 1)] + [(1 - alpha) ** (n - 1)]
        expected = math.fsum(w * p for w, p in zip(weights, reversed(values), strict=True))
        assert agrees(ema.update(price), expected if n >= count else None)


@given(ticks, windows_s)
def test_ema_of_time_weighs_by_age_in_seconds(steps: Any, window_s: float) -> None:
    ema, series = Ema(window_s=window_s), timed(steps)
    for n, (ts, price) in enumerate(series):
        # What is left of a value is what was not yet faded, less what had faded when it came.
        fades = [math.exp(-(ts - t) / (window_s * SECOND)) for t, _ in series[: n + 1]]
        begins = [0.0, *fades[:-1]]
        weighed = [(f - b) * p for f, b, (_, p) in zip(fades, begins, series, strict=False)]
        is_full = ts - series[0][0] >= int(window_s * SECOND)
        expected = math.fsum(weighed) if is_full else None
        assert agrees(ema.update(price, ts), expected, absolute=1e-6)


def wilder(values: list[float], count: int) -> float | None:
    """Wilder's own words: the mean of the first, then (the last one x (n - 1) + the new) / n."""
    if len(values) < count:
        return None
    average = mean(values[:count])
    for value in values[count:]:
        average = (average * (count - 1) + value) / count
    return average


@given(st.lists(prices, min_size=1, max_size=60), counts)
def test_rsi_is_the_share_of_gains(values: list[float], count: int) -> None:
    rsi = Rsi(count)
    for n, value in enumerate(values, 1):
        changes = [b - a for a, b in pairwise(values[:n])]
        gain = wilder([max(0.0, change) for change in changes], count)
        loss = wilder([max(0.0, -change) for change in changes], count)
        expected = None
        if gain is not None and loss is not None:
            expected = 50.0 if gain == loss == 0 else 100 - 100 / (1 + gain / loss) if loss else 100
        assert agrees(rsi.update(value), expected, absolute=1e-6)


@given(st.lists(st.tuples(prices, prices, prices), min_size=1, max_size=40), counts)
def test_atr_is_the_average_true_range(bars: list[tuple[float, ...]], count: int) -> None:
    atr, ranges = Atr(count), list[float]()
    before: float | None = None
    for bar in bars:
        low, close, high = sorted(bar)
        reach = [high - low]
        if before is not None:
            reach += [abs(high - before), abs(low - before)]
        ranges.append(max(reach))
        before = close
        assert agrees(atr.update(high, low, close), wilder(ranges, count), absolute=1e-6)


@given(st.lists(prices, min_size=5, max_size=30), st.sampled_from([1e300, math.inf, math.nan]))
def test_what_left_the_window_leaves_no_trace(values: list[float], monster: float) -> None:
    for kind, formula in PLAIN:
        indicator = kind(count=5)
        indicator.update(monster)
        for value in values:
            indicator.update(value)
        assert agrees(indicator.value, formula(values[-5:]), absolute=1e-8)


def test_small_moves_of_a_large_price_are_not_lost() -> None:
    deviation_of_one = RollingStd(count=4)
    for price in (1e9 + 1, 1e9 - 1, 1e9 + 1, 1e9 - 1):
        deviation_of_one.update(price)
    assert deviation_of_one.value == pytest.approx(1, rel=1e-6)


def test_time_that_steps_back_counts_as_the_last_one() -> None:
    total = RollingSum(window_s=1)
    for ts in (NOW, NOW + SECOND, NOW + SECOND // 2):
        total.update(1.0, ts)
    assert total.value == 2, "the first one left, the late one counts at the last one's time"


def test_a_long_series_costs_constant_work_per_update(monkeypatch: pytest.MonkeyPatch) -> None:
    merges = 0

    def add(a: tuple[int, float], b: tuple[int, float]) -> tuple[int, float]:
        nonlocal merges
        merges += 1
        return a[0] + b[0], a[1] + b[1]

    monkeypatch.setattr(indicators, "_add_counted", add)
    average = RollingMean(count=1_000)
    for n in range(20_000):
        average.update(float(n))
    assert merges <= 3 * 20_000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (RollingMean, "give exactly one"),
        (lambda: RollingMean(count=3, window_s=1), "give exactly one"),
        (lambda: Ema(count=0), "count = 0: must be 1 or more"),
        (lambda: Velocity(count=0), "count = 0: must be 1 or more"),
        (lambda: Rsi(0), "count = 0: must be 1 or more"),
        (lambda: Velocity(window_s=-1), "window_s = -1"),
        (lambda: RollingStd(window_s=math.inf), "window_s = inf"),
    ],
)
def test_window_that_makes_no_sense_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
