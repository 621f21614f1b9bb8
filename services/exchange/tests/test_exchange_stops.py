"""Stop orders, amendments that keep priority, and fees in a third asset."""

import pytest

from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.matching import Engine
from tickbus_exchange.engine.numbers import SCALE, parse, text
from tickbus_exchange.engine.orders import (
    ExecutionType,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Refusal,
    Report,
    Side,
    TimeInForce,
)

BUY, SELL = Side.BUY, Side.SELL


def rules(symbol: str, base: str) -> SymbolRules:
    return SymbolRules(
        symbol=symbol,
        base=base,
        quote="USDT",
        tick_size=parse("0.01"),
        step_size=parse("0.001"),
        price_min=parse("0.01"),
        price_max=parse("1000000"),
        quantity_min=parse("0.001"),
        quantity_max=parse("100"),
        market_quantity_max=parse("50"),
    )


@pytest.fixture
def engine() -> Engine:
    """A market that last traded at 100; alice and bob hold 1,000 of everything."""
    engine = Engine([rules("BTCUSDT", "BTC"), rules("BNBUSDT", "BNB")], 0, 0)
    for market in engine.markets.values():
        market.last_price = market.average_price = parse("100")
    for name in ("alice", "bob"):
        funds = dict.fromkeys(("BTC", "USDT", "BNB"), parse("1000"))
        engine.add_account(Account(name, funds, tracked=True))
    return engine


def a_limit(side: Side, quantity: str, price: str) -> OrderRequest:
    return OrderRequest("BTCUSDT", side, OrderType.LIMIT, parse(quantity), parse(price))


def a_stop(
    kind: OrderType, side: Side, quantity: str, stop: str, price: str = "0", name: str = ""
) -> OrderRequest:
    return OrderRequest(
        "BTCUSDT", side, kind, parse(quantity), parse(price), client_order_id=name,
        stop_price=parse(stop),
    )  # fmt: skip


def placed(engine: Engine, account: str, request: OrderRequest) -> Order:
    result = engine.submit(account, request, 1)
    assert isinstance(result, Order), result
    return result


def trade_at(engine: Engine, price: str) -> None:
    """Let bob trade a little with carol, so that the last price is `price`."""
    engine.add_account(Account("carol", {"BTC": parse("9"), "USDT": parse("9000")}))
    placed(engine, "carol", a_limit(SELL, "0.1", price))
    placed(engine, "bob", a_limit(BUY, "0.1", price))


def reports(engine: Engine, order: Order) -> list[Report]:
    return [e for e in engine.drain() if isinstance(e, Report) and e.order_id == order.order_id]


def held(engine: Engine, account: str, asset: str) -> tuple[str, str]:
    balance = engine.accounts[account].balance(asset)
    return text(balance.free), text(balance.locked)


@pytest.mark.parametrize(
    ("kind", "side", "stop", "refused"),
    [
        (OrderType.STOP_LOSS_LIMIT, BUY, "100", True),
        (OrderType.STOP_LOSS_LIMIT, BUY, "100.01", False),
        (OrderType.STOP_LOSS_LIMIT, SELL, "100", True),
        (OrderType.STOP_LOSS_LIMIT, SELL, "99.99", False),
        (OrderType.TAKE_PROFIT_LIMIT, BUY, "100.01", True),
        (OrderType.TAKE_PROFIT_LIMIT, BUY, "99.99", False),
        (OrderType.TAKE_PROFIT_LIMIT, SELL, "99.99", True),
        (OrderType.TAKE_PROFIT_LIMIT, SELL, "100.01", False),
    ],
)
def test_a_stop_price_on_the_wrong_side_of_the_last_trade_is_refused(
    engine: Engine, kind: OrderType, side: Side, stop: str, refused: bool
) -> None:
    result = engine.submit("alice", a_stop(kind, side, "1", stop, "100"), 1)
    assert (result is Refusal.WOULD_TRIGGER) is refused


def test_a_waiting_stop_is_in_no_book_locks_its_funds_and_can_be_cancelled(engine: Engine) -> None:
    order = placed(engine, "alice", a_stop(OrderType.STOP_LOSS_LIMIT, BUY, "1", "110", "111"))
    assert engine.markets["BTCUSDT"].book.bids.top(1) == []
    assert held(engine, "alice", "USDT") == ("889.00000000", "111.00000000")
    (new,) = reports(engine, order)
    assert (new.execution_type, new.working, new.working_ms) == (ExecutionType.NEW, False, -1)
    engine.cancel("alice", "BTCUSDT", order.order_id, 2)
    assert held(engine, "alice", "USDT") == ("1000.00000000", "0.00000000")
    trade_at(engine, "120")
    assert order.status is OrderStatus.CANCELED


def test_a_triggered_limit_works_from_then_on_and_rests(engine: Engine) -> None:
    order = placed(engine, "alice", a_stop(OrderType.STOP_LOSS_LIMIT, SELL, "2", "95", "94"))
    trade_at(engine, "95.01")
    assert order.is_waiting
    trade_at(engine, "95")
    assert engine.markets["BTCUSDT"].book.asks.top(1) == [(parse("94"), parse("2"))]
    new, triggered = reports(engine, order)
    assert (triggered.execution_type, triggered.working) == (ExecutionType.NEW, True)
    assert (new.stop_price, triggered.working_ms) == (parse("95"), 1)


def test_a_triggered_market_order_pays_what_the_book_asks(engine: Engine) -> None:
    order = placed(engine, "alice", a_stop(OrderType.STOP_LOSS, BUY, "2", "110"))
    assert held(engine, "alice", "USDT") == ("780.00000000", "220.00000000")
    placed(engine, "bob", a_limit(SELL, "1", "111"))
    placed(engine, "bob", a_limit(SELL, "5", "130"))
    trade_at(engine, "110")
    assert order.status is OrderStatus.FILLED
    assert held(engine, "alice", "USDT") == ("759.00000000", "0.00000000")
    kinds = [r.execution_type for r in reports(engine, order)]
    assert kinds == [ExecutionType.NEW] * 2 + [ExecutionType.TRADE] * 2


def test_a_triggered_market_order_beyond_the_balance_expires_untouched(engine: Engine) -> None:
    order = placed(engine, "alice", a_stop(OrderType.STOP_LOSS, BUY, "9", "110"))
    placed(engine, "bob", a_limit(SELL, "9", "130"))
    trade_at(engine, "110")
    assert (order.status, order.filled) == (OrderStatus.EXPIRED, 0)
    assert held(engine, "alice", "USDT") == ("1000.00000000", "0.00000000")


def test_one_stop_sets_off_the_next(engine: Engine) -> None:
    first = placed(engine, "alice", a_stop(OrderType.STOP_LOSS, SELL, "1", "95"))
    second = placed(engine, "alice", a_stop(OrderType.STOP_LOSS, SELL, "1", "90"))
    placed(engine, "bob", a_limit(BUY, "1", "90"))
    placed(engine, "bob", a_limit(BUY, "1", "80"))
    trade_at(engine, "95")
    assert (first.status, second.status) == (OrderStatus.FILLED, OrderStatus.FILLED)
    assert engine.markets["BTCUSDT"].last_price == parse("80")


def test_a_price_that_a_sweep_only_passes_through_triggers_too(engine: Engine) -> None:
    order = placed(engine, "alice", a_stop(OrderType.TAKE_PROFIT_LIMIT, SELL, "1", "105", "200"))
    for price in ("105", "101"):
        placed(engine, "bob", a_limit(SELL, "1", price))
    engine.add_account(Account("carol", {"USDT": parse("9000")}))
    placed(engine, "carol", a_limit(BUY, "2", "106"))
    assert order.triggered_ms


def test_open_stop_orders_are_limited_triggered_or_not(engine: Engine) -> None:
    far = [a_stop(OrderType.STOP_LOSS_LIMIT, BUY, "0.1", "110", "90") for _ in range(5)]
    for request in far:
        placed(engine, "alice", request)
    assert engine.submit("alice", far[0], 1) is Refusal.MAX_NUM_ALGO_ORDERS
    trade_at(engine, "110")
    sell = a_stop(OrderType.STOP_LOSS_LIMIT, SELL, "0.2", "50", "49")
    assert engine.submit("alice", sell, 1) is Refusal.MAX_NUM_ALGO_ORDERS
    assert isinstance(engine.submit("alice", a_limit(BUY, "0.1", "90"), 1), Order)


def test_fill_or_kill_is_judged_when_triggered(engine: Engine) -> None:
    request = a_stop(OrderType.STOP_LOSS_LIMIT, BUY, "2", "110", "112")
    request.time_in_force = TimeInForce.FOK
    order = placed(engine, "alice", request)
    placed(engine, "bob", a_limit(SELL, "1", "111"))
    trade_at(engine, "110")
    assert (order.status, order.filled) == (OrderStatus.EXPIRED, 0)


# -- amendments ------------------------------------------------------------------------------------


def amended(engine: Engine, order: Order, quantity: str, name: str = "b") -> Order | Refusal:
    return engine.amend("alice", "BTCUSDT", order.order_id, parse(quantity), 2, name)


def test_an_amended_order_keeps_its_place_and_frees_what_it_no_longer_needs(engine: Engine) -> None:
    order = placed(engine, "alice", a_limit(BUY, "3", "90"))
    other = placed(engine, "bob", a_limit(BUY, "1", "90"))
    before = engine.markets["BTCUSDT"].book.update_id
    assert amended(engine, order, "2") is order
    assert engine.markets["BTCUSDT"].book.update_id == before + 1
    assert engine.markets["BTCUSDT"].book.bids.top(1) == [(parse("90"), parse("3"))]
    assert held(engine, "alice", "USDT") == ("820.00000000", "180.00000000")
    *_, replaced = reports(engine, order)
    assert replaced.execution_type is ExecutionType.REPLACED
    assert (replaced.client_order_id, replaced.former_quantity) == ("b", parse("3"))
    engine.add_account(Account("carol", {"BTC": parse("9")}))
    placed(engine, "carol", a_limit(SELL, "2", "90"))
    assert (order.status, other.filled) == (OrderStatus.FILLED, 0)


@pytest.mark.parametrize(
    ("quantity", "refusal"),
    [
        ("3.001", Refusal.AMEND_INCREASE),
        ("3", Refusal.AMEND_NOTHING),
        ("1", Refusal.AMEND_BELOW_FILLED),
        ("2.0001", Refusal.LOT_SIZE),
    ],
)
def test_what_cannot_be_amended(engine: Engine, quantity: str, refusal: Refusal) -> None:
    order = placed(engine, "alice", a_limit(BUY, "3", "90"))
    placed(engine, "bob", a_limit(SELL, "1", "90"))
    assert amended(engine, order, quantity) is refusal
    assert order.quantity == parse("3")


def test_amendments_are_counted_and_names_are_unique(engine: Engine) -> None:
    order = placed(engine, "alice", a_limit(BUY, "3", "90"))
    taken = a_limit(BUY, "1", "80")
    taken.client_order_id = "taken"
    placed(engine, "alice", taken)
    assert amended(engine, order, "2", "taken") is Refusal.DUPLICATE
    for n in range(10):
        assert isinstance(amended(engine, order, f"2.{99 - n}", "same"), Order)
    assert amended(engine, order, "2") is Refusal.MAX_NUM_ORDER_AMENDS


def test_a_waiting_stop_can_be_made_smaller(engine: Engine) -> None:
    order = placed(engine, "alice", a_stop(OrderType.STOP_LOSS_LIMIT, BUY, "2", "110", "100"))
    amended(engine, order, "1")
    assert held(engine, "alice", "USDT") == ("900.00000000", "100.00000000")


# -- fees in a third asset -------------------------------------------------------------------------


def test_fees_are_paid_in_the_fee_asset_while_there_is_enough(engine: Engine) -> None:
    engine.taker_fee = parse("0.001")
    engine.fee_asset_rate = SCALE * 3 // 4
    alice = engine.accounts["alice"]
    alice.fee_asset = "BNB"
    placed(engine, "bob", a_limit(SELL, "4", "100"))
    buy = placed(engine, "alice", a_limit(BUY, "2", "100"))
    (fill,) = [r for r in reports(engine, buy) if r.trade_id > 0]
    # 2 BTC at 100 cost 0.2 USDT, a quarter less, in BNB at 100.
    assert (fill.fee, fill.fee_asset, fill.fee_asset_free) == (
        parse("0.0015"), "BNB", parse("999.9985"),
    )  # fmt: skip
    assert held(engine, "alice", "BTC") == ("1002.00000000", "0.00000000")
    alice.balance("BNB").free = parse("0.0014")
    buy = placed(engine, "alice", a_limit(BUY, "2", "100"))
    (fill,) = [r for r in reports(engine, buy) if r.trade_id > 0]
    assert (fill.fee, fill.fee_asset) == (parse("0.002"), "BTC")
    assert engine.fees == {"BNB": parse("0.0015"), "BTC": parse("0.002"), "USDT": 0}
