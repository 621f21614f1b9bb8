"""What traces are told of the books: when an event came, and when it was there for good."""

from typing import NamedTuple

from tickbus.codec import Hop
from tickbus.events import Event
from tickbus.runtime import Context


class Folded(NamedTuple):
    """An event that the books took in and that is not committed yet."""

    event: Event
    hops: tuple[Hop, ...]
    ts_recv: int


class Recorded:
    """The events of the batch in hand; keeps nothing where nobody traces.

    As many wait here as in the core, which is bounded by `buffer_events_max`.
    """

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._tracer = context.tracer
        self._folded: list[Folded] = []

    def folded(self, event: Event, hops: tuple[Hop, ...], ts_recv: int) -> None:
        """`event` will be in the next batch."""
        if self._tracer is not None:
            self._folded.append(Folded(event, hops, ts_recv))

    def take(self) -> list[Folded]:
        """What belongs to the batch that is taken now."""
        folded, self._folded = self._folded, []
        return folded

    def written(self, batch: list[Folded]) -> None:
        """`batch` is committed."""
        if self._tracer is not None:
            now = self._clock.now_ns()
            for event, hops, ts_recv in batch:
                self._tracer.booked(event, hops, ts_recv, now)
