"""Takes the pictures of docs/dashboard.md from a platform that runs.

python tests/dashboard/bench/dashboard_pictures.py http://127.0.0.1:8080
"""

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

IMAGES = Path(__file__).parents[3] / "docs" / "images"
VIEWS = ("Strategies", "Risk", "Activity", "System")
DESKTOP, PHONE = (1440, 900), (390, 844)
SETTLE_MS = 2_500


def opened(browser: Browser, url: str, theme: str, size: tuple[int, int]) -> Page:
    """The page with news on it."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        timezone_id="UTC",
    )
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_test_id("link")).to_have_text("Live data", timeout=20_000)
    page.wait_for_timeout(SETTLE_MS)
    return page


def take(page: Page, name: str) -> None:
    """One picture, and that it was taken."""
    page.screenshot(path=IMAGES / f"dashboard-{name}.png")
    print(name, flush=True)


def desk(browser: Browser, url: str) -> None:
    """The view of trading, and the others."""
    page = opened(browser, url, "dark", DESKTOP)
    ticket = page.get_by_label("Order", exact=True)
    page.get_by_role("list", name="Bids").get_by_role("button").nth(6).click()
    ticket.get_by_label("Quantity").fill("0.05")
    expect(page.get_by_text("Risk lets it pass")).to_be_visible()
    take(page, "dark")
    for name in VIEWS:
        page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()
        page.wait_for_timeout(SETTLE_MS)
        take(page, name.lower())
    page.context.close()
    page = opened(browser, url, "light", DESKTOP)
    take(page, "light")
    page.context.close()


def phone(browser: Browser, url: str) -> None:
    """The same on a phone."""
    page = opened(browser, url, "light", PHONE)
    take(page, "phone")
    page.context.close()


def trouble(browser: Browser, url: str) -> None:
    """What is said of an order that risk refuses, and of a gateway that is silent."""
    page = opened(browser, url, "dark", DESKTOP)
    ticket = page.get_by_label("Order", exact=True)
    ticket.get_by_label("Type").select_option("MARKET")
    ticket.get_by_label("Quantity").fill("5")
    expect(page.get_by_text("Refused")).to_be_visible()
    page.locator(".ticket-form button[type=submit]").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    take(page, "error")
    page.context.set_offline(True)
    page.wait_for_timeout(8_000)
    take(page, "stale")
    page.context.close()


def without_books(route: Route) -> None:
    """What the gateway answers while the ledger is away."""
    route.fulfill(
        status=503,
        json={
            "type": "about:blank", "title": "unavailable", "status": 503, "code": "LEDGER_AWAY",
            "detail": "the ledger does not answer", "remedy": "see GET /api/v1/status",
        },
    )  # fmt: skip


def empty(browser: Browser, url: str) -> None:
    """A page whose books are away from the beginning, and which has no stream."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.route(re.compile(r"/api/v1/(portfolio|orders|fills)\b"), without_books)
    page.route_web_socket("**/api/v1/stream", lambda socket: socket.close())
    page.goto(url)
    expect(page.get_by_test_id("link")).to_have_text("Polling", timeout=20_000)
    page.wait_for_timeout(SETTLE_MS)
    take(page, "empty")
    context.close()


def main() -> None:
    """All of them."""
    (url,) = sys.argv[1:]
    with sync_playwright() as driver:
        path = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for part in (desk, phone, trouble, empty):
            part(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
