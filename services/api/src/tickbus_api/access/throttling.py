"""How often somebody may try: back-off after failed logins, and a rate for each key and user.

Pure: the time is an argument (ns UTC). What is remembered is bounded; the oldest is forgotten
first.
"""

from collections import OrderedDict
from typing import NamedTuple

NAMES_MAX = 10_000
FORGET_AFTER_NS = 3600 * 1_000_000_000
NS_PER_S = 1_000_000_000


class _Failures(NamedTuple):
    times: int
    last_ns: int
    until_ns: int


class Backoff:
    """After `free` failures of a name each further one doubles the wait, from 1 s up to `max_s`."""

    def __init__(self, free: int, max_s: int) -> None:
        self._free = free
        self._max_s = max_s
        self._names: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, name: str, now_ns: int) -> float:
        """How long `name` still has to wait, 0 when it need not."""
        found = self._names.get(name)
        return max(0.0, (found.until_ns - now_ns) / NS_PER_S) if found else 0.0

    def failed(self, name: str, now_ns: int) -> None:
        """`name` failed once more."""
        found = self._names.pop(name, _Failures(0, now_ns, 0))
        count = 1 if now_ns - found.last_ns > FORGET_AFTER_NS else found.times + 1
        over = count - self._free
        wait_s = min(self._max_s, 2 ** min(over - 1, 30)) if over > 0 else 0
        self._names[name] = _Failures(count, now_ns, now_ns + wait_s * NS_PER_S)
        if len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """`name` showed who it is: nothing is held against it."""
        self._names.pop(name, None)


class Allowance(NamedTuple):
    """What a name may still do: `wait_s` is 0 when it may go on, `reset_s` until all is back."""

    limit: int
    remaining: int
    wait_s: float
    reset_s: float


class Rates:
    """Per name a bucket of `burst` requests that fills with `rate_per_s`."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._names: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, name: str, now_ns: int) -> Allowance:
        """Count one request of `name`, unless it must wait."""
        level, last_ns = self._names.pop(name, (float(self._burst), now_ns))
        passed_s = max(0, now_ns - last_ns) / NS_PER_S
        level = min(float(self._burst), level + passed_s * self._rate_per_s)
        wait_s = 0.0 if level >= 1 else (1 - level) / self._rate_per_s
        if level >= 1:
            level -= 1
        self._names[name] = (level, max(now_ns, last_ns))
        if len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)
        reset_s = (self._burst - level) / self._rate_per_s
        return Allowance(self._burst, int(level), wait_s, reset_s)
