"""What one may ask the alerts service, and what it answers: request and reply over the bus.

Each query goes to its subject and is answered with its struct, both by `codec.encode_value`. Times
are ns UTC, 0 where it has not happened.
"""

from enum import StrEnum

import msgspec

LIST = "control.alerts.list"
TEST = "control.alerts.test"
LIMIT_MAX = 200
"""Alerts that are over and still listed, at most."""


class Severity(StrEnum):
    """How much an alert matters; CRITICAL is for what cannot wait until tomorrow."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"

    def reaches(self, least: "Severity") -> bool:
        """Whether it is at least `least`."""
        order = list(Severity)
        return order.index(self) >= order.index(least)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one alert on one channel.

    `owed` counts what was to be told of the alert, `sent` what has been: each raise, each end.
    With `given_up` what is owed was too old to be tried again. `problem` is of the last try.
    """

    owed: int = 0
    sent: int = 0
    attempts: int = 0
    ts_sent: int = 0
    problem: str = ""
    given_up: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be sent."""
        return self.owed > self.sent and not self.given_up


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert: what its rule saw, how often, and who was told.

    `subject` is what it is about: a strategy, a venue, a service. `count` is how often it was seen,
    for what lasts the largest number of things it was true of at once. `because` says why it is
    over. `deliveries` are by channel.
    """

    alert_id: str
    rule: str
    subject: str
    severity: Severity
    title: str
    detail: str
    remedy: str
    count: int
    ts_first: int
    ts_last: int
    ts_raised: int
    ts_cleared: int = 0
    because: str = ""
    deliveries: dict[str, Delivery] = {}


class ChannelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One channel; its address is never told, only the scheme of it.

    `waiting`: alerts it has not taken yet. `failures`: tries in a row that failed, `problem` why.
    """

    name: str
    scheme: str
    severity_min: Severity
    waiting: int
    failures: int
    problem: str
    ts_sent: int


class RuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in force; empty `channels` is the log alone."""

    name: str
    when: str
    says: str
    enabled: bool
    severity: Severity
    wait_s: float
    cooldown_s: float
    channels: tuple[str, ...]
    at_least: int = 1
    filters: dict[str, str] = {}


class AlertsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What there is: all that is active, the newest `limit` that are over, channels and rules."""

    limit: int = 50


class AlertsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Both lists newest first."""

    active: tuple[Alert, ...]
    recent: tuple[Alert, ...]
    channels: tuple[ChannelReport, ...]
    rules: tuple[RuleReport, ...]


class TrialQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Send a message through one channel now."""

    channel: str


class TrialAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`problem` is "" when the channel took it; `known` are the channels where it is none."""

    problem: str
    scheme: str = ""
    known: tuple[str, ...] = ()
    is_known: bool = True
