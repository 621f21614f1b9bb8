"""Makes snapshots of a running service without its core noticing.

A second core of the same build, the twin, never goes live: it folds the stream as a restart would,
up to where the service has handled everything, and is then written down a slice at a time. So a
snapshot is by construction what folding the history gives, and the live core is not touched.
"""

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tickbus import codec
from tickbus.backoff import delays_s
from tickbus.bus import Bus, BusError, Message
from tickbus.codec import MalformedMessage
from tickbus.runtime.snapshots import (
    Found,
    Remembering,
    Snapshots,
    SnapshotTooLarge,
    memory_of,
    slices_of,
)
from tickbus.runtime.telemetry import Telemetry

WINDOW = 256
CATCH_UP_TIMEOUT_S = 120.0
LOOK_S = 0.5
TOLD_MAX = 10_000


class Snapshotter:
    """Keeps the snapshots of one service: at the start it restores, later it makes new ones."""

    def __init__(
        self, bus: Bus, durable: str, subjects: Sequence[str], twin: Callable[[], Remembering],
        code: str, *, every_s: float, every_events: int, skips: Callable[[Message], bool],
        telemetry: Telemetry, log: logging.Logger,
    ) -> None:  # fmt: skip
        self.position = 0
        """The sequence up to which the service has handled what it consumes."""
        self._bus = bus
        self._subjects = list(subjects)
        self._make_twin = twin
        self._twin = twin()
        self._snapshots = Snapshots(bus, durable, code, log)
        self._every_s = every_s
        self._every_events = every_events
        self._skips = skips
        self._telemetry = telemetry
        self._log = log
        self._folded = 0
        # Longer only when the twin is broken and folds no more.
        self._told: deque[Any] = deque(maxlen=TOLD_MAX)

    # -- at the start ------------------------------------------------------------------------------

    async def restore(self, core: Remembering) -> int:
        """Give `core` the newest sound snapshot; up to which sequence it then knows all, or 0."""
        found = await self._snapshots.newest()
        if found is None:
            return 0
        try:
            self._twin.restore(memory_of(found.slices, self._twin.memory))
        except Exception as error:  # noqa: BLE001 - the history is there, so it is no reason to stop
            self._log.warning("snapshot cannot be restored, reading the whole history: %r", error)
            self._twin = self._make_twin()
            return 0
        return self._give(core, found)

    def _give(self, core: Remembering, found: Found) -> int:
        # Decoded once more, so that the two share nothing that changes.
        core.restore(memory_of(found.slices, core.memory))
        self._folded = self.position = found.sequence
        self._telemetry.gauge("snapshot_sequence", found.sequence)
        self._log.info("restored the snapshot of sequence %d", found.sequence)
        return found.sequence

    # -- while the service runs --------------------------------------------------------------------

    def tell(self, value: Any) -> None:
        """A bucket's value, which the twin folds with the rest."""
        self._told.append(value)

    async def run(self) -> None:
        """Make a snapshot every so many events or seconds, for ever; never raises."""
        made, delays = time.monotonic(), delays_s(5.0, 60.0)
        while True:
            await asyncio.sleep(LOOK_S)
            behind = self.position - self._folded
            due = behind >= self._every_events or time.monotonic() - made >= self._every_s
            if behind < 1 or not due:
                continue
            try:
                await self.make()
            except (BusError, SnapshotTooLarge, TimeoutError) as error:
                self._telemetry.error("snapshot_not_kept")
                self._log.warning("no snapshot: %s", error)
                await asyncio.sleep(next(delays))
            except Exception as error:  # noqa: BLE001 - said below
                # A bug, but not one that may stop trading: the history is still read at a restart.
                self._telemetry.error("snapshot_failed")
                self._log.exception("no more snapshots until the restart: %r", error)
                return
            made = time.monotonic()

    async def make(self) -> None:
        """Fold up to `position` and keep that. Raises BusError, SnapshotTooLarge, TimeoutError."""
        if self.position <= self._folded:
            return  # nothing is new
        began = time.monotonic()
        anchor = await self._catch_up(self.position)
        slices: list[bytes] = []
        slowest_s = 0.0
        before = time.monotonic()
        for piece in slices_of(self._write_down()):
            slices.append(piece)
            slowest_s = max(slowest_s, time.monotonic() - before)
            await asyncio.sleep(0)
            before = time.monotonic()
        size = await self._snapshots.keep(anchor, slices, time.time_ns())
        self._telemetry.gauge("snapshot_sequence", anchor.sequence)
        self._telemetry.gauge("snapshot_bytes", size)
        self._telemetry.gauge("snapshot_seconds", time.monotonic() - began)
        self._telemetry.gauge("snapshot_slice_seconds", slowest_s)
        self._telemetry.count("Snapshot", "kept")

    def _write_down(self) -> msgspec.Struct:
        # Its lists are many small tuples at once, for which the collector would look at everything
        # there is; they are gone again in a moment.
        was_on = gc.isenabled()
        gc.disable()
        try:
            return self._twin.snapshot()
        finally:
            if was_on:
                gc.enable()

    async def _catch_up(self, target: int) -> Message:
        """Let the twin fold all up to the message at `target`, and return that."""
        done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        async def fold(message: Message) -> None:
            if done.done():
                return
            if message.sequence <= target:
                try:
                    self._fold(message)
                except Exception as error:  # noqa: BLE001 - raised again below
                    done.set_exception(error)
                    return
            if message.sequence >= target:
                done.set_result(message)
            await asyncio.sleep(0)  # an order that came meanwhile goes first

        reader = await self._bus.follow(self._subjects, self._folded + 1, fold, window=WINDOW)
        try:
            return await asyncio.wait_for(done, CATCH_UP_TIMEOUT_S)
        finally:
            await reader.stop()

    def _fold(self, message: Message) -> None:
        while self._told:
            self._twin.handle(self._told.popleft())
        self._folded = message.sequence
        if self._skips(message):
            return
        try:
            envelope = codec.decode_said(message.subject, message.payload)
        except MalformedMessage:
            return  # the service has quarantined it
        for event in envelope.events:
            self._twin.handle(event)
