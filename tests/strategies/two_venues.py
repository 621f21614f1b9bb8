"""Runs a strategy over two venues, simulated exchanges or captures, in virtual time."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from exchange_in_memory import SPOT, Account, Execution, Market, UserStreamSpoke
from strategy_runs import CAPTURES, ROOT, Log, _as_line, _kind

from tickbus.captures import CapturedMessage, Captures
from tickbus.config import Settings
from tickbus.events import (
    AccountUpdated,
    BookDelta,
    BookSnapshot,
    BookTop,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    Event,
    FeedStatus,
    FeeSchedule,
    Instrument,
    OrderApproved,
    OrderDenied,
    Quote,
    SubmitOrder,
    Trade,
)
from tickbus.runtime.spec import Core
from tickbus.simulation import Node, Simulation
from tickbus_book.config import BookConfig
from tickbus_book.core import BookCore
from tickbus_cli.capture_feed import CaptureFeed
from tickbus_cli.replay_instruments import Sample, describe
from tickbus_cli.replay_run import ORDER_EVENTS, settings_for
from tickbus_execution.config import PaperConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_feed.adapter import Adapter
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_strategy.config import entries, seats
from tickbus_strategy.core import StrategyCore

NAMES = ("one", "two")
INSTRUMENT_ID = "BTC-USDT"


class Place(NamedTuple):
    """One venue: what it says, how that is read, what is traded, and who takes orders."""

    name: str
    adapter: Adapter
    instrument: Instrument
    broker: Core
    messages: Iterator[CapturedMessage]


class BothRun(NamedTuple):
    """Everything that any core said, in order, and what was traded where."""

    log: Log
    instruments: dict[str, Instrument]
    fees: dict[str, FeeSchedule]

    def of(self, *kinds: type) -> Log:
        """The events of these types."""
        return [event for event in self.log if type(event) in kinds]


def exchanges(directory: Path, seeds: Sequence[int], seconds: int) -> list[Place]:
    """Two simulated exchanges, whose crowds know nothing of each other."""
    found = []
    for name, seed in zip(NAMES, seeds, strict=True):
        sample = directory / f"sample-{seed}.txt"
        sample.write_bytes(
            b"\n".join(_as_line(message) for message in Market(seed, SPOT).messages(2))
        )
        market = Market(seed, SPOT)
        broker = Execution(name, Account(market.exchange, SPOT))
        found.append(_place(name, [str(sample)], broker, market.messages(seconds)))
    return found


def captures(
    names: Sequence[str], fees: FeeSchedule, latency_ms: float, base: str = "1"
) -> list[Place]:
    """Two captures, as if both were of one instrument; orders reach their books so much later."""
    found = []
    for name, file in zip(NAMES, names, strict=True):
        path = str(CAPTURES / file)
        balances = {"USDT": Decimal(100_000), "BTC": Decimal(base)}
        paper = PaperVenue(name, PaperConfig(balances=balances, latency_ms=latency_ms), fees, "r")
        broker = PaperExecution(ExecutionCore(name), paper)
        found.append(_place(name, [path], broker, iter(Captures((path,)))))
    return found


def _place(
    name: str, sample: list[str], broker: Core, messages: Iterator[CapturedMessage]
) -> Place:
    taken = Sample.take(sample, "")
    (described,), _ = describe(taken, name)
    instrument = msgspec.structs.replace(described, instrument_id=INSTRUMENT_ID)
    return Place(name, taken.adapter, instrument, broker, messages)


def run(places: Sequence[Place], kind: type, fees: FeeSchedule, params: dict[str, Any]) -> BothRun:
    """Run `kind` over both until their messages end."""
    return _Both(places, kind, fees, params).go()


def _settings(kind: type, fees: FeeSchedule, params: dict[str, Any]) -> Settings:
    loaded = settings_for([ROOT / "config" / "default.yaml"])
    raw = dict(loaded.raw)
    entry = {"id": "s", "kind": _kind(kind), "instruments": [INSTRUMENT_ID], "params": params}
    raw["strategies"] = [{**entry, "venues": list(NAMES)}]
    taken = {"maker": str(fees.maker), "taker": str(fees.taker)}
    first, second = ({**raw["venue"], "name": name, "fees": taken} for name in NAMES)
    raw["venue"], raw["venues"] = first, [second]
    raw["execution"] = {**raw["execution"], "mode": "paper"}
    return Settings(raw, loaded.environment, loaded.run_id)


class _Both:
    """The cores of a platform with two venues."""

    def __init__(
        self, places: Sequence[Place], kind: type, fees: FeeSchedule, params: dict[str, Any]
    ) -> None:
        settings = self.settings = _settings(kind, fees, params)
        self.places = places
        self.fees = dict.fromkeys(NAMES, fees)
        self.log: Log = []
        feeds = {
            place.name: FeedCore(settings.section("feed", FeedConfig), place.name, place.adapter)
            for place in places
        }
        taker = dict.fromkeys(NAMES, fees.taker)
        risk = RiskCore(settings.section("risk", RiskConfig), taker)
        strategy = StrategyCore(seats(settings, entries(settings)))
        self.nodes = [
            *(Node(name=f"feed-{name}", core=feed, accepts=()) for name, feed in feeds.items()),
            *(self._execution(place) for place in places),
            Node(
                name="book", core=BookCore(settings.section("book", BookConfig)),
                accepts=(BookSnapshot, BookDelta, FeedStatus),
            ),
            Node(
                name="risk", core=risk,
                accepts=(
                    BookTop, FeedStatus, SubmitOrder, CancelOrder, CancelAllOrders, AccountUpdated,
                    *ORDER_EVENTS,
                ),
            ),
            Node(
                name="strategy", core=strategy,
                accepts=(Trade, Quote, BookTop, FeedStatus, OrderDenied, *ORDER_EVENTS),
            ),
        ]  # fmt: skip
        self.simulation = Simulation(self.nodes, [lambda _, event: self.log.append(event)])
        for place in places:
            for core in (feeds[place.name], place.broker, risk, strategy):
                core.handle(place.instrument)
        self.captures = {
            place.name: CaptureFeed(
                feeds[place.name], place.adapter, self._feeder(f"feed-{place.name}")
            )
            for place in places
        }

    @staticmethod
    def _execution(place: Place) -> Node:
        def wants(event: Any) -> bool:
            about = getattr(event, "order", None) or getattr(event, "cancel", event)
            return bool(about.venue == place.name)

        return Node(
            name=f"execution-{place.name}", core=place.broker,
            accepts=(BookSnapshot, BookDelta, Trade, OrderApproved, CancelApproved), wants=wants,
        )  # fmt: skip

    def _feeder(self, node: str) -> Any:
        def feed(event: Event, now: int) -> None:
            self.simulation.feed(node, event, now)
            self.simulation.advance(now)

        return feed

    def go(self) -> BothRun:
        simulation, started, last = self.simulation, False, 0
        for message, name in self.messages():
            now = max(last, message.ts_recv)
            if not started:
                started = True
                simulation.start(now)
                for capture in self.captures.values():
                    capture.open_lines(now)
            self.captures[name].take(message)
            simulation.feed(f"execution-{name}", UserStreamSpoke(now, now), now)
            simulation.advance(now)
            last = now
        simulation.drain(last)
        return self.found

    @property
    def found(self) -> BothRun:
        """What was said so far."""
        return BothRun(self.log, {p.name: p.instrument for p in self.places}, self.fees)

    def messages(self) -> Iterator[tuple[CapturedMessage, str]]:
        """Those of both venues, by their times, and whose they are."""
        streams = [self._named(place) for place in self.places]
        return merge(*streams, key=lambda pair: pair[0].ts_recv)

    @staticmethod
    def _named(place: Place) -> Iterator[tuple[CapturedMessage, str]]:
        for message in place.messages:
            yield message, place.name
