"""Notes leave the hot path: a bounded queue, and a thread that makes spans and sends them."""

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tickbus.codec import Hop
from tickbus.events import Event
from tickbus.runtime.telemetry import Telemetry
from tickbus.traces.notes import Booked, Called, Heard, Note, Said, Sent
from tickbus.traces.orders import BOOKED, HEARD, PLACERS, SAID, OrderTraces, orders_of
from tickbus.traces.shedding import Shedding
from tickbus.traces.spans import Span
from tickbus.tracing import is_wanted, trace_id_of

PREFIX = "OTEL_"
TELLERS = ("api", "strategy", "risk", "router", "execution", "ledger")
NOTES_MAX = 10_000
"""Notes that wait for the thread; with more the newest are counted and dropped."""
NOTES_AT_ONCE = 200
LOOKS_AT_ONCE = 2_000
"""Notes that are looked at for those of kept traces; to pass over one takes 1.6 us."""
EVERY_S = 0.25
CPU_SHARE = 0.005
"""What of one processor the thread may take: some 50 orders a second, and as a burst half of what
`NOTES_MAX` holds. Of more than it can do in that whole traces are left out (`Shedding`), the same
ones in each of the six services that have such a thread.
"""
SWITCH_S = 0.0002
"""How long the thread may keep the interpreter from the event loop; Python's own is 25 times it."""
DROPPED, SHED = "trace_notes_dropped", "trace_notes_shed"
ERRORS = (DROPPED, SHED, "spans_lost", "tracing_broken", "tracing_not_started")
STOP_S = 3.0
"""For what is left at the end; then it is dropped."""

log = logging.getLogger("tickbus.traces")


class Exporter(Protocol):
    """Where spans go; called by one thread alone, except for `shutdown`."""

    def is_wanted(self, trace_id: str) -> bool:
        """Whether the trace is to be told of."""
        ...

    def export(self, spans: Sequence[Span]) -> bool:
        """Send `spans`; False when they were not taken."""
        ...

    def shutdown(self) -> None:
        """Give up what is being sent."""
        ...


class Tracer:
    """Takes the notes of one service and exports its part of the orders' traces.

    To note something costs the caller a bounded append, whatever the collector does. Where more
    comes than the thread may tell, the notes of some traces are left out (`trace_notes_shed`);
    where the queue is full all the same notes are dropped (`trace_notes_dropped`), what the
    collector does not take is lost (`spans_lost`). All are counted among the service's errors, and
    nothing waits for them.
    """

    def __init__(
        self, service: str, telemetry: Telemetry, connect: Callable[[], Exporter],
        *, every_s: float = EVERY_S, notes_max: int = NOTES_MAX, shedding: Shedding | None = None,
    ) -> None:  # fmt: skip
        self._telemetry = telemetry
        self._connect = connect
        self._every_s = every_s
        self._notes_max = notes_max
        self._notes: deque[Note] = deque()
        self._shedding = shedding or Shedding(max(notes_max // 2, NOTES_AT_ONCE))
        self._orders = OrderTraces(service)
        self._places = service in PLACERS
        self._stopping = threading.Event()
        self._exporter: Exporter | None = None
        self._dropped = 0
        self._is_away = self._is_broken = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    @classmethod
    def of(
        cls, environment: Mapping[str, str], service: str, instance: str, telemetry: Telemetry
    ) -> "Tracer | None":
        """As the standard variables in `environment` say; None where no collector is named.

        None also for a service that has nothing to tell of orders.

        The exporter reads the process's own environment, so what else `environment` has of them
        (from a `.env` file) is put there; an empty variable counts as none.
        """
        if service not in TELLERS or not is_wanted(environment):
            return None
        for name, value in environment.items():
            if name.startswith(PREFIX) and value:
                os.environ[name] = value
            elif name.startswith(PREFIX):
                os.environ.pop(name, None)

        def connect() -> Exporter:
            from tickbus.traces.otlp import OtlpExporter

            return OtlpExporter(service, instance)

        # It says the same thing at every attempt; what is lost is counted, and said once.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        return cls(service, telemetry, connect)

    # -- on the hot path ---------------------------------------------------------------------------

    def note(self, note: Note) -> None:
        """Keep `note` for the thread; dropped and counted where too many wait."""
        if len(self._notes) >= self._notes_max:
            self._telemetry.error(DROPPED)
            return
        self._notes.append(note)

    def said(self, event: Event, hops: tuple[Hop, ...]) -> None:
        """`event` is stored; our hop is the last of `hops`."""
        if type(event) in SAID:
            self.note(Said(event, hops))

    def heard(self, event: Event, hops: tuple[Hop, ...], ts_recv: int) -> None:
        """`event` of the order path was given to us."""
        if self._places and type(event) in HEARD:
            self.note(Heard(event, hops, ts_recv))

    def sent(self, client_order_id: str, ts: int, command_id: str = "") -> None:
        """The request for the order left for the venue; with `command_id` that for its cancel."""
        self.note(Sent(client_order_id, ts, command_id))

    def booked(self, event: Event, hops: tuple[Hop, ...], ts_recv: int, ts_written: int) -> None:
        """`event` is in the books, for good."""
        if type(event) in BOOKED:
            self.note(Booked(event, hops, ts_recv, ts_written))

    def called(
        self, wish: Event, method: str, route: str, status: int, ts_recv: int, ts_answered: int,
        traceparent: str = "",
    ) -> None:  # fmt: skip
        """A client's request, which led to `wish`, is answered."""
        self.note(Called(wish, method, route, status, ts_recv, ts_answered, traceparent))

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to export, in a thread of its own."""
        # Here, since who lists the numbers must not meet the thread adding another.
        self._telemetry.count("Span", "exported", 0)
        for kind in ERRORS:
            self._telemetry.error(kind, 0)
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Export what is left, for at most `timeout_s`. Blocks; call it from another thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive() and self._exporter is not None:
            self._exporter.shutdown()
            self._thread.join(0.5)
        left = len(self._notes)
        if left:
            self._telemetry.error(DROPPED, left)
            log.warning("%d notes of traces could not be told before the end", left)

    def _run(self) -> None:
        try:
            exporter = self._exporter = self._connect()
        except Exception as error:  # noqa: BLE001 - trading goes on without traces
            self._telemetry.error("tracing_not_started")
            log.error("orders are not traced: %s", error)
            return
        busy_s = lasted_s = 0.0
        while True:
            began_s, used_s = time.monotonic(), time.thread_time()
            self._look(busy_s, lasted_s)
            self._turn(exporter)
            busy_s = (time.thread_time() - used_s) / CPU_SHARE
            if self._stopping.is_set():
                if not self._notes:
                    break
                continue
            self._stopping.wait(max(self._every_s, busy_s))
            lasted_s = time.monotonic() - began_s
        exporter.shutdown()

    def _look(self, busy_s: float, lasted_s: float) -> None:
        """See how many traces can be told, after a turn that was worth `busy_s`."""
        dropped, self._dropped = self._dropped, self._telemetry.errors.get(DROPPED, 0)
        if self._shedding.look(len(self._notes), self._dropped > dropped, busy_s, lasted_s):
            log.info("of the orders' traces one in %d is told", 2**self._shedding.steps)

    def _turn(self, exporter: Exporter) -> None:
        spans: list[Span] = []
        told = shed = 0
        for _ in range(min(len(self._notes), LOOKS_AT_ONCE)):
            note = self._notes.popleft()
            try:
                if self._shedding.steps and not self._is_kept(note):
                    shed += 1
                    continue
                spans += self._orders.take(note)
            except Exception as error:  # noqa: BLE001 - trading goes on without this one
                self._broke(error)
            told += 1
            if told == NOTES_AT_ONCE:
                break
        if shed:
            self._telemetry.error(SHED, shed)
        if told:
            self._export(exporter, [s for s in spans if self._shedding.keeps(s.trace_id)])

    def _is_kept(self, note: Note) -> bool:
        return any(self._shedding.keeps(trace_id_of(each)) for each in orders_of(note))

    def _export(self, exporter: Exporter, spans: list[Span]) -> None:
        wanted: list[Span] = []
        try:
            wanted = [span for span in spans if exporter.is_wanted(span.trace_id)]
            if not wanted:
                return  # nothing was asked of the collector, which may be away
            taken = exporter.export(wanted)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)
            taken = False
        self._account(len(wanted), taken)

    def _account(self, count: int, taken: bool) -> None:
        if taken:
            self._telemetry.count("Span", "exported", count)
        else:
            self._telemetry.error("spans_lost", count)
        if taken == self._is_away:
            self._is_away = not taken
            if taken:
                log.info("the collector takes traces again")
            else:
                log.warning("the collector does not take traces: they are lost until it does")

    def _broke(self, error: Exception) -> None:
        self._telemetry.error("tracing_broken")
        if not self._is_broken:
            self._is_broken = True
            log.error("a trace could not be made: %r", error, exc_info=error)
