"""What every service owes whoever runs it: health, readiness, status, metrics, a clean end."""

import asyncio
from typing import Any

import httpx
import pytest
from contracts import Start, a_database, an_instrument, breathe, contract

from contract import SERVICES
from tickbus import codec, subjects
from tickbus.events import ServiceStatus
from tickbus_embedded import free_port
from tickbus_testkit.neighbours import Neighbours
from tickbus_testkit.processes import ServiceProcess

pytestmark = pytest.mark.timeout(120)

NOWHERE = "127.0.0.1:1"
NO_BUS = {"TICKBUS_NATS_URL": f"nats://{NOWHERE}"}
NO_VENUE = {
    "TICKBUS_VENUE_REST_URL": f"http://{NOWHERE}",
    "TICKBUS_VENUE_WS_URL": f"ws://{NOWHERE}",
    "TICKBUS_VENUE_WS_API_URL": f"ws://{NOWHERE}/ws-api/v3",
}
NO_DATABASE = {"TICKBUS_POSTGRES_DSN": f"postgresql://nobody@{NOWHERE}/nothing"}
NEEDED = {
    **{name: NO_BUS for name in SERVICES if name != "killswitch"},
    "feed and its venue": NO_VENUE,
    "execution and its venue": NO_VENUE,
    "ledger and its database": NO_DATABASE,
    "history and its database": NO_DATABASE,
}
"""Services, and where they do not find what they cannot work without."""


@pytest.fixture
def surroundings(request: pytest.FixtureRequest, service: str) -> dict[str, str]:
    """What a service is told of the world besides the bus."""
    if service in ("feed", "execution", "killswitch"):
        _, where = request.getfixturevalue("exchange")
        return {**where, "TICKBUS_KILL_TOKEN": "contract"}
    if service in ("ledger", "history"):
        return {"TICKBUS_POSTGRES_DSN": request.getfixturevalue("postgres_dsn")}
    if service == "api":
        return {"TICKBUS_API_PORT": str(free_port()), "TICKBUS_ADMIN_PASSWORD": "contract-contract"}
    return {"TICKBUS_STRATEGY_ID": "ping-pong"} if service == "strategy" else {}


def each(names: Any) -> Any:
    """A test for each of `names`, as part of the contract of the service in it."""
    return [pytest.param(name.split()[0], name, marks=contract(name.split()[0])) for name in names]


async def describe_all(bus: Neighbours) -> None:
    """As the feed does: execution waits for what it is to trade."""
    for coin in ("BTC", "ETH", "SOL"):
        await bus.describe(an_instrument(coin))


async def statuses(bus: Neighbours) -> list[ServiceStatus]:
    answers = await bus.bus.gather(subjects.STATUS, b"", 0.3)
    return [codec.decode_value(each, ServiceStatus) for each in answers]


@pytest.mark.parametrize(("service", "name"), each(SERVICES))
async def test_it_gets_ready_says_so_and_ends_when_told(
    bus: Neighbours, start: Start, surroundings: dict[str, str], service: str, name: str
) -> None:
    if service in ("ledger", "history"):
        server = surroundings["TICKBUS_POSTGRES_DSN"]
        surroundings = {"TICKBUS_POSTGRES_DSN": await a_database(server)}
    await describe_all(bus)
    process = start(service, **surroundings)
    # One that stands still while it is asked is not among those who answer.
    async with asyncio.timeout(30):
        while not (found := await statuses(bus)):
            await breathe()
    (status,) = found
    assert (status.service, status.ready, status.waiting_for) == (service, True, "")
    assert f"tickbus_{service}_" in process.metrics()
    assert httpx.get(f"{process.health_url}/nothing", timeout=30).status_code == 404
    assert await asyncio.to_thread(process.stop) == 0, process.tail()
    assert await statuses(bus) == []


@pytest.mark.parametrize(("service", "name"), each(NEEDED))
async def test_it_lives_but_is_not_ready_without_what_it_needs(
    bus: Neighbours, start: Start, surroundings: dict[str, str], service: str, name: str
) -> None:
    await describe_all(bus)
    process: ServiceProcess = start(service, ready=False, **{**surroundings, **NEEDED[name]})
    assert await asyncio.to_thread(process.until_alive) == 503
    waiting = httpx.get(f"{process.health_url}/readyz", timeout=30).json()
    assert waiting["ready"] is False
    assert any(waiting["waiting_for"].values())
    assert await asyncio.to_thread(process.stop) == 0, process.tail()
