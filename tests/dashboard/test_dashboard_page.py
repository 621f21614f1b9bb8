"""What the page shows, on every size of screen, and how it behaves when the gateway is silent."""

import re

import pytest
from dashboard_platform import Running
from dashboard_steps import until_as_wide
from playwright.sync_api import Browser, Locator, Page, expect

from tickbus_testkit.story import wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(8, together="browser"),
    pytest.mark.timeout(300),
]
SIZES = ((360, 740), (390, 844), (768, 1024), (1280, 720), (1440, 900), (2560, 1440))


def test_header_says_what_runs_and_how_well(page: Page) -> None:
    header = page.locator("header.header")
    expect(header.get_by_text("Simulated")).to_be_visible()
    expect(header.get_by_text(re.compile(r"^(\d+)/\1 services$"))).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("trading-state")).to_have_text("active")
    for figure in ("tick-to-order", "round-trip"):
        expect(page.get_by_test_id(figure)).to_contain_text("s", timeout=60_000)


def test_every_panel_has_news(page: Page) -> None:
    expect(page.get_by_label("Markets").get_by_text("BTC-USDT")).to_be_visible()
    expect(page.get_by_role("list", name="Bids").get_by_role("button").first).to_be_visible()
    expect(page.get_by_role("list", name="Trades of BTC-USDT").locator("li").first).to_be_visible()
    expect(page.locator(".chart .legend")).to_contain_text("O ")
    expect(page.get_by_label("Profit and loss")).to_contain_text("Equity")
    assert page.locator(".chart canvas").count() > 0
    first = page.locator(".tape-list li").first.inner_text()
    page.wait_for_function(
        "first => document.querySelector('.tape-list li').innerText !== first", arg=first
    )


def test_nothing_comes_from_elsewhere(browser: Browser, platform: Running) -> None:
    context = browser.new_context()
    asked: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(platform.url)
    expect(opened.get_by_test_id("link")).to_have_text("Live data")
    assert asked
    assert [url for url in asked if not url.startswith(platform.url)] == []
    context.close()


def test_page_fits_every_screen(page: Page) -> None:
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        expect(page.get_by_role("list", name="Bids").get_by_role("button").first).to_be_visible()
        until_as_wide(page, width)
        for name in ("Markets", "Depth", "Order", "Blotter", "Performance", "Trades"):
            panel = page.get_by_label(name, exact=True).first

            def has_room(panel: Locator = panel) -> bool:
                box = panel.bounding_box()
                return box is not None and box["width"] > 100 and box["height"] > 60

            wait_for(f"room for {name} at {width}", has_room, 30)


def test_theme_and_time_zone_are_the_users(page: Page) -> None:
    page.get_by_role("button", name="local", exact=True).click()
    page.get_by_role("group", name="Theme").get_by_role("button", name="Light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.get_by_role("group", name="Time zone").get_by_role("button", name="UTC").click()
    page.reload()
    expect(page.get_by_test_id("link")).to_have_text("Live data")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_silent_gateway_makes_the_page_stale_and_it_resumes_without_a_reload(
    page: Page, platform: Running
) -> None:
    page.evaluate("window.sameDocument = true")
    gateway = platform.gateway()
    gateway.suspend()
    try:
        expect(page.get_by_test_id("link")).to_contain_text("Stale")
        expect(page.locator(".watch-row").first).to_be_visible()
    finally:
        gateway.resume()
    expect(page.get_by_test_id("link")).to_have_text("Live data")
    assert page.evaluate("window.sameDocument")
