"""Wires the cores of all services for a replay and feeds them a capture in virtual time."""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tickbus.captures import CaptureError, Captures, Problem
from tickbus.config import ConfigError, Settings, load
from tickbus.events import (
    AccountUpdated,
    BookDelta,
    BookSnapshot,
    BookTop,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    Event,
    FeedStatus,
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderUnknown,
    Quote,
    SubmitOrder,
    TimerFired,
    Trade,
)
from tickbus.simulation import Node, Simulation
from tickbus_book.config import BookConfig
from tickbus_book.core import BookCore
from tickbus_cli.capture_feed import CaptureFeed
from tickbus_cli.replay_instruments import Sample, describe
from tickbus_cli.replay_report import build_report
from tickbus_execution.config import ExecutionConfig, PaperConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import TIMER, LedgerCore
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_strategy.config import StrategyEntry, find, seats
from tickbus_strategy.core import StrategyCore, StrategyFailed

RUN_ID = "replay"
PAPER_DEFAULT = Decimal(100_000)
LEDGER_INTERVAL_NS = 1_000_000_000
ORDER_EVENTS = (
    OrderSubmitted, OrderReplaced, OrderAccepted, OrderRejected, OrderFilled, OrderCanceled,
    OrderExpired, CancelRejected, OrderUnknown,
)  # fmt: skip


class ReplayOptions(NamedTuple):
    """What the command line asked for."""

    captures: tuple[str, ...]
    strategy: str = ""
    adapter: str = ""
    instruments: tuple[str, ...] = ()


def settings_for(files: Sequence[Path]) -> Settings:
    """The configuration, with the ids of a replay, which never change. Raises ConfigError."""
    return load(files, {"TICKBUS_POSTGRES_DSN": ""}, run_id=RUN_ID)


class Replayer:
    """One replay: made from the capture's beginning, run once, then asked for its report."""

    def __init__(self, options: ReplayOptions, settings: Settings) -> None:
        sample = Sample.take(options.captures, options.adapter)
        self.adapter = sample.adapter
        self.venue = sample.adapter.name
        self.instruments, self.described_by = describe(sample, self.venue)
        self.traded = self._traded(options)
        self.entries = _entries(settings, options.strategy, self.traded, self.venue)
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.denials: Counter[str] = Counter()
        self.failures: list[StrategyFailed] = []
        self.ts_first = self.ts_last = 0
        self._sequence = 0
        self._ts_ledger = 0
        self.opening = _opening(settings, self.instruments)
        self._wire(settings)

    def _traded(self, options: ReplayOptions) -> tuple[str, ...]:
        known = [instrument.instrument_id for instrument in self.instruments]
        for name in options.instruments:
            if name not in known:
                raise CaptureError(
                    f"--instrument {name}: not in the capture; there are {', '.join(known)}"
                )
        return options.instruments or tuple(known)

    def _wire(self, settings: Settings) -> None:
        venue, fees = self.venue, settings.venue.fees
        self.feed = FeedCore(settings.section("feed", FeedConfig), venue, self.adapter)
        self.book = BookCore(settings.section("book", BookConfig))
        self.strategy = StrategyCore(seats(settings, self.entries))
        risk = RiskCore(settings.section("risk", RiskConfig), {venue: fees.taker})
        execution = settings.section("execution", ExecutionConfig)
        paper = PaperConfig(balances=self.opening, latency_ms=execution.paper.latency_ms)
        venue_core = PaperVenue(venue, paper, fees, RUN_ID)
        broker = PaperExecution(ExecutionCore(venue), venue_core)
        self.ledger = LedgerCore(settings.section("ledger", LedgerConfig), self.traded)
        market = (Trade, Quote, BookTop, FeedStatus)
        nodes = (
            Node(name="feed", core=self.feed, accepts=()),
            # The paper venue stands before the strategies: it must know the book that they act on.
            Node(
                name="execution", core=broker,
                accepts=(BookSnapshot, BookDelta, Trade, OrderApproved, CancelApproved),
            ),
            Node(name="book", core=self.book, accepts=(BookSnapshot, BookDelta, FeedStatus)),
            Node(
                name="risk", core=risk,
                accepts=(
                    BookTop, FeedStatus, SubmitOrder, CancelOrder, CancelAllOrders, *ORDER_EVENTS,
                    AccountUpdated,
                ),
            ),
            Node(
                name="strategy", core=self.strategy,
                accepts=(*market, OrderDenied, *ORDER_EVENTS),
            ),
        )  # fmt: skip
        self.simulation = Simulation(nodes, [self._observe])
        for instrument in self.instruments:
            for core in (self.feed, broker, risk, self.strategy):
                core.handle(instrument)

    # -- running -----------------------------------------------------------------------------------

    def run(self, captures: Captures, wait: Callable[[int], None]) -> None:
        """Feed every message of `captures`; `wait` may delay, by the message's time."""
        simulation = self.simulation
        capture = CaptureFeed(self.feed, self.adapter, self._feed)
        for message in captures:
            now = message.ts_recv
            if not self.ts_first:
                self.ts_first = now
                simulation.start(now)
                capture.open_lines(now)
            self.ts_last = max(self.ts_last, now)
            self.kinds[message.kind] += 1
            wait(now)
            capture.take(message)
            if now - self._ts_ledger > LEDGER_INTERVAL_NS:
                self._value(now)
        simulation.drain(self.ts_last)
        self._value(self.ts_last)

    def _feed(self, event: Event, now: int) -> None:
        self.simulation.feed("feed", event, now)
        self.simulation.advance(now)

    def _value(self, now: int) -> None:
        self._ts_ledger = now
        self.ledger.handle(TimerFired(now, now, TIMER))
        self.ledger.take_changes()  # nobody writes them down here

    def _observe(self, _: str, event: Any) -> None:
        kind = type(event)
        self.counts[kind.__name__] += 1
        if kind is BookTop:
            self.ledger.handle(event)
        elif kind is OrderDenied:
            self.denials[str(event.reason)] += 1
        elif kind is StrategyFailed:
            self.failures.append(event)
            return
        if kind in _ON_ORDER_PATH:
            self._sequence += 1
            self.ledger.fold(self._sequence, event)

    def report(self, problems: Sequence[Problem]) -> dict[str, Any]:
        """What happened, without a word that depends on this machine or this moment."""
        return build_report(self, problems)


_ON_ORDER_PATH = {
    SubmitOrder, CancelOrder, CancelAllOrders, OrderApproved, CancelApproved, OrderDenied,
    AccountUpdated, *ORDER_EVENTS,
}  # fmt: skip


def _opening(settings: Settings, instruments: Sequence[Instrument]) -> dict[str, Decimal]:
    """The paper account: as configured, and something of each quote asset that is missing."""
    balances = dict(settings.section("execution", ExecutionConfig).paper.balances)
    for instrument in instruments:
        balances.setdefault(instrument.quote, PAPER_DEFAULT)
    return dict(sorted(balances.items()))


def _entries(
    settings: Settings, wanted: str, instruments: Sequence[str], venue: str
) -> list[StrategyEntry]:
    """The strategies to run, pointed at the captured instruments. Raises ConfigError."""
    configured = [e for e in settings.entries("strategies", StrategyEntry) if e.enabled]
    if wanted:
        chosen = [e for e in configured if wanted in (e.id, e.kind)]
        if not chosen:
            find(wanted)  # says what there is
            name = wanted.rpartition(":")[2] if ":" in wanted else wanted
            chosen = [StrategyEntry(id=name[:16], kind=wanted, instruments=())]
    else:
        chosen = configured
    if not chosen:
        raise ConfigError("strategies: none is configured; name one with --strategy")
    return [
        msgspec.structs.replace(entry, instruments=tuple(instruments), venue=venue)
        for entry in chosen
    ]
