"""Binance's order entry: what is sent, and what its answers and events mean."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus.events import LiquiditySide, OrderType, Side, SubmitOrder, TimeInForce
from tickbus_execution import binance, wire
from tickbus_execution.venue import VenueStatus


def an_order(price: str | None = "0.00001", **terms: Any) -> SubmitOrder:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    limit = None if price is None else Decimal(price)
    return SubmitOrder(
        1, 1, "s-r-1", "s", "sim", "BTC-USDT", Side.BUY, kind, Decimal("1E-5"), limit, **terms
    )


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (an_order(None), {"type": "MARKET"}),
        (an_order(), {"type": "LIMIT", "timeInForce": "GTC", "price": "0.00001"}),
        (an_order(time_in_force=TimeInForce.IOC), {"type": "LIMIT", "timeInForce": "IOC"}),
        (an_order(time_in_force=TimeInForce.FOK), {"type": "LIMIT", "timeInForce": "FOK"}),
        (an_order(post_only=True), {"type": "LIMIT_MAKER"}),
    ],
)
def test_order_is_spelled_as_the_venue_wants_it(order: SubmitOrder, wanted: dict[str, str]) -> None:
    params = binance.order_params(order, "BTCUSDT")
    assert wanted.items() <= params.items()
    assert params["quantity"] == "0.00001", "no exponent"
    assert params["newClientOrderId"] == "s-r-1"
    assert ("timeInForce" in params) == (params["type"] == "LIMIT")


EVENT = {
    "e": "executionReport", "E": 2, "s": "BTCUSDT", "c": "s-r-1", "S": "BUY", "q": "1.00", "C": "",
    "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 77, "l": "0.40", "z": "0.50",
    "L": "100.10", "n": "0.0004", "N": "BTC", "T": 1700000000123, "t": 9, "m": True,
}  # fmt: skip


def test_trade_report_carries_its_fill_exactly() -> None:
    report = binance.execution_report(EVENT, "BTC-USDT", 5)
    (fill,) = report.fills
    assert (report.status, report.filled_quantity) == (
        VenueStatus.PARTIALLY_FILLED, Decimal("0.50"),
    )  # fmt: skip
    assert (fill.fill_id, fill.price, fill.quantity) == ("9", Decimal("100.10"), Decimal("0.40"))
    assert (fill.fee, fill.fee_asset, fill.liquidity_side) == (
        Decimal("0.0004"), "BTC", LiquiditySide.MAKER,
    )  # fmt: skip
    assert report.ts_event == 1_700_000_000_123_000_000


def test_cancel_report_names_the_order_and_not_the_cancel() -> None:
    event = {**EVENT, "x": "CANCELED", "X": "CANCELED", "c": "cancel-1", "C": "s-r-1"}
    report = binance.execution_report(event, "BTC-USDT", 5)
    assert (report.client_order_id, report.status, report.fills) == (
        "s-r-1", VenueStatus.CANCELED, (),
    )  # fmt: skip


def test_self_trade_prevention_is_an_expiry_with_its_reason() -> None:
    event = {**EVENT, "x": "TRADE_PREVENTION", "X": "EXPIRED_IN_MATCH"}
    report = binance.execution_report(event, "BTC-USDT", 5)
    assert (report.status, report.reason) == (VenueStatus.EXPIRED, "SELF_TRADE_PREVENTION")


def test_numbers_in_answers_never_pass_through_a_float() -> None:
    body = wire.read(msgspec.Raw(b'{"price": 0.1000000000000000055511151231257827}'))
    assert body["price"] == Decimal("0.1000000000000000055511151231257827")


@pytest.mark.parametrize("broken", [{"X": "NEW_WORD"}, {"T": "x"}, {"q": "much"}])
def test_report_of_another_shape_raises_what_the_gateway_expects(broken: dict[str, str]) -> None:
    with pytest.raises(wire.UNREADABLE):
        binance.execution_report({**EVENT, **broken}, "BTC-USDT", 5)
