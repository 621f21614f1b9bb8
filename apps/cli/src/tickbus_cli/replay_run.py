"""Wires the cores of all services for a replay and feeds them a capture in virtual time."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tickbus.captures import CapturedMessage, CaptureError, Captures, Problem
from tickbus.config import ConfigError, Settings, Source, load
from tickbus.events import (
    AccountUpdated,
    BalanceAdjusted,
    BookDelta,
    BookSnapshot,
    BookTop,
    CancelAllOrders,
    CancelApproved,
    CancelDenied,
    CancelOrder,
    CancelRejected,
    Event,
    FeedStatus,
    Funding,
    Instrument,
    Liquidation,
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
    TradingStateChanged,
)
from tickbus.runtime.spec import Core
from tickbus.simulation import Node, Simulation
from tickbus_book.config import BookConfig
from tickbus_book.core import BookCore
from tickbus_cli.capture_feed import CaptureFeed
from tickbus_cli.choosing import chosen
from tickbus_cli.replay_instruments import Sample, describe, recognize
from tickbus_cli.replay_report import build_report
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import TIMER, LedgerCore
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_strategy.config import StrategyEntry, seats
from tickbus_strategy.core import StrategyCore, StrategyFailed
from tickbus_strategy.refusing import NotOrdered

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
    params: tuple[str, ...] = ()


def settings_for(files: Sequence[Path]) -> Settings:
    """The configuration, with the ids of a replay, which never change. Raises ConfigError."""
    return load(files, {"TICKBUS_POSTGRES_DSN": ""}, run_id=RUN_ID)


def configured(
    default: Path, given: Sequence[Path], options: ReplayOptions
) -> tuple[Settings, str]:
    """`default` with `given` over it and the fees of the capture's venue, and whose fees they are.

    Fees that `given` says hold; else those in `venues/<venue>.yaml` beside `default`, where there
    is one. Raises ConfigError, and CaptureError for a capture that is nobody's.
    """
    settings = settings_for([default, *given])
    said = settings.source.of("venue.fees") if isinstance(settings.source, Source) else ""
    if said != str(default):
        return settings, Path(said).name
    name = options.adapter or recognize(options.captures).name
    profile = default.parent / "venues" / f"{name}.yaml"
    if not profile.is_file():
        return settings, default.name
    fees = settings_for([default, profile]).raw["venue"]["fees"]
    venue = {**settings.raw["venue"], "fees": fees}
    return replace(settings, raw={**settings.raw, "venue": venue}), profile.name


class Replayer:
    """One replay: made from the capture's beginning, run once, then asked for its report."""

    def __init__(
        self, options: ReplayOptions, settings: Settings, fees_from: str = "the configuration"
    ) -> None:
        """`fees_from` is told in the report."""
        self.fees_from = fees_from
        sample = Sample.take(options.captures, options.adapter)
        self.adapter = sample.adapter
        self.venue = sample.adapter.name
        self.instruments, self.described_by = describe(sample, self.venue)
        self.traded = self._traded(options)
        self.entries = _entries(settings, options, self.traded, self.venue)
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.denials: Counter[str] = Counter()
        self.failures: list[StrategyFailed] = []
        self.not_ordered: Counter[str] = Counter()
        self.not_ordered_first: dict[tuple[str, str, str], NotOrdered] = {}
        self.on_intent: Callable[[Event], None] = lambda intent: None
        """Told every wish of a strategy, in their order."""
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
        self.fees = fees
        self.feed = FeedCore(settings.section("feed", FeedConfig), venue, self.adapter)
        self.book = BookCore(settings.section("book", BookConfig))
        self.strategy = StrategyCore(seats(settings, self.entries))
        risk = RiskCore(settings.section("risk", RiskConfig), {venue: fees.taker})
        broker = self._broker(settings)
        self.ledger = LedgerCore(settings.section("ledger", LedgerConfig), self.traded)
        market = (Trade, Quote, BookTop, FeedStatus, Liquidation)
        nodes = (
            Node(name="feed", core=self.feed, accepts=()),
            # The paper venue stands before the strategies: it must know the book that they act on.
            Node(
                name="execution", core=broker,
                accepts=(BookSnapshot, BookDelta, Trade, Funding, OrderApproved, CancelApproved),
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
                accepts=(*market, OrderDenied, TradingStateChanged, *ORDER_EVENTS),
            ),
        )  # fmt: skip
        self.simulation = Simulation(nodes, [self.observe])
        self.cores = {node.name: node.core for node in nodes}
        for instrument in self.instruments:
            for core in (self.feed, broker, risk, self.strategy):
                core.handle(instrument)

    def _broker(self, settings: Settings) -> Core:
        """What takes approved orders."""
        execution = settings.section("execution", ExecutionConfig)
        paper = msgspec.structs.replace(execution.paper, balances=self.opening)
        venue = PaperVenue(self.venue, paper, settings.venue.fees, RUN_ID)
        return PaperExecution(ExecutionCore(self.venue), venue)

    # -- running -----------------------------------------------------------------------------------

    def run(self, captures: Captures, wait: Callable[[int], None]) -> None:
        """Feed every message of `captures`; `wait` may delay, by the message's time."""
        simulation = self.simulation
        capture = CaptureFeed(self.feed, self.adapter, self._feed)
        for message in captures:
            now = message.ts_recv
            if not self.ts_first:
                self.begin(now)
                simulation.start(now)
                capture.open_lines(now)
            self.count(message)
            wait(now)
            capture.take(message)
            self.value_if_due(now)
        simulation.drain(self.ts_last)
        self.value(self.ts_last)

    def _feed(self, event: Event, now: int) -> None:
        self.simulation.feed("feed", event, now)
        self.simulation.advance(now)

    def begin(self, now: int) -> None:
        """The capture begins."""
        self.ts_first = now

    def count(self, message: CapturedMessage) -> None:
        """One more message of the capture."""
        self.ts_last = max(self.ts_last, message.ts_recv)
        self.kinds[message.kind] += 1

    def value_if_due(self, now: int) -> None:
        """Value the portfolio, about once a second."""
        if now - self._ts_ledger > LEDGER_INTERVAL_NS:
            self.value(now)

    def value(self, now: int) -> None:
        """Value the portfolio."""
        self._ts_ledger = now
        self.ledger.handle(TimerFired(now, now, TIMER))
        self.ledger.take_changes()  # nobody writes them down here

    def observe(self, _: str, event: Any) -> None:
        """Whatever any core says, in its order."""
        kind = type(event)
        self.counts[kind.__name__] += 1
        if kind is BookTop:
            self.ledger.handle(event)
        elif kind in _INTENTS:
            self.on_intent(event)
        elif kind is OrderDenied:
            self.denials[str(event.reason)] += 1
        elif kind is StrategyFailed:
            self.failures.append(event)
            return
        elif kind is NotOrdered:
            self.not_ordered[str(event.reason)] += 1
            sort = (event.strategy_id, event.instrument_id, str(event.reason))
            self.not_ordered_first.setdefault(sort, event)
        if kind in _ON_ORDER_PATH:
            self._sequence += 1
            self.ledger.fold(self._sequence, event)

    def report(self, problems: Sequence[Problem]) -> dict[str, Any]:
        """What happened, without a word that depends on this machine or this moment."""
        return build_report(self, problems)


_INTENTS = {SubmitOrder, CancelOrder, CancelAllOrders}
_ON_ORDER_PATH = {
    SubmitOrder, CancelOrder, CancelAllOrders, OrderApproved, CancelApproved, OrderDenied,
    CancelDenied, AccountUpdated, BalanceAdjusted, *ORDER_EVENTS,
}  # fmt: skip


def _opening(settings: Settings, instruments: Sequence[Instrument]) -> dict[str, Decimal]:
    """The paper account: as configured, and something of each quote asset that is missing."""
    balances = dict(settings.section("execution", ExecutionConfig).paper.balances)
    for instrument in instruments:
        balances.setdefault(instrument.quote, PAPER_DEFAULT)
    return dict(sorted(balances.items()))


def _entries(
    settings: Settings, options: ReplayOptions, instruments: Sequence[str], venue: str
) -> list[StrategyEntry]:
    """The strategies to run, pointed at the captured instruments. Raises ConfigError, CliError."""
    entries = chosen(settings, options.strategy, options.params, instruments)
    if not entries:
        raise ConfigError("strategies: none is configured; name one with --strategy")
    return [
        msgspec.structs.replace(entry, instruments=tuple(instruments), venue=venue, venues=())
        for entry in entries
    ]
