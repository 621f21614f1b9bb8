"""Whether the machine stood still while a test ran: what is late then is nobody's fault.

A machine that tests share may give them nothing for seconds. Services that wait for each other say
so in their errors, and heal; a test that wants none asks first whether there was such a time.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

LOOK_S = 0.05
LONG_S = 0.5
"""What is a long time for a thread that only sleeps; the shortest patience of a service is 1 s."""
OF_SLOWNESS = frozenset(
    {
        "account_disconnected", "api_session_lost", "clock_not_measured", "comparison_failed",
        "decision_not_told", "disconnected", "instruments_not_refreshed", "lease_away",
        "lease_not_renewed", "log_lines_not_told", "market_data_dropped",
        "messages_lost_by_being_slow", "postgres_away", "query_put_off", "renewed", "resubscribed",
        "snapshot_failed", "snapshot_not_kept", "strategy_state_not_kept", "venue_disconnected",
    }
)  # fmt: skip
"""Errors that a service counts when it, or whom it asks, had no time to answer."""


class Stillness:
    """For how long at most, in seconds, a thread did not run that wanted to."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    def blamed(self, errors: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """The `errors` by service that no time without a machine explains."""
        excused = OF_SLOWNESS if self.longest_s > LONG_S else frozenset[str]()
        left = {
            service: {kind: n for kind, n in kinds.items() if kind not in excused}
            for service, kinds in errors.items()
        }
        return {service: kinds for service, kinds in left.items() if kinds}


@contextmanager
def watching() -> Iterator[Stillness]:
    """Look all the time, in a thread, whether the machine goes on."""
    found, ended = Stillness(), threading.Event()

    def look() -> None:
        before = time.monotonic()
        while not ended.wait(LOOK_S):
            now = time.monotonic()
            found.longest_s = max(found.longest_s, now - before - LOOK_S)
            before = now

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(10)
