"""Answers about the platform itself."""

from datetime import datetime
from typing import Any

from tickbus_client.answers.base import Answer


class Check(Answer, frozen=True, kw_only=True):
    """One thing the gateway needs; `detail` says what is wrong with it."""

    ok: bool
    detail: str = ""


class Health(Answer, frozen=True, kw_only=True):
    """`status` is ready, degraded (answers, but something it needs is in trouble) or starting."""

    status: str
    version: str
    uptime_s: float
    checks: dict[str, Check]
    market_data_age_ms: int | None


class Installation(Answer, frozen=True, kw_only=True):
    """What the gateway is part of; `mode` is simulated, paper, testnet, live or dry_run.

    Of `venues` the first is the main one.
    """

    name: str
    mode: str
    venues: tuple[str, ...]
    version: str


class Service(Answer, frozen=True, kw_only=True):
    """What one running service says of itself; `latency_us` has p50, p99 and count per hop."""

    service: str
    instance: str
    version: str
    ready: bool
    waiting_for: str
    uptime_s: float
    counts: dict[str, int]
    gauges: dict[str, float]
    latency_us: dict[str, dict[str, float]]
    errors: dict[str, int]
    metrics_url: str


class RiskSummary(Answer, frozen=True, kw_only=True):
    """What risk currently lets pass."""

    state: str
    reason: str
    working_orders: int
    denials: int
    updated_at: datetime | None


class Status(Answer, frozen=True, kw_only=True):
    """Every service that answered, and what risk lets pass, None before it said so.

    `dead_letters` counts messages given up that nobody has seen to, None where unknown.
    """

    services: tuple[Service, ...]
    risk: RiskSummary | None
    dead_letters: int | None


class LetterEvent(Answer, frozen=True, kw_only=True):
    """One event of a message, its fields by name."""

    event: str
    body: Any


class DeadLetter(Answer, frozen=True, kw_only=True):
    """A message that `service` failed at; it stays in the stream ORDERS at `sequence`.

    `state` is DEAD, FAILING while it is still tried, REPLAYED or DROPPED by a person. `events` and
    `payload` (hexadecimal digits) only where one is asked for.
    """

    name: str
    service: str
    state: str
    subject: str
    sequence: int
    attempts: int
    error: str
    trace_hash: str
    failed_at: datetime | None
    replays: int
    events: tuple[LetterEvent, ...] | None = None
    payload: str | None = None


class DeadLetters(Answer, frozen=True, kw_only=True):
    """The newest letters, newest first; `dead` counts all that nobody has seen to."""

    dead: int
    letters: tuple[DeadLetter, ...]


class Found(Answer, frozen=True, kw_only=True):
    """One difference between venue and books; `detail` says what corrected it, if anything."""

    kind: str
    cause: str
    order_id: str
    strategy: str
    instrument_id: str
    detail: str
    found_at: datetime | None


class ReconciledAccount(Answer, frozen=True, kw_only=True):
    """One account as it was looked at, and what that brought to light.

    `open_orders`, `fills` and `payments` were listed by the venue, `asked` are working orders that
    were not. Nothing explains what is in `standing`. `settled` is False while answers are missing.
    """

    venue: str
    cause: str
    looked_at: datetime | None
    open_orders: int
    fills: int
    payments: int
    asked: int
    differences: tuple[Found, ...]
    standing: tuple[Found, ...]
    settled: bool


class Reconciliation(Answer, frozen=True, kw_only=True):
    """Every account that was looked at."""

    accounts: tuple[ReconciledAccount, ...]


class LogLine(Answer, frozen=True, kw_only=True):
    """One line of a service's log, cut where it is long; the log itself has all of it.

    `level` is info, warning, error or critical; `exception` the end of the traceback; `left_out`
    counts lines before it that were too many at once to be told.
    """

    at: datetime | None
    service: str
    instance: str
    level: str
    logger: str
    message: str
    fields: dict[str, str]
    exception: str
    left_out: int


class Logs(Answer, frozen=True, kw_only=True):
    """Lines of logs, the newest first; in the topic `logs` in the order of their time."""

    logs: tuple[LogLine, ...]
