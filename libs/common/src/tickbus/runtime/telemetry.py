"""What a service counts and times; cheap on the hot path, turned into metrics only when scraped."""

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SUB = 32  # sub-buckets per octave: quantiles are right to about 3 %
_OCTAVES = 40
_LAST = _OCTAVES * _SUB - 1
REASONS_MAX = 200
"""Reasons that are told apart: some come from venues, in whatever words those choose."""
OTHER = "OTHER"


class Reading(NamedTuple):
    """One number that is read when the service is scraped; a name with `_total` is a counter's.

    Readings of one name have the same labels.
    """

    name: str
    value: float
    labels: Mapping[str, str] = {}


Reader = Callable[[], Iterable[Reading]]
"""Reads what is there; it is called between two events, and must be quick."""


class Latency:
    """A histogram of durations in ns with logarithmic buckets; constant memory, O(1) to record."""

    __slots__ = ("_counts", "count", "total_ns")

    def __init__(self) -> None:
        self._counts = [0] * (_OCTAVES * _SUB)
        self.count = 0
        self.total_ns = 0

    def record(self, ns: int) -> None:
        """Add one duration; a negative one (clocks of two machines) counts as 0."""
        # Once for each message, so max(), min() and a function of its own would be felt.
        ns = 0 if ns < 0 else ns
        self.count += 1
        self.total_ns += ns
        octave = ns.bit_length() - 6  # 32 = 2**5 is the first value with an octave of its own
        # The upper six bits; the first of them counts one more octave.
        index = (octave << 5) + (ns >> octave) if octave > 0 else ns
        self._counts[_LAST if index > _LAST else index] += 1

    def quantile_us(self, q: float) -> float:
        """The `q` quantile (0..1) in microseconds, 0 when nothing was recorded."""
        rank = q * self.count
        seen = 0
        for index, n in enumerate(self._counts):
            seen += n
            if n and seen >= rank:
                return _upper_ns(index) / 1000
        return 0.0

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(upper bound in seconds, count at or below it) per octave from 1 us to 16 s."""
        seen = 0
        for octave in range(_OCTAVES):
            seen += sum(self._counts[octave * _SUB : (octave + 1) * _SUB])
            upper_s = _upper_ns((octave + 1) * _SUB - 1) / 1e9
            if 1e-6 <= upper_s <= 20:
                yield upper_s, seen


def _upper_ns(index: int) -> int:
    if index < _SUB:
        return index
    octave, sub = divmod(index, _SUB)
    return ((sub + _SUB + 1) << (octave - 1)) - 1


class Telemetry(Collector):
    """The numbers of one service: event counts, errors, gauges and latencies per hop."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.handled: defaultdict[type, int] = defaultdict(int)
        self.published: defaultdict[type, int] = defaultdict(int)
        """Events by their type, which the shell counts itself: a call each is dearer than that."""
        self._counts: dict[tuple[str, str], int] = {}
        self.errors: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.latencies: dict[str, Latency] = {}
        self.reasons: dict[tuple[str, str], int] = {}
        self.readers: list[Reader] = []
        """What is asked, besides, when somebody scrapes."""
        self.told: list[Reader] = []
        """What is asked, besides the gauges, for the status; it is exported by a reader already."""
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def count(self, kind: str, outcome: str, n: int = 1) -> None:
        """Count `n` events of type `kind` that ended as `outcome`."""
        key = (kind, outcome)
        self._counts[key] = self._counts.get(key, 0) + n

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """What was counted so far, by (type, outcome)."""
        counts = dict(self._counts)
        for outcome, by_type in (("handled", self.handled), ("published", self.published)):
            for kind, n in by_type.items():
                key = (kind.__name__, outcome)
                counts[key] = counts.get(key, 0) + n
        return counts

    def error(self, kind: str, n: int = 1) -> None:
        """Count something that went wrong."""
        self.errors[kind] = self.errors.get(kind, 0) + n

    def reason(self, kind: str, reason: str) -> None:
        """Count that an event of type `kind` gave `reason`."""
        key = (kind, reason)
        if key not in self.reasons and len(self.reasons) >= REASONS_MAX:
            key = (kind, OTHER)
        self.reasons[key] = self.reasons.get(key, 0) + 1

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge; it is exported as `tickbus_<service>_<name>`."""
        self.gauges[name] = float(value)  # also of a bool: a status holds numbers

    def observe_ns(self, hop: str, ns: int) -> None:
        """Record how long `hop` took, in nanoseconds."""
        self.latency(hop).record(ns)

    def latency(self, hop: str) -> Latency:
        """Where it is recorded how long `hop` takes."""
        latency = self.latencies.get(hop)
        if latency is None:
            latency = self.latencies[hop] = Latency()
        return latency

    def observe_us(self, hop: str, us: float) -> None:
        """Record how long `hop` took, in microseconds."""
        self.observe_ns(hop, int(us * 1000))

    def collect(self) -> Iterator[Metric]:
        """The metrics in Prometheus' form; called when scraped."""
        prefix = f"tickbus_{self.service.replace('-', '_')}_"
        events = CounterMetricFamily(
            f"{prefix}events", "Events handled, by type and outcome.", labels=["type", "outcome"]
        )
        for (kind, outcome), n in self.counts.items():
            events.add_metric([kind, outcome], n)
        yield events
        errors = CounterMetricFamily(f"{prefix}errors", "What went wrong.", labels=["kind"])
        for kind, n in list(self.errors.items()):
            errors.add_metric([kind], n)
        yield errors
        times = HistogramMetricFamily(
            f"{prefix}latency_seconds", "Time per hop, from event stamps.", labels=["hop"]
        )
        for hop, latency in list(self.latencies.items()):
            buckets = [(f"{upper:.9g}", float(n)) for upper, n in latency.cumulative()]
            buckets.append(("+Inf", float(latency.count)))
            times.add_metric([hop], buckets, sum_value=latency.total_ns / 1e9)
        yield times
        for name, value in list(self.gauges.items()):
            yield GaugeMetricFamily(f"{prefix}{name}", name.replace("_", " "), value=value)
        reasons = CounterMetricFamily(
            f"{prefix}reasons", "Why orders and cancels ended.", labels=["type", "reason"]
        )
        for (kind, reason), n in list(self.reasons.items()):
            reasons.add_metric([kind, reason], n)
        yield reasons
        yield from self._read(prefix)

    def _read(self, prefix: str) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for read in self.readers:
            for name, value, labels in read():
                family = families.get(name)
                if family is None:
                    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                    text = name.removesuffix("_total").replace("_", " ")
                    family = families[name] = kind(f"{prefix}{name}", text, labels=list(labels))
                family.add_metric(list(labels.values()), value)
        yield from families.values()


class Ways(dict[str, Latency]):
    """How long messages take to `service`, by who sent them; made when one first does."""

    def __init__(self, telemetry: Telemetry, service: str) -> None:
        self._telemetry = telemetry
        self._service = service

    def __missing__(self, sender: str) -> Latency:
        """That of a sender not heard so far."""
        latency = self[sender] = self._telemetry.latency(f"{sender}>{self._service}")
        return latency


class Pauses:
    """How long the garbage collector held this process up, by generation, since it was made."""

    def __init__(self) -> None:
        self.seconds = [0.0, 0.0, 0.0]
        self._began = 0.0

    def watch(self) -> None:
        """Count from now on, to the end of the process."""
        gc.callbacks.append(self._on_collection)

    def read(self) -> Iterator[Reading]:
        """The sums."""
        for generation, seconds in enumerate(self.seconds):
            yield Reading("gc_pause_seconds_total", seconds, {"generation": str(generation)})

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds[info["generation"]] += time.perf_counter() - self._began
