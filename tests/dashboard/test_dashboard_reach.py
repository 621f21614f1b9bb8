"""Whether everybody can use the page: by keyboard, on a phone, in each theme and time zone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dashboard_platform import Running
from dashboard_steps import at_the_exchange, choose, far_price, set_trading, until_as_wide, view
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tickbus_testkit.story import Desk, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(8, together="browser"),
    pytest.mark.timeout(300),
]
VIEWS = ("Trade", "Strategies", "Risk", "Activity", "System")
AXE = Path(__file__).parents[2] / "services/api/dashboard/node_modules/axe-core/axe.min.js"
TIME = re.compile(r"^\d\d:\d\d:\d\d$")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
REACHABLE = (
    "button:not(:disabled), a[href], input:not(:disabled), select:not(:disabled), summary,"
    " [tabindex='0']"
)
AUDIT = """async tags => {
  const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
  return violations.map(each => [each.id, each.nodes.slice(0, 4).map(
    node => [node.target.join(" "), node.failureSummary])]);
}"""
# What the market moves has come and gone before a walk is over; its places are counted instead.
WALK = """rules => {
  window.visited = new Set();
  document.addEventListener("focusin", event => visited.add(event.target));
  window.wanted = [...document.querySelectorAll(rules)].filter(
    each => each.checkVisibility() && !each.closest(".ladder-side, tbody, .timeline"));
  document.activeElement?.blur();
  return wanted.length + document.querySelectorAll(
    ":is(.ladder-side, tbody, .timeline) :is(button, a, summary, [tabindex])").length;
}"""
MISSED = """() => wanted.filter(each => each.isConnected && !each.disabled && !visited.has(each))
  .map(each => each.getAttribute("aria-label") || each.textContent || each.outerHTML)"""
# Of how well the platform is the header says more or less, and has then more or less to the right.
WATCH = """() => {
  window.moved = [];
  window.spoken = new Set();
  const seen = new Map();
  const look = () => {
    spoken.add([...document.querySelectorAll(".header > :not(.figures)")].map(
      each => each.innerText).join());
    for (const each of document.querySelectorAll(".place, .header > *, .ticket-form > *")) {
      const { x, y, width, height } = each.getBoundingClientRect();
      const now = [x, y, width, height].map(Math.round).join();
      const before = seen.get(each);
      if (before && before !== now) {
        moved.push(`${each.className} ${each.dataset.area ?? ""} ${before} to ${now}`);
      }
      seen.set(each, now);
    }
    requestAnimationFrame(look);
  };
  look();
}"""


def tab_to(page: Page, target: Locator, tries: int = 250) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(tries):
        page.keyboard.press("Tab")
        if target.evaluate("each => each === document.activeElement"):
            return
    pytest.fail(f"{target} is not reached in {tries} steps")


def test_every_control_of_every_view_is_reached_by_tab(page: Page) -> None:
    for name in VIEWS:
        view(page, name)
        expect(page.locator(".place").first).to_be_visible()
        steps = page.evaluate(WALK, REACHABLE)
        assert steps > 8, name
        # Around once, and again for rows that came meanwhile.
        for step in range(2 * steps + 100):
            page.keyboard.press("Tab")
            if step % 10 == 9 and not page.evaluate(MISSED):
                break
        assert page.evaluate(MISSED) == [], name


def test_order_is_sent_and_the_kill_switch_answered_without_a_mouse(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    price = far_price(desk, "SOLUSDT", "0.97")
    ticket = page.get_by_label("Order", exact=True)
    tab_to(page, ticket.get_by_label("Quantity"))
    page.keyboard.type("1.5")
    page.keyboard.press("ArrowUp")
    expect(ticket.get_by_label("Quantity")).to_have_value("1.501")
    tab_to(page, ticket.get_by_label("Limit price"))
    page.keyboard.type(price)
    page.keyboard.press("Enter")
    placed = at_the_exchange(desk, symbol="SOLUSDT", price=price, origQty="1.501", status="NEW")
    desk.cancel(placed["clientOrderId"])

    kill = page.get_by_role("button", name="Kill switch")
    tab_to(page, kill)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Kill switch")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(kill).to_be_focused()
    assert desk.get("/api/v1/risk/state")["state"] == "ACTIVE", "it was not fired"


@pytest.mark.parametrize(("theme", "width"), [("dark", 1440), ("light", 390)])
def test_views_keep_the_rules_of_wcag_aa(page: Page, theme: str, width: int) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make dashboard")
    page.emulate_media(color_scheme="light" if theme == "light" else "dark")
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(AXE.read_text())
    wrong: dict[str, Any] = {}
    for name in VIEWS:
        view(page, name)
        expect(page.locator(".panel").first).to_be_visible()
        found = page.evaluate(AUDIT, RULES)
        if found:
            wrong[name] = found
    assert not wrong, json.dumps(wrong, indent=1)


def moved(page: Page) -> list[str]:
    """What moved while the header said the same all the time."""
    for _ in range(20):
        page.evaluate(WATCH)
        page.wait_for_timeout(1_500)
        found, words = page.evaluate("[moved, spoken.size]")
        if words == 1:
            return list(found)
    pytest.fail("the header never said the same for a second and a half")


def test_nothing_moves_as_news_come(page: Page) -> None:
    for name in VIEWS:
        view(page, name)
        expect(page.locator(".place .panel").first).to_be_visible()
        assert moved(page) == [], name


def test_figures_of_the_header_have_room_for_the_longest(page: Page) -> None:
    expect(page.locator(".figures dd").first).to_be_visible()
    excess = page.evaluate(
        """() => [...document.querySelectorAll(".figures dd")].map(each => {
          const twin = each.cloneNode();
          twin.textContent = "888 ms";
          each.after(twin);
          const wide = twin.scrollWidth;
          twin.textContent = "1";
          const narrow = twin.offsetWidth;
          twin.textContent = "888 ms";
          const grown = twin.offsetWidth - narrow;
          twin.remove();
          return Math.max(grown, wide - narrow);
        })"""
    )
    assert excess == [0, 0, 0]


def test_trading_and_kill_switch_stay_in_reach_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name in VIEWS:
        view(page, name)
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(page.get_by_role("button", name="Kill switch")).to_be_in_viewport(ratio=1)
        expect(page.get_by_test_id("trading-state")).to_be_in_viewport(ratio=1)
        until_as_wide(page, 390)
        page.evaluate("scrollTo(0, 0)")
    try:
        set_trading(page, "Halt", "halted")
    finally:
        set_trading(page, "Resume", "active")


def test_times_are_those_of_the_user_s_zone(browser: Browser, platform: Running) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(platform.url)
    newest = page.locator(".tape-list li").first.locator("span").first
    expect(newest).to_have_text(TIME)
    local = newest.inner_text()
    page.get_by_role("button", name="local", exact=True).click()
    page.get_by_role("group", name="Time zone").get_by_role("button", name="UTC").click()
    expect(newest).to_have_text(TIME)
    utc = newest.inner_text()
    minutes = [int(text[:2]) * 60 + int(text[3:5]) for text in (local, utc)]
    assert (minutes[0] - minutes[1]) % 1440 in (328, 329, 330), (local, utc)
    context.close()


def test_curve_is_read_moved_and_shown_for_every_range_and_strategy(page: Page) -> None:
    panel = page.get_by_label("Performance", exact=True).first
    legend = panel.locator(".legend")
    chart = panel.get_by_role("application")
    for span in ("Session", "Day", "Month", "Year", "All"):
        panel.get_by_role("group", name="Range").get_by_role("button", name=span).click()
        expect(legend).to_contain_text("Realized")
    for figure in ("Equity", "Drawdown", "P&L"):
        panel.get_by_role("group", name="Figure").get_by_role("button", name=figure).click()
        expect(legend).to_contain_text("P&L")
    panel.get_by_role("group", name="Range").get_by_role("button", name="Session").click()
    expect(legend).to_contain_text("since")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
    expect(page.get_by_test_id("pointed")).to_be_visible()
    page.mouse.move(5, 5)
    expect(page.get_by_test_id("pointed")).to_have_count(0)

    def drawn() -> bytes:
        return chart.screenshot()

    chart.focus()
    for key in ("+", "ArrowLeft", "-"):
        before = drawn()
        page.keyboard.press(key)

        def is_another(before: bytes = before) -> bool:
            return drawn() != before

        wait_for(f"another drawing after {key}", is_another)
    panel.get_by_label("Strategy").select_option("ping-pong")
    expect(legend).to_contain_text("P&L")
    expect(panel.get_by_role("button", name="Equity")).to_have_count(0)


def test_strategy_of_which_no_process_answers_is_named(page: Page, desk: Desk) -> None:
    def answer(route: Route) -> None:
        route.fulfill(json={**desk.get("/api/v1/engine"), "silent": ["momentum", "unheard"]})

    page.route("**/api/v1/engine", answer)
    view(page, "Strategies")
    panel = page.get_by_label("Strategies", exact=True).first
    expect(panel.get_by_text("2 silent")).to_be_visible()
    # Not a row of its decisions, which begins with a time.
    row = panel.get_by_role("row", name=re.compile("^momentum"))
    expect(row).to_contain_text("silent, was")
    panel.get_by_role("button", name="unheard").click()
    expect(page.get_by_label("unheard", exact=True)).to_contain_text("No process answers for it")


def test_fills_are_filtered_by_market_and_day(page: Page, desk: Desk) -> None:
    desk.order(symbol="SOLUSDT", side="Buy", quantity="1", price=None).raise_for_status()
    view(page, "Activity")
    panel = page.get_by_label("Fills", exact=True).first
    panel.get_by_label("Market").select_option("SOL-USDT")
    rows = panel.locator(".branch-day tbody tr")
    expect(rows.first).to_contain_text("SOL-USDT")
    expect(rows.filter(has_text="BTC-USDT")).to_have_count(0)
    with page.expect_download() as download:
        panel.get_by_role("link", name="JSON").click()
    kept = download.value.path().read_text()
    assert "SOL-USDT" in kept
    assert "BTC-USDT" not in kept
    panel.get_by_label("From").fill("2099-01-01")
    expect(panel.get_by_text("No fill matches.")).to_be_visible()
    panel.get_by_role("button", name="All", exact=True).click()
    expect(rows.first).to_be_visible()
