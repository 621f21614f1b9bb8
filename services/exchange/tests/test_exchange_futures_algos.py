"""Conditional futures orders: what triggers them, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickbus_exchange.engine.futures_types import (
    AlgoOrder,
    AlgoStatus,
    AlgoType,
    FuturesTif,
    FuturesType,
    WorkingType,
)
from tickbus_exchange.engine.numbers import SCALE, parse
from tickbus_exchange.engine.orders import OrderStatus, SelfTradePrevention, Side

if TYPE_CHECKING:
    from services.exchange.tests.conftest import Floor

BUY, SELL = Side.BUY, Side.SELL
START_MS = 1_800_000_000_000
BTC = "BTCUSDT"


# -- conditional orders ----------------------------------------------------------------------------


def an_algo(floor: Floor, kind: AlgoType, side: Side, trigger: str, **more: object) -> AlgoOrder:
    number = floor.algos.next_id()
    terms: dict[str, object] = {
        "algo_id": number, "client_algo_id": f"c{number}", "symbol": BTC, "side": side,
        "type": kind, "quantity": parse("0.1"), "price": 0, "trigger_price": parse(trigger),
        "time_in_force": FuturesTif.GTC, "working_type": WorkingType.CONTRACT_PRICE,
        "stp": SelfTradePrevention.EXPIRE_MAKER, "create_ms": START_MS, "update_ms": START_MS,
    }  # fmt: skip
    algo = AlgoOrder(**(terms | more))  # type: ignore[arg-type]
    placed = floor.algos.place(algo, floor.now_ms)
    assert isinstance(placed, AlgoOrder), placed
    return placed


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "price"),
    [
        (AlgoType.STOP_MARKET, BUY, "60500", "60500"),
        (AlgoType.STOP_MARKET, SELL, "59500", "59500"),
        (AlgoType.TAKE_PROFIT_MARKET, BUY, "59500", "59500"),
        (AlgoType.TAKE_PROFIT_MARKET, SELL, "60500", "60500"),
    ],
)
def test_a_trade_at_the_trigger_sends_the_order(
    floor: Floor, kind: AlgoType, side: Side, trigger: str, price: str
) -> None:
    algo = an_algo(floor, kind, side, trigger)
    floor.quotes(price, str(int(price) + 1))
    floor.step()
    assert floor.desk.books.algos[algo.algo_id].is_open, "quotes are no trades"
    floor.bob(SELL, "0.1", price)
    floor.step()
    ended = floor.desk.books.algos[algo.algo_id]
    assert ended.status is AlgoStatus.FINISHED
    order = floor.desk.books.orders[ended.order_id]
    assert (order.client_order_id, order.status) == (algo.client_algo_id, OrderStatus.FILLED)
    assert (order.orig_type, order.type) == (kind, FuturesType.MARKET)
    told = [a.status.value for c in floor.changes for a in c.algos]
    assert told == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]


def test_an_order_that_would_trigger_at_once_is_refused(floor: Floor) -> None:
    floor.bob(BUY, "0.1")
    with pytest.raises(AssertionError, match="WOULD_TRIGGER"):
        an_algo(floor, AlgoType.STOP_MARKET, BUY, "60000")


def test_a_stop_limit_order_rests_when_triggered_and_finishes_when_it_ends(floor: Floor) -> None:
    algo = an_algo(floor, AlgoType.STOP, BUY, "60500", price=parse("60000"))
    floor.quotes("60499", "60501")
    floor.bob(BUY, "0.1")
    floor.step()
    triggered = floor.desk.books.algos[algo.algo_id]
    assert triggered.status is AlgoStatus.TRIGGERED
    order = floor.desk.books.orders[triggered.order_id]
    floor.desk.cancel(order, floor.now_ms)
    assert floor.desk.books.algos[algo.algo_id].status is AlgoStatus.FINISHED


def test_a_closing_order_without_a_position_is_rejected(floor: Floor) -> None:
    more = {"close_position": True, "quantity": 0, "working_type": WorkingType.MARK_PRICE}
    algo = an_algo(floor, AlgoType.STOP_MARKET, SELL, "59500", **more)
    floor.quotes("59400", "59402")
    floor.step()
    ended = floor.desk.books.algos[algo.algo_id]
    assert (ended.status, ended.reason) == (AlgoStatus.REJECTED, "QUANTITY_BELOW_MIN")


def test_a_trailing_stop_follows_the_price_up_and_sells_on_the_way_down(floor: Floor) -> None:
    floor.bob(BUY, "0.1")
    more = {"callback_rate": SCALE, "activate_price": parse("60500"), "is_active": False}
    algo = an_algo(floor, AlgoType.TRAILING_STOP_MARKET, SELL, "0", **more)

    def trade(price: str) -> AlgoOrder:
        floor.quotes(str(int(price) - 1), price)
        floor.bob(BUY, "0.1")
        floor.step(1_000)
        return floor.desk.books.algos[algo.algo_id]

    assert not trade("59000").is_active
    assert (trade("61000").is_active, trade("62000").peak) == (True, parse("62000"))
    assert trade("61381").is_open
    assert trade("61380").status is AlgoStatus.FINISHED


def test_cancel_all_leaves_conditional_orders(floor: Floor) -> None:
    order = floor.order(BUY, "0.1", "59000")
    algo = an_algo(floor, AlgoType.STOP_MARKET, BUY, "60500")
    assert floor.keeper.cancel_all(BTC, floor.now_ms) == 1
    assert not floor.desk.books.orders[order.order_id].is_live
    assert floor.desk.books.open_algos == {algo.algo_id: algo}
