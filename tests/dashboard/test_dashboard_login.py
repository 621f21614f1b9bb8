"""The login page, in front of a gateway that knows its users; no platform is behind it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.runtime import Shell
from tickbus_api.service import HttpEdge, build

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(8, together="browser"),
    pytest.mark.timeout(300),
]
PASSWORD = "a password of this test"
VENUE = {
    "name": "sim", "adapter": "binance", "rest_url": "x", "ws_url": "x", "ws_api_url": "x",
    "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
}  # fmt: skip


class GatewayInAThread:
    """A gateway with logins on a bus in memory, on an event loop of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._bus = MemoryBus()

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(90)

    def stop(self) -> None:
        """Listen no more."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(90)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    async def _start(self) -> None:
        raw = {"api": {"access": "login", "port": 0}, "venue": VENUE}
        environment = {"TICKBUS_ADMIN_PASSWORD": PASSWORD}
        spec = build(Settings(raw, run_id="r", environment=environment))
        (edge,) = spec.edges
        assert isinstance(edge, HttpEdge)
        self._shell = Shell(spec, self._bus)
        await self._shell.start()
        self.port = edge.port

    async def _stop(self) -> None:
        await self._shell.stop()
        await self._bus.close()


@pytest.fixture
def login_page(browser: Browser) -> Iterator[Page]:
    """The page of a gateway that has one user, admin."""
    gateway = GatewayInAThread()
    gateway.start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{gateway.port}")
    yield page
    context.close()
    gateway.stop()


def log_in(page: Page, password: str) -> None:
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_nothing_is_shown_to_whoever_is_not_logged_in(login_page: Page) -> None:
    expect(login_page.get_by_role("form", name="Log in")).to_be_visible()
    expect(login_page.get_by_role("button", name="Kill switch")).to_have_count(0)


def test_wrong_password_is_refused_and_the_right_one_opens_the_desk(login_page: Page) -> None:
    log_in(login_page, "wrong")
    expect(login_page.locator(".login-problem")).not_to_be_empty()
    log_in(login_page, PASSWORD)
    expect(login_page.get_by_role("button", name="Kill switch")).to_be_visible()
    stored = "JSON.stringify([document.cookie, localStorage, sessionStorage])"
    assert "eyJ" not in login_page.evaluate(stored), "no script can read the session"

    login_page.reload()
    expect(login_page.get_by_role("button", name="Kill switch")).to_be_visible()
    login_page.get_by_role("button", name="admin", exact=True).click()
    login_page.get_by_role("button", name="Log out").click()
    expect(login_page.get_by_role("form", name="Log in")).to_be_visible()
    login_page.reload()
    expect(login_page.get_by_role("form", name="Log in")).to_be_visible()
