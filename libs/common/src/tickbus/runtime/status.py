"""What a service answers to who asks how it is."""

import time
from typing import TYPE_CHECKING

from tickbus import __version__
from tickbus.events import ServiceStatus

if TYPE_CHECKING:
    from tickbus.runtime.shell import Shell


def status_of(shell: "Shell") -> ServiceStatus:
    """Readiness, counts and latencies of the service in `shell`, as of now."""
    now, telemetry, waiting = shell.clock.now_ns(), shell.telemetry, shell.waiting()
    told = {each.name: float(each.value) for read in telemetry.told for each in read()}
    return ServiceStatus(
        ts_event=now,
        ts_recv=now,
        service=shell.spec.name,
        instance=shell.instance,
        version=__version__,
        ready=not waiting,
        waiting_for="; ".join(waiting.values()),
        uptime_s=time.monotonic() - shell.started_s,
        counts={f"{k}/{o}": n for (k, o), n in telemetry.counts.items()},
        gauges=dict(telemetry.gauges) | told,
        latency_us={
            hop: (x.quantile_us(0.5), x.quantile_us(0.99), x.count)
            for hop, x in telemetry.latencies.items()
        },
        errors=dict(telemetry.errors),
        metrics_url=shell.metrics_url,
        venue=shell.venue,
    )
