"""Turns events into alerts: one incident per rule and subject, gathered, cooled down, cleared.

Consumes: order events, denials, records of risk and strategies, the state of feeds, risk and the
books, and what the edges see: services, dead letters, channels.
Produces: AlertNoted, AlertRaised, AlertCleared, ServicesExpected, SetTimer.
Invariants: what is raised is cleared once, and before it is raised anew; between two messages on
one incident of a thing that happens at moments, or that comes back, lies the cool-down of its rule;
each occurrence is counted in one incident; there are never more than INCIDENTS_MAX incidents and
one per rule.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tickbus.events import CaughtUp, Event, Recovered, SetTimer, TimerFired
from tickbus_alerts.detectors import Signal
from tickbus_alerts.events import (
    AlertCleared,
    AlertNoted,
    AlertRaised,
    Incident,
    ServicesExpected,
    ServicesSeen,
    ServiceWord,
    Stage,
)
from tickbus_alerts.kinds import KINDS
from tickbus_alerts.rules import NS_PER_S, Rule

INCIDENTS_MAX = 400
SUBJECTS_MAX = 50
"""Incidents of one rule. What is beyond, and beyond INCIDENTS_MAX, is one more, of OTHERS."""
OTHERS = "others"
MEMBERS_MAX = 1_000
"""Of one incident; more are not counted."""
SERVICES_MAX = 200
SETTLE_NS = 30 * NS_PER_S
"""The very first start reads the whole history: what lasts is told after so long, if it does."""
REPEATED_NS = 60 * NS_PER_S
"""What is not said again for so long, by who says it all the time, is not so any more."""
GONE = "does not answer"

Out = list[Event]


class AlertsCore:
    """The incidents of all rules.

    `forget_s`: after so long a service that is gone is not expected any more.
    """

    def __init__(self, rules: Iterable[Rule], forget_s: float = 86_400.0) -> None:
        self.incidents: dict[tuple[str, str], Incident] = {}
        self._rules = {rule.name: rule for rule in rules}
        self._by_event: dict[type, list[Rule]] = {}
        for rule in self._rules.values():
            if rule.enabled:
                for kind in KINDS[rule.when].events:
                    self._by_event.setdefault(kind, []).append(rule)
        self._counts = dict.fromkeys(self._rules, 0)
        self._services: dict[str, int] = {}
        self._forget_ns = int(forget_s * NS_PER_S)
        self._heard: dict[tuple[str, str], int] = {}
        self._is_catching_up = False
        self._since = 0
        self._now = 0

    def restore(
        self, incidents: Iterable[Incident], services: Iterable[str], since_ns: int
    ) -> None:
        """Know what an earlier process knew, of incidents also those that are over.

        What happened before `since_ns` is not told; what lasts since then is.
        """
        self._services = dict.fromkeys(services, 0)
        self._since = since_ns
        for incident in incidents:
            key = (incident.rule, incident.subject)
            self._heard[key] = max(self._heard.get(key, 0), incident.ts_last)
            if incident.stage is not Stage.OVER:
                self.incidents[key] = copy.deepcopy(incident)
                self._counts[incident.rule] = self._counts.get(incident.rule, 0) + 1

    def handle(self, event: Any, /) -> Sequence[Event]:
        """What is to be remembered and told because of `event`."""
        if isinstance(event, TimerFired):
            return self._timer(event)
        if isinstance(event, Recovered):
            return self._begin(event)
        if isinstance(event, CaughtUp):
            self._is_catching_up = False
            self._heard.clear()
            return ()
        out: Out = []
        if isinstance(event, ServicesSeen):
            event, changed = self._with_missing(event)
            out += changed
        for rule in self._by_event.get(type(event), ()):
            for signal in KINDS[rule.when].detect(event, rule):
                self._take(rule, signal, event, out)
        return out

    def _begin(self, event: Recovered) -> Out:
        self._now = event.ts_recv
        self._is_catching_up = event.backlog
        self._services = dict.fromkeys(self._services, event.ts_recv)
        out: Out = []
        for incident in list(self.incidents.values()):
            rule = self._rules.get(incident.rule)
            if rule is None or not rule.enabled:
                self._end(incident, event.ts_recv, "its rule is gone or off", out)
            elif incident.ts_due:
                out.append(_timer(event, incident))
        return out

    # -- what rules see --------------------------------------------------------------------------

    def _take(self, rule: Rule, signal: Signal, event: Event, out: Out) -> None:
        kind = KINDS[rule.when]
        if self._is_catching_up and self._was_heard(rule, signal, event):
            return
        # An event may be old, of a time when nobody was here to read it: it is told now.
        now = max(event.ts_recv, self._now)
        incident = self._find(rule, signal.subject)
        if not kind.lasts:
            if event.ts_recv >= self._since:
                self._happened(rule, incident, signal, event, now, out)
            return
        members = signal.members
        if incident is not None and incident.subject != signal.subject:
            # One of the many that share an incident: its members bear its name.
            members = tuple(f"{signal.subject} {member}".strip() for member in members)
        if incident is not None:
            self._leave(incident, signal, members, now, repeats=kind.repeats)
        if signal.bad and members:
            self._holds(rule, incident, signal, members, event, now, out)
        elif incident is not None and not incident.members:
            incident.ts_last = max(incident.ts_last, event.ts_recv)
            self._over(rule, incident, signal.detail or "it is over", now, out)

    def _was_heard(self, rule: Rule, signal: Signal, event: Event) -> bool:
        # What an earlier process was given and had no time to acknowledge is given to us, too.
        return event.ts_recv <= self._heard.get((rule.name, signal.subject), 0)

    def _find(self, rule: Rule, subject: str) -> Incident | None:
        found = self.incidents.get((rule.name, subject))
        if found is not None:
            return found
        is_full = self._counts[rule.name] >= SUBJECTS_MAX or len(self.incidents) >= INCIDENTS_MAX
        others = self.incidents.get((rule.name, OTHERS))
        return others if is_full or others is not None else None

    def _open(self, rule: Rule, signal: Signal, event: Event) -> Incident:
        is_full = self._counts[rule.name] >= SUBJECTS_MAX or len(self.incidents) >= INCIDENTS_MAX
        subject = OTHERS if is_full else signal.subject
        incident = Incident(
            alert_id=f"{rule.name}:{subject}:{event.ts_recv}",
            rule=rule.name,
            subject=subject,
            stage=Stage.GATHERING,
            title=signal.title,
            detail=signal.detail,
            ts_first=event.ts_recv,
            ts_last=event.ts_recv,
        )
        self.incidents[rule.name, subject] = incident
        self._counts[rule.name] += 1
        return incident

    def _happened(
        self, rule: Rule, incident: Incident | None, signal: Signal, event: Event, now: int,
        out: Out,
    ) -> None:  # fmt: skip
        is_new = incident is None
        if incident is None:
            incident = self._open(rule, signal, event)
        _say(incident, signal, event)
        incident.count += 1
        if is_new:
            self._wait_or_raise(rule, incident, event, now, out)
        elif incident.count == incident.told + 1:
            # That there is more is not to be forgotten; how much more may be.
            out.append(AlertNoted(*_times(now), copy.deepcopy(incident)))

    def _holds(
        self, rule: Rule, incident: Incident | None, signal: Signal, members: tuple[str, ...],
        event: Event, now: int, out: Out,
    ) -> None:  # fmt: skip
        is_new = incident is None
        if incident is None:
            incident = self._open(rule, signal, event)
            if incident.subject != signal.subject:
                members = tuple(f"{signal.subject} {member}".strip() for member in members)
        before = len(incident.members)
        for member in members:
            if member in incident.members or len(incident.members) < MEMBERS_MAX:
                incident.members[member] = now
        joined = len(incident.members) > before
        if joined or incident.title != signal.title:
            _say(incident, signal, event)
        incident.ts_last = max(incident.ts_last, event.ts_recv)
        incident.count = max(incident.count, len(incident.members))
        if is_new:
            self._wait_or_raise(rule, incident, event, now, out)
        elif incident.stage is Stage.RESTING:
            incident.stage, incident.ts_cleared, incident.because = Stage.WITHHELD, 0, ""
            out.append(AlertNoted(*_times(now), copy.deepcopy(incident)))
        elif incident.stage is Stage.ACTIVE and incident.title != incident.told_title:
            # It became something else, such as a halt after a restriction.
            if now >= incident.ts_due:
                self._raise(rule, incident, now, out)
        elif joined:
            out.append(AlertNoted(*_times(now), copy.deepcopy(incident)))

    def _wait_or_raise(
        self, rule: Rule, incident: Incident, event: Event, now: int, out: Out
    ) -> None:
        wait_ns = rule.wait_ns if event.ts_recv >= self._since else max(rule.wait_ns, SETTLE_NS)
        if not wait_ns:
            self._raise(rule, incident, now, out)
            return
        incident.ts_due = now + wait_ns
        out.append(AlertNoted(*_times(now), copy.deepcopy(incident)))
        out.append(_timer(event, incident))

    @staticmethod
    def _leave(
        incident: Incident, signal: Signal, members: tuple[str, ...], now: int, *, repeats: bool
    ) -> None:
        """Take out of the incident what is not so any more."""
        if signal.exact:
            own = f"{signal.subject} " if incident.subject != signal.subject else ""
            gone = [m for m in incident.members if m.startswith(own) and m not in members]
        elif signal.bad:
            gone = []
        else:
            gone = [member for member in members if member in incident.members]
        if repeats:
            gone += [m for m, said in incident.members.items() if now - said > REPEATED_NS]
        for member in gone:
            incident.members.pop(member, None)

    def _over(self, rule: Rule, incident: Incident, because: str, now: int, out: Out) -> None:
        """What lasted does not last any more."""
        match incident.stage:
            case Stage.GATHERING:
                self._end(incident, now, "it was over before it was told", out)
            case Stage.ACTIVE:
                self._clear(incident, now, because, out)
            case Stage.WITHHELD:
                incident.stage, incident.ts_cleared = Stage.RESTING, now
                incident.because = because
                out.append(AlertNoted(*_times(now), copy.deepcopy(incident)))

    # -- what people are told ----------------------------------------------------------------------

    def _raise(self, rule: Rule, incident: Incident, now: int, out: Out) -> None:
        incident.stage = Stage.ACTIVE
        incident.ts_raised = incident.ts_raised or now
        incident.ts_cleared, incident.because = 0, ""
        incident.notices += 1
        incident.ts_due = now + rule.cooldown_ns if rule.cooldown_ns else 0
        incident.told, incident.told_title = incident.count, incident.title
        out.append(AlertRaised(*_times(now), copy.deepcopy(incident)))
        if incident.ts_due:
            out.append(SetTimer(*_times(now), incident.alert_id, incident.ts_due))

    def _clear(self, incident: Incident, now: int, because: str, out: Out) -> None:
        """Over, and said; it may come back before the cool-down ends."""
        incident.stage, incident.ts_cleared, incident.because = Stage.RESTING, now, because
        incident.notices += 1
        rests = incident.ts_due > now
        if not rests:
            self._forget(incident)
        out.append(AlertCleared(*_times(now), copy.deepcopy(incident), tell=True))

    def _end(self, incident: Incident, now: int, because: str, out: Out) -> None:
        """Over for good; only who would wait for its end in vain is told."""
        tell = incident.stage is Stage.ACTIVE and self._lasts(incident)
        incident.notices += tell
        incident.ts_cleared = incident.ts_cleared or now
        incident.because = incident.because or because
        self._forget(incident)
        out.append(AlertCleared(*_times(now), copy.deepcopy(incident), tell=tell))

    def _lasts(self, incident: Incident) -> bool:
        rule = self._rules.get(incident.rule)
        return rule is None or KINDS[rule.when].lasts

    def _forget(self, incident: Incident) -> None:
        incident.stage, incident.ts_due = Stage.OVER, 0
        self.incidents.pop((incident.rule, incident.subject), None)
        self._counts[incident.rule] -= 1

    def _timer(self, event: TimerFired) -> Out:
        self._now = max(self._now, event.ts_recv)
        incident = self._of_timer(event.key)
        out: Out = []
        if incident is None:
            return out
        now, rule = self._now, self._rules[incident.rule]
        if now < incident.ts_due:
            return [_timer(event, incident)]
        kind = KINDS[rule.when]
        match incident.stage:
            case Stage.GATHERING if not kind.lasts and incident.count < rule.at_least:
                self._end(incident, now, f"fewer than {rule.at_least}", out)
            case Stage.GATHERING | Stage.WITHHELD:
                self._raise(rule, incident, now, out)
            case Stage.RESTING:
                self._end(incident, now, "", out)
            case Stage.ACTIVE if kind.lasts:
                incident.ts_due = 0
                if incident.title != incident.told_title:
                    self._raise(rule, incident, now, out)
            case Stage.ACTIVE if incident.count > incident.told:
                self._raise(rule, incident, now, out)
            case Stage.ACTIVE:
                self._end(incident, now, f"no more of it for {rule.cooldown_s:g} s", out)
        return out

    def _of_timer(self, key: str) -> Incident | None:
        name, _, rest = key.partition(":")
        incident = self.incidents.get((name, rest.rpartition(":")[0]))
        if incident is None or incident.alert_id != key or not incident.ts_due:
            return None
        return incident

    # -- services ----------------------------------------------------------------------------------

    def _with_missing(self, event: ServicesSeen) -> tuple[ServicesSeen, Out]:
        """Who answered, and who should have; and who is expected, where that changed."""
        now = self._now = max(self._now, event.ts_recv)
        before = set(self._services)
        seen = {word.name: now for word in event.services}
        kept = {n: at for n, at in self._services.items() if now - at <= self._forget_ns}
        forgotten = before - kept.keys() - seen.keys()
        missing = [ServiceWord(name, False, GONE) for name in kept if name not in seen]
        self._services = dict(list({**kept, **seen}.items())[:SERVICES_MAX])
        out: Out = []
        if self._services.keys() != before:
            out.append(ServicesExpected(*_times(now), tuple(self._services)))
        # One that is not expected any more has no trouble.
        missing += [ServiceWord(name, True, "is not missed any more") for name in sorted(forgotten)]
        words = (*event.services, *missing)
        return msgspec.structs.replace(event, services=words), out


def _say(incident: Incident, signal: Signal, event: Event) -> None:
    incident.title, incident.detail = signal.title, signal.detail
    incident.ts_last = max(incident.ts_last, event.ts_recv)


def _times(now: int) -> tuple[int, int]:
    return now, now


def _timer(cause: Event, incident: Incident) -> SetTimer:
    return SetTimer(cause.ts_event, cause.ts_recv, incident.alert_id, incident.ts_due)
