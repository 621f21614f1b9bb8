"""Every route for every role, and for everything that is nearly a credential.

The routes are those of the app: a new one is judged here without anybody thinking of it.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from api_access import (
    DAY_NS,
    ELSEWHERE,
    HERE,
    PASSWORD_HASH,
    SECRET,
    Desk,
    bearer,
    foreign,
)
from api_platform import NOW

from tickbus_api.access import Principal, Role, Scope, Via, declarations
from tickbus_api.access.needs import Declared
from tickbus_api.access.principal import SCOPES_OF
from tickbus_api.access.records import KEY, SESSIONS, USER, Sessions, UserRecord
from tickbus_api.problems import Problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPEN = {
    ("GET", "/health"), ("GET", "/metrics"), ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"), ("POST", "/api/v1/auth/logout"),
}  # fmt: skip
USERS = {"ada": Role.ADMIN, "tom": Role.TRADER, "vic": Role.VIEWER}
LIFE = {"iss": "tickbus", "aud": "tickbus-api", "exp": NOW // 10**9 + 900}
CLAIMS = {"sub": "ada", "uid": "id-ada", "sid": "s-ada", **LIFE}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors() -> AsyncIterator[Desk]:
    """A desk of which only the doors work."""
    desk = Desk(rate_per_s=1e6, rate_burst=1_000_000)
    desk.only_doors()
    await desk.start()
    yield desk
    await desk.stop()


def routes(desk: Desk) -> list[tuple[str, str, Declared]]:
    """(method, a path, declaration) of every route."""
    found = []
    for route in declarations(desk.app):
        path = "/".join("x" if part.startswith("{") else part for part in route.path.split("/"))
        found += [(method, path, route) for method in sorted(route.methods)]
    return found


async def answers(desk: Desk, token: str, address: str = ELSEWHERE) -> dict[tuple[str, str], int]:
    """The status of each route for whoever shows `token`, "" for nobody."""
    headers = bearer(token) if token else {}
    async with desk.client(address, **headers) as http:
        return {
            (method, path): (await http.request(method, path)).status_code
            for method, path, _ in routes(desk)
        }


async def bad_credentials(desk: Desk, kind: str) -> str:
    """Something that is nearly a credential."""
    key = await desk.key("ada")
    match kind:
        case "nothing":
            return ""
        case "expired token":
            return desk.token("ada", age_s=901)
        case "token signed by somebody else":
            return desk.token("ada", secret=b"x" * 32)
        case "token that nobody signed":
            return foreign(CLAIMS, "none", None)
        case "token for another audience":
            return foreign({**CLAIMS, "aud": "other"}, "HS256", SECRET)
        case "token without an end":
            endless = {name: claim for name, claim in CLAIMS.items() if name != "exp"}
            return foreign(endless, "HS256", SECRET)
        case "token of no user":
            return desk.token("eve")
        case "token of a login that is over":
            return foreign({**CLAIMS, "sid": "s-over"}, "HS256", SECRET)
        case "token of a user who had the name before":
            return foreign({**CLAIMS, "uid": "id-before"}, "HS256", SECRET)
        case "expired key":
            return await desk.key("ada", expires_ns=NOW)
        case "key of no user":
            return await desk.key("eve")
        case "key of a user who had the name before":
            return await desk.key("ada", user_id="id-before")
        case "key of the local user":
            return await desk.key("local", user_id="local")
        case "key with another secret":
            return key[:-1] + "x"
        case "key without a secret":
            return key.rpartition("_")[0]
        case "key that was taken back":
            await desk.keep(KEY + key.split("_")[1], None)
            return key
        case "no key at all":
            return "tbk_"
        case _:
            return "rubbish"


BAD = (
    "nothing", "rubbish", "expired token", "token signed by somebody else",
    "token that nobody signed", "token for another audience", "token without an end",
    "token of no user", "token of a login that is over", "token of a user who had the name before",
    "expired key", "key of no user", "key of a user who had the name before",
    "key of the local user", "key with another secret", "key without a secret",
    "key that was taken back", "no key at all",
)  # fmt: skip


async def test_what_is_open_is_known(doors: Desk) -> None:
    found = {(m, path) for m, path, route in routes(doors) if route.need and route.need.is_open}
    assert found == OPEN


@pytest.mark.parametrize("kind", BAD)
async def test_nobody_gets_in_with(doors: Desk, kind: str) -> None:
    token = await bad_credentials(doors, kind)
    for (method, path), status in (await answers(doors, token)).items():
        assert status == (204 if (method, path) in OPEN else 401), f"{method} {path}"


async def test_a_key_from_another_address_gets_in_nowhere(doors: Desk) -> None:
    token = await doors.key("ada", networks=("10.0.0.0/8", "2001:db8::/32"))
    for (method, path), status in (await answers(doors, token)).items():
        assert status == (204 if (method, path) in OPEN else 403), f"{method} {path}"
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"):
        assert (await doors.ask(token, address=address)).status_code == 204
    for address in ("11.1.2.3", "::ffff:11.1.2.3", "2001:db9::7", ""):
        assert (await doors.ask(token, address=address)).status_code == 403


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize("by", ["login", "key"])
async def test_a_role_gets_in_where_its_scopes_reach(doors: Desk, name: str, by: str) -> None:
    token = doors.token(name) if by == "login" else await doors.key(name)
    await expect(doors, token, SCOPES_OF[USERS[name]])


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_with_one_scope_gets_in_there_alone(doors: Desk, scope: Scope) -> None:
    await expect(doors, await doors.key("ada", [scope]), frozenset({scope}))


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_may_never_do_more_than_its_user(doors: Desk, scope: Scope) -> None:
    await expect(doors, await doors.key("vic", [scope]), SCOPES_OF[Role.VIEWER] & {scope})


async def expect(desk: Desk, token: str, scopes: frozenset[Scope]) -> None:
    found = await answers(desk, token)
    for method, path, route in routes(desk):
        assert route.need is not None
        # 422: inside, where a parameter is missed.
        allowed = (204, 422) if route.need.scopes <= scopes else (403,)
        assert found[method, path] in allowed, f"{method} {path}"


async def test_every_route_that_changes_something_wants_more_than_reading(doors: Desk) -> None:
    personal = {"/api/v1/auth/password", "/api/v1/keys", "/api/v1/keys/x"}
    for method, path, route in routes(doors):
        assert route.need is not None
        if method not in ("GET", "HEAD") and (method, path) not in OPEN and path not in personal:
            assert route.need.scopes & {*Scope} - {Scope.READ}, f"{method} {path}"


async def test_who_gets_in_changes_while_a_token_lives() -> None:
    desk = Desk()
    await desk.start()
    tom, key = desk.token("tom"), await desk.key("tom")
    try:
        assert (await desk.ask(tom)).json()["scopes"] == ["read", "strategies", "trade"]
        await desk.keep(USER + "tom", UserRecord("tom", "id-tom", Role.VIEWER, PASSWORD_HASH, NOW))
        for token in (tom, key):
            assert (await desk.ask(token)).json()["scopes"] == ["read"]
            refused = await desk.ask(token, "POST", "/api/v1/orders", content="{}")
            assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
            assert refused.json()["scopes_needed"] == ["trade"]
        disabled = UserRecord("tom", "id-tom", Role.VIEWER, PASSWORD_HASH, NOW, is_enabled=False)
        await desk.keep(USER + "tom", disabled)
        assert [(await desk.ask(token)).status_code for token in (tom, key)] == [401, 401]
        await desk.keep(USER + "vic", None)
        assert (await desk.ask(desk.token("vic"))).status_code == 401
        await desk.keep(SESSIONS + "ada", Sessions("id-ada"))
        assert (await desk.ask(desk.token("ada"))).status_code == 401
    finally:
        await desk.stop()


async def test_login_mode_trusts_nobody_for_being_here(doors: Desk) -> None:
    async with doors.client(HERE) as http:
        answer = await http.get("/api/v1/orders")
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/docs", "/openapi.json", "/api/v1/nothing", "/nothing-to-post-to"):
            method = "POST" if "post" in path else "GET"
            assert (await http.request(method, path)).status_code == 401, path


async def test_metrics_can_want_a_login_too() -> None:
    desk = Desk(metrics_open=False)
    await desk.start()
    async with desk.client() as http:
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/health")).status_code in (200, 503)
    assert (await desk.ask(desk.token("vic"), path="/metrics")).status_code == 200
    await desk.stop()


async def test_key_that_expires_does_so_on_time() -> None:
    desk = Desk()
    await desk.start()
    key = await desk.key("tom", expires_ns=NOW + DAY_NS)
    assert (await desk.ask(key)).status_code == 200
    desk.clock.advance_to(NOW + DAY_NS)
    assert (await desk.ask(key)).status_code == 401
    await desk.stop()


async def test_what_a_login_opened_ends_with_it_on_time() -> None:
    desk = Desk()
    await desk.start()
    tom = Principal(
        user="tom", role=Role.TRADER, scopes=SCOPES_OF[Role.TRADER], via=Via.SESSION,
        session_id="s-tom",
    )  # fmt: skip
    assert desk.access.identity.still(tom, NOW + DAY_NS - 1) == tom
    with pytest.raises(Problem, match="over"):
        desk.access.identity.still(tom, NOW + DAY_NS)
    await desk.stop()
