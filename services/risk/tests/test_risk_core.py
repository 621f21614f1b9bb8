"""The gate: given what risk knows, when an intent comes, then one verdict."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus import subjects
from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    DenialReason,
    Event,
    FeedState,
    FeedStatus,
    Fill,
    Heartbeat,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderType,
    Recovered,
    RiskReport,
    RiskState,
    SetTimer,
    SetTradingState,
    Side,
    SubmitOrder,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus.events.orders import message_id
from tickbus.limits import GlobalLimits, InstrumentLimits, StrategyLimits
from tickbus.reasons import MEANINGS
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_risk.gate import CHECKS
from tickbus_risk.reasons import table
from tickbus_risk.state import SeenIds

D = Decimal
R = DenialReason
S = 1_000_000_000
BTC = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"), D("0.001"), D("100"),
    D("50"), D("1"), D("100000"), D("5"), D("9000000"),
)  # fmt: skip


def a_config(**changes: Any) -> RiskConfig:
    values: dict[str, Any] = {
        "order_notional_max": D(10_000), "position_notional_max": D(20_000), "open_orders_max": 5,
        "order_rate_per_s_max": 100, "total_order_rate_per_s_max": 1000,
        "price_deviation_bps_max": D(500), "market_data_age_ms_max": 1000,
        "gross_exposure_max": D(1_000_000), "net_exposure_max": D(1_000_000),
        "daily_loss_max": D(1_000_000), "drawdown_max": D(1_000_000),
        "heartbeat_timeout_s": D(0), "balance_check": False, "self_trade": "venue",
    }  # fmt: skip
    return RiskConfig(**(values | changes))


def a_top(ts: int = S, *, stale: bool = False, bid: float = 999.0, ask: float = 1001.0) -> BookTop:
    return BookTop(ts, ts, "sim", "BTC-USDT", bid, 1.0, ask, 1.0, 1, 1, stale)


def a_core(*events: Event | Instrument, **changes: Any) -> RiskCore:
    core = RiskCore(a_config(**changes))
    for event in (BTC, *events, Recovered(S, S), a_top()):
        core.handle(event)
    return core


def an_order(n: int = 1, **changes: Any) -> SubmitOrder:
    values: dict[str, Any] = {
        "ts_event": S, "ts_recv": S, "client_order_id": f"pp-r-{n}", "strategy_id": "pp",
        "venue": "sim", "instrument_id": "BTC-USDT", "side": Side.BUY,
        "order_type": OrderType.LIMIT, "quantity": D(1), "price": D(1000),
    }  # fmt: skip
    return SubmitOrder(**(values | changes))


def at_venue(n: int) -> tuple[int, int, str, str, str, str]:
    return (S, S, f"pp-r-{n}", "pp", "sim", "BTC-USDT")


def a_fill(n: int, quantity: str, side: Side = Side.BUY, fee: str = "0") -> OrderFilled:
    fill = Fill(f"f{n}", side, D(1000), D(quantity), D(fee), "BTC", LiquiditySide.TAKER, S)
    return OrderFilled(*at_venue(n), "v", fill, D(quantity), D(0))


def a_state(state: TradingState) -> SetTradingState:
    return SetTradingState(S, S, state, "ops", "test")


def verdict(core: RiskCore, order: SubmitOrder) -> DenialReason | None:
    outputs = core.handle(order)
    assert len(outputs) == 1
    output = outputs[0]
    if isinstance(output, OrderDenied):
        assert re.fullmatch(r"limit=.+ value=.+", output.detail)
        return output.reason
    assert output == OrderApproved(order.ts_event, order.ts_recv, order)
    return None


def test_rehearsal_leaves_no_trace() -> None:
    core, twin = a_core(order_rate_per_s_max=1), a_core(order_rate_per_s_max=1)
    for _ in range(3):
        assert isinstance(core.rehearse(an_order(1)), OrderApproved)
    for n in (1, 1, 2):  # approved; its id is used; the rate is
        assert core.handle(an_order(n)) == twin.handle(an_order(n))


def test_rehearsal_before_anything_is_known_does_nothing() -> None:
    assert RiskCore(a_config()).rehearse(an_order()) is None


def test_a_sound_order_is_approved() -> None:
    assert verdict(a_core(), an_order()) is None
    assert verdict(a_core(), an_order(order_type=OrderType.MARKET, price=None)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_order_id": "a b"}, R.ORDER_ID_INVALID),
        ({"client_order_id": ""}, R.ORDER_ID_INVALID),
        ({"client_order_id": "x" * 37}, R.ORDER_ID_INVALID),
        ({"client_order_id": "x\r\ny"}, R.ORDER_ID_INVALID),
        ({"strategy_id": "a.b"}, R.ORDER_ID_INVALID),
        ({"instrument_id": "DOGE-USDT"}, R.INSTRUMENT_UNKNOWN),
        ({"venue": "elsewhere"}, R.INSTRUMENT_UNKNOWN),
        ({"quantity": D(0)}, R.QUANTITY_NOT_POSITIVE),
        ({"quantity": D(-1)}, R.QUANTITY_NOT_POSITIVE),
        ({"quantity": D("NaN")}, R.QUANTITY_NOT_POSITIVE),
        ({"quantity": D("Infinity")}, R.QUANTITY_NOT_POSITIVE),
        ({"quantity": D("0.0005")}, R.QUANTITY_BELOW_MIN),
        ({"quantity": D("1.0005")}, R.QUANTITY_NOT_LOT_MULTIPLE),
        ({"quantity": D("100.001")}, R.QUANTITY_ABOVE_MAX),
        ({"quantity": D("1e40")}, R.QUANTITY_ABOVE_MAX),
        ({"quantity": D(51), "order_type": OrderType.MARKET, "price": None}, R.QUANTITY_ABOVE_MAX),
        ({"price": None}, R.PRICE_MISSING),
        ({"order_type": OrderType.MARKET}, R.PRICE_UNEXPECTED),
        ({"price": D(0)}, R.PRICE_NOT_POSITIVE),
        ({"price": D("NaN")}, R.PRICE_NOT_POSITIVE),
        ({"price": D("0.5")}, R.PRICE_OUT_OF_RANGE),
        ({"price": D("1e30")}, R.PRICE_OUT_OF_RANGE),
        ({"price": D("1000.001")}, R.PRICE_NOT_TICK_MULTIPLE),
        ({"price": D("1050.01")}, R.PRICE_DEVIATION_ABOVE_MAX),
        ({"price": D("949.99"), "side": Side.SELL}, R.PRICE_DEVIATION_ABOVE_MAX),
        ({"quantity": D("0.004")}, R.NOTIONAL_BELOW_MIN),
        ({"quantity": D("10.001")}, R.NOTIONAL_ABOVE_MAX),
        ({"reduce_only": True}, R.TRADING_REDUCING_ONLY),
    ],
)
def test_an_unsound_order_is_denied(changes: dict[str, Any], reason: DenialReason) -> None:
    assert verdict(a_core(), an_order(**changes)) is reason


def test_a_denial_of_an_impossible_id_can_travel() -> None:
    order = an_order(client_order_id="x\r\ny" * 50, strategy_id="a.b *")
    (denied,) = a_core().handle(order)
    assert subjects.of(denied) == "orders.denied.a_b__"
    assert message_id(denied).isprintable()


def test_a_paused_instrument_is_not_traded() -> None:
    core = a_core()
    core.handle(msgspec.structs.replace(BTC, trading=False))
    assert verdict(core, an_order()) is R.INSTRUMENT_NOT_TRADING


def test_an_id_is_used_once_whether_it_was_approved_or_denied() -> None:
    core = a_core()
    assert verdict(core, an_order(1)) is None
    assert verdict(core, an_order(1)) is R.ORDER_ID_DUPLICATE
    assert verdict(core, an_order(2, quantity=D(0))) is R.QUANTITY_NOT_POSITIVE
    assert verdict(core, an_order(2)) is R.ORDER_ID_DUPLICATE


def test_forgotten_ids_that_rise_are_still_known() -> None:
    ids = SeenIds(ids_max=10)
    for n in range(1, 101):
        ids.add(f"pp-r-{n}")
    assert all(f"pp-r-{n}" in ids for n in range(1, 101))
    assert "pp-r-101" not in ids
    assert "pp-q-1" not in ids


# -- the market ------------------------------------------------------------------------------------


def test_no_market_no_order() -> None:
    core = RiskCore(a_config())
    core.handle(BTC)
    core.handle(Recovered(S, S))
    assert verdict(core, an_order(1)) is R.MARKET_DATA_MISSING
    core.handle(a_top(ask=0.0))
    assert verdict(core, an_order(2)) is R.MARKET_DATA_MISSING
    core.handle(a_top())
    assert verdict(core, an_order(3)) is None


def test_a_stale_book_stops_orders_until_it_is_good_again() -> None:
    core = a_core()
    core.handle(a_top(stale=True))
    assert verdict(core, an_order(1)) is R.MARKET_DATA_STALE
    core.handle(a_top())
    core.handle(FeedStatus(S, S, "sim", "BTC-USDT", FeedState.DISCONNECTED))
    assert verdict(core, an_order(2)) is R.MARKET_DATA_STALE
    core.handle(FeedStatus(S, S, "sim", "BTC-USDT", FeedState.LIVE))
    assert verdict(core, an_order(3)) is None


def test_a_lost_word_of_the_feed_does_not_stop_trading_for_ever() -> None:
    core = a_core()
    core.handle(FeedStatus(S, S, "sim", "BTC-USDT", FeedState.SYNCING))
    core.handle(a_top(2 * S))
    assert verdict(core, an_order(1)) is R.MARKET_DATA_STALE
    core.handle(a_top(4 * S, stale=True))
    assert verdict(core, an_order(2)) is R.MARKET_DATA_STALE
    core.handle(a_top(4 * S))
    assert verdict(core, an_order(3)) is None


def test_an_old_book_is_stale_by_the_time_of_the_newest_event() -> None:
    core = a_core()
    core.handle(TimerFired(2 * S, 2 * S, "other"))
    assert verdict(core, an_order(1)) is None
    core.handle(TimerFired(2 * S + 1_000_000, 2 * S + 1_000_000, "other"))
    assert verdict(core, an_order(2)) is R.MARKET_DATA_STALE


# -- positions, counts, rates ----------------------------------------------------------------------


def test_working_orders_count_towards_the_position() -> None:
    core = a_core(order_notional_max=D(20_000))
    assert verdict(core, an_order(1, quantity=D(10))) is None
    assert verdict(core, an_order(2, quantity=D("10.001"))) is R.POSITION_ABOVE_MAX
    assert verdict(core, an_order(3, quantity=D(10))) is None
    assert verdict(core, an_order(4, quantity=D(20), side=Side.SELL)) is None


def test_a_cancel_gives_the_room_back_and_a_fill_keeps_it() -> None:
    core = a_core()
    for n in (1, 2):
        core.handle(an_order(n, quantity=D(10)))
    core.handle(OrderCanceled(*at_venue(1), "v", D(0)))
    core.handle(a_fill(2, "10", fee="0.01"))
    core.handle(a_fill(2, "10", fee="0.01"))
    assert verdict(core, an_order(3, quantity=D("10.01"), price=D(999))) is None
    assert verdict(core, an_order(4, quantity=D("0.01"))) is R.POSITION_ABOVE_MAX


def test_what_reduces_a_position_passes_although_it_is_above_the_limit() -> None:
    core = a_core(position_notional_max=D(3000))
    core.handle(a_fill(99, "5"))
    assert verdict(core, an_order(1, quantity=D(1))) is R.POSITION_ABOVE_MAX
    assert verdict(core, an_order(2, quantity=D(1), side=Side.SELL)) is None


def test_open_orders_are_counted_per_strategy() -> None:
    core = a_core(open_orders_max=2)
    assert verdict(core, an_order(1)) is None
    assert verdict(core, an_order(2)) is None
    assert verdict(core, an_order(3)) is R.ORDER_COUNT_ABOVE_MAX
    assert verdict(core, an_order(4, client_order_id="x-r-1", strategy_id="x")) is None
    core.handle(OrderCanceled(*at_venue(1), "v", D(0)))
    assert verdict(core, an_order(5)) is None


def test_the_rate_is_counted_in_event_time_and_recovers() -> None:
    core = a_core(order_rate_per_s_max=2, market_data_age_ms_max=10_000)
    assert verdict(core, an_order(1)) is None
    assert verdict(core, an_order(2, ts_recv=S + S // 2)) is None
    assert verdict(core, an_order(3, ts_recv=S + S // 2)) is R.ORDER_RATE_ABOVE_MAX
    assert verdict(core, an_order(4, ts_recv=2 * S)) is None
    assert verdict(core, an_order(5, ts_recv=2 * S)) is R.ORDER_RATE_ABOVE_MAX


def test_the_rate_of_all_strategies_together_is_limited_too() -> None:
    core = a_core(total_order_rate_per_s_max=1)
    assert verdict(core, an_order(1)) is None
    other = an_order(client_order_id="x-r-1", strategy_id="x")
    assert verdict(core, other) is R.ORDER_RATE_ABOVE_MAX


def test_a_limit_of_its_own_replaces_the_general_one_and_the_smaller_of_two_holds() -> None:
    strict = StrategyLimits(order_notional_max=D(50))
    wide = InstrumentLimits(order_notional_max=D(20_000))
    core = a_core(strategies={"pp": strict}, instruments={"BTC-USDT": wide})
    assert verdict(core, an_order(1)) is R.NOTIONAL_ABOVE_MAX
    other = an_order(client_order_id="x-r-1", strategy_id="x", quantity=D(12))
    assert verdict(core, other) is None


# -- the trading state -----------------------------------------------------------------------------


def test_halted_denies_orders_cancels_what_works_and_lets_cancels_pass() -> None:
    core = a_core()
    core.handle(an_order(1))
    changed, cancel, state, _ = core.handle(a_state(TradingState.HALTED))
    assert changed == TradingStateChanged(
        S, S, "global", TradingState.ACTIVE, TradingState.HALTED, "ops", "test"
    )
    assert isinstance(cancel, CancelApproved)
    assert cancel.cancel.client_order_id == "pp-r-1"
    assert isinstance(state, RiskState)
    assert state.state is TradingState.HALTED
    assert verdict(core, an_order(2)) is R.TRADING_HALTED
    wish = CancelOrder(S, S, "pp-r-c1", "pp-r-1", "pp", "sim", "BTC-USDT")
    assert core.handle(wish) == (CancelApproved(S, S, wish),)
    core.handle(a_state(TradingState.ACTIVE))
    assert verdict(core, an_order(3)) is None


def test_a_wish_to_close_what_is_halted_already_shows_in_the_report() -> None:
    core = a_core(a_state(TradingState.HALTED))
    wish = SetTradingState(2 * S, 2 * S, TradingState.HALTED, "ops", "out", "", flatten=True)
    (told,) = [out for out in core.handle(wish) if isinstance(out, RiskReport)]
    assert [line.ts_wished for line in told.scopes if line.scope == "global"] == [2 * S]


def test_a_halt_before_a_crash_is_enforced_after_it() -> None:
    core = RiskCore(a_config())
    core.handle(a_state(TradingState.HALTED))
    core.handle(OrderApproved(S, S, an_order(1)))
    outputs = core.handle(Recovered(S, S))
    kinds = [type(output) for output in outputs]
    assert kinds == [
        TradingStateChanged, CancelApproved, Heartbeat, SetTimer, RiskState, RiskReport, SetTimer,
    ]  # fmt: skip


def test_reducing_lets_only_pass_what_shrinks_the_position() -> None:
    core = a_core(a_state(TradingState.REDUCING))
    core.handle(a_fill(99, "2"))
    assert verdict(core, an_order(1)) is R.TRADING_REDUCING_ONLY
    assert verdict(core, an_order(2, side=Side.SELL, quantity=D("1.5"))) is None
    assert verdict(core, an_order(3, side=Side.SELL, quantity=D(1))) is R.TRADING_REDUCING_ONLY
    assert verdict(core, an_order(4, side=Side.SELL, quantity=D("0.5"))) is None


def test_the_state_is_told_again_and_again() -> None:
    core = RiskCore(a_config())
    timer = core.handle(Recovered(S, S))[-1]
    assert isinstance(timer, SetTimer)
    assert timer.at_ns == 3 * S
    state, report, timer = core.handle(TimerFired(3 * S, 3 * S, timer.key))
    assert isinstance(state, RiskState)
    assert isinstance(report, RiskReport)
    assert isinstance(timer, SetTimer)


# -- crashes ---------------------------------------------------------------------------------------


def test_history_rebuilds_what_was_known() -> None:
    first, second = an_order(1, quantity=D(10)), an_order(2, quantity=D(10))
    history = [
        first, OrderApproved(S, S, first), second, OrderApproved(S, S, second),
        OrderAccepted(*at_venue(1), "v"), a_fill(1, "10"),
    ]  # fmt: skip
    core = a_core(*history)
    assert verdict(core, an_order(1)) is R.ORDER_ID_DUPLICATE
    assert verdict(core, an_order(3, quantity=D("0.01"))) is R.POSITION_ABOVE_MAX


def test_an_intent_judged_again_after_a_crash_keeps_the_verdict_in_the_stream() -> None:
    order = an_order(1, quantity=D(10))
    (approved,) = a_core().handle(order)
    core = RiskCore(a_config())  # started again: the intent was never acknowledged, no market yet
    core.handle(BTC)
    core.handle(Recovered(S, S))
    (denied,) = core.handle(order)
    assert isinstance(denied, OrderDenied)
    assert message_id(denied) == message_id(approved)  # so the stream keeps the first
    assert core.handle(approved) == ()  # which is what comes back
    core.handle(a_top())
    assert verdict(core, an_order(2, quantity=D("10.001"), price=D(999))) is not None
    assert verdict(core, an_order(3, quantity=D(10))) is None
    assert verdict(core, an_order(4, quantity=D("0.01"))) is R.POSITION_ABOVE_MAX


def test_a_denial_in_the_stream_takes_back_an_approval_of_the_second_try() -> None:
    order = an_order(1, quantity=D(10))
    core = a_core()
    core.handle(order)
    core.handle(OrderDenied(S, S, order, R.MARKET_DATA_MISSING, "limit=1 value=0"))
    assert core.handle(CancelAllOrders(S, S, "all")) == ()


def test_own_verdicts_coming_back_change_nothing() -> None:
    core = a_core(order_rate_per_s_max=2)
    (approved,) = core.handle(an_order(1))
    core.handle(approved)
    assert verdict(core, an_order(2)) is None
    duplicate = OrderDenied(S, S, an_order(1), R.ORDER_ID_DUPLICATE, "limit=1 value=1")
    core.handle(duplicate)
    assert len(core.handle(CancelAllOrders(S, S, "all"))) == 2


NEEDED = set(GlobalLimits.__struct_fields__) - {"profit_target", "orders_per_fill_max"}

# -- as a whole ------------------------------------------------------------------------------------

WEIRD = st.one_of(st.decimals(), st.decimals(D("0.001"), D(20), places=3))


@given(
    st.lists(
        st.builds(
            an_order,
            st.integers(1, 40),
            side=st.sampled_from(Side),
            quantity=WEIRD,
            price=st.one_of(st.none(), WEIRD, st.decimals(D(950), D(1050), places=2)),
            order_type=st.sampled_from(OrderType),
        ),
        max_size=30,
    )
)
def test_no_intent_breaks_the_gate_and_no_limit_is_passed(orders: list[SubmitOrder]) -> None:
    core = a_core()
    approved: dict[str, SubmitOrder] = {}
    for order in orders:
        if verdict(core, order) is None:
            assert order.client_order_id not in approved
            approved[order.client_order_id] = order
    assert len(approved) <= 5
    for side in Side:
        total = sum((o.quantity for o in approved.values() if o.side is side), D(0))
        assert total * 1000 <= 20_000


def test_every_denial_reason_has_a_check_a_meaning_and_a_line_in_the_docs() -> None:
    assert set(MEANINGS) == set(DenialReason)
    sources = (Path(__file__).parents[1] / "src/tickbus_risk").glob("*.py")
    source = "".join(path.read_text() for path in sources if path.stem != "reasons")
    assert all(
        f"R.{reason.name}" in source or f"DenialReason.{reason.name}" in source
        for reason in DenialReason
    )
    assert len(set(CHECKS)) == len(CHECKS)
    page = Path(__file__).parents[3] / "docs/denial-reasons.md"
    assert page.read_text() == table(), (
        "run: python -m tickbus_risk.reasons > docs/denial-reasons.md"
    )


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_or_negative_limit_is_refused(name: str) -> None:
    values = msgspec.to_builtins(a_config())
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert({k: v for k, v in values.items() if k != name}, RiskConfig, strict=False)
    with pytest.raises(msgspec.ValidationError, match=f"{name} = -1"):
        msgspec.convert(values | {name: -1}, RiskConfig, strict=False)
