"""A tracer whose spans stay in memory, for tests of what one service tells."""

from collections.abc import Sequence

from tickbus.runtime import Telemetry
from tickbus.traces.spans import Span
from tickbus.traces.tracer import Tracer


class KeptSpans:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def is_wanted(self, trace_id: str) -> bool:
        """Every trace is."""
        return bool(trace_id)

    def export(self, spans: Sequence[Span]) -> bool:
        """Keep `spans`."""
        self.spans += spans
        return True

    def shutdown(self) -> None:
        """Nothing is under way."""

    def named(self, name: str) -> Span:
        """The one span of that name. Raises ValueError where there is not one."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def a_tracer(service: str) -> tuple[Tracer, KeptSpans]:
    """A tracer that makes its spans when it is stopped, and where they are then."""
    kept = KeptSpans()
    tracer = Tracer(service, Telemetry(service), lambda: kept, every_s=60)
    tracer.start()
    return tracer, kept
