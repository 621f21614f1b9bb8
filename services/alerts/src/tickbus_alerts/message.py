"""What people read: one alert, or many that waited for a channel."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tickbus.alerts_api import Alert, Severity

LISTED_MAX = 20


class Message(NamedTuple):
    """What is sent through a channel, as plain text."""

    title: str
    body: str
    severity: Severity


def message_of(alerts: Sequence[Alert], platform: str) -> Message:
    """One message about `alerts`, oldest first; there is at least one."""
    if len(alerts) == 1:
        return _one(alerts[0], platform)
    severity = max((a.severity for a in alerts), key=list(Severity).index)
    lines = [line for alert in alerts[:LISTED_MAX] for line in _brief(alert)]
    if len(alerts) > LISTED_MAX:
        lines.append(f"and {len(alerts) - LISTED_MAX} more: see `tickbus alerts`")
    return Message(f"[{platform}] {len(alerts)} alerts", "\n".join(lines), severity)


def trial(channel: str, platform: str) -> Message:
    """What `tickbus alerts test` sends."""
    text = f"This is a test of the channel {channel}: alerts of this platform come this way."
    return Message(f"[{platform}] test", text, Severity.INFO)


def _one(alert: Alert, platform: str) -> Message:
    lines = [alert.detail] if alert.detail else []
    lines.append(f"since {_clock(alert.ts_first)}{_count(alert)}")
    if alert.ts_cleared:
        lines.append(f"over at {_clock(alert.ts_cleared)}: {alert.because}")
    elif alert.remedy:
        lines.append(f"what to do: {alert.remedy}")
    severity = Severity.INFO if alert.ts_cleared else alert.severity
    return Message(f"[{platform}] {_head(alert)}", "\n".join(lines), severity)


def _brief(alert: Alert) -> list[str]:
    head = f"{_head(alert)} (since {_clock(alert.ts_first)}{_count(alert)})"
    more = alert.because if alert.ts_cleared else alert.detail
    return [head, f"  {more}"] if more else [head]


def _head(alert: Alert) -> str:
    word = "CLEARED" if alert.ts_cleared else alert.severity
    others = ", and others" if alert.subject == "others" else ""
    return f"{word}: {alert.title}{others}"


def _count(alert: Alert) -> str:
    return "" if alert.count == 1 else f", {alert.count} in all"


def _clock(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
