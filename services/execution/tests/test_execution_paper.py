"""The paper venue: given a live book and orders, then honest fills."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    AccountUpdated,
    BookDelta,
    BookSnapshot,
    CancelApproved,
    CancelOrder,
    Event,
    FeeSchedule,
    Instrument,
    Levels,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimeInForce,
    TimerFired,
    Trade,
)
from tickbus_execution.config import PaperConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_execution.venue import VenueCancel

D = Decimal
NOW = 1_000_000_000_000
FEES = FeeSchedule(maker=D("0.001"), taker=D("0.002"))
INSTRUMENT = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.01"))
BIDS: Levels = ((99.0, 1.0), (98.0, 2.0))
ASKS: Levels = ((101.0, 1.0), (102.0, 2.0))


def a_book(sequence: int = 0, bids: Levels = BIDS, asks: Levels = ASKS) -> BookSnapshot:
    return BookSnapshot(NOW, NOW, "sim", "BTC-USDT", 1, sequence, bids, asks, sequence)


def a_change(sequence: int, bids: Levels = (), asks: Levels = ()) -> BookDelta:
    return BookDelta(NOW, NOW, "sim", "BTC-USDT", 1, sequence, bids, asks, sequence)


def a_trade(price: float, size: float, aggressor: Side) -> Trade:
    return Trade(NOW, NOW, "sim", "BTC-USDT", "1", price, size, aggressor)


def a_paper(*events: Event, history: Iterable[Event] = (), **config: Any) -> PaperExecution:
    balances = config.pop("balances", {"USDT": D(1000), "BTC": D(5)})
    dry_run = config.pop("dry_run", False)
    paper = PaperConfig(balances=balances, **config)
    core = PaperExecution(
        ExecutionCore("sim"), PaperVenue("sim", paper, FEES, "r", dry_run=dry_run)
    )
    core.handle(INSTRUMENT)
    for event in history:
        core.handle(event)
    core.handle(Recovered(NOW - 1, NOW - 1))
    for event in (a_book(), *events):
        core.handle(event)
    return core


_count = iter(range(1, 1_000_000))


def an_order(
    side: Side, quantity: str, price: str | None = None, *, ts: int = NOW, **terms: Any
) -> OrderApproved:
    kind = terms.pop("kind", OrderType.MARKET if price is None else OrderType.LIMIT)
    limit = None if price is None else D(price)
    order = SubmitOrder(
        ts, ts, f"s-r-{next(_count)}", "s", "sim", "BTC-USDT", side, kind, D(quantity), limit,
        **terms,
    )  # fmt: skip
    return OrderApproved(ts, ts, order)


def fills(events: Iterable[Event]) -> list[tuple[Decimal, Decimal]]:
    return [(e.fill.price, e.fill.quantity) for e in events if isinstance(e, OrderFilled)]


def ends(events: Sequence[Event]) -> list[type]:
    kinds = (OrderRejected, OrderExpired, OrderCanceled)
    return [type(event) for event in events if isinstance(event, kinds)]


def balances(events: Iterable[Event]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for event in events:
        if isinstance(event, AccountUpdated):
            found |= {balance.asset: balance.total for balance in event.balances}
    return found


def test_market_buy_sweeps_the_levels_and_pays_the_takers_fee_in_base() -> None:
    out = a_paper().handle(an_order(Side.BUY, "1.5"))
    assert fills(out) == [(D("101.0"), D("1.00")), (D("102.0"), D("0.50"))]
    first = next(event for event in out if isinstance(event, OrderFilled)).fill
    assert (first.fee, first.fee_asset, first.liquidity_side) == (
        D("0.002"), "BTC", LiquiditySide.TAKER,
    )  # fmt: skip
    assert balances(out) == {"USDT": D("848.0"), "BTC": D("6.497")}


def test_account_is_as_new_as_what_it_contains_when_the_markets_clock_is_ahead() -> None:
    ahead = msgspec.structs.replace(an_order(Side.BUY, "1"), ts_event=NOW + 1_270_000_000)
    out = a_paper().handle(ahead)
    account = next(event for event in out if isinstance(event, AccountUpdated))
    times = [e.ts_event for e in out if isinstance(e, OrderAccepted | OrderFilled)]
    times += [e.fill.ts_event for e in out if isinstance(e, OrderFilled)]
    assert times == [account.ts_event] * 3, "or risk would hold back what is free for ever"


def test_sell_pays_its_fee_in_quote() -> None:
    out = a_paper().handle(an_order(Side.SELL, "1"))
    assert balances(out) == {"USDT": D("1098.802"), "BTC": D(4)}


def test_same_liquidity_is_not_taken_twice_until_the_market_shows_it_again() -> None:
    core = a_paper(an_order(Side.BUY, "1"))
    assert fills(core.handle(an_order(Side.BUY, "1"))) == [(D("102.0"), D("1.00"))]
    core.handle(a_change(1, asks=((101.0, 0.5),)))
    assert fills(core.handle(an_order(Side.BUY, "0.5"))) == [(D("101.0"), D("0.50"))]


def test_market_order_larger_than_the_book_expires_with_the_rest() -> None:
    out = a_paper(balances={"USDT": D(10_000)}).handle(an_order(Side.BUY, "10"))
    assert sum(quantity for _, quantity in fills(out)) == 3
    assert ends(out) == [OrderExpired]


def test_ioc_takes_what_there_is_and_fok_all_or_nothing() -> None:
    core = a_paper()
    out = core.handle(an_order(Side.BUY, "2", "101", time_in_force=TimeInForce.IOC))
    assert fills(out) == [(D("101.0"), D("1.00"))]
    assert ends(out) == [OrderExpired]
    out = core.handle(an_order(Side.BUY, "3", "102", time_in_force=TimeInForce.FOK))
    assert fills(out) == []
    assert ends(out) == [OrderExpired]


def test_post_only_order_that_would_cross_is_refused() -> None:
    (event,) = [
        e
        for e in a_paper().handle(an_order(Side.BUY, "1", "101", post_only=True))
        if isinstance(e, OrderRejected)
    ]
    assert event.reason == "POST_ONLY_WOULD_TAKE"
    assert event.detail == "limit=101.0 value=101"


def test_order_without_the_money_is_refused() -> None:
    (event,) = [
        e for e in a_paper().handle(an_order(Side.BUY, "50", "99")) if isinstance(e, OrderRejected)
    ]
    assert event.reason == "INSUFFICIENT_BALANCE"
    assert event.detail == "limit=1000 USDT value=4950 USDT"


def test_resting_order_waits_behind_the_queue_at_its_price() -> None:
    core = a_paper(an_order(Side.BUY, "1", "99"))
    assert fills(core.handle(a_trade(99.0, 0.7, Side.SELL))) == [], "0.3 still stand before us"
    out = core.handle(a_trade(99.0, 0.8, Side.SELL))
    assert fills(out) == [(D(99), D("0.50"))]
    fill = next(event for event in out if isinstance(event, OrderFilled)).fill
    assert (fill.liquidity_side, fill.fee) == (LiquiditySide.MAKER, D("0.00050"))


def test_trade_through_the_price_fills_whoever_stands_in_its_way() -> None:
    core = a_paper(an_order(Side.BUY, "1", "99"))
    assert fills(core.handle(a_trade(98.0, 5.0, Side.SELL))) == [(D(99), D("1.00"))]


def test_other_side_that_comes_to_the_price_fills_it_at_its_own_price() -> None:
    core = a_paper(an_order(Side.SELL, "1", "101"))
    out = core.handle(a_change(1, bids=((101.5, 1.0),), asks=((101.0, 0.0), (102.0, 0.0))))
    assert fills(out) == [(D(101), D("1.00"))]


def test_queue_before_us_shrinks_with_the_level() -> None:
    core = a_paper(an_order(Side.BUY, "1", "99"), a_change(1, bids=((99.0, 0.1),)))
    assert fills(core.handle(a_trade(99.0, 0.6, Side.SELL))) == [(D(99), D("0.50"))]


def test_cancel_releases_what_was_tied_up() -> None:
    venue = PaperVenue("sim", PaperConfig(balances={"USDT": D(100)}), FEES, "r")
    core = PaperExecution(ExecutionCore("sim"), venue)
    for event in (INSTRUMENT, Recovered(NOW - 1, NOW - 1), a_book()):
        core.handle(event)
    approved = an_order(Side.BUY, "1", "99")
    assert OrderAccepted in [type(e) for e in core.handle(approved)]
    assert ends(core.handle(an_order(Side.BUY, "0.1", "99"))) == [OrderRejected]
    from tickbus.events import CancelApproved, CancelOrder

    wish = CancelOrder(NOW, NOW, "c1", approved.order.client_order_id, "s", "sim", "BTC-USDT")
    assert ends(core.handle(CancelApproved(NOW, NOW, wish))) == [OrderCanceled]
    assert OrderAccepted in [type(e) for e in core.handle(an_order(Side.BUY, "0.1", "99"))]
    assert VenueCancel not in [type(e) for e in core.handle(a_book(1))]


def a_stop(side: Side, trigger: str, price: str | None = None) -> OrderApproved:
    kind = OrderType.STOP_MARKET if price is None else OrderType.STOP_LIMIT
    return an_order(side, "1", price, kind=kind, trigger_price=D(trigger))


def test_stop_sells_at_the_market_once_it_trades_at_the_trigger_price() -> None:
    core = a_paper(a_trade(100, 1, Side.BUY))
    assert fills(core.handle(a_stop(Side.SELL, "99.5"))) == []
    assert fills(core.handle(a_trade(99.6, 1, Side.SELL))) == []
    assert fills(core.handle(a_trade(99.5, 1, Side.SELL))) == [(D("99.0"), D("1.00"))]
    assert fills(core.handle(a_trade(99.5, 1, Side.SELL))) == [], "once"


def test_stop_limit_rests_at_its_price_after_the_trigger() -> None:
    core = a_paper(a_trade(100, 1, Side.BUY))
    core.handle(a_stop(Side.BUY, "100.5", "100.6"))
    assert fills(core.handle(a_trade(100.5, 1, Side.BUY))) == []
    assert fills(core.handle(a_trade(100.6, 1, Side.SELL))) == [(D("100.6"), D("1.00"))]


def test_take_profit_waits_for_the_other_direction() -> None:
    core = a_paper(a_trade(100, 1, Side.BUY))
    terms: dict[str, Any] = {"kind": OrderType.TAKE_PROFIT_MARKET, "trigger_price": D("100.5")}
    core.handle(an_order(Side.SELL, "1", **terms))
    assert fills(core.handle(a_trade(99.5, 1, Side.SELL))) == []
    assert fills(core.handle(a_trade(100.5, 1, Side.BUY))) == [(D("99.0"), D("1.00"))]


def test_stop_that_would_trigger_at_once_is_refused() -> None:
    out = a_paper(a_trade(100, 1, Side.BUY)).handle(a_stop(Side.SELL, "100"))
    assert ends(out) == [OrderRejected]


def test_stop_ties_up_money_and_its_cancel_releases_it() -> None:
    core = a_paper(a_trade(100, 1, Side.BUY), balances={"USDT": D(150), "BTC": D(0)})
    core.handle(a_stop(Side.BUY, "110"))
    second = a_stop(Side.BUY, "110")
    assert ends(core.handle(second)) == [OrderRejected], "the first has the money"
    order_id = "s-r-" + str(int(second.order.client_order_id.rpartition("-")[2]) - 1)
    cancel = CancelOrder(NOW, NOW, "c", order_id, "s", "sim", "BTC-USDT")
    assert ends(core.handle(CancelApproved(NOW, NOW, cancel))) == [OrderCanceled]
    assert ends(core.handle(a_stop(Side.BUY, "110"))) == []


def test_triggered_stop_whose_money_no_longer_suffices_expires() -> None:
    core = a_paper(a_trade(100, 1, Side.BUY), balances={"USDT": D("100.2"), "BTC": D(0)})
    core.handle(a_stop(Side.BUY, "100.1"))
    assert ends(core.handle(a_trade(100.1, 1, Side.BUY))) == [OrderExpired]


def test_latency_delays_the_order() -> None:
    core = a_paper(latency_ms=10)
    out = core.handle(an_order(Side.BUY, "1"))
    (timer,) = [event for event in out if isinstance(event, SetTimer)]
    assert timer.at_ns == NOW + 10_000_000
    assert fills(out) == []
    assert fills(core.handle(TimerFired(timer.at_ns, timer.at_ns, timer.key)))


def test_dry_run_sends_nothing() -> None:
    (event,) = [
        e for e in a_paper(dry_run=True).handle(an_order(Side.BUY, "1"))
        if isinstance(e, OrderRejected)
    ]  # fmt: skip
    assert event.reason == "DRY_RUN"


def test_restart_keeps_balances_and_says_that_resting_orders_are_gone() -> None:
    before = a_paper()
    approved = an_order(Side.BUY, "1", "99")
    history: list[Event] = [
        event
        for event in (approved, *before.handle(approved), *before.handle(an_order(Side.SELL, "1")))
        if not isinstance(event, SetTimer)
    ]
    account = [event for event in history if isinstance(event, AccountUpdated)]
    after = PaperExecution(ExecutionCore("sim"), PaperVenue("sim", PaperConfig(), FEES, "r2"))
    after.handle(INSTRUMENT)
    for event in history:
        after.handle(event)
    out = after.handle(Recovered(NOW + 1, NOW + 1))
    assert balances(out)["USDT"] == balances(account)["USDT"]
    gone = [event for event in out if isinstance(event, OrderCanceled)]
    assert [(e.client_order_id, e.reason) for e in gone] == [
        (approved.order.client_order_id, "PAPER_RESTART")
    ]


ORDERS = st.tuples(
    st.sampled_from(list(Side)),
    st.decimals("0.01", "3", places=2).map(str),
    st.none() | st.sampled_from(["98", "99", "100", "101", "102"]),
    st.sampled_from(list(TimeInForce)),
)


def test_order_of_a_process_that_died_over_it_is_gone_and_never_called_rejected() -> None:
    wish = an_order(Side.BUY, "1", "99", ts=NOW - 5)
    order_id = wish.order.client_order_id
    names = (NOW - 5, NOW - 5, order_id, "s", "sim", "BTC-USDT")
    core = a_paper(history=[OrderSubmitted(*names), OrderAccepted(*names, "p1")])
    assert ends(core.handle(wish)) == [OrderCanceled]


@given(st.lists(st.one_of(ORDERS, st.sampled_from([98.0, 99.0, 101.0, 102.0])), max_size=25))
def test_no_asset_is_ever_overdrawn_and_balances_are_the_sum_of_the_fills(steps: list[Any]) -> None:
    core = a_paper()
    out: list[Event] = []
    for step in steps:
        if isinstance(step, float):
            out += core.handle(a_trade(step, 0.6, Side.SELL if step < 100 else Side.BUY))
            continue
        side, quantity, price, tif = step
        terms = {} if price is None else {"time_in_force": tif}
        out += core.handle(an_order(side, quantity, price, **terms))
    expected = {"USDT": D(1000), "BTC": D(5)}
    for event in out:
        if isinstance(event, AccountUpdated):
            assert all(b.free >= 0 and b.locked >= 0 for b in event.balances)
        if isinstance(event, OrderFilled):
            fill, sign = event.fill, event.fill.side.sign
            expected["BTC"] += sign * fill.quantity
            expected["USDT"] -= sign * fill.quantity * fill.price
            expected[fill.fee_asset] -= fill.fee
    assert {**expected, **balances(out)} == expected
