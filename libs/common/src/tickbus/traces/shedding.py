"""Which traces are told of where more orders come than can be: the same ones in every service.

Consumes: how many notes wait, and how busy the thread was. Produces: whether a trace is kept.
Invariants: whether a trace is kept follows from its id and the number of steps alone; what is kept
at some steps is kept at fewer.
"""

STEPS_MAX = 12
STEPS_WHEN_FULL = 3
"""At once, where notes were dropped already."""
RECOVER_S = 10.0
"""For how long the thread must have little to do before twice as much is told."""
LITTLE = 0.4
"""Of what it may do; twice that still leaves room."""
DIGITS = 4
"""Of the trace id, its first; `OTEL_TRACES_SAMPLER` goes by the last 16."""
RANKS = 16**DIGITS


class Shedding:
    """Keeps one trace in `2 ** steps`, by its id.

    A service goes by what waits in its own queue, and asks nobody. Since the kept are nested, what
    the service with most to do keeps is kept by all others.
    """

    def __init__(self, notes_many: int, recover_s: float = RECOVER_S) -> None:
        self.steps = 0
        self._notes_many = notes_many
        self._recover_s = recover_s
        self._below = RANKS
        self._waiting = 0
        self._busy_s = self._lasted_s = 0.0

    def keeps(self, trace_id: str) -> bool:
        """Whether the trace is told of."""
        return not self.steps or int(trace_id[:DIGITS], 16) < self._below

    def look(self, waiting: int, is_full: bool, busy_s: float, lasted_s: float) -> bool:
        """Choose the steps; whether they are others now.

        `waiting` notes are there, and `is_full` when some had no room since the last look. Of the
        `lasted_s` seconds since then `busy_s` were needed for what was told.
        """
        before, self._waiting, earlier = self.steps, waiting, self._waiting
        self._busy_s += busy_s
        self._lasted_s += lasted_s
        if waiting > self._notes_many and (is_full or waiting >= earlier):
            self._to(before + (STEPS_WHEN_FULL if is_full else 1))
        elif waiting > self._notes_many // 4:
            self._to(before)
        elif self._lasted_s >= self._recover_s:
            self._to(before - (self._busy_s < LITTLE * self._lasted_s))
        return self.steps != before

    def _to(self, steps: int) -> None:
        self.steps = min(max(steps, 0), STEPS_MAX)
        self._below = RANKS >> self.steps
        self._busy_s = self._lasted_s = 0.0
