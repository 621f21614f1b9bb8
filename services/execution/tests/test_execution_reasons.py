"""Every refusal behind risk names its reason, the limit and the value, and the list is closed."""

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tickbus.events import (
    CancelApproved,
    CancelOrder,
    CancelRejected,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderRejected,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
)
from tickbus_execution.core import ExecutionCore
from tickbus_execution.reasons import REASONS, table
from tickbus_execution.refusals import BUSY, FIREWALL, OTHERWISE, RULES, UNAVAILABLE
from tickbus_execution.venue import (
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueStatus,
)

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "services/execution/src/tickbus_execution"
D = Decimal
NAME = "BTC-USDT"
RULES_OF_BTC = Instrument(
    "sim", NAME, "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"), quantity_min=D("0.001"),
    quantity_max=D(9000), notional_min=D(5),
)  # fmt: skip
NO_REFUSALS = {
    # Of questions, and of outcomes that nobody knows.
    "LEASE_AWAY", "QUERY_PUT_OFF", "NO_ANSWER", "UNREADABLE", "OUTCOME_UNKNOWN",
    "REPLACE_HALF_DONE",
    # Ends of orders that were not refused.
    "CUT_BY_VENUE", "PAPER_RESTART", "REDUCE_ONLY", "ORDER_FORGOTTEN", "REPLACED", "GTD",
}  # fmt: skip
"""What looks like a reason in the source, and is none of a refusal."""


def submit(**terms: Any) -> SubmitOrder:
    order = SubmitOrder(
        1, 1, "s-r-1", "s", "sim", NAME, Side.BUY, OrderType.LIMIT, D(2), D(100)
    )  # fmt: skip
    return msgspec.structs.replace(order, **terms)


ORDERS = {
    "limit": submit(),
    "market": submit(order_type=OrderType.MARKET, price=None),
    "stop": submit(order_type=OrderType.STOP_MARKET, price=None, trigger_price=D(120)),
}


def a_core(*events: Any) -> ExecutionCore:
    core = ExecutionCore("sim")
    for event in (RULES_OF_BTC, Recovered(1, 1), *events):
        core.handle(event)
    return core


def failed(request: Request, reason: str, words: str = "-1 words") -> RequestFailed:
    return RequestFailed(2, 2, request, Outcome.REFUSED, "s-r-1", NAME, reason, words, "c1")


def is_complete(detail: str) -> bool:
    limit, found, value = detail.removeprefix("limit=").partition(" value=")
    is_named = detail.startswith("limit=") and bool(limit and found and value)
    return is_named and "None" not in (limit, value.partition(";")[0])


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("reason", [*REASONS, "FILTER_UNHEARD_OF", "SOMETHING_NEW"])
def test_refused_order_names_reason_limit_and_value(reason: str, kind: str) -> None:
    if reason == "STOP_WOULD_TRIGGER" and kind != "stop":
        return  # there is no trigger
    core = a_core(OrderApproved(1, 1, ORDERS[kind]))
    (rejected,) = core.handle(failed(Request.SUBMIT, reason))
    assert isinstance(rejected, OrderRejected)
    assert rejected.reason == reason
    assert is_complete(rejected.detail), rejected.detail
    assert rejected.detail.endswith("; -1 words"), "and the venue's own words"


@pytest.mark.parametrize("reason", [*REASONS, "FILTER_UNHEARD_OF", "SOMETHING_NEW"])
def test_refused_cancel_names_reason_limit_and_value(reason: str) -> None:
    core = a_core(
        OrderApproved(1, 1, ORDERS["stop"]),
        OrderAccepted(1, 1, "s-r-1", "s", "sim", NAME, "v1"),
        CancelApproved(1, 1, CancelOrder(1, 1, "c1", "s-r-1", "s", "sim", NAME)),
    )
    rejected, _ = core.handle(failed(Request.CANCEL, reason))
    assert isinstance(rejected, CancelRejected)
    assert rejected.reason == reason
    assert is_complete(rejected.detail), rejected.detail


def test_limits_that_are_known_are_numbers() -> None:
    told = {}
    for reason in ("FILTER_PRICE_FILTER", "FILTER_LOT_SIZE", "FILTER_MIN_NOTIONAL"):
        core = a_core(OrderApproved(1, 1, ORDERS["limit"]))
        (rejected,) = core.handle(failed(Request.SUBMIT, reason, ""))
        assert isinstance(rejected, OrderRejected)
        told[reason] = rejected.detail
    assert told == {
        "FILTER_PRICE_FILTER": "limit=0.. in steps of 0.01 value=100",
        "FILTER_LOT_SIZE": "limit=0.001..9000 in steps of 0.001 value=2",
        "FILTER_MIN_NOTIONAL": "limit=5 USDT value=200",
    }


def test_what_names_limit_and_value_itself_stays_as_it_is() -> None:
    core = a_core(OrderApproved(1, 1, ORDERS["limit"]))
    words = "limit=90 of 100 orders per 10 s, value=90"
    (rejected,) = core.handle(failed(Request.SUBMIT, "VENUE_RATE_LIMIT", words))
    assert isinstance(rejected, OrderRejected)
    assert rejected.detail == words


def test_refusal_without_a_word_and_cancel_of_an_order_that_is_over_name_them_too() -> None:
    core = a_core(OrderApproved(1, 1, ORDERS["limit"]))
    report = OrderReport(
        2, 2, "s-r-1", NAME, "v1", VenueStatus.REJECTED, Side.BUY, D(2), D(0)
    )  # fmt: skip
    (rejected,) = core.handle(report)
    assert isinstance(rejected, OrderRejected)
    assert is_complete(rejected.detail)
    cancel = CancelApproved(3, 3, CancelOrder(3, 3, "c1", "s-r-1", "s", "sim", NAME))
    (late,) = core.handle(cancel)
    assert isinstance(late, CancelRejected)
    assert late.detail == "limit=a working order value=REJECTED"


def test_order_for_what_nobody_described_names_them_too() -> None:
    (rejected,) = a_core().handle(OrderApproved(1, 1, submit(instrument_id="X-Y")))
    assert isinstance(rejected, OrderRejected)
    assert rejected.detail == "limit=an instrument of the venue value=X-Y"


# -- the list is closed ----------------------------------------------------------------------------


WORDS_OF_VENUES = ("reasons.py", "payments.py", "binance.py", "binance_usdm.py")


def constants() -> Iterator[str]:
    """Whatever is handed on in the source of execution, and looks like a reason."""
    for path in sorted(SOURCE.glob("*.py")):
        if path.name in WORDS_OF_VENUES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            handed: list[ast.expr] = []
            if isinstance(node, ast.Call):
                handed = node.args
            elif isinstance(node, ast.Tuple):
                handed = node.elts
            for each in handed:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value


def test_every_reason_in_the_source_is_in_the_list() -> None:
    found = {each for each in constants() if re.fullmatch("[A-Z]+(_[A-Z]+)+", each)}
    assert found >= {"VENUE_DISCONNECTED", "NOT_AT_VENUE", "POST_ONLY_WOULD_TAKE", "NO_BOOK"}
    assert found - {"REQUEST_WEIGHT"} <= set(REASONS) | NO_REFUSALS


def test_every_refusal_that_is_read_from_a_venue_is_in_the_list() -> None:
    rules = (*RULES, OTHERWISE, UNAVAILABLE, FIREWALL, BUSY)
    refusals = {rule.reason for rule in rules if rule.outcome is Outcome.REFUSED}
    assert refusals <= set(REASONS)


def test_the_page_is_what_is_printed() -> None:
    page = (ROOT / "docs/rejection-reasons.md").read_text(encoding="utf-8")
    assert page == table(), "run: python -m tickbus_execution.reasons > docs/rejection-reasons.md"
