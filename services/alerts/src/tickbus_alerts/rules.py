"""A rule: what it looks for, whom it tells, and how it keeps quiet."""

from decimal import Decimal
from fnmatch import fnmatchcase

import msgspec

from tickbus.alerts_api import Severity

NS_PER_S = 1_000_000_000


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in force.

    `wait_s`: what happens at a moment is gathered for so long and told together; what lasts must
    have lasted so long. `cooldown_s`: so long after it was told, more of the same is only counted.
    `at_least`: what happens at moments is told only if it happened so often while it was gathered.
    `channels` None is all of them, () the log alone. The rest are filters: patterns with `*` of
    which one must match, () matches everything. `share` is the part of a limit that is used,
    `notional_min` in quote currency.
    """

    name: str
    when: str
    enabled: bool
    severity: Severity
    wait_s: float
    cooldown_s: float
    at_least: int = 1
    channels: tuple[str, ...] | None = None
    strategies: tuple[str, ...] = ()
    venues: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    share: Decimal = Decimal("0.8")
    notional_min: Decimal = Decimal(0)

    @property
    def wait_ns(self) -> int:
        """`wait_s` in ns."""
        return int(self.wait_s * NS_PER_S)

    @property
    def cooldown_ns(self) -> int:
        """`cooldown_s` in ns."""
        return int(self.cooldown_s * NS_PER_S)


def matches(patterns: tuple[str, ...], value: str) -> bool:
    """Whether `value` is what a filter lets through; without patterns it lets all."""
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
