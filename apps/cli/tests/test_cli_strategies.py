"""The commands about strategies, against a gateway that answers as the real one does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tickbus_cli.main import main

MARKET = {
    "venue": "sim", "instrument_id": "ETH-USDT", "quantity": "0.5", "avg_entry_price": "100",
    "realized_pnl": "3", "unrealized_pnl": "-1.5", "fees": "0.25", "working_orders": 2,
}  # fmt: skip
TERMS = {
    "kind": "momentum", "instruments": ["ETH-USDT"], "params": {"window_s": "5"},
    "is_running": True, "venue": "", "venues": [],
}  # fmt: skip
ORDER = {
    "id": "mo-r-1", "venue": "sim", "instrument_id": "ETH-USDT", "side": "BUY", "type": "LIMIT",
    "quantity": "1", "price": "99", "filled_quantity": "0", "state": "OPEN",
}  # fmt: skip
DECISION = {
    "decided_at": "2026-11-21T18:30:00Z", "venue": "sim", "instrument_id": "ETH-USDT",
    "inputs": {"velocity": "7.5"}, "orders": ["mo-r-1"],
}  # fmt: skip
STRATEGY = {
    "id": "mo", "phase": "RUNNING", "terms": TERMS, "params": {"window_s": 5.0}, "revision": 3,
    "configured": True, "error": "", "markets": [MARKET], "orders": [ORDER],
    "decisions": [DECISION],
}  # fmt: skip
KIND = {
    "kind": "momentum", "title": "Follows a move", "doc": "Follows a move.\n\nIdea: it goes on.",
    "params_doc": "`window_s`: seconds.", "spanning": False, "problem": "",
    "params": {"$ref": "#/$defs/P", "$defs": {"P": {"properties": {"window_s": {"default": 5}}}}},
}  # fmt: skip


class Gateway(HTTPServer):
    """Remembers what was asked; `status` is what it answers to a change."""

    asked: list[tuple[str, str, Any]]
    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, body))
        answer: Any = {"id": "mo", "revision": 4, "applied": True, "strategy": STRATEGY}
        if "strategy-kinds" in self.path:
            answer = {"kinds": [KIND]}
        elif "/decisions" in self.path:
            more = "cursor=" not in self.path
            answer = {"decisions": [DECISION, DECISION], "next_cursor": "7" if more else None}
        elif self.command == "GET":
            one = self.path.endswith("/mo")
            answer = STRATEGY if one else {"strategies": [STRATEGY]}
        elif self.server.status == 202:
            answer = {"id": "mo", "revision": 4, "applied": False, "strategy": None}
        elif self.server.status == 404:
            answer = {
                "code": "UNKNOWN_STRATEGY", "detail": "there is no strategy 'moe'",
                "field": "strategy_id", "value": "moe",
                "remedy": "there are mo; PUT /api/v1/strategies/moe makes one",
            }  # fmt: skip
        self.send_response(self.server.status if body else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_DELETE = do_GET = do_PUT = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(gateway: Gateway, *words: str) -> int:
    url = f"http://127.0.0.1:{gateway.server_port}"
    at = 1 if words and not words[0].startswith("-") else 0
    return main(["strategies", *words[:at], "--api-url", url, *words[at:]])


def test_one_that_does_not_exist_is_answered_with_the_command_that_makes_it(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 404
    assert ask(gateway, "start", "moe") == 1
    said = capsys.readouterr().err
    assert "there is no strategy 'moe'" in said
    assert "`tickbus strategies start moe --kind KIND --instrument ID`" in said
    assert "`tickbus strategies kinds`" in said


def test_they_are_listed_and_one_is_shown(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    for words in ((), ("list",)):
        assert ask(gateway, *words) == 0
        said = capsys.readouterr().out
        assert "RUNNING" in said
        assert "0.5 ETH-USDT" in said
        assert "1.25" in said, "realised and unrealised less fees"
    assert ask(gateway, "show", "mo") == 0
    said = capsys.readouterr().out
    for words_in in ("mo-r-1", "velocity=7.5", "window_s=5.0", "revision 3"):
        assert words_in in said
    assert ask(gateway, "show", "mo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == "mo"


def test_what_made_one_fail_stands_whole_below_the_list(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    error = "AttributeError(\"'Mine' object has no attribute 'positionn'\") in line 35 of mine.py"
    monkeypatch.setitem(STRATEGY, "error", error)
    monkeypatch.setitem(STRATEGY, "terms", TERMS | {"kind": "/a/m.py:M"})
    assert ask(gateway) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"mo: {error}"
    assert " m.py:M " in said[1], "of a file the name: where it lies is long, and in `--json`"


def test_kinds_say_what_they_take(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert ask(gateway, "kinds") == 0
    assert "Follows a move" in capsys.readouterr().out
    assert ask(gateway, "kinds", "momentum") == 0
    said = capsys.readouterr().out
    assert "Idea: it goes on." in said
    assert "window_s=5" in said
    assert gateway.asked[-1][1].endswith("?kind=momentum")


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (("start", "mo"), "POST", "/mo/start", {}),
        (("stop", "mo"), "POST", "/mo/stop", {"flatten": False}),
        (("stop", "mo", "--flatten"), "POST", "/mo/stop", {"flatten": True}),
        (("flatten", "mo"), "POST", "/mo/flatten", {}),
        (("reset", "mo"), "POST", "/mo/reset", {}),
        (("set", "mo", "a=8.10", "b=default", "c=x", "d=true"), "PATCH", "/mo/params",
         {"params": {"a": "8.10", "b": None, "c": "x", "d": True}}),
        (("switch", "mo", "ping-pong", "profit_bps=3"), "PUT", "/mo",
         {**TERMS, "kind": "ping-pong", "params": {"profit_bps": "3"}}),
        (("start", "me", "--kind", "me.py:Me", "--instrument", "BTC-USDT", "--param", "n=1"),
         "PUT", "/me",
         {"kind": "me.py:Me", "instruments": ["BTC-USDT"], "params": {"n": "1"}, "venue": "",
          "venues": [], "is_running": True}),
    ],
)  # fmt: skip
def test_each_change_is_one_request_with_who_and_why(
    gateway: Gateway, words: tuple[str, ...], method: str, path: str, body: dict[str, Any]
) -> None:
    assert ask(gateway, *words, "--reason", "because") == 0
    said, where, sent = gateway.asked[-1]
    assert (said, where) == (method, f"/api/v1/strategies{path}")
    assert sent.pop("actor")
    assert sent.pop("reason") == "because"
    assert sent == body


def test_an_id_is_given_up_with_who_and_why_in_the_query(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(gateway, "delete", "mo", "--reason", "because it's over") == 0
    assert capsys.readouterr().out == "mo is deleted\n"
    said, where, sent = gateway.asked[-1]
    assert said == "DELETE"
    assert where.startswith("/api/v1/strategies/mo?reason=because+it%27s+over&actor=")
    assert sent is None


def test_what_no_process_applied_yet_is_said(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 202
    assert ask(gateway, "start", "mo") == 1
    assert "no process has applied it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("set", "mo", "nonsense"), ("start", "mo", "--param", "a=1"), ("set", "mo", "=1")]
)
def test_what_is_no_change_is_refused_before_anything_is_sent(
    gateway: Gateway, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(gateway, *words) == 1
    assert gateway.asked == []
    assert capsys.readouterr().err


def test_decisions_of_a_stretch_of_time_are_read_page_by_page(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ("--since", "2026-11-22T08:00", "--until", "2026-11-22T09:00")
    assert ask(gateway, "decisions", "mo", *span, "--limit", "3", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["inputs"] for line in lines] == [DECISION["inputs"]] * 3
    first, second = (urlsplit(path) for _, path, _ in gateway.asked)
    assert first.path == second.path == "/api/v1/strategies/mo/decisions"
    wanted = {"start": ["2026-11-22T08:00:00+00:00"], "end": ["2026-11-22T09:00:00+00:00"]}
    assert parse_qs(first.query) == {**wanted, "limit": ["3"]}
    assert parse_qs(second.query) == {**wanted, "limit": ["3"], "cursor": ["7"]}
    assert ask(gateway, "decisions", "mo", "--limit", "0") == 0
    assert capsys.readouterr().out.count("ETH-USDT") == 4
