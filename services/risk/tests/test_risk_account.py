"""Given what is held and works, when an order comes, then a verdict; sums and limits hold."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_cores import a_core

from tickbus.events import (
    DenialReason,
    Event,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderType,
    Side,
    SubmitOrder,
    TimeInForce,
    TimerFired,
)
from tickbus.limits import StrategyLimits, VenueLimits
from tickbus_risk.exposure import Exposures
from tickbus_testkit.trading import (
    D,
    S,
    a_fill,
    a_top,
    an_account,
    an_instrument,
    an_order,
    report,
    the_report,
    tick,
    verdict,
)

R = DenialReason
DAY = 86_400 * S


# -- exposure --------------------------------------------------------------------------------------


def test_gross_exposure_counts_every_instrument_whatever_its_sign() -> None:
    core = a_core(gross_exposure_max=D(2500))
    long, short = an_order(91), an_order(92, Side.SELL, instrument_id="ETH-USDT")
    core.handle(a_fill(long, 1))
    core.handle(a_fill(short, 2))
    assert verdict(core, an_order(1)) == (
        "GROSS_EXPOSURE_ABOVE_MAX limit=2500 value=3000 scope=global"
    )
    assert verdict(core, an_order(2, quantity="0.5")) == ""
    assert verdict(core, an_order(3, quantity="0.01")).startswith("GROSS_EXPOSURE_ABOVE_MAX")
    assert verdict(core, an_order(4, Side.SELL)) == ""  # the way back is open


def test_net_exposure_lets_a_short_pay_for_a_long() -> None:
    core = a_core(net_exposure_max=D(1500))
    core.handle(a_fill(an_order(91, Side.SELL, instrument_id="ETH-USDT"), 1))
    assert verdict(core, an_order(1, quantity="2")) == ""
    assert verdict(core, an_order(2)).startswith("NET_EXPOSURE_ABOVE_MAX limit=1500 value=2000")
    sell = an_order(3, Side.SELL, "1", instrument_id="ETH-USDT")
    assert verdict(core, sell).startswith("NET_EXPOSURE_ABOVE_MAX limit=1500 value=2000")


def test_exposure_has_limits_of_a_venue_and_of_a_strategy_besides_the_general_one() -> None:
    core = a_core(
        strategies={"pp": StrategyLimits(gross_exposure_max=D(1000))},
        venues={"sim": VenueLimits(net_exposure_max=D(3000))},
    )
    assert verdict(core, an_order(1)) == ""
    assert verdict(core, an_order(2)).endswith("limit=1000 value=2000 scope=strategy:pp")
    assert verdict(core, an_order(3, quantity="2", strategy_id="x")) == ""
    assert verdict(core, an_order(4, strategy_id="x")) == (
        "NET_EXPOSURE_ABOVE_MAX limit=3000 value=4000 scope=venue:sim"
    )


def test_exposure_follows_the_market() -> None:
    core = a_core(gross_exposure_max=D(3000))
    core.handle(a_fill(an_order(91, instrument_id="ETH-USDT"), 1))
    core.handle(a_top("ETH-USDT", 2500.0))
    tick(core, S)
    assert verdict(core, an_order(1)).endswith("limit=3000 value=3500 scope=global")


def test_what_cannot_be_valued_in_our_currency_is_not_traded() -> None:
    other = an_instrument("ETH-EUR")
    core = a_core(other)
    core.handle(a_top("ETH-EUR"))
    order = an_order(1, instrument_id="ETH-EUR")
    assert verdict(core, order) == "MARKET_DATA_MISSING limit=EUR-USDT value=none scope=global"
    core.handle(a_top("EUR-USDT", 2.0))
    assert verdict(core, an_order(2, instrument_id="ETH-EUR")) == ""
    scope = the_report(core).scopes[0]
    core.handle(an_order(3))
    assert (scope.scope, scope.gross_exposure) == ("global", D(2000))


def test_a_replacement_counts_only_what_it_adds() -> None:
    core = a_core(gross_exposure_max=D(2000), position_notional_max=D(2000))
    assert verdict(core, an_order(1, quantity="2")) == ""
    assert verdict(core, an_order(2, quantity="2", replaces="pp-r-1")) == ""
    other = a_core(gross_exposure_max=D(2000), position_notional_max=D(2000))
    assert verdict(other, an_order(1, quantity="2")) == ""
    assert verdict(other, an_order(2, quantity="2.1", replaces="pp-r-1")) != ""


def test_a_routed_order_counts_by_its_parts_alone() -> None:
    smart = msgspec.structs.replace(an_instrument("BTC-USDT"), venue="smart")
    core = a_core(smart, an_account(USDT="9000"), balance_check=True, gross_exposure_max=D(3000))
    core.handle(msgspec.structs.replace(a_top(), venue="smart"))
    whole = an_order(1, quantity="2", venue="smart", time_in_force=TimeInForce.IOC)
    assert verdict(core, whole) == ""
    part = an_order(2, quantity="2", parent_id="pp-r-1")
    assert verdict(core, part) == ""
    core.handle(a_fill(part, 1))
    core.handle(a_fill(whole, 2))
    scope = the_report(core).scopes[0]
    assert (scope.gross_exposure, scope.net_pnl) == (D(2000), D(0))


def test_a_routed_order_may_reduce_what_its_parts_may() -> None:
    smart = msgspec.structs.replace(an_instrument("BTC-USDT"), venue="smart")
    core = a_core(smart)
    core.handle(msgspec.structs.replace(a_top(), venue="smart"))
    held = an_order(1)
    assert verdict(core, held) == ""
    core.handle(a_fill(held, 1))
    terms: dict[str, Any] = {"reduce_only": True, "time_in_force": TimeInForce.IOC}
    assert verdict(core, an_order(2, Side.SELL, venue="smart", **terms)) == ""
    assert verdict(core, an_order(3, Side.SELL, parent_id="pp-r-2", **terms)) == ""
    too_much = an_order(4, Side.SELL, quantity="2", parent_id="pp-r-2", **terms)
    assert verdict(core, too_much).startswith("TRADING_REDUCING_ONLY")


# -- balances --------------------------------------------------------------------------------------


def test_an_order_is_covered_by_what_is_free_with_the_fee() -> None:
    core = a_core(an_account(USDT="1000", BTC="1"), balance_check=True)
    assert verdict(core, an_order(1)) == (
        "BALANCE_INSUFFICIENT limit=1000 value=1001 scope=venue:sim asset=USDT"
    )
    assert verdict(core, an_order(2, quantity="0.9")) == ""
    assert verdict(core, an_order(3, Side.SELL, "1")) == ""
    assert verdict(core, an_order(4, Side.SELL, "0.1")).startswith("BALANCE_INSUFFICIENT limit=0 ")
    assert verdict(core, an_order(5, Side.SELL, instrument_id="ETH-USDT")).endswith("asset=ETH")


def test_before_the_venue_has_spoken_no_balance_is_known() -> None:
    core = a_core(balance_check=True)
    assert verdict(core, an_order(1)) == (
        "BALANCE_UNKNOWN limit=unknown value=1001 scope=venue:sim asset=USDT"
    )


def test_an_order_holds_its_money_until_the_venue_has_taken_note_of_it() -> None:
    core = a_core(an_account(USDT="1500"), balance_check=True)
    first = an_order(1)
    assert verdict(core, first) == ""
    assert verdict(core, an_order(2)).startswith("BALANCE_INSUFFICIENT limit=499 ")
    core.handle(report(OrderAccepted, first, 2 * S, "v"))
    core.handle(an_account(S + 5, complete=False, USDT="1500"))  # older than the acceptance
    assert verdict(core, an_order(3)).startswith("BALANCE_INSUFFICIENT limit=499 ")
    core.handle(an_account(2 * S, complete=False, USDT="500"))  # it is in there now
    assert verdict(core, an_order(4)).startswith("BALANCE_INSUFFICIENT limit=500 ")
    core.handle(report(OrderCanceled, first, 3 * S, "v", D(0)))
    core.handle(an_account(3 * S, complete=False, USDT="1500"))
    assert verdict(core, an_order(5)) == ""


@pytest.mark.parametrize("how", ["rejected", "canceled", "denied"])
def test_an_order_that_never_traded_gives_its_money_back_at_once(how: str) -> None:
    core = a_core(an_account(USDT="1500"), balance_check=True)
    first = an_order(1)
    assert verdict(core, first) == ""
    end: Event = OrderDenied(S, S, first, R.TRADING_HALTED, "limit=1 value=1")
    if how == "rejected":
        end = report(OrderRejected, first, S, "-2010", "no")
    elif how == "canceled":
        end = report(OrderCanceled, first, S, "v", D(0))
    core.handle(end)
    assert verdict(core, an_order(2)) == ""


def test_what_somebody_else_took_from_the_account_is_gone() -> None:
    core = a_core(an_account(USDT="5000", BTC="3"), balance_check=True)
    core.handle(an_account(2 * S, USDT="5000"))  # a complete list without BTC
    assert verdict(core, an_order(1, Side.SELL)).startswith("BALANCE_INSUFFICIENT limit=0 value=1 ")
    core.handle(an_account(3 * S, complete=False, USDT="10"))
    assert verdict(core, an_order(2)).startswith("BALANCE_INSUFFICIENT limit=10 ")


def test_a_replacement_may_use_what_the_replaced_order_holds() -> None:
    core = a_core(an_account(BTC="1", USDT="0"), balance_check=True)
    assert verdict(core, an_order(1, Side.SELL)) == ""
    changed = an_order(2, Side.SELL, price=D(1010), replaces="pp-r-1")
    assert verdict(core, changed) == ""


# -- own orders ------------------------------------------------------------------------------------


def test_an_order_that_would_meet_one_of_our_own_is_denied() -> None:
    core = a_core(self_trade="deny")
    assert verdict(core, an_order(1, Side.SELL, price=D(1001))) == ""
    assert verdict(core, an_order(2, Side.SELL, price=D(1003))) == ""
    assert verdict(core, an_order(3, price=D(1001), strategy_id="x")) == (
        "SELF_TRADE limit=1001 value=1001 scope=venue:sim"
    )
    market = an_order(4, order_type=OrderType.MARKET, price=None)
    assert verdict(core, market) == "SELF_TRADE limit=1001 value=MARKET scope=venue:sim"
    assert verdict(core, an_order(5, price=D("1000.99"))) == ""
    assert verdict(core, an_order(6, price=D(1001), post_only=True)) == ""
    core.handle(report(OrderCanceled, an_order(1), S, "v", D(0)))
    assert verdict(core, an_order(7, price=D(1002))) == ""
    assert verdict(core, an_order(8, Side.SELL, price=D(1002))).startswith("SELF_TRADE limit=1002")


def test_an_order_that_the_best_price_fills_does_not_reach_ours_behind_it() -> None:
    core = a_core(self_trade="deny")
    assert verdict(core, an_order(1, Side.SELL, price=D(1002))) == ""
    market: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None}
    assert verdict(core, an_order(2, **market)) == ""  # 1 is offered at 1001
    assert verdict(core, an_order(3, quantity="1.001", **market)).startswith("SELF_TRADE")
    assert verdict(core, an_order(4, quantity="1.001", price=D(1002))).startswith("SELF_TRADE")
    assert verdict(core, an_order(5, price=D(1002))) == ""


def test_self_trades_may_be_left_to_the_venue() -> None:
    core = a_core(self_trade="venue")
    assert verdict(core, an_order(1, Side.SELL)) == ""
    assert verdict(core, an_order(2)) == ""


# -- as a whole ------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(["order", "accept", "fill", "part", "cancel", "reject", "top", "tick"]),
    st.integers(0, 30),
    st.sampled_from(Side),
    st.sampled_from(["pp", "x"]),
    st.sampled_from(["BTC-USDT", "ETH-USDT"]),
    st.integers(1, 3000),
)
MAXIMA: dict[str, Any] = {"position_notional_max": D(4000), "gross_exposure_max": D(6000),
          "net_exposure_max": D(5000)}  # fmt: skip


class Play:
    """Plays random steps against a core; `approved` are its orders and what is left of each."""

    def __init__(self, *, moving: bool) -> None:
        limits = {"pp": StrategyLimits(gross_exposure_max=D(3000))}
        self.core = a_core(strategies=limits, **MAXIMA)
        self.approved: list[SubmitOrder] = []
        self.left: dict[str, Decimal] = {}
        self.moving = moving
        self.fills = 0

    def step(self, step: tuple[str, int, Side, str, str, int]) -> None:
        kind, n, side, strategy_id, name, size = step
        if kind == "order":
            order = an_order(
                len(self.approved) + 1000 * (n + 1), side, str(D(size) / 1000),
                strategy_id=strategy_id, instrument_id=name,
            )  # fmt: skip
            if any(isinstance(o, OrderApproved) for o in self.core.handle(order)):
                self.approved.append(order)
                self.left[order.client_order_id] = order.quantity
        elif kind == "top" and self.moving:
            self.core.handle(a_top(name, 1000.0 + size / 7, ts=S + n))
        elif kind == "tick":
            tick(self.core, S + n)
        elif self.approved and kind not in ("top", "tick"):
            self.report(kind, self.approved[n % len(self.approved)], size)

    def report(self, kind: str, order: SubmitOrder, size: int) -> None:
        left = self.left[order.client_order_id]
        if kind == "accept":
            self.core.handle(report(OrderAccepted, order, S, "v"))
        elif kind in ("fill", "part") and left:
            quantity = left if kind == "fill" else min(left, D(size) / 1000)
            self.fills += 1
            self.left[order.client_order_id] = left - quantity
            fill = a_fill(order, self.fills, str(quantity), fee="0.00012345", asset="USDT")
            done = order.quantity - left + quantity
            self.core.handle(report(OrderFilled, order, S, "v", fill.fill, done, left - quantity))
        elif kind == "cancel":
            done = order.quantity - left
            self.left[order.client_order_id] = D(0)
            self.core.handle(report(OrderCanceled, order, S, "v", done))
        elif kind == "reject" and left == order.quantity:
            self.left[order.client_order_id] = D(0)
            self.core.handle(report(OrderRejected, order, S, "-1", "no"))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_running_sums_equal_those_over_everything_from_scratch(steps: list[Any]) -> None:
    play = Play(moving=True)
    for step in steps:
        play.step(step)
    play.core.handle(TimerFired(S, S, "settle"))
    exposures = play.core._book.exposures
    for scope in exposures.scopes():
        gross, long, short, pnl = _from_scratch(exposures, scope)
        sums = exposures.sums(scope)
        assert (sums.gross, sums.long, sums.short, sums.pnl) == (gross, long, short, pnl)


def _from_scratch(exposures: Exposures, scope: str) -> tuple[Decimal, ...]:
    owner = scope.partition(":")[2] if scope.startswith("strategy:") else ""
    gross = long = short = pnl = D(0)
    for key, slot in exposures.slots(owner):
        mark, held = exposures._marks[key], slot.position.quantity
        top, low = (held + slot.buying) * mark, (held - slot.selling) * mark
        gross += max(abs(top), abs(low))
        long, short = long + top, short + low
        pnl += slot.position.net_pnl(mark)
    return gross, long, short, pnl


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_no_interleaving_of_approvals_and_fills_passes_a_limit(steps: list[Any]) -> None:
    play = Play(moving=False)
    for step in steps:
        play.step(step)
        held: dict[str, Decimal] = {}
        works: dict[tuple[str, Side], Decimal] = {}
        mine = D(0)
        for order in play.approved:
            left = play.left[order.client_order_id]
            key = (order.instrument_id, order.side)
            works[key] = works.get(key, D(0)) + left
        positions = play.core._book.positions
        for name in ("BTC-USDT", "ETH-USDT"):
            held[name] = positions.get(("sim", name), D(0))
            slot = play.core._book.exposures.slot(("sim", name), "pp")
            if slot is not None:
                q, b, s = slot.position.quantity, slot.buying, slot.selling
                mine += max(abs(q + b), abs(q - s)) * 1000
        tops = {n: held[n] + works.get((n, Side.BUY), D(0)) for n in held}
        lows = {n: held[n] - works.get((n, Side.SELL), D(0)) for n in held}
        worst = {n: max(abs(tops[n]), abs(lows[n])) * 1000 for n in held}
        assert all(value <= MAXIMA["position_notional_max"] for value in worst.values())
        assert sum(worst.values()) <= MAXIMA["gross_exposure_max"]
        assert sum(tops.values()) * 1000 <= MAXIMA["net_exposure_max"]
        assert -sum(lows.values()) * 1000 <= MAXIMA["net_exposure_max"]
        assert mine <= 3000
