"""Who may use the gateway of `tickbus up`, and what whoever starts it is told."""

from typing import Any

import pytest

from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus_cli.accessing import access_of, first_password, sentences
from tickbus_cli.profile import SERVICES, Ports, child_environment, choose


@pytest.mark.parametrize(
    ("section", "environment", "live", "access"),
    [
        ({}, {}, False, "local"),
        ({}, {}, True, "login"),
        ({"host": "::1"}, {}, False, "local"),
        ({"host": "localhost"}, {}, False, "local"),
        ({"host": "0.0.0.0"}, {}, False, "login"),
        ({}, {"TICKBUS_API_HOST": "192.168.1.5"}, False, "login"),
        ({"host": "desk.example"}, {}, False, "login"),
        ({"access": "login"}, {}, False, "login"),
        ({"access": "login"}, {"TICKBUS_API_ACCESS": "local"}, False, "local"),
        ({}, {"TICKBUS_API_ACCESS": "login"}, False, "login"),
    ],
)
def test_nobody_logs_in_only_where_nobody_else_can_reach_it(
    section: dict[str, Any], environment: dict[str, str], live: bool, access: str
) -> None:
    assert access_of(Settings({"api": section}), environment, live) == access


async def test_the_first_start_alone_draws_a_password_and_shows_it() -> None:
    bus = MemoryBus()
    password = await first_password(bus, {})
    assert len(password) >= 20
    assert password in "\n".join(sentences("login", password))
    await bus.kv_put("access", "user.admin", b"somebody")
    assert await first_password(bus, {}) == ""
    assert "password " not in "\n".join(sentences("login", ""))


@pytest.mark.parametrize("name", ["TICKBUS_ADMIN_PASSWORD", "TICKBUS_ADMIN_PASSWORD_FILE"])
async def test_a_given_password_is_not_drawn_anew(name: str) -> None:
    assert await first_password(MemoryBus(), {name: "given by hand"}) == ""


def test_local_access_says_how_it_ends() -> None:
    (line,) = sentences("local", "")
    assert "api.access: login" in line


@pytest.mark.parametrize("service", SERVICES)
def test_only_the_gateway_knows_the_password_of_the_admin(service: str) -> None:
    base = {"TICKBUS_ADMIN_PASSWORD": "hush", "TICKBUS_ADMIN_PASSWORD_FILE": "/hush"}
    given = child_environment(base, service, choose("sim", False), Ports(), {}, "", {})
    assert ("TICKBUS_ADMIN_PASSWORD" in given) == (service == "api")
    assert ("TICKBUS_ADMIN_PASSWORD_FILE" in given) == (service == "api")
