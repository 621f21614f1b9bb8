"""The paper venue with a linear perpetual: both ways, on margin, with funding, reduce-only."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    AccountUpdated,
    AdjustmentCause,
    BalanceAdjusted,
    BookDelta,
    BookSnapshot,
    Event,
    FeeSchedule,
    Funding,
    Instrument,
    Levels,
    OrderApproved,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderType,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    Trade,
)
from tickbus.portfolio import Position
from tickbus_execution.config import ExecutionConfig, PaperConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_execution.venue import Alarm

D = Decimal
NOW = 1_000_000_000_000
SECOND = 1_000_000_000
NAME = "BTC-USDT-PERP"
FEES = FeeSchedule(maker=D("0.001"), taker=D("0.002"))
PERPETUAL = Instrument("sim", NAME, "BTCUSDT", "BTC", "USDT", D("0.1"), D("0.01"))
BIDS: Levels = ((99.0, 1.0), (98.0, 20.0))
ASKS: Levels = ((101.0, 1.0), (102.0, 20.0))


def a_book(bids: Levels = BIDS, asks: Levels = ASKS) -> BookSnapshot:
    return BookSnapshot(NOW, NOW, "sim", NAME, 1, 0, bids, asks, 0)


def a_change(sequence: int, bids: Levels = (), asks: Levels = ()) -> BookDelta:
    return BookDelta(NOW, NOW, "sim", NAME, 1, sequence, bids, asks, sequence)


def a_trade(price: float, size: float, aggressor: Side, ts: int = NOW) -> Trade:
    return Trade(ts, ts, "sim", NAME, "1", price, size, aggressor)


def a_mark(mark: float, rate: float = 0.0001, *, ts: int = NOW, ts_next: int = 0) -> Funding:
    return Funding(ts, ts, "sim", NAME, mark, mark, rate, ts_next)


def a_paper(
    *, wallet: str = "1000", leverage: int = 5, instrument: Instrument = PERPETUAL,
    history: Iterable[Event] = (), run_id: str = "r", mark: float = 100.0,
) -> PaperExecution:  # fmt: skip
    config = PaperConfig(balances={"USDT": D(wallet)}, leverage=leverage)
    core = PaperExecution(ExecutionCore("sim"), PaperVenue("sim", config, FEES, run_id))
    core.handle(instrument)
    for event in history:
        core.handle(event)
    core.handle(Recovered(NOW - 1, NOW - 1))
    core.handle(a_book())
    core.handle(a_mark(mark))
    return core


_count = iter(range(1, 1_000_000))


def an_order(
    side: Side, quantity: str, price: str | None = None, *, kind: OrderType | None = None,
    **terms: Any,
) -> OrderApproved:  # fmt: skip
    kind = kind or (OrderType.MARKET if price is None else OrderType.LIMIT)
    limit = None if price is None else D(price)
    order = SubmitOrder(
        NOW, NOW, f"s-r-{next(_count)}", "s", "sim", NAME, side, kind, D(quantity), limit, **terms
    )
    return OrderApproved(NOW, NOW, order)


def fills(events: Iterable[Event]) -> list[tuple[Decimal, Decimal]]:
    return [(e.fill.price, e.fill.quantity) for e in events if isinstance(e, OrderFilled)]


def wallet(events: Iterable[Event]) -> dict[str, Decimal]:
    told = [e for e in events if isinstance(e, AccountUpdated)][-1]
    return {balance.asset: balance.total for balance in told.balances}


def position(events: Iterable[Event]) -> Decimal:
    told = [e for e in events if isinstance(e, AccountUpdated)][-1]
    return {p.instrument_id: p.quantity for p in told.positions}[NAME]


def refusal(events: Iterable[Event]) -> tuple[str, str]:
    (event,) = [e for e in events if isinstance(e, OrderRejected)]
    return event.reason, event.detail


def expired(events: Iterable[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, OrderExpired)]


def test_it_sells_short_from_flat_and_moves_nothing_but_the_fee() -> None:
    out = a_paper().handle(an_order(Side.SELL, "1"))
    assert fills(out) == [(D("99.0"), D("1.00"))]
    assert position(out) == -1
    assert wallet(out) == {"USDT": D(1000) - D("0.198")}, "no BTC is owed or held"


def test_covering_a_short_settles_its_profit_in_the_wallet() -> None:
    core = a_paper()
    core.handle(an_order(Side.SELL, "1"))
    core.handle(a_change(1, bids=((99.0, 0.0), (98.0, 0.0), (89.0, 5.0)), asks=((90.0, 5.0),)))
    out = core.handle(an_order(Side.BUY, "1"))
    assert position(out) == 0
    # sold at 99, bought at 90; fees 0.2 % of both
    assert wallet(out) == {"USDT": D(1000) + 9 - D("0.198") - D("0.180")}


def test_an_order_beyond_the_position_turns_it_round() -> None:
    core = a_paper()
    core.handle(an_order(Side.BUY, "1"))
    out = core.handle(an_order(Side.SELL, "3"))
    assert position(out) == -2
    # bought at 101, sold at 99: the profit of the one that is closed is -2
    assert wallet(out) == {"USDT": D(1000) - 2 - D("0.202") - D("0.198") - D("0.392")}


def test_margin_is_the_worth_by_leverage_and_the_refusal_says_all_of_it() -> None:
    # 1000 USDT at 5x carry somewhat less than 5000: 48 at 100 with loss and fee, not 60.
    core = a_paper()
    assert refusal(core.handle(an_order(Side.BUY, "60", "100"))) == (
        "INSUFFICIENT_MARGIN",
        "limit=1000.00000000 USDT value=1212.00000000 USDT leverage=5",
    )
    assert not [e for e in core.handle(an_order(Side.BUY, "48", "99")) if _is_no(e)]


def _is_no(event: Event) -> bool:
    return isinstance(event, OrderRejected)


def test_a_higher_leverage_carries_more() -> None:
    order = an_order(Side.BUY, "60", "100")
    assert not [e for e in a_paper(leverage=10).handle(order) if _is_no(e)]


def test_orders_on_both_sides_need_the_margin_of_the_worse_side_only() -> None:
    core = a_paper(wallet="500")
    for side, price in ((Side.BUY, "99"), (Side.SELL, "101")):
        assert not [e for e in core.handle(an_order(side, "20", price)) if _is_no(e)]
    assert refusal(core.handle(an_order(Side.BUY, "20", "99")))[0] == "INSUFFICIENT_MARGIN"


def test_a_loss_not_realised_yet_leaves_less_for_new_orders() -> None:
    core = a_paper(wallet="500")
    core.handle(an_order(Side.BUY, "10", "102"))
    core.handle(a_mark(80.0))
    assert refusal(core.handle(an_order(Side.BUY, "8", "80")))[0] == "INSUFFICIENT_MARGIN"
    assert not [e for e in core.handle(an_order(Side.SELL, "8", "101")) if _is_no(e)], "it reduces"


def test_reduce_only_without_a_position_is_refused() -> None:
    core = a_paper()
    order = an_order(Side.SELL, "1", reduce_only=True)
    assert refusal(core.handle(order))[0] == "REDUCE_ONLY_REJECTED"
    core.handle(an_order(Side.SELL, "1"))
    order = an_order(Side.SELL, "1", reduce_only=True)
    assert refusal(core.handle(order))[0] == "REDUCE_ONLY_REJECTED", "it would make it larger"


def test_reduce_only_takes_what_there_is_to_reduce_and_expires_with_the_rest() -> None:
    core = a_paper()
    core.handle(an_order(Side.BUY, "1"))
    out = core.handle(an_order(Side.SELL, "3", reduce_only=True))
    assert fills(out) == [(D("99.0"), D("1.00"))]
    assert (position(out), len(expired(out))) == (D(0), 1)


def test_resting_reduce_only_orders_never_turn_a_position_round() -> None:
    core = a_paper()
    core.handle(an_order(Side.BUY, "1"))
    for price in ("103", "103.5"):
        core.handle(an_order(Side.SELL, "0.8", price, reduce_only=True))
    out = core.handle(a_trade(105.0, 50.0, Side.BUY))
    assert fills(out) == [(D("103"), D("0.80")), (D("103.5"), D("0.20"))]
    assert (position(out), expired(out)) == (D(0), ["REDUCE_ONLY"])
    assert not fills(core.handle(a_trade(106.0, 50.0, Side.BUY))), "both are over"


def test_reduce_only_order_expires_when_another_order_closes_the_position() -> None:
    core = a_paper()
    core.handle(an_order(Side.BUY, "1"))
    core.handle(an_order(Side.SELL, "1", "103", reduce_only=True))
    out = core.handle(an_order(Side.SELL, "1"))
    assert expired(out) == ["REDUCE_ONLY"]


def test_reduce_only_needs_no_margin() -> None:
    core = a_paper(wallet="50", mark=101.0)
    core.handle(an_order(Side.BUY, "1", "101"))
    core.handle(a_mark(70.0))
    out = core.handle(an_order(Side.SELL, "1", "103", reduce_only=True))
    assert not [e for e in out if _is_no(e)]


def test_stop_that_only_reduces_closes_a_short() -> None:
    core = a_paper()
    core.handle(an_order(Side.SELL, "2"))
    stop: dict[str, Any] = {
        "kind": OrderType.STOP_MARKET,
        "trigger_price": D(103),
        "reduce_only": True,
    }
    core.handle(an_order(Side.BUY, "5", **stop))
    out = core.handle(a_trade(103.0, 1.0, Side.BUY))
    assert (position(out), len(expired(out))) == (D(0), 1)


EIGHT_HOURS = 8 * 3600 * SECOND


def held(side: Side, *, ts_next: int = NOW + SECOND) -> PaperExecution:
    core = a_paper()
    core.handle(an_order(side, "2"))
    core.handle(a_mark(100.0, 0.001, ts_next=ts_next))
    return core


@pytest.mark.parametrize(("side", "paid"), [(Side.BUY, D("-0.2")), (Side.SELL, D("0.2"))])
def test_longs_pay_shorts_at_the_funding_time_by_the_last_rate_before_it(
    side: Side, paid: Decimal
) -> None:
    core = held(side)
    assert not adjusted(core.handle(a_mark(90.0, 0.5, ts=NOW, ts_next=NOW + SECOND)))
    core.handle(a_mark(100.0, 0.001, ts_next=NOW + SECOND))
    after = NOW + SECOND
    out = core.handle(a_mark(120.0, 0.7, ts=after, ts_next=after + EIGHT_HOURS))
    (event,) = adjusted(out)
    assert (event.amount, event.asset, event.cause) == (paid, "USDT", AdjustmentCause.FUNDING)
    assert event.instrument_id == NAME
    assert event.detail == f"rate=0.001 mark=100.0 held={2 * side.sign:.2f}"
    assert not adjusted(core.handle(a_mark(120.0, ts=after + 1, ts_next=after + EIGHT_HOURS)))


def adjusted(events: Iterable[Event]) -> list[BalanceAdjusted]:
    return [event for event in events if isinstance(event, BalanceAdjusted)]


def test_flat_pays_no_funding() -> None:
    core = a_paper()
    core.handle(a_mark(100.0, 0.001, ts_next=NOW + SECOND))
    assert not adjusted(core.handle(a_mark(100.0, ts=NOW + SECOND, ts_next=NOW + EIGHT_HOURS)))


def test_a_funding_time_that_was_paid_is_not_paid_again_after_a_restart() -> None:
    core, history = a_paper(), list[Event]()
    for event in (an_order(Side.BUY, "2"), a_mark(100.0, 0.001, ts_next=NOW + SECOND)):
        history += [event, *core.handle(event)] if isinstance(event, OrderApproved) else ()
        core.handle(event)
    late = a_mark(100.0, 0.001, ts=NOW + SECOND, ts_next=NOW + EIGHT_HOURS)
    history += core.handle(late)
    after = a_paper(history=[e for e in history if not isinstance(e, SetTimer)], run_id="r2")
    after.handle(a_mark(100.0, 0.001, ts_next=NOW + SECOND))
    assert not adjusted(after.handle(late))


def test_who_holds_a_position_is_told_when_the_feed_speaks_of_no_funding() -> None:
    core = PaperExecution(
        ExecutionCore("sim"),
        PaperVenue("sim", PaperConfig(balances={"USDT": D(1000)}), FEES, "r"),
    )
    for event in (PERPETUAL, Recovered(NOW - 1, NOW - 1), a_book(), an_order(Side.BUY, "1")):
        core.handle(event)
    assert not core.handle(a_trade(100.0, 1.0, Side.BUY, NOW + SECOND))
    (alarm,) = core.handle(a_trade(100.0, 1.0, Side.BUY, NOW + 62 * SECOND))
    assert isinstance(alarm, Alarm)
    assert alarm.kind == "paper_without_funding"
    assert not core.handle(a_trade(100.0, 1.0, Side.BUY, NOW + 63 * SECOND)), "once"


def test_a_wallet_that_carries_its_positions_no_longer_has_them_closed() -> None:
    core = a_paper(wallet="50")
    core.handle(an_order(Side.BUY, "1", "101"))
    core.handle(an_order(Side.SELL, "1", "150"))
    core.handle(a_change(1, bids=((99.0, 0.0), (98.0, 0.0), (60.0, 9.0))))
    assert not core.handle(a_mark(70.0)), "50 - 31 are more than half a percent of 70"
    out = core.handle(a_mark(51.0))
    alarms = [event for event in out if isinstance(event, Alarm)]
    assert [alarm.kind for alarm in alarms] == ["paper_liquidation"]
    assert fills(out) == [(D("60.0"), D("1.00"))]
    assert position(out) == 0
    assert "LIQUIDATION" in expired(out)
    external = next(event for event in out if isinstance(event, OrderFilled))
    assert external.strategy_id == "external"
    assert not core.handle(a_mark(10.0)), "there is nothing left to close"


def test_contracts_are_worth_what_the_instrument_says() -> None:
    hundredth = msgspec.structs.replace(PERPETUAL, contract_size=D("0.01"))
    core = a_paper(instrument=hundredth)
    out = core.handle(an_order(Side.SELL, "1"))
    assert wallet(out) == {"USDT": D(1000) - D("0.00198")}
    core.handle(a_change(1, bids=((99.0, 0.0), (98.0, 0.0), (89.0, 5.0)), asks=((90.0, 5.0),)))
    out = core.handle(an_order(Side.BUY, "1"))
    assert wallet(out) == {"USDT": D(1000) + D("0.09") - D("0.00198") - D("0.00180")}


def test_inverse_contracts_are_refused() -> None:
    inverse = msgspec.structs.replace(PERPETUAL, inverse=True)
    out = a_paper(instrument=inverse).handle(an_order(Side.BUY, "1"))
    assert refusal(out)[0] == "INVERSE_CONTRACT"


def test_a_restart_keeps_wallet_position_and_what_it_was_entered_for() -> None:
    core, history = a_paper(), list[Event]()
    for order in (an_order(Side.SELL, "1"), an_order(Side.SELL, "1")):
        history += [order, *core.handle(order)]
    kept = [event for event in history if not isinstance(event, SetTimer)]
    after = a_paper(history=kept, run_id="r2")
    after.handle(a_change(1, bids=((99.0, 0.0), (98.0, 0.0), (89.0, 5.0)), asks=((90.0, 5.0),)))
    out = after.handle(an_order(Side.BUY, "2", reduce_only=True))
    assert position(out) == 0
    # sold at 99 and 98, bought back at 90; fees 0.2 % of all
    assert wallet(out) == {"USDT": D(1000) + 17 - D("0.198") - D("0.196") - D("0.360")}


def test_the_configuration_of_margin_is_checked() -> None:
    for wrong in ({"leverage": 0}, {"leverage": 200}, {"maintenance_margin": "1.5"}):
        with pytest.raises(
            msgspec.ValidationError, match=r"leverage|maintenance_margin|>= 1|<= 125"
        ):
            msgspec.convert({"paper": wrong}, ExecutionConfig, strict=False)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(list(Side)),
            st.decimals("0.01", "3", places=2).map(str),
            st.none() | st.sampled_from(["98", "99", "100", "101", "102"]),
            st.booleans(),
        ),
        st.sampled_from([98.0, 99.0, 101.0, 102.0]),
    ),
    max_size=25,
)


@given(STEPS)
def test_wallet_and_position_are_what_the_fills_amount_to(steps: list[Any]) -> None:
    core, out, flips = a_paper(wallet="300"), list[Event](), list[bool]()
    ours = Position(venue="sim", instrument_id=NAME)
    reducing: set[str] = set()
    for step in steps:
        if isinstance(step, float):
            told = core.handle(a_trade(step, 0.6, Side.SELL if step < 100 else Side.BUY))
        else:
            side, quantity, price, reduce_only = step
            order = an_order(side, quantity, price, reduce_only=reduce_only)
            if reduce_only:
                reducing.add(order.order.client_order_id)
            told = core.handle(order)
        out += told
        for event in told:
            if isinstance(event, OrderFilled):
                before = ours.quantity
                ours.apply(event.fill)
                if event.client_order_id in reducing:
                    flips.append(abs(ours.quantity) >= abs(before) or before * ours.quantity < 0)
    assert not any(flips)
    if ours.fills:
        assert position(out) == ours.quantity
        assert wallet(out) == {"USDT": 300 + ours.realized_pnl - ours.fees}
