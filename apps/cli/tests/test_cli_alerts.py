"""`tickbus alerts`, against a gateway that answers as the real one does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tickbus_cli.main import main

DELIVERY = {
    "channel": "slack", "waiting": True, "attempts": 2, "sent_at": None, "problem": "x",
    "given_up": False,
}  # fmt: skip
HALT: dict[str, Any] = {
    "id": "halt:global:1", "rule": "halt", "subject": "global", "severity": "CRITICAL",
    "title": "trading is HALTED: everything", "detail": "MANUAL by ann: test",
    "remedy": "when it is safe: `tickbus resume`", "count": 1, "first_at": "2026-11-22T01:00:00Z",
    "last_at": "2026-11-22T01:00:00Z", "raised_at": "2026-11-22T01:00:00Z", "cleared_at": None,
    "because": "", "deliveries": [DELIVERY],
}  # fmt: skip
OVER = HALT | {"title": "market data of sim is not live", "severity": "WARNING", "deliveries": []}
SLACK = {
    "name": "slack", "scheme": "slack", "severity_min": "INFO", "waiting": 1, "failures": 2,
    "problem": "the server answered 403", "sent_at": None,
}  # fmt: skip
RULE = {
    "name": "login", "when": "login", "says": "somebody without the right password",
    "enabled": True, "severity": "WARNING", "wait_s": 60.0, "cooldown_s": 300.0, "at_least": 5,
    "channels": ["slack"], "filters": {},
}  # fmt: skip


class Gateway(HTTPServer):
    """Answers with `answer` and `status`; remembers what was asked."""

    answer: Any
    status = 200
    asked: list[str]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(self.server.status)
        if self.server.status >= 400:
            self.send_header("Content-Type", "application/problem+json")
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway(("127.0.0.1", 0), Handler)
    server.asked = []
    server.answer = {"active": [HALT], "recent": [OVER], "channels": [SLACK], "rules": [RULE]}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_wrong_is_shown_with_what_to_do_and_is_exit_code_3(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["alerts", "--api-url", gateway.url, "--limit", "7"]) == 3
    assert gateway.asked == ["GET /api/v1/alerts?limit=7"]
    text = capsys.readouterr().out
    for part in (
        "trading is HALTED: everything", "slack (waits)", "what to do: when it is safe",
        "market data of sim is not live", "channel slack (slack): the server answered 403",
    ):  # fmt: skip
        assert part in text, part


def test_nothing_wrong_and_nobody_to_tell_is_said_too(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.answer = {"active": [], "recent": [], "channels": [], "rules": []}
    assert main(["alerts", "list", "--api-url", gateway.url]) == 0
    text = capsys.readouterr().out
    assert "nothing is wrong" in text
    assert "no channel is set" in text


def test_json_is_the_gateways_answer(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--json", "--api-url", gateway.url]) == 3
    assert json.loads(capsys.readouterr().out) == gateway.answer


def test_rules_say_whom_they_tell(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["alerts", "rules", "--api-url", gateway.url]) == 0
    text = capsys.readouterr().out
    for part in ("login", "60 s (5 times)", "somebody without", "channel slack (slack): from INFO"):
        assert part in text, part


def test_a_channel_is_tried(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answer = {"channel": "slack", "scheme": "slack", "taken": True}
    assert main(["alerts", "test", "slack", "--api-url", gateway.url]) == 0
    assert gateway.asked == ["POST /api/v1/alerts/channels/slack/test"]
    assert "channel slack (slack) took the message" in capsys.readouterr().out
    gateway.status = 502
    gateway.answer = {
        "type": "about:blank", "title": "Bad Gateway", "status": 502, "code": "CHANNEL_FAILED",
        "detail": "channel slack: the server answered 403", "remedy": "see the address",
    }  # fmt: skip
    assert main(["alerts", "test", "slack", "--api-url", gateway.url]) == 1
    assert "the server answered 403" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["test"], ["rules", "slack"]])
def test_what_makes_no_sense_is_refused(
    argv: list[str], gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", *argv, "--api-url", gateway.url]) == 2
    assert gateway.asked == []
