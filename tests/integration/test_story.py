"""One story end to end on real NATS and Postgres: tick, order, fill, ledger, API; and restarts."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest

from tickbus import codec, subjects
from tickbus.bus import NatsBus
from tickbus.codec import Hop
from tickbus.events import OrderApproved, OrderType, Side, SubmitOrder
from tickbus.permissions import OPERATOR, STRATEGY
from tickbus_testkit.processes import SERVICES, PlatformProcesses
from tickbus_testkit.story import Desk, wait_for
from tickbus_testkit.users import NEIGHBOR, Users

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "default.yaml"

ENDED = {"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, nats_url: str, nats_users: Users, postgres_dsn: str
) -> Iterator[PlatformProcesses]:
    logs = tmp_path_factory.mktemp("platform")
    made = PlatformProcesses(logs, nats_url, postgres_dsn, [CONFIG], users=nats_users)
    with made.running() as running:
        yield running


@pytest.fixture
def desk(platform: PlatformProcesses) -> Desk:
    return Desk(platform.api_url, platform.exchange_url)


def errors(platform: PlatformProcesses, name: str, kind: str = "malformed") -> float:
    """How many errors of a kind the service has counted."""
    wanted = f'tickbus_{name}_errors_total{{kind="{kind}"}} '
    lines = platform[name].metrics().splitlines()
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


def equal_books(platform: PlatformProcesses, desk: Desk) -> None:
    """Ours and the exchange's, to the last digit, while the strategies hold their breath."""
    found: list[str] = []

    def look() -> bool:
        found[:] = desk.differences()
        return not found

    with platform["strategy"].paused():
        try:
            wait_for("books equal to the exchange's", look, 30)
        except AssertionError as error:
            raise AssertionError("\n".join(found)) from error


def test_a_tick_becomes_an_order_a_fill_and_a_line_in_the_books(
    platform: PlatformProcesses, desk: Desk
) -> None:
    desk.see_a_strategy_trade()
    desk.trade_by_hand()
    equal_books(platform, desk)


@pytest.mark.parametrize(
    "name",
    ["risk", "execution", "ledger", "history", "strategy", "book", "feed", "api", "alerts"],
)
def test_service_killed_under_way_comes_back_and_the_books_are_equal(
    platform: PlatformProcesses, desk: Desk, name: str
) -> None:
    platform[name].kill()
    wanted = None
    if name != "api":
        # Wanted while it is away: done when it is back, or refused with a reason, never lost.
        wanted = desk.order(symbol="BTCUSDT", side="Sell", quantity=0.001, price=None).json()
    platform[name].start().until_ready()
    if wanted is not None:
        assert "id" in wanted, wanted
        became = _end_of(desk, wanted["id"])
        assert became["state"] == "FILLED" or became["reason"], became
    wait_for(
        "a market order to be filled again",
        lambda: (
            desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None).json()["state"]
            == "FILLED"
        ),
    )
    equal_books(platform, desk)


def _end_of(desk: Desk, order_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(desk.get(f"/api/v1/orders/{order_id}"))
        return found["state"] in ("FILLED", "DENIED", "REJECTED", "CANCELED")

    wait_for("what was wanted meanwhile to end", look)
    return found


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("book", "md.delta.sim.BTC-USDT"),
        ("strategy", "md.quote.sim.BTC-USDT"),
        ("risk", "book.top.sim.BTC-USDT"),
        ("risk", "orders.intent.manual"),
        ("execution", "orders.approved.sim"),
        ("ledger", "orders.event.sim.manual"),
        ("api", "book.top.sim.BTC-USDT"),
    ],
)
async def test_malformed_message_is_counted_and_the_service_lives_on(
    platform: PlatformProcesses, nats_url: str, nats_users: Users, name: str, subject: str
) -> None:
    before = errors(platform, name)
    login = nats_users.login(NEIGHBOR)
    client = await nats.connect(nats_url, user=login.user, password=login.password)
    await client.publish(subject, b"\xc1 no envelope")
    await client.flush()
    await client.close()
    wait_for(f"{name} to count one more", lambda: errors(platform, name) > before)
    assert platform[name].until_ready().lives()


def test_books_are_equal_when_all_is_quiet(platform: PlatformProcesses, desk: Desk) -> None:
    assert platform["strategy"].stop() == 0
    desk.cancel_all()
    wait_for("books equal to the exchange's", lambda: not desk.differences())
    assert {o["status"] for o in desk.ledger_of_the_exchange()["orders"]} <= ENDED
    platform["strategy"].start().until_ready()


def test_nobody_was_denied_what_he_needs(platform: PlatformProcesses) -> None:
    for name in SERVICES:
        assert "bus_permission_denied" not in platform[name].metrics(), platform[name].tail()


def a_forgery(venue: str, name: str) -> bytes:
    """An order that any venue would fill at once, as risk would approve it, but for the proof."""
    now = time.time_ns()
    order = SubmitOrder(
        now, now, f"forged-{name}", "ping-pong", venue, "BTC-USDT", Side.BUY, OrderType.MARKET,
        Decimal("0.001"),
    )  # fmt: skip
    return codec.encode([OrderApproved(now, now, order)], (Hop("risk", now, now),))


async def test_no_approval_but_risks_gets_a_byte_to_the_venue(
    platform: PlatformProcesses, desk: Desk, nats_url: str, nats_users: Users
) -> None:
    """Last of all: from here on the books hold orders that nobody sent."""
    approved = subjects.approved("sim")
    denied: list[str] = []

    async def on_error(error: Exception) -> None:
        denied.append(str(error))

    for name in (
        STRATEGY,
        "feed",
        "book",
        "ledger",
        "history",
        "api",
        "alerts",
        "execution",
        OPERATOR,
    ):
        login = nats_users.login(name)
        client = await nats.connect(
            nats_url, user=name, password=login.password, error_cb=on_error,
            inbox_prefix=f"_INBOX.{name}",
        )  # fmt: skip
        denied.clear()
        forged = a_forgery("sim", name)
        await client.publish(approved, forged)
        await client.publish("orders.intent.ping-pong", forged, reply=approved)
        await client.flush()
        async with asyncio.timeout(30):  # for the word, which comes by a task of its own
            while not any(approved in error for error in denied):
                await asyncio.sleep(0.02)
        await client.close()
    # Whoever has got past the server nevertheless.
    unproven = partial(errors, platform, "execution", "approval_without_proof")
    before = unproven()
    bus = await NatsBus.connect(nats_url, "forger", nats_users.login(NEIGHBOR))
    await bus.publish_durable(approved, a_forgery("sim", "inside"), "forged-inside")
    await bus.close()
    wait_for("execution to refuse it", lambda: unproven() > before)
    platform["execution"].kill()
    platform["execution"].start().until_ready()
    genuine = wait_for(
        "a genuine order to be filled",
        lambda: desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None).json(),
    )
    assert genuine["state"] == "FILLED"
    sent = {order["clientOrderId"] for order in desk.ledger_of_the_exchange()["orders"]}
    assert genuine["id"] in sent
    assert not [name for name in sent if name.startswith("forged")]
