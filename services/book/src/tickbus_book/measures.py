"""What is read of the books when somebody scrapes; by venue, as a venue may have thousands."""

from collections.abc import Iterator

from tickbus.runtime import Reading
from tickbus_book.core import BookCore

NAMED_MAX = 50
"""Books in doubt that are told by name, of each venue."""


def measure(core: BookCore, now_ns: int) -> Iterator[Reading]:
    """Books by venue: how many, how many in doubt or crossed, and the oldest that is believed.

    A book is as old as its last change, or as its feed's last word that it is still so.
    """
    for venue, views in core.by_venue().items():
        labels = {"venue": venue}
        stale = [view for view in views if view.stale]
        ages_ns = [now_ns - view.ts_event for view in views if not view.stale]
        yield Reading("books", len(views), labels)
        yield Reading("books_stale", len(stale), labels)
        yield Reading("books_crossed", sum(view.crossed for view in views), labels)
        yield Reading("book_age_seconds_max", max(0, max(ages_ns, default=0)) / 1e9, labels)
        for view in stale[:NAMED_MAX]:
            yield Reading("book_stale", 1, {**labels, "instrument": view.instrument_id})
    yield Reading("gaps_total", core.gaps)
