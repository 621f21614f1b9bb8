"""Risk restored from a snapshot is risk that folded everything."""

from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import (
    SMART_VENUE,
    AccountUpdated,
    Balance,
    CancelAllOrders,
    DenialReason,
    Event,
    FlattenEnded,
    Instrument,
    OrderApproved,
    OrderDenied,
    OrderReplaced,
    OrderType,
    PnlRecorded,
    Recovered,
    RiskLimitChanged,
    SetLimit,
    SetTradingState,
    StopCause,
    TimerFired,
    TradingState,
    TradingStateChanged,
)
from tickbus.limits import InstrumentLimits, StrategyLimits, VenueLimits
from tickbus.runtime.snapshots import memory_of, slices_of
from tickbus_risk import state, watch
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import TIMER, RiskCore
from tickbus_risk.snapshot import IdsMemory
from tickbus_risk.state import SeenIds
from tickbus_testkit.memories import assert_snapshot_is_history, order_path, restored
from tickbus_testkit.trading import (
    LIMITS,
    D,
    a_fill,
    a_top,
    an_account,
    an_instrument,
    an_order,
    verdict,
)

FIRST, LATER = 1_000_000_000, 9_000_000_000
INSTRUMENTS = ("BTC-USDT", "ETH-USDT", "ETH-BTC", "BTC-USDT-PERP")
SCOPES = ("global", "strategy:pp", "strategy:mo")
CONFIG = RiskConfig(
    **LIMITS | {
        "order_rate_per_s_max": 4, "total_order_rate_per_s_max": 6, "balance_check": True,
        "self_trade": "deny", "daily_loss_max": D(300), "drawdown_max": D(300),
        "heartbeat_timeout_s": D(1),
    },
    instruments={"ETH-USDT": InstrumentLimits(order_rate_per_s_max=3)},
    venues={"sim": VenueLimits(total_order_rate_per_s_max=5, orders_per_fill_max=9)},
    strategies={"pp": StrategyLimits(drawdown_max=D(50))},
)  # fmt: skip


def a_core(config: RiskConfig = CONFIG) -> RiskCore:
    """What has heard the bucket of instruments, as every service has before its history."""
    core = RiskCore(config, {"sim": D("0.001")})
    for name in INSTRUMENTS:
        core.handle(an_instrument("-".join(name.split("-")[:2])))
        core.handle(_contract(name))
    return core


def _contract(name: str) -> Instrument:
    known = an_instrument("-".join(name.split("-")[:2]))
    if name.count("-") == 1:
        return known
    return msgspec.structs.replace(known, instrument_id=name, contract_size=D("0.01"))


def a_history(random: Random, count: int) -> list[Event]:
    """Orders of every kind of market, and what risk itself puts on record, in any order."""
    events: list[Event] = []
    for plain in order_path(random, count):
        events.append(_elsewhere(random, plain))
        if random.random() < 0.4:
            events.append(_of_risk(random, plain.ts_recv))
    return events


def _elsewhere(random: Random, event: Event) -> Event:
    # The same order always in the same market: its last digit says in which.
    order = getattr(event, "order", getattr(event, "cancel", event))
    order_id = getattr(order, "client_order_id", "")
    if not order_id:
        return event
    number = int(order_id[-1])
    place: dict[str, Any] = {"instrument_id": INSTRUMENTS[number % 4]}
    if order_id.startswith("mo-r2"):
        place["venue"] = SMART_VENUE
    if hasattr(order, "order_type") and number == 4:
        place |= {"order_type": OrderType.MARKET, "price": None}
    moved = msgspec.structs.replace(order, **place)
    if order is event:
        return moved
    return msgspec.structs.replace(
        event, **{"order" if hasattr(event, "order") else "cancel": moved}
    )


def _of_risk(random: Random, now: int) -> Event:
    scope, n = random.choice(SCOPES), random.randint(1, 50)
    owner = scope.partition(":")[2]
    middle = f"{owner}-" if owner else ""
    closing = an_order(
        client_order_id=f"risk-{middle}{n}", strategy_id="risk", ts_recv=now,
        order_type=OrderType.MARKET, price=None, reduce_only=True,
    )  # fmt: skip
    after = random.choice(list(TradingState))
    cause = random.choice((StopCause.MANUAL, StopCause.DRAWDOWN))
    actor = random.choice(("risk", "ada"))
    head = (now, now, "pp-r1-1", "pp", "sim", INSTRUMENTS[1])
    balances = (Balance("BTC", D(n), D(0)), Balance("USDT", D(n * 100), D(0)))
    choices: list[Event] = [
        TradingStateChanged(
            now, now, scope, TradingState.ACTIVE, after, actor, "why", cause,
            flatten=random.random() < 0.5,
        ),
        RiskLimitChanged(now, now, scope, "drawdown_max", D(1), D(2), actor, "why"),
        PnlRecorded(now, now, scope, 0, D(n), D(-n), D(n)),
        FlattenEnded(now, now, scope, n, ()),
        OrderApproved(now, now, closing),
        a_fill(closing, n, "0.3", price=f"10{n}.5", fee="0.00012", asset="BNB", ts=now),
        AccountUpdated(now, now, "sim", balances, complete=random.random() < 0.5),
        OrderReplaced(*head, "pp-r1-2", D("0.5")),
    ]  # fmt: skip
    return random.choice(choices)


def what_comes() -> list[Event | Instrument]:
    """Wishes, the start, the market, and then everything that makes risk speak."""
    orders = [
        an_order(client_order_id=f"{s}-r1-{n}", strategy_id=s, ts_recv=LATER, instrument_id=name,
                 quantity="0.01")
        for s in ("pp", "mo") for name in INSTRUMENTS for n in (1, 5, 6)
    ]  # fmt: skip
    ticks = [
        TimerFired(LATER + n * 1_000_000_000, LATER + n * 1_000_000_000, key)
        for n in range(1, 5) for key in (watch.TIMER, TIMER)
    ]  # fmt: skip
    return [
        SetLimit(LATER, LATER, "global", "gross_exposure_max", D(500), "ada", "why"),
        SetTradingState(5 * FIRST, 5 * FIRST, TradingState.ACTIVE, "ada", "why", "pp"),
        Recovered(LATER, LATER),
        *(a_top(name, mid=1010.0, ts=LATER) for name in INSTRUMENTS),
        *orders[:12],
        an_account(LATER, BTC="2", USDT="3000"),
        *ticks,
        SetTradingState(LATER, LATER, TradingState.ACTIVE, "ada", "on"),
        *orders[12:],
        CancelAllOrders(LATER, LATER, "all"),
        *ticks[-2:],
    ]


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 90), part=st.floats(0, 1))
def test_restored_risk_knows_and_says_what_the_whole_history_makes_it(
    seed: int, count: int, part: float
) -> None:
    history = a_history(Random(seed), count)
    assert_snapshot_is_history(a_core, history, round(part * len(history)), what_comes())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), part=st.floats(0, 1))
def test_the_same_where_old_ids_and_fills_have_been_forgotten(seed: int, part: float) -> None:
    history = a_history(Random(seed), 90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "FILL_IDS_MAX", 5)
        patch.setattr(SeenIds.__init__, "__defaults__", (6, 2))
        assert_snapshot_is_history(a_core, history, round(part * len(history)), what_comes())


@given(ids=st.lists(st.integers(1, 30).map(lambda n: f"a-{n}"), max_size=60))
def test_forgotten_ids_are_known_by_their_floor_after_a_restart(ids: list[str]) -> None:
    whole, again = SeenIds(5), SeenIds(5)
    for order_id in ids:
        whole.add(order_id)
    again.restore(memory_of(list(slices_of(whole.snapshot())), IdsMemory))
    assert all(order_id in again for order_id in ids)


def test_floors_have_a_bound_and_the_run_that_trades_keeps_its_own() -> None:
    seen = SeenIds(ids_max=1, floors_max=3)
    for run in range(50):
        seen.add(f"pp-r{run}-1")
        seen.add(f"pp-mine-{run}")
    seen.add("x")
    assert list(seen.snapshot().floors) == ["pp-r48", "pp-r49", "pp-mine"]
    assert "pp-mine-49" in seen
    assert "pp-r0-1" not in seen


def test_snapshot_made_under_other_limits_is_refused() -> None:
    wider = msgspec.structs.replace(CONFIG, order_rate_per_s_max=50)
    with pytest.raises(ValueError, match="other limits"):
        restored(a_core(), a_core(wider))


def test_stop_and_the_ids_of_orders_survive_a_restart_from_a_snapshot() -> None:
    core = a_core()
    core.handle(OrderApproved(FIRST, FIRST, an_order(1)))
    stop = TradingStateChanged(
        FIRST, FIRST, "strategy:mo", TradingState.ACTIVE, TradingState.HALTED, "risk", "lost",
        StopCause.DAILY_LOSS,
    )  # fmt: skip
    core.handle(stop)
    again = restored(core, a_core())
    again.handle(Recovered(LATER, LATER))
    again.handle(a_top(ts=LATER))
    (denied,) = again.handle(an_order(1))
    assert isinstance(denied, OrderDenied)
    assert denied.reason is DenialReason.ORDER_ID_DUPLICATE
    assert "STRATEGY_STOPPED" in verdict(again, an_order(2, strategy_id="mo"))


def test_what_is_held_is_worth_what_the_instruments_known_at_the_restart_say() -> None:
    core = RiskCore(CONFIG)
    order = an_order(1, instrument_id="BTC-USDT-PERP")
    core.handle(OrderApproved(FIRST, FIRST, order))
    core.handle(a_fill(order, 1))
    fresh = RiskCore(CONFIG)
    fresh.handle(_contract("BTC-USDT-PERP"))
    again = restored(core, fresh)
    core.handle(_contract("BTC-USDT-PERP"))  # told later, it counts all the same
    for knowing in (core, again):
        assert isinstance(knowing, RiskCore)
        assert knowing._book.exposures.sums("global").gross == Decimal(10)
