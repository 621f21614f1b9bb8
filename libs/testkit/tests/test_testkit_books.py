"""The comparison of books says what is lost, doubled or different, and nothing else."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tickbus_testkit import books
from tickbus_testkit.books import Ours

Record = dict[str, Any]


def an_order(order_id: str, **changes: Any) -> Record:
    return {
        "id": order_id, "venue": "sim", "symbol": "BTCUSDT", "instrument_id": "BTC-USDT",
        "side": "BUY", "type": "LIMIT", "price": "60000", "quantity": "0.2",
        "filled_quantity": "0.2", "time_in_force": "IOC", "post_only": False,
        "reduce_only": False, "venue_order_id": "7", "state": "FILLED", "reason": "",
        "parent": "", "working": False, "trigger_price": None, **changes,
    }  # fmt: skip


def a_fill(order_id: str, **changes: Any) -> Record:
    return {
        "id": "31", "order_id": order_id, "venue": "sim", "symbol": "BTCUSDT",
        "venue_order_id": "7", "price": "60000", "quantity": "0.2", "fee": "0.0002",
        "fee_asset": "BTC", "side": "BUY", "liquidity": "TAKER", **changes,
    }  # fmt: skip


def our_spot() -> Ours:
    portfolio = {
        "balances": [
            {"venue": "sim", "asset": "BTC", "total": "1.1998"},
            {"venue": "sim", "asset": "USDT", "total": "88000"},
        ],
        "positions": [{"venue": "sim", "instrument_id": "BTC-USDT", "quantity": "0.1998"}],
        "differences": [],
    }
    orders = [
        an_order("s-r-1"),
        an_order("s-r-2", state="REJECTED", filled_quantity="0", venue_order_id=""),
        an_order("s-r-3", state="CANCELED", filled_quantity="0", reason="NEVER_SENT"),
    ]
    return Ours(orders, [a_fill("s-r-1")], portfolio, [])


def their_spot() -> Record:
    order = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": "60000.00",
        "timeInForce": "IOC", "origQty": "0.20", "executedQty": "0.20", "orderId": 7,
        "clientOrderId": "s-r-1", "status": "FILLED",
    }  # fmt: skip
    fill = {
        "symbol": "BTCUSDT", "id": 31, "orderId": 7, "price": "60000", "qty": "0.2",
        "commission": "0.00020", "commissionAsset": "BTC", "isBuyer": True, "isMaker": False,
    }  # fmt: skip
    return {
        "initial_balances": {"BTC": "1", "USDT": "100000"},
        "balances": {"BTC": {"total": "1.1998"}, "USDT": {"total": "88000"}},
        "orders": [order], "fills": [fill],
    }  # fmt: skip


def our_futures() -> Ours:
    name = {"instrument_id": "BTC-USDT-PERP"}
    portfolio = {
        "balances": [{"venue": "sim", "asset": "USDT", "total": "99994.5"}],
        "positions": [{"venue": "sim", "symbol": "BTCUSDT", "quantity": "-0.1"}],
        "differences": [],
    }
    stop = {"type": "STOP_MARKET", "price": None, "trigger_price": "59000", "time_in_force": "GTC"}
    orders = [
        an_order("s-r-1", **name, post_only=True, time_in_force="GTC"),
        # The venue took it for no more than was held.
        an_order(
            "s-r-2", **name, venue_order_id="8", reduce_only=True, filled_quantity="0.1",
            state="EXPIRED", reason="CUT_BY_VENUE",
        ),
        an_order("ext-9", **name, venue_order_id="9", price=None),
        an_order("s-r-3", **name, **stop, venue_order_id="algo-s-r-3"),
        an_order(
            "s-r-4", **name, **stop, venue_order_id="algo-s-r-4", state="CANCELED",
            filled_quantity="0",
        ),
    ]  # fmt: skip
    paid = {"fee": "1.5", "fee_asset": "USDT"}
    fills = [
        a_fill("s-r-1", **paid, liquidity="MAKER"),
        a_fill("s-r-3", **paid, id="32", venue_order_id="algo-s-r-3"),
    ]
    payment = {"venue": "sim", "reference": "FUNDING_FEE:5:BTCUSDT"}
    shares = [{**payment, "amount": "-3"}, {**payment, "amount": "-1"}]
    return Ours(orders, fills, portfolio, shares)


def their_futures() -> Record:
    order = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": "60000",
        "timeInForce": "GTX", "origQty": "0.2", "executedQty": "0.2", "orderId": 7,
        "clientOrderId": "s-r-1", "status": "FILLED", "reduceOnly": False,
    }  # fmt: skip
    fill = {
        "symbol": "BTCUSDT", "id": 31, "orderId": 7, "price": "60000", "qty": "0.2",
        "commission": "1.5", "commissionAsset": "USDT", "buyer": True, "maker": True,
    }  # fmt: skip
    cut = {
        "clientOrderId": "s-r-2", "orderId": 8, "origQty": "0.1", "executedQty": "0.1",
        "timeInForce": "IOC", "reduceOnly": True,
    }  # fmt: skip
    forced = {"clientOrderId": "autoclose-1700", "orderId": 9, "type": "LIQUIDATION"}
    income = {"symbol": "BTCUSDT", "tranId": 5}
    stopped = {"clientOrderId": "s-r-3", "orderId": 10, "type": "MARKET"}
    algo = {
        "clientAlgoId": "s-r-3", "actualOrderId": "10", "algoStatus": "FINISHED",
        "orderType": "STOP_MARKET", "symbol": "BTCUSDT", "side": "BUY", "price": "0",
        "quantity": "0.2", "triggerPrice": "59000", "timeInForce": "GTC", "reduceOnly": False,
    }  # fmt: skip
    waits = {"clientAlgoId": "s-r-4", "actualOrderId": "", "algoStatus": "CANCELED"}
    refused = {"clientAlgoId": "s-r-5", "actualOrderId": "", "algoStatus": "REJECTED"}
    return {
        "futures": {
            "wallet": "99994.5",
            "orders": [order, order | cut, order | forced, order | stopped],
            "algo_orders": [algo, algo | waits, algo | refused],
            "fills": [fill, fill | {"id": 32, "orderId": 10, "maker": False}],
            "positions": {"BTCUSDT": {"quantity": "-0.1"}},
            "income": [
                {**income, "incomeType": "FUNDING_FEE", "income": "-4"},
                {**income, "incomeType": "COMMISSION", "income": "-1.5"},
            ],
        }
    }  # fmt: skip


def test_equal_books_have_no_difference() -> None:
    assert books.spot(our_spot(), their_spot()) == []
    assert books.futures(our_futures(), their_futures()) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda o, t: t["fills"].clear(), "fill ('BTCUSDT', 31)"),
        (lambda o, t: o.fills.clear(), "fill ('BTCUSDT', 31)"),
        (lambda o, t: o.fills.append(o.fills[0]), "booked 2 times"),
        (lambda o, t: o.fills[0].update(fee="0.0003"), "fill ('BTCUSDT', 31)"),
        (lambda o, t: o.fills[0].update(liquidity="MAKER"), "fill ('BTCUSDT', 31)"),
        (lambda o, t: t["orders"].append(t["orders"][0]), "order s-r-1: placed 2 times"),
        (lambda o, t: t["orders"][0].update(clientOrderId="s-r-2"), "order s-r-2"),
        (lambda o, t: o.orders[0].update(state="OPEN"), "order s-r-1"),
        (lambda o, t: o.orders[1].update(state="UNKNOWN"), "order s-r-2"),
        (lambda o, t: t["balances"]["USDT"].update(total="88000.00000001"), "balance USDT"),
        (lambda o, t: o.portfolio["positions"][0].update(quantity="0.2"), "position BTC"),
        (lambda o, t: o.portfolio["differences"].append({"venue": "sim"}), "{'venue': 'sim'}"),
    ],
)
def test_whatever_differs_on_spot_is_said(spoil: Callable[[Ours, Record], None], said: str) -> None:
    ours, theirs = copy.deepcopy(our_spot()), copy.deepcopy(their_spot())
    spoil(ours, theirs)
    assert any(said in found for found in books.spot(ours, theirs))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda o, t: o.orders[1].update(state="EXPIRED", reason=""), "order s-r-2"),
        (lambda o, t: o.orders[2].update(filled_quantity="0"), "order ext-9"),
        (lambda o, t: o.orders.pop(2), "order ext-9"),
        (lambda o, t: t["fills"][0].update(commission="1.4"), "fill ('BTCUSDT', 31)"),
        (lambda o, t: t["algo_orders"][1].update(algoStatus="NEW"), "order s-r-4"),
        (lambda o, t: t["algo_orders"].append(t["algo_orders"][0]), "s-r-3: placed 2 times"),
        (lambda o, t: t["algo_orders"][2].update(algoStatus="NEW"), "order s-r-5"),
        (lambda o, t: t["fills"][1].update(orderId=11), "fill ('BTCUSDT', 32)"),
        (lambda o, t: o.payments.pop(), "payment FUNDING_FEE:5:BTCUSDT"),
        (lambda o, t: t["income"][0].update(tranId=6), "payment FUNDING_FEE:6:BTCUSDT"),
        (lambda o, t: t.update(wallet="99994.50000001"), "wallet USDT"),
        (lambda o, t: t["positions"]["BTCUSDT"].update(quantity="-0.2"), "position BTCUSDT"),
    ],
)
def test_whatever_differs_on_futures_is_said(
    spoil: Callable[[Ours, Record], None], said: str
) -> None:
    ours, theirs = copy.deepcopy(our_futures()), copy.deepcopy(their_futures())
    spoil(ours, theirs["futures"])
    assert any(said in found for found in books.futures(ours, theirs))


def test_parts_and_their_fills_add_up_to_the_whole() -> None:
    whole = an_order("s-r-1", venue="smart", quantity="0.5", filled_quantity="0.3")
    one = an_order("s-r-1-p1", parent="s-r-1", quantity="0.3", filled_quantity="0.2")
    two = an_order("s-r-1-p2", parent="s-r-1", venue="sim2", filled_quantity="0.1")
    fills = [a_fill("s-r-1-p1"), a_fill("s-r-1-p2", venue="sim2", quantity="0.1")]
    assert books.parts([whole, one, two], fills) == []
    assert books.parts([whole, one], fills[:1]) == ["s-r-1: whole 0.3 of 0.5, parts 0.2"]
    assert books.parts([one], fills[:1]) == ["s-r-1 has parts and is in no books"]
    (lost,) = books.parts([whole, one, two], fills[:1])
    assert lost == "filled quantity, by the fills, s-r-1-p2: ours 0.1, theirs 0"
    (working,) = books.parts([{**whole, "working": True, "state": "OPEN"}, one, two], fills)
    assert working == "s-r-1 still works: OPEN"
    too_much = {**whole, "quantity": "0.25"}
    assert books.parts([too_much, one, two], fills) == ["s-r-1: whole 0.3 of 0.25, parts 0.3"]


def test_books_of_one_venue_leave_out_the_others() -> None:
    ours = our_spot()
    other = ours._replace(orders=[*ours.orders, an_order("x", venue="sim2")])
    assert other.at("sim") == ours
    assert [o["id"] for o in other.at("sim2").orders] == ["x"]
    assert other.at("") == other
