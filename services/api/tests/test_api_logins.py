"""Logging in, staying so and out again, and what somebody tries who should not get in."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest
from api_access import DAY_NS, ELSEWHERE, PASSWORD, Desk, a_user, bearer
from api_platform import NOW
from msgspec.structs import replace

from tickbus import codec, subjects
from tickbus.bus import BusError
from tickbus.events import UserActed
from tickbus.events.orders import message_id
from tickbus_api.access import Access, Role
from tickbus_api.access.records import SESSIONS, USER, Sessions, UserRecord
from tickbus_api.config import ApiConfig

OWN = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.start()
    yield desk
    await desk.stop()


async def refresh(desk: Desk, token: str) -> tuple[int, dict[str, str]]:
    async with desk.client() as http:
        answer = await http.post("/api/v1/auth/refresh", json={"refresh_token": token})
        return answer.status_code, answer.json()


async def test_password_gives_tokens_that_open_and_end(desk: Desk) -> None:
    given = (await desk.log_in("TOM")).json()
    assert (given["user"], given["role"], given["token_type"]) == ("tom", "trader", "Bearer")
    access = given["access_token"]
    assert (await desk.ask(access)).json()["via"] == "session"
    desk.clock.advance_to(NOW + given["expires_in"] * 10**9)
    assert (await desk.ask(access)).status_code == 401
    status, renewed = await refresh(desk, given["refresh_token"])
    assert (status, (await desk.ask(renewed["access_token"])).status_code) == (200, 200)
    await desk.ask(renewed["access_token"], "POST", "/api/v1/auth/logout")
    assert (await desk.ask(renewed["access_token"])).status_code == 401
    assert (await refresh(desk, renewed["refresh_token"]))[0] == 401


async def test_refresh_token_that_is_used_twice_ends_the_whole_login(desk: Desk) -> None:
    first = (await desk.log_in()).json()["refresh_token"]
    _, second = await refresh(desk, first)
    status, refused = await refresh(desk, first)
    assert (status, refused["code"]) == (401, "LOGIN_OVER")
    assert (await refresh(desk, second["refresh_token"]))[0] == 401
    assert (await desk.ask(second["access_token"])).status_code == 401


@pytest.mark.parametrize("when", ["compared", "kept"])
async def test_old_password_does_not_get_in_while_it_is_changed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def change() -> None:
        await desk.keep(USER + "tom", replace(a_user("tom", Role.TRADER), password_hash="new"))
        await desk.keep(SESSIONS + "tom", Sessions("id-tom"))
        await desk.bus.settle()

    compare, read = desk.access.passwords.matches, desk.bus.kv_read

    async def compared(kept: str, password: str) -> bool:
        is_right = await compare(kept, password)
        await change()
        return is_right

    async def while_read(bucket: str, key: str) -> tuple[bytes, int]:
        await change()
        return await read(bucket, key)

    if when == "compared":
        monkeypatch.setattr(desk.access.passwords, "matches", compared)
    else:
        monkeypatch.setattr(desk.bus, "kv_read", while_read)
    answer = await desk.log_in()
    assert (answer.status_code, answer.json()["code"]) == (401, "LOGIN_REFUSED")
    monkeypatch.undo()
    kept = await desk.access.store.read(SESSIONS + "tom", Sessions)
    assert kept == Sessions("id-tom")


async def test_login_that_is_not_used_ends_and_one_that_is_does_not(desk: Desk) -> None:
    token = (await desk.log_in()).json()["refresh_token"]
    desk.clock.advance_to(NOW + 6 * DAY_NS)
    _, again = await refresh(desk, token)
    desk.clock.advance_to(NOW + 12 * DAY_NS)
    status, again = await refresh(desk, again["refresh_token"])
    assert status == 200
    desk.clock.advance_to(NOW + 19 * DAY_NS)
    assert (await refresh(desk, again["refresh_token"]))[0] == 401


@pytest.mark.parametrize(
    "token", ["", "rubbish", "tbr.tom.x.y", "tbr.eve.s-tom.r", "tbr." + "x" * 3000]
)
async def test_made_up_refresh_tokens_are_refused(desk: Desk, token: str) -> None:
    assert (await refresh(desk, token))[0] in (401, 422)
    assert (await desk.ask(desk.token("tom"))).status_code == 200


async def test_browser_gets_cookies_that_no_script_reads_and_no_tokens(desk: Desk) -> None:
    async with desk.client(**OWN) as page:
        answer = await page.post("/api/v1/auth/login", json={"user": "tom", "password": PASSWORD})
        assert (answer.json()["access_token"], answer.json()["refresh_token"]) == (None, None)
        session, kept = answer.headers.get_list("set-cookie")
        for cookie in (session, kept):
            assert "httponly" in cookie.lower()
            assert "samesite=strict" in cookie.lower()
        assert "Path=/api/v1/auth" in kept
        assert (await page.get("/api/v1/auth/me")).json()["user"] == "tom"
        spent = dict(page.cookies)
        assert (await page.post("/api/v1/auth/refresh")).status_code == 200
        # Another page of the same browser asked at the same time: it stays logged in, too.
        page.cookies.update(spent)
        raced = await page.post("/api/v1/auth/refresh")
        assert raced.status_code == 200
        assert len(raced.headers.get_list("set-cookie")) == 1
        desk.clock.advance_to(NOW + 6 * 10**9)
        page.cookies.update(spent)
        assert (await page.post("/api/v1/auth/refresh")).status_code == 401
        assert (await page.get("/api/v1/auth/me")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ],
)
async def test_cookies_do_nothing_for_foreign_pages(desk: Desk, headers: dict[str, str]) -> None:
    cookie = {"Cookie": f"tickbus_session={desk.token('ada')}"}
    async with desk.client(**cookie, **headers) as page:
        answer = await page.post("/api/v1/users", json={"user": "eve", "role": "admin"})
        assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_REFUSED")
    async with desk.client(**cookie, **{"Sec-Fetch-Site": "same-site"}) as page:
        assert (await page.get("/api/v1/users")).status_code in (401, 403)
    assert "eve" not in desk.access.store.users


async def test_wrong_passwords_are_answered_alike_and_slower_and_slower(desk: Desk) -> None:
    answers = [await desk.log_in("tom", "wrong") for _ in range(5)]
    unknown = await desk.log_in("eve", "wrong", "203.0.113.10")
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json() == unknown.json()
    refused = await desk.log_in("tom", PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_LOGINS")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await desk.log_in("tom", PASSWORD, "203.0.113.11")).status_code == 200
    desk.clock.advance_to(NOW + 3600 * 10**9)
    assert (await desk.log_in("tom", PASSWORD)).status_code == 200


async def test_many_guesses_at_once_are_not_all_the_first(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.log_in("tom", f"guess {n}") for n in range(12)))
    assert [answer.status_code for answer in answers].count(401) <= 5


async def test_one_address_does_not_try_every_user(desk: Desk) -> None:
    statuses = [(await desk.log_in(f"user{n}", "wrong")).status_code for n in range(25)]
    assert statuses[-1] == 429
    assert (await desk.log_in("tom", PASSWORD, "2001:db8::1")).status_code == 200


async def test_disabled_user_does_not_log_in(desk: Desk) -> None:
    await desk.keep(USER + "tom", a_user("tom", Role.TRADER, is_enabled=False))
    assert (await desk.log_in()).status_code == 401


async def test_new_password_ends_other_logins(desk: Desk) -> None:
    here, there = (await desk.log_in()).json(), (await desk.log_in()).json()
    body = {"current": PASSWORD, "new": "another horse entirely"}
    wrong = {**body, "current": "wrong"}
    path = "/api/v1/auth/password"
    assert (await desk.ask(here["access_token"], "POST", path, json=wrong)).status_code == 401
    weak = await desk.ask(here["access_token"], "POST", path, json={**body, "new": "short"})
    assert (weak.status_code, weak.json()["field"], "value" in weak.json()) == (422, "new", False)
    assert (await desk.ask(here["access_token"], "POST", path, json=body)).status_code == 200
    assert (await desk.ask(here["access_token"])).status_code == 200
    assert (await desk.ask(there["access_token"])).status_code == 401
    assert (await refresh(desk, there["refresh_token"]))[0] == 401
    assert (await desk.log_in()).status_code == 401
    assert (await desk.log_in("tom", "another horse entirely")).status_code == 200
    key = await desk.key("tom")
    assert (await desk.ask(key, "POST", path, json=body)).status_code == 403


async def test_without_the_bus_nobody_logs_in_and_who_is_in_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bool:
        raise BusError("no bus")

    token = (await desk.log_in()).json()
    for name in ("kv_read", "kv_swap", "kv_put"):
        monkeypatch.setattr(desk.bus, name, away)
    answer = await desk.log_in()
    assert (answer.status_code, answer.json()["code"]) == (503, "ACCESS_UNAVAILABLE")
    assert "access_token" not in answer.text
    assert (await refresh(desk, token["refresh_token"]))[0] == 503
    assert (await desk.ask(token["access_token"])).status_code == 200
    made = await desk.ask(
        desk.token("ada"), "POST", "/api/v1/keys", json={"name": "x", "scopes": ["read"]}
    )
    assert made.status_code == 503


async def test_two_gateways_know_the_same_at_once(desk: Desk) -> None:
    other = Desk()
    other.bus, other.shell.bus = desk.bus, desk.bus
    await other.shell.start()
    given = (await desk.log_in()).json()
    assert (await other.ask(given["access_token"])).status_code == 200
    async with other.client(**bearer(given["access_token"])) as http:
        assert (await http.post("/api/v1/auth/logout")).status_code == 200
    assert (await desk.ask(given["access_token"])).status_code == 401
    await other.http.aclose()
    await other.shell.stop()


async def test_rubbish_in_the_bucket_changes_nothing(desk: Desk) -> None:
    await desk.bus.kv_put("access", "user.ada", b"\xc1 rubbish")
    await desk.bus.kv_put("access", "user.eve", b"rubbish")
    await desk.bus.kv_put("access", "signing", b"rubbish")
    assert (await desk.ask(desk.token("ada"))).json()["role"] == "admin"
    assert "eve" not in desk.access.store.users


async def test_first_start_makes_one_admin_and_shows_the_password_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first, second = Desk(), Desk()
    second.bus, second.shell.bus = first.bus, first.bus
    await first.shell.start()
    shown = capsys.readouterr().err
    password = shown.partition("password ")[2].split()[0]
    await second.shell.start()
    assert "password" not in capsys.readouterr().err
    assert (await second.log_in("admin", password)).json()["role"] == "admin"
    assert password not in caplog.text
    for desk in (first, second):
        await desk.http.aclose()
        await desk.shell.stop()


async def test_what_is_done_is_on_record_without_any_secret(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [PASSWORD, "wrong secret", "hunter2 as a name"]
    await desk.log_in("tom", "wrong secret")
    await desk.log_in("hunter2 as a name", "wrong secret")
    given = (await desk.log_in()).json()
    token = given["access_token"]
    key = await desk.ask(token, "POST", "/api/v1/keys", json={"name": "k", "scopes": ["read"]})
    secrets += [
        token,
        given["refresh_token"],
        key.json()["key"],
        key.json()["key"].split("_", 2)[2],
    ]
    await desk.ask(token, "POST", "/api/v1/orders", json={"symbol": "BTCUSDT"})
    await desk.ask(key.json()["key"], "DELETE", "/api/v1/orders/x")
    await desk.ask("tbk_guess_secret", "DELETE", "/api/v1/orders/x")
    secrets += ["guess"]
    _, renewed = await refresh(desk, given["refresh_token"])
    secrets += [renewed["access_token"], renewed["refresh_token"]]
    await desk.settle()
    acts = [event for event in desk.stored if isinstance(event, UserActed)]
    done = [(a.user, a.via, a.action, a.status, a.code) for a in acts]
    assert done == [
        ("tom", "", "POST /api/v1/auth/login", 401, "LOGIN_REFUSED"),
        ("", "", "POST /api/v1/auth/login", 401, "LOGIN_REFUSED"),
        ("tom", "session", "POST /api/v1/auth/login", 200, ""),
        ("tom", "session", "POST /api/v1/keys", 201, ""),
        ("tom", "session", "POST /api/v1/orders", 422, "MISSING_FIELD"),
        ("tom", "key", "DELETE /api/v1/orders/{order_id}", 403, "FORBIDDEN"),
        ("", "key", "DELETE /api/v1/orders", 401, "UNAUTHENTICATED"),
        ("tom", "session", "POST /api/v1/auth/refresh", 200, ""),
    ]
    assert acts[5].key_id == key.json()["id"]
    assert {act.address for act in acts} == {ELSEWHERE}
    assert len({act.act_id for act in acts}) == len(acts)
    written = repr(acts) + caplog.text + json.dumps(desk.access.store.users, default=repr)
    bucket = repr([await desk.bus.kv_read("access", name) for name in ("user.tom", "sessions.tom")])
    for secret in secrets:
        assert secret not in written
        assert secret not in bucket


async def test_huge_bodies_and_headers_are_refused_unread(desk: Desk) -> None:
    async with desk.client() as http:
        huge = await http.post("/api/v1/auth/login", content=b" " * 10_000_000)
        assert huge.status_code == 413
    assert (await desk.ask("x" * 100_000)).status_code == 401
    assert (await desk.log_in("tom", "x" * 300)).status_code == 422


async def test_requests_of_one_key_have_a_rate_and_stopping_has_none() -> None:
    desk = Desk(rate_per_s=1, rate_burst=3)
    await desk.start()
    key = await desk.key("tom")
    answers = [await desk.ask(key) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[-1].headers["retry-after"] == "1"
    assert (await desk.ask(key, "DELETE", "/api/v1/orders")).status_code != 429
    assert (await desk.ask(await desk.key("tom"))).status_code == 200
    desk.clock.advance_to(NOW + 10**9)
    assert (await desk.ask(key)).status_code == 200
    await desk.stop()


async def test_every_answer_has_the_headers_that_keep_it_safe(desk: Desk) -> None:
    async with desk.client() as http:
        for path in ("/health", "/api/v1/orders", "/", "/nowhere"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "access-control-allow-origin" not in headers
        asked = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
        preflight = await http.options("/api/v1/orders", headers=asked)
        assert "access-control-allow-origin" not in preflight.headers


async def test_configured_origins_alone_may_ask_with_tokens() -> None:
    desk = Desk(cors_origins=("https://desk.example",))
    await desk.start()
    async with desk.client(Origin="https://desk.example") as page:
        body = {"user": "tom", "password": PASSWORD}
        given = await page.post("/api/v1/auth/login", json=body)
        assert given.headers["access-control-allow-origin"] == "https://desk.example"
        assert "access-control-allow-credentials" not in given.headers
        assert given.json()["access_token"]
        assert "set-cookie" not in given.headers
    async with desk.client(Origin="https://evil.example") as page:
        assert (await page.post("/api/v1/auth/login", json=body)).status_code == 403
    await desk.stop()


def test_what_is_kept_shows_nothing_of_itself() -> None:
    record = UserRecord("tom", "id", Role.VIEWER, "the hash", NOW)
    assert "the hash" not in f"{record} {record!r}"
    assert "hash" not in repr(Access(ApiConfig(access="local"), "r", "a password"))


def tried(number: int, *, user: str = "tom", code: str = "LOGIN_REFUSED") -> UserActed:
    status = 401 if code else 200
    return UserActed(
        NOW, NOW, f"other-{number}", user, "", "", ELSEWHERE, "POST /api/v1/auth/login",
        "/api/v1/auth/login", status, code,
    )  # fmt: skip


async def said_elsewhere(desk: Desk, *acts: UserActed) -> None:
    for acted in acts:
        await desk.bus.publish_durable(subjects.ACTS, codec.encode([acted]), message_id(acted))
    await desk.bus.settle()


async def test_wrong_passwords_at_other_gateways_count_here(desk: Desk) -> None:
    await said_elsewhere(desk, *(tried(n) for n in range(4)))
    assert (await desk.log_in("tom")).status_code == 200, "and this one is not counted twice"
    await said_elsewhere(desk, *(tried(n) for n in range(10, 15)))
    assert (await desk.log_in("tom")).json()["code"] == "TOO_MANY_LOGINS"
    assert (await desk.log_in("tom", address="198.51.100.7")).status_code == 200
    await said_elsewhere(desk, tried(20, code=""))
    assert (await desk.log_in("tom")).status_code == 200


async def test_names_that_nobody_has_count_for_their_address_alone(desk: Desk) -> None:
    await said_elsewhere(desk, *(tried(n, user="") for n in range(21)))
    assert (await desk.log_in("vic")).json()["code"] == "TOO_MANY_LOGINS"
    assert (await desk.log_in("vic", address="198.51.100.7")).status_code == 200


async def test_what_a_gateway_records_itself_it_does_not_count_again(desk: Desk) -> None:
    for _ in range(4):
        assert (await desk.log_in("tom", "a wrong password")).status_code == 401
    await desk.settle()
    assert (await desk.log_in("tom")).status_code == 200


async def test_who_is_not_known_is_no_error_of_the_gateway(desk: Desk) -> None:
    assert (await desk.ask("no token at all", path="/api/v1/orders")).status_code == 401
    telemetry = desk.shell.telemetry
    assert (telemetry.errors, telemetry.counts["Request", "refused_unknown"]) == ({}, 1)
