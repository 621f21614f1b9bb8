"""What a run amounted to, for programs and people, and the screen drawn from the same numbers."""

import importlib.util
import io
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tickbus import codec, subjects
from tickbus.bus import MemoryBus
from tickbus.events import ServiceStatus
from tickbus.events.ledger import PositionRecord
from tickbus.ledger_api import PortfolioAnswer
from tickbus_cli import main as dispatcher
from tickbus_cli import monitor
from tickbus_cli.cancelling import Cancelled
from tickbus_cli.datadir import find
from tickbus_cli.errors import CliError
from tickbus_cli.monitor import Snapshot
from tickbus_cli.screen import clock, headline, render, troubled
from tickbus_cli.summary import sentences, summarise
from tickbus_cli.supervisor import Crash

ZERO = Decimal(0)


def a_status(service: str, counts: dict[str, int], **given: object) -> ServiceStatus:
    members: dict[str, object] = {"ready": True, "waiting_for": "", "errors": {}, "latency_us": {}}
    members |= given
    return ServiceStatus(
        1, 1, service=service, instance="0", version="0", uptime_s=9.0, counts=counts, gauges={},
        **members,  # type: ignore[arg-type]
    )  # fmt: skip


def the_books(orders: int = 12, fills: int = 7) -> PortfolioAnswer:
    position = PositionRecord(
        venue="sim", instrument_id="BTC-USDT", quantity=Decimal("0.00100000"),
        avg_entry_price=Decimal("60000.5"), mark=Decimal("60010.5"), realized_pnl=Decimal("-1.5"),
        unrealized_pnl=Decimal("0.01"), fees=Decimal("1E-7"), net_pnl=Decimal("-1.4900001"),
    )  # fmt: skip
    return PortfolioAnswer(
        currency="USDT", positions=(position,), balances={}, realized_pnl=Decimal("-1.5"),
        unrealized_pnl=Decimal("0.01"), fees=Decimal("1E-7"), net_pnl=Decimal("-1.4900001"),
        equity=Decimal("100000.5"), orders=orders, working_orders=2, fills=fills,
    )  # fmt: skip


def a_snapshot(taken_s: float = 10.0, ticks: int = 1000) -> Snapshot:
    feed = a_status(
        "feed", {"Trade/published": ticks - 1, "Quote/published": 1, "Other/handled": 3}
    )
    execution = a_status(
        "execution",
        {"OrderApproved/handled": 12},
        latency_us={"tick_to_order": (640.0, 910.0, 12), "risk>execution": (90.0, 200.0, 12)},
        errors={"malformed": 1},
    )
    return Snapshot(taken_s, {"feed": feed, "execution": execution}, the_books())


def test_the_summary_is_one_json_object_with_exact_money() -> None:
    summary = summarise("sim", 20.0, the_books(orders=2, fills=1), a_snapshot(), None)
    again = json.loads(json.dumps(summary))
    assert again == summary
    assert (again["ticks"], again["ticks_per_s"]) == (1000, 50.0)
    assert (again["orders"], again["fills"]) == (10, 6)
    assert again["books"] == {"orders": 12, "fills": 7}
    assert (again["fees"], again["net_pnl"]) == ("0.0000001", "-1.4900001")
    assert again["positions"][0]["quantity"] == "0.00100000"
    assert again["tick_to_order"] == {"p50_us": 640.0, "p99_us": 910.0, "count": 12}
    assert again["events"] == {"feed": 1000, "execution": 12}
    assert again["errors"] == {"execution": {"malformed": 1}}
    assert again["crashed"] is None


def test_a_run_without_answers_still_has_a_summary() -> None:
    crash = Crash("risk", 2, "no limits", Path("risk.log"))
    summary = summarise("sim", 0.0, None, Snapshot(0.0), crash)
    assert (summary["ticks"], summary["orders"], summary["net_pnl"]) == (0, None, None)
    assert summary["crashed"]["service"] == "risk"
    assert json.dumps(summary)
    assert sentences(summary)


def test_the_sentences_say_what_a_trader_asks_first() -> None:
    text = "\n".join(sentences(summarise("sim", 20.0, None, a_snapshot(), None)))
    for part in ("1,000 ticks", "12 orders", "7 fills", "BTC-USDT: 0.00100000", "net -1.49 USDT",
                 "p50 640 us", "errors in execution: malformed 1"):  # fmt: skip
        assert part in text, part


def test_the_screen_shows_rates_positions_latency_and_who_is_missing() -> None:
    before, now = a_snapshot(10.0, 1000), a_snapshot(10.5, 1600)
    assert "1,200 ticks/s" in headline(now, before)
    assert set(troubled(now)) == {
        "book",
        "risk",
        "ledger",
        "history",
        "strategy",
        "api",
        "killswitch",
        "alerts",
    }
    page = io.StringIO()
    Console(file=page, width=140).print(render("tickbus sim", now, before, 3725))
    text = page.getvalue()
    for part in ("up 1:02:05", "BTC-USDT", "60,000.5", "does not answer", "tick to order", "640"):
        assert part in text, part


def test_a_waiting_service_says_what_for() -> None:
    feed = a_status("feed", {}, ready=False, waiting_for="the venue: connection refused")
    line = headline(Snapshot(1.0, {"feed": feed}), None)
    assert "feed waiting for the venue: connection refused" in line


@pytest.mark.parametrize(
    ("gauges", "said"),
    [
        ({"trading": 2.0}, "trading is HALTED  "),
        ({"trading": 1.0, "scopes_stopped": 1.0}, "trading is REDUCING  a strategy may not trade"),
        ({"scopes_stopped": 3.0}, "3 strategies may not trade"),
        ({"trading": 0.0, "scopes_stopped": 0.0}, "0 ticks/s"),
    ],
)
def test_who_may_not_trade_is_said_first(gauges: dict[str, float], said: str) -> None:
    risk = msgspec.structs.replace(a_status("risk", {}), gauges=gauges)
    assert headline(Snapshot(1.0, {"risk": risk}), None).startswith(said)


def test_clock_counts_hours() -> None:
    assert [clock(s) for s in (0, 61, 3600.9)] == ["0:00:00", "0:01:01", "1:00:00"]


def test_cancelled_orders_are_reported_honestly() -> None:
    assert Cancelled(0, ()).sentence == "no working orders"
    assert Cancelled(3, ()).sentence == "cancelled 3 of 3 working orders"
    assert "STILL WORKING at the venue: a-1" in Cancelled(3, ("a-1",)).sentence
    assert "not known: ledger silent" in Cancelled(0, (), "ledger silent").sentence


def test_status_without_a_platform_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # no platform of another test
    with pytest.raises(CliError, match="no platform runs"):
        find(None, tmp_path)
    assert dispatcher.main(["status", "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "make run" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["up", "--venue", "binance-testnet"], "TICKBUS_VENUE_API_KEY"),
        (["up", "--live"], "--live does not go with --venue sim"),
        (["up", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_what_cannot_start_is_one_message_with_a_remedy(
    argv: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TICKBUS_VENUE_API_KEY", raising=False)
    assert dispatcher.main(argv) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
    assert len(said.err.splitlines()) <= 4


@pytest.mark.parametrize(
    ("argv", "environment", "words"),
    [
        ([], {}, "no terminal to ask at"),
        (["--yes"], {}, "--yes needs TICKBUS_LIVE_CONFIRM=binance"),
        (["--yes"], {"TICKBUS_LIVE_CONFIRM": "yes"}, "--yes needs TICKBUS_LIVE_CONFIRM=binance"),
    ],
)
def test_real_money_is_never_traded_by_accident(
    argv: list[str],
    environment: dict[str, str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    keys = {"TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "s3cret"}
    for name, value in (keys | environment).items():
        monkeypatch.setenv(name, value)
    command = ["up", "--venue", "binance", "--live", "--data-dir", str(tmp_path / "d"), *argv]
    assert dispatcher.main(command) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert "REAL MONEY" in said.out
    assert "https://api.binance.com" in said.out
    assert "s3cret" not in said.out + said.err
    assert not (tmp_path / "d").exists()


def test_a_missing_package_names_make_setup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda n: None if n == "tickbus_book" else find_spec(n)
    )
    assert dispatcher.main(["up", "--data-dir", str(tmp_path / "d")]) == 1
    said = capsys.readouterr().err
    assert "not installed: tickbus-book" in said
    assert "make setup" in said


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatcher.main([]) == 2
    said = capsys.readouterr().out
    for name in dispatcher.COMMANDS:
        assert name in said


def test_unknown_command_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatcher.main(["ordes", "--working"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "tickbus: there is no command 'ordes'; did you mean 'orders'?\n")


def test_headings_of_the_help_stand_above_commands_that_there_are() -> None:
    assert set(dispatcher.HEADINGS) <= set(dispatcher.COMMANDS)
    assert next(iter(dispatcher.COMMANDS)) in dispatcher.HEADINGS


async def test_status_that_cannot_be_read_is_said_and_the_others_are_shown() -> None:
    bus = MemoryBus()

    async def sound(_: bytes) -> bytes:
        return codec.encode_value(a_status("risk", {}))

    async def broken(_: bytes) -> bytes:
        return b"\xc1 of another version"

    await bus.respond(subjects.STATUS, sound)
    await bus.respond(subjects.STATUS, broken)
    now = await monitor.observe(bus)
    assert list(now.services) == ["risk"]
    assert now.errors == {"?": {"unreadable_status": 1}}
    assert "1 answered what cannot be read" in headline(now, None)


async def test_who_is_late_to_answer_is_asked_again_where_its_word_is_wanted() -> None:
    bus, asks = MemoryBus(), 0

    async def late(_: bytes) -> bytes | None:
        nonlocal asks
        asks += 1
        return codec.encode_value(a_status("risk", {})) if asks % monitor.ASKS == 0 else None

    await bus.respond(subjects.STATUS, late)
    assert list((await monitor.observe(bus, wanted=("risk",))).services) == ["risk"]
    assert (await monitor.observe(bus)).services == {}
    assert asks == monitor.ASKS + 1
