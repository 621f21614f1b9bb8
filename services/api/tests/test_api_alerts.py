"""GET /api/v1/alerts and the trial of a channel: the alerts service is asked, within bounds."""

from typing import Any

import httpx
from api_access import at_this_machine

from tickbus import alerts_api, codec
from tickbus.alerts_api import (
    Alert,
    AlertsAnswer,
    AlertsQuery,
    ChannelReport,
    Delivery,
    RuleReport,
    Severity,
    TrialAnswer,
    TrialQuery,
)
from tickbus.bus import MemoryBus
from tickbus_api.app import create_app
from tickbus_api.config import ApiConfig

NOW = 1_700_000_000_000_000_000
ALERT = Alert(
    alert_id=f"halt:global:{NOW}", rule="halt", subject="global", severity=Severity.CRITICAL,
    title="trading is HALTED: everything", detail="MANUAL by ann: test", remedy="resume", count=1,
    ts_first=NOW, ts_last=NOW, ts_raised=NOW,
    deliveries={"ops": Delivery(owed=1, attempts=2, problem="the server answered 503")},
)  # fmt: skip
ANSWER = AlertsAnswer(
    active=(ALERT,),
    recent=(),
    channels=(
        ChannelReport(
            name="ops", scheme="json", severity_min=Severity.INFO, waiting=1, failures=2,
            problem="the server answered 503", ts_sent=0,
        ),
    ),
    rules=(
        RuleReport(
            name="halt", when="halt", says="stopped", enabled=True, severity=Severity.CRITICAL,
            wait_s=0.0, cooldown_s=0.0, channels=("ops",), filters={"strategies": "a*"},
        ),
    ),
)  # fmt: skip


class AContext:
    """A bus on which the alerts service answers."""

    tracer = None

    def __init__(self) -> None:
        self.bus = MemoryBus()


class AGateway:
    """What the routes need of one."""

    config = ApiConfig(ledger_timeout_s=30)

    def __init__(self) -> None:
        self.context = AContext()


async def asked(method: str, path: str, *answers: tuple[str, Any]) -> tuple[httpx.Response, Any]:
    """The answer, and what the service was asked last."""
    gateway: Any = AGateway()
    seen: list[bytes] = []
    for subject, answer in answers:

        async def respond(payload: bytes, answer: Any = answer) -> bytes:
            seen.append(payload)
            return answer if isinstance(answer, bytes) else codec.encode_value(answer)

        await gateway.context.bus.respond(subject, respond)
    transport = httpx.ASGITransport(app=create_app(gateway, at_this_machine()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.request(method, f"/api/v1/alerts{path}"), (seen or [b""])[-1]


async def test_alerts_channels_and_rules_are_shown() -> None:
    answer, query = await asked("GET", "?limit=3", (alerts_api.LIST, ANSWER))
    assert codec.decode_value(query, AlertsQuery) == AlertsQuery(limit=3)
    body = answer.json()
    (alert,) = body["active"]
    assert (alert["severity"], alert["cleared_at"]) == ("CRITICAL", None)
    assert alert["raised_at"].startswith("2023-11-14T22:13:20")
    (delivery,) = alert["deliveries"]
    assert (delivery["channel"], delivery["waiting"], delivery["attempts"]) == ("ops", True, 2)
    assert body["channels"][0]["scheme"] == "json"
    assert body["rules"][0]["filters"] == {"strategies": "a*"}
    assert body["recent"] == []


async def test_a_channel_that_takes_the_message_is_200() -> None:
    given = TrialAnswer(problem="", scheme="json", known=("ops",))
    answer, query = await asked("POST", "/channels/ops/test", (alerts_api.TEST, given))
    assert codec.decode_value(query, TrialQuery) == TrialQuery(channel="ops")
    assert answer.json() == {"channel": "ops", "scheme": "json", "taken": True}


async def test_one_that_does_not_and_one_that_is_none_are_problems() -> None:
    failed = TrialAnswer(problem="the server answered 503", scheme="json", known=("ops",))
    answer, _ = await asked("POST", "/channels/ops/test", (alerts_api.TEST, failed))
    assert (answer.status_code, answer.json()["code"]) == (502, "CHANNEL_FAILED")
    none = TrialAnswer(problem="no", known=("ops",), is_known=False)
    answer, _ = await asked("POST", "/channels/opps/test", (alerts_api.TEST, none))
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_CHANNEL")
    assert answer.json()["remedy"] == "did you mean 'ops'?"
    none = TrialAnswer(problem="no", known=(), is_known=False)
    answer, _ = await asked("POST", "/channels/opps/test", (alerts_api.TEST, none))
    assert "docs/alerts.md" in answer.json()["remedy"]


async def test_a_service_that_is_away_or_speaks_otherwise_is_503_with_a_remedy() -> None:
    answer, _ = await asked("GET", "")
    assert (answer.status_code, answer.json()["code"]) == (503, "ALERTS_UNAVAILABLE")
    answer, _ = await asked("GET", "", (alerts_api.LIST, b"\xc1"))
    assert (answer.status_code, answer.json()["code"]) == (503, "ALERTS_UNINTELLIGIBLE")
    answer, _ = await asked("GET", "?limit=9999")
    assert answer.status_code == 422
