"""Which strategies have fallen silent, measured so that a dead bus is not taken for their death.

Risk hears its own heartbeat over the same bus. A strategy is silent for as long as risk has gone on
hearing itself and not the strategy; when risk did not hear itself either, everybody gets the whole
time-out again. A process that is replaced says so before it goes, and has longer to come back; so
has one that risk, which may be replaced at the same time, has not heard since its own start.
"""

from decimal import Decimal

SECOND_NS = 1_000_000_000
OWN_GAP_NS = 3 * SECOND_NS
"""Without its own heartbeat for so long, risk was cut off itself."""


class Heartbeats:
    """Who was heard when; times are ns UTC, as the events' `ts_recv`."""

    def __init__(self) -> None:
        self.lost: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._left: set[str] = set()
        self._since = 0
        self._own = 0

    def begin(self, now_ns: int) -> None:
        """Risk is live: every silence is counted from here at the earliest."""
        self._since = self._own = now_ns

    def hear_own(self, now_ns: int) -> None:
        """Risk has heard itself."""
        if now_ns - self._own > OWN_GAP_NS:
            self._since = now_ns
        self._own = max(self._own, now_ns)

    def hear(self, strategy_id: str, now_ns: int, leaves: bool = False) -> int | None:
        """A strategy is alive; how long it had been silent (ns) if it had been lost, else None."""
        if leaves:
            self._left.add(strategy_id)
        else:
            self._left.discard(strategy_id)
        before = self._heard.get(strategy_id, self._since)
        self._heard[strategy_id] = max(before, now_ns)
        return None if self.lost.pop(strategy_id, None) is None else now_ns - before

    def known(self) -> list[str]:
        """Every strategy that was ever heard."""
        return list(self._heard)

    def silent_ns(self, strategy_id: str) -> int:
        """For how long nothing was heard of the strategy while the bus worked."""
        return self._own - max(self._heard.get(strategy_id, 0), self._since)

    def is_replaced(self, strategy_id: str) -> bool:
        """Whether its process said that it leaves, or was not heard since risk's own start."""
        return strategy_id in self._left or strategy_id not in self._heard

    def lose(self, strategy_id: str, allowed_s: Decimal) -> int | None:
        """How long it has been silent (ns) if it is lost from now on, else None; 0: never."""
        if not allowed_s or strategy_id in self.lost:
            return None
        silent = self.silent_ns(strategy_id)
        if silent <= allowed_s * SECOND_NS:
            return None
        self.lost[strategy_id] = silent
        return silent
