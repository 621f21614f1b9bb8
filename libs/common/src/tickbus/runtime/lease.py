"""A lease on the bus: of several processes that could, at most one acts, whatever was paused.

The bucket `leases` holds who has it, with an epoch that rises at each take-over. The holder renews
it every third of its time to live, and looks at its own clock before each act: a process that stood
still for longer knows on waking that it may have been replaced, and does nothing more. Clocks of
two machines are never compared: who waits measures by its own for how long nothing was renewed.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tickbus import codec
from tickbus.bus import BusError
from tickbus.codec import MalformedMessage

if TYPE_CHECKING:
    from tickbus.runtime.context import Context

BUCKET = "leases"
TTL_S = 2.0
MARGIN = 0.25
"""Of its time to live the holder counts on so much less: for what lies between look and act."""
RELEASE_S = 1.0
POLL_S = 0.05
POLL_CAP_S = 0.25
UNREADABLE_S = 10.0
"""How long a record that cannot be read is only waited for; then somebody has to delete it."""
UNREADABLE_POLL_S = 2.0


class LeaseLost(Exception):
    """Another process has the lease: this one must end."""


class LeaseUnreadable(BusError):
    """What is kept under the lease's name is no record of one, or of another version."""


class LeaseRecord(msgspec.Struct, frozen=True, array_like=True):
    """Who has a lease: a name that no other process has, and where that process runs."""

    holder: str
    epoch: int
    renewals: int
    ttl_s: float
    process: str
    is_released: bool = False


def clock_s() -> float:
    """Seconds that also pass while the machine sleeps, where it has such a clock."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class Lease:
    """The right to act under `name`; an edge that asks for it, keeps it and gives it back.

    `held` may be asked before every act; it costs one look at the clock. With `stands_by` it is
    told that a process waits while another has it.
    """

    def __init__(
        self,
        name: str,
        ttl_s: float = TTL_S,
        *,
        now_s: Callable[[], float] = clock_s,
        stands_by: bool = False,
    ) -> None:
        self.name = name
        self._stands_by = stands_by
        self.epoch = 0
        self._ttl_s = ttl_s
        self._now_s = now_s
        self._valid_until_s = self._missed_from_s = float("-inf")
        self._holder = os.urandom(8).hex()
        self._process = process_name(os.getpid())
        self._stopping = False
        self._is_told = self.is_standing_by = False
        self._context: Context

    @property
    def held(self) -> bool:
        """Whether this process may act now."""
        return self._now_s() < self._valid_until_s

    async def until_held(self, timeout_s: float) -> bool:
        """Wait for it, `timeout_s` at most; False when it is not held then.

        Of many who wait one after the other for the same return of it, only the first waits so
        long; but each waits anew for one that was never held.
        """
        if self._missed_from_s < self._valid_until_s or not self.epoch:
            self._missed_from_s = self._now_s()
        while not self.held:
            if self._now_s() - self._missed_from_s >= timeout_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def start(self, context: "Context") -> None:
        """Begin to ask for it; ready once it is held."""
        self._context = context
        context.set_ready(False, f"the lease {self.name}")
        context.spawn(self._run(), f"lease {self.name}")

    async def stop(self) -> None:
        """Give it back, so that the next process need not wait. Gives up after RELEASE_S."""
        self._stopping = True
        self._valid_until_s = float("-inf")
        with contextlib.suppress(BusError, TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                record, revision = await self._read()
                if record is not None and record.holder == self._holder:
                    await self._swap(msgspec.structs.replace(record, is_released=True), revision)

    async def _run(self) -> None:
        unreadable_since: float | None = None
        while not self._stopping:
            wait_s, waits_for = self._ttl_s / 3, f"the lease {self.name}"
            try:
                await (self._renew() if self.epoch else self._acquire())
                unreadable_since, self._is_told = None, False
            except LeaseUnreadable as error:
                now_s = self._now_s()
                unreadable_since = now_s if unreadable_since is None else unreadable_since
                wait_s, waits_for = self._unreadable(error, now_s - unreadable_since)
            except (BusError, TimeoutError) as error:
                wait_s = POLL_CAP_S
                self._context.telemetry.error("lease_not_renewed")
                self._context.log.warning("lease %s: %s", self.name, str(error) or "no answer")
            self._context.set_ready(self.held, waits_for)
            self._context.telemetry.gauge("lease_epoch", self.epoch)
            await asyncio.sleep(wait_s)

    def _unreadable(self, error: LeaseUnreadable, since_s: float) -> tuple[float, str]:
        """How long to wait before the next look, and what is waited for; says so, too."""
        self._context.telemetry.error("lease_unreadable")
        if since_s < UNREADABLE_S:
            if not since_s:
                self._context.log.warning("%s", error)
            return POLL_CAP_S, f"the lease {self.name}, which cannot be read"
        remedy = (
            f"{error}; make sure that no other process does this one's job, then delete the key"
            f" {self.name} of the bucket {BUCKET}: `tickbus leases drop {self.name}`, or"
            f" `nats kv del {BUCKET} {self.name}`"
        )
        if not self._is_told:
            self._is_told = True
            self._context.log.critical("%s", remedy)
        return UNREADABLE_POLL_S, remedy

    async def _acquire(self) -> None:
        """Take it as soon as it is free."""
        seen: LeaseRecord | None = None
        since_s, poll_s = self._now_s(), POLL_S
        while not self._stopping:
            record, revision = await self._read()
            if record != seen:
                seen, since_s = record, self._now_s()
            free = record is None or record.is_released or is_gone(record.process)
            if free or (record is not None and self._now_s() - since_s > record.ttl_s):
                epoch = 1 + (record.epoch if record is not None else 0)
                mine = LeaseRecord(self._holder, epoch, 0, self._ttl_s, self._process)
                if await self._take(mine, revision):
                    self.epoch = epoch
                    self._context.log.info("lease %s taken, epoch %d", self.name, epoch)
                    if self._stands_by:
                        self.is_standing_by = False
                        self._context.telemetry.gauge("standing_by", 0)
                    return
            if self._stands_by and record is not None and not free:
                self._stand_by(record)
            await asyncio.sleep(poll_s)
            poll_s = min(POLL_CAP_S, poll_s * 1.5)

    def _stand_by(self, holder: LeaseRecord) -> None:
        if not self.is_standing_by:
            self.is_standing_by = True
            self._context.log.info(
                "standing by: the process %s does the work of %s", holder.process, self.name
            )
            self._context.telemetry.gauge("standing_by", 1)

    async def _renew(self) -> None:
        record, revision = await self._read()
        if record is None or (record.holder, record.epoch) != (self._holder, self.epoch):
            self._valid_until_s = float("-inf")
            raise LeaseLost(
                f"another process has the lease {self.name!r}"
                f" (epoch {record.epoch if record else '?'}, ours was {self.epoch}): two would"
                " do everything twice"
            )
        await self._take(msgspec.structs.replace(record, renewals=record.renewals + 1), revision)

    async def _take(self, record: LeaseRecord, revision: int) -> bool:
        # From before it was asked for: whoever waits began to count no earlier.
        began_s = self._now_s()
        if not await self._swap(record, revision):
            return False
        if not self._stopping:
            self._valid_until_s = began_s + self._ttl_s * (1 - MARGIN)
        return True

    async def _read(self) -> tuple[LeaseRecord | None, int]:
        async with asyncio.timeout(self._ttl_s):  # an answer that comes later is of no use
            value, revision = await self._context.bus.kv_read(BUCKET, self.name)
        try:
            return codec.decode_value(value, LeaseRecord) if value else None, revision
        except MalformedMessage as error:
            raise LeaseUnreadable(f"the lease {self.name!r} cannot be read: {error}") from error

    async def _swap(self, record: LeaseRecord, revision: int) -> bool:
        value = codec.encode_value(record)
        async with asyncio.timeout(self._ttl_s):
            return await self._context.bus.kv_swap(BUCKET, self.name, value, revision)


def process_name(pid: int) -> str:
    """A process of this machine, told from any other there was; "" where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}/{pid}/{_status(pid)[1]}"
    except OSError:
        return ""


def is_gone(process: str) -> bool:
    """Whether `process` has certainly ended: it was one of this machine, and is not there."""
    parts = process.split("/")
    ours = process_name(os.getpid()).split("/")
    if len(parts) != 4 or parts[:2] != ours[:2]:
        return False
    try:
        state, started = _status(int(parts[2]))
    except OSError:
        return True
    return started != parts[3] or state in "ZX"  # one that was not buried yet acts no more either


def _status(pid: int) -> tuple[str, str]:
    # The second field is the program's name in parentheses, and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return fields[0], fields[19]
