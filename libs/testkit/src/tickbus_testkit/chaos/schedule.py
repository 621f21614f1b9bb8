"""What goes wrong when, drawn by a seed."""

import random
from collections.abc import Sequence
from typing import NamedTuple

KILL_EVERY_S = 8.5
FAULT_EVERY_S = 17.0
PAUSE_EVERY_S = 25.0
ACT_EVERY_S = 20.0
OUTAGE_S = 120.0
"""For how long the database is away, once, in a run that is long enough for it."""
OUTAGE_NEEDS_S = 240.0
QUIET_S = 6.0
"""No fault begins in the first and the last seconds: it would not meet the load."""


class Blow(NamedTuple):
    """One thing that goes wrong, `at_s` after the load began, for `lasts_s` where that matters.

    `where` is the exchange that a fault of a venue is for.
    """

    at_s: float
    what: str
    lasts_s: float = 0.0
    where: str = "exchange"


def schedule(
    seed: int, seconds: float, services: Sequence[str], faults: Sequence[str],
    acts: Sequence[str] = (), exchanges: Sequence[str] = ("exchange",),
) -> list[Blow]:  # fmt: skip
    """The same for the same arguments: services killed and paused, faults, and acts of a venue."""
    rng = random.Random(seed)
    blows: list[Blow] = []
    for every_s, kinds in (
        (KILL_EVERY_S, [f"kill {name}" for name in services]),
        (FAULT_EVERY_S, list(faults)),
        # Stands still and wakes up later, without knowing of it.
        (PAUSE_EVERY_S, [f"pause {name}" for name in services]),
        (ACT_EVERY_S, list(acts)),
    ):
        if not kinds:
            continue
        count = max(1, int((seconds - 2 * QUIET_S) / every_s))
        # Each once before any comes again: a short run meets all of them, too.
        drawn = [kind for _ in range(count // len(kinds) + 1) for kind in _shuffled(rng, kinds)]
        for number in range(count):
            at_s = QUIET_S + (number + rng.random()) * (seconds - 2 * QUIET_S) / count
            lasts_s = rng.uniform(0.5, 4.0)
            where = rng.choice(exchanges) if len(exchanges) > 1 else exchanges[0]
            blows.append(Blow(round(at_s, 2), drawn[number], round(lasts_s, 2), where))
    if seconds >= OUTAGE_NEEDS_S:
        at_s = QUIET_S + rng.random() * (seconds - OUTAGE_S - 2 * QUIET_S)
        blows.append(Blow(round(at_s, 2), "postgres", OUTAGE_S))
    return sorted(blows)


def _shuffled(rng: random.Random, kinds: Sequence[str]) -> list[str]:
    return rng.sample(list(kinds), len(kinds))
