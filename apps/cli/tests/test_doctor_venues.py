"""`tickbus doctor` at a venue: a clock that is off, and keys that may do more than they must."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tickbus import venue_keys
from tickbus.config import Settings, VenueConfig
from tickbus.events import FeeSchedule
from tickbus_cli.doctor import venues
from tickbus_cli.doctor.finding import Finding, Level
from tickbus_cli.main import main
from tickbus_embedded import free_port
from tickbus_execution.live import SIMULATED_KEY
from tickbus_testkit.processes import ServiceProcess

CONFIG = Path(__file__).parents[3] / "config"
SECRET = "s3cr3t-s3cr3t"
SOUND = {
    "ipRestrict": True, "enableReading": True, "enableWithdrawals": False,
    "enableInternalTransfer": False, "permitsUniversalTransfer": False,
    "enableSpotAndMarginTrading": True, "enableFutures": False,
}  # fmt: skip


def levels(found: list[Finding]) -> list[Level]:
    return [each.level for each in found]


def assert_has_a_remedy(found: list[Finding]) -> None:
    for each in found:
        assert bool(each.remedy) == (each.level in (Level.WARNING, Level.BAD)), each


class Venue(HTTPServer):
    """Tells its time, `ahead_ms` of ours, and what a key may do."""

    ahead_ms = 0
    said: Any = SOUND
    status = 200
    asked: list[tuple[str, str]]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Venue

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("X-MBX-APIKEY", "")))
        is_time = path.endswith("/time")
        now = time.time_ns() // 1_000_000 + self.server.ahead_ms
        body = {"serverTime": now} if is_time else self.server.said
        self.send_response(200 if is_time else self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def venue() -> Iterator[Venue]:
    server = Venue(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def configured(venue: Venue, adapter: str = "binance") -> VenueConfig:
    fees = FeeSchedule(maker=Decimal(0), taker=Decimal(0))
    return VenueConfig(
        name="binance", adapter=adapter, rest_url=venue.url, ws_url="", ws_api_url="",
        instruments=("BTC-USDT",), fees=fees,
    )  # fmt: skip


async def keys_of(venue: Venue, **environment: str) -> list[Finding]:
    given = {"TICKBUS_VENUE_API_KEY": "key", "TICKBUS_VENUE_API_SECRET": SECRET, **environment}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(venue_keys.REAL, "127.0.0.1", venue.url)
        return await venues.keys(Settings({}, given), configured(venue))


@pytest.mark.parametrize(
    ("ahead_ms", "level"), [(0, Level.OK), (-60_000, Level.BAD), (60_000, Level.BAD)]
)
async def test_a_clock_that_is_off_is_bad(venue: Venue, ahead_ms: int, level: Level) -> None:
    venue.ahead_ms = ahead_ms
    (found,) = await venues.clock(configured(venue), "/api/v3/time")
    assert found.level is level
    if ahead_ms:
        assert ("behind" if ahead_ms > 0 else "ahead of") in found.says


async def test_a_venue_that_is_away_is_a_warning(venue: Venue) -> None:
    gone = configured(venue)
    venue.shutdown()
    venue.server_close()
    found = await venues.clock(gone, "/api/v3/time")
    assert levels(found) == [Level.WARNING]


async def test_a_key_that_may_only_trade_is_well_and_was_asked_about_signed(venue: Venue) -> None:
    found = await keys_of(venue)
    assert levels(found) == [Level.OK]
    assert venue.asked == [("/sapi/v1/account/apiRestrictions", "key")]


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({"enableWithdrawals": True}, Level.BAD, "may WITHDRAW"),
        ({"enableWithdrawals": None}, Level.BAD, "may WITHDRAW"),
        ({"enableInternalTransfer": True}, Level.WARNING, "may transfer"),
        ({"permitsUniversalTransfer": True}, Level.WARNING, "may transfer"),
        ({"ipRestrict": False}, Level.WARNING, "any address"),
        ({"enableSpotAndMarginTrading": False}, Level.BAD, "may not trade"),
        ({"enableSpotAndMarginTrading": False, "enableFutures": True}, Level.OK, "may trade"),
    ],
)
async def test_what_a_key_may_do_is_judged(
    venue: Venue, change: dict[str, Any], level: Level, says: str
) -> None:
    venue.said = {**SOUND, **change}
    (found,) = await keys_of(venue)
    assert found.level is level
    assert says in found.says
    assert_has_a_remedy([found])


@pytest.mark.parametrize(
    ("permissions", "says"),
    [
        (["read", "trade"], "works from any address"),
        (["read", "trade", "withdraw"], "may WITHDRAW"),
        (["read"], "may not trade"),
    ],
)
async def test_the_simulated_exchange_is_asked_as_the_real_one(
    tmp_path: Path, permissions: list[str], says: str
) -> None:
    """One that checks signatures and its clock."""
    key = {"key": "key", "secret": SECRET, "permissions": permissions}
    accounts = tmp_path / "accounts.json"
    accounts.write_text(json.dumps({"accounts": [{"name": "desk", "keys": [key]}]}))
    port = free_port()
    arguments = ("--port", str(port), "--intensity", "0", "--accounts", str(accounts))
    process = ServiceProcess("exchange", tmp_path, {}, port, arguments).start()
    try:
        await asyncio.to_thread(process.until_ready)
        url = f"http://127.0.0.1:{port}"
        given = {"TICKBUS_VENUE_API_KEY": "key", "TICKBUS_VENUE_API_SECRET": SECRET}
        fees = FeeSchedule(maker=Decimal(0), taker=Decimal(0))
        sim = VenueConfig(
            name="sim", adapter="binance", rest_url=url, ws_url="", ws_api_url="",
            instruments=("BTC-USDT",), fees=fees,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(venue_keys.REAL, "127.0.0.1", url)
            found = await venues.keys(Settings({}, given), sim)
    finally:
        process.stop()
    assert says in " ".join(each.says for each in found)
    bad = Level.BAD in levels(found)
    assert bad == (permissions != ["read", "trade"])


def test_what_the_venue_does_not_say_is_taken_for_allowed() -> None:
    found = venues.restrictions("keys", {"ipRestrict": True, "enableFutures": True})
    assert levels(found) == [Level.BAD]
    assert levels(venues.restrictions("keys", ["?"])) == [Level.WARNING]


async def test_a_key_that_the_venue_refuses_is_bad_and_not_shown(venue: Venue) -> None:
    venue.status, venue.said = 401, {"code": -2015, "msg": "Invalid API-key"}
    found = await keys_of(venue)
    assert levels(found) == [Level.BAD]
    assert SECRET not in str(found)


async def test_no_keys_or_no_real_money_is_skipped(venue: Venue) -> None:
    none = Settings({}, {})
    assert levels(await venues.keys(none, configured(venue))) == [Level.SKIPPED]
    given = Settings({}, {"TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "s"})
    assert levels(await venues.keys(given, configured(venue))) == [Level.SKIPPED]
    assert venue.asked == []


@pytest.mark.parametrize(
    ("mode", "has_own_keys", "level"),
    [
        ("paper", True, Level.SKIPPED),
        ("live", True, Level.BAD),
        ("live", False, Level.SKIPPED),
        ("testnet", True, Level.BAD),
    ],
)
@pytest.mark.parametrize("key", ["", SIMULATED_KEY])
async def test_without_keys_it_is_bad_to_send_orders_and_else_said_what_to_give(
    venue: Venue, mode: str, has_own_keys: bool, level: Level, key: str
) -> None:
    given = {"TICKBUS_VENUE_API_KEY": key, "TICKBUS_VENUE_API_SECRET": "s"}
    settings = Settings({"platform": {"mode": mode}}, given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(venue_keys.REAL, "127.0.0.1", venue.url)
        (found,) = await venues.keys(settings, configured(venue), has_own_keys)
    assert found.level is level
    assert ("TICKBUS_VENUE_API_KEY" in found.remedy) == (mode != "paper")
    assert venue.asked == []


def doctor(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, dict[str, str]]:
    """What the command finds; its bus is away."""
    main(["doctor", "--json", "--bus", "nats://127.0.0.1:1", *argv])
    return {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}


async def test_clock_and_keys_of_the_configured_venue_are_looked_at_without_arguments(
    venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TICKBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setitem(venue_keys.REAL, "127.0.0.1", venue.url)
    monkeypatch.setattr(venues, "WAIT_S", 60.0)
    monkeypatch.setattr("tickbus_cli.doctor.CHECK_TIMEOUT_S", 120.0)
    venue.said = {**SOUND, "enableWithdrawals": True}
    venue.ahead_ms = -600_000
    files = ("default.yaml", "venues/binance.yaml", "venues/binance-live.yaml")
    given = {
        "TICKBUS_CONFIG": os.pathsep.join(str(CONFIG / name) for name in files),
        "TICKBUS_VENUE_REST_URL": venue.url, "TICKBUS_VENUE_API_KEY": "key",
        "TICKBUS_VENUE_API_SECRET": SECRET,
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = await asyncio.to_thread(doctor, capsys)
    assert "live at binance" in found["configuration"]["says"]
    assert found["clock binance"]["level"] == "BAD"
    assert "may WITHDRAW" in found["keys binance"]["says"]
    monkeypatch.delenv("TICKBUS_VENUE_REST_URL")
    monkeypatch.delitem(venue_keys.REAL, "127.0.0.1")
    found = await asyncio.to_thread(doctor, capsys, "--venue", "sim")
    assert found["venues"]["level"] == "SKIPPED", "what is said wins"
