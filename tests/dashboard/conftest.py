"""A platform on the simulated exchange and a browser in front of it, once for all these tests."""

import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest
from dashboard_platform import Running, a_platform
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tickbus_api.page import FOLDER, INDEX
from tickbus_testkit.story import Desk

PATIENCE_MS = 30_000
"""What is to be seen is waited for so long: a machine that tests share may stand still for 5 s."""
REQUIRED = os.environ.get("TICKBUS_REQUIRE_BROWSER") == "1"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def _missing(what: str) -> NoReturn:
    if REQUIRED:
        pytest.fail(f"{what}, and TICKBUS_REQUIRE_BROWSER=1")
    pytest.skip(what)


@pytest.fixture(scope="session")
def executable() -> str:
    """A browser of this machine."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        _missing(f"no browser here: none of {', '.join(BROWSERS)}")
    return found


# For one file at a time: while it is open, its event loop keeps others of the thread from running,
# and this process has tests of coroutines as well.
@pytest.fixture(scope="module")
def browser(executable: str) -> Iterator[Browser]:
    """That browser, headless."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def built(executable: str) -> None:
    """A page to look at, and something to do it with."""
    if not (FOLDER / INDEX).is_file():
        _missing("the dashboard is not built: make dashboard")


@pytest.fixture(scope="session")
def platform(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole platform, on the simulated spot exchange."""
    with a_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture
def desk(platform: Running) -> Desk:
    """A person at the API, who sees the exchange's ledger too."""
    return platform.desk


@pytest.fixture
def page(browser: Browser, platform: Running) -> Iterator[Page]:
    """The dashboard on a desktop; a test that leaves an error in its console fails."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if _is_wrong(said) else None)
    opened.goto(platform.url)
    expect(opened.get_by_test_id("link")).to_have_text("Live data")
    yield opened
    context.close()
    assert not wrong


def _is_wrong(said: ConsoleMessage) -> bool:
    # What the gateway refuses, a browser calls a failed resource, and a stream that the page gives
    # up because nothing comes a failed connection; both are shown, and no error.
    expected = ("Failed to load resource", "WebSocket connection to")
    return said.type == "error" and not any(words in said.text for words in expected)
