"""POST /api/v1/reconcile: execution is asked, and every way it can fail to answer is said."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from api_access import at_this_machine

from tickbus import codec, reconcile_api
from tickbus.bus import MemoryBus
from tickbus.events import (
    AccountReconciled,
    DifferenceFound,
    DifferenceKind,
    ReconciliationCause,
)
from tickbus.reconcile_api import ReconcileRefusal, ReconcileReport
from tickbus.runtime.telemetry import Telemetry
from tickbus_api.app import create_app

NOW = 1_700_000_000_000_000_000
CAUSE = ReconciliationCause.ASKED
LOST = DifferenceFound(
    NOW, NOW, "", "external", "sim", "", DifferenceKind.BALANCE, CAUSE,
    "asset=USDT expected=100 reported=95",
)  # fmt: skip
LOOKED = AccountReconciled(NOW, NOW, "sim", CAUSE, 3, 2, 1, 0, 4, NOW)
REPORT = ReconcileReport(
    venue="sim", reconciled=LOOKED, differences=(LOST,), standing=(LOST,), settled=True
)


class AContext:
    """A bus on which execution answers."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.telemetry = Telemetry("api")
        self.tracer = None


class AGateway:
    """What the route needs of one."""

    venues = ("sim", "fut")

    def __init__(self) -> None:
        self.context = AContext()


Execution = Callable[[bytes], Awaitable[bytes]]


def answering(answer: Any) -> Execution:
    async def respond(_: bytes) -> bytes:
        return codec.encode_value(answer)

    return respond


async def asked(content: str, **executions: Execution) -> httpx.Response:
    gateway: Any = AGateway()
    for venue, execution in executions.items():
        await gateway.context.bus.respond(reconcile_api.subject(venue), execution)
    transport = httpx.ASGITransport(app=create_app(gateway, at_this_machine()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.post("/api/v1/reconcile", content=content)


async def test_report_of_a_look_is_the_answer() -> None:
    answer = await asked('{"venue": "sim"}', sim=answering(REPORT))
    assert answer.status_code == 200
    (account,) = answer.json()["accounts"]
    assert (account["open_orders"], account["fills"], account["payments"]) == (3, 2, 4)
    (found,) = account["standing"]
    assert (found["kind"], found["detail"]) == ("BALANCE", LOST.detail)


async def test_without_a_venue_every_account_is_looked_at() -> None:
    answer = await asked("", sim=answering(REPORT), fut=answering(REPORT))
    assert len(answer.json()["accounts"]) == 2


@pytest.mark.parametrize(
    ("execution", "status", "code"),
    [
        (None, 503, "EXECUTION_UNAVAILABLE"),
        (answering(ReconcileRefusal(venue="sim", reason="away")), 503, "EXECUTION_UNAVAILABLE"),
        (answering("nonsense"), 503, "EXECUTION_UNAVAILABLE"),
        (
            answering(ReconcileRefusal(venue="sim", reason="paper", retry=False)),
            409, "NOTHING_TO_RECONCILE",
        ),
    ],
)  # fmt: skip
async def test_account_that_was_not_looked_at_is_never_reported_as_sound(
    execution: Execution | None, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickbus.reconcile_api.TIMEOUT_S", 0.1)
    executions = {} if execution is None else {"sim": execution}
    answer = await asked('{"venue": "sim"}', **executions)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "sim" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "word"),
    [('{"venue": "mars"}', "sim, fut"), ('{"venu": "sim"}', "venu"), ("[", "body")],
)
async def test_wrong_request_is_refused_with_what_would_be_right(content: str, word: str) -> None:
    answer = await asked(content)
    assert answer.status_code == 422
    assert word in answer.text
