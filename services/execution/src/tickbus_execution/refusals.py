"""What Binance's refusals mean: one table from code to outcome, action and our reason.

Source: Binance's `errors.md` (spot) and "Error Codes" (USD-M). The first row that fits counts: a
row may ask for a venue, because spot and futures gave some numbers twice, and for words, because
-2010 is all that its words are.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from tickbus_execution.venue import Outcome, Request

SPOT, USDM = "spot", "usdm"
FILTER = "Filter failure: "
REFUSED, UNKNOWN, NOT_FOUND = Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_FOUND


class Action(StrEnum):
    """What a refusal makes the gateway do, besides telling the core."""

    NONE = "NONE"  # the request ends here, for good
    COUNT = "COUNT"  # a normal outcome of making markets: no alert
    QUERY = "QUERY"  # the core asks, with back-off, until there is evidence
    PAUSE = "PAUSE"  # silence until the time given
    OVERLOAD = "OVERLOAD"  # back off; what reduces and cancels may go on
    STOP_ORDERS = "STOP_ORDERS"  # no new order until the interval ends
    RESYNC_CLOCK = "RESYNC_CLOCK"  # and send once more: it was not taken
    HALT = "HALT"  # no order until the session was opened anew with this key
    HALT_FOR_MODE = "HALT_FOR_MODE"  # no order until somebody corrected the account
    BACK_OFF_CONNECTS = "BACK_OFF_CONNECTS"
    BUG = "BUG"  # we spelled it wrong
    DISABLE_SYMBOL = "DISABLE_SYMBOL"  # until the venue's list says that it trades
    NEW_LISTEN_KEY = "NEW_LISTEN_KEY"  # and connect anew
    LOOK_AT_ACCOUNT = "LOOK_AT_ACCOUNT"  # what we believe to hold is not so


class Rule(NamedTuple):
    """One row; `first` to `last` are codes, equal for most; `words` have to be in the message."""

    first: int
    last: int
    outcome: Outcome
    action: Action
    reason: str
    venue: str = ""
    words: str = ""


def _row(
    code: int, outcome: Outcome, action: Action, reason: str, venue: str = "", words: str = "",
    *, last: int = 0,
) -> Rule:  # fmt: skip
    return Rule(code, last or code, outcome, action, reason, venue, words)


RULES: tuple[Rule, ...] = (
    _row(-1000, UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    _row(-1001, UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    _row(-1006, UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    _row(-1007, UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    _row(-1003, REFUSED, Action.PAUSE, "VENUE_RATE_LIMIT"),
    _row(-1008, REFUSED, Action.OVERLOAD, "VENUE_OVERLOADED"),
    _row(-1013, REFUSED, Action.NONE, "FILTER_FAILURE"),  # named by its words
    _row(-1015, REFUSED, Action.STOP_ORDERS, "VENUE_RATE_LIMIT"),
    _row(-1021, REFUSED, Action.RESYNC_CLOCK, "CLOCK_OUT_OF_STEP"),
    _row(-5028, REFUSED, Action.RESYNC_CLOCK, "CLOCK_OUT_OF_STEP", USDM),
    _row(-1022, REFUSED, Action.HALT, "VENUE_KEY_REFUSED"),
    _row(-2014, REFUSED, Action.HALT, "VENUE_KEY_REFUSED"),
    _row(-2015, REFUSED, Action.HALT, "VENUE_KEY_REFUSED"),
    _row(-1034, REFUSED, Action.BACK_OFF_CONNECTS, "TOO_MANY_CONNECTIONS", last=-1033),
    _row(-1121, REFUSED, Action.DISABLE_SYMBOL, "SYMBOL_NOT_TRADING"),
    _row(-1122, REFUSED, Action.DISABLE_SYMBOL, "SYMBOL_NOT_TRADING"),
    _row(-1220, REFUSED, Action.DISABLE_SYMBOL, "SYMBOL_NOT_TRADING"),
    _row(-1125, REFUSED, Action.NEW_LISTEN_KEY, "LISTEN_KEY_MISSING"),
    _row(-1130, REFUSED, Action.BUG, "REQUEST_MALFORMED", last=-1100),
    _row(-2010, UNKNOWN, Action.QUERY, "ORDER_ID_DUPLICATE", words="duplicate"),
    _row(-2010, REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE", words="insufficient"),
    _row(-2010, REFUSED, Action.COUNT, "POST_ONLY_WOULD_TAKE", words="immediately match"),
    _row(-2010, REFUSED, Action.NONE, "STOP_WOULD_TRIGGER", words="trigger immediately"),
    _row(-2010, REFUSED, Action.DISABLE_SYMBOL, "MARKET_CLOSED", words="market is closed"),
    _row(-2010, REFUSED, Action.NONE, "NO_LIQUIDITY", words="liquidity"),
    _row(-2010, REFUSED, Action.NONE, "VENUE_REJECTED"),
    _row(-2011, REFUSED, Action.QUERY, "ORDER_NOT_WORKING"),
    _row(-2013, NOT_FOUND, Action.QUERY, "ORDER_NOT_FOUND"),
    _row(-2018, REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    _row(-2019, REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_MARGIN"),
    _row(-4050, REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    _row(-4051, REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    _row(-2021, REFUSED, Action.NONE, "STOP_WOULD_TRIGGER", USDM),
    # Cancelled and not placed, or placed and not cancelled: only asking tells which.
    _row(-2021, UNKNOWN, Action.QUERY, "REPLACE_HALF_DONE", SPOT),
    _row(-2022, REFUSED, Action.LOOK_AT_ACCOUNT, "REDUCE_ONLY_REJECTED", USDM),
    _row(-2022, REFUSED, Action.NONE, "REPLACE_FAILED", SPOT),
    _row(-4118, REFUSED, Action.LOOK_AT_ACCOUNT, "REDUCE_ONLY_MARGIN", USDM),
    _row(-2026, REFUSED, Action.NONE, "REDUCE_ONLY_TYPE", USDM),
    _row(-2026, REFUSED, Action.NONE, "ORDER_ARCHIVED", SPOT),
    _row(-2038, REFUSED, Action.NONE, "AMEND_REJECTED", SPOT),
    _row(-4014, REFUSED, Action.NONE, "FILTER_PRICE_FILTER", USDM),
    _row(-4023, REFUSED, Action.NONE, "FILTER_LOT_SIZE", USDM),
    _row(-4164, REFUSED, Action.NONE, "FILTER_MIN_NOTIONAL", USDM),
    _row(-4131, REFUSED, Action.NONE, "FILTER_PERCENT_PRICE", USDM),
    _row(-4016, REFUSED, Action.NONE, "FILTER_PERCENT_PRICE", USDM),
    _row(-4024, REFUSED, Action.NONE, "FILTER_PERCENT_PRICE", USDM),
    _row(-4061, REFUSED, Action.HALT_FOR_MODE, "POSITION_MODE_MISMATCH", USDM),
    _row(-4059, REFUSED, Action.HALT_FOR_MODE, "POSITION_MODE_MISMATCH", USDM),
    _row(-4116, UNKNOWN, Action.QUERY, "ORDER_ID_DUPLICATE", USDM),
    _row(-4120, REFUSED, Action.BUG, "ALGO_ENDPOINT_NEEDED", USDM),
    _row(-5021, REFUSED, Action.COUNT, "FOK_NOT_FILLED", USDM),
    _row(-5022, REFUSED, Action.COUNT, "POST_ONLY_WOULD_TAKE", USDM),
    _row(-5041, REFUSED, Action.COUNT, "BBO_NOT_AVAILABLE", USDM),
    _row(-5027, REFUSED, Action.COUNT, "AMEND_NO_CHANGE", USDM),
    _row(-5043, REFUSED, Action.COUNT, "AMEND_PENDING", USDM),
)
OTHERWISE = _row(0, REFUSED, Action.NONE, "VENUE_REJECTED")
NO_VERDICT = _row(0, UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN")
UNAVAILABLE = _row(0, REFUSED, Action.OVERLOAD, "VENUE_UNAVAILABLE", USDM, "Service Unavailable")
FIREWALL = _row(0, REFUSED, Action.PAUSE, "VENUE_FIREWALL")
BUSY = _row(0, REFUSED, Action.PAUSE, "VENUE_RATE_LIMIT")
UNKNOWN_STATUSES = frozenset({408, 409})
"""HTTP's own words for: we do not know, and: half of it was done."""
TRANSIENT = frozenset({
    Action.PAUSE, Action.OVERLOAD, Action.STOP_ORDERS, Action.RESYNC_CLOCK, Action.HALT,
    Action.BACK_OFF_CONNECTS,
})  # fmt: skip
"""Refusals that say nothing of the order: a cancel so refused is still wished for."""


class Refusal(NamedTuple):
    """What a refusal came to; `detail` is the venue's code and words."""

    outcome: Outcome
    action: Action
    reason: str
    detail: str
    code: int


def rule_of(venue: str, code: int, message: str, status: int) -> Rule:
    """The row for an error answer of `venue` (`spot` or `usdm`)."""
    if status == 418 or (status == 429 and code in (0, -1003)):
        return BUSY
    if status == 503 and venue == USDM and UNAVAILABLE.words in message:
        return UNAVAILABLE  # whatever code goes with it: of the three 503 this one was not taken
    words = message.lower()
    for rule in RULES:
        fits = rule.first <= code <= rule.last and rule.venue in ("", venue)
        if fits and rule.words in words:
            # A gateway's time-out is no verdict, whatever it says; overload is one by its code.
            doubtful = status >= 500 and rule.action is not Action.OVERLOAD
            return NO_VERDICT if doubtful else rule
    if status >= 500 or status in UNKNOWN_STATUSES:
        return NO_VERDICT
    if status == 403:
        return FIREWALL
    # Without a code it is not the venue who speaks, but something between us.
    return OTHERWISE if code else NO_VERDICT


def read_refusal(venue: str, request: Request, error: dict[str, Any], status: int) -> Refusal:
    """What an error answer to `request` comes to."""
    code, message = int(error.get("code") or 0), str(error.get("msg", ""))
    rule = rule_of(venue, code, message, status)
    outcome, reason = rule.outcome, rule.reason
    if rule.reason == "FILTER_FAILURE" and FILTER in message:
        reason = f"FILTER_{message.partition(FILTER)[2].strip().upper()}"
    if request is Request.QUERY and outcome is REFUSED:
        outcome = UNKNOWN  # refused to tell is no evidence of anything
    if request is Request.CANCEL and rule.action in TRANSIENT:
        outcome = UNKNOWN  # the wish stands, and is said again
    if request is Request.SUBMIT and outcome is NOT_FOUND:
        outcome = UNKNOWN  # no answer to the request that was made
    if request is Request.CANCEL and outcome is NOT_FOUND:
        outcome = REFUSED
    detail = f"{code or f'HTTP {status}'} {message}".strip()
    return Refusal(outcome, rule.action, reason, detail, code)
