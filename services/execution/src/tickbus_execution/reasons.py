"""Why an order or a cancel is rejected behind risk: each reason with its limit and its value.

The closed list of what execution says for itself and of what it reads from venues' refusals; run as
a module it prints `docs/rejection-reasons.md`. A venue may know filters of which nobody has heard:
their reason is `FILTER_<name>`, and is told like the others.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import NamedTuple

from tickbus.events import Instrument
from tickbus.order import Order


class Reason(NamedTuple):
    """What it means, what helps, what is allowed in words, and which part of the order it is of."""

    means: str
    helps: str
    limit: str
    of: str = "order"


RULES_OF = "The venue's rules: `GET /api/v1/instruments`."
WAIT = "It passes by itself; send it again later."
BUG = "Report it, with the log of execution."
REASONS: dict[str, Reason] = {
    # What execution says for itself; nothing was sent.
    "INSTRUMENT_UNKNOWN": Reason(
        "No feed has described the instrument at this venue.", "See whether the feed runs.",
        "an instrument of the venue", "instrument",
    ),
    "VENUE_DISCONNECTED": Reason(
        "There is no session with the venue, or the account was not compared yet.", WAIT,
        "a session, and the account compared",
    ),
    "VENUE_PAUSED": Reason("The venue asked for silence.", WAIT, "no silence asked for"),
    "COUNTDOWN_NOT_ARMED": Reason(
        "The venue's countdown that cancels if we fall silent could not be set.",
        "See the log; `execution.countdown_s: 0` does without.", "the countdown armed",
    ),
    "NEVER_SENT": Reason(
        "It was cancelled before it could be sent.", "Nothing: it is over.", "an order still wanted"
    ),
    "REPLACED_ORDER_TAKEN": Reason(
        "Another order takes the place of the same one.", "Replace that one.",
        "one order in its place", "replaces",
    ),
    "REPLACED_ORDER_WORKING": Reason(
        "The order to be replaced could not be cancelled.", "See what became of it.",
        "the replaced order ended", "replaces",
    ),
    "NOT_AT_VENUE": Reason(
        "Asked twice, and the last time when nothing could be on its way, the venue knew of none.",
        "Send a new order; nothing was traded.", "the venue knows it",
    ),
    "INTERNAL_ERROR": Reason(
        "Execution failed at it every time, before anything was sent.",
        "See `tickbus dead-letters`, report the error.", "handled without an error",
    ),
    "REJECTED": Reason("The venue refused it without a word.", RULES_OF, "what the venue takes"),
    # On paper.
    "DRY_RUN": Reason(
        "Nothing is sent in this mode.", "Set `execution.mode`.", "a mode other than dry_run",
    ),
    "NO_BOOK": Reason("Paper orders fill from the book.", WAIT, "a book in step", "instrument"),
    "INVERSE_CONTRACT": Reason(
        "Paper orders are for linear contracts only.", "Take a linear one.", "a linear contract",
        "instrument",
    ),
    "NO_BALANCE": Reason(
        "At its trigger the balance no longer covered it.", "Keep more free.", "what is free"
    ),
    # What venues say of an order.
    "INSUFFICIENT_BALANCE": Reason(
        "The balance does not cover it.", "Send less.", "what is free at the venue", "notional"
    ),
    "INSUFFICIENT_MARGIN": Reason(
        "The margin does not cover it.", "Send less, or lower the leverage.",
        "the margin that is free at the venue", "notional",
    ),
    "POST_ONLY_WOULD_TAKE": Reason(
        "A post-only order would have traded at once.", "Nothing: it is what post-only is for.",
        "a price that does not cross the book", "price",
    ),
    "STOP_WOULD_TRIGGER": Reason(
        "The market has passed the trigger price.", "Send LIMIT or MARKET.",
        "a trigger that the market has not reached", "trigger_price",
    ),
    "FOK_NOT_FILLED": Reason(
        "The book did not hold all of it.", "Send less, or IOC.", "what the book holds", "quantity"
    ),
    "NO_LIQUIDITY": Reason(
        "The other side of the book is empty.", WAIT, "what the book holds", "quantity"
    ),
    "BBO_NOT_AVAILABLE": Reason("There is no best price.", WAIT, "a best price", "price"),
    "MARKET_CLOSED": Reason("The market is closed.", WAIT, "an open market", "instrument"),
    "SYMBOL_NOT_TRADING": Reason(
        "The venue does not trade the instrument.", "It is asked every 30 s whether it does again.",
        "an instrument that trades", "instrument",
    ),
    "ORDER_ID_DUPLICATE": Reason(
        "The venue has the id already; it is asked what that order is.", "Nothing.", "an unused id",
        "id",
    ),
    "REDUCE_ONLY_REJECTED": Reason(
        "There is no position that it could shrink.", "See `POST /api/v1/reconcile`.",
        "a position to reduce", "quantity",
    ),
    "REDUCE_ONLY_MARGIN": Reason(
        "The margin does not cover it.", "See the positions at the venue.", "the margin", "notional"
    ),
    "REDUCE_ONLY_TYPE": Reason(
        "The venue takes no reduce-only order of this type.", "Take another type.",
        "a type that may reduce",
    ),
    "POSITION_MODE_MISMATCH": Reason(
        "The account is in hedge mode.", "Switch it to one-way mode at the venue.",
        "one-way position mode",
    ),
    "VENUE_REJECTED": Reason("The venue says why.", "Do as it says.", "what the venue takes"),
    # What venues say of us.
    "VENUE_RATE_LIMIT": Reason(
        "Too many requests or orders.", "Send fewer.", "the venue's rate of orders and requests"
    ),
    "VENUE_OVERLOADED": Reason(
        "The venue is overloaded; what reduces goes on.", WAIT, "a venue that is not overloaded"
    ),
    "VENUE_UNAVAILABLE": Reason("The venue did not take it.", WAIT, "a venue that is available"),
    "VENUE_FIREWALL": Reason("The venue's firewall stops us.", WAIT, "requests it lets through"),
    "VENUE_KEY_REFUSED": Reason(
        "Key, signature, address or permission is refused.", "Correct the key, or its rights.",
        "a key that may trade from here",
    ),
    "CLOCK_OUT_OF_STEP": Reason(
        "It came too late, or our clock is wrong; it was sent once more.", "Set the clock (NTP).",
        "`execution.recv_window_ms` by the venue's clock",
    ),
    "TOO_MANY_CONNECTIONS": Reason("Too many connections.", WAIT, "the venue's connections"),
    "LISTEN_KEY_MISSING": Reason("The user stream has no key.", WAIT, "a listen key"),
    "REQUEST_MALFORMED": Reason("We spelled it wrong.", BUG, "what the venue can read"),
    "ALGO_ENDPOINT_NEEDED": Reason("It went to the wrong address.", BUG, "the algo service"),
    # Cancels and replacements.
    "ORDER_NOT_WORKING": Reason(
        "The order is over, or the venue does not know it.", "See what became of it.",
        "a working order", "state",
    ),
    "ORDER_NOT_FOUND": Reason(
        "The venue does not know the order.", "It is asked again.", "an order it knows", "state"
    ),
    "ORDER_ARCHIVED": Reason(
        "It ended unfilled long ago.", "Nothing: it is over.", "an order not archived", "state"
    ),
    "REPLACE_FAILED": Reason("Neither was done.", "Send it again.", "both done", "replaces"),
    "AMEND_REJECTED": Reason("The order stays as it was.", "Replace it.", "less than it is for"),
    "AMEND_NO_CHANGE": Reason("It is so already.", "Nothing.", "a change"),
    "AMEND_PENDING": Reason("A change is under way.", WAIT, "no change under way"),
    # Filters.
    "FILTER_FAILURE": Reason("It is against a rule of the venue.", RULES_OF, "the venue's rules"),
    "FILTER_PRICE_FILTER": Reason("The price is off its grid.", RULES_OF, "the tick", "price"),
    "FILTER_PERCENT_PRICE": Reason(
        "The price is too far from the market.", "Correct the price.", "the venue's band", "price"
    ),
    "FILTER_PERCENT_PRICE_BY_SIDE": Reason(
        "The price is too far from the market.", "Correct the price.", "the venue's band", "price"
    ),
    "FILTER_LOT_SIZE": Reason("The quantity is off its grid.", RULES_OF, "the lot", "quantity"),
    "FILTER_MARKET_LOT_SIZE": Reason(
        "The quantity is off its grid.", RULES_OF, "the lot at the market", "quantity"
    ),
    "FILTER_MIN_NOTIONAL": Reason("It is worth too little.", "Send more.", "the least", "notional"),
    "FILTER_NOTIONAL": Reason(
        "It is worth too little, or too much.", RULES_OF, "the least and most", "notional"
    ),
    "FILTER_MAX_POSITION": Reason(
        "The position would be too large.", "Send less.", "the venue's largest position", "quantity"
    ),
}  # fmt: skip
FILTER = Reason("It is against this rule of the venue.", RULES_OF, "the venue's rules")


def _span(low: Decimal, high: Decimal) -> str:
    return f"{low}..{high or ''}"


def _worth(order: Order) -> str:
    if order.price is None:
        return _terms(order)
    with localcontext(prec=60):
        return f"{order.price * order.quantity:f}"


def _terms(order: Order) -> str:
    price = "the market" if order.price is None else f"{order.price:f}"
    return f"{order.side} {order.quantity:f} at {price}"


VALUES: dict[str, Callable[[Order], object]] = {
    "price": lambda order: "market" if order.price is None else order.price,
    "trigger_price": lambda order: order.trigger_price,
    "quantity": lambda order: order.quantity,
    "notional": _worth,
    "instrument": lambda order: order.instrument_id,
    "replaces": lambda order: order.replaces or order.client_order_id,
    "id": lambda order: order.client_order_id,
    "state": lambda order: order.state,
    "order": _terms,
}
LIMITS: dict[str, Callable[[Instrument], str]] = {
    "FILTER_PRICE_FILTER": lambda i: f"{_span(i.price_min, i.price_max)} in steps of {i.tick_size}",
    "FILTER_LOT_SIZE": lambda i: (
        f"{_span(i.quantity_min, i.quantity_max)} in steps of {i.lot_size}"
    ),
    "FILTER_MIN_NOTIONAL": lambda i: f"{i.notional_min} {i.quote}",
    "FILTER_NOTIONAL": lambda i: f"{_span(i.notional_min, i.notional_max)} {i.quote}",
}
"""Limits that are known as numbers, where the instrument is."""


def refused(order: Order, reason: str, words: str, rules: Instrument | None = None) -> str:
    """The detail of a refusal: `limit=.. value=..`, then who refused in its own words, if any.

    `words` that name the limit and the value themselves stay as they are.
    """
    if words.startswith("limit="):
        return words
    known = REASONS.get(reason, FILTER if reason.startswith("FILTER_") else REASONS["REJECTED"])
    limit = LIMITS[reason](rules) if rules is not None and reason in LIMITS else known.limit
    detail = f"limit={limit} value={VALUES[known.of](order)}"
    return f"{detail}; {words}" if words else detail


def table() -> str:
    """The page, in Markdown."""
    rows = [f"| `{name}` | {r.means} | {r.limit} | {r.helps} |" for name, r in REASONS.items()]
    head = [
        "# Why an order or a cancel is rejected",
        "",
        "Printed by `python -m tickbus_execution.reasons`; a test fails when the two differ.",
        "What risk refuses is *denied*: [why risk denies](denial-reasons.md). Behind risk it is",
        "execution or the venue that *rejects*. `detail` holds `limit=.. value=..`, what is",
        "allowed and what was asked for, and then the venue's code and words. `FILTER_<name>` is",
        "the venue's filter of that name, also of those that are not listed here. How smart orders",
        "end is told in [several venues](several-venues.md).",
        "",
        "| reason | what it means | limit | what helps |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(table())
