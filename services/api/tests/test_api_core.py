"""The gateway's memory: the market's last word, spellings of symbols, orders step by step."""

from decimal import Decimal

import msgspec
import pytest

from tickbus.events import (
    BookDepth,
    BookTop,
    CancelRejected,
    ConsolidatedTop,
    DenialReason,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderType,
    Side,
    SubmitOrder,
    TimerFired,
    Trade,
)
from tickbus.order import Order, OrderState
from tickbus_api.config import ApiConfig
from tickbus_api.core import ApiCore, OrderChanged
from tickbus_api.gateway import Configured, Gateway
from tickbus_api.killswitch import KillSwitch
from tickbus_api.problems import Problem

S = 1_000_000_000
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"))
ETH = Instrument("sim", "ETH-USDT", "ETHUSDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.0001"))


def a_core(*events: object) -> ApiCore:
    core = ApiCore()
    for event in (BTC, ETH, *events):
        core.handle(event)
    return core


def a_top(ts: int = 1 * S, bid: float = 99.0, ask: float = 101.0, stale: bool = False) -> BookTop:
    return BookTop(ts, ts, "sim", "BTC-USDT", bid, 1.0, ask, 2.0, 1, 1, stale)


def a_submit(order_id: str = "manual-r-1") -> SubmitOrder:
    return SubmitOrder(
        5, 5, order_id, "manual", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT,
        Decimal("0.1"), Decimal(100),
    )  # fmt: skip


def test_tops_of_several_venues_are_kept_by_instrument() -> None:
    core = ApiCore()
    top = ConsolidatedTop(1, 1, "BTC-USDT", (("okx", 100.0, 1.0),), (("kraken", 101.0, 2.0),))
    assert core.handle(top) == ()
    assert core.consolidated == {"BTC-USDT": top}


def test_a_symbol_is_found_in_every_spelling() -> None:
    core = a_core()
    for spelling in ("BTCUSDT", "BTC-USDT", "btc/usdt", "btcusdt", "BTC_USDT", "Btc Usdt"):
        assert core.find(spelling) is BTC
    assert core.find("DOGEUSDT") is None
    assert core.find("BTCUSDT", "elsewhere") is None


def test_price_is_the_market_s_last_word() -> None:
    trade = Trade(2 * S, 2 * S, "sim", "BTC-USDT", "7", 100.5, 0.3, Side.SELL)
    price = a_core(a_top(bid=98.0), a_top(), trade).price(BTC)
    assert (price.mid, price.last, price.ts_recv) == (100.0, trade, 2 * S)


def test_mid_has_no_digits_of_its_own() -> None:
    price = a_core(a_top(bid=149.76, ask=149.78)).price(BTC)
    assert (149.76 + 149.78) / 2 != 149.77
    assert price.mid == 149.77


def test_a_book_with_one_side_has_no_mid() -> None:
    assert a_core(a_top(ask=0.0)).price(BTC).mid is None


def test_price_is_stale_when_old_unknown_or_called_so() -> None:
    assert not a_core(a_top()).price(BTC).is_stale(11 * S, 10 * S)
    assert a_core(a_top()).price(BTC).is_stale(11 * S + 1, 10 * S)
    assert a_core(a_top(stale=True)).price(BTC).is_stale(1 * S, 10 * S)
    assert a_core().price(BTC).is_stale(0, 10 * S)


def test_depth_is_the_last_one() -> None:
    old = BookDepth(1, 1, "sim", "BTC-USDT", ((99.0, 1.0),), ((101.0, 1.0),), 1, 1)
    new = BookDepth(2, 2, "sim", "BTC-USDT", ((98.0, 1.0),), ((102.0, 1.0),), 1, 2)
    assert a_core(old, new).depths["sim", "BTC-USDT"] is new


def test_each_step_of_an_order_is_told() -> None:
    core = a_core()
    submit = a_submit()
    accepted = OrderAccepted(7, 7, submit.client_order_id, "manual", "sim", "BTC-USDT", "v1")
    for event, state in (
        (submit, OrderState.PENDING_RISK),
        (OrderApproved(6, 6, submit), OrderState.PENDING_NEW),
        (accepted, OrderState.OPEN),
    ):
        ts = event.ts_recv
        assert core.handle(event) == (OrderChanged(ts, ts, submit.client_order_id),)
        order = core.orders.get(submit.client_order_id)
        assert order is not None
        assert order.state is state


def test_a_denial_keeps_its_reason() -> None:
    core = a_core()
    core.handle(OrderDenied(6, 6, a_submit(), DenialReason.NOTIONAL_ABOVE_MAX, "notional=10 max=5"))
    order = core.orders.get("manual-r-1")
    assert order is not None
    assert (order.state, order.reason) == (OrderState.DENIED, "NOTIONAL_ABOVE_MAX")


def test_a_refused_cancel_is_told_with_the_venue_s_words() -> None:
    rejected = CancelRejected(
        8, 8, "other-1", "other", "sim", "BTC-USDT", "c1", "-2011", "Unknown order sent."
    )
    (change,) = a_core().handle(rejected)
    assert isinstance(change, OrderChanged)
    assert change.refusal == "-2011: Unknown order sent."


def test_what_does_not_concern_it_is_ignored() -> None:
    assert a_core().handle(TimerFired(1, 1, "x")) == ()


def test_an_order_from_the_ledger_does_not_replace_a_newer_one() -> None:
    core = a_core(a_submit())
    known = core.orders.get("manual-r-1")
    assert known is not None
    from_ledger = type(known).from_submit(a_submit())
    assert core.learn(from_ledger) is known


def test_an_order_that_ended_before_the_ledger_told_of_it_does_not_work() -> None:
    """Older than the gateway, and told by a ledger that is behind."""
    core = ApiCore()

    def told() -> Order:
        order = Order.from_submit(a_submit())
        order.state = OrderState.OPEN
        return order

    ids = ("manual-r-1", "manual", "sim", "BTC-USDT")
    core.handle(OrderCanceled(9, 9, *ids, "v1", Decimal("0.04"), "asked for"))
    for _ in range(2):
        assert core.learn(told()).state is OrderState.CANCELED
    assert not list(core.orders.working())


def test_a_symbol_without_a_venue_is_the_main_ones_also_before_its_feed_is_heard() -> None:
    core = ApiCore()
    gateway = Gateway(core, ApiConfig(), "r", Configured(("sim", "abc")), KillSwitch("", ""))
    for venue in ("abc", "smart"):
        core.handle(msgspec.structs.replace(BTC, venue=venue))
    sol = msgspec.structs.replace(ETH, venue="abc", instrument_id="SOL-USDT", symbol="SOLUSDT")
    core.handle(sol)
    with pytest.raises(Problem) as caught:
        gateway.instrument("BTCUSDT")
    assert caught.value.code == "INSTRUMENTS_UNKNOWN"
    core.handle(BTC)
    assert gateway.instrument("BTCUSDT") is BTC
    assert gateway.instrument("BTCUSDT", "smart").venue == "smart"
    assert gateway.instrument("SOLUSDT") is sol, "the main venue does not trade it"
