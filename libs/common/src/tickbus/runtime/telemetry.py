"""What a service counts and times; cheap on the hot path, turned into metrics only when scraped."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SUB = 32  # sub-buckets per octave: quantiles are right to about 3 %
_OCTAVES = 40


class Latency:
    """A histogram of durations in ns with logarithmic buckets; constant memory, O(1) to record."""

    __slots__ = ("_counts", "count", "total_ns")

    def __init__(self) -> None:
        self._counts = [0] * (_OCTAVES * _SUB)
        self.count = 0
        self.total_ns = 0

    def record(self, ns: int) -> None:
        """Add one duration; a negative one (clocks of two machines) counts as 0."""
        ns = max(ns, 0)
        self.count += 1
        self.total_ns += ns
        self._counts[_bucket(ns)] += 1

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


def _bucket(ns: int) -> int:
    if ns < _SUB:
        return ns
    octave = ns.bit_length() - 6  # 32 = 2**5 is the first value with an octave of its own
    index = (octave + 1) * _SUB + ((ns >> octave) - _SUB)
    return min(index, _OCTAVES * _SUB - 1)


def _upper_ns(index: int) -> int:
    if index < _SUB:
        return index
    octave, sub = divmod(index, _SUB)
    return ((sub + _SUB + 1) << (octave - 1)) - 1


class Telemetry(Collector):
    """The numbers of one service: event counts, errors, gauges and latencies per hop."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.counts: dict[tuple[str, str], int] = {}
        self.errors: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.latencies: dict[str, Latency] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def count(self, kind: str, outcome: str, n: int = 1) -> None:
        """Count `n` events of type `kind` that ended as `outcome`."""
        key = (kind, outcome)
        self.counts[key] = self.counts.get(key, 0) + n

    def error(self, kind: str, n: int = 1) -> None:
        """Count something that went wrong."""
        self.errors[kind] = self.errors.get(kind, 0) + n

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge; it is exported as `tickbus_<service>_<name>`."""
        self.gauges[name] = float(value)  # also of a bool: a status holds numbers

    def observe_ns(self, hop: str, ns: int) -> None:
        """Record how long `hop` took, in nanoseconds."""
        latency = self.latencies.get(hop)
        if latency is None:
            latency = self.latencies[hop] = Latency()
        latency.record(ns)

    def observe_us(self, hop: str, us: float) -> None:
        """Record how long `hop` took, in microseconds."""
        self.observe_ns(hop, int(us * 1000))

    def collect(self) -> Iterator[Metric]:
        """The metrics in Prometheus' form; called when scraped."""
        prefix = f"tickbus_{self.service.replace('-', '_')}_"
        events = CounterMetricFamily(
            f"{prefix}events", "Events handled, by type and outcome.", labels=["type", "outcome"]
        )
        for (kind, outcome), n in list(self.counts.items()):
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
