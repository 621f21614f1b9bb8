"""Commands of the desk against the gateway itself, with stand-ins for what is behind it."""

import argparse
import asyncio
import io
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from api_platform import NOW, Platform, approved, denied

from tickbus import alerts_api, codec, ledger_api, subjects
from tickbus.alerts_api import Alert, AlertsAnswer, Severity
from tickbus.bus import MemoryBus
from tickbus.events import (
    GLOBAL,
    EquityPoint,
    Event,
    LogLevel,
    LogRecorded,
    RiskReport,
    RiskState,
    ScopeReport,
    SetTradingState,
    SubmitOrder,
    TradingState,
)
from tickbus_api.access import Role
from tickbus_api.access.hashing import Passwords
from tickbus_api.access.records import USER, UserRecord
from tickbus_api.service import HttpEdge
from tickbus_cli import asking, sessions
from tickbus_cli.main import main
from tickbus_client.answers.access import Tokens

WAIT_S = 30
D = Decimal


class Desk:
    """A gateway in a thread of its own, as commands reach it: over HTTP."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(WAIT_S)
        (edge,) = self.platform.shell.spec.edges
        assert isinstance(edge, HttpEdge)
        self.url = f"http://127.0.0.1:{edge.port}"

    async def _start(self) -> None:
        self.platform = Platform()
        await self.platform.start()

    def ask(self, *words: str) -> int:
        """The exit code of `tickbus WORDS`."""
        return main([words[0], "--api-url", self.url, *words[1:]])

    def publish(self, *events: Event) -> None:
        """Have services say something, and a second pass."""

        async def publish() -> None:
            await self.platform.publish(*events)
            self.platform.clock.advance_to(self.platform.clock.now_ns() + 10**9)

        asyncio.run_coroutine_threadsafe(publish(), self._loop).result(WAIT_S)

    def respond(self, subject: str, answer: bytes) -> None:
        """Have a service answer `subject`."""

        async def respond(_: bytes) -> bytes:
            return answer

        ready = self.platform.bus.respond(subject, respond)
        asyncio.run_coroutine_threadsafe(ready, self._loop).result(WAIT_S)

    def risk(self) -> list[SetTradingState]:
        """Have risk carry out what is wished of it; what that was."""
        wishes: list[SetTradingState] = []

        async def tell(state: TradingState, ts_wished: int = 0) -> None:
            none = Decimal(0)
            numbers = (none, none, none, none, none)
            scope = ScopeReport(GLOBAL, state, "because", *numbers, ts_wished=ts_wished)
            await self.platform.bus.publish(
                subjects.RISK_STATE,
                codec.encode(
                    [
                        RiskState(NOW, NOW, state, "because", 0, 0),
                        RiskReport(NOW, NOW, "USDT", (scope,), ()),
                    ]
                ),
            )

        async def obey(_: str, payload: bytes) -> None:
            wish = codec.decode_value(payload, SetTradingState)
            wishes.append(wish)
            await tell(wish.state, wish.ts_recv)

        async def begin() -> None:
            await self.platform.bus.kv_watch("control", obey)
            await tell(TradingState.ACTIVE)
            await self.platform.bus.settle()

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(WAIT_S)
        return wishes

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.platform.stop(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("TICKBUS_API_URL", "TICKBUS_API_KEY", "TICKBUS_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    desk = Desk()
    yield desk
    desk.close()


def test_an_order_that_begins_with_the_symbol_is_told_what_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["orders", "place", "BTCUSDT", "buy", "1"])
    assert "the side comes first, as in buy 0.001 BTCUSDT" in capsys.readouterr().err


def test_an_order_is_placed_listed_shown_and_cancelled(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.ask("orders", "place", "buy", "0.50", "btc/usdt", "--price", "100.25") == 0
    placed = capsys.readouterr().out
    assert "OPEN: BUY 0.5 BTCUSDT (sim) LIMIT at 100.25" in placed
    (name,) = (order.client_order_id for order in desk.platform.books)
    assert desk.ask("orders", "--limit", "1", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    listed = json.loads(line)
    assert (listed["order"], listed["quantity"], listed["state"]) == (name, "0.50", "OPEN")
    assert desk.ask("orders", "show", name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == name
    assert desk.ask("orders", "cancel", name) == 0
    assert f"{name}: CANCELED" in capsys.readouterr().out
    assert desk.ask("orders", "cancel", name) == 1
    assert "can no longer be cancelled" in capsys.readouterr().err


def test_a_repeated_key_places_one_order(desk: Desk) -> None:
    for _ in range(2):
        assert desk.ask("orders", "place", "buy", "1", "BTCUSDT", "--price", "9", "--key", "k") == 0
    assert len(list(desk.platform.books)) == 1


def test_a_working_order_is_replaced_in_what_was_asked_for(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.ask("orders", "place", "buy", "0.50", "BTCUSDT", "--price", "100.25") == 0
    (old,) = (order.client_order_id for order in desk.platform.books)
    assert desk.ask("orders", "replace", old, "--price", "101.5") == 0
    assert "BUY 0.5 BTCUSDT (sim) LIMIT at 101.5" in capsys.readouterr().out
    sent = desk.platform.intents[-1]
    assert isinstance(sent, SubmitOrder)
    assert (sent.replaces, sent.price, sent.quantity) == (old, Decimal("101.5"), Decimal("0.50"))
    assert desk.ask("orders", "replace", sent.client_order_id, "--quantity", "0.75", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["quantity"], told["price"]) == ("0.75", "101.5")
    assert desk.ask("orders", "replace", "no-such", "--price", "1") == 1
    assert "no-such" in capsys.readouterr().err
    assert desk.ask("orders", "replace", told["id"]) == 1
    assert "Remedy: " in capsys.readouterr().err


def test_an_order_in_flight_is_not_certain_yet(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.platform.answer = approved
    desk.platform.hurry()
    assert desk.ask("orders", "place", "buy", "1", "BTCUSDT") == 1
    assert "not certain yet: see `tickbus orders show" in capsys.readouterr().err


def test_a_key_is_made_with_an_end_listed_and_taken_back(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ("keys", "create", "report", "read", "--network", "10.0.0.0/8")
    assert desk.ask(*create, "--expires", "2030-01-02T03:04", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["expires_at"].startswith("2030-01-02T03:04:00")
    assert made["networks"] == ["10.0.0.0/8"]
    assert desk.ask("keys", "--json") == 0
    (listed,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (listed["id"], listed["expires_at"][:10]) == (made["id"], "2030-01-02")
    assert made["key"].rpartition("_")[2] not in json.dumps(listed)
    assert desk.ask(*create, "--expires", "2001-01-01") == 1
    assert "is over already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        desk.ask(*create, "--expires", "tomorrow")
    file = tmp_path / "report.key"
    assert desk.ask(*create, "--out", str(file)) == 0
    assert file.read_text().startswith("tbk_")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "tbk_" not in capsys.readouterr().out
    assert desk.ask("keys", "delete", made["id"]) == 0
    assert desk.ask("keys", "delete", made["id"]) == 1
    assert "there is no API key" in capsys.readouterr().err


def test_a_new_secret_signs_logins(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.ask("keys", "rotate") == 0
    assert "tokens of before end by 2023-11-14 22:28:20" in capsys.readouterr().out
    assert desk.ask("keys", "rotate", "--at-once", "--json") == 0
    assert json.loads(capsys.readouterr().out)["earlier_until"] is None


def test_everything_is_flattened_once_it_is_confirmed(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = desk.risk()
    monkeypatch.setattr(sys, "stdin", io.StringIO("FLATTEN\n"))
    assert desk.ask("flatten", "--reason", "going home") == 1
    said = capsys.readouterr()
    assert "1 positions worth 11.00 USDT would be closed at market" in said.out
    assert "Use --yes" in said.err, "nobody is at a terminal"
    assert wishes == []
    assert desk.ask("flatten", "--reason", "going home", "--yes", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {"state": "HALTED", "confirmed": True, "cancels": [], "closes": 1}
    (wish,) = wishes
    assert (wish.state, wish.flatten, wish.reason) == (TradingState.HALTED, True, "going home")


def test_users_are_made_changed_and_removed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.ask("users", "create", "bob", "trader") == 0
    assert "bob, trader: password " in capsys.readouterr().out
    assert desk.ask("users", "change", "bob", "--role", "viewer", "--disable") == 0
    assert "bob: viewer, kept out" in capsys.readouterr().out
    assert desk.ask("users", "--json") == 0
    (bob,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (bob["user"], bob["is_enabled"]) == ("bob", False)
    assert desk.ask("users", "delete", "bob", "--json") == 0
    assert desk.ask("users", "delete", "bob") == 1


def test_history_is_the_lists_themselves_and_the_curve(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    points = (EquityPoint(NOW, D(1000), D(5), D(0)), EquityPoint(NOW + 10**9, D(999), D(4), D(1)))
    answer = ledger_api.EquityAnswer(currency="USDT", points=points)
    desk.respond(ledger_api.EQUITY, codec.encode_value(answer))
    assert desk.ask("orders", "place", "buy", "0.50", "btc/usdt", "--price", "100.25") == 0
    capsys.readouterr()
    at = ("--api-url", desk.url)
    for one, other in (
        (("orders", "list"), ("history", "orders")),
        (("orders", "list", "--working", "--json"), ("history", "orders", "--working", "--json")),
        (("orders", "--symbol", "BTCUSDT"), ("history", "orders", "--instrument", "BTC-USDT")),
        (("fills", "--csv"), ("history", "fills", "--csv")),
    ):
        assert main([*one, *at]) == 0
        first = capsys.readouterr().out
        assert main([*other, *at]) == 0
        assert (first != "", capsys.readouterr().out) == (True, first)
    assert main(["history", "pnl", "--csv", *at]) == 0
    assert [line.split(",", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "equity,net_pnl,drawdown", "1000,5,0", "999,4,1",
    ]  # fmt: skip
    assert main(["history", "orders", "--strategy", "nobody", *at]) == 1
    assert "nobody" in capsys.readouterr().err


def test_the_status_of_a_platform_elsewhere_is_asked_over_its_gateway(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.ask("status") == 0
    said = capsys.readouterr().out
    assert f"tickbus at {desk.url}: risk says nothing" in said
    assert "net P&L" in said
    assert any(line.split()[:3] == ["api", "0", "ready"] for line in said.splitlines()), said
    monkeypatch.setenv("TICKBUS_API_URL", desk.url)
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["services"][0]["service"] == "api"
    assert main(["status", "--api-url", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1 does not answer" in capsys.readouterr().err


def test_who_lost_a_password_is_let_in_again_over_the_bus_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["users", "--api-url", "http://x", "recover", "bob"]) == 2
    assert "over the bus, not over the gateway" in capsys.readouterr().err
    bus = MemoryBus()
    bob = UserRecord("bob", "id-bob", Role.ADMIN, "a hash", NOW)
    asyncio.run(bus.kv_put("access", f"{USER}bob", codec.encode_value(bob)))

    @asynccontextmanager
    async def the_bus(_: argparse.Namespace) -> AsyncIterator[MemoryBus]:
        yield bus

    monkeypatch.setattr(asking, "the_bus", the_bus)
    assert main(["users", "recover", "bbo"]) == 1
    assert "there is no user 'bbo'; did you mean 'bob'?" in capsys.readouterr().err
    assert main(["users", "recover", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["user"], done["role"], done["ended"]) == ("bob", "admin", 0)
    kept, _ = asyncio.run(bus.kv_read("access", f"{USER}bob"))
    hashed = codec.decode_value(kept, UserRecord).password_hash
    assert asyncio.run(Passwords().matches(hashed, done["password"]))


def test_a_refusal_says_why_and_what_helps(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.platform.answer = denied
    assert desk.ask("orders", "place", "sell", "1", "BTCUSDT") == 1
    said = capsys.readouterr().err
    assert "NOTIONAL_ABOVE_MAX" in said
    assert "Remedy: " in said
    assert desk.ask("orders", "--strategy", "p") == 1
    assert "there is no strategy 'p'" in capsys.readouterr().err


@pytest.mark.parametrize("quantity", ["x", "NaN", ""])
def test_what_is_no_number_is_refused_before_anything_is_sent(desk: Desk, quantity: str) -> None:
    with pytest.raises(SystemExit):
        desk.ask("orders", "place", "buy", quantity, "BTCUSDT")
    assert desk.platform.intents == []


def test_an_argument_before_the_command_holds_for_it(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orders", "--api-url", desk.url, "--json", "list"]) == 0
    assert main(["portfolio", "--api-url", desk.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["currency"] == "USDT"


def test_positions_and_profit_are_rounded_for_people_alone(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.ask("positions") == 0
    assert "BTC-USDT" in capsys.readouterr().out
    assert desk.ask("positions", "--json") == 0
    assert json.loads(capsys.readouterr().out)["net_pnl"] == "0.99999999"
    assert desk.ask("portfolio") == 0
    assert "10,011.00" in capsys.readouterr().out
    assert desk.ask("positions", "--strategy", "nobody") == 1
    assert "no books of a strategy 'nobody'" in capsys.readouterr().err


def test_lists_are_written_as_files_that_are_whole_or_not_there(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fills.csv"
    assert desk.ask("export", "fills", "-o", str(file)) == 0
    assert file.read_text().startswith("id,order_id,")
    assert desk.ask("export", "fills", "-o", str(file)) == 1
    assert "is there already" in capsys.readouterr().err
    desk.platform.ledger_answers = False
    desk.platform.hurry()
    assert desk.ask("export", "fills", "-o", str(file), "--overwrite") == 1
    assert file.read_text().startswith("id,order_id,"), "the old one stays"
    assert list(tmp_path.glob(".*")) == []
    assert desk.ask("export", "fills", "--asset", "BTC") == 1
    assert "--asset says nothing about fills" in capsys.readouterr().err


def test_the_stream_ends_after_as_many_updates_as_were_asked_for(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.ask("stream", "orders", "--count", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["topic"], told["kind"], told["data"]) == ("orders", "snapshot", {"orders": []})
    assert desk.ask("stream", "odrers") == 1
    assert "did you mean 'orders'?" in capsys.readouterr().err


class Onlooker(io.StringIO):
    """Somebody who reads along; at so many lines something happens, at last Ctrl-C."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, lines: int,
        at: tuple[int, Callable[[], None]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._lines = lines
        self._at = at
        monkeypatch.setattr(sys, "stdout", self)

    def flush(self) -> None:
        super().flush()
        if self._at is not None and len(self.lines) >= self._at[0]:
            (_, happens), self._at = self._at, None
            happens()
        if len(self.lines) >= self._lines:
            raise KeyboardInterrupt

    @property
    def lines(self) -> list[str]:
        """What was read."""
        return self.getvalue().splitlines()


def a_line(number: int, level: LogLevel = LogLevel.ERROR) -> LogRecorded:
    at = NOW + number
    return LogRecorded(at, NOW, "feed", "1", level, "tickbus.feed", f"line {number}", {"n": "1"})


def test_logs_are_followed_the_newest_last_for_people_and_for_scripts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.publish(a_line(1), a_line(2, LogLevel.WARNING), a_line(3))
    news = (2, lambda: desk.publish(a_line(4), a_line(5)))
    reader = Onlooker(monkeypatch, 4, news)
    assert desk.ask("logs", "-f", "--level", "error", "--service", "feed") == 130
    told = [line.partition("ERROR    feed: ")[2] for line in reader.lines]
    assert told == [f"line {number} n=1" for number in (1, 3, 4, 5)]
    reader = Onlooker(monkeypatch, 4)
    assert desk.ask("logs", "-f", "--level", "error", "--json") == 130
    told = [json.loads(line)["message"] for line in reader.lines]
    assert told == ["line 1", "line 3", "line 4", "line 5"]


def test_logs_of_a_moment_ago_are_listed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.publish(a_line(1, LogLevel.WARNING), a_line(2), a_line(3))
    assert desk.ask("logs", "--level", "error", "--limit", "1") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("ERROR    feed: line 3 n=1")
    assert desk.ask("logs", "--service", "risk", "--json") == 0
    assert capsys.readouterr().out == ""


def test_alerts_are_followed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = Alert(
        alert_id="feed:sim:1", rule="feed", subject="sim", severity=Severity.WARNING,
        title="market data of sim is not live", detail="BTC-USDT is STALE", remedy="", count=2,
        ts_first=NOW, ts_last=NOW, ts_raised=NOW,
    )  # fmt: skip
    answer = AlertsAnswer(active=(alert,), recent=(), channels=(), rules=())
    desk.respond(alerts_api.LIST, codec.encode_value(answer))
    reader = Onlooker(monkeypatch, 1)
    assert desk.ask("alerts", "--follow") == 130
    assert (
        "WARNING   market data of sim is not live (2 times): BTC-USDT is STALE" in reader.lines[0]
    )
    reader = Onlooker(monkeypatch, 1)
    assert desk.ask("alerts", "--follow", "--json") == 130
    assert json.loads(reader.lines[0])["data"]["alerts"][0]["id"] == "feed:sim:1"
    reader = Onlooker(monkeypatch, 1)
    assert desk.ask("stream", "alerts") == 130
    assert "BTC-USDT is STALE" in reader.lines[0]
    assert desk.ask("alerts", "rules", "--follow") == 2


def test_who_is_at_this_machine_is_told_so(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.ask("whoami") == 0
    assert "local, admin, by local" in capsys.readouterr().out


# -- logins ----------------------------------------------------------------------------------------


def a_session(url: str, ends_in_s: int) -> None:
    tokens = Tokens(
        user="ann",
        role="trader",
        expires_in=ends_in_s,
        access_token="secret-a",
        refresh_token="secret-r",
    )
    sessions.keep(sessions.of(url, tokens))


def test_a_login_is_kept_for_its_owner_alone(desk: Desk) -> None:
    a_session(desk.url, 900)
    assert sessions.token(desk.url) == "secret-a"
    assert sessions.token(desk.url + "1") == "", "another gateway"
    file = sessions.file_of(desk.url)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(sessions.known(desk.url))
    file.write_text("{")
    assert sessions.known(desk.url) is None, "cut off by a crash"


def test_a_login_that_is_over_is_forgotten(desk: Desk) -> None:
    a_session(desk.url, 0)
    found = sessions.known(desk.url)
    assert found is not None
    assert found.ends_s <= time.time() + sessions.EARLY_S
    assert sessions.token(desk.url) == "", "the gateway knows no such refresh token"
    assert not sessions.file_of(desk.url).exists()
