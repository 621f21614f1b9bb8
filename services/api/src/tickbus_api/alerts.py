"""Routes about alerts, which the alerts service answers: what is wrong, what was, who was told."""

from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field

from tickbus import alerts_api, codec
from tickbus.alerts_api import (
    LIMIT_MAX,
    Alert,
    AlertsAnswer,
    AlertsQuery,
    ChannelReport,
    RuleReport,
    TrialAnswer,
    TrialQuery,
)
from tickbus.bus import BusError
from tickbus.codec import MalformedMessage
from tickbus_api.access import READ, TRADE
from tickbus_api.gateway import Gateway
from tickbus_api.parsing import nearest
from tickbus_api.problems import Problem, unavailable
from tickbus_api.reading import Operations
from tickbus_api.views import View, iso

router = APIRouter(prefix="/api/v1/alerts", tags=["operations"])
TRIAL_TIMEOUT_S = 65.0
"""Longer than `alerts.send_timeout_s` may be."""
A = TypeVar("A")


class DeliveryView(View):
    """What became of an alert on one channel."""

    channel: str
    waiting: bool = Field(description="whether it still has to take the newest word on it")
    attempts: int
    sent_at: str | None
    problem: str = Field(description="why the last try failed")
    given_up: bool


class AlertView(View):
    """One alert: what its rule saw, how often, and who was told."""

    id: str
    rule: str
    subject: str = Field(description="what it is about: a strategy, a venue, a service")
    severity: str = Field(description="INFO, WARNING or CRITICAL")
    title: str
    detail: str
    remedy: str
    count: int
    first_at: str | None
    last_at: str | None
    raised_at: str | None
    cleared_at: str | None
    because: str = Field(description="why it is over")
    deliveries: list[DeliveryView]

    @classmethod
    def of(cls, alert: Alert) -> "AlertView":
        """The view of `alert`."""
        return cls(
            id=alert.alert_id,
            rule=alert.rule,
            subject=alert.subject,
            severity=alert.severity,
            title=alert.title,
            detail=alert.detail,
            remedy=alert.remedy,
            count=alert.count,
            first_at=iso(alert.ts_first),
            last_at=iso(alert.ts_last),
            raised_at=iso(alert.ts_raised),
            cleared_at=iso(alert.ts_cleared),
            because=alert.because,
            deliveries=[
                DeliveryView(
                    channel=name,
                    waiting=each.is_waiting,
                    attempts=each.attempts,
                    sent_at=iso(each.ts_sent),
                    problem=each.problem,
                    given_up=each.given_up,
                )
                for name, each in alert.deliveries.items()
            ],
        )


class ChannelView(View):
    """One way to reach people; its address is told to nobody, only the scheme of it."""

    name: str
    scheme: str
    severity_min: str
    waiting: int = Field(description="alerts that it has not taken yet")
    failures: int = Field(description="tries in a row that failed")
    problem: str
    sent_at: str | None

    @classmethod
    def of(cls, report: ChannelReport) -> "ChannelView":
        """The view of `report`."""
        return cls(
            name=report.name,
            scheme=report.scheme,
            severity_min=report.severity_min,
            waiting=report.waiting,
            failures=report.failures,
            problem=report.problem,
            sent_at=iso(report.ts_sent),
        )


class RuleView(View):
    """One rule in force; without channels it writes to the log alone."""

    name: str
    when: str
    says: str
    enabled: bool
    severity: str
    wait_s: float
    cooldown_s: float
    at_least: int
    channels: list[str]
    filters: dict[str, str]

    @classmethod
    def of(cls, report: RuleReport) -> "RuleView":
        """The view of `report`."""
        return cls(**msgspec.to_builtins(report))


class AlertsView(View):
    """All that is active and the newest that are over, both newest first."""

    active: list[AlertView]
    recent: list[AlertView]
    channels: list[ChannelView]
    rules: list[RuleView]


class TrialView(View):
    """A message that the channel took."""

    channel: str
    scheme: str
    taken: bool


@router.get("", dependencies=READ)
async def alerts(
    gateway: Operations,
    limit: Annotated[int, Query(ge=0, le=LIMIT_MAX, description="how many that are over")] = 50,
) -> AlertsView:
    """What is wrong now, what was, the channels that people are told through, and the rules."""
    answer = await asked(gateway, limit)
    return AlertsView(
        active=[AlertView.of(alert) for alert in answer.active],
        recent=[AlertView.of(alert) for alert in answer.recent],
        channels=[ChannelView.of(report) for report in answer.channels],
        rules=[RuleView.of(report) for report in answer.rules],
    )


@router.post("/channels/{channel}/test", dependencies=TRADE)
async def test_channel(
    gateway: Operations, channel: Annotated[str, Path(max_length=64)]
) -> TrialView:
    """Send a message through a channel now. 502: the channel did not take it."""
    query = TrialQuery(channel=channel)
    answer = await _ask(gateway, alerts_api.TEST, query, TrialAnswer, TRIAL_TIMEOUT_S)
    if not answer.is_known:
        near = nearest(channel, answer.known, 1)
        known = ", ".join(answer.known) or "none: docs/alerts.md says how to set one"
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "UNKNOWN_CHANNEL",
            f"there is no channel {channel!r}",
            field="channel",
            value=channel,
            remedy=f"did you mean {near[0]!r}?" if near else f"known are {known}",
        )
    if answer.problem:
        raise Problem(
            HTTPStatus.BAD_GATEWAY,
            "CHANNEL_FAILED",
            f"channel {channel}: {answer.problem}",
            field="channel",
            value=channel,
            remedy="see the address in its variable; docs/alerts.md has an example of each kind",
        )
    return TrialView(channel=channel, scheme=answer.scheme, taken=True)


async def asked(gateway: Gateway, limit: int) -> AlertsAnswer:
    """What the alerts service says, with at most `limit` that are over. Raises Problem."""
    timeout_s = gateway.config.ledger_timeout_s
    query = AlertsQuery(limit=limit)
    return await _ask(gateway, alerts_api.LIST, query, AlertsAnswer, timeout_s)


async def _ask(
    gateway: Gateway, subject: str, query: msgspec.Struct, kind: type[A], timeout_s: float
) -> A:
    if gateway.context is None:
        raise unavailable("STARTING", "the gateway is starting", "repeat in a second")
    try:
        payload = await gateway.context.bus.request(subject, codec.encode_value(query), timeout_s)
        return codec.decode_value(payload, kind)
    except BusError as error:
        raise unavailable(
            "ALERTS_UNAVAILABLE",
            f"the alerts service did not answer within {timeout_s:g} s",
            "see GET /api/v1/status for what it waits for, then repeat",
        ) from error
    except MalformedMessage as error:
        raise unavailable(
            "ALERTS_UNINTELLIGIBLE",
            f"the answer of the alerts service could not be read: {error}",
            "run the same version of every service",
        ) from error
