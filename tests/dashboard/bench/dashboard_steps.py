"""What a person does on the page, and how its effect is looked up in the exchange's own ledger."""

from decimal import Decimal
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tickbus_testkit.story import Desk, wait_for

NUMBERS = ("price", "origQty", "stopPrice", "executedQty")


def far_price(desk: Desk, symbol: str, share: str) -> str:
    """A price that the market will not reach in a test, on its tick of 0.01."""
    bid = desk.get("/api/v1/prices", symbol=symbol)["prices"][0]["bid"]
    return str((Decimal(str(bid)) * Decimal(share)).quantize(Decimal("0.01")))


def at_the_exchange(desk: Desk, **wanted: str) -> dict[str, Any]:
    """The newest order in the exchange's ledger that is as `wanted`; numbers by their value."""

    def same(order: dict[str, Any], name: str, value: str) -> bool:
        found = str(order[name])
        return found == value or (name in NUMBERS and Decimal(found) == Decimal(value))

    def look() -> list[dict[str, Any]]:
        orders = desk.ledger_of_the_exchange()["orders"]
        return [each for each in orders if all(same(each, *item) for item in wanted.items())]

    return wait_for(f"an order at the exchange with {wanted}", look)[-1]


def working(desk: Desk) -> list[dict[str, Any]]:
    """What works at the exchange, by its own ledger."""
    return [o for o in desk.ledger_of_the_exchange()["orders"] if o["status"] == "NEW"]


def ids_at_the_exchange(desk: Desk) -> set[str]:
    """The client order ids of every order that the exchange ever saw of us."""
    return {order["clientOrderId"] for order in desk.ledger_of_the_exchange()["orders"]}


def view(page: Page, name: str) -> None:
    """Go to a view by its tab."""
    page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()


def choose(page: Page, instrument: str) -> None:
    """Have the trading panels be about `instrument`."""
    page.get_by_label("Markets").get_by_role("button", name=instrument).click()
    expect(page.get_by_label("Order", exact=True).get_by_text(instrument)).to_be_visible()


def fill_ticket(
    page: Page, side: str, quantity: str, price: str = "", *, kind: str = "", trigger: str = ""
) -> None:
    """Fill the ticket in; `kind` is the text of its type, by default what follows from `price`."""
    ticket = page.get_by_label("Order", exact=True)
    ticket.get_by_role("group", name="Side").get_by_role("button", name=side).click()
    ticket.get_by_label("Type").select_option(label=kind or ("Limit" if price else "Market"))
    ticket.get_by_label("Quantity").fill(quantity)
    if price:
        ticket.get_by_label("Limit price").fill(price)
    if trigger:
        ticket.get_by_label("Trigger price").fill(trigger)


def send(page: Page) -> None:
    """Press the ticket's button, once risk was asked, so that the answer is of these fields."""
    expect(page.locator(".ticket-verdict")).not_to_have_text("\u00a0")
    page.locator(".ticket-form button[type=submit]").click()


def row_of(page: Page, table: str, text: str) -> Locator:
    """The rows of a table that show `text`."""
    return page.get_by_role("region", name=table).get_by_role("row").filter(has_text=text)


def set_trading(page: Page, wanted: str, shown: str) -> None:
    """Halt, Reduce only or Resume, in the dialog of the trading state."""
    page.get_by_test_id("trading-state").click()
    dialog = page.get_by_role("dialog", name="Trading")
    dialog.get_by_role("button", name=wanted).click()
    expect(page.get_by_test_id("trading-state")).to_have_text(shown)


def held(desk: Desk, symbol: str) -> Decimal:
    """What the platform holds of `symbol`, negative when short."""
    positions = desk.get("/api/v1/portfolio")["positions"]
    return sum((Decimal(p["quantity"]) for p in positions if p["symbol"] == symbol), Decimal(0))


def see_held(page: Page, desk: Desk, symbol: str, instrument: str) -> Locator:
    """The row of a position, once the page shows what is held now; it may be a little behind."""
    row = row_of(page, "Positions", instrument)
    cell = row.locator("td").nth(2)

    def look() -> bool:
        shown = cell.inner_text().replace("−", "-").replace(",", "")
        return abs(Decimal(shown) - held(desk, symbol)) < Decimal("0.01")

    wait_for(f"the page to show what is held of {symbol}", look)
    return row


def until_as_wide(page: Page, width: int) -> None:
    """Wait until nothing is wider than the screen; charts are drawn anew behind its change."""

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth") <= width)

    wait_for(f"a page no wider than {width}", fits, 30)
