"""What `tickbus up` decides before anything starts."""

from pathlib import Path

import pytest

from tickbus.config import load
from tickbus_cli.errors import CliError
from tickbus_cli.profile import (
    KEYS,
    SERVICES,
    Ports,
    child_environment,
    choose,
    configuration_files,
    duration_s,
    find_configuration,
    ports,
    require_keys,
)
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.service import mode_of
from tickbus_risk.config import RiskConfig
from tickbus_strategy.config import entries, seats


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("1h30m", 5400), ("1h2m3s", 3723)],
)
def test_durations_are_understood(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "-5s", "0", "5x", "1m1h"])
def test_a_bad_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"30s|longer than 0"):
        duration_s(text)


def test_each_way_to_run_has_a_data_directory_of_its_own() -> None:
    names = [
        choose(venue, live).name
        for venue, live in (
            ("sim", False), ("binance", False), ("binance-testnet", False), ("binance", True),
            ("binance-usdm", False), ("binance-usdm", True),
        )
    ]  # fmt: skip
    assert names == [
        "sim", "binance-paper", "binance-testnet", "binance-live",
        "binance-usdm-paper", "binance-usdm-live",
    ]  # fmt: skip


@pytest.mark.parametrize("venue", ["sim", "binance-testnet", "binance-usdm-testnet"])
def test_live_is_for_real_binance_only(venue: str) -> None:
    with pytest.raises(CliError, match="--live"):
        choose(venue, True)


USDM = (
    "https://fapi.binance.com",
    "wss://fstream.binance.com",
    "wss://ws-fapi.binance.com/ws-fapi/v1",
)
USDM_TESTNET = (
    "https://testnet.binancefuture.com", "wss://fstream.binancefuture.com",
    "wss://testnet.binancefuture.com/ws-fapi/v1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("venue", "live", "mode", "urls", "sends"),
    [
        ("binance-usdm", False, "paper", USDM, "paper"),
        ("binance-usdm", True, "live", USDM, "venue"),
        ("binance-usdm-testnet", False, "testnet", USDM_TESTNET, "venue"),
    ],
)
def test_futures_profiles_are_whole(
    venue: str, live: bool, mode: str, urls: tuple[str, str, str], sends: str, tmp_path: Path
) -> None:
    files = configuration_files(find_configuration(tmp_path), choose(venue, live), [])
    settings = load(files, {"TICKBUS_POSTGRES_DSN": ""})
    found = settings.venue
    assert (settings.platform.mode, found.name, found.adapter) == (mode, venue, "binance-usdm")
    assert (found.rest_url, found.ws_url, found.ws_api_url) == urls
    config = settings.section("execution", ExecutionConfig)
    assert mode_of(settings, config) == sends
    assert config.paper.leverage == 5
    settings.section("risk", RiskConfig)
    wanted = [name for entry in entries(settings) for name in entry.instruments]
    assert wanted, "somebody trades"
    assert set(wanted) <= set(found.instruments), "strategies trade what the feed follows"
    seats(settings, entries(settings))
    elsewhere = {"TICKBUS_POSTGRES_DSN": "", "TICKBUS_VENUE_REST_URL": "http://127.0.0.1:1"}
    moved = load(files, elsewhere).venue.rest_url
    assert (moved == "http://127.0.0.1:1") is (mode != "testnet"), "play money stays play money"


def test_trading_without_keys_is_refused_naming_the_variables() -> None:
    with pytest.raises(CliError) as caught:
        require_keys(choose("binance-testnet", False), {})
    for name in KEYS:
        assert name in str(caught.value)
    require_keys(choose("binance", False), {})
    require_keys(choose("binance-usdm", False), {})
    for venue, live in (("binance-usdm-testnet", False), ("binance-usdm", True)):
        with pytest.raises(CliError, match=r"up --venue binance-usdm \(paper"):
            require_keys(choose(venue, live), {})
    require_keys(choose("binance-testnet", False), dict.fromkeys(KEYS, "x"))
    require_keys(choose("binance-testnet", False), {f"{k}_FILE": "/x" for k in KEYS})


def test_the_offset_moves_every_port() -> None:
    plain, moved = Ports(), ports({}, 100)
    assert moved.all(True) == {name: port + 100 for name, port in plain.all(True).items()}
    assert len(set(plain.all(True).values())) == len(SERVICES) + 3
    assert "exchange" not in plain.all(False)


@pytest.mark.parametrize("offset", [-9000, 60_000])
def test_an_offset_out_of_range_is_refused(offset: int) -> None:
    with pytest.raises(CliError, match="--port-offset"):
        ports({}, offset)


def test_the_api_port_comes_from_the_environment_too() -> None:
    assert ports({"TICKBUS_API_PORT": "9999"}, 0).api == 9999
    with pytest.raises(CliError, match="TICKBUS_API_PORT"):
        ports({"TICKBUS_API_PORT": "http"}, 0)


def test_secrets_reach_only_who_needs_them() -> None:
    keys = "TICKBUS_VENUE_API_KEY", "TICKBUS_VENUE_API_SECRET", "TICKBUS_BINANCE_2_API_SECRET_FILE"
    base = dict.fromkeys((*keys, "TICKBUS_KILL_TOKEN", "TICKBUS_ALERTS_OPS"), "secret")
    base |= dict.fromkeys(
        ("TICKBUS_NATS_USER", "TICKBUS_NATS_PASSWORD_FILE", "TICKBUS_APPROVAL_KEY"), "another's"
    )
    testnet = choose("binance-testnet", False)
    for service in SERVICES:
        given = child_environment(base, service, testnet, Ports(), {}, "postgresql://x", {})
        assert not [k for k in given if k.startswith(("TICKBUS_NATS", "TICKBUS_APPROVAL"))]
        for key in keys[:2]:
            assert (key in given) == (service in ("execution", "killswitch"))
        assert (keys[2] in given) == (service == "killswitch"), "that of another venue"
        assert ("TICKBUS_KILL_TOKEN" in given) == (service in ("killswitch", "api"))
        assert ("TICKBUS_ALERTS_OPS" in given) == (service == "alerts")
        assert ("TICKBUS_POSTGRES_DSN" in given) == (service in ("ledger", "history"))


def test_the_simulation_never_sees_real_keys_and_finds_its_exchange() -> None:
    base = {
        "TICKBUS_VENUE_API_KEY": "real",
        "TICKBUS_VENUE_API_SECRET_FILE": "/real",
        "TICKBUS_VENUE_REST_URL": "https://api.binance.com",
    }
    given = child_environment(base, "execution", choose("sim", False), Ports(100), {}, "", {})
    assert given["TICKBUS_VENUE_API_KEY"] == "sim-key"
    assert "TICKBUS_VENUE_API_SECRET_FILE" not in given
    assert given["TICKBUS_VENUE_REST_URL"] == "http://127.0.0.1:8190"
    assert given["TICKBUS_METRICS_PORT"] == "9205"


def test_configuration_is_found_from_anywhere_and_merged_in_order(tmp_path: Path) -> None:
    directory = find_configuration(tmp_path)
    assert (directory / "default.yaml").is_file()
    mine = tmp_path / "mine.yaml"
    mine.write_text("", encoding="utf-8")
    files = configuration_files(directory, choose("binance", True), [str(mine)])
    assert [file.name for file in files] == [
        "default.yaml", "binance.yaml", "binance-live.yaml", "mine.yaml"
    ]  # fmt: skip
    with pytest.raises(CliError, match=r"nothing\.yaml"):
        configuration_files(directory, choose("sim", False), ["nothing.yaml"])
