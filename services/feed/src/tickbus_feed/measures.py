"""What is read of the feed's books when somebody scrapes."""

from collections import Counter
from collections.abc import Iterator

from tickbus.events import FeedState
from tickbus.runtime import Reading
from tickbus_feed.core import FeedCore


def measure(core: FeedCore, now_ns: int) -> Iterator[Reading]:
    """Instruments by state, and how old the book is that was heard of longest ago.

    A book is as old as its last change, or as the venue's word that there was none since.
    """
    states = Counter(core.states.values())
    for state in FeedState:
        yield Reading("instruments", states[state], {"state": state.value})
    heard = [
        max(sync.ts_diff, sync.ts_whole, sync.ts_confirmed)
        for sync in core.syncs.values()
        if sync.synced
    ]
    yield Reading("book_age_seconds_max", max(0, now_ns - min(heard, default=now_ns)) / 1e9)
    yield Reading("frames_rejected_total", core.rejected)
