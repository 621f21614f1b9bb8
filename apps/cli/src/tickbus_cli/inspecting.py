"""Goes through a capture with the feed's own core and keeps what people want to know of it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tickbus.candles import Candle, CandleBuilder
from tickbus.captures import CapturedMessage, Captures, Problem
from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Event,
    Funding,
    Instrument,
    Liquidation,
    Quote,
    TimerFired,
    Trade,
)
from tickbus_cli.capture_feed import CaptureFeed
from tickbus_cli.replay_instruments import guessed, is_listing
from tickbus_feed.adapter import Adapter, Diff, Message, Unreadable
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import TIMER, FeedCore
from tickbus_feed.venue import SnapshotAnswer

LEVELS = 10
POINT_NS = 100_000_000
"""Between two points of the picture."""
NEVER_S = 10.0**9
SECOND_NS = 1_000_000_000


class Reading:
    """What one instrument showed; times in ns UTC by the recorder's clock."""

    def __init__(self, instrument: Instrument, candle_s: float) -> None:
        self.instrument = instrument
        self.messages = 0
        self.trades = 0
        self.volume = 0.0
        self.notional = 0.0
        self.quotes = 0
        self.liquidations = 0
        self.has_book = False
        """Whether there ever was a whole book."""
        self.in_step = False
        """Whether the book was sound when its last message had been taken in."""
        self.changes = 0
        """Changes of the book, also those that could not be applied."""
        self.ts_first = 0
        self.ts_last = 0
        self.candles: list[Candle] = []
        self.points: list[tuple[int, float, float]] = []
        """(time, mid, spread), at most one per 100 ms."""
        self._building = CandleBuilder(candle_s)
        self._ts_point = 0

    def heard(self, now: int) -> None:
        """Count a message."""
        self.messages += 1
        self.ts_first = self.ts_first or now
        self.ts_last = max(self.ts_last, now)

    @property
    def lacks_book(self) -> bool:
        """Whether there were changes of a book that nothing began."""
        return self.changes > 0 and not self.has_book

    def traded(self, trade: Trade) -> None:
        """Take a trade in."""
        self.trades += 1
        self.volume += trade.size
        self.notional += trade.price * trade.size
        closed = self._building.add(trade)
        if closed is not None:
            self.candles.append(closed)

    def priced(self, now: int, mid: float | None, spread: float | None) -> None:
        """Take a point of the picture, if the last one is old enough."""
        if mid is None or spread is None or now - self._ts_point < POINT_NS:
            return
        self._ts_point = now
        self.points.append((now, mid, spread))

    def all_candles(self) -> list[Candle]:
        """Every candle, the last one as far as it grew."""
        current = self._building.current
        return [*self.candles, current] if current is not None else list(self.candles)


class _Discovering(Adapter):
    """The venue's adapter, which tells of each symbol before its messages are handled."""

    def __init__(self, adapter: Adapter, inspector: "Inspector") -> None:
        super().__init__(adapter.levels)
        self._adapter = adapter
        self._inspector = inspector
        for name in ("read_book", "is_covered", "bridges", "follows", "is_known", "is_ahead",
                     "checksum", "key", "routes", "guess", "instruments", "closed"):  # fmt: skip
            setattr(self, name, getattr(adapter, name))
        for name in ("name", "books_in_stream", "frames_numbered", "checksum_levels"):
            setattr(self, name, getattr(adapter, name))

    def read(self, payload: bytes, route: str = "") -> Sequence[Message]:
        self._adapter.connection = self.connection
        messages = self._adapter.read(payload, route)
        self._inspector.saw(messages)
        return messages


class Inspector:
    """One capture; `run` once, then ask for `readings` and `core`."""

    def __init__(self, adapter: Adapter, candle_s: float = 60.0) -> None:
        self.adapter = adapter
        self.readings: dict[str, Reading] = {}
        self.problems: list[Problem] = []
        self.unreadable: dict[str, tuple[int, int]] = {}
        """By file: frames that could not be read, and all frames."""
        self._candle_s = candle_s
        self._listed: dict[str, Instrument] = {}
        self._now = 0
        self._frames: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._spoken_of: set[str] = set()
        # Nothing but the recording decides what is stale, and nobody needs keyframes here.
        config = FeedConfig(keyframe_interval_s=NEVER_S)
        self.core = FeedCore(config, adapter.name, _Discovering(adapter, self))
        self._capture = CaptureFeed(self.core, adapter, self._feed)
        self._by_id: dict[str, Reading] = {}

    def run(self, captures: Captures) -> None:
        """Go through all messages."""
        due = 0
        for message in captures:
            self._now = message.ts_recv
            if is_listing(message, self.adapter):
                self._list(message)
                continue
            before = self.core.rejected
            self._capture.take(message)
            if message.kind == "frame":
                self._frames[message.source] += 1
                self._rejected[message.source] += self.core.rejected - before
            if self._now >= due:
                due = self._now + SECOND_NS
                self.core.handle(TimerFired(self._now, self._now, TIMER))
        self.problems = captures.problems
        self.unreadable = {
            source: (rejected, self._frames[source])
            for source, rejected in self._rejected.items()
            if rejected
        }

    def saw(self, messages: Sequence[Message]) -> None:
        """Make a symbol's instrument known when it first appears, and count its messages."""
        self._spoken_of = {getattr(message, "symbol", "") for message in messages} - {""}
        for symbol in self._spoken_of:
            reading = self.readings.get(symbol) or self._discover(symbol)
            reading.heard(self._now)
        for message in messages:
            if isinstance(message, Diff):
                self.readings[message.symbol].changes += 1

    def _discover(self, symbol: str) -> Reading:
        instrument = self._listed.get(symbol)
        if instrument is None:
            instrument = guessed(self.adapter, symbol, self.adapter.name)
        reading = Reading(instrument, self._candle_s)
        self.readings[symbol] = self._by_id[instrument.instrument_id] = reading
        self.core.handle(instrument)
        self._capture.open_lines(self._now)
        return reading

    def _list(self, message: CapturedMessage) -> None:
        try:
            found = self.adapter.instruments(message.payload, self.adapter.name)
        except Unreadable as error:
            self.problems.append(Problem(message.source, message.line, str(error)))
            return
        self._listed |= {self.adapter.key(instrument): instrument for instrument in found}

    def _feed(self, event: Event, now: int) -> None:
        if isinstance(event, SnapshotAnswer):
            reading = self.readings.get(event.symbol) or self._discover(event.symbol)
            reading.heard(now)
        self._spoken_of = {event.symbol} if isinstance(event, SnapshotAnswer) else set()
        for out in self.core.handle(event):
            self._observe(out, now)
        for symbol in self._spoken_of:
            self.readings[symbol].in_step = self.core.syncs[symbol].synced

    def _observe(self, event: Event, now: int) -> None:
        if isinstance(event, Trade | Quote | BookDelta | BookSnapshot | Liquidation | Funding):
            reading = self._by_id[event.instrument_id]
            if isinstance(event, Trade):
                reading.traded(event)
            elif isinstance(event, Quote):
                reading.quotes += 1
            elif isinstance(event, Liquidation):
                reading.liquidations += 1
            elif isinstance(event, BookDelta | BookSnapshot):
                reading.has_book = True
                sync = self.core.syncs[self.adapter.key(reading.instrument)]
                reading.priced(now, sync.book.mid, sync.book.spread)

    def summary(self, symbol: str) -> dict[str, Any]:
        """One instrument as plain values."""
        reading, sync = self.readings[symbol], self.core.syncs[symbol]
        instrument = reading.instrument
        bids, asks = sync.book.depth(LEVELS)
        vwap = reading.notional / reading.volume if reading.volume else None
        return {
            "venue": self.adapter.name,
            "instrument": instrument.instrument_id,
            "symbol": instrument.symbol,
            "messages": reading.messages,
            "ts_first": reading.ts_first,
            "ts_last": reading.ts_last,
            "trades": reading.trades,
            "quotes": reading.quotes,
            "liquidations": reading.liquidations,
            "gaps": sync.gaps,
            "resyncs": sync.resyncs,
            "checksums": sync.checksums,
            "checksum_failures": sync.checksum_failures,
            "crossed": sync.crossed,
            "in_step": reading.in_step,
            "levels": len(sync.book),
            "bids": [list(level) for level in bids],
            "asks": [list(level) for level in asks],
            "volume": reading.volume,
            "vwap": vwap,
            "candles": [dict(candle._asdict()) for candle in reading.all_candles()],
        }

    def summaries(self) -> list[dict[str, Any]]:
        """Every instrument, sorted by its id."""
        symbols = sorted(self.readings, key=lambda s: self.readings[s].instrument.instrument_id)
        return [self.summary(symbol) for symbol in symbols]
