"""The matching engine: what a trader may rely on, first in examples, then for any sequence."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.matching import Engine
from tickbus_exchange.engine.numbers import SCALE, TooPreciseError, parse, text
from tickbus_exchange.engine.orders import (
    ExecutionType,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Refusal,
    Report,
    SelfTradePrevention,
    Side,
    TimeInForce,
    Trade,
)
from tickbus_exchange.engine.stops import is_reached

BUY, SELL = Side.BUY, Side.SELL
RULES = SymbolRules(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick_size=parse("0.01"),
    step_size=parse("0.001"),
    price_min=parse("0.01"),
    price_max=parse("1000000"),
    quantity_min=parse("0.001"),
    quantity_max=parse("100"),
    market_quantity_max=parse("50"),
)


def an_engine(*, fee: str = "0.001", funds: str = "1000000", last_price: str = "100") -> Engine:
    engine = Engine([RULES], parse(fee), parse(fee))
    market = engine.markets["BTCUSDT"]
    market.last_price = market.average_price = parse(last_price)
    for name in ("alice", "bob"):
        balances = {"BTC": parse(funds), "USDT": parse(funds)}
        engine.add_account(Account(name, balances, tracked=True))
    return engine


def a_limit(
    side: Side,
    quantity: str,
    price: str,
    tif: TimeInForce = TimeInForce.GTC,
    kind: OrderType = OrderType.LIMIT,
    stp: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER,
    client_id: str = "",
) -> OrderRequest:
    return OrderRequest(
        "BTCUSDT", side, kind, parse(quantity), parse(price), tif, 0, client_id, stp
    )


def a_market(side: Side, quantity: str = "0", *, quote: str = "0") -> OrderRequest:
    return OrderRequest(
        "BTCUSDT", side, OrderType.MARKET, parse(quantity), quote_quantity=parse(quote)
    )


def placed(engine: Engine, account: str, request: OrderRequest, now_ms: int = 1) -> Order:
    result = engine.submit(account, request, now_ms)
    assert isinstance(result, Order), result
    return result


def trades(engine: Engine) -> list[Trade]:
    return [e for e in engine.drain() if isinstance(e, Trade)]


def free(engine: Engine, account: str, asset: str) -> str:
    return text(engine.accounts[account].balance(asset).free)


def ladder(engine: Engine, side: Side) -> list[tuple[str, str]]:
    levels = engine.markets["BTCUSDT"].book.side(side).top(10)
    return [(text(p).rstrip("0").rstrip("."), text(q).rstrip("0").rstrip(".")) for p, q in levels]


def test_better_price_trades_first_then_older_order() -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "1", "101"))
    older = placed(engine, "alice", a_limit(SELL, "1", "100"))
    newer = placed(engine, "alice", a_limit(SELL, "1", "100"))
    placed(engine, "bob", a_limit(BUY, "1.5", "101"))
    assert [(t.seller_order_id, text(t.price), text(t.quantity)) for t in trades(engine)] == [
        (older.order_id, "100.00000000", "1.00000000"),
        (newer.order_id, "100.00000000", "0.50000000"),
    ]
    assert ladder(engine, SELL) == [("100", "0.5"), ("101", "1")]


def test_buyer_pays_its_fee_in_base_and_seller_in_quote() -> None:
    engine = an_engine(funds="1000")
    placed(engine, "alice", a_limit(SELL, "2", "100"))
    placed(engine, "bob", a_market(BUY, "2"))
    assert free(engine, "bob", "BTC") == "1001.99800000"
    assert free(engine, "bob", "USDT") == "800.00000000"
    assert free(engine, "alice", "BTC") == "998.00000000"
    assert free(engine, "alice", "USDT") == "1199.80000000"
    assert engine.fees == {"BTC": parse("0.002"), "USDT": parse("0.2")}


def test_a_buy_that_trades_below_its_limit_gets_the_difference_back() -> None:
    engine = an_engine(funds="1000", fee="0")
    placed(engine, "alice", a_limit(SELL, "1", "90"))
    order = placed(engine, "bob", a_limit(BUY, "2", "100"))
    balance = engine.accounts["bob"].balance("USDT")
    assert (text(balance.free), text(balance.locked)) == ("810.00000000", "100.00000000")
    engine.cancel("bob", "BTCUSDT", order.order_id, 2)
    assert (text(balance.free), balance.locked) == ("910.00000000", 0)


def test_immediate_or_cancel_keeps_what_it_got_and_expires() -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "1", "100"))
    order = placed(engine, "bob", a_limit(BUY, "3", "100", TimeInForce.IOC))
    assert (order.status, text(order.filled)) == (OrderStatus.EXPIRED, "1.00000000")
    assert ladder(engine, BUY) == []


@pytest.mark.parametrize(("quantity", "filled"), [("2", True), ("2.001", False)])
def test_fill_or_kill_is_all_or_nothing(quantity: str, filled: bool) -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "1", "100"))
    placed(engine, "alice", a_limit(SELL, "1", "101"))
    placed(engine, "alice", a_limit(SELL, "5", "102"))
    order = placed(engine, "bob", a_limit(BUY, quantity, "101", TimeInForce.FOK))
    assert order.status is (OrderStatus.FILLED if filled else OrderStatus.EXPIRED)
    assert order.filled == (order.quantity if filled else 0)


def test_limit_maker_that_would_take_is_refused() -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "1", "100"))
    request = a_limit(BUY, "1", "100", kind=OrderType.LIMIT_MAKER)
    assert engine.submit("bob", request, 1) is Refusal.WOULD_TAKE
    assert placed(engine, "bob", a_limit(BUY, "1", "99.99", kind=OrderType.LIMIT_MAKER)).is_live


def test_market_order_in_quote_buys_whole_lots_and_is_filled() -> None:
    engine = an_engine(fee="0")
    placed(engine, "alice", a_limit(SELL, "0.5", "100"))
    placed(engine, "alice", a_limit(SELL, "5", "110"))
    order = placed(engine, "bob", a_market(BUY, quote="100"))
    # 50 USDT at 100, then 0.454 lots at 110 are 49.94; the last 0.06 USDT buy no lot.
    assert (order.status, text(order.filled)) == (OrderStatus.FILLED, "0.95400000")
    assert text(order.quote_filled) == "99.94000000"
    assert order.locked == 0
    assert engine.accounts["bob"].balance("USDT").locked == 0


def test_market_order_beyond_the_book_fills_what_is_there_and_expires() -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "1", "100"))
    order = placed(engine, "bob", a_market(BUY, "3"))
    assert (order.status, text(order.filled)) == (OrderStatus.EXPIRED, "1.00000000")


def test_market_order_in_quote_on_an_empty_book_is_refused() -> None:
    assert an_engine().submit("bob", a_market(BUY, quote="100"), 1) is Refusal.NO_LIQUIDITY


def test_order_above_the_free_balance_is_refused() -> None:
    engine = an_engine(funds="100")
    placed(engine, "alice", a_limit(BUY, "0.6", "100"))
    refused = engine.submit("alice", a_limit(BUY, "0.5", "100"), 1)
    assert refused is Refusal.INSUFFICIENT_BALANCE
    placed(engine, "bob", a_limit(SELL, "2", "99"))
    assert engine.submit("alice", a_market(BUY, "1"), 1) is Refusal.INSUFFICIENT_BALANCE


def test_client_order_id_is_unique_among_open_orders_only() -> None:
    engine = an_engine()
    first = placed(engine, "alice", a_limit(BUY, "1", "90", client_id="mine"))
    again = a_limit(BUY, "1", "90", client_id="mine")
    assert engine.submit("alice", again, 1) is Refusal.DUPLICATE
    assert placed(engine, "bob", again).is_live
    engine.cancel("alice", "BTCUSDT", first.order_id, 2)
    assert placed(engine, "alice", again).is_live


def test_cancel_of_an_unknown_or_foreign_order_is_refused() -> None:
    engine = an_engine()
    order = placed(engine, "alice", a_limit(BUY, "1", "90"))
    assert engine.cancel("bob", "BTCUSDT", order.order_id, 1) is Refusal.UNKNOWN_ORDER
    assert engine.cancel("alice", "BTCUSDT", 999, 1) is Refusal.UNKNOWN_ORDER


@pytest.mark.parametrize(
    ("mode", "maker_status", "taker_status"),
    [
        (SelfTradePrevention.NONE, OrderStatus.FILLED, OrderStatus.FILLED),
        (SelfTradePrevention.EXPIRE_MAKER, OrderStatus.EXPIRED_IN_MATCH, OrderStatus.NEW),
        (SelfTradePrevention.EXPIRE_TAKER, OrderStatus.NEW, OrderStatus.EXPIRED_IN_MATCH),
        (
            SelfTradePrevention.EXPIRE_BOTH,
            OrderStatus.EXPIRED_IN_MATCH,
            OrderStatus.EXPIRED_IN_MATCH,
        ),
    ],
)
def test_an_account_that_meets_itself(
    mode: SelfTradePrevention, maker_status: OrderStatus, taker_status: OrderStatus
) -> None:
    engine = an_engine()
    maker = placed(engine, "alice", a_limit(SELL, "1", "100"))
    taker = placed(engine, "alice", a_limit(BUY, "1", "100", stp=mode))
    assert (maker.status, taker.status) == (maker_status, taker_status)
    assert len(trades(engine)) == (1 if mode is SelfTradePrevention.NONE else 0)


def test_reports_tell_an_order_s_life_with_running_totals() -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "1", "100"))
    placed(engine, "alice", a_limit(SELL, "1", "101"))
    engine.drain()
    order = placed(engine, "bob", a_limit(BUY, "3", "101"), now_ms=7)
    engine.cancel("bob", "BTCUSDT", order.order_id, 9, "bye")
    reports = [e for e in engine.drain() if isinstance(e, Report) and e.account_id == "bob"]
    assert [(r.execution_type, r.status, text(r.filled)) for r in reports] == [
        (ExecutionType.NEW, OrderStatus.NEW, "0.00000000"),
        (ExecutionType.TRADE, OrderStatus.PARTIALLY_FILLED, "1.00000000"),
        (ExecutionType.TRADE, OrderStatus.PARTIALLY_FILLED, "2.00000000"),
        (ExecutionType.CANCELED, OrderStatus.CANCELED, "2.00000000"),
    ]
    assert text(reports[-1].quote_filled) == "201.00000000"
    assert (reports[-1].cancel_client_order_id, reports[-1].transact_ms) == ("bye", 9)


def test_every_change_of_a_level_raises_the_update_id_by_one() -> None:
    engine = an_engine()
    book = engine.markets["BTCUSDT"].book
    order = placed(engine, "alice", a_limit(SELL, "1", "100"))
    placed(engine, "bob", a_market(BUY, "0.5"))
    engine.cancel("alice", "BTCUSDT", order.order_id, 1)
    assert book.update_id == 3
    assert book.take_changes() == ({}, {parse("100"): None})


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (a_limit(BUY, "1", "100.001"), Refusal.PRICE_FILTER),
        (a_limit(BUY, "1", "0"), Refusal.PRICE_FILTER),
        (a_limit(BUY, "1", "600"), Refusal.PERCENT_PRICE_BY_SIDE),
        (a_limit(SELL, "1", "19.99"), Refusal.PERCENT_PRICE_BY_SIDE),
        (a_limit(BUY, "0.0015", "100"), Refusal.LOT_SIZE),
        (a_limit(BUY, "101", "100"), Refusal.LOT_SIZE),
        (a_limit(BUY, "0.049", "100"), Refusal.NOTIONAL),
        (a_market(BUY, "51"), Refusal.MARKET_LOT_SIZE),
        (a_market(BUY, "0.049"), Refusal.NOTIONAL),
        (a_market(BUY, quote="4.99"), Refusal.NOTIONAL),
    ],
)
def test_order_outside_a_filter_is_refused(request_: OrderRequest, refusal: Refusal) -> None:
    engine = an_engine()
    placed(engine, "alice", a_limit(SELL, "100", "100"))
    assert engine.submit("bob", request_, 1) is refusal


def test_open_orders_are_limited_per_symbol() -> None:
    engine = an_engine()
    for _ in range(RULES.orders_max):
        placed(engine, "alice", a_limit(BUY, "0.1", "90"))
    assert engine.submit("alice", a_limit(BUY, "0.1", "90"), 1) is Refusal.MAX_NUM_ORDERS


def test_rules_that_would_make_amounts_inexact_are_refused() -> None:
    with pytest.raises(ValueError, match="larger step"):
        SymbolRules(
            symbol="XY", base="X", quote="Y", tick_size=1, step_size=1, price_min=1, price_max=1,
            quantity_min=1, quantity_max=1, market_quantity_max=1,
        )  # fmt: skip


@pytest.mark.parametrize("bad", ["", "-1", "1e3", "1.", ".5", " 1", "١", "1" * 21])
def test_text_that_is_not_a_plain_number_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        parse(bad)


def test_a_ninth_decimal_is_refused_unless_it_is_zero() -> None:
    assert parse("0.1000000000") == SCALE // 10
    with pytest.raises(TooPreciseError):
        parse("0.000000001")


# -- for any sequence of requests ------------------------------------------------------------------

NAMES = ("alice", "bob", "carol")
PRICES = st.integers(9_990, 10_010)  # ticks of 0.01 around 100
LOTS = st.integers(50, 3_000)
REQUESTS = st.one_of(
    st.builds(
        OrderRequest,
        st.just("BTCUSDT"),
        st.sampled_from(Side),
        st.sampled_from((OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT_MAKER)),
        LOTS.map(lambda n: n * RULES.step_size),
        PRICES.map(lambda n: n * RULES.tick_size),
        st.sampled_from(TimeInForce),
        st.just(0),
        st.just(""),
        st.sampled_from(SelfTradePrevention),
    ),
    st.builds(
        OrderRequest,
        st.just("BTCUSDT"),
        st.sampled_from(Side),
        st.just(OrderType.MARKET),
        quantity=LOTS.map(lambda n: n * RULES.step_size),
        stp=st.sampled_from(SelfTradePrevention),
    ),
    st.builds(
        OrderRequest,
        st.just("BTCUSDT"),
        st.sampled_from(Side),
        st.just(OrderType.MARKET),
        quote_quantity=st.integers(parse("5"), parse("500")),
        stp=st.sampled_from(SelfTradePrevention),
    ),
    st.builds(
        OrderRequest,
        st.just("BTCUSDT"),
        st.sampled_from(Side),
        st.sampled_from((OrderType.STOP_LOSS, OrderType.TAKE_PROFIT)),
        quantity=LOTS.map(lambda n: n * RULES.step_size),
        stop_price=PRICES.map(lambda n: n * RULES.tick_size),
    ),
    st.builds(
        OrderRequest,
        st.just("BTCUSDT"),
        st.sampled_from(Side),
        st.sampled_from((OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)),
        LOTS.map(lambda n: n * RULES.step_size),
        PRICES.map(lambda n: n * RULES.tick_size),
        st.sampled_from(TimeInForce),
        stp=st.sampled_from(SelfTradePrevention),
        stop_price=PRICES.map(lambda n: n * RULES.tick_size),
    ),
    st.integers(0, 30),  # cancel the n-th order so far
    st.tuples(st.integers(0, 30), LOTS),  # amend the n-th order so far
)
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), REQUESTS), max_size=60)


def totals(engine: Engine) -> dict[str, int]:
    held = dict(engine.fees)
    for account in engine.accounts.values():
        for asset, balance in account.balances.items():
            held[asset] = held.get(asset, 0) + balance.free + balance.locked
    return {asset: held.get(asset, 0) for asset in ("BTC", "USDT")}


def check_book(engine: Engine) -> None:
    book = engine.markets["BTCUSDT"].book
    assert not book.is_crossed()
    for side in (book.bids, book.asks):
        assert side.keys == sorted(side.keys)
        assert len(side.keys) == len(side.levels)
        for level in side.levels.values():
            assert level.quantity == sum(o.leaves for o in level.orders.values()) > 0
            # A stop order joins the queue when it is triggered, whatever its id.
            plain = [o.order_id for o in level.orders.values() if not o.stop_price]
            assert plain == sorted(plain)
    market = engine.markets["BTCUSDT"]
    assert not market.stops.reached
    for order in market.stops.waiting.values():
        assert order.is_live
        assert not is_reached(order, market.last_price)


def check_balances(engine: Engine) -> None:
    for account in engine.accounts.values():
        owed = {"BTC": 0, "USDT": 0}
        for order in account.working_orders("BTCUSDT").values():
            assert order.is_live
            owed["USDT" if order.side is BUY else "BTC"] += order.locked
        for asset, balance in account.balances.items():
            assert balance.free >= 0
            assert balance.locked == owed[asset]


def check_orders(orders: Sequence[Order]) -> None:
    for order in orders:
        assert 0 <= order.filled <= order.quantity
        assert order.is_live or order.locked == 0
        if order.status is OrderStatus.FILLED:
            assert order.leaves == 0
        if order.time_in_force is TimeInForce.FOK and order.type is OrderType.LIMIT:
            assert order.filled in {0, order.quantity}


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_nothing_is_created_lost_or_crossed(
    steps: list[tuple[str, OrderRequest | int | tuple[int, int]]],
) -> None:
    engine = an_engine(funds="20000")
    engine.add_account(Account("carol", {"BTC": parse("3"), "USDT": parse("300")}, tracked=True))
    before = totals(engine)
    orders: list[Order] = []
    filled: dict[int, int] = {}
    for now_ms, (name, request) in enumerate(steps):
        if isinstance(request, int):
            if request < len(orders):
                engine.cancel(orders[request].account_id, "BTCUSDT", orders[request].order_id, 1)
        elif isinstance(request, tuple):
            if request[0] < len(orders):
                order = orders[request[0]]
                lots = request[1] * RULES.step_size
                engine.amend(
                    order.account_id, "BTCUSDT", order.order_id, lots, now_ms, f"a{now_ms}"
                )
        else:
            result = engine.submit(name, request, now_ms)
            if isinstance(result, Order):
                orders.append(result)
        for event in engine.drain():
            if isinstance(event, Trade):
                for order_id in (event.buyer_order_id, event.seller_order_id):
                    filled[order_id] = filled.get(order_id, 0) + event.quantity
                assert event.quote * SCALE == event.price * event.quantity
        check_book(engine)
        check_balances(engine)
        check_orders(orders)
        assert totals(engine) == before
    for order in orders:
        assert filled.get(order.order_id, 0) == order.filled


@settings(max_examples=100, deadline=None)
@given(st.lists(LOTS, min_size=1, max_size=12), LOTS)
def test_one_price_is_first_in_first_out(sizes: list[int], taken: int) -> None:
    engine = an_engine()
    step = RULES.step_size
    makers = [placed(engine, "alice", a_limit(SELL, text(n * step), "100")) for n in sizes]
    placed(engine, "bob", a_market(BUY, text(taken * step)))
    left = taken * step
    for maker in makers:
        assert maker.filled == min(left, maker.quantity)
        left -= maker.filled
