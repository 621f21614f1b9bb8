"""What is remembered over a restart: every alert, whom it was told, and who still has to be told.

In the bucket `alerts`, one key per alert in a ring of SLOTS; a slot is used again when its alert is
over and everybody was told. An alert is written before the event that led to it is acknowledged,
and again when a channel has taken it: a crash in between loses nothing, and tells twice only what a
channel took in its last moment.
"""

import asyncio
import logging
from collections.abc import Iterator

import msgspec

from tickbus import codec
from tickbus.alerts_api import LIMIT_MAX, Alert, Delivery, Severity
from tickbus.backoff import delays_s
from tickbus.bus import Bus, BusError
from tickbus.codec import MalformedMessage
from tickbus_alerts.events import Incident, ServicesExpected, Stage
from tickbus_alerts.kinds import KINDS
from tickbus_alerts.rules import Rule

BUCKET = "alerts"
MEMORY = "memory"
SLOTS = 1_000
TRIES = 12
"""To write, with pauses that outlast an election among NATS servers, some half a minute; then the
service ends, and the event comes again after its restart."""
log = logging.getLogger("tickbus.alerts")


class Record(msgspec.Struct, kw_only=True):
    """One alert as it is kept."""

    slot: int
    incident: Incident
    deliveries: dict[str, Delivery] = {}

    @property
    def is_done(self) -> bool:
        """Whether nothing more can follow from it."""
        waits = any(each.is_waiting for each in self.deliveries.values())
        return self.incident.stage is Stage.OVER and not waits


class Memory(msgspec.Struct, frozen=True):
    """What else is kept: when the service first ran here (ns UTC), and which services it knows."""

    since: int
    services: tuple[str, ...] = ()


class Store:
    """The alerts of this installation, in memory and in the bucket."""

    def __init__(self, rules: tuple[Rule, ...], channels: tuple[str, ...]) -> None:
        self.memory = Memory(0)
        self.records: dict[str, Record] = {}
        """By alert id, in the order in which they were opened."""
        self._rules = {rule.name: rule for rule in rules}
        self._channels = channels
        self._bus: Bus | None = None

    async def load(self, bus: Bus, now_ns: int) -> None:
        """Read what earlier processes kept. Raises BusError."""
        self._bus = bus
        found: list[Record] = []

        async def take(key: str, value: bytes) -> None:
            try:
                if key == MEMORY:
                    self.memory = codec.decode_value(value, Memory)
                else:
                    found.append(codec.decode_value(value, Record))
            except MalformedMessage as error:
                log.warning("an entry of the bucket %s is passed over: %s", BUCKET, error)

        watch = await bus.kv_watch(BUCKET, take)
        await watch.stop()
        found.sort(key=lambda record: record.incident.ts_first)
        for record in found:
            # Nobody waits for a channel that is not there any more.
            kept = {n: d for n, d in record.deliveries.items() if n in self._channels}
            record.deliveries = kept
        self.records = {record.incident.alert_id: record for record in found}
        if not self.memory.since:
            self.memory = Memory(now_ns)
            await self._put(MEMORY, codec.encode_value(self.memory))

    async def expect(self, event: ServicesExpected) -> None:
        """Keep which services are missed when they are gone. Raises BusError."""
        self.memory = Memory(self.memory.since, event.services)
        await self._put(MEMORY, codec.encode_value(self.memory))

    async def keep(self, incident: Incident, owed: tuple[str, ...]) -> Record:
        """Keep the incident as it is now, and that the channels `owed` have to be told of it.

        Raises BusError.
        """
        record = self.records.get(incident.alert_id)
        if record is None:
            record = Record(slot=self._free_slot(), incident=incident)
            self.records[incident.alert_id] = record
        record.incident = incident
        for channel in owed:
            before = record.deliveries.get(channel, Delivery())
            record.deliveries[channel] = msgspec.structs.replace(
                before, owed=incident.notices, given_up=False
            )
        await self.write(record)
        return record

    async def write(self, record: Record) -> None:
        """Keep the record as it is now. Raises BusError."""
        if self.records.get(record.incident.alert_id) is record:
            await self._put(f"slot.{record.slot}", codec.encode_value(record))

    def waiting(self, channel: str) -> Iterator[Record]:
        """What a channel still has to take, oldest first."""
        for record in self.records.values():
            delivery = record.deliveries.get(channel)
            if delivery is not None and delivery.is_waiting:
                yield record

    def told(self, incident: Incident) -> tuple[str, ...]:
        """Who was told, or is to be told, that it began."""
        record = self.records.get(incident.alert_id)
        return () if record is None else tuple(record.deliveries)

    def alert(self, record: Record) -> Alert:
        """The record as people see it."""
        incident = record.incident
        rule = self._rules.get(incident.rule)
        return Alert(
            alert_id=incident.alert_id,
            rule=incident.rule,
            subject=incident.subject,
            severity=rule.severity if rule else Severity.WARNING,
            title=incident.title,
            detail=incident.detail,
            remedy=KINDS[rule.when].remedy if rule else "",
            count=incident.count,
            ts_first=incident.ts_first,
            ts_last=incident.ts_last,
            ts_raised=incident.ts_raised,
            ts_cleared=incident.ts_cleared,
            because=incident.because,
            deliveries=dict(record.deliveries),
        )

    def active(self) -> list[Alert]:
        """What was told and is not over, newest first."""
        return [alert for alert in self._raised() if not alert.ts_cleared]

    def recent(self, limit: int) -> list[Alert]:
        """What is over, newest first, at most LIMIT_MAX."""
        over = [alert for alert in self._raised() if alert.ts_cleared]
        over.sort(key=lambda alert: alert.ts_cleared, reverse=True)
        return over[: max(0, min(limit, LIMIT_MAX))]

    def _raised(self) -> Iterator[Alert]:
        for record in reversed(self.records.values()):
            if record.incident.ts_raised:
                yield self.alert(record)

    def _free_slot(self) -> int:
        if len(self.records) < SLOTS:
            used = {record.slot for record in self.records.values()}
            return next(slot for slot in range(SLOTS) if slot not in used)
        done = [record for record in self.records.values() if record.is_done]
        # What was over before anybody was told is of no interest.
        done.sort(key=lambda record: record.incident.ts_raised > 0)
        oldest = done[0] if done else None
        if oldest is None:
            # All of them wait for a channel that is away: the oldest that is over is given up.
            over = (r for r in self.records.values() if r.incident.stage is Stage.OVER)
            oldest = next(over)  # there are far fewer incidents than slots
            log.error("%s is given up untold: too many wait", oldest.incident.alert_id)
        del self.records[oldest.incident.alert_id]
        return oldest.slot

    async def _put(self, key: str, value: bytes) -> None:
        if self._bus is None:
            raise RuntimeError("the store is used before it was loaded")
        for attempt, delay_s in enumerate(delays_s(0.2, 5.0), 1):
            try:
                await self._bus.kv_put(BUCKET, key, value)
                return
            except BusError:
                if attempt == TRIES:
                    raise
            await asyncio.sleep(delay_s)
