"""Trading goes on when the server that leads the order path is killed, and the books stay equal."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clustered import CLIENTS, ClusteredServer, late_copies, leaders_of, nats_cluster
from conftest import NATS_IMAGE
from contracts import a_database

from tickbus.subjects import ORDERS_STREAM
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.processes import SERVICES, PlatformProcesses
from tickbus_testkit.story import Desk, wait_for
from tickbus_testkit.users import Users

ROOT = Path(__file__).parents[2]
CONFIGS = [
    ROOT / "config" / "default.yaml",
    ROOT / "tests" / "patient.yaml",
    Path(__file__).with_name("cluster.yaml"),
]
STRATEGY = "wild"
FILLS = 10
ENDED = {"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def servers(engine: None, users: Users) -> Iterator[list[ClusteredServer]]:
    with nats_cluster(NATS_IMAGE, users) as found:
        yield found


@pytest.fixture
async def database(postgres_dsn: str) -> str:
    return await a_database(postgres_dsn)


@pytest.fixture
def platform(
    tmp_path: Path, servers: list[ClusteredServer], users: Users, database: str
) -> Iterator[PlatformProcesses]:
    url = ",".join(f"nats://{server.address(CLIENTS)}" for server in servers)
    made = PlatformProcesses(tmp_path, url, database, CONFIGS, users=users)
    with made.running() as running:
        yield running


def leader_of_orders(servers: list[ClusteredServer]) -> ClusteredServer:
    """The server that the others follow, as soon as there is one."""

    def look() -> ClusteredServer | None:
        found = leaders_of(servers, ORDERS_STREAM)
        return found[0] if len(found) == 1 else None

    found = wait_for("a leader of the order path", look, PATIENCE_S)
    assert found is not None
    return found


def fills_of_the_strategy(desk: Desk) -> int:
    """As far as they are in our books and the gateway tells them."""
    return sum(fill["strategy"] == STRATEGY for fill in desk.all("fills"))


def trade_on(desk: Desk, fills: int) -> None:
    """Until the strategy has more than `fills`, and an order by hand is filled."""
    wait_for("more fills of the strategy", lambda: fills_of_the_strategy(desk) > fills, PATIENCE_S)
    wait_for(
        "an order by hand to be filled",
        lambda: (
            desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None).json()["state"]
            == "FILLED"
        ),
        PATIENCE_S,
    )


def until_copied(servers: list[ClusteredServer]) -> None:
    """Wait until each server has everything as its leader has it."""
    found: list[str] = []

    def look() -> bool:
        found[:] = late_copies(servers)
        return not found

    try:
        wait_for("every copy to be there", look, PATIENCE_S)
    except AssertionError as error:
        raise AssertionError("\n".join(found)) from error


def kill_and_trade_on(
    servers: list[ClusteredServer], desk: Desk, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Kill who leads, trade and do something without it, have it back."""
    lost = leader_of_orders(servers)
    before = fills_of_the_strategy(desk)
    lost.kill()
    trade_on(desk, before + FILLS)
    meanwhile()
    lost.start_again()
    lost.until_caught_up()
    until_copied(servers)


def all_live(platform: PlatformProcesses) -> None:
    """Nobody has ended; nothing here would have started it again."""
    ended = [name for name, process in platform.processes.items() if not process.lives()]
    assert not ended, "\n".join(platform[name].tail() for name in ended)


def equal_books(platform: PlatformProcesses, desk: Desk) -> None:
    """Ours and the exchange's, to the last digit, when all is quiet."""
    assert platform["strategy"].stop() == 0
    desk.cancel_all()
    found: list[str] = []

    def look() -> bool:
        found[:] = desk.differences()
        return not found

    try:
        wait_for("books equal to the exchange's", look, PATIENCE_S)
    except AssertionError as error:
        raise AssertionError("\n".join(found)) from error
    assert {order["status"] for order in desk.ledger_of_the_exchange()["orders"]} <= ENDED


def test_books_are_equal_after_the_server_that_leads_the_order_path_was_killed_twice(
    platform: PlatformProcesses, servers: list[ClusteredServer]
) -> None:
    desk = Desk(platform.api_url, platform.exchange_url)
    desk.see_a_strategy_trade()
    desk.trade_by_hand()
    until_copied(servers)
    for server in servers:
        copies = {s["config"]["num_replicas"] for s in server.streams().values()}
        assert copies == {len(servers)}, server.streams()

    kill_and_trade_on(servers, desk)
    all_live(platform)

    def restart_risk() -> None:
        platform["risk"].kill()
        platform["risk"].start().until_ready()
        trade_on(desk, fills_of_the_strategy(desk) + FILLS)

    # Now the one that was away is needed: two of three must be there, or it leads already.
    kill_and_trade_on(servers, desk, restart_risk)
    all_live(platform)
    for name in SERVICES:
        assert "bus_permission_denied" not in platform[name].metrics(), platform[name].tail()
    equal_books(platform, desk)
    wait_for(
        "all servers to hold the same orders",
        lambda: (
            len({server.streams()[ORDERS_STREAM]["state"]["last_seq"] for server in servers}) == 1
        ),
    )
