"""The commands about risk, against a gateway that answers as the real one does."""

import asyncio
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, NatsBus
from tickbus.events import RiskReport, ScopeReport, SetTradingState, TradingState
from tickbus_cli import names, resume
from tickbus_cli.errors import CliError
from tickbus_cli.main import main
from tickbus_killswitch.halt import KEY

LIMIT = {
    "scope": "strategy:pp", "name": "daily_loss_max", "value": "100", "configured": None,
    "actor": "ann", "reason": "new month", "changed_at": None,
}  # fmt: skip
SCOPE = {
    "scope": "global", "state": "ACTIVE", "reason": "never set", "gross_exposure": "1.23456",
    "net_exposure": "0", "net_pnl": "-3", "daily_loss": "3", "drawdown": "4",
    "heartbeat_lost": False,
}  # fmt: skip
STATE = {
    "state": "ACTIVE", "reason": "never set", "working_orders": 0, "denials": 0, "currency": "USDT",
    "scopes": [SCOPE], "updated_at": None,
}  # fmt: skip


class Gateway(HTTPServer):
    """Remembers what was asked; `status` and `problem` are what it answers to a change."""

    asked: list[tuple[str, str, Any]]
    status = 200
    problem: dict[str, Any] | None = None


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("PUT", json.loads(body))

    def _answer(self, method: str, body: Any) -> None:
        self.server.asked.append((method, self.path, body))
        answer: Any = STATE if self.path.endswith("state") else {"limits": [LIMIT]}
        if self.server.problem is not None:
            answer = self.server.problem
        self.send_response(self.server.status if method == "PUT" else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

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
    thread.join(5)
    server.server_close()


def run(gateway: Gateway, *arguments: str) -> int:
    return main([*arguments, "--api-url", f"http://127.0.0.1:{gateway.server_port}"])


def test_state_and_limits_are_shown(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gateway, "risk", "state") == 0
    assert "1.23" in capsys.readouterr().out
    assert run(gateway, "risk", "limits", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"limits": [LIMIT]}


def test_a_limit_is_sent_as_it_was_typed_with_scope_and_reason(gateway: Gateway) -> None:
    arguments = ("risk", "limits", "set", "daily_loss_max", "100.10", "--strategy", "pp")
    assert run(gateway, *arguments, "--reason", "new month") == 0
    _, path, body = gateway.asked[0]
    assert path == "/api/v1/risk/limits"
    assert body.pop("actor")
    assert body == {
        "scope": "strategy:pp", "name": "daily_loss_max", "value": "100.10", "reason": "new month",
    }  # fmt: skip
    assert run(
        gateway, "risk", "limits", "set", "open_orders_max", "configured", "--reason", "x"
    ) == 0  # fmt: skip
    assert (gateway.asked[1][2]["scope"], gateway.asked[1][2]["value"]) == ("global", None)


def test_halt_says_what_and_why(gateway: Gateway) -> None:
    assert run(gateway, "halt", "--reason", "drill", "--flatten") == 0
    assert run(gateway, "halt", "--reducing", "--strategy", "pp", "--reason", "drill") == 0
    bodies = [body for _, _, body in gateway.asked]
    assert [(b["state"], b.get("strategy"), b["flatten"]) for b in bodies] == [
        ("HALTED", None, True), ("REDUCING", "pp", False),
    ]  # fmt: skip


def test_a_name_that_nobody_has_is_only_sent_as_such_when_forced(gateway: Gateway) -> None:
    force = ("--strategy", "later", "--reason", "x", "--even-if-unknown")
    assert run(gateway, "halt", *force) == 0
    assert run(gateway, "risk", "limits", "set", "daily_loss_max", "1", *force) == 0
    assert [body.get("even_if_unknown") for _, _, body in gateway.asked] == [True, True]


def test_what_risk_has_not_confirmed_is_no_success(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 202
    assert run(gateway, "halt", "--reason", "drill") == 1
    assert "has not confirmed" in capsys.readouterr().err


def test_a_refusal_is_shown_with_value_and_remedy(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.status = 422
    gateway.problem = {
        "code": "INVALID_VALUE", "detail": "x: cannot be", "value": "-1", "remedy": "give more"
    }  # fmt: skip
    assert run(gateway, "risk", "limits", "set", "x", "-1", "--reason", "y") == 1
    said = capsys.readouterr().err
    assert "x: cannot be (given: -1)" in said
    assert "Remedy: give more." in said


def test_a_gateway_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["halt", "--reason", "x", "--api-url", "http://127.0.0.1:9"])
    assert code == 1
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_a_platform_elsewhere_is_resumed_over_its_gateway(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(gateway, "resume", "--reason", "seen", "--yes") == 0
    assert "trading is ACTIVE already" in capsys.readouterr().out
    monkeypatch.setitem(SCOPE, "state", "HALTED")
    monkeypatch.setitem(SCOPE, "reason", "odd fills (ann)")
    assert run(gateway, "resume", "--reason", "seen", "--yes") == 0
    said = capsys.readouterr().out
    assert "trading is HALTED: odd fills (ann)" in said
    assert said.endswith("trading is ACTIVE\n")
    method, path, body = gateway.asked[-1]
    assert (method, path) == ("PUT", "/api/v1/risk/state")
    assert (body["state"], body["reason"], body.get("strategy")) == ("ACTIVE", "seen", None)
    assert run(gateway, "resume", "--reason", "seen") == 1, "nobody is there to be asked"
    assert "Use --yes" in capsys.readouterr().err


async def test_what_risk_stopped_itself_is_resumed_by_the_same_command(
    nats_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names.risk_report, "__defaults__", (60.0,))  # it always comes
    zero = Decimal(0)
    stopped = ScopeReport(
        "strategy:pp", TradingState.HALTED, "drawdown_max 5 reached: 6 (risk)", zero, zero, zero,
        zero, zero,
    )  # fmt: skip
    report = codec.encode([RiskReport(1, 1, "USDT", (stopped,), ())])
    bus = await NatsBus.connect(nats_url, "a-stand-in-for-risk")

    async def tell() -> None:
        while True:
            await bus.publish(subjects.RISK_STATE, report)
            await asyncio.sleep(0.05)

    telling = asyncio.create_task(tell())
    try:
        assert await resume.resume(nats_url, "pp", "understood", (), yes=True) == 0
        value, _ = await bus.kv_read("control", "strategy/pp")
        assert await resume.resume(nats_url, "quiet", "nothing to do", ["quiet"], yes=True) == 0
        assert await resume.resume(nats_url, "x", "nothing to do", None, yes=True) == 0
        with pytest.raises(CliError, match=r"no strategy 'p' here\n  Did you mean 'pp'\?.*--even"):
            await resume.resume(nats_url, "p", "misspelt", ["quiet"], yes=True)
        assert await bus.kv_read("control", "strategy/p") == (b"", 0)
    finally:
        telling.cancel()
        await bus.close()
    wish = codec.decode_value(value, SetTradingState)
    assert (wish.strategy_id, wish.state, wish.reason) == ("pp", TradingState.ACTIVE, "understood")
    said = capsys.readouterr().out
    assert "strategy pp is HALTED: drawdown_max 5 reached: 6 (risk)" in said
    assert "strategy quiet is ACTIVE already" in said
    assert "strategy x is ACTIVE already" in said, "forced"


async def test_a_kill_while_it_asks_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (SetTradingState(n, n, TradingState.HALTED, "ada", f"kill {n}") for n in (1, 2))

    class Meanwhile(MemoryBus):
        async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
            shown = await super().kv_read(bucket, key)
            await self.kv_put(bucket, key, codec.encode_value(second))
            return shown

    bus = Meanwhile()
    await bus.kv_put("control", KEY, codec.encode_value(first))
    monkeypatch.setattr(NatsBus, "connect", AsyncMock(return_value=bus))
    with pytest.raises(CliError, match="told otherwise meanwhile"):
        await resume.resume("nats://there", "", "seen", None, yes=True)
    value, _ = await MemoryBus.kv_read(bus, "control", KEY)
    assert codec.decode_value(value, SetTradingState) == second
