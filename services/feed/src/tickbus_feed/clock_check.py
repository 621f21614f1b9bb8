"""How far our clock is from the venue's, measured now and then and exported."""

import asyncio
import logging

from tickbus.clock import Clock
from tickbus.runtime.telemetry import Telemetry
from tickbus_feed.adapter import Adapter, Unreadable
from tickbus_feed.rest import RestClient, VenueUnavailable

SAMPLES = 5
PAUSE_S = 0.2
ALARM_MS = 250.0
"""Venues refuse orders that seem to come from the future or long ago."""
RETRY_S = 30.0

log = logging.getLogger("tickbus.feed")


async def measure(adapter: Adapter, rest: RestClient, clock: Clock) -> tuple[float, float]:
    """(offset, round trip) in ms of the quickest of a few answers; above 0 the venue is ahead.

    Raises VenueUnavailable or Unreadable.
    """
    best: tuple[float, float] | None = None
    request = adapter.time_request()
    assert request is not None
    for _ in range(SAMPLES):
        asked = clock.now_ns()
        payload = await rest.get(request)
        answered = clock.now_ns()
        trip_ns = answered - asked
        offset_ns = adapter.read_time(payload) - (asked + trip_ns // 2)
        if best is None or trip_ns / 1e6 < best[1]:
            best = offset_ns / 1e6, trip_ns / 1e6
        await asyncio.sleep(PAUSE_S)
    assert best is not None
    return best


async def keep_measuring(
    adapter: Adapter, rest: RestClient, clock: Clock, telemetry: Telemetry, interval_s: float
) -> None:
    """Until cancelled; the gauges are `clock_offset_ms` and `clock_round_trip_ms`."""
    if adapter.time_request() is None:
        return
    while True:
        try:
            offset_ms, trip_ms = await measure(adapter, rest, clock)
        except (VenueUnavailable, Unreadable) as error:
            telemetry.error("clock_not_measured")
            log.warning("the venue's clock could not be read: %s", error)
            await asyncio.sleep(min(RETRY_S, interval_s))
            continue
        telemetry.gauge("clock_offset_ms", offset_ms)
        telemetry.gauge("clock_round_trip_ms", trip_ms)
        if abs(offset_ms) > ALARM_MS + trip_ms + adapter.clock_step_ms:
            telemetry.error("clock_off")
            log.warning(
                "our clock is %.0f ms %s the venue's: synchronise it (chrony, ntpd)",
                abs(offset_ms), "behind" if offset_ms > 0 else "ahead of",
            )  # fmt: skip
        await asyncio.sleep(interval_s)
