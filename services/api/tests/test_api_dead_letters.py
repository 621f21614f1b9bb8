"""What services gave up, over HTTP."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from api_platform import NOW, Platform, a_platform

from tickbus import codec
from tickbus.bus import Bus, NatsBus
from tickbus.events import OrderType, Side, SubmitOrder
from tickbus.runtime.deadletters import BUCKET, DeadLetter, LetterState, letters
from tickbus.runtime.main import metrics_server
from tickbus.runtime.telemetry import Telemetry
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.users import Users

ORDER = SubmitOrder(
    NOW, NOW, "pp-r-1", "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal("0.10"),
    Decimal("100.5"),
)  # fmt: skip


def a_letter(
    sequence: int, state: LetterState = LetterState.DEAD, payload: bytes = b""
) -> DeadLetter:
    return DeadLetter(
        "risk", "risk", "orders.intent.pp", sequence, 3, "ValueError: x", "abc", NOW, state,
        payload or codec.encode([ORDER]),
    )  # fmt: skip


async def kept(bus: Bus, *found: DeadLetter) -> None:
    for letter in found:
        await bus.kv_put(BUCKET, letter.key, codec.encode_value(letter))


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


async def test_letters_are_listed_newest_first_and_counted(platform: Platform) -> None:
    await kept(
        platform.bus, a_letter(3), a_letter(9), a_letter(5, LetterState.REPLAYED),
        a_letter(7, LetterState.FAILING),
    )  # fmt: skip
    body = (await platform.http.get("/api/v1/dead-letters")).json()
    assert (body["dead"], [each["name"] for each in body["letters"]]) == (2, ["risk.9", "risk.3"])
    assert body["letters"][0]["failed_at"] == "2023-11-14T22:13:20.000000Z"
    assert body["letters"][0]["payload"] is None
    body = (await platform.http.get("/api/v1/dead-letters?all=true&limit=3")).json()
    assert [each["sequence"] for each in body["letters"]] == [9, 7, 5]
    status = (await platform.http.get("/api/v1/status")).json()
    assert status["dead_letters"] == 2


async def test_one_letter_says_what_was_in_it(platform: Platform) -> None:
    await kept(platform.bus, a_letter(3), a_letter(4, payload=b"\xc1"))
    body = (await platform.http.get("/api/v1/dead-letters/risk.3")).json()
    (event,) = body["events"]
    assert event["event"] == "SubmitOrder"
    told = event["body"]
    assert (told["client_order_id"], told["side"]) == ("pp-r-1", "BUY")
    assert (told["quantity"], told["price"]) == ("0.10", "100.5")
    assert body["payload"] == codec.encode([ORDER]).hex()
    odd = (await platform.http.get("/api/v1/dead-letters/risk.4")).json()
    assert (odd["events"], odd["payload"]) == (None, "c1")
    missing = await platform.http.get("/api/v1/dead-letters/risk.77")
    assert (missing.status_code, missing.json()["code"]) == (404, "UNKNOWN_DEAD_LETTER")


async def test_the_gateway_may_read_letters_where_permissions_are_on() -> None:
    users = Users()
    async with nats_server(users) as server:
        risk = await NatsBus.connect(server.url, "risk", login=users.login("risk"))
        api = await NatsBus.connect(server.url, "api", login=users.login("api"))
        try:
            await kept(risk, a_letter(3))
            assert [letter.key for letter in await letters(api)] == ["risk.3"]
        finally:
            await api.close()
            await risk.close()


async def test_a_ready_service_notes_what_it_gave_up() -> None:
    telemetry = Telemetry("risk")
    server = metrics_server("risk", telemetry, {"TICKBUS_METRICS_PORT": "0"}, dict)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as http:
        assert json.loads((await http.get("/readyz")).content)["notes"] == {}
        telemetry.gauge("dead_letters", 2)
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert "2 given up" in answer.json()["notes"]["dead_letters"]
    await server.stop()
