"""Malformed input is never dropped silently: it is counted, logged and kept on the bus."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from tickbus import codec
from tickbus.bus import Bus, BusError
from tickbus.clock import Clock
from tickbus.runtime.orderlog import about_message
from tickbus.runtime.telemetry import Telemetry

KEPT_MAX = 1_000
"""Waiting to be stored; past that the newest are only counted and logged."""
PAYLOAD_BYTES_MAX = 65_536


class Quarantined(msgspec.Struct, frozen=True, array_like=True):
    """Something that could not be understood: where it came from, why, and its first 64 KiB."""

    ts_recv: int
    service: str
    source: str
    error: str
    payload: bytes


class Quarantine:
    """Keeps malformed input of one service in the stream QUARANTINE."""

    def __init__(
        self, service: str, bus: Bus, telemetry: Telemetry, clock: Clock, log: logging.Logger
    ) -> None:
        self._service = service
        self._bus = bus
        self._telemetry = telemetry
        self._clock = clock
        self._log = log
        self._queue: asyncio.Queue[Quarantined] = asyncio.Queue(KEPT_MAX)
        self._number = 0

    def start(self, spawn: Callable[[Coroutine[Any, Any, None], str], Any]) -> None:
        """Begin to store what is added."""
        spawn(self._store(), "quarantine")

    def add(self, source: str, payload: bytes, error: Exception) -> None:
        """Count, log and keep one piece of input."""
        self._telemetry.error("malformed")
        count = self._telemetry.errors["malformed"]
        # The first ones whole, then every hundredth: a broken publisher must not fill the disk.
        if count <= 20 or count % 100 == 0:
            ids = about_message(payload).get("fields", {})
            fields = {"source": source, "error": str(error), "count": count, **ids}
            self._log.warning("malformed input kept", extra={"fields": fields})
        item = Quarantined(
            self._clock.now_ns(), self._service, source, str(error), payload[:PAYLOAD_BYTES_MAX]
        )
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._telemetry.error("malformed_not_kept")

    async def _store(self) -> None:
        while True:
            item = await self._queue.get()
            self._number += 1
            subject = f"quarantine.{self._service}"
            message_id = f"{subject}:{item.ts_recv}:{self._number}"
            try:
                await self._bus.publish_durable(subject, codec.encode_value(item), message_id)
            except BusError:
                self._telemetry.error("malformed_not_kept")
