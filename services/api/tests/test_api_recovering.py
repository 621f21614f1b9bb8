"""A lost password: who owns the bus gets back in, at once, on record, and nobody else does."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
from api_access import CHEAP, PASSWORD, Desk, a_user
from api_platform import NOW

from tickbus import codec, permissions
from tickbus.bus import Bus, BusError, MemoryBus, NatsBus, Stored
from tickbus.events import UserActed
from tickbus.permissions import covers
from tickbus_api import recover
from tickbus_api.access import Role
from tickbus_api.access.hashing import Passwords
from tickbus_api.access.records import USER
from tickbus_api.access.recovering import By, Recovered
from tickbus_api.access.recovering import recover as recover_at

BY = By("deploy", "web-1")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.start()
    yield desk
    await desk.stop()


async def recovered(bus: Bus, name: str = "") -> Recovered:
    return await recover_at(bus, name, BY, NOW, Passwords(CHEAP))


async def test_the_only_admin_gets_a_new_password_and_every_login_ends(desk: Desk) -> None:
    key = await desk.key("ada")
    done = await recovered(desk.bus)
    await desk.bus.settle()
    assert (done.user, done.role, done.ended) == ("ada", "admin", 1)
    assert (await desk.ask(desk.token("ada"))).status_code == 401
    assert (await desk.log_in("ada", PASSWORD)).status_code == 401
    given = (await desk.log_in("ada", done.password)).json()
    assert (await desk.ask(given["access_token"])).json()["role"] == "admin"
    # Nothing of others, nor a program's key.
    assert (await desk.ask(desk.token("tom"))).status_code == 200
    assert (await desk.ask(key)).status_code == 200


async def test_it_is_on_record_without_the_password(desk: Desk) -> None:
    done = await recovered(desk.bus, "tom")
    await desk.settle()
    (acted,) = desk.stored
    assert isinstance(acted, UserActed)
    assert (acted.user, acted.via, acted.address) == ("deploy", "bus", "web-1")
    assert (acted.action, acted.target) == ("RECOVER /api/v1/users/{user}", "/api/v1/users/tom")
    assert done.password not in repr(acted)


async def test_what_cannot_be_put_on_record_tells_no_password(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(subject: str, payload: bytes, message_id: str) -> Stored:
        raise BusError("the stream is full")

    monkeypatch.setattr(desk.bus, "publish_durable", away)
    with pytest.raises(recover.NotRecovered, match=r"the stream is full\n  Do it again"):
        await recover.recovered(desk.bus, "ada")


async def test_nobody_is_guessed(desk: Desk) -> None:
    await desk.keep(USER + "eve", a_user("eve", Role.ADMIN))
    await desk.keep(USER + "bob", a_user("bob", Role.TRADER, is_enabled=False))
    for name, why in (
        ("", "several admins: name one of ada, eve"),
        ("aad", r"no user 'aad'; did you mean 'ada'\?"),
        ("bob", r"bob is kept out.*recover an admin \(ada, eve\)"),
    ):
        with pytest.raises(ValueError, match=why):
            await recovered(desk.bus, name)
    with pytest.raises(ValueError, match="no admin yet"):
        await recovered(MemoryBus(), "ada")
    assert (await desk.log_in("ada")).status_code == 200


def test_only_who_owns_the_bus_or_is_the_gateway_may() -> None:
    accounts = permissions.accounts(dict.fromkeys(permissions.users(()), "x"), ())
    may = {
        user["user"]
        for user in accounts[permissions.PLATFORM]["users"]
        if all(
            any(covers(pattern, wanted) for pattern in user["permissions"]["publish"]["allow"])
            for wanted in ("$KV.access.user.ada", "$KV.access.sessions.ada", "orders.audit.user")
        )
    }
    assert may == {"api", permissions.OPERATOR}


async def test_as_the_gateway_s_container_runs_it(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKBUS_NATS_URL", nats_url)

    async def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recover", *arguments])
        code = await asyncio.to_thread(recover.main)
        said = capsys.readouterr()
        return code, said.out, said.err

    bus = await NatsBus.connect(nats_url, "test")
    await bus.kv_put("access", f"{USER}ada", codec.encode_value(a_user("ada", Role.ADMIN)))
    code, out, err = await run("nobody")
    assert (code, out) == (1, "")
    assert "there is no user 'nobody'" in err
    code, out, err = await run("ada")
    assert (code, err) == (0, "")
    assert out.startswith("ada, admin: password ")
    await bus.kv_put("access", f"{USER}ada", b"")
    await bus.close()
