"""`tickbus doctor` looks at what runs: by its arguments, TICKBUS_CONFIG, Compose, or a platform."""

import argparse
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tickbus_cli import doctor
from tickbus_cli.datadir import DataDir
from tickbus_cli.doctor import compose, place
from tickbus_cli.doctor.finding import Finding, Level
from tickbus_cli.doctor.place import Installation, Said
from tickbus_cli.main import main

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config"
PAPER = f"{CONFIG / 'default.yaml'}:{CONFIG / 'venues' / 'binance.yaml'}"
LIVE = f"{PAPER}:{CONFIG / 'venues' / 'binance-live.yaml'}"
TWO = f"{CONFIG / 'default.yaml'}:{CONFIG / 'venues' / 'two-exchanges.yaml'}"
BUS = "nats://bus.example.com:4222"
KEYS = {"TICKBUS_VENUE_API_KEY": "key", "TICKBUS_VENUE_API_SECRET": "secret"}

Find = Callable[..., Installation]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory, and an environment without a word on tickbus."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TICKBUS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Find:
    """What doctor would look at, given arguments and variables."""

    def found(*argv: str, **variables: str) -> Installation:
        parser = argparse.ArgumentParser()
        doctor.configure(parser)
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return place.find(parser.parse_args(argv), place.environment())

    return found


def venues_of(found: Installation) -> list[str]:
    return [venue.name for venue in found.real]


def files_of(found: Installation) -> list[str]:
    return str(found.settings.source).split(os.pathsep)


# -- whose word counts -----------------------------------------------------------------------------


def test_where_nobody_says_anything_it_is_the_simulated_exchange(find: Find) -> None:
    found = find()
    assert (found.configured.said, venues_of(found)) == (Said.NOBODY, [])
    assert not found.is_assumed, "it is what `tickbus up` would run"


@pytest.mark.parametrize(("files", "mode"), [(PAPER, "paper"), (LIVE, "live")])
def test_the_variable_of_the_services_says_which_venue_and_mode(
    find: Find, files: str, mode: str
) -> None:
    found = find("--bus", BUS, TICKBUS_CONFIG=files)
    assert files_of(found) == files.split(":")
    assert (found.settings.platform.mode, venues_of(found)) == (mode, ["binance"])
    assert not found.is_assumed


def test_real_money_without_keys_here_stops_no_other_check(find: Find) -> None:
    assert not find("--bus", BUS, TICKBUS_CONFIG=LIVE).has_own_keys
    assert find(TICKBUS_CONFIG=LIVE).has_own_keys


def test_arguments_win_over_the_variable(find: Find) -> None:
    found = find("--venue", "binance", "--live", TICKBUS_CONFIG=TWO, **KEYS)
    assert (found.settings.platform.mode, venues_of(found)) == ("live", ["binance"])
    mine = Path("mine.yaml")
    mine.write_text("platform: {name: mine}\n")
    found = find("--config", str(mine), TICKBUS_CONFIG=LIVE)
    assert (found.settings.platform.name, venues_of(found)) == ("mine", [])


def test_a_real_address_is_a_real_venue_whatever_the_mode(find: Find) -> None:
    Path("odd.yaml").write_text("venue: {rest_url: 'https://api.binance.com'}\n")
    found = find(TICKBUS_CONFIG=f"{CONFIG / 'default.yaml'}:odd.yaml")
    assert (found.settings.platform.mode, venues_of(found)) == ("simulated", ["sim"])


def test_the_simulated_exchange_in_containers_is_none(find: Find) -> None:
    assert venues_of(find("--bus", BUS, TICKBUS_CONFIG=TWO)) == []


def test_what_a_platform_elsewhere_runs_on_is_not_guessed(find: Find) -> None:
    assert find("--bus", BUS).is_assumed
    assert not find("--bus", BUS, "--venue", "binance").is_assumed


def test_ports_that_compose_publishes_are_no_mistake_of_the_configuration(find: Find) -> None:
    assert venues_of(find(TICKBUS_CONFIG=PAPER, TICKBUS_API_PORT="443")) == ["binance"]


# -- what should run -------------------------------------------------------------------------------


def test_each_venue_of_the_configuration_wants_its_processes(find: Find) -> None:
    one, two = find(TICKBUS_CONFIG=PAPER).wanted, find(TICKBUS_CONFIG=TWO).wanted
    assert two.keys() - one.keys() == {"feed-sim2", "execution-sim2", "router"}
    assert {n for n, level in two.items() if level is Level.WARNING} == {
        "killswitch", "history", "alerts", "router",
    }  # fmt: skip
    assert set(two.values()) == {Level.BAD, Level.WARNING}


def test_strategies_apart_are_known_by_name_under_tickbus_up_alone(find: Find) -> None:
    Path("each.yaml").write_text("strategy: {processes: each}\n")
    assert {"strategy-ping-pong", "strategy-momentum"} <= find(
        "--config", "each.yaml"
    ).wanted.keys()
    files = f"{CONFIG / 'default.yaml'}:each.yaml"
    assert "strategy" in find("--bus", BUS, TICKBUS_CONFIG=files).wanted


# -- Compose ---------------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., None]:
    """Writes `.env` beside docker-compose.yml as .env.example has it, with lines switched on."""
    shutil.copy(ROOT / compose.FILE, tmp_path)

    def write(configuration: str, *names: str) -> None:
        text = (ROOT / ".env.example").read_text()
        (line,) = re.findall(rf"^# (TICKBUS_CONFIG=\S+{configuration}\.yaml)$", text, re.MULTILINE)
        for name in names:
            text, count = re.subn(rf"^# ({name}=)$", r"\1", text, flags=re.MULTILINE)
            assert count == 1, name
        (tmp_path / ".env").write_text(f"{text}\n{line}\n")

    return write


URLS = ("TICKBUS_VENUE_REST_URL", "TICKBUS_VENUE_WS_URL", "TICKBUS_VENUE_WS_API_URL")


@pytest.mark.parametrize(("name", "mode"), [("binance", "paper"), ("binance-live", "live")])
def test_the_env_file_of_compose_says_what_its_services_read(
    find: Find, example: Callable[..., None], name: str, mode: str
) -> None:
    example(name, *URLS)
    found = find("--bus", BUS)
    assert found.configured.said is Said.COMPOSE
    assert files_of(found)[1] == str(CONFIG / "venues" / "binance.yaml")
    assert (found.settings.platform.mode, venues_of(found)) == (mode, ["binance"])
    assert found.settings.venue.rest_url == "https://api.binance.com"
    assert found.has_own_keys, "they are in .env, or nowhere"
    assert not list(compose.addresses(found.settings))


def test_a_real_venue_at_the_address_of_a_container_is_bad(
    find: Find, example: Callable[..., None]
) -> None:
    example("binance-live", URLS[0])
    found = find()
    assert found.settings.venue.rest_url == "https://api.binance.com"
    assert found.settings.venue.ws_url == "ws://exchange:8090"
    (judged,) = compose.addresses(found.settings)
    assert (judged.check, judged.level) == ("venue binance", Level.BAD)
    assert "mode live, at ws://exchange:8090" in judged.says
    assert ".env" in judged.remedy


def test_without_docker_compose_beside_it_the_env_file_is_not_that_of_compose(
    find: Find, example: Callable[..., None], tmp_path: Path
) -> None:
    example("binance", *URLS)
    (tmp_path / compose.FILE).unlink()
    assert find().configured.said is Said.NOBODY


def test_the_environment_wins_over_the_env_file(find: Find, example: Callable[..., None]) -> None:
    example("binance", *URLS)
    found = find(TICKBUS_CONFIG=TWO)
    assert (found.configured.said, found.settings.platform.mode) == (Said.VARIABLE, "simulated")


def test_a_configuration_that_only_a_pod_has_is_a_finding_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKBUS_CONFIG", "/etc/tickbus/default.yaml:/etc/tickbus-overrides/p.yaml")
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"][-1]
    assert (found["check"], found["level"]) == ("configuration", "BAD")
    assert "/etc/tickbus-overrides/p.yaml: cannot be read" in found["says"]


# -- a platform that runs here ---------------------------------------------------------------------


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[DataDir]:
    """One of Binance's live data, as `tickbus up` notes it, with its bus at port 4999."""
    data = DataDir(tmp_path / ".tickbus" / "binance-paper")
    data.open("binance-paper", fresh=False)
    facts: dict[str, Any] = {
        "pid": 7, "nats_url": "nats://127.0.0.1:4999", "exchange_url": "",
        "config": PAPER.split(":"), "services": {"feed": {}, "risk": {}},
    }  # fmt: skip
    data.publish(facts)
    yield data
    data.close()


def test_the_platform_that_runs_here_is_looked_at_without_arguments(
    find: Find, platform: DataDir
) -> None:
    found = find()
    assert (found.configured.said, found.configured.directory) == (Said.PLATFORM, platform.path)
    assert (venues_of(found), found.bus_url) == (["binance"], "nats://127.0.0.1:4999")
    assert found.wanted.keys() == {"feed", "risk"}
    assert not found.has_own_keys, "they may be in its own environment alone"


def test_a_platform_elsewhere_is_not_judged_by_the_one_that_runs_here(
    find: Find, platform: DataDir
) -> None:
    assert find("--bus", BUS).is_assumed
    assert find("--bus", BUS, TICKBUS_CONFIG=TWO).configured.said is Said.VARIABLE
    assert find("--bus", "nats://127.0.0.1:4999").configured.facts


# -- the command -----------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Finding]:
    main(["doctor", "--json", *argv])
    found = [Finding(**each) for each in json.loads(capsys.readouterr().out)["findings"]]
    return {each.check: each for each in found}


def test_what_could_not_be_looked_at_says_why_and_what_to_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = run(capsys, "--bus", "nats://127.0.0.1:1")
    for check, give in (
        ("configuration", "TICKBUS_CONFIG"),
        ("venues", "TICKBUS_CONFIG"),
        ("postgres", "postgresql://USER:PASSWORD@HOST"),
    ):
        assert found[check].level == Level.SKIPPED
        assert found[check].says
        assert give in found[check].remedy
    main(["doctor", "--bus", "nats://127.0.0.1:1"])
    assert "3 could not be looked at: SKIPPED" in capsys.readouterr().out


def test_what_need_not_be_looked_at_asks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys)
    assert (found["venues"].level, found["venues"].remedy) == (Level.SKIPPED, "")
    assert "simulated" in found["venues"].says


def test_ports_and_disk_of_this_machine_are_not_those_of_containers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_CONFIG", TWO)
    found = run(capsys)
    assert not [check for check in found if check.startswith(("port ", "ports", "disk"))]
    assert f"{TWO}: simulated at sim and sim2" in found["configuration"].says
