"""Behind a proxy: whom it asks for is believed where it is one's own, and nobody else is."""

from collections.abc import AsyncIterator

import httpx
import pytest
from api_access import PASSWORD, Desk
from starlette.requests import HTTPConnection

from tickbus.config import ConfigError
from tickbus_api.access.identity import networks_of, sender

PROXY = "10.1.0.7"
STRANGER, OFFICE = "203.0.113.66", "203.0.113.9"


def asks(peer: str, *forwarded: str) -> str:
    """Who sends, as a gateway behind 10.0.0.0/8 and 2001:db8::/64 sees it."""
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    connection = HTTPConnection({"type": "http", "client": (peer, 40_000), "headers": headers})
    return sender(connection, networks_of(("10.0.0.0/8", "2001:db8::/64")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (PROXY, ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.1.0.7", ["203.0.113.9"], "203.0.113.9"),
        (PROXY, ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),  # the first is the sender's invention
        (PROXY, ["1.2.3.4", "203.0.113.9, 10.2.0.1"], "203.0.113.9"),  # two proxies of ours
        (PROXY, ["2001:db8:1::9"], "2001:db8:1::9"),
        (PROXY, [], PROXY),
        (PROXY, [""], PROXY),
        (PROXY, ["127.0.0.1, unknown"], PROXY),
        ("10.1.0.7", ["10.9.9.9"], "10.9.9.9"),  # somebody of our own network
        (STRANGER, ["127.0.0.1"], STRANGER),
        ("", ["127.0.0.1"], ""),
    ],
)
def test_whom_a_proxy_asks_for(peer: str, forwarded: list[str], address: str) -> None:
    assert asks(peer, *forwarded) == address


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.1.2.3/8", "ingress", ""])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.trusted_proxies"):
        networks_of((text,))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(trusted_proxies=("10.0.0.0/8",))
    await desk.start()
    yield desk
    await desk.stop()


async def log_in(desk: Desk, user: str, password: str, address: str) -> int:
    """The status of a login that came from `address` through the proxy."""
    async with desk.client(PROXY, **{"X-Forwarded-For": address}) as http:
        body = {"user": user, "password": password}
        answer: httpx.Response = await http.post("/api/v1/auth/login", json=body)
        return answer.status_code


async def test_a_stranger_who_guesses_keeps_nobody_else_out(desk: Desk) -> None:
    guesses = [await log_in(desk, f"user{n}", "wrong", STRANGER) for n in range(25)]
    assert guesses[-1] == 429
    assert await log_in(desk, "tom", PASSWORD, OFFICE) == 200


async def test_the_record_and_the_networks_of_keys_know_the_one_who_asks(desk: Desk) -> None:
    key = await desk.key("tom", networks=("203.0.113.0/28",))
    headers = {"Authorization": f"Bearer {key}"}
    for peer, said, status in (
        (PROXY, OFFICE, 200), (PROXY, STRANGER, 403), ("198.51.100.7", OFFICE, 403),
    ):  # fmt: skip
        async with desk.client(peer, **headers, **{"X-Forwarded-For": said}) as http:
            assert (await http.get("/api/v1/auth/me")).status_code == status
    await log_in(desk, "tom", "wrong", OFFICE)
    await desk.settle()
    acts = [act for act in desk.stored if getattr(act, "action", "").endswith("/login")]
    assert [act.address for act in acts] == [OFFICE]  # type: ignore[attr-defined]
