"""Indicators that strategies feed one value at a time, each update in O(1) amortized.

Every indicator has `update(...)`, which takes the next value and gives the new reading; `value`,
the reading, None until `ready`; and a window, given either as `count` (so many updates) or as
`window_s` (seconds of event time). A window by time reaches from now back to, but not including,
now minus `window_s`; it is ready once the first update lies a whole window back. `ts_ns` is only
looked at by windows of time; a time before the last one counts as the last one.

What leaves a window leaves no trace: nothing is ever subtracted, so that neither rounding errors
nor an infinite or undefined value outlive the values that they came with.
"""

import math
import operator
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

BPS = 10_000
SECOND_NS = 1_000_000_000

A = TypeVar("A")
Merge = Callable[[float, float], float]


class _Window:
    """How far back an indicator looks: `count` updates or `window_s` seconds, exactly one."""

    def __init__(self, count: int | None, window_s: float | None) -> None:
        if (count is None) == (window_s is None):
            raise ValueError(f"count = {count}, window_s = {window_s}: give exactly one of them")
        if window_s is not None and not 1 / SECOND_NS <= window_s < math.inf:
            raise ValueError(f"window_s = {window_s}: must be seconds, a nanosecond or more")
        self.count = None if count is None else _at_least_one(count)
        self.window_ns = 0 if window_s is None else int(window_s * SECOND_NS)
        self._seen = 0
        self._ts_first = 0
        self._ts_last = 0

    def see(self, ts_ns: int) -> int:
        """Count one update; gives its time, which never runs backwards."""
        if not self._seen:
            self._ts_first = self._ts_last = ts_ns
        self._seen += 1
        self._ts_last = max(self._ts_last, ts_ns)
        return self._ts_last

    @property
    def is_full(self) -> bool:
        """Whether a whole window was seen."""
        if self.count is not None:
            return self._seen >= self.count
        return self._ts_last - self._ts_first >= self.window_ns


class _Rolling(Generic[A]):
    """Merges what is in a window with an associative `merge`, without ever taking anything out.

    Two stacks make a queue: new values are merged into one running whole; when the older stack is
    used up, the newer is turned over into it, each entry merged with all behind it. So every value
    is merged twice in its life, and an update costs O(1) amortized.
    """

    def __init__(
        self, merge: Callable[[A, A], A], count: int | None, window_s: float | None
    ) -> None:
        self.window = _Window(count, window_s)
        self._merge = merge
        self._older: list[tuple[int, A]] = []  # oldest last, each merged with all newer of the list
        self._newer: list[tuple[int, A]] = []  # newest last
        self._newest: A | None = None  # all of `_newer`, merged

    def push(self, value: A, ts_ns: int) -> A:
        """Take the next value, forget what left the window; gives all in it, merged."""
        now = self.window.see(ts_ns)
        self._newer.append((now, value))
        self._newest = value if self._newest is None else self._merge(self._newest, value)
        while self._is_too_old(now):
            if not self._older:
                self._turn_over()
            self._older.pop()
        if not self._older:
            return self._newest
        oldest = self._older[-1][1]
        return oldest if self._newest is None else self._merge(oldest, self._newest)

    def _is_too_old(self, now: int) -> bool:
        count = self.window.count
        if count is not None:
            return len(self._older) + len(self._newer) > count
        oldest = self._older[-1] if self._older else self._newer[0]
        return oldest[0] <= now - self.window.window_ns

    def _turn_over(self) -> None:
        whole: A | None = None
        while self._newer:
            ts, value = self._newer.pop()
            whole = value if whole is None else self._merge(value, whole)
            self._older.append((ts, whole))
        self._newest = None


class Indicator:
    """What all have: a reading, None until it is ready."""

    value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a reading."""
        return self.value is not None


class _RollingMerge(Indicator):
    """What a plain merge of the values in the window gives."""

    _merge: ClassVar[Merge]

    def __init__(self, *, count: int | None = None, window_s: float | None = None) -> None:
        self._rolling: _Rolling[float] = _Rolling(type(self)._merge, count, window_s)

    def update(self, value: float, ts_ns: int = 0) -> float | None:
        """Take the next value."""
        merged = self._rolling.push(value, ts_ns)
        self.value = merged if self._rolling.window.is_full else None
        return self.value


class RollingSum(_RollingMerge):
    """The sum of the values in the window."""

    _merge: ClassVar[Merge] = operator.add


class RollingMax(_RollingMerge):
    """The highest value in the window."""

    _merge: ClassVar[Merge] = max


class RollingMin(_RollingMerge):
    """The lowest value in the window."""

    _merge: ClassVar[Merge] = min


class RollingMean(Indicator):
    """The mean of the values in the window; each update weighs the same, however long it stood."""

    def __init__(self, *, count: int | None = None, window_s: float | None = None) -> None:
        self._rolling: _Rolling[tuple[int, float]] = _Rolling(_add_counted, count, window_s)

    def update(self, value: float, ts_ns: int = 0) -> float | None:
        """Take the next value."""
        count, total = self._rolling.push((1, value), ts_ns)
        self.value = total / count if self._rolling.window.is_full else None
        return self.value


class Sma(RollingMean):
    """The simple moving average: the mean of the last `count` values."""

    def __init__(self, count: int) -> None:
        super().__init__(count=count)


class RollingStd(Indicator):
    """The standard deviation of the values in the window, as of a whole population (divided by n).

    Kept as means and squared distances from them (Chan, Golub, LeVeque 1979), so that small moves
    of large prices are not lost, as they are in a difference of sums of squares.
    """

    def __init__(self, *, count: int | None = None, window_s: float | None = None) -> None:
        self._rolling: _Rolling[_Moments] = _Rolling(_merge_moments, count, window_s)

    def update(self, value: float, ts_ns: int = 0) -> float | None:
        """Take the next value."""
        count, _, distances = self._rolling.push((1, value, 0.0), ts_ns)
        self.value = math.sqrt(distances / count) if self._rolling.window.is_full else None
        return self.value


class Vwap(Indicator):
    """The average price in the window, weighted by size; None also while nothing has a size."""

    def __init__(self, *, count: int | None = None, window_s: float | None = None) -> None:
        self._rolling: _Rolling[tuple[float, float]] = _Rolling(_add_both, count, window_s)

    def update(self, price: float, size: float, ts_ns: int = 0) -> float | None:
        """Take the next trade; `size` is not below 0."""
        notional, total = self._rolling.push((price * size, size), ts_ns)
        full = self._rolling.window.is_full and total > 0
        self.value = notional / total if full else None
        return self.value


class Velocity(Indicator):
    """The change of a price over the window, in basis points; negative when it fell.

    By `count` the price is compared with the one of so many updates ago; by `window_s` with the
    last one at or before the window's begin, which is what the price was then.
    """

    def __init__(self, *, count: int | None = None, window_s: float | None = None) -> None:
        # The price of `count` updates ago is one more than `count` prices.
        self._window = _Window(None if count is None else _at_least_one(count) + 1, window_s)
        self._prices: deque[tuple[int, float]] = deque()

    def update(self, price: float, ts_ns: int = 0) -> float | None:
        """Take the next price, which is above 0."""
        now, prices = self._window.see(ts_ns), self._prices
        prices.append((now, price))
        if self._window.count is not None:
            if len(prices) > self._window.count:
                prices.popleft()
        else:
            begin = now - self._window.window_ns
            while len(prices) > 1 and prices[1][0] <= begin:
                prices.popleft()
        self.value = (price / prices[0][1] - 1) * BPS if self._window.is_full else None
        return self.value


class Ema(Indicator):
    """The exponential moving average, beginning with the first value.

    By `count` a new value weighs 2 / (count + 1). By `window_s` what is old fades by the factor e
    per window, however many updates came meanwhile: a new value weighs 1 - exp(-dt / window_s).
    """

    def __init__(self, *, count: int | None = None, window_s: float | None = None) -> None:
        self._window = _Window(count, window_s)
        self._average: float | None = None
        self._ts_last = 0

    def update(self, value: float, ts_ns: int = 0) -> float | None:
        """Take the next value."""
        now = self._window.see(ts_ns)
        if self._average is None:
            self._average = value
        else:
            self._average += self._weight(now) * (value - self._average)
        self._ts_last = now
        self.value = self._average if self._window.is_full else None
        return self.value

    def _weight(self, now: int) -> float:
        if self._window.count is not None:
            return 2 / (self._window.count + 1)
        return -math.expm1((self._ts_last - now) / self._window.window_ns)


class Rsi(Indicator):
    """The relative strength index over `count` changes (Wilder 1978), from 0 to 100.

    50 while nothing moves. The first reading is from plain means of `count` changes; after that a
    new change weighs 1 / count.
    """

    def __init__(self, count: int = 14) -> None:
        self._gains, self._losses = _Wilder(count), _Wilder(count)
        self._last: float | None = None

    def update(self, value: float) -> float | None:
        """Take the next value."""
        last, self._last = self._last, value
        if last is None:
            return None
        gain = self._gains.update(max(0.0, value - last))
        loss = self._losses.update(max(0.0, last - value))
        if gain is not None and loss is not None:
            self.value = 100 * gain / (gain + loss) if gain + loss > 0 else 50.0
        return self.value


class Atr(Indicator):
    """The average true range over `count` bars (Wilder 1978), in units of price.

    The true range of a bar is its own range, stretched to the close before it; the first bar has
    none before it. The first reading is a plain mean; after that a new bar weighs 1 / count.
    """

    def __init__(self, count: int = 14) -> None:
        self._average = _Wilder(count)
        self._close: float | None = None

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next bar."""
        before = close if self._close is None else self._close
        self._close = close
        self.value = self._average.update(max(high, before) - min(low, before))
        return self.value


class _Wilder:
    """The mean of the first `count` values; after that each new one weighs 1 / count."""

    def __init__(self, count: int) -> None:
        self._count = _at_least_one(count)
        self._seen = 0
        self._average = 0.0

    def update(self, value: float) -> float | None:
        self._seen += 1
        # While there are fewer than `count`, weighing 1 / seen makes this the plain mean.
        self._average += (value - self._average) / min(self._seen, self._count)
        return self._average if self._seen >= self._count else None


def _at_least_one(count: int) -> int:
    if count < 1:
        raise ValueError(f"count = {count}: must be 1 or more")
    return count


_Moments = tuple[int, float, float]
"""How many values, their mean, and the sum of their squared distances from it."""


def _merge_moments(a: _Moments, b: _Moments) -> _Moments:
    count = a[0] + b[0]
    apart = b[1] - a[1]
    mean = a[1] + apart * b[0] / count
    return count, mean, a[2] + b[2] + apart * apart * a[0] * b[0] / count


def _add_counted(a: tuple[int, float], b: tuple[int, float]) -> tuple[int, float]:
    return a[0] + b[0], a[1] + b[1]


def _add_both(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return a[0] + b[0], a[1] + b[1]
