"""`tickbus reconcile`, against a gateway that answers as the real one does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tickbus_cli.main import main

FOUND = {
    "kind": "BALANCE", "cause": "ASKED", "order_id": "", "strategy": "external",
    "instrument_id": "", "detail": "asset=USDT expected=100 reported=95", "found_at": None,
}  # fmt: skip
SOUND: dict[str, Any] = {
    "venue": "sim", "cause": "ASKED", "looked_at": None, "open_orders": 3, "fills": 2,
    "payments": 1, "asked": 0, "differences": [], "standing": [], "settled": True,
}  # fmt: skip


class Gateway(HTTPServer):
    """Answers with `answer` and `status`; remembers what was asked."""

    answer: Any = {"accounts": [SOUND]}
    status = 200
    asked: list[tuple[str, Any]]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_account_without_a_difference_is_exit_code_0(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconcile", "--venue", "sim", "--api-url", gateway.url]) == 0
    assert gateway.asked == [("/api/v1/reconcile", {"venue": "sim"})]
    assert "sim: 3 working orders, 2 fills, 1 payments looked at" in capsys.readouterr().out


@pytest.mark.parametrize("account", [{"standing": [FOUND]}, {"settled": False}])
def test_what_nothing_explains_or_nobody_answered_is_exit_code_3(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], account: dict[str, Any]
) -> None:
    gateway.answer = {"accounts": [SOUND, SOUND | account]}
    assert main(["reconcile", "--api-url", gateway.url]) == 3
    assert gateway.asked == [("/api/v1/reconcile", {})]
    said = capsys.readouterr().out
    assert ("reported=95" in said) is ("standing" in account)
    assert ("answers are still missing" in said) is ("settled" in account)


def test_json_is_the_report_as_it_came(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconcile", "--json", "--api-url", gateway.url]) == 0
    assert json.loads(capsys.readouterr().out) == {"accounts": [SOUND]}


def test_account_that_could_not_be_looked_at_is_an_error_with_its_remedy(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 503
    gateway.answer = {"detail": "execution of sim: did not answer", "remedy": "repeat"}
    assert main(["reconcile", "--api-url", gateway.url]) == 1
    assert "execution of sim: did not answer" in capsys.readouterr().err
