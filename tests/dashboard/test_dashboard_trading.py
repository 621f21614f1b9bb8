"""Orders placed, changed and cancelled on the page, checked in the exchange's own ledger."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from dashboard_steps import (
    at_the_exchange,
    choose,
    far_price,
    fill_ticket,
    held,
    ids_at_the_exchange,
    row_of,
    see_held,
    working,
)
from playwright.sync_api import Page, Route, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tickbus_testkit.story import Desk, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(8, together="browser"),
    pytest.mark.timeout(600),
]


@pytest.fixture(autouse=True)
def nothing_left(desk: Desk) -> Iterator[None]:
    """No order of ours outlives its test."""
    yield
    for order in desk.all("orders", working="true", strategy="manual"):
        desk.cancel(order["id"])


def test_limit_order_is_placed_replaced_and_cancelled(page: Page, desk: Desk) -> None:
    price, better = far_price(desk, "SOLUSDT", "0.97"), far_price(desk, "SOLUSDT", "0.975")
    choose(page, "SOL-USDT")
    fill_ticket(page, "Buy", "1.5", price)
    expect(page.get_by_text("Risk lets it pass")).to_be_visible()
    page.locator(".ticket-form button[type=submit]").click()
    order = at_the_exchange(desk, symbol="SOLUSDT", side="BUY", price=price, status="NEW")
    assert Decimal(order["origQty"]) == Decimal("1.5")

    row = row_of(page, "Working orders", "SOL-USDT")
    expect(row).to_contain_text("manual")
    row.get_by_role("button", name="Replace").click()
    dialog = page.get_by_role("dialog", name="Replace order")
    dialog.get_by_label("Price").fill(better)
    dialog.get_by_role("button", name="Replace").click()
    at_the_exchange(desk, symbol="SOLUSDT", price=better, status="NEW")
    at_the_exchange(desk, symbol="SOLUSDT", price=price, status="CANCELED")

    # Until the page hears that the first one ended, both are listed.
    expect(row.filter(has_text=price)).to_have_count(0)
    expect(row).to_contain_text(better)
    row.get_by_role("button", name="Cancel").click()
    at_the_exchange(desk, symbol="SOLUSDT", price=better, status="CANCELED")
    expect(row).to_have_count(0)


def test_click_on_the_ladder_fills_the_ticket_and_one_click_sends(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    bids = page.get_by_role("list", name="Bids").get_by_role("button")
    price = page.get_by_label("Order", exact=True).get_by_label("Limit price")
    bids.nth(5).click()
    expect(price).not_to_have_value("")
    assert not desk.all("orders", strategy="manual", working="true"), "a click only fills it in"

    page.get_by_label("Order", exact=True).get_by_label("Quantity").fill("0.777")
    page.get_by_label("One click").check()
    bids.nth(8).click()
    order = at_the_exchange(desk, symbol="SOLUSDT", side="BUY", origQty="0.777")
    assert Decimal(order["price"]) == Decimal(price.input_value())


def test_own_order_stands_in_the_ladder_and_a_click_there_cancels_it(
    page: Page, desk: Desk
) -> None:
    choose(page, "SOL-USDT")
    own = page.get_by_role("button", name="Cancel ours at")

    def is_cancelled_by_hand() -> bool:
        # The crowd may fill it, or leave it behind, before the click: then another is placed.
        levels = desk.get("/api/v1/depth", symbol="SOLUSDT")["bids"]
        placed = desk.order(symbol="SOLUSDT", side="Buy", quantity="0.5", price=levels[4][0]).json()
        try:
            own.click(timeout=10_000)
        except PlaywrightTimeout:
            desk.cancel(placed["id"])
            return False
        ended = ("CANCELED", "FILLED")
        path = f"/api/v1/orders/{placed['id']}"
        wait_for("its end", lambda: desk.get(path)["state"] in ended)
        return bool(desk.get(path)["state"] == "CANCELED")

    assert any(is_cancelled_by_hand() for _ in range(10))


def test_position_is_opened_at_the_market_and_closed(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    fill_ticket(page, "Buy", "2")
    page.locator(".ticket-form button[type=submit]").click()
    wait_for("the purchase in the books", lambda: held(desk, "SOLUSDT") > Decimal("1.9"))
    at_the_exchange(
        desk, symbol="SOLUSDT", side="BUY", type="MARKET", status="FILLED", executedQty="2"
    )

    before = ids_at_the_exchange(desk)

    def sold() -> list[Decimal]:
        return [
            Decimal(order["executedQty"])
            for order in desk.ledger_of_the_exchange()["orders"]
            if order["clientOrderId"] not in before
            and (order["symbol"], order["side"], order["status"]) == ("SOLUSDT", "SELL", "FILLED")
        ]

    page.get_by_role("button", name="Positions").click()
    row = see_held(page, desk, "SOLUSDT", "SOL-USDT")
    row.get_by_role("button", name="Close SOL-USDT").click()
    dialog = page.get_by_role("dialog", name="Close position")
    dialog.get_by_role("button", name="Sell").click()
    (quantity,) = wait_for("the sale of what was held", sold)
    assert quantity > Decimal("1.99"), "all but the fee, which was in SOL"

    page.get_by_role("button", name="Fills").click()
    fills = row_of(page, "Fills", "SOL-USDT").filter(has_text="manual")
    expect(fills.filter(has_text="sell").first).to_be_visible()


def test_what_is_wrong_with_an_order_is_said_before_it_is_sent(page: Page, desk: Desk) -> None:
    choose(page, "BTC-USDT")
    send = page.locator(".ticket-form button[type=submit]")
    price = far_price(desk, "BTCUSDT", "0.98")
    fill_ticket(page, "Buy", "0.0000001", price)
    expect(page.get_by_text("not a multiple of 0.00001")).to_be_visible()
    expect(send).to_be_disabled()
    fill_ticket(page, "Buy", "5", price)
    expect(page.get_by_text("Refused: Worth more than one order may be.")).to_be_visible()
    before = len(desk.ledger_of_the_exchange()["orders"])
    send.click()
    expect(page.get_by_role("alert").filter(has_text="NOTIONAL_ABOVE_MAX").or_(
        page.get_by_role("alert").filter(has_text="notional"))).to_be_visible()  # fmt: skip
    manual = desk.all("orders", strategy="manual", symbol="BTCUSDT")
    assert manual[0]["state"] == "DENIED"
    ours = [o for o in desk.ledger_of_the_exchange()["orders"] if Decimal(o["origQty"]) == 5]
    assert not ours, f"of {before} orders before, none is that one"


def test_risk_is_asked_again_where_the_gateway_could_not_tell(page: Page, desk: Desk) -> None:
    refused: list[str] = []

    def answer(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        problem = {"code": "RISK_UNAVAILABLE", "detail": "risk did not answer", "remedy": "repeat"}
        route.fulfill(status=503, json={"title": "unavailable", "status": 503, **problem})

    page.route("**/api/v1/orders/validate", answer)
    choose(page, "SOL-USDT")
    fill_ticket(page, "Buy", "1.5", far_price(desk, "SOLUSDT", "0.97"))
    expect(page.get_by_text("Risk lets it pass")).to_be_visible()
    assert len(refused) == 1


def test_all_orders_are_cancelled_after_a_question(page: Page, desk: Desk) -> None:
    for share in ("0.97", "0.965"):
        price = far_price(desk, "SOLUSDT", share)
        desk.order(symbol="SOLUSDT", side="Buy", quantity="1", price=price).raise_for_status()
    expect(row_of(page, "Working orders", "manual")).to_have_count(2)
    page.get_by_role("button", name="Cancel all").click()
    dialog = page.get_by_role("dialog", name="Cancel all orders")
    dialog.get_by_role("button", name="Cancel", exact=False).click()
    expect(row_of(page, "Working orders", "manual")).to_have_count(0)
    orders = desk.ledger_of_the_exchange()["orders"]
    assert not [o for o in orders if o["symbol"] == "SOLUSDT" and o["status"] == "NEW"]


def test_kill_switch_cancels_and_halts_and_a_person_resumes(page: Page, desk: Desk) -> None:
    price = far_price(desk, "SOLUSDT", "0.965")
    desk.order(symbol="SOLUSDT", side="Buy", quantity="1", price=price).raise_for_status()
    at_the_exchange(desk, symbol="SOLUSDT", price=price, status="NEW")
    try:
        page.get_by_role("button", name="Kill switch").click()
        dialog = page.get_by_role("dialog", name="Kill switch")
        dialog.get_by_role("button", name="Cancel all").click()
        at_the_exchange(desk, symbol="SOLUSDT", price=price, status="CANCELED")
        expect(page.get_by_test_id("trading-state")).to_have_text("halted")
        wait_for("no order to work at the exchange", lambda: not working(desk))
    finally:
        page.get_by_test_id("trading-state").click()
        page.get_by_role("dialog", name="Trading").get_by_role("button", name="Resume").click()
        expect(page.get_by_test_id("trading-state")).to_have_text("active")
