"""Another secret to sign with, API keys that are refused, and what is kept of their use."""

from collections.abc import AsyncIterator

import pytest
from api_access import ELSEWHERE, Desk
from api_platform import NOW

from tickbus import codec
from tickbus.events import UserActed
from tickbus_api.access.records import KEY, USED, Used

PATH = "/api/v1/auth/signing-key"
S = 10**9


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.start()
    yield desk
    await desk.stop()


async def test_logins_of_before_are_good_until_they_expire(desk: Desk) -> None:
    old = (await desk.log_in()).json()["access_token"]
    turned = (await desk.ask(desk.token("ada"), "POST", PATH)).json()
    assert turned["signs_since"].startswith("2023-11-14T22:13:20")
    assert turned["earlier_until"].startswith("2023-11-14T22:28:20")
    new = (await desk.log_in()).json()["access_token"]
    assert [(await desk.ask(token)).status_code for token in (old, new)] == [200, 200]
    # Turned over and over, the first still counts; a token never lives longer than it would have.
    for second in range(3):
        desk.clock.advance_to(NOW + second * S)
        assert (await desk.ask(new, "POST", PATH)).status_code == 403, "a trader may not"
        assert (await desk.ask(desk.token("ada"), "POST", PATH, json={})).status_code == 200
    assert (await desk.ask(old)).status_code == 200
    desk.clock.advance_to(NOW + 900 * S)
    assert (await desk.ask(old)).status_code == 401


async def test_what_a_secret_that_got_out_has_signed_ends_at_once_and_logins_go_on(
    desk: Desk,
) -> None:
    given = (await desk.log_in()).json()
    turned = await desk.ask(desk.token("ada"), "POST", PATH, json={"at_once": True})
    assert turned.json()["earlier_until"] is None
    assert (await desk.ask(given["access_token"])).status_code == 401
    assert (await desk.ask(desk.token("ada"))).status_code == 401, "with the old secret"
    async with desk.client() as http:
        body = {"refresh_token": given["refresh_token"]}
        renewed = await http.post("/api/v1/auth/refresh", json=body)
    assert (await desk.ask(renewed.json()["access_token"])).status_code == 200


async def test_another_gateway_signs_with_it_and_knows_those_before(desk: Desk) -> None:
    other = Desk()
    other.bus, other.shell.bus = desk.bus, desk.bus
    await other.shell.start()
    old = (await desk.log_in()).json()["access_token"]
    assert (await desk.ask(desk.token("ada"), "POST", PATH)).status_code == 200
    await desk.bus.settle()
    new = (await other.log_in()).json()["access_token"]
    assert [(await other.ask(token)).status_code for token in (old, new)] == [200, 200]
    assert (await desk.ask(new)).status_code == 200
    await other.http.aclose()
    await other.shell.stop()


async def refusals(desk: Desk) -> list[tuple[str, str, str, str, int, str]]:
    await desk.settle()
    return [
        (each.user, each.via, each.key_id, each.action, each.status, each.code)
        for each in desk.stored
        if isinstance(each, UserActed) and each.status in (401, 403)
    ]


async def test_refused_keys_are_on_record_with_whose_they_are_and_from_where(desk: Desk) -> None:
    over = await desk.key("tom", expires_ns=NOW - 1)
    far = await desk.key("tom", networks=("10.0.0.0/8",))
    for key in (over, far, "tbk_secretly_x", over.replace("secret", "wrong")):
        assert (await desk.ask(key, path="/api/v1/orders/an-id")).status_code in (401, 403)
    # What expires by itself is no attempt to get in: a page that was left open shows it.
    await desk.ask(desk.token("tom", age_s=901), path="/api/v1/orders")
    area = "GET /api/v1/orders"
    assert await refusals(desk) == [
        ("tom", "key", "k1", area, 401, "UNAUTHENTICATED"),
        ("tom", "key", "k2", area, 403, "ADDRESS_REFUSED"),
        ("", "key", "", area, 401, "UNAUTHENTICATED"),
        ("tom", "key", "k1", area, 401, "UNAUTHENTICATED"),
    ]
    assert {each.address for each in desk.stored if isinstance(each, UserActed)} == {ELSEWHERE}
    assert "secret" not in repr(desk.stored)


async def test_a_program_with_a_dead_key_does_not_fill_the_record(desk: Desk) -> None:
    for second in range(60):
        desk.clock.advance_to(NOW + second * S)
        await desk.ask("tbk_gone_x")
    assert 10 <= len(await refusals(desk)) <= 16


async def test_what_is_kept_of_a_key_s_use_goes_with_it(desk: Desk) -> None:
    await desk.key("tom")
    used = Used(NOW, ELSEWHERE)
    await desk.access.store.note_use("k1", used)
    assert desk.access.store.used == {"k1": used}
    await desk.access.store.remove_key("k1")
    await desk.access.store.note_use("k1", used)  # noticed before, kept behind
    assert (await desk.bus.kv_read("access", f"{USED}k1"))[0] == b""
    assert desk.access.store.used == {}


async def test_a_start_drops_what_outlived_its_key() -> None:
    desk = Desk()
    await desk.key("tom")
    for name in ("k1", "gone"):
        await desk.keep(USED + name, Used(NOW, ELSEWHERE))
    await desk.start()
    assert set(desk.access.store.used) == {"k1"}
    assert (await desk.bus.kv_read("access", f"{USED}gone"))[0] == b""
    assert codec.decode_value((await desk.bus.kv_read("access", f"{USED}k1"))[0], Used).ts == NOW
    assert (await desk.bus.kv_read("access", f"{KEY}k1"))[0] != b""
    await desk.stop()
