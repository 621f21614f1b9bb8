"""Strategies, risk, activity and the system on the page, with their effect on the platform."""

import re
from typing import Any

import pytest
from dashboard_steps import row_of, view, working
from playwright.sync_api import Page, expect

from tickbus_testkit.story import Desk, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(8, together="browser"),
    pytest.mark.timeout(300),
]


def working_of(desk: Desk, strategy: str) -> list[dict[str, Any]]:
    """What works at the exchange of a strategy, by the exchange's own ledger."""
    orders: list[dict[str, Any]] = desk.ledger_of_the_exchange()["orders"]
    return [
        order
        for order in orders
        if order["clientOrderId"].startswith(f"{strategy}-")
        and order["status"] in ("NEW", "PARTIALLY_FILLED")
    ]


def test_strategy_is_stopped_and_started(page: Page, desk: Desk) -> None:
    view(page, "Strategies")
    row = row_of(page, "Strategies", "ping-pong")
    row.get_by_role("button", name="ping-pong").click()
    detail = page.get_by_label("ping-pong", exact=True)
    detail.get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog", name="Stop ping-pong")
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(row).to_contain_text("stopped")
    assert desk.get("/api/v1/strategies/ping-pong")["phase"] == "STOPPED"
    assert not working_of(desk, "ping-pong"), "its orders were cancelled before it said so"
    detail.get_by_role("button", name="Start").click()
    expect(row).to_contain_text("running")


def test_parameters_change_while_it_runs_and_wrong_ones_are_never_sent(
    page: Page, desk: Desk
) -> None:
    view(page, "Strategies")
    row_of(page, "Strategies", "momentum").get_by_role("button", name="momentum").click()
    form = page.get_by_role("form", name="Parameters of momentum")
    threshold = form.get_by_label("threshold_bps")
    expect(threshold).to_have_value("5")
    threshold.fill("-1")
    expect(form.get_by_text("must be at least 0")).to_be_visible()
    expect(form.get_by_role("button", name="Apply")).to_be_disabled()
    threshold.fill("6.5")
    form.get_by_role("button", name="Apply 1 change").click()
    wait_for(
        "the parameter to be in force",
        lambda: desk.get("/api/v1/strategies/momentum")["params"]["threshold_bps"] == 6.5,
    )
    expect(form.get_by_role("button", name="Apply")).to_be_disabled()
    assert desk.get("/api/v1/strategies/momentum")["phase"] == "RUNNING"


def test_new_strategy_is_made_from_its_schema_and_switched(page: Page, desk: Desk) -> None:
    view(page, "Strategies")
    page.get_by_role("button", name="New", exact=True).click()
    dialog = page.get_by_role("dialog", name="New strategy")
    dialog.get_by_role("textbox", name="Id, at most").fill("second")
    dialog.get_by_label("Kind").select_option("momentum")
    dialog.get_by_label("Markets").select_option(["SOL-USDT"])
    dialog.get_by_label("window_s").fill("7")
    dialog.get_by_label("Reason").fill("a test")
    dialog.get_by_role("button", name="Create").click()
    row = row_of(page, "Strategies", "second")
    expect(row).to_contain_text("running")
    made = desk.get("/api/v1/strategies/second")
    assert made["terms"]["instruments"] == ["SOL-USDT"]
    assert made["params"]["window_s"] == 7

    page.get_by_label("second", exact=True).get_by_role("button", name="Switch").click()
    dialog = page.get_by_role("dialog", name="Switch second")
    dialog.get_by_label("Kind").select_option("sma-crossover")
    dialog.get_by_label("Runs at once").uncheck()
    dialog.get_by_role("button", name="Switch").click()
    expect(row).to_contain_text("sma-crossover")
    expect(row).to_contain_text("stopped")
    assert not working_of(desk, "second")


def test_decisions_are_told_with_what_they_were_made_on(page: Page) -> None:
    view(page, "Strategies")
    row_of(page, "Strategies", "ping-pong").get_by_role("button", name="ping-pong").click()
    decision = page.get_by_role("region", name="Decisions").locator("tbody tr").first
    expect(decision).to_contain_text("bid", timeout=60_000)


def test_limit_is_changed_and_put_back(page: Page, desk: Desk) -> None:
    def value() -> Any:
        limits = desk.get("/api/v1/risk/limits")["limits"]
        return next(
            each["value"]
            for each in limits
            if (each["scope"], each["name"]) == ("global", "open_orders_max")
        )

    view(page, "Risk")
    row = row_of(page, "Limits", "open_orders_max")
    expect(row).to_contain_text("%")
    row.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog", name="open_orders_max")
    dialog.get_by_label("Value").fill("many")
    expect(dialog.get_by_text("must be a number")).to_be_visible()
    dialog.get_by_label("Value").fill("49")
    dialog.get_by_role("button", name="Change").click()
    wait_for("risk to enforce it", lambda: value() == "49")
    expect(row).to_contain_text("49")
    row.get_by_role("button", name="Edit").click()
    dialog.get_by_role("button", name="As configured").click()
    wait_for("risk to enforce it", lambda: value() == "50")


def test_refusal_is_listed_with_the_limit_it_met(page: Page, desk: Desk) -> None:
    refused = desk.order(symbol="BTCUSDT", side="Buy", quantity="5", price=None)
    assert refused.status_code == 422
    view(page, "Risk")
    page.get_by_label("Refusals").get_by_label("Strategy").select_option("manual")
    row = row_of(page, "Refusals", "notional above max").first
    expect(row).to_contain_text("20,000")


def test_everything_is_flattened_after_a_second_look(page: Page, desk: Desk) -> None:
    desk.order(symbol="SOLUSDT", side="Buy", quantity="1", price=None).raise_for_status()
    view(page, "Risk")
    try:
        page.get_by_role("button", name="Flatten all").click()
        dialog = page.get_by_role("dialog", name="Flatten all")
        expect(dialog.get_by_role("listitem").filter(has_text="SOL-USDT")).to_be_visible()
        assert desk.get("/api/v1/risk/state")["state"] == "ACTIVE", "nothing happened yet"
        dialog.get_by_role("button", name="Close everything").click()
        expect(page.get_by_test_id("trading-state")).to_have_text("halted")

        def held() -> list[Any]:
            positions = desk.get("/api/v1/portfolio")["positions"]
            return [each for each in positions if abs(float(each["quantity"])) * 100 > 1]

        wait_for("every position to be closed", lambda: not held())
        wait_for("no order to work at the exchange", lambda: not working(desk))
    finally:
        page.get_by_test_id("trading-state").click()
        page.get_by_role("dialog", name="Trading").get_by_role("button", name="Resume").click()
        expect(page.get_by_test_id("trading-state")).to_have_text("active")


def test_fills_are_listed_by_date_and_come_as_a_file(page: Page, desk: Desk) -> None:
    wait_for("a fill", lambda: desk.all("fills"), 120)
    view(page, "Activity")
    panel = page.get_by_label("Fills", exact=True).first
    day = desk.all("fills")[0]["at"][:10]
    expect(panel.locator(".branch-day > summary").filter(has_text=day).first).to_be_visible()
    expect(panel.locator(".branch-day tbody tr").first).to_be_visible()
    panel.get_by_label("Strategy").select_option("manual")
    rows = panel.locator(".branch-day tbody tr")
    if desk.all("fills", strategy="manual"):
        expect(rows.first).to_contain_text("manual")
    with page.expect_download() as download:
        panel.get_by_role("link", name="CSV").click()
    text = download.value.path().read_text()
    assert "order_id" in text.splitlines()[0]
    assert all("manual" in line for line in text.splitlines()[1:])


def test_new_session_begins_and_nothing_is_lost(page: Page, desk: Desk) -> None:
    before = desk.get("/api/v1/portfolio/session")["since"]
    fills = len(desk.all("fills"))
    view(page, "Activity")
    page.get_by_role("button", name="Clear session").click()
    dialog = page.get_by_role("dialog", name="Clear session")
    dialog.get_by_role("button", name="Begin a new session").click()
    wait_for("another session", lambda: desk.get("/api/v1/portfolio/session")["since"] != before)
    expect(page.get_by_label("Session", exact=True)).to_contain_text("from the dashboard")
    assert len(desk.all("fills")) >= fills


def test_markets_stand_side_by_side_and_lead_to_trading(page: Page) -> None:
    view(page, "Activity")
    row = row_of(page, "Consolidated book", "ETH-USDT")
    expect(row).to_contain_text("bps")
    row.get_by_role("button", name="sim").click()
    expect(page.get_by_label("Order", exact=True).get_by_text("ETH-USDT")).to_be_visible()


def test_services_feeds_and_hops_are_shown(page: Page) -> None:
    view(page, "System")
    for service in ("feed", "book", "strategy", "risk", "execution", "ledger", "api"):
        row = row_of(page, "Services", service).filter(has_text="ready").first
        expect(row).to_contain_text(re.compile(r"\d+ MB"))
    expect(row_of(page, "Feeds", "BTC-USDT@sim")).to_contain_text("live")
    expect(row_of(page, "Latency", "strategy → risk")).to_contain_text("s")


def test_order_s_way_adds_up(page: Page, desk: Desk) -> None:
    placed = desk.order(symbol="SOLUSDT", side="Buy", quantity="1", price=None).json()
    view(page, "System")
    trace = page.get_by_label("Trace of an order")
    expect(trace.get_by_label("Order")).to_contain_text(placed["id"])
    trace.get_by_label("Order").select_option(placed["id"])
    spans = trace.locator(".waterfall li")
    for name in ("risk", "execution", "venue"):
        expect(spans.filter(has_text=re.compile(f"^{name}")).first).to_be_visible()
    expect(trace.locator(".steps li").filter(has_text="OrderFilled").first).to_be_visible()
