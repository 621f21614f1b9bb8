"""Perpetuals on the page: a short position, funding, an order that may only reduce, a stop."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from dashboard_platform import Running, a_platform
from dashboard_steps import choose, far_price, fill_ticket, held, row_of, see_held, send
from playwright.sync_api import Page, expect

from tickbus_testkit.story import Desk, wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow(15, together="browser"),
    pytest.mark.timeout(300),
]
MARKET, SOL = "SOL-USDT-PERP", "SOLUSDT"


@pytest.fixture(scope="module")
def platform(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole platform, on the simulated exchange's perpetuals."""
    directory = tmp_path_factory.mktemp("futures")
    with a_platform(directory, "config/venues/simulated-usdm.yaml") as running:
        yield running


def ledger(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = desk.ledger_of_the_exchange()["futures"]
    return found


def held_there(desk: Desk) -> Decimal:
    """What the exchange says that the account holds, negative when short."""
    position = ledger(desk)["positions"].get(SOL)
    return Decimal(position["quantity"]) if position else Decimal(0)


def are_held(quantity: str) -> Any:
    return lambda desk: held_there(desk) == held(desk, SOL) == Decimal(quantity)


def test_short_is_paid_for_reduced_never_turned_and_closed(
    page: Page, desk: Desk, platform: Running
) -> None:
    choose(page, MARKET)
    fill_ticket(page, "Sell", "3")
    send(page)
    wait_for("a short at the exchange and in the books", lambda: are_held("-3")(desk))

    page.get_by_role("button", name="Positions").click()
    row = see_held(page, desk, SOL, MARKET)
    expect(row.locator("td").nth(2)).to_contain_text("3.000")
    httpx.post(
        f"{platform.exchange}/admin/funding", json={"rate": "0.01", "symbol": SOL}, timeout=30
    ).raise_for_status()
    paid = page.get_by_label("Profit and loss").locator(".figure").filter(has_text="Funding")
    expect(paid.locator("dd")).to_have_class("up")  # shorts are paid

    def is_told() -> bool:
        kept = Decimal(desk.get("/api/v1/portfolio")["funding"])
        return abs(Decimal(paid.locator("dd").inner_text().lstrip("+")) - kept) < Decimal("0.01")

    wait_for("the page to show what was paid", is_told)

    fill_ticket(page, "Buy", "1")
    page.get_by_label("Reduce only").check()
    send(page)
    wait_for("less of it", lambda: are_held("-2")(desk))
    fill_ticket(page, "Sell", "1")  # still only to reduce, which a sale does not
    expect(page.locator(".ticket-verdict")).to_contain_text("Refused")

    row.get_by_role("button", name=f"Close {MARKET}").click()
    page.get_by_role("dialog", name="Close position").get_by_role("button", name="Buy").click()
    wait_for("nothing held", lambda: are_held("0")(desk))


def test_stop_waits_at_the_exchange_and_is_cancelled(page: Page, desk: Desk) -> None:
    choose(page, MARKET)
    at = far_price(desk, SOL, "0.97")
    fill_ticket(page, "Sell", "1.25", kind="Stop", trigger=at)
    send(page)

    def found() -> list[dict[str, Any]]:
        algos = ledger(desk)["algo_orders"]
        return [each for each in algos if Decimal(each["quantity"]) == Decimal("1.25")]

    (placed,) = wait_for("a conditional order at the exchange", found)
    assert (placed["orderType"], placed["side"]) == ("STOP_MARKET", "SELL")
    assert Decimal(placed["triggerPrice"]) == Decimal(at)
    row = row_of(page, "Working orders", MARKET).filter(has_text="manual")
    expect(row).to_contain_text(at)
    row.get_by_role("button", name="Cancel").click()
    wait_for("its end there", lambda: found()[0]["algoStatus"] == "CANCELED")
    expect(row).to_have_count(0)
