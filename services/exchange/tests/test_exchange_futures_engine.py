"""Futures without a socket: margin arithmetic, orders, funding, liquidation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.futures_checks import FuturesRefusal, Refused
from tickbus_exchange.engine.futures_types import (
    Execution,
    FuturesOrder,
    FuturesTif,
    IncomeType,
    Position,
)
from tickbus_exchange.engine.numbers import SCALE, parse
from tickbus_exchange.engine.orders import OrderStatus, Side

if TYPE_CHECKING:
    from services.exchange.tests.conftest import Floor

BUY, SELL = Side.BUY, Side.SELL
START_MS = 1_800_000_000_000
BTC = "BTCUSDT"


def refused(result: object) -> FuturesRefusal:
    assert isinstance(result, Refused), result
    return result.reason


# -- money -----------------------------------------------------------------------------------------


def test_a_round_trip_moves_the_wallet_by_profit_and_fees(floor: Floor) -> None:
    floor.order(BUY, "0.5")
    assert floor.position == Position(BTC, parse("0.5"), parse("30000.5"), 0, START_MS)
    floor.quotes("60999", "61001")
    assert margin.unrealized(floor.position, floor.desk.mark(BTC)) == parse("499.5")
    floor.order(SELL, "0.5")
    assert floor.income(IncomeType.REALIZED_PNL) == parse("499")
    fees = parse("30000.5") * 5 // 10_000 + parse("30499.5") * 5 // 10_000
    assert floor.income(IncomeType.COMMISSION) == -fees
    assert floor.desk.books.wallet == floor.wallet + parse("499") - fees
    assert (floor.position.quantity, floor.position.cost) == (0, 0)


def test_a_fill_beyond_the_position_closes_it_and_opens_the_other_way(floor: Floor) -> None:
    floor.order(BUY, "0.1")
    floor.order(SELL, "0.3")
    assert floor.position.quantity == -parse("0.2")
    assert floor.position.cost == parse("11999.8")
    assert floor.income(IncomeType.REALIZED_PNL) == -parse("0.2")


def test_a_maker_pays_the_maker_fee(floor: Floor) -> None:
    order = floor.order(BUY, "0.1", "59999.5")
    floor.bob(SELL, "0.1")
    order = floor.desk.books.orders[order.order_id]
    assert order.status is OrderStatus.FILLED
    (fill,) = floor.desk.books.fills[BTC]
    assert (fill.is_maker, fill.commission) == (True, parse("5999.95") * 2 // 10_000)


@pytest.mark.parametrize(("side", "sign"), [(BUY, -1), (SELL, 1)])
def test_longs_pay_funding_and_shorts_get_it(floor: Floor, side: Side, sign: int) -> None:
    floor.order(side, "0.5")
    floor.step()
    before = floor.desk.books.wallet
    floor.step(8 * 3_600_000)
    assert floor.desk.books.wallet - before == sign * parse("3")
    changes = floor.changes[-1]
    assert (changes.reason, changes.positions) == ("FUNDING_FEE", ())
    floor.step()
    assert floor.income(IncomeType.FUNDING_FEE) == sign * parse("3"), "once an interval"


def test_negative_funding_turns_the_direction(floor: Floor) -> None:
    floor.order(BUY, "0.5")
    assert floor.keeper.fund(-SCALE // 1_000, floor.now_ms) == parse("30")


# -- margin ----------------------------------------------------------------------------------------


def test_margin_is_what_the_worse_side_of_open_orders_needs(floor: Floor) -> None:
    floor.order(BUY, "0.5", "58000")
    floor.order(SELL, "0.2", "62000")
    demand = floor.desk.demand(BTC)
    assert (demand.bids, demand.asks) == (parse("29000"), parse("12400"))
    assert demand.total == parse("1450"), "at 20 times"
    assert floor.desk.available() == parse("8550")
    assert refused(floor.try_order(BUY, "4", "58000")) is FuturesRefusal.MARGIN


def test_leverage_bounds_the_position(new_floor: type[Floor]) -> None:
    floor = new_floor("400000")
    floor.desk.set_leverage(BTC, 100, floor.now_ms)
    floor.order(BUY, "8", "58000")
    assert refused(floor.try_order(BUY, "1", "58000")) is FuturesRefusal.MAX_POSITION
    floor.desk.set_leverage(BTC, 50, floor.now_ms)
    floor.order(BUY, "1", "58000")


def test_an_order_that_reduces_needs_no_margin(floor: Floor) -> None:
    floor.order(BUY, "3.2")
    assert refused(floor.try_order(BUY, "3.2")) is FuturesRefusal.MARGIN
    floor.order(SELL, "3.2", "60500")
    floor.order(SELL, "3.2")
    assert floor.position.quantity == 0


def test_leverage_decides_what_an_order_needs(floor: Floor) -> None:
    assert floor.desk.set_leverage(BTC, 1, floor.now_ms) is None
    assert refused(floor.try_order(BUY, "0.2")) is FuturesRefusal.MARGIN
    assert floor.desk.set_leverage(BTC, 100, floor.now_ms) is None
    floor.order(BUY, "0.2")
    assert floor.desk.set_leverage(BTC, 1, floor.now_ms) == Refused(FuturesRefusal.MARGIN)
    assert floor.desk.set_leverage(BTC, 126, floor.now_ms) == Refused(FuturesRefusal.LEVERAGE, 126)


def test_maintenance_has_no_step_between_brackets() -> None:
    for before in margin.BRACKETS[:-1]:
        at = Position(BTC, SCALE, before.cap)
        above = margin.maintenance(at, before.cap + 1) - margin.maintenance(at, before.cap)
        assert 0 <= above <= 2


def test_liquidation_closes_the_position_and_clears_the_debt(floor: Floor) -> None:
    floor.desk.set_leverage(BTC, 50, floor.now_ms)
    floor.order(BUY, "8")
    far = floor.order(BUY, "0.001", "50000")
    entry = floor.position.cost
    spare = floor.desk.books.wallet + floor.desk.unrealized() - floor.desk.maintenance()
    at = margin.liquidation_price(floor.position, spare, floor.desk.mark(BTC))
    assert parse("58700") < at < parse("60000")
    floor.quotes("58000", "58002")
    floor.step()
    assert floor.position.quantity == 0
    assert floor.desk.books.orders[far.order_id].status is OrderStatus.CANCELED
    order = list(floor.desk.books.orders.values())[-1]
    assert order.client_order_id == f"autoclose-{floor.now_ms}"
    assert Execution.CALCULATED in {c.execution for c in floor.changes}
    assert floor.income(IncomeType.REALIZED_PNL) == parse("464000") - entry
    assert floor.desk.books.wallet == 0, "the insurance fund bears the rest"
    assert floor.income(IncomeType.INSURANCE_CLEAR) > 0


def test_a_liquidation_that_finds_too_thin_a_book_is_tried_again(floor: Floor) -> None:
    floor.desk.set_leverage(BTC, 50, floor.now_ms)
    floor.order(BUY, "8")
    floor.quotes("58000", "58002", "3")
    floor.step()
    assert floor.position.quantity == parse("5")
    assert floor.income(IncomeType.INSURANCE_CLEAR) == 0, "not before the position is closed"
    floor.quotes("58000", "58002", "3")
    floor.step(999)
    assert floor.position.quantity == parse("5")
    floor.step(1)
    assert floor.position.quantity == parse("2")
    floor.quotes("58000", "58002", "3")
    floor.step(1_000)
    assert (floor.position.quantity, floor.desk.books.wallet) == (0, 0)


def test_a_margin_call_comes_before_liquidation_and_once(floor: Floor) -> None:
    floor.desk.set_leverage(BTC, 50, floor.now_ms)
    floor.order(BUY, "7")
    floor.quotes("58960", "58962")
    for _ in range(3):
        floor.step()
    assert [c.reason for c in floor.changes].count("MARGIN_CALL") == 1
    assert floor.position.quantity == parse("7")


# -- orders ----------------------------------------------------------------------------------------


def test_refusals_of_new_orders(floor: Floor) -> None:
    gtx, fok, gtd = FuturesTif.GTX, FuturesTif.FOK, FuturesTif.GTD
    names = FuturesRefusal
    floor.order(BUY, "0.001", "55000", client_order_id="same")
    for wanted, result in (
        (names.POST_ONLY, floor.try_order(BUY, "0.1", "60001", time_in_force=gtx)),
        (names.FOK, floor.try_order(BUY, "0.1", "59999", time_in_force=fok)),
        (names.GOOD_TILL, floor.try_order(BUY, "0.1", "59999", time_in_force=gtd,
                                      good_till_ms=START_MS + 600_000)),
        (names.REDUCE_ONLY, floor.try_order(BUY, "0.1", reduce_only=True)),
        (names.DUPLICATE, floor.try_order(BUY, "0.1", "55000", client_order_id="same")),
        (names.MIN_NOTIONAL, floor.try_order(BUY, "0.00001")),
        (names.PRICE_TOO_HIGH, floor.try_order(BUY, "0.1", "63001")),
        (names.PRICE_TOO_LOW, floor.try_order(SELL, "0.1", "56999")),
        (names.TICK_SIZE, floor.try_order(BUY, "0.1", "59000.005")),
        (names.STEP_SIZE, floor.try_order(BUY, "0.000105", "59000")),
        (names.QUANTITY_ABOVE_MAX, floor.try_order(BUY, "9001", "59000")),
    ):  # fmt: skip
        assert refused(result) is wanted
    floor.keeper.cancel_all(BTC, floor.now_ms)
    floor.quotes("50000", "60000")
    assert refused(floor.try_order(SELL, "0.1")) is names.MARKET_PRICE


def test_a_fill_or_kill_order_that_can_fill_does(floor: Floor) -> None:
    order = floor.order(BUY, "0.1", "60001", time_in_force=FuturesTif.FOK)
    assert order.status is OrderStatus.FILLED


def test_an_amended_order_keeps_its_id_and_goes_to_the_end_of_the_queue(floor: Floor) -> None:
    order = floor.order(BUY, "0.2", "59999.5")
    floor.bob(SELL, "0.05")
    order = floor.desk.books.orders[order.order_id]
    amended = floor.desk.amend(order, parse("0.3"), parse("59999"), floor.now_ms)
    assert isinstance(amended, FuturesOrder)
    latest = floor.desk.books.orders[order.order_id]
    assert (latest.leaves, latest.amendments) == (parse("0.25"), 1)
    assert floor.changes[-1].execution == Execution.AMENDMENT
    floor.bob(SELL, "100")
    assert floor.desk.books.orders[order.order_id].filled == parse("0.05"), "behind ann's 100"
    floor.bob(SELL, "0.25")
    assert floor.desk.books.orders[order.order_id].status is OrderStatus.FILLED


def test_amendments_that_cancel_or_are_refused(floor: Floor) -> None:
    def ask(order: FuturesOrder, quantity: str, price: str) -> object:
        return floor.desk.amend(order, parse(quantity), parse(price), floor.now_ms)

    order = floor.order(BUY, "0.2", "59999.5")
    assert refused(ask(order, "0.2", "59999.5")) is FuturesRefusal.NO_CHANGE
    assert refused(ask(order, "9", "59999.5")) is FuturesRefusal.MARGIN
    assert floor.desk.books.orders[order.order_id] == order, "a refusal changes nothing"
    floor.bob(SELL, "0.1")
    filled = floor.desk.books.orders[order.order_id]
    ended = ask(filled, "0.1", "59999.5")
    assert isinstance(ended, FuturesOrder)
    assert ended.status is OrderStatus.CANCELED
    maker = floor.order(BUY, "0.2", "59999.5", time_in_force=FuturesTif.GTX)
    ended = ask(maker, "0.2", "60001")
    assert isinstance(ended, FuturesOrder)
    assert ended.status is OrderStatus.CANCELED
    assert not floor.desk.books.working_orders(BTC)


def test_an_amendment_needs_margin_for_what_is_not_filled_yet(floor: Floor) -> None:
    order = floor.order(BUY, "1.6", "59999.5")
    floor.bob(SELL, "1.5")
    filled = floor.desk.books.orders[order.order_id]
    # Some 5,400 are left: enough for 1.7 more at 20 times, not for 3.2.
    result = floor.desk.amend(filled, parse("3.2"), parse("59999.5"), floor.now_ms)
    assert isinstance(result, FuturesOrder), result
    latest = floor.desk.books.orders[order.order_id]
    more = floor.desk.amend(latest, parse("3.6"), parse("59999.5"), floor.now_ms)
    assert refused(more) is FuturesRefusal.MARGIN


def test_an_amended_reduce_only_order_takes_no_more_than_the_position(floor: Floor) -> None:
    floor.order(BUY, "0.2")
    order = floor.order(SELL, "0.1", "60100", reduce_only=True)
    result = floor.desk.amend(order, parse("5"), parse("59999"), floor.now_ms)
    assert isinstance(result, FuturesOrder), result
    latest = floor.desk.books.orders[order.order_id]
    assert (latest.quantity, latest.status) == (parse("0.2"), OrderStatus.FILLED)
    assert floor.position.quantity == 0


def test_good_till_date_ends_by_itself(floor: Floor) -> None:
    date_ms = START_MS + 700_000
    order = floor.order(BUY, "0.1", "59000", time_in_force=FuturesTif.GTD, good_till_ms=date_ms)
    floor.step(699_000)
    assert floor.desk.books.orders[order.order_id].is_live
    floor.step(1_000)
    assert floor.desk.books.orders[order.order_id].status is OrderStatus.EXPIRED


def test_reduce_only_orders_never_turn_the_position(floor: Floor) -> None:
    floor.order(BUY, "0.2")
    first = floor.order(SELL, "0.2", "60100", reduce_only=True)
    second = floor.order(SELL, "0.2", "60200", reduce_only=True)
    floor.quotes("59999", "60300")
    floor.bob(BUY, "0.4", "60250")
    assert floor.position.quantity == 0
    assert floor.desk.books.orders[first.order_id].status is OrderStatus.FILLED
    assert floor.desk.books.orders[second.order_id].status is OrderStatus.EXPIRED


def test_reduce_only_orders_end_with_the_position(floor: Floor) -> None:
    floor.order(BUY, "0.2")
    order = floor.order(SELL, "5", "60100", reduce_only=True)
    assert order.quantity == parse("0.2"), "cut to what there is to reduce"
    floor.order(SELL, "0.2")
    floor.step()
    assert floor.desk.books.orders[order.order_id].status is OrderStatus.EXPIRED


def test_own_orders_do_not_trade_with_each_other(floor: Floor) -> None:
    resting = floor.order(SELL, "0.1", "60000.5")
    floor.order(BUY, "0.1")
    ended = floor.desk.books.orders[resting.order_id]
    assert ended.status is OrderStatus.EXPIRED_IN_MATCH
    assert floor.position.quantity == parse("0.1")


def test_countdown_cancels_plain_orders_of_its_symbol_unless_renewed(floor: Floor) -> None:
    order = floor.order(BUY, "0.1", "59000")
    floor.keeper.arm(BTC, 1_000, floor.now_ms)
    floor.step(999)
    floor.keeper.arm(BTC, 1_000, floor.now_ms)
    floor.step(999)
    assert floor.desk.books.orders[order.order_id].is_live
    floor.step(1)
    assert floor.desk.books.orders[order.order_id].status is OrderStatus.CANCELED
    order = floor.order(BUY, "0.1", "59000")
    floor.step(10_000)
    assert floor.desk.books.orders[order.order_id].is_live, "it went off once"
    floor.keeper.arm(BTC, 1_000, floor.now_ms)
    floor.keeper.arm(BTC, 0, floor.now_ms)
    floor.step(10_000)
    assert floor.desk.books.orders[order.order_id].is_live, "0 stops it"
