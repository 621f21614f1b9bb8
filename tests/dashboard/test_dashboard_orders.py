"""Every kind of order that the ticket knows, and what becomes of each at the exchange."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal

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
    send,
    set_trading,
)
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tickbus_testkit.story import Desk, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(8, together="browser"),
    pytest.mark.timeout(600),
]
SOL = "SOLUSDT"


@pytest.fixture(autouse=True)
def nothing_left(desk: Desk) -> Iterator[None]:
    """No order of ours outlives its test."""
    yield
    for order in desk.all("orders", working="true", strategy="manual"):
        desk.cancel(order["id"])


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "limit", "named"),
    [
        ("Stop", "Buy", "1.03", "", "STOP_LOSS"),
        ("Stop limit", "Sell", "0.97", "0.965", "STOP_LOSS_LIMIT"),
        ("Take profit", "Sell", "1.03", "", "TAKE_PROFIT"),
        ("Take profit limit", "Buy", "0.97", "0.975", "TAKE_PROFIT_LIMIT"),
    ],
)
def test_order_with_a_trigger_waits_at_the_exchange_is_moved_and_cancelled(
    page: Page, desk: Desk, kind: str, side: str, trigger: str, limit: str, named: str
) -> None:
    at = far_price(desk, SOL, trigger)
    price = far_price(desk, SOL, limit) if limit else ""
    choose(page, "SOL-USDT")
    fill_ticket(page, side, "1.25", price, kind=kind, trigger=at)
    send(page)
    wanted = {"symbol": SOL, "side": side.upper(), "type": named, "origQty": "1.25"}
    placed = at_the_exchange(desk, **wanted, stopPrice=at, status="NEW")
    assert Decimal(placed["price"]) == Decimal(price or "0")

    row = row_of(page, "Working orders", "SOL-USDT").filter(has_text="manual")
    expect(row).to_contain_text(at)
    row.get_by_role("button", name="Replace").click()
    dialog = page.get_by_role("dialog", name="Replace order")
    further = str(Decimal(at) + (1 if Decimal(trigger) > 1 else -1))
    dialog.get_by_label("Trigger price").fill(further)
    dialog.get_by_role("button", name="Replace").click()
    at_the_exchange(desk, **wanted, stopPrice=further, status="NEW")
    at_the_exchange(desk, **wanted, stopPrice=at, status="CANCELED")

    # Until the page hears that the first one ended, both are listed.
    expect(row.filter(has_text=at)).to_have_count(0)
    expect(row).to_contain_text(further)
    row.get_by_role("button", name="Cancel").click()
    at_the_exchange(desk, **wanted, stopPrice=further, status="CANCELED")
    expect(row).to_have_count(0)


def test_post_only_order_rests_and_one_that_would_take_is_refused(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    price = far_price(desk, SOL, "0.97")
    fill_ticket(page, "Buy", "1.75", price)
    page.get_by_label("Post only").check()
    send(page)
    at_the_exchange(desk, symbol=SOL, type="LIMIT_MAKER", price=price, status="NEW")

    before = len(desk.ledger_of_the_exchange()["fills"])
    fill_ticket(page, "Buy", "1.75", far_price(desk, SOL, "1.02"))
    send(page)
    expect(page.get_by_role("alert").first).to_be_visible()
    page.get_by_role("button", name="History", exact=True).click()
    rejected = row_of(page, "Orders", "post").filter(has_text="rejected")
    expect(rejected.first).to_contain_text("1.750")
    fills = desk.ledger_of_the_exchange()["fills"][before:]
    assert not [fill for fill in fills if Decimal(fill["qty"]) == Decimal("1.75")]


def test_ioc_takes_what_there_is_and_fok_all_or_nothing(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    lasts = page.get_by_label("Order", exact=True).get_by_label("Lasts")
    low, high = far_price(desk, SOL, "0.98"), far_price(desk, SOL, "1.02")
    for name, price, quantity, status in (
        ("IOC", low, "1.11", "EXPIRED"),
        ("IOC", high, "1.12", "FILLED"),
        ("FOK", low, "1.13", "EXPIRED"),
        ("FOK", high, "1.14", "FILLED"),
    ):
        fill_ticket(page, "Buy", quantity, price)
        lasts.select_option(name)
        send(page)
        order = at_the_exchange(desk, symbol=SOL, timeInForce=name, origQty=quantity)
        assert order["status"] == status, order
        filled = quantity if status == "FILLED" else "0"
        assert Decimal(order["executedQty"]) == Decimal(filled), order


def test_order_for_five_minutes_rests_and_has_its_end_on_record(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    price = far_price(desk, SOL, "0.97")
    fill_ticket(page, "Buy", "1.21", price)
    page.get_by_label("Order", exact=True).get_by_label("Lasts").select_option("5 minutes")
    send(page)
    placed = at_the_exchange(desk, symbol=SOL, price=price, origQty="1.21", status="NEW")
    kept = desk.get(f"/api/v1/orders/{placed['clientOrderId']}")
    assert kept["time_in_force"] == "GTD"
    assert kept["expires_at"] > kept["created_at"]
    expect(row_of(page, "Working orders", "SOL-USDT").filter(has_text="GTD")).to_have_count(1)


def test_trading_is_halted_only_reduced_and_resumed(page: Page, desk: Desk) -> None:
    lacks = max(Decimal(1), 1 - held(desk, SOL).quantize(Decimal("0.001")))
    desk.order(symbol=SOL, side="Buy", quantity=str(lacks), price=None).raise_for_status()
    choose(page, "SOL-USDT")
    price = far_price(desk, SOL, "0.97")
    before = ids_at_the_exchange(desk)

    def refused(side: str) -> str:
        answer = desk.order(symbol=SOL, side=side, quantity="0.5", price=price)
        assert answer.status_code == 422, answer.text
        return str(answer.json()["code"])

    try:
        set_trading(page, "Halt", "halted")
        fill_ticket(page, "Buy", "0.5", price)
        expect(page.locator(".ticket-verdict")).to_contain_text("Refused")
        page.locator(".ticket-form button[type=submit]").click()
        expect(page.get_by_role("alert").first).to_be_visible()
        assert refused("Sell") == "TRADING_HALTED"
        manual = {order["id"] for order in desk.all("orders", strategy="manual")}
        assert not (manual & ids_at_the_exchange(desk)) - before, "nothing arrived there"

        set_trading(page, "Reduce only", "reducing")
        assert refused("Buy") == "TRADING_REDUCING_ONLY"
        fill_ticket(page, "Sell", "0.5")
        send(page)
        at_the_exchange(desk, symbol=SOL, side="SELL", executedQty="0.5", status="FILLED")
    finally:
        set_trading(page, "Resume", "active")
    fill_ticket(page, "Buy", "0.51", price)
    send(page)
    at_the_exchange(desk, symbol=SOL, price=price, origQty="0.51", status="NEW")


def test_short_is_closed_by_a_purchase(page: Page, desk: Desk) -> None:
    more = max(Decimal(3), held(desk, SOL).quantize(Decimal("0.001")) + 3)
    desk.order(symbol=SOL, side="Sell", quantity=str(more), price=None).raise_for_status()
    wait_for("a short position", lambda: held(desk, SOL) < Decimal("-2.9"))
    page.get_by_role("button", name="Positions").click()
    row = see_held(page, desk, SOL, "SOL-USDT")
    lots = (-held(desk, SOL)).quantize(Decimal("0.001"), ROUND_DOWN)
    row.get_by_role("button", name="Close SOL-USDT").click()
    dialog = page.get_by_role("dialog", name="Close position")
    dialog.get_by_role("button", name="Buy").click()
    at_the_exchange(desk, symbol=SOL, side="BUY", type="MARKET", executedQty=str(lots))
    wait_for("no short position", lambda: abs(held(desk, SOL)) < Decimal("0.01"))


def test_history_is_filtered_comes_as_a_file_and_leads_to_the_trace(page: Page, desk: Desk) -> None:
    placed = desk.order(symbol=SOL, side="Buy", quantity="1.005", price=None).json()

    def is_denied() -> bool:
        # Where nobody could judge it just then, it is placed again.
        desk.order(symbol="BTCUSDT", side="Buy", quantity="5", price=None)
        denied = desk.all("orders", state="DENIED", strategy="manual", symbol="BTCUSDT")
        return bool(denied) and denied[0]["reason"] == "NOTIONAL_ABOVE_MAX"

    wait_for("an order that is too large", is_denied)
    page.get_by_role("button", name="History", exact=True).click()
    bar = page.locator(".history-bar")
    bar.get_by_label("Strategy").select_option("manual")
    bar.get_by_label("State").select_option("denied")
    rows = page.get_by_role("region", name="Orders").locator("tbody tr")
    expect(rows.first).to_contain_text("notional above max")
    assert all("denied" in text for text in rows.all_inner_texts())

    bar.get_by_label("State").select_option("filled")
    bar.get_by_label("Market").select_option("SOL-USDT")
    expect(rows.filter(has_text="1.005").first).to_contain_text("filled")
    with page.expect_download() as download:
        bar.get_by_role("link", name="CSV").click()
    head, *lines = download.value.path().read_text().splitlines()
    assert head.startswith("id,")
    assert lines
    assert all("manual" in line and "SOL-USDT" in line and "FILLED" in line for line in lines)

    rows.filter(has_text="1.005").first.get_by_role("button", name="Trace").click()
    trace = page.get_by_label("Trace of an order")
    expect(trace.get_by_label("Order")).to_have_value(placed["id"])
    expect(trace.locator(".steps li").filter(has_text="OrderFilled").first).to_be_visible()


def test_ladder_adds_up_in_steps_and_shows_ours_there(page: Page, desk: Desk) -> None:
    choose(page, "SOL-USDT")
    ladder = page.get_by_label("Depth", exact=True)
    ladder.get_by_label("Step of the ladder").select_option(label="0.1")
    bids = page.get_by_role("list", name="Bids").locator(".ladder-level span:last-child")
    expect(bids.nth(4)).to_be_visible()
    page.wait_for_function(
        "[...document.querySelectorAll('.ladder-BUY .ladder-level span:last-child')]"
        ".every(each => each.textContent.endsWith('0'))"
    )
    own = page.get_by_role("button", name="Cancel ours at").filter(has_text="0.313")

    def is_cancelled_in_its_row() -> bool:
        # The crowd may fill it, or leave it behind, before the click: then another is placed.
        row = Decimal(bids.nth(4).inner_text().replace(",", ""))
        # Above the row's own price: it stands in the row, not beside it.
        price = str(row + Decimal("0.03"))
        placed = desk.order(symbol=SOL, side="Buy", quantity="0.313", price=price).json()
        try:
            expect(own).to_have_attribute(
                "aria-label", f"Cancel ours at {row:.2f}: 0.313", timeout=10_000
            )
            own.click(timeout=10_000)
        except (AssertionError, PlaywrightTimeout):
            desk.cancel(placed["id"])
            return False
        path = f"/api/v1/orders/{placed['id']}"
        try:
            wait_for("its end", lambda: desk.get(path)["state"] in ("CANCELED", "FILLED"), 30)
        except AssertionError:  # the row moved under the click, which then met another one
            desk.cancel(placed["id"])
            return False
        return bool(desk.get(path)["state"] == "CANCELED")

    assert any(is_cancelled_in_its_row() for _ in range(8))
