"""Logins that renew themselves, at the gateway itself: plain code, asyncio, and streams."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from api_access import PASSWORD, Desk
from api_page import url_of
from api_platform import BTC, NOW

from tickbus import codec
from tickbus.events import BookTop
from tickbus_client import ApiError, AsyncClient, Client, Unreachable, streams
from tickbus_client.answers.access import Tokens
from tickbus_client.credentials import Bearer, Login
from tickbus_testkit.patience import PATIENCE_S

TOKEN_S = 900


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that took its time to open, or is silent, is none that broke."""
    for name in ("OPEN_S", "SILENCE_S"):
        monkeypatch.setattr(streams, name, PATIENCE_S)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.start()
    yield desk
    await desk.stop()


def address(desk: Desk) -> str:
    return "http" + url_of(desk).removeprefix("ws").removesuffix("/api/v1/stream")


def later(desk: Desk) -> None:
    """All access tokens have expired, at the gateway's clock."""
    desk.clock.advance_to(desk.clock.now_ns() + (TOKEN_S + 1) * 10**9)


async def test_a_token_that_is_refused_is_renewed_once_for_all_who_ask(desk: Desk) -> None:
    async with AsyncClient(address(desk), "", timeout_s=PATIENCE_S) as client:
        await client.log_in("tom", PASSWORD)
        assert (await client.access.me()).user == "tom"
        for _ in range(2):
            later(desk)
            # Were the refresh token sent twice, the gateway would end the login.
            found = await asyncio.gather(*(client.access.me() for _ in range(8)))
            assert {me.user for me in found} == {"tom"}
        await client.log_out()
        with pytest.raises(ApiError) as refused:
            await client.access.me()
        assert refused.value.code == "UNAUTHENTICATED"


async def test_plain_code_and_its_threads_renew_as_well(desk: Desk) -> None:
    def work() -> None:
        with Client(address(desk), "", timeout_s=PATIENCE_S) as client:
            client.log_in("tom", PASSWORD)
            before = client.talk.bearer.token
            asyncio.run_coroutine_threadsafe(turn(), loop).result(PATIENCE_S)
            assert client.access.me().user == "tom"
            assert client.talk.bearer.token != before
            made = client.access.create_key("mine", ["read"], expires_at=NOW + 10**15)
            assert made.expires_at == datetime(2023, 11, 26, 12, tzinfo=UTC)
            client.access.delete_key(made.id)
            client.log_out()
            client.log_out()

    async def turn() -> None:
        await desk.access.rotate(at_once=True)

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(work)


async def test_a_login_that_was_ended_is_said_and_forgotten(desk: Desk) -> None:
    async with AsyncClient(address(desk), "", timeout_s=PATIENCE_S) as client:
        await client.log_in("tom", PASSWORD)
        await desk.access.logins.end_all("tom")
        with pytest.raises(ApiError) as over:
            await client.access.me()
        assert (over.value.code, client.talk.bearer.login) == ("LOGIN_OVER", None)
        await client.log_in("tom", PASSWORD)
        assert (await client.access.me()).user == "tom"
        # What somebody may not do is no reason to renew.
        with pytest.raises(ApiError) as forbidden:
            await client.access.users()
        assert forbidden.value.code == "FORBIDDEN"


async def test_a_wrong_password_changes_nothing(desk: Desk) -> None:
    async with AsyncClient(address(desk), await desk.key("vic"), timeout_s=PATIENCE_S) as client:
        with pytest.raises(ApiError) as wrong:
            await client.log_in("tom", "not this one")
        assert wrong.value.code == "LOGIN_REFUSED"
        assert (await client.access.me()).user == "vic"


async def test_a_stream_that_comes_back_after_the_token_expired_goes_on(desk: Desk) -> None:
    await desk.bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(BTC))
    top = BookTop(NOW, NOW, "sim", "BTC-USDT", 99.5, 1.0, 100.5, 2.0, 1, 1)
    await desk.bus.publish("md.top.sim.BTC-USDT", codec.encode([top]))
    troubles: list[str] = []
    async with AsyncClient(address(desk), "", timeout_s=PATIENCE_S) as client:
        await client.log_in("tom", PASSWORD)
        later(desk)
        opened = client.stream("prices", on_trouble=lambda why, _: troubles.append(why))
        async with asyncio.timeout(PATIENCE_S), opened as updates:
            assert (await anext(updates)).topic == "prices"
        assert len(troubles) == 1
        assert "expired" in troubles[0]
        await desk.access.logins.end_all("tom")
        async with asyncio.timeout(PATIENCE_S), client.stream("prices") as updates:
            with pytest.raises(ApiError) as over:
                await anext(updates)
        assert over.value.code == "LOGIN_OVER"


def plain_stream(url: str) -> str:
    with Client(url, "", timeout_s=PATIENCE_S) as client:
        client.log_in("tom", PASSWORD)
        login = client.talk.bearer.login
        assert login is not None
        login.spoil(login.access)
        with client.stream("status", patience_s=PATIENCE_S) as updates:
            update = updates.next(PATIENCE_S)
    assert update is not None
    return update.topic


async def test_a_plain_stream_renews_before_it_connects(desk: Desk) -> None:
    assert await asyncio.to_thread(plain_stream, address(desk)) == "status"


# -- without a gateway ----------------------------------------------------------------------------


def tokens(name: str, expires_in: int = TOKEN_S) -> Tokens:
    return Tokens(
        user="tom", role="trader", expires_in=expires_in, access_token=f"a-{name}",
        refresh_token=f"r-{name}",
    )  # fmt: skip


def test_a_login_is_renewed_a_little_before_it_ends() -> None:
    login = Login(tokens("1"), now_s=100.0)
    assert [login.is_due(at) for at in (100.0, 969.9, 970.0)] == [False, False, True]
    assert [login.has_ended(at) for at in (999.9, 1000.0)] == [False, True]
    login.take(tokens("2", expires_in=20), now_s=1000.0)
    assert [login.is_due(at) for at in (1014.9, 1015.0)] == [False, True]
    login.spoil("a-1")
    assert not login.is_due(1000.0), "an earlier token was refused: this one is newer"
    login.spoil("a-2")
    assert login.is_due(0.0)
    assert "a-2" not in repr(login)


@pytest.mark.parametrize("code", [502, 503])
def test_a_gateway_that_cannot_renew_now_is_asked_again_while_the_token_is_good(code: int) -> None:
    bearer, login = Bearer(""), Login(tokens("1"), 0.0)
    bearer.login = login
    for error in (ApiError(code, "X", "later"), Unreachable("http://x", "", maybe_done=True)):
        bearer.was_not_renewed(error, login, 899.0)
        assert bearer.login is login
        with pytest.raises(type(error)):
            bearer.was_not_renewed(error, login, 900.0)
    with pytest.raises(ApiError):
        bearer.was_not_renewed(ApiError(401, "LOGIN_OVER", "over"), login, 0.0)
    assert bearer.login is None
