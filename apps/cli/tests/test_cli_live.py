"""What live trading of futures is confirmed with: the venue's word on leverage, margin and mode."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tickbus import venue_keys
from tickbus.config import Settings, load
from tickbus_cli import main as dispatcher
from tickbus_cli.errors import CliError
from tickbus_cli.live import margin_lines, refuse_withdrawals
from tickbus_cli.profile import choose, configuration_files, find_configuration
from tickbus_testkit.scripted import Asked, Told, scripted

HERE = Path(__file__).parent
LEVERAGES = [
    {"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": 20},
    {"symbol": "ETHUSDT", "marginType": "ISOLATED", "leverage": 3},
]


def settings_of(venue: str, live: bool, **environment: str) -> Settings:
    files = configuration_files(find_configuration(HERE), choose(venue, live), [])
    return load(files, {"TICKBUS_POSTGRES_DSN": "", **environment})


async def lines(answers: dict[str, Any], **environment: str) -> list[str]:
    async def answer(asked: Asked) -> Told | None:
        body = answers.get(asked.path)
        assert "signature=" in asked.query, "the venue tells only its owner"
        return Told(404 if body is None else 200, json.dumps(body).encode())

    async with scripted(answer) as url:
        keys = {"TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "s"} | environment
        settings = settings_of("binance-usdm", True, TICKBUS_VENUE_REST_URL=url, **keys)
        return await margin_lines(settings, settings.venue)


async def test_leverage_margin_and_mode_are_as_the_venue_says() -> None:
    told = {"/fapi/v1/symbolConfig": LEVERAGES, "/fapi/v1/positionSide/dual": _dual(False)}
    assert await lines(told) == [
        "leverage     BTCUSDT: 20x, cross margin",
        "leverage     ETHUSDT: 3x, isolated margin",
        "position     one-way",
    ]


def _dual(hedged: bool) -> dict[str, bool]:
    return {"dualSidePosition": hedged}


async def test_a_hedged_account_is_told_before_anybody_agrees() -> None:
    told = {"/fapi/v1/symbolConfig": LEVERAGES[:1], "/fapi/v1/positionSide/dual": _dual(True)}
    found = await lines(told)
    assert found[1] == "leverage     ETHUSDT: not known to the venue"
    assert "HEDGE" in found[2]
    assert "one-way" in found[2]


async def test_what_the_venue_does_not_tell_is_said_to_be_unknown() -> None:
    (line,) = await lines({})
    assert line.startswith("leverage     not known: GET /fapi/v1/symbolConfig")
    (line,) = await lines({"/fapi/v1/symbolConfig": [{}], "/fapi/v1/positionSide/dual": {}})
    assert "another shape" in line
    (line,) = await lines({}, TICKBUS_VENUE_API_SECRET="-----BEGIN nothing")
    assert "Ed25519" in line


SOUND = {"ipRestrict": False, "enableWithdrawals": False, "enableFutures": True}


async def refused(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, bool] | None, *, allowed: bool = False
) -> list[str]:
    """What is said before live trading begins, where the venue says `said` of the key."""

    async def answer(asked: Asked) -> Told | None:
        assert asked.path == venue_keys.RESTRICTIONS
        return Told(200 if said else 503, json.dumps(said).encode())

    told: list[str] = []
    async with scripted(answer) as url:
        monkeypatch.setattr(venue_keys, "REAL", {"127.0.0.1": url})
        keys = {"TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "s"}
        settings = settings_of("binance-usdm", True, TICKBUS_VENUE_REST_URL=url, **keys)
        if allowed:
            settings = Settings({**settings.raw, "execution": {"withdrawing_key": "allow"}}, keys)
        await asyncio.to_thread(refuse_withdrawals, settings, told.append)
    return told


async def test_real_money_is_not_traded_with_a_key_that_may_withdraw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CliError, match="may WITHDRAW"):
        await refused(monkeypatch, SOUND | {"enableWithdrawals": True})


async def test_one_who_allows_such_a_key_is_told_and_trades(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (said, *_) = await refused(monkeypatch, SOUND | {"enableWithdrawals": True}, allowed=True)
    assert "may WITHDRAW" in said


async def test_what_else_a_key_may_do_is_said_and_trading_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (said,) = await refused(monkeypatch, SOUND)
    assert "works from any address" in said
    (said,) = await refused(monkeypatch, None)
    assert "nothing is known yet" in said


def test_live_futures_are_never_traded_by_accident(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = {
        "TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "s3cret",
        "TICKBUS_LIVE_CONFIRM": "binance", "TICKBUS_VENUE_REST_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [
        "up",
        "--venue",
        "binance-usdm",
        "--live",
        "--yes",
        "--data-dir",
        str(tmp_path / "d"),
    ]
    assert dispatcher.main(command) == 1
    said = capsys.readouterr()
    assert "--yes needs TICKBUS_LIVE_CONFIRM=binance-usdm" in said.err
    for words in ("REAL MONEY", "BTC-USDT-PERP", "leverage     not known", "order_notional_max"):
        assert words in said.out
    assert "s3cret" not in said.out + said.err
    assert not (tmp_path / "d").exists()
