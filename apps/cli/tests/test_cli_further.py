"""What `tickbus up` starts for further venues, worked out before anything starts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tickbus.config import ConfigError, Settings, load
from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError
from tickbus_cli.further import Further, further, moved
from tickbus_cli.logins import Logins
from tickbus_cli.profile import (
    SERVICES,
    Ports,
    child_environment,
    choose,
    ports,
    require_keys,
    separate_strategies,
)

CONFIG = Path(__file__).parents[3] / "config"
TWO = (CONFIG / "default.yaml", CONFIG / "venues" / "two-exchanges.yaml")


def settings(**terms: Any) -> Settings:
    raw = load(TWO, {}).raw
    venues = [{**raw["venues"][0], **terms}]
    return Settings({**raw, "venues": venues})


def test_one_venue_needs_nothing_more() -> None:
    assert further(load(TWO[:1], {}), True, 0) == ()
    assert Ports().names == SERVICES


def test_a_further_venue_has_processes_of_its_own_and_a_router_comes_before_the_strategies() -> (
    None
):
    venues = further(settings(), True, 100)
    assert venues == (Further("sim2", 8191),)
    names = ports({}, 100, venues).names
    assert [n for n in names if n not in SERVICES] == ["feed-sim2", "execution-sim2", "router"]
    assert names.index("router") < names.index("strategy"), "and so it stops after them"


def test_strategies_may_have_a_process_and_a_login_each(tmp_path: Path) -> None:
    found = load(TWO[:1], {})
    assert separate_strategies(found) == ()
    each = Settings({**found.raw, "strategy": {"processes": "each"}})
    ids = separate_strategies(each)
    assert ids == ("ping-pong", "momentum")
    chosen = ports({}, 100, (Further("sim2", 8191),), ids)
    names = ["strategy-ping-pong", "strategy-momentum"]
    assert [n for n in chosen.names if n.startswith("strategy")] == names
    assert len(set(chosen.all(True).values())) == len(chosen.all(True))
    people = Logins.draw(tmp_path, ("*",), ids)
    own = people.environment("strategy-ping-pong")
    assert own["TICKBUS_NATS_USER"] == "strategy-ping-pong"
    environment = child_environment(
        {}, "strategy-ping-pong", choose("sim", False), chosen, {}, "dsn", own
    )
    assert environment["TICKBUS_STRATEGY_ID"] == "ping-pong"
    assert "TICKBUS_VENUE" not in environment
    with pytest.raises(ConfigError, match="processes"):
        separate_strategies(Settings({**found.raw, "strategy": {"processes": "many"}}))


def test_ports_of_further_venues_are_their_own() -> None:
    two = ports({}, 100, (Further("b", 8191), Further("c", 8192)))
    listening = two.all(True)
    assert listening["exchange-b"] == 8191
    assert len(set(listening.values())) == len(listening)
    with pytest.raises(CliError, match="exchange and exchange-b would both listen on port 8090"):
        ports({}, 0, (Further("b", 8090),))


@pytest.mark.parametrize(
    "terms",
    [{"rest_url": "https://api.binance.com"}, {"adapter": "okx"}, {"rest_url": "http://::"}],
)
def test_simulated_money_never_goes_with_a_real_venue(terms: dict[str, str]) -> None:
    with pytest.raises(CliError, match="no simulated exchange on this machine"):
        further(settings(**terms), True, 0)
    assert further(settings(**terms), False, 0) == (Further("sim2", 0),)


def test_addresses_move_with_the_offset(tmp_path: Path) -> None:
    file = moved(tmp_path, settings(), 100)
    (venue,) = yaml.safe_load(file.read_text("utf-8"))["venues"]
    assert venue["rest_url"] == "http://127.0.0.1:8191"
    assert venue["ws_api_url"] == "ws://127.0.0.1:8191/ws-api/v3"
    assert load((*TWO, file), {}).venues[1].fees == load(TWO, {}).venues[1].fees


def test_each_process_knows_its_venue_and_no_key_of_another() -> None:
    both = Ports(further=(Further("sim2"),))
    base = {"TICKBUS_VENUE": "stray", "TICKBUS_VENUE_API_KEY": "all"}
    base |= {"TICKBUS_SIM2_API_KEY": "two", "TICKBUS_MAIN_API_KEY": "one"}
    profile = choose("binance-testnet", False)

    def given(name: str, venue: str) -> dict[str, str]:
        return child_environment(base, name, profile, both, {}, "", {}, venue)

    second, first = given("execution-sim2", "sim2"), given("execution", "main")
    assert second["TICKBUS_VENUE"] == given("feed-sim2", "sim2")["TICKBUS_VENUE"] == "sim2"
    assert "TICKBUS_VENUE" not in first
    assert ("TICKBUS_SIM2_API_KEY" in second, "TICKBUS_MAIN_API_KEY" in second) == (True, False)
    assert ("TICKBUS_SIM2_API_KEY" in first, "TICKBUS_MAIN_API_KEY" in first) == (False, True)
    assert {"TICKBUS_SIM2_API_KEY", "TICKBUS_MAIN_API_KEY"} <= given("killswitch", "").keys()
    assert not [key for key in given("router", "main") if key.endswith("_API_KEY")]


def test_a_venue_with_keys_of_its_own_needs_no_common_ones() -> None:
    profile = choose("binance-testnet", False)
    own = {f"TICKBUS_{n}_API_{k}": "x" for n in ("A", "B_2") for k in ("KEY", "SECRET")}
    require_keys(profile, own, ["a", "b-2"])
    del own["TICKBUS_B_2_API_SECRET"]
    with pytest.raises(CliError, match="TICKBUS_VENUE_API_SECRET"):
        require_keys(profile, own, ["a", "b-2"])


def test_fresh_forgets_the_accounts_at_all_exchanges(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "d")
    data.open("sim", fresh=False)
    data.state("exchange-sim2").mkdir()
    data.close()
    data.open("sim", fresh=True)
    assert not data.state("exchange-sim2").exists()
    data.close()
