"""Waiting times between retries: exponential, capped, with full jitter."""

import random
from collections.abc import Iterator


def delays_s(first_s: float = 0.1, cap_s: float = 10.0, factor: float = 2.0) -> Iterator[float]:
    """Endless delays in seconds, each between half of the current ceiling and all of it."""
    ceiling = first_s
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(cap_s, ceiling * factor)
