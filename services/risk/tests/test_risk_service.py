"""Risk on a bus: what goes in and what comes out, and what a restart remembers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message, NatsBus
from tickbus.config import ConfigError, Settings
from tickbus.events import (
    BookTop,
    DenialReason,
    Event,
    Heartbeat,
    Instrument,
    OrderApproved,
    OrderDenied,
    OrderType,
    RiskLimitChanged,
    RiskState,
    SetLimit,
    SetTradingState,
    Side,
    SubmitOrder,
    TradingState,
    TradingStateChanged,
)
from tickbus.events.orders import message_id
from tickbus.runtime.shell import Shell
from tickbus_risk.core import RiskCore
from tickbus_risk.service import build
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.users import NEIGHBOR, Users

D = Decimal
S = 1_000_000_000
LIMITS: dict[str, Any] = {
    "order_notional_max": 10_000, "position_notional_max": 20_000, "open_orders_max": 5,
    "order_rate_per_s_max": 100, "total_order_rate_per_s_max": 1000,
    "price_deviation_bps_max": 500, "market_data_age_ms_max": 10**15,
    "gross_exposure_max": 10**6, "net_exposure_max": 10**6, "daily_loss_max": 10**6,
    "drawdown_max": 10**6, "heartbeat_timeout_s": 0, "balance_check": False, "self_trade": "deny",
}  # fmt: skip
VENUE: dict[str, Any] = {
    "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
    "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
}  # fmt: skip


@asynccontextmanager
async def a_risk(bus: MemoryBus) -> AsyncIterator[Shell]:
    shell = Shell(build(Settings({"risk": LIMITS, "venue": VENUE})), bus)
    await shell.start()
    try:
        yield shell
    finally:
        await shell.stop()


def an_order(n: int, quantity: str = "1") -> SubmitOrder:
    return SubmitOrder(
        S, S, f"pp-r-{n}", "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(quantity), D(1000)
    )


async def put(bus: MemoryBus, *events: Event) -> None:
    for event in events:
        payload = codec.encode([event])
        if subjects.is_durable(event):
            await bus.publish_durable(subjects.of(event), payload, message_id(event))
        else:
            await bus.publish(subjects.of(event), payload)
        await bus.settle()


async def heard_on(bus: MemoryBus) -> list[Event]:
    heard: list[Event] = []

    async def hear(message: Message) -> None:
        heard.extend(codec.decode(message.payload).events)

    for subject in (subjects.APPROVED_ALL, subjects.DENIED_ALL, subjects.RISK_STATE):
        await bus.subscribe(subject, hear)
    return heard


def states(heard: list[Event]) -> list[TradingState]:
    return [event.state for event in heard if isinstance(event, RiskState)]


async def a_market() -> MemoryBus:
    bus = MemoryBus()
    btc = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))
    await bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(btc))
    return bus


TOP = BookTop(S, S, "sim", "BTC-USDT", 999.0, 1.0, 1001.0, 1.0, 1, 1)


async def test_an_intent_becomes_one_verdict_and_a_restart_remembers_it() -> None:
    bus = await a_market()
    heard = await heard_on(bus)
    async with a_risk(bus):
        await put(bus, TOP, an_order(1, "10"), an_order(2, "10"))
    async with a_risk(bus):
        await put(bus, TOP, an_order(3, "1"))
    verdicts = [event for event in heard if isinstance(event, OrderApproved | OrderDenied)]
    assert [type(event) for event in verdicts] == [OrderApproved, OrderApproved, OrderDenied]
    assert isinstance(verdicts[2], OrderDenied)
    assert verdicts[2].reason is DenialReason.POSITION_ABOVE_MAX


async def test_the_kill_switch_comes_through_the_bucket_and_outlives_risk() -> None:
    bus = await a_market()
    heard = await heard_on(bus)
    halt = SetTradingState(S, S, TradingState.HALTED, "ops", "drill")
    async with a_risk(bus):
        await bus.kv_put("control", "trading", codec.encode_value(halt))
        await bus.settle()
    # The same state is told again each second.
    assert [state for state, _ in groupby(states(heard))] == [
        TradingState.ACTIVE, TradingState.HALTED,
    ]  # fmt: skip
    before = len(states(heard))
    async with a_risk(bus):
        await put(bus, TOP, an_order(1))
    assert {*states(heard)[before:]} == {TradingState.HALTED}
    denied = next(event for event in heard if isinstance(event, OrderDenied))
    assert denied.reason is DenialReason.TRADING_HALTED


async def test_limits_come_through_the_bucket_and_their_record_stays_in_the_stream() -> None:
    bus = await a_market()
    heard = await heard_on(bus)
    await bus.subscribe(subjects.RISK_AUDIT_ALL, lambda m: _keep(heard, m))
    async with a_risk(bus):
        wish = SetLimit(S, S, "strategy:pp", "order_notional_max", D(500), "ops", "less")
        await bus.kv_put("limits", "strategy:pp/order_notional_max", codec.encode_value(wish))
        await put(bus, TOP, an_order(1))
    async with a_risk(bus):
        await put(bus, TOP, an_order(2))
    reasons = [event.reason for event in heard if isinstance(event, OrderDenied)]
    assert reasons == [DenialReason.NOTIONAL_ABOVE_MAX] * 2
    (record,) = [event for event in heard if isinstance(event, RiskLimitChanged)]
    assert (record.scope, record.before, record.after) == ("strategy:pp", None, D(500))
    assert (record.actor, record.reason, record.problem) == ("ops", "less", "")


async def _keep(heard: list[Event], message: Message) -> None:
    heard.extend(codec.decode(message.payload).events)


async def test_risk_hears_itself_and_the_strategies_over_the_bus() -> None:
    bus = await a_market()
    async with a_risk(bus) as shell:
        await put(bus, Heartbeat(S, S, "pp"))
        heard = shell.telemetry.counts["Heartbeat", "handled"]
    assert heard >= 1
    assert subjects.of(Heartbeat(S, S, "pp")) == "control.heartbeat.pp"


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_nobody_set_stops_the_start(name: str) -> None:
    limits = {key: value for key, value in LIMITS.items() if key != name}
    with pytest.raises(ConfigError, match=name):
        build(Settings({"risk": limits, "venue": VENUE}))


async def test_a_strategy_cannot_resume_what_is_halted() -> None:
    bus = MemoryBus()
    halted = SetTradingState(S, S, TradingState.HALTED, "halt", "ann")
    await bus.kv_put("control", "trading", codec.encode_value(halted))
    resume = SetTradingState(2 * S, 2 * S, TradingState.ACTIVE, "resume", "pp")
    resumed = TradingStateChanged(
        2 * S, 2 * S, "global", TradingState.HALTED, TradingState.ACTIVE, "pp", "resume"
    )
    async with a_risk(bus) as shell:
        for number, forged in enumerate((resume, resumed)):
            await bus.publish_durable("orders.intent.pp", codec.encode([forged]), f"x{number}")
            await bus.publish("control.heartbeat.pp", codec.encode([forged]))
        heard = await heard_on(bus)
        await put(bus, an_order(1))
        assert [e.reason for e in heard if isinstance(e, OrderDenied)] == [
            DenialReason.TRADING_HALTED
        ]
        assert shell.telemetry.errors["malformed"] == 4


async def test_restart_from_a_snapshot_with_no_more_permissions_than_risk_has() -> None:
    users = Users()
    async with nats_server(users) as server:
        desk, bus = [
            await NatsBus.connect(server.url, user, login=users.login(user), timeout_s=PATIENCE_S)
            for user in (NEIGHBOR, "risk")
        ]
        for n in range(1, 6):
            event = an_order(n)  # nobody knows the market: each is denied
            last = await desk.publish_durable(
                subjects.of(event), codec.encode([event]), message_id(event)
            )
        for restart in range(2):
            shell = Shell(build(Settings({"risk": LIMITS, "venue": VENUE})), bus)
            await shell.start()
            await shell.caught_up()
            core, snapshotter = shell.spec.core, shell._snapshotter
            assert isinstance(core, RiskCore)
            assert snapshotter is not None
            assert all(f"pp-r-{n}" in core._book.ids for n in range(1, 6))
            assert ("SubmitOrder", "folded") not in shell.telemetry.counts
            assert (shell.telemetry.gauges.get("snapshot_sequence", 0) > 0) == bool(restart)
            async with asyncio.timeout(PATIENCE_S):
                while snapshotter.position < last.sequence:
                    await asyncio.sleep(0.01)
            await snapshotter.make()
            await shell.stop()
            assert shell.failure is None
        await bus.close()
        await desk.close()
