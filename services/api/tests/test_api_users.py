"""Users and API keys: who may make whom, and that nobody gets more than they have."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from api_access import DAY_NS, HERE, PASSWORD, Desk
from api_platform import BTC, LIMIT_BUY, NOW, Gateway, a_platform

from tickbus import codec, ledger_api
from tickbus.bus import Message
from tickbus.events import SetTradingState, SubmitOrder
from tickbus_api.access import Scope

pytestmark = pytest.mark.asyncio(loop_scope="module")
USERS, KEYS = "/api/v1/users", "/api/v1/keys"
READ = {"name": "report", "scopes": ["read"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.start()
    yield desk
    await desk.stop()


async def ask(desk: Desk, name: str, method: str, path: str, /, **body: Any) -> httpx.Response:
    return await desk.ask(desk.token(name), method, path, json=body or None)


async def test_admin_makes_changes_and_removes_users(desk: Desk) -> None:
    made = await ask(desk, "ada", "POST", USERS, user="bob", role="trader")
    assert made.status_code == 201
    given = (await desk.log_in("bob", made.json()["password"])).json()
    assert given["role"] == "trader"
    assert "password" not in (await ask(desk, "ada", "GET", f"{USERS}/bob")).json()
    again = await ask(desk, "ada", "POST", USERS, user="bob", role="viewer")
    assert (again.status_code, again.json()["code"]) == (409, "USER_EXISTS")
    key = (await desk.ask(given["access_token"], "POST", KEYS, json=READ)).json()["key"]
    changed = await ask(desk, "ada", "PATCH", f"{USERS}/bob", role="viewer")
    assert changed.json()["scopes"] == ["read"]
    assert (await desk.ask(given["access_token"])).json()["role"] == "viewer"
    await ask(desk, "ada", "PATCH", f"{USERS}/bob", password="a new battery staple")
    assert (await desk.ask(given["access_token"])).status_code == 401
    assert (await desk.ask(key)).status_code == 200
    assert (await ask(desk, "ada", "DELETE", f"{USERS}/bob")).status_code == 200
    assert (await desk.ask(key)).status_code == 401
    # Another one of the name has nothing of the first.
    await ask(desk, "ada", "POST", USERS, user="bob", role="admin")
    assert (await desk.ask(key)).status_code == 401
    assert (await desk.ask(given["access_token"])).status_code == 401
    assert (await ask(desk, "ada", "DELETE", f"{USERS}/bob")).status_code == 200
    assert (await ask(desk, "ada", "GET", f"{USERS}/bob")).json()["code"] == "UNKNOWN_USER"


async def test_there_is_always_an_admin(desk: Desk) -> None:
    for body in ({"role": "trader"}, {"is_enabled": False}):
        refused = await ask(desk, "ada", "PATCH", f"{USERS}/ada", **body)
        assert (refused.status_code, refused.json()["code"]) == (409, "LAST_ADMIN")
    refused = await ask(desk, "ada", "DELETE", f"{USERS}/ada")
    assert (refused.status_code, refused.json()["code"]) == (409, "ONESELF")
    assert (await desk.ask(desk.token("ada"))).json()["role"] == "admin"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user": "Bob", "role": "viewer"}, "user"),
        ({"user": "a.b", "role": "viewer"}, "user"),
        ({"user": "local", "role": "viewer"}, "user"),
        ({"user": "x" * 33, "role": "viewer"}, "user"),
        ({"user": "zoe", "role": "boss"}, "role"),
        ({"user": "zoe", "role": "viewer", "password": "short"}, "password"),
        ({"user": "zoe", "role": "viewer", "password": "aaaaaaaaaaaaaaaa"}, "password"),
        ({"user": "zoezoezoe", "role": "viewer", "password": "zoezoezoe1234"}, "password"),
        ({"user": "zoe", "role": "viewer", "password": 7}, "password"),
        ({"user": "zoe", "role": "viewer", "scopes": ["admin"]}, "scopes"),
    ],
)
async def test_wrong_users_are_refused(desk: Desk, body: dict[str, Any], field: str) -> None:
    refused = await ask(desk, "ada", "POST", USERS, **body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert refused.json()["remedy"]
    if "password" in body:
        assert str(body["password"]) not in refused.text


async def test_keys_are_shown_once_and_used(desk: Desk) -> None:
    body = {**READ, "networks": ["203.0.113.0/24"], "expires_at": "2033-01-01T00:00:00Z"}
    made = (await ask(desk, "tom", "POST", KEYS, **body)).json()
    assert (await desk.ask(made["key"])).json()["scopes"] == ["read"]
    assert (await desk.ask(made["key"], address="198.51.100.1")).status_code == 403
    (listed,) = [k for k in (await ask(desk, "tom", "GET", KEYS)).json()["keys"]
                 if k["id"] == made["id"]]  # fmt: skip
    assert "key" not in listed
    assert made["key"].split("_", 2)[2] not in str(listed)
    assert listed["last_used_at"].startswith("2023-11-14T22:13:20")
    assert listed["last_used_from"] == "203.0.113.9"
    assert (await ask(desk, "vic", "GET", KEYS)).json()["keys"] == []
    assert (await ask(desk, "vic", "GET", f"{KEYS}?user=tom")).status_code == 403
    everybodys = (await ask(desk, "ada", "GET", f"{KEYS}?user=*")).json()["keys"]
    assert made["id"] in [key["id"] for key in everybodys]
    assert (await ask(desk, "vic", "DELETE", f"{KEYS}/{made['id']}")).status_code == 404
    assert (await desk.ask(made["key"])).status_code == 200
    assert (await ask(desk, "tom", "DELETE", f"{KEYS}/{made['id']}")).status_code == 200
    assert (await desk.ask(made["key"])).status_code == 401


@pytest.mark.parametrize("scope", ["risk", "admin"])
async def test_trader_makes_no_key_that_may_do_more(desk: Desk, scope: str) -> None:
    refused = await ask(desk, "tom", "POST", KEYS, name="x", scopes=["read", scope])
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    other = await ask(desk, "tom", "POST", KEYS, name="x", scopes=["read"], user="ada")
    assert other.status_code == 403
    excess = await ask(desk, "ada", "POST", KEYS, name="x", scopes=[scope], user="tom")
    assert (excess.status_code, excess.json()["field"]) == (422, "scopes")


async def test_a_key_makes_no_keys_that_outlive_it(desk: Desk) -> None:
    key = await desk.key("tom", [Scope.READ, Scope.TRADE], expires_ns=NOW + DAY_NS)
    assert (await desk.ask(key, "POST", KEYS, json=READ)).status_code == 403
    mine = (await ask(desk, "tom", "POST", KEYS, **READ)).json()
    assert (await desk.ask(key, "DELETE", f"{KEYS}/{mine['id']}")).status_code == 403
    assert (await desk.ask(mine["key"], "DELETE", f"{KEYS}/{mine['id']}")).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["everything"]}, "scopes"),
        ({**READ, "networks": ["10.0.0.1/8"]}, "networks"),
        ({**READ, "networks": ["here"]}, "networks"),
        ({**READ, "networks": []}, "networks"),
        ({**READ, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({**READ, "expires_at": "tomorrow"}, "expires_at"),
        ({**READ, "user": "nobody"}, "user"),
        ({**READ, "role": "admin"}, "role"),
    ],
)
async def test_wrong_keys_are_refused(desk: Desk, body: dict[str, Any], field: str) -> None:
    refused = await ask(desk, "ada", "POST", KEYS, **body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_trader_stops_everything_and_lets_nothing_go_on(desk: Desk) -> None:
    body = {"reason": "drill", "actor": "somebody else"}
    desk.hurry()
    halted = await ask(desk, "tom", "PUT", "/api/v1/risk/state", state="HALTED", **body)
    assert halted.json()["code"] == "RISK_UNKNOWN"  # kept, though risk is away
    kept, _ = await desk.bus.kv_read("control", "trading")
    assert codec.decode_value(kept, SetTradingState).actor == "tom"
    for state in ("ACTIVE", "REDUCING"):
        refused = await ask(desk, "tom", "PUT", "/api/v1/risk/state", state=state, **body)
        assert (refused.status_code, refused.json()["scopes_needed"]) == (403, ["risk"])
    assert (
        await ask(desk, "vic", "PUT", "/api/v1/risk/state", state="HALTED", **body)
    ).status_code == 403


# -- at this machine -----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local() -> AsyncIterator[Gateway]:
    gateway = Gateway(hosts=("desk.example",), order_wait_s=0.05)
    await gateway.start()
    yield gateway
    await gateway.stop()


async def get(local: Gateway, address: str = HERE, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(local.app, client=(address, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.get("/api/v1/auth/me", headers=headers)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_whoever_is_here_is_admin(local: Gateway, address: str) -> None:
    answer = await get(local, address)
    assert answer.json() == {
        "user": "local", "role": "admin", "via": "local", "local": True, "key_id": None,
        "scopes": ["admin", "read", "risk", "strategies", "trade"],
    }  # fmt: skip
    assert (await get(local, Host="desk.example:8080")).status_code == 200


@pytest.mark.parametrize("address", ["192.168.1.7", "203.0.113.9", "::2", "", "localhost"])
async def test_nobody_else_is(local: Gateway, address: str) -> None:
    assert (await get(local, address)).status_code == 401
    pretends = {"X-Forwarded-For": HERE, "X-Real-IP": HERE, "Forwarded": f"for={HERE}"}
    assert (await get(local, address, **pretends)).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),  # a name that was made to point here
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost.evil.example:8080"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"X-Forwarded-For": "203.0.113.9"}, 401),  # through a proxy on this machine
        ({"Forwarded": "for=127.0.0.1"}, 401),
        ({"Via": "1.1 proxy"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # a page of another port
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),  # a link
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Authorization": "Bearer tbk_wrong_key"}, 401),
        ({"Authorization": "Basic bG9jYWw6"}, 401),
        ({"Cookie": "tickbus_session=old"}, 200),
    ],
)
async def test_foreign_pages_and_proxies_are_not_here(
    local: Gateway, headers: dict[str, str], status: int
) -> None:
    assert (await get(local, **headers)).status_code == status


async def test_keys_of_this_machine_do_what_they_may(local: Gateway) -> None:
    made = (await local.http.post(KEYS, json=READ)).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    assert (await get(local, **key)).json()["scopes"] == ["read"]
    refused = await local.http.post("/api/v1/orders", content=LIMIT_BUY, headers=key)
    assert refused.status_code == 403


# -- who placed it -------------------------------------------------------------------------------


async def test_orders_say_who_placed_them_and_keys_of_repeats_are_ones_own(desk: Desk) -> None:
    async with a_platform() as platform:
        await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
        await platform.bus.settle()
        (order,) = platform.intents
        assert isinstance(order, SubmitOrder)
        assert order.inputs == {"placed_by": "local"}
    await desk.bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(BTC))
    seen: list[SubmitOrder] = []

    async def see(message: Message) -> None:
        (event,) = codec.decode(message.payload).events
        assert isinstance(event, SubmitOrder)
        seen.append(event)

    async def unknown(_: bytes) -> bytes:
        return codec.encode_value(ledger_api.OrderAnswer(order=None))

    await desk.bus.respond(ledger_api.ORDER, unknown)
    await desk.bus.subscribe("orders.intent.manual", see)
    desk.hurry()
    for name in ("tom", "ada", "tom"):
        header = {"Idempotency-Key": "one", "Authorization": f"Bearer {desk.token(name)}"}
        async with desk.client(**header) as http:
            await http.post("/api/v1/orders", content=LIMIT_BUY)
    await desk.bus.settle()
    assert [order.inputs["placed_by"] for order in seen] == ["tom", "ada"]
    assert len({order.client_order_id for order in seen}) == 2


async def test_password_is_no_part_of_a_user_that_is_shown(desk: Desk) -> None:
    shown = (await ask(desk, "ada", "GET", USERS)).text
    assert "argon2" not in shown
    assert PASSWORD not in shown
