"""An update replaces every process that writes, and no order that rests is disturbed by it."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import PlatformProcesses
from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "config" / "default.yaml", ROOT / "tests" / "updating" / "updating.yaml")
WRITERS = ("strategy", "risk", "execution", "ledger")
TIMEOUT_S = 10.0
"""`risk.heartbeat_timeout_s` of the default configuration."""
AWAY_S = TIMEOUT_S + 3
ORDERS = 3

pytestmark = [pytest.mark.slow(70), pytest.mark.timeout(600)]


@pytest.fixture
async def platform(tmp_path: Path) -> Any:
    """Everything, with the time-outs that users have."""
    async with (
        EmbeddedNats(tmp_path / "nats", start_timeout_s=PATIENCE_S) as nats,
        EmbeddedPostgres(tmp_path / "pg", start_timeout_s=PATIENCE_S) as postgres,
    ):
        made = PlatformProcesses(tmp_path, nats.url, postgres.dsn, CONFIGS, seed=5)
        with made.running():
            yield made


def orders(desk: Desk) -> list[tuple[str, str]]:
    """(id, status) of every order that the exchange was ever sent."""
    told = desk.ledger_of_the_exchange()["orders"]
    return sorted((order["clientOrderId"], order["status"]) for order in told)


def replace(platform: PlatformProcesses, *names: str, away_s: float = 0.0) -> None:
    """Stop them in order, all at once, and start them anew."""
    with ThreadPoolExecutor(len(names)) as hands:
        codes = list(hands.map(lambda name: platform[name].stop(), names))
    assert codes == [0] * len(names)
    time.sleep(away_s)
    for name in names:
        platform[name].start()
    for name in names:
        platform[name].until_ready()


def heard(desk: Desk) -> bool:
    """Whether risk hears the strategy again."""
    scopes = {scope["scope"]: scope for scope in desk.get("/api/v1/risk/state")["scopes"]}
    return "strategy:resting" in scopes and not scopes["strategy:resting"]["heartbeat_lost"]


def test_replacing_what_writes_disturbs_no_order_that_rests(platform: PlatformProcesses) -> None:
    desk = Desk(platform.api_url, platform.exchange_url)
    wait_for("the orders rest", lambda: len(orders(desk)) == ORDERS)
    resting = wait_for("the exchange has them", lambda: orders(desk))
    assert {status for _, status in resting} == {"NEW"}

    replace(platform, "strategy", away_s=AWAY_S)  # an image is fetched, a history is read
    wait_for("the strategy is back", lambda: heard(desk))
    assert orders(desk) == resting
    for name in WRITERS:
        replace(platform, name)
        wait_for(f"the strategy is heard after {name}", lambda: heard(desk))
        assert orders(desk) == resting, name
    replace(platform, *WRITERS, away_s=AWAY_S)  # as a cluster does it
    wait_for("the strategy is heard after all", lambda: heard(desk))
    time.sleep(AWAY_S)  # were anybody taken for dead, it would be by then
    assert orders(desk) == resting

    # One that just dies is another matter: nobody knows whether it ever comes back.
    platform["strategy"].kill()
    wait_for("its orders are cancelled", lambda: not any(s == "NEW" for _, s in orders(desk)))
    platform["strategy"].start().until_ready()
