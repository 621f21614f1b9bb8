"""Tick to order in one process: the same cores and shells on the memory bus."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tickbus.bus import MemoryBus
from tickbus.codec import Hop
from tickbus.config import load
from tickbus.events import BookTop, Event, Instrument
from tickbus.runtime import Core, ServiceSpec, Shell
from tickbus_cli.bench_frames import a_market, an_instrument
from tickbus_cli.profile import find_configuration
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import VenueSubmit
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.venue import FetchSnapshot, SnapshotAnswer, VenueConnected, VenueFrame
from tickbus_feed.venues.binance import Binance
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_strategy.config import StrategyEntry, seats
from tickbus_strategy.core import StrategyCore

FRAMES = 12_000
FRAMES_PER_S = 2_000
EVERY = 20
VENUE = "sim"


async def colocated() -> dict[str, Any]:
    """p50 and p99 in µs from a frame given to the feed to the request that execution makes."""
    bus = MemoryBus()
    times: list[int] = []

    async def submit(_: VenueSubmit, hops: tuple[Hop, ...]) -> None:
        times.append(time.time_ns() - hops[0].ts_recv)

    async def nothing(_: Any, __: tuple[Hop, ...]) -> None: ...

    instrument = an_instrument("BTCUSDT", VENUE)
    feed, strategy, risk, execution = _cores()
    for core in (feed, strategy, risk, execution):
        core.handle(instrument)
    shells = [
        Shell(ServiceSpec(name="feed", core=feed, sinks={FetchSnapshot: nothing}), bus),
        Shell(
            ServiceSpec(
                name="strategy",
                core=strategy,
                subscribe=("md.>",),
                consume=("orders.event.*.*", "orders.denied.*"),
            ),
            bus,
        ),
        Shell(
            ServiceSpec(
                name="risk",
                core=risk,
                consume=("orders.intent.*", "orders.event.*.*"),
            ),
            bus,
        ),
        Shell(
            ServiceSpec(
                name="execution",
                core=execution,
                consume=("orders.approved.*",),
                sinks={VenueSubmit: submit},
            ),
            bus,
        ),
    ]
    for shell in shells:
        await shell.start()
    await _drive(shells[0], shells[2], instrument)
    await bus.settle()
    for shell in shells:
        await shell.stop()
    times = sorted(times[len(times) // 4 :])
    return {
        "p50_us": round(times[len(times) // 2] / 1000, 1),
        "p99_us": round(times[int(len(times) * 0.99)] / 1000, 1),
        "count": len(times),
    }


async def _drive(feed: Shell, risk: Shell, instrument: Instrument) -> None:
    now = time.time_ns()
    await feed.run([VenueConnected(now, now)], ())
    begin = time.monotonic()
    for number, message in enumerate(a_market(instrument.symbol, FRAMES)):
        now = time.time_ns()
        event: Event = VenueFrame(now, now, message.payload)
        if message.kind == "rest":
            event = SnapshotAnswer(now, now, instrument.symbol, message.payload)
        if number % 200 == 0:
            # The book service's word, without which risk lets nothing pass.
            top = BookTop(
                now, now, VENUE, instrument.instrument_id, 59_999.99, 1.0, 60_000.01, 1.0, 1, number
            )
            await risk.run([top], ())
        await feed.run([event], ())
        delay = begin + number / FRAMES_PER_S - time.monotonic()
        await asyncio.sleep(max(0.0, delay))


def _cores() -> Sequence[Core]:
    root = find_configuration(Path.cwd()).parent
    settings = load([root / "config" / "default.yaml"], {}, run_id="bench")
    entry = StrategyEntry(
        id="metronome",
        kind=f"{root / 'benchmarks' / 'metronome.py'}:Metronome",
        instruments=("BTC-USDT",),
        params={"every": EVERY},
    )
    limits = RiskConfig(
        order_notional_max=Decimal(1000),
        position_notional_max=Decimal(1_000_000),
        open_orders_max=1_000_000,
        order_rate_per_s_max=100_000,
        total_order_rate_per_s_max=100_000,
        price_deviation_bps_max=Decimal(500),
        market_data_age_ms_max=10_000,
        gross_exposure_max=Decimal(1_000_000),
        net_exposure_max=Decimal(1_000_000),
        daily_loss_max=Decimal(1_000_000),
        drawdown_max=Decimal(1_000_000),
        heartbeat_timeout_s=Decimal(0),
        balance_check=False,  # no account reports here
        self_trade="deny",
    )
    return (
        FeedCore(FeedConfig(), VENUE, Binance()),
        StrategyCore(seats(settings, [entry])),
        RiskCore(limits),
        ExecutionCore(VENUE),
    )
