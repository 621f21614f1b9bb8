"""The paths that `seeing.py` measures: a tick's to the strategies, and an order's to the books.

Real cores, shells, codec and telemetry; the venue answers at once, and Postgres takes every batch
without writing it. What a service does beyond that (sockets, TLS, Postgres) would make seeing a
smaller part of it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from tickbus import codec, subjects
from tickbus.bus import Bus
from tickbus.codec import Hop
from tickbus.config import Settings, load
from tickbus.events import BookTop, Event, Fill, LiquiditySide, OrderFilled, Quote
from tickbus.runtime import Context, ServiceSpec, Shell, Telemetry
from tickbus.traces.tracer import Tracer
from tickbus_book.config import BookConfig
from tickbus_book.core import BookCore
from tickbus_cli.bench_frames import a_market, an_instrument
from tickbus_execution.core import ExecutionCore
from tickbus_execution.leaving import order_left
from tickbus_execution.venue import OrderReport, VenueStatus, VenueSubmit
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.venue import FetchSnapshot, ProbeBook, SnapshotAnswer, VenueConnected, VenueFrame
from tickbus_feed.venues.binance import Binance
from tickbus_ledger.changes import Books
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.store import Store
from tickbus_ledger.writer import Writer
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_strategy.config import StrategyEntry, seats
from tickbus_strategy.core import StrategyCore

VENUE = "sim"
ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 60.0
NEVER = 10**9
Connect = Callable[[str], "asyncio.Future[Bus] | Any"]
TracerOf = Callable[[str, Telemetry], Tracer | None]


class Seen:
    """A core that says how many events it was given, so that one knows when all have arrived."""

    def __init__(self, core: Any, kind: type | tuple[type, ...]) -> None:
        self._core = core
        self._kind = kind
        self._wanted = 0
        self._came = asyncio.Event()
        self.count = 0

    def handle(self, event: Any, /) -> Sequence[Event]:
        """What the core says."""
        outputs: Sequence[Event] = self._core.handle(event)
        if isinstance(event, self._kind):
            self.count += 1
            if self.count >= self._wanted:
                self._came.set()
        return outputs

    async def until(self, count: int) -> None:
        """Return once so many have come. Raises TimeoutError."""
        self._wanted = count
        if self.count < count:
            self._came.clear()
            async with asyncio.timeout(WAIT_S):
                await self._came.wait()


class SimVenue:
    """Takes each order and fills it, in two reports, as soon as it was sent."""

    async def start(self, context: Context) -> None:
        """Remember who is to hear the reports."""
        self._context = context

    async def stop(self) -> None:
        """Nothing to close."""

    async def take(self, wish: VenueSubmit, hops: tuple[Hop, ...]) -> None:
        """One order."""
        now = self._context.clock.now_ns()
        order_left(self._context, wish.order.client_order_id, hops, now)
        self._context.spawn(self._answer(wish), "the venue's answer")

    async def _answer(self, wish: VenueSubmit) -> None:
        order, now = wish.order, self._context.clock.now_ns()
        names = (order.client_order_id, order.instrument_id, "v1")
        new = OrderReport(now, now, *names, VenueStatus.NEW, order.side, order.quantity, Decimal(0))
        await self._context.emit([new])
        price, fee = order.price or Decimal(60_000), Decimal("0.001")
        fill = Fill(
            f"f-{order.client_order_id}", order.side, price, order.quantity, fee, "USDT",
            LiquiditySide.TAKER, now,
        )  # fmt: skip
        filled = OrderReport(
            now, now, *names, VenueStatus.FILLED, order.side, order.quantity, order.quantity,
            (fill,),
        )  # fmt: skip
        await self._context.emit([filled])


class NoPostgres:
    """Has no books at the start, and takes every batch."""

    async def claim(self, mode: str, venue: str) -> None:
        """They are ours."""

    async def load(self) -> Books:
        """Nothing."""
        return Books()

    async def write(self, batch: Any) -> None:
        """Taken."""

    async def has_fill(self, event: OrderFilled) -> bool:
        """It has none."""
        return False

    async def close(self) -> None:
        """Nothing to close."""

    @classmethod
    async def open(cls, dsn: str, say: Any = None) -> "NoPostgres":
        """In the place of `Store.open`."""
        return cls()


class Services:
    """Shells, each with a bus and telemetry of its own."""

    def __init__(self, connect: Connect, tracer_of: TracerOf, events_max: int) -> None:
        self.events_max = events_max
        self.shells: dict[str, Shell] = {}
        self._connect = connect
        self._tracer_of = tracer_of

    async def add(self, spec: ServiceSpec) -> Shell:
        """Start one more."""
        telemetry = Telemetry(spec.name)
        tracer = self._tracer_of(spec.name, telemetry)
        bus = await self._connect(spec.name)
        shell = Shell(spec, bus, telemetry=telemetry, tracer=tracer)
        await shell.start()
        for task in shell._tasks:
            if task.get_name() == "watch":
                task.cancel()  # once a second, which under valgrind is every few events
        self.shells[spec.name] = shell
        return shell

    async def stop(self) -> None:
        """Stop them all."""
        for shell in reversed(self.shells.values()):
            await shell.stop()
        for bus in {id(shell.bus): shell.bus for shell in self.shells.values()}.values():
            await bus.close()

    def scrape(self) -> dict[str, float]:
        """Processor ms that each service takes to tell its numbers."""
        took = {}
        for name, shell in self.shells.items():
            generate_latest(shell.telemetry.registry)
            began = time.thread_time()
            for _ in range(20):
                generate_latest(shell.telemetry.registry)
            took[name] = (time.thread_time() - began) / 20 * 1000
        return took


class Ticks(Services):
    """Frames of a venue through feed, book and strategy, `together` at a time.

    A feed hands on one by one what comes one by one, which is dearest to count and time; what waits
    because the feed is busy it hands on together.
    """

    together = 1

    async def start(self) -> None:
        """Feed, book and a strategy that looks at each quote and never orders."""
        instrument = an_instrument("BTCUSDT", VENUE)
        feed = FeedCore(FeedConfig(), VENUE, Binance())
        self._book = Seen(BookCore(BookConfig()), Event)
        self._strategy = Seen(_strategy(NEVER), Event)
        for core in (feed, self._book, self._strategy):
            core.handle(instrument)
        kinds = tuple(subjects.market(kind) for kind in ("snapshot", "delta", "status"))
        await self.add(ServiceSpec(name="book", core=self._book, subscribe=kinds))
        heard = tuple(subjects.market(kind) for kind in ("quote", "trade", "delta", "status"))
        await self.add(ServiceSpec(name="strategy", core=self._strategy, subscribe=heard))
        spec = ServiceSpec(
            name="feed", core=feed, sinks={FetchSnapshot: _nothing, ProbeBook: _nothing}
        )
        self._feed = await self.add(spec)
        self._messages = iter(a_market(instrument.symbol, self.events_max))
        await self._feed.run([VenueConnected(now := time.time_ns(), now)], ())
        first = next(self._messages)
        answer = SnapshotAnswer(time.time_ns(), now, instrument.symbol, first.payload)
        await self._feed.run([answer], ())
        await asyncio.sleep(0.2)  # what the beginning says besides is heard

    async def run(self, count: int) -> None:
        """`count` frames, each of which is one tick for the strategy."""
        wanted = self._strategy.count + count // self.together * self.together
        for _ in range(count // self.together):
            now = time.time_ns()
            frames = islice(self._messages, self.together)
            await self._feed.run([VenueFrame(now, now, frame.payload) for frame in frames], ())
        await self._strategy.until(wanted)


class Orders(Services):
    """Quotes, each of which makes the strategy order: risk, execution, fill and books."""

    async def start(self) -> None:
        """Strategy, risk, execution and ledger, who all know the market."""
        instrument = an_instrument("BTCUSDT", VENUE)
        strategy, risk, execution = _strategy(1), RiskCore(_limits()), ExecutionCore(VENUE)
        ledger = LedgerCore(LedgerConfig(), ["BTC-USDT"])
        self._filled = Seen(strategy, OrderFilled)
        for core in (strategy, risk, execution, ledger):
            core.handle(instrument)
        venue = SimVenue()
        Store.open = NoPostgres.open  # type: ignore[assignment,method-assign]
        writer = Writer(ledger, LedgerConfig(), "", "simulated", VENUE)
        await self.add(ServiceSpec(name="ledger", core=ledger, edges=(writer,)))
        await self.add(
            ServiceSpec(
                name="execution", core=execution, consume=(subjects.approved(VENUE),),
                sinks={VenueSubmit: venue.take}, edges=(venue,),
            )
        )  # fmt: skip
        self._risk = await self.add(
            ServiceSpec(
                name="risk", core=risk, consume=(subjects.INTENTS_ALL, subjects.ORDER_EVENTS_ALL),
                subscribe=(subjects.BOOK_TOP_ALL,),
            )
        )  # fmt: skip
        heard = (subjects.order_events("*", "*"), subjects.denied("*"))
        self._strategy = await self.add(
            ServiceSpec(
                name="strategy", core=self._filled, subscribe=(subjects.market("quote"),),
                consume=heard,
            )
        )  # fmt: skip
        self._market = await self._connect("market")
        self._number = 0
        await asyncio.sleep(0.2)

    async def run(self, count: int) -> None:
        """`count` orders; returns when the strategy knows of the last fill."""
        wanted, now = self._filled.count + count, time.time_ns()
        top = (59_999.99, 1.0, 60_000.01, 1.0, 1, self._number)
        await self._risk.run([BookTop(now, now, VENUE, "BTC-USDT", *top)], ())
        for _ in range(count):
            self._number += 1
            now = time.time_ns()
            quote = Quote(now, now, VENUE, "BTC-USDT", 59_999.99, 1.0, 60_000.01, 1.0, self._number)
            payload = codec.encode([quote], (Hop("feed", now, now),))
            await self._market.publish(subjects.of(quote), payload)
        await self._filled.until(wanted)


PATHS: Mapping[str, type[Ticks] | type[Orders]] = {"ticks": Ticks, "orders": Orders}


async def _nothing(_: Any, __: tuple[Hop, ...]) -> None: ...


def _strategy(every: int) -> StrategyCore:
    settings: Settings = load([ROOT / "config" / "default.yaml"], {}, run_id="bench")
    entry = StrategyEntry(
        id="metronome",
        kind=f"{ROOT / 'benchmarks' / 'metronome.py'}:Metronome",
        instruments=("BTC-USDT",),
        params={"every": every},
    )
    return StrategyCore(seats(settings, [entry]))


def _limits() -> RiskConfig:
    much = Decimal(10**12)
    return RiskConfig(
        order_notional_max=Decimal(1000),
        position_notional_max=much,
        open_orders_max=1_000_000,
        order_rate_per_s_max=100_000,
        total_order_rate_per_s_max=100_000,
        price_deviation_bps_max=Decimal(500),
        market_data_age_ms_max=1_000_000,
        gross_exposure_max=much,
        net_exposure_max=much,
        daily_loss_max=much,
        drawdown_max=much,
        heartbeat_timeout_s=Decimal(0),
        balance_check=False,  # no account reports here
        self_trade="deny",
    )
