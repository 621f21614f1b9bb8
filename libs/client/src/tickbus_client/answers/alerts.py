"""Answers about alerts."""

from datetime import datetime

from tickbus_client.answers.base import Answer


class Delivery(Answer, frozen=True, kw_only=True):
    """What became of an alert on one channel; `waiting` for as long as it has not taken it."""

    channel: str
    waiting: bool
    attempts: int
    sent_at: datetime | None
    problem: str
    given_up: bool


class Alert(Answer, frozen=True, kw_only=True):
    """One alert: what its rule saw of `subject`, how often, and who was told.

    `severity` is INFO, WARNING or CRITICAL. `because` says why it is over.
    """

    id: str
    rule: str
    subject: str
    severity: str
    title: str
    detail: str
    remedy: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    raised_at: datetime | None
    cleared_at: datetime | None
    because: str
    deliveries: tuple[Delivery, ...]


class Channel(Answer, frozen=True, kw_only=True):
    """One way to reach people, by its name and the scheme of its address.

    `waiting`: alerts that it has not taken yet; `failures`: tries in a row that failed.
    """

    name: str
    scheme: str
    severity_min: str
    waiting: int
    failures: int
    problem: str
    sent_at: datetime | None


class Rule(Answer, frozen=True, kw_only=True):
    """One rule in force; without channels it writes to the log alone."""

    name: str
    when: str
    says: str
    enabled: bool
    severity: str
    wait_s: float
    cooldown_s: float
    at_least: int
    channels: tuple[str, ...]
    filters: dict[str, str]


class Alerts(Answer, frozen=True, kw_only=True):
    """All that is active and the newest that are over, both newest first."""

    active: tuple[Alert, ...]
    recent: tuple[Alert, ...]
    channels: tuple[Channel, ...]
    rules: tuple[Rule, ...]


class Trial(Answer, frozen=True, kw_only=True):
    """A message that the channel took."""

    channel: str
    scheme: str
    taken: bool
