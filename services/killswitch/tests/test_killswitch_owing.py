"""A bus that could not be told of a kill is told later, as long as nobody decided otherwise."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tickbus import codec
from tickbus.bus import BusError, NatsBus
from tickbus.events import SetTradingState, TradingState
from tickbus.kill_api import KillReport, KillRequest
from tickbus.runtime import Telemetry
from tickbus_embedded import EmbeddedNats, free_port
from tickbus_killswitch import server
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.halt import BUCKET, KEY, halt
from tickbus_killswitch.kill import Target, kill
from tickbus_killswitch.server import KillSwitch
from tickbus_testkit.patience import PATIENCE_S

# A bus that is away refuses at once; one that is there is waited for.
PATIENT = {"settle_s": 0.05, "halt_wait_s": 30.0}


def an_account(name: str, bus_url: str) -> Target:
    """One whose orders are on paper: only its bus matters here."""
    return Target(name, "binance", "http://127.0.0.1:1", (), "paper", "paper", "", "", bus_url)


@asynccontextmanager
async def a_switch(*urls: str, owed_for_s: float = 3600.0) -> AsyncIterator[KillSwitch]:
    targets = [an_account(f"a{number}", url) for number, url in enumerate(urls)]
    config = KillConfig(**PATIENT, owed_for_s=owed_for_s)
    switch = KillSwitch(targets, config, Telemetry("killswitch"), "1")
    try:
        yield switch
    finally:
        await switch.finished()


async def state_at(url: str) -> SetTradingState | None:
    bus = await NatsBus.connect(url, "test")
    try:
        value, _ = await bus.kv_read(BUCKET, KEY)
        return codec.decode_value(value, SetTradingState) if value else None
    finally:
        await bus.close()


async def until(look: Callable[[], bool], timeout_s: float = 90.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.05)


async def resume_at(url: str) -> None:
    bus = await NatsBus.connect(url, "test")
    now = time.time_ns()
    active = SetTradingState(now, now, TradingState.ACTIVE, "ann", "all is well")
    await bus.kv_put(BUCKET, KEY, codec.encode_value(active))
    await bus.close()


async def test_an_account_that_a_kill_could_not_clear_is_told_before_there_is_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keyed = Target("a", "binance", "http://127.0.0.1:1", (), "live", "venue", "k", "s", "nats://b")
    targets = [
        keyed,
        keyed._replace(name="no-key", key=""),
        keyed._replace(name="other", adapter="elsewhere"),
        keyed._replace(name="paper", orders="paper", key=""),
    ]
    telemetry = Telemetry("killswitch")
    KillSwitch(targets, KillConfig(), telemetry, "1")
    assert telemetry.gauges["accounts"] == 1
    assert telemetry.gauges["accounts_out_of_reach"] == 2
    assert "no-key is out of reach of a kill: no key" in caplog.text
    assert "other is out of reach of a kill: venue.adapter" in caplog.text
    assert "paper" not in caplog.text


async def test_the_one_that_was_away_is_named_and_told_later_the_other_is_left_alone(
    tmp_path: Path, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PAY_RETRY_S_MAX", 0.5)
    port = free_port()
    away = f"nats://127.0.0.1:{port}"
    async with a_switch(nats_url, away) as switch:
        report = await switch.kill(KillRequest(reason="drill", actor="ada"))
        assert not report.halted
        assert report.not_told == (away,)
        assert f"tried again for 1 h at {away}" in report.halt_detail
        assert switch.telemetry.gauges["halts_owed"] == 1
        await resume_at(nats_url)  # somebody decided so, after the kill
        async with EmbeddedNats(tmp_path / "nats", port=port, start_timeout_s=PATIENCE_S):
            await until(lambda: not switch.telemetry.gauges["halts_owed"])
            state = await state_at(away)
            assert state is not None
            assert (state.state, state.actor, state.reason) == (
                TradingState.HALTED, "ada", "drill",
            )  # fmt: skip
        other = await state_at(nats_url)
        assert other is not None
        assert other.state is TradingState.ACTIVE, "it had been told, and owes nothing"


async def test_what_people_decided_since_the_kill_stands(nats_url: str) -> None:
    before = time.time_ns()
    assert await halt(nats_url, "ada", "drill", since_ns=before)
    await resume_at(nats_url)
    assert not await halt(nats_url, "ada", "drill", since_ns=before)
    state = await state_at(nats_url)
    assert state is not None
    assert state.state is TradingState.ACTIVE


async def test_of_no_server_at_all_it_is_said_what_is_wrong() -> None:
    with pytest.raises(BusError, match="give it as nats://HOST:PORT"):
        await halt(" , ", "ada", "a list without an address")


async def test_of_several_servers_any_that_answers_is_told(nats_url: str) -> None:
    dead = "nats://127.0.0.1:1"
    await resume_at(nats_url)
    assert await halt(f"{dead},{nats_url},{dead}", "ada", "one is away")
    state = await state_at(nats_url)
    assert state is not None
    assert (state.state, state.reason) == (TradingState.HALTED, "one is away")
    with pytest.raises(OSError, match="Connect call failed"):
        await halt(f"{dead},{dead}", "ada", "all are away")
    await resume_at(nats_url)


async def test_it_says_so_when_it_gives_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PAY_RETRY_S_MAX", 0.1)
    url = "nats://127.0.0.1:1"
    with caplog.at_level(logging.CRITICAL):
        async with a_switch(url, owed_for_s=0.3) as switch:
            await switch.kill(KillRequest())
            await until(lambda: not switch.telemetry.gauges["halts_owed"])
            assert switch.telemetry.errors["halt_given_up"] == 1
    assert f"trading was NOT halted at {url}" in caplog.text
    assert "nobody tries any more" in caplog.text


async def test_a_switch_that_stops_says_what_it_still_owes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_switch("nats://127.0.0.1:1") as switch:
        await switch.kill(KillRequest())
    assert "stopping, and trading is NOT halted at nats://127.0.0.1:1" in caplog.text


async def test_the_next_kill_takes_over_what_the_last_one_owed(nats_url: str) -> None:
    away = "nats://127.0.0.1:1"
    async with a_switch(nats_url, away) as switch:
        for _ in range(3):
            assert (await switch.kill(KillRequest())).not_told == (away,)
            assert switch.telemetry.gauges["halts_owed"] == 1


async def test_who_asks_for_a_kill_meanwhile_gets_the_report_of_the_same_one() -> None:
    async with a_switch("nats://127.0.0.1:1") as switch:
        asked = (switch.kill(KillRequest(reason=reason)) for reason in ("first", "second"))
        first, second = await asyncio.gather(*asked)
    assert first == second
    assert first.reason == "first"


async def test_a_bus_that_takes_its_time_is_told_all_the_same() -> None:
    told: list[str] = []
    config = KillConfig(halt_wait_s=0.5)

    async def slowly(url: str, *_: object) -> bool:
        await asyncio.sleep(config.halt_wait_s + 0.3)
        told.append(url)
        return True

    targets = [an_account("a", "nats://127.0.0.1:1")]  # on paper: done before the bus is
    report = await kill(targets, KillRequest(), config, lambda _: None, slowly)
    assert (report.halted, told) == (True, ["nats://127.0.0.1:1"])


async def test_an_account_that_two_platforms_share_is_cleared_once_and_both_are_halted(
    nats_url: str,
) -> None:
    targets = [an_account("a", nats_url), an_account("a", "nats://127.0.0.1:1")]
    report: KillReport = await kill(targets, KillRequest(), KillConfig(**PATIENT), lambda _: None)
    assert len(report.accounts) == 1
    assert report.not_told == ("nats://127.0.0.1:1",)
