"""Sends what the core raises and clears: to the log at once, to each channel at its own pace."""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from tickbus.alerts_api import Alert, ChannelReport, Delivery, Severity
from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.codec import Hop
from tickbus.runtime import Context
from tickbus_alerts.channels import Channel
from tickbus_alerts.config import AlertsConfig
from tickbus_alerts.events import AlertCleared, AlertNoted, AlertRaised, ChannelTried
from tickbus_alerts.message import Message, message_of, trial
from tickbus_alerts.rules import NS_PER_S, Rule
from tickbus_alerts.store import Record, Store

FIRST_RETRY_S = 1.0
FAILURES_TO_SAY = 3
"""Tries in a row that failed before a channel's failure is an alert of its own."""
TOGETHER_MAX = 50
"""Alerts in one message, where so many have waited for a channel."""
STOP_S = 3.0
LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
}


class Line:
    """A channel and how it does."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.wake = asyncio.Event()
        self.failures = 0
        self.problem = ""
        self.ts_sent = 0


class Courier:
    """The edge that sends, and the sinks that take the core's words.

    What waits for a channel is in the store, one entry per alert, whatever is told of it: a channel
    that is away for long gets the newest word on each, and many of them in one message.
    """

    def __init__(
        self, store: Store, rules: Sequence[Rule], channels: Sequence[Channel],
        config: AlertsConfig, platform: str,
    ) -> None:  # fmt: skip
        self.lines = {channel.name: Line(channel) for channel in channels}
        self._store = store
        self._rules = {rule.name: rule for rule in rules}
        self._config = config
        self._platform = platform
        self._context: Context | None = None
        self._working: list[asyncio.Task[None]] = []

    # -- the edge ----------------------------------------------------------------------------------

    async def start(self, context: Context) -> None:
        """Send what an earlier process still owed, then what comes."""
        self._context = context
        if not self.lines:
            context.log.info(
                "no channel is set: alerts are in the log, the metrics and GET /api/v1/alerts;"
                " docs/alerts.md says how to have them sent"
            )
        for line in self.lines.values():
            context.log.info("channel %s (%s)", line.channel.name, line.channel.scheme)
            self._working.append(context.spawn(self._work(line, context), line.channel.name))
        self._gauge(context)

    async def stop(self) -> None:
        """Let what is under way arrive; the rest is sent after the next start."""
        for line in self.lines.values():
            line.wake.set()
        if self._working:
            await asyncio.wait(self._working, timeout=STOP_S)

    # -- the core's words --------------------------------------------------------------------------

    async def on_noted(self, event: AlertNoted, _: tuple[Hop, ...]) -> None:
        """Something to remember."""
        await self._store.keep(event.incident, ())

    async def on_raised(self, event: AlertRaised, _: tuple[Hop, ...]) -> None:
        """Something to tell. Returns when it is kept; sending comes after that."""
        owed = self._told_of(event)
        alert = await self._keep(event, owed)
        self._log(alert, LEVELS[alert.severity])

    async def on_cleared(self, event: AlertCleared, _: tuple[Hop, ...]) -> None:
        """Something is over."""
        owed = self._store.told(event.incident) if event.tell else ()
        alert = await self._keep(event, tuple(name for name in owed if name in self.lines))
        if event.tell:
            self._log(alert, logging.INFO)

    async def _keep(self, event: AlertRaised | AlertCleared, owed: tuple[str, ...]) -> Alert:
        record = await self._store.keep(event.incident, owed)
        for name in owed:
            self.lines[name].wake.set()
        if self._context is not None:
            self._gauge(self._context)
        return self._store.alert(record)

    def _told_of(self, event: AlertRaised) -> tuple[str, ...]:
        rule = self._rules[event.incident.rule]
        names = tuple(self.lines) if rule.channels is None else rule.channels
        # That a channel fails is not told through that channel.
        about = event.incident.subject if rule.when == "channel" else ""
        return tuple(
            name
            for name in names
            if name != about and rule.severity.reaches(self.lines[name].channel.severity_min)
        )

    def _log(self, alert: Alert, level: int) -> None:
        message = message_of((alert,), self._platform)
        fields = {"rule": alert.rule, "subject": alert.subject, "count": alert.count}
        log = logging.getLogger("tickbus.alerts")
        text = f"{message.title}: {alert.because if alert.ts_cleared else alert.detail}"
        log.log(level, "%s", text, extra={"fields": fields})

    # -- sending -----------------------------------------------------------------------------------

    async def _work(self, line: Line, context: Context) -> None:
        delays = delays_s(FIRST_RETRY_S, self._config.retry_max_s)
        while not context.stopping.is_set():
            line.wake.clear()
            records = await self._due(line, context)
            if not records:
                await line.wake.wait()
                continue
            if await self._deliver(line, records, context):
                delays = delays_s(FIRST_RETRY_S, self._config.retry_max_s)
                continue
            try:
                # More alerts do not hurry it; only the end of the service does.
                await asyncio.wait_for(context.stopping.wait(), next(delays))
            except TimeoutError:
                continue

    async def _due(self, line: Line, context: Context) -> list[Record]:
        """What the channel is to take next, oldest first; what waited for too long is given up."""
        name = line.channel.name
        oldest_ns = context.clock.now_ns() - int(self._config.keep_s * NS_PER_S)
        found: list[Record] = []
        for record in list(self._store.waiting(name)):
            incident = record.incident
            if max(incident.ts_last, incident.ts_raised, incident.ts_cleared) < oldest_ns:
                context.log.error("%s was never taken by channel %s", incident.alert_id, name)
                context.telemetry.count("Notice", "given_up")
                await self._mark(record, name, context, given_up=True)
            elif len(found) < TOGETHER_MAX:
                found.append(record)
        return found

    async def _deliver(self, line: Line, records: Sequence[Record], context: Context) -> bool:
        name = line.channel.name
        owed = [record.deliveries[name].owed for record in records]
        message = message_of([self._store.alert(record) for record in records], self._platform)
        problem = await self._try(line, message, context)
        now = context.clock.now_ns()
        for record, number in zip(records, owed, strict=True):
            if problem:
                tries = record.deliveries[name].attempts + 1
                self._change(record, name, attempts=tries, problem=problem)
            else:
                tries = record.deliveries[name].attempts + 1
                await self._mark(
                    record, name, context, sent=number, attempts=tries, ts_sent=now, problem=""
                )
        context.telemetry.count("Notice", "failed" if problem else "sent", len(records))
        self._gauge(context)
        return not problem

    async def _try(self, line: Line, message: Message, context: Context) -> str:
        name, now = line.channel.name, context.clock.now_ns()
        problem = await line.channel.send(*message)
        was_said = line.failures >= FAILURES_TO_SAY
        line.failures = line.failures + 1 if problem else 0
        line.problem = problem
        if not problem:
            line.ts_sent = now
        else:
            context.log.warning("channel %s, try %d: %s", name, line.failures, problem)
            context.telemetry.error("channel_failed")
        if line.failures >= FAILURES_TO_SAY or was_said:
            await context.emit([ChannelTried(now, now, name, problem)])
        return problem

    async def _mark(self, record: Record, name: str, context: Context, **changes: object) -> None:
        self._change(record, name, **changes)
        try:
            await self._store.write(record)
        except BusError as error:
            # Not fatal: at worst a restart sends this once more.
            context.log.warning("what channel %s took is not kept: %s", name, error)

    @staticmethod
    def _change(record: Record, name: str, **changes: object) -> None:
        before = record.deliveries.get(name, Delivery())
        record.deliveries[name] = msgspec.structs.replace(before, **changes)

    # -- what people ask ---------------------------------------------------------------------------

    async def test(self, name: str) -> str:
        """Send a message through the channel now; why it failed, "" when it was taken."""
        line = self.lines[name]
        problem = await line.channel.send(*trial(name, self._platform))
        if self._context is not None and not problem:
            line.ts_sent = self._context.clock.now_ns()
            line.wake.set()
        return problem

    def reports(self) -> tuple[ChannelReport, ...]:
        """How each channel does."""
        return tuple(
            ChannelReport(
                name=name,
                scheme=line.channel.scheme,
                severity_min=line.channel.severity_min,
                waiting=sum(1 for _ in self._store.waiting(name)),
                failures=line.failures,
                problem=line.problem,
                ts_sent=line.ts_sent,
            )
            for name, line in self.lines.items()
        )

    def _gauge(self, context: Context) -> None:
        gauge = context.telemetry.gauge
        active = self._store.active()
        gauge("active", len(active))
        gauge("active_critical", sum(a.severity is Severity.CRITICAL for a in active))
        gauge("notices_waiting", sum(report.waiting for report in self.reports()))
        gauge("channels_failing", sum(bool(line.failures) for line in self.lines.values()))
