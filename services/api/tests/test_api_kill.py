"""POST /api/v1/kill: passed on to the kill switch, never answered better than it was."""

import json
from typing import Any

import httpx
from api_access import at_this_machine

from tickbus_api.app import create_app
from tickbus_api.killswitch import KillSwitch
from tickbus_testkit.scripted import Asked, Told, scripted

DONE = {"exit_code": 0, "summary": "DONE: no order works on 1 account(s); 2 cleared"}
WORKING = {"exit_code": 3, "summary": "ORDERS MAY STILL BE WORKING on sim", "accounts": []}


class AGateway:
    """What the route needs of one."""

    def __init__(self, killswitch: KillSwitch) -> None:
        self.killswitch = killswitch
        self.context = None


async def asked(told: Told | None, content: str = "") -> tuple[httpx.Response, list[Asked]]:
    """What a client gets when the kill switch answers `told`, and what the latter was asked."""
    heard: list[Asked] = []

    async def answer(question: Asked) -> Told | None:
        heard.append(question)
        return told

    async with scripted(answer) as url:
        gateway: Any = AGateway(KillSwitch(url, "a-token"))
        transport = httpx.ASGITransport(app=create_app(gateway, at_this_machine()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return await http.post("/api/v1/kill", content=content), heard


async def test_report_of_a_verified_kill_is_passed_on() -> None:
    told = Told(200, json.dumps(DONE).encode())
    answer, heard = await asked(told, '{"reason": "drill", "flatten": true}')
    assert (answer.status_code, answer.json()) == (200, DONE)
    (question,) = heard
    assert (question.method, question.path) == ("POST", "/kill")
    assert question.headers["authorization"] == "Bearer a-token"
    assert json.loads(question.body) == {"reason": "drill", "flatten": True, "actor": "gateway"}


async def test_unverified_kill_is_a_problem_with_the_report() -> None:
    answer, _ = await asked(Told(502, json.dumps(WORKING).encode()))
    assert answer.status_code == 502
    problem = answer.json()
    assert problem["code"] == "KILL_NOT_VERIFIED"
    assert problem["report"] == WORKING
    assert "tickbus kill" in problem["remedy"]


async def test_switch_that_is_away_or_refuses_is_said() -> None:
    away, _ = await asked(None)
    assert (away.status_code, away.json()["code"]) == (503, "KILL_SWITCH_UNAVAILABLE")
    refused, _ = await asked(Told(401, b'{"error":"token"}'))
    assert (refused.status_code, refused.json()["code"]) == (503, "KILL_SWITCH_REFUSED")
    assert "TICKBUS_KILL_TOKEN" in refused.json()["remedy"]


async def test_wrong_body_does_nothing() -> None:
    answer, heard = await asked(Told(200, b"{}"), '{"flaten": true}')
    assert answer.status_code == 422
    assert "flaten" in answer.json()["detail"]
    assert heard == []
