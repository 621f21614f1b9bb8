"""USD-M futures: what is sent, and what answers and events mean."""

import time
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest

from tickbus.config import ConfigError
from tickbus.events import (
    CancelOrder,
    Instrument,
    LiquiditySide,
    OrderType,
    Side,
    SubmitOrder,
    TimeInForce,
    VenuePosition,
)
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.binance_usdm import BinanceUsdm
from tickbus_execution.service import protocol_of
from tickbus_execution.venue import AccountReport, OrderReport, VenueStatus

T = TypeVar("T")
PERP = "BTC-USDT-PERP"
BTC = Instrument("fut", PERP, "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))


def a_wish(n: int = 1, price: str | None = "60000", **terms: Any) -> SubmitOrder:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    now = time.time_ns()
    return SubmitOrder(
        now, now, f"s-r-{n}", "s", "fut", PERP, Side.BUY, kind, Decimal("1E-3"),
        None if price is None else Decimal(price), **terms,
    )  # fmt: skip


def instrument_of(symbol: str) -> str | None:
    return PERP if symbol == "BTCUSDT" else None


# -- what is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (a_wish(price=None), {"type": "MARKET"}),
        (a_wish(), {"type": "LIMIT", "timeInForce": "GTC", "price": "60000"}),
        (a_wish(time_in_force=TimeInForce.IOC), {"type": "LIMIT", "timeInForce": "IOC"}),
        (a_wish(time_in_force=TimeInForce.FOK), {"type": "LIMIT", "timeInForce": "FOK"}),
        (a_wish(post_only=True), {"type": "LIMIT", "timeInForce": "GTX"}),
        (a_wish(reduce_only=True), {"reduceOnly": "true", "timeInForce": "GTC"}),
    ],
)
def test_order_is_spelled_as_the_venue_wants_it(order: SubmitOrder, wanted: dict[str, str]) -> None:
    ask = BinanceUsdm().place(order, "BTCUSDT")
    assert (ask.method, ask.verb, ask.path) == ("order.place", "POST", "/fapi/v1/order")
    assert wanted.items() <= ask.params.items()
    assert ask.params["quantity"] == "0.001", "no exponent"
    assert ("timeInForce" in ask.params) == (ask.params["type"] == "LIMIT")
    assert ("reduceOnly" in ask.params) == order.reduce_only


STOPS = (
    (OrderType.STOP_MARKET, "STOP_LOSS", "STOP_MARKET"),
    (OrderType.STOP_LIMIT, "STOP_LOSS_LIMIT", "STOP"),
    (OrderType.TAKE_PROFIT_MARKET, "TAKE_PROFIT", "TAKE_PROFIT_MARKET"),
    (OrderType.TAKE_PROFIT_LIMIT, "TAKE_PROFIT_LIMIT", "TAKE_PROFIT"),
)


@pytest.mark.parametrize(("kind", "spot", "usdm"), STOPS)
def test_stop_and_take_profit_are_the_venues_own(kind: OrderType, spot: str, usdm: str) -> None:
    price = Decimal("59000") if kind.has_limit else None
    order = msgspec.structs.replace(
        a_wish(), order_type=kind, trigger_price=Decimal("59500.0"), price=price, reduce_only=True
    )
    limit = {"price": "59000", "timeInForce": "GTC"} if kind.has_limit else {}
    plain = BinanceSpot().place(order, "BTCUSDT").params
    assert {"type": spot, "stopPrice": "59500.0", **limit}.items() <= plain.items()
    ask = BinanceUsdm().place(order, "BTCUSDT")
    assert (ask.method, ask.path) == ("algoOrder.place", "/fapi/v1/algoOrder")
    assert ask.params == {
        "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001", "reduceOnly": "true",
        "algoType": "CONDITIONAL", "clientAlgoId": "s-r-1", "type": usdm,
        "triggerPrice": "59500.0", "workingType": "CONTRACT_PRICE", **limit,
    }  # fmt: skip


def test_end_of_an_order_is_the_venues_where_it_takes_one() -> None:
    now_s = time.time_ns() // 10**9

    def ends(in_s: int) -> SubmitOrder:
        gtd = TimeInForce.GTD
        return a_wish(time_in_force=gtd, expires_ns=(now_s + in_s) * 10**9 + 1)

    far = BinanceUsdm().place(ends(3600), "BTCUSDT").params
    assert (far["timeInForce"], far["goodTillDate"]) == ("GTD", (now_s + 3601) * 1000)
    near = BinanceUsdm().place(ends(300), "BTCUSDT").params
    assert (near["timeInForce"], "goodTillDate" in near) == ("GTC", False)
    assert BinanceSpot().place(ends(3600), "BTCUSDT").params["timeInForce"] == "GTC"


def test_conditional_order_of_an_earlier_process_is_asked_for_where_it_is() -> None:
    venue = BinanceUsdm()
    venue.note_conditional("s-r-1")
    assert venue.status("s-r-1", "BTCUSDT").path == "/fapi/v1/algoOrder"
    body = {
        "algoId": 5, "clientAlgoId": "s-r-1", "algoStatus": "TRIGGERED", "actualOrderId": "77",
        "side": "BUY", "quantity": "1", "updateTime": 3,
    }  # fmt: skip
    venue.read_order(body, PERP, 5)
    venue.note_conditional("s-r-1")
    assert venue.status("s-r-1", "BTCUSDT").params == {"symbol": "BTCUSDT", "orderId": 77}


# -- what it means ---------------------------------------------------------------------------------


def an_update(**order: Any) -> dict[str, Any]:
    return {
        "e": "ORDER_TRADE_UPDATE", "E": 1, "T": 2,
        "o": {
            "s": "BTCUSDT", "c": "s-r-1", "S": "BUY", "o": "LIMIT", "q": "0.003", "x": "NEW",
            "X": "NEW", "i": 77, "l": "0", "z": "0", "L": "0", "T": 1700000000123, "t": 0,
            "m": False, **order,
        },
    }  # fmt: skip


def a_trade(trade: int = 9, z: str = "0.001", status: str = "PARTIALLY_FILLED", **o: Any) -> Any:
    terms = {"x": "TRADE", "X": status, "l": "0.001", "z": z, "L": "60000.1", "t": trade, "m": True}
    return an_update(**{**terms, "n": "0.012", "N": "USDT", **o})


def test_fill_comes_from_the_user_stream_exactly() -> None:
    heard = BinanceUsdm().read_event(a_trade(), 5, instrument_of)
    (report,) = heard.reports
    assert isinstance(report, OrderReport)
    (fill,) = report.fills
    assert (report.status, report.venue_order_id) == (VenueStatus.PARTIALLY_FILLED, "77")
    assert (fill.fill_id, fill.price, fill.quantity) == ("9", Decimal("60000.1"), Decimal("0.001"))
    assert (fill.fee, fill.fee_asset, fill.liquidity_side) == (
        Decimal("0.012"), "USDT", LiquiditySide.MAKER,
    )  # fmt: skip
    assert not heard.alarm


def test_acknowledgement_tells_of_no_fill() -> None:
    body = {
        "orderId": 7, "clientOrderId": "s-r-1", "updateTime": 9, "side": "BUY", "origQty": "1",
        "executedQty": "0", "status": "NEW",
    }  # fmt: skip
    report = BinanceUsdm().read_order(body, PERP, 5)
    assert report is not None
    assert (report.fills, report.filled_quantity) == ((), Decimal(0))


@pytest.mark.parametrize(
    ("client_id", "why"),
    [
        ("autoclose-1700", "LIQUIDATION"),
        ("adl_autoclose", "AUTO_DELEVERAGING"),
        ("settlement_autoclose-1", "SETTLEMENT"),
    ],
)
def test_order_made_by_the_venue_alarms_and_has_its_fill(client_id: str, why: str) -> None:
    event = a_trade(c=client_id, x="CALCULATED", status="FILLED")
    heard = BinanceUsdm().read_event(event, 5, instrument_of)
    (report,) = heard.reports
    assert isinstance(report, OrderReport)
    assert heard.alarm.startswith(f"{why} by the venue")
    assert (report.reason, len(report.fills)) == (why, 1)


def test_forced_fill_told_without_its_fee_is_left_to_the_list_of_trades() -> None:
    event = a_trade(c="autoclose-1700", x="CALCULATED", status="FILLED")
    del event["o"]["n"], event["o"]["N"]
    (report,) = BinanceUsdm().read_event(event, 5, instrument_of).reports
    assert isinstance(report, OrderReport)
    assert report.fills == ()
    assert report.filled_quantity > 0, "so the core asks for what is missing"


def test_account_update_holds_balances_positions_and_why() -> None:
    event = {
        "e": "ACCOUNT_UPDATE", "E": 1, "T": 3,
        "a": {
            "m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "99.5", "cw": "99.5", "bc": "-0.5"}],
            "P": [{"s": "BTCUSDT", "pa": "-0.010", "ep": "60000"}, {"s": "ETHUSDT", "pa": "1"}],
        },
    }  # fmt: skip
    (report,) = BinanceUsdm().read_event(event, 5, instrument_of).reports
    assert isinstance(report, AccountReport)
    assert (report.complete, report.reason) == (False, "FUNDING_FEE")
    assert report.balances[0].total == Decimal("99.5")
    assert report.positions == (VenuePosition(PERP, Decimal("-0.010")),)


def an_algo(status: str, order_id: str = "") -> dict[str, Any]:
    order = {"caid": "s-r-1", "aid": 5, "s": "BTCUSDT", "S": "SELL", "q": "1", "X": status}
    return {"e": "ALGO_UPDATE", "T": 3, "E": 3, "o": {**order, "ai": order_id}}


def test_conditional_order_keeps_its_ids_when_it_is_triggered() -> None:
    venue = BinanceUsdm()
    (report,) = venue.read_event(an_algo("NEW"), 5, instrument_of).reports
    assert isinstance(report, OrderReport)
    assert (report.venue_order_id, report.status) == ("algo-s-r-1", VenueStatus.NEW)
    wish = CancelOrder(1, 1, "c", "s-r-1", "s", "fut", PERP)
    assert venue.cancel(wish, "BTCUSDT").method == "algoOrder.cancel"
    assert venue.status("s-r-1", "BTCUSDT").path == "/fapi/v1/algoOrder"

    venue.read_event(an_algo("TRIGGERED", "77"), 5, instrument_of)
    (filled,) = venue.read_event(a_trade(c="made-by-venue"), 5, instrument_of).reports
    assert isinstance(filled, OrderReport)
    assert (filled.client_order_id, filled.venue_order_id) == ("s-r-1", "algo-s-r-1")
    assert venue.cancel(wish, "BTCUSDT").params == {"symbol": "BTCUSDT", "orderId": 77}
    assert venue.trades_of("BTCUSDT", "algo-s-r-1").params["orderId"] == 77
    trade = {
        "id": 9, "orderId": 77, "side": "SELL", "price": "1", "qty": "1", "commission": "0",
        "commissionAsset": "USDT", "maker": False, "time": 3,
    }  # fmt: skip
    assert venue.read_trade(trade, PERP).venue_order_id == "algo-s-r-1"
    (ended,) = venue.read_event(an_algo("FINISHED", "77"), 5, instrument_of).reports
    assert isinstance(ended, OrderReport)
    assert ended.status is VenueStatus.NEW, "the order that came of it says how it ends"


def test_fill_that_overtakes_the_news_of_its_trigger_is_the_conditional_orders() -> None:
    venue = BinanceUsdm()
    venue.read_event(an_algo("NEW"), 5, instrument_of)
    (filled,) = venue.read_event(a_trade(), 5, instrument_of).reports
    assert isinstance(filled, OrderReport)
    assert (filled.client_order_id, filled.venue_order_id) == ("s-r-1", "algo-s-r-1")
    (told,) = venue.read_event(an_algo("TRIGGERED", "77"), 5, instrument_of).reports
    assert isinstance(told, OrderReport)
    assert told.venue_order_id == filled.venue_order_id


def test_conditional_order_of_somebody_else_can_be_asked_for_and_cancelled() -> None:
    venue = BinanceUsdm()
    assert venue.status("ext-algo-x", "BTCUSDT").params == {"clientAlgoId": "x"}
    wish = CancelOrder(1, 1, "c", "ext-algo-x", "external", "fut", PERP)
    assert venue.cancel(wish, "BTCUSDT").params == {"clientAlgoId": "x"}
    plain = msgspec.structs.replace(wish, client_order_id="ext-77")
    assert venue.cancel(plain, "BTCUSDT").params == {"symbol": "BTCUSDT", "orderId": 77}


def test_conditional_order_cancelled_before_its_trigger_is_over() -> None:
    (report,) = BinanceUsdm().read_event(an_algo("CANCELED"), 5, instrument_of).reports
    assert isinstance(report, OrderReport)
    assert report.status is VenueStatus.CANCELED


@pytest.mark.parametrize("kind", ["TRADE_LITE", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE"])
def test_event_that_says_less_than_others_is_left_out(kind: str) -> None:
    assert BinanceUsdm().read_event({"e": kind, "s": "BTCUSDT"}, 5, instrument_of) == (
        (),
        "",
        "",
        "",
    )


def test_adapter_without_order_entry_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"binance-usd.*did you mean 'binance-usdm'.*paper"):
        protocol_of("binance-usd")
