"""`tickbus doctor`: each thing that can be wrong is found, with what helps against it."""

import json
import os
import socket
import stat
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tickbus import alerts_api, codec
from tickbus.bus import MemoryBus
from tickbus.permissions import STREAMS
from tickbus_cli.doctor import machine, secrets, servers, streams
from tickbus_cli.doctor.finding import Finding, Level
from tickbus_cli.main import main
from tickbus_cli.profile import Ports
from tickbus_embedded import free_offset
from tickbus_ledger.migrate import names

SECRET = "s3cr3t-s3cr3t"


def levels(found: list[Finding]) -> list[Level]:
    return [each.level for each in found]


def assert_has_a_remedy(found: list[Finding]) -> None:
    for each in found:
        assert bool(each.remedy) == (each.level in (Level.WARNING, Level.BAD)), each


# -- the machine -----------------------------------------------------------------------------------


def test_an_old_python_is_bad() -> None:
    assert machine.python().level is Level.OK
    found = machine.python((3, 10, 9))
    assert (found.level, found.says) == (Level.BAD, "Python 3.10.9 is too old")


@pytest.mark.parametrize(
    ("free", "level"), [(0.5, Level.BAD), (5.0, Level.WARNING), (50.0, Level.OK)]
)
def test_a_full_disk_is_bad_and_one_that_fills_up_a_warning(free: float, level: Level) -> None:
    found = machine.disk(Path("/no/such/place"), int(free * 1e9))
    assert found.level is level
    assert_has_a_remedy([found])


def test_few_open_files_are_a_warning() -> None:
    assert machine.open_files(256).level is Level.WARNING
    assert machine.open_files(4096).level is Level.OK


def test_what_is_not_installed_is_named() -> None:
    (found,) = machine.packages(["feed", "nosuch", "execution-sim2"])
    assert (found.level, found.says) == (Level.BAD, "not installed: tickbus-nosuch")
    assert levels(machine.packages(["feed", "alerts"])) == [Level.OK]


def test_packages_of_other_versions_than_were_tested_are_named(tmp_path: Path) -> None:
    pins = tmp_path / "runtime.txt"
    assert machine.pins(pins).level is Level.SKIPPED
    here = metadata.version("msgspec")
    lines = f"msgspec=={here} \\\n    --hash=sha256:0\nnosuch==1.0 ; sys_platform == 'win32' \\\n"
    pins.write_text(lines)
    assert machine.pins(pins).level is Level.OK
    pins.write_text(f"{lines}httpx==0.0.1 \\\n")
    found = machine.pins(pins)
    wanted = f"not what was tested: httpx {metadata.version('httpx')}, tested with 0.0.1"
    assert (found.level, found.says) == (Level.WARNING, wanted)
    pins.write_text("gone==1.0 \\\n")
    found = machine.pins(pins)
    assert (found.level, found.says) == (Level.BAD, "not installed: gone 1.0")
    assert str(pins) in found.remedy


def test_a_place_that_may_not_be_written_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    found = machine.disk(tmp_path / "x")
    assert found.level is Level.BAD
    assert f"let this user write to {tmp_path}" in found.remedy


def test_a_port_that_is_taken_is_named_unless_our_own_platform_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = Ports(api_base=port)
        found = machine.ports(wanted, False, None)
        assert f"port {port}" in [each.check for each in found if each.level is Level.BAD]
        assert any("--port-offset 100" in each.remedy for each in found)
        assert levels(machine.ports(wanted, False, 7)) == [Level.SKIPPED]


# -- secrets ---------------------------------------------------------------------------------------


def a_file(path: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_files_with_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    kept = tmp_path / "credentials"
    kept.mkdir(mode=0o700)
    a_file(kept / "operator")
    variable = {"TICKBUS_KILL_TOKEN_FILE": str(a_file(tmp_path / "token"))}
    dotenv = a_file(tmp_path / ".env", f"TICKBUS_VENUE_API_KEY={SECRET}\n")
    (found,) = secrets.files(variable, tmp_path, dotenv)
    assert (found.level, found.says) == (Level.OK, "4 files, for their owner alone")
    for path in (kept / "operator", tmp_path / "token", dotenv):
        path.chmod(0o644)
    for path in (kept, tmp_path):
        path.chmod(0o755)
    found_open = secrets.files(variable, tmp_path, dotenv)
    assert [each.remedy for each in found_open] == [
        f"chmod 600 {tmp_path / 'token'}", f"chmod 700 {kept}", f"chmod 600 {kept / 'operator'}",
        f"chmod 600 {dotenv}",
    ]  # fmt: skip
    assert SECRET not in str(found_open)
    assert stat.S_IMODE(dotenv.stat().st_mode) == 0o644, "it only looks"


def test_a_named_file_is_private_where_nobody_else_enters_its_directory(tmp_path: Path) -> None:
    variable = {"TICKBUS_KILL_TOKEN_FILE": str(a_file(tmp_path / "token", mode=0o644))}
    for mode, level in ((0o700, Level.OK), (0o710, Level.WARNING), (0o701, Level.WARNING)):
        tmp_path.chmod(mode)
        assert levels(secrets.files(variable, tmp_path, tmp_path / ".env")) == [level]


def test_a_file_that_is_not_there_or_empty_is_bad(tmp_path: Path) -> None:
    variables = {
        "TICKBUS_ALERTS_OPS_FILE": str(tmp_path / "none"),
        "TICKBUS_KILL_TOKEN_FILE": str(a_file(tmp_path / "empty", "\n")),
        "OTHER_FILE": "/no/such/file",
    }
    found = secrets.files(variables, tmp_path, tmp_path / ".env")
    assert levels(found) == [Level.BAD, Level.BAD]
    assert "No such file" in found[0].says
    assert_has_a_remedy(found)


def test_a_dotenv_without_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    dotenv = a_file(tmp_path / ".env", "# TICKBUS_KILL_TOKEN=x\nTICKBUS_API_PORT=1\n", 0o644)
    assert levels(secrets.files({}, tmp_path, dotenv)) == [Level.SKIPPED]


# -- servers ---------------------------------------------------------------------------------------


async def alarmed(answer: bytes | None) -> list[Finding]:
    bus = MemoryBus()

    async def respond(_: bytes) -> bytes:
        assert answer is not None
        return answer

    if answer is not None:
        await bus.respond(alerts_api.LIST, respond)
    return await servers.alerts(bus)


async def test_what_is_wrong_with_the_trading_is_said_in_the_words_of_the_alerts() -> None:
    alert = alerts_api.Alert(
        alert_id="a", rule="unexplained", subject="sim", severity=alerts_api.Severity.CRITICAL,
        title="sim reports what the books do not explain", detail="BTC +1", remedy="find out why",
        count=1, ts_first=1, ts_last=1, ts_raised=1,
    )  # fmt: skip

    def said(*active: alerts_api.Alert) -> bytes:
        answer = alerts_api.AlertsAnswer(active=active, recent=(), channels=(), rules=())
        return codec.encode_value(answer)

    (found,) = await alarmed(said(alert))
    assert (found.check, found.level) == ("alert unexplained", Level.WARNING)
    assert found.says == "sim reports what the books do not explain: BTC +1"
    assert_has_a_remedy([found])
    assert levels(await alarmed(said())) == [Level.OK]
    assert levels(await alarmed(None)) == levels(await alarmed(b"\xc1")) == [Level.SKIPPED]


async def test_a_real_nats_has_a_stream_with_room(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (servers, streams):
        monkeypatch.setattr(module, "WAIT_S", 60.0)
    found = {each.check: each for each in await servers.bus(nats_url, None, expected=True)}
    wanted = ["nats", "jetstream", *(f"stream {name}" for name in STREAMS), "clock nats"]
    assert levels([found[check] for check in wanted]) == [Level.OK] * len(wanted)
    assert_has_a_remedy(list(found.values()))


async def test_a_nats_that_is_not_there_is_bad_only_where_it_should_be() -> None:
    url = "nats://127.0.0.1:1"
    assert levels(await servers.bus(url, None, expected=False)) == [Level.SKIPPED]
    assert levels(await servers.bus(url, None, expected=True)) == [Level.BAD]


async def test_a_real_postgres_is_well_and_one_away_is_bad_without_its_password(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "WAIT_S", 60.0)
    found = await servers.postgres(postgres_dsn)
    assert [each.check for each in found] == ["postgres", "books", "clock postgres"]
    assert (found[0].level, found[2].level) == (Level.OK, Level.OK)
    found = await servers.postgres(f"postgresql://me:{SECRET}@127.0.0.1:1/x")
    assert levels(found) == [Level.BAD]
    assert SECRET not in str(found)
    assert levels(await servers.postgres("")) == [Level.SKIPPED]


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        (set(), Level.OK, "all applied"),
        ({"0001_books.sql"}, Level.BAD, "they lack 0001_books.sql"),
        ({"9999_later.sql"}, Level.BAD, "newer version: 9999_later.sql"),
    ],
)
def test_books_of_another_version_are_bad(change: set[str], level: Level, says: str) -> None:
    found = servers.books(set(names()) ^ change)
    assert found.level is level
    assert says in found.says
    assert_has_a_remedy([found])


def test_a_database_without_books_waits_for_the_ledger() -> None:
    assert servers.books(None).level is Level.WARNING


def test_an_old_or_crowded_database_is_said() -> None:
    assert levels(servers.database(130_005, 1, 1, 100)) == [Level.BAD]
    assert levels(servers.database(170_002, 1, 81, 100)) == [Level.WARNING]


# -- the command -----------------------------------------------------------------------------------

Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TICKBUS_")]:
        monkeypatch.delenv(name)

    def run(*argv: str) -> tuple[int, dict[str, Any]]:
        code = main(["doctor", "--json", *argv])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, {each["check"]: each for each in report["findings"]} | {"bad": report["bad"]}

    return run


def test_a_fresh_checkout_is_well(doctor: Doctor, tmp_path: Path) -> None:
    offset = free_offset(Ports().all(True).values())
    code, found = doctor("--data-dir", str(tmp_path / "x"), "--port-offset", str(offset))
    assert code == min(found["bad"], 1)
    assert {"python", "packages", "disk", "configuration"} <= found.keys()
    assert found["nats"]["level"] == "SKIPPED"
    assert not (tmp_path / "x").exists(), "it only looks"


def test_a_bus_elsewhere_that_is_away_is_exit_code_1(doctor: Doctor) -> None:
    code, found = doctor("--bus", "nats://127.0.0.1:1")
    assert code == 1
    assert found["nats"]["level"] == "BAD"
    assert found["nats"]["remedy"]
    assert not [check for check in found if check.startswith("port")]


def test_a_mistake_in_the_configuration_is_a_finding(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("risks: {}\n")
    code, found = doctor("--config", "mine.yaml")
    assert code == 1
    assert "did you mean 'risk'" in found["configuration"]["says"]


MISTAKES = (
    ("risk: {order_notional_maxx: 5}", "risk.order_notional_maxx: unknown key"),
    ("risk: {order_notional_max: lots}", "risk.order_notional_max = 'lots'"),
    ("alerts: {rules: {drawdown: {share: 7}}}", "alerts.rules.drawdown.share = 7"),
    ("alerts: {channels: {night: {}}}", "no channel 'night'"),
    ("strategies: [{id: a, kind: momentun, instruments: [BTC-USDT]}]", "did you mean 'momentum'?"),
    (
        "strategies: [{id: a, kind: momentum, instruments: [BTC-USD]}]",
        "instrument 'BTC-USD' is not among those of the venue 'sim'; did you mean 'BTC-USDT'?",
    ),
    (
        "strategies: [{id: a, kind: momentum, instruments: [BTC-USDT], params: {window: 5}}]",
        "mine.yaml: strategies: a.params.window: unknown key; did you mean 'window_s'?",
    ),
)


@pytest.mark.parametrize(("text", "says"), MISTAKES)
def test_a_mistake_in_any_section_is_found_before_anything_starts(
    text: str, says: str, doctor: Doctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert says in doctor("--config", "mine.yaml")[1]["configuration"]["says"]
    assert main(["up", "--config", "mine.yaml", "--data-dir", "x"]) == 1
    out, err = capsys.readouterr()
    assert says in err
    assert not out
    assert not (tmp_path / "x").exists()


def test_a_strategy_of_a_file_is_not_run_by_whoever_knows_the_keys(
    doctor: Doctor, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('it ran')\n")
    text = "strategies: [{id: a, kind: 'mine.py:Mine', instruments: [BTC-USDT]}]"
    (tmp_path / "mine.yaml").write_text(text)
    assert doctor("--config", "mine.yaml")[1]["configuration"]["level"] == "OK"


def test_live_without_keys_is_a_finding(doctor: Doctor) -> None:
    code, found = doctor("--venue", "binance", "--live")
    assert code == 1
    assert "needs keys" in found["configuration"]["says"]


def test_people_read_what_is_wrong_and_what_helps(
    doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--bus", "nats://127.0.0.1:1"]) == 1
    text = capsys.readouterr().out
    assert "BAD" in text
    assert "start NATS" in text
    assert "things are wrong" in text
