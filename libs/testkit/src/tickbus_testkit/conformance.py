"""What every feed must keep to, checked on what it publishes: for any adapter in any language.

`Conformance` is given every message of `md.*` of one venue, with its subject, and the instruments
of the bucket `instruments`. It knows nothing of how the feed is made.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tickbus import subjects
from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    Levels,
    Quote,
    Side,
    Trade,
)
from tickbus.orderbook import OrderBook

SECOND_NS = 1_000_000_000
SHOWN_MAX = 5
TRADES_REMEMBERED = 10_000
YEAR_2009_NS = 1_230_768_000 * SECOND_NS
SKEW_NS = 60 * SECOND_NS
"""How far the venue's clock may seem to be ahead of ours."""
STATUS_EVERY_NS = 5 * SECOND_NS
KEYFRAME_EVERY_NS = 60 * SECOND_NS

RULES = {
    "form": "each message is an envelope of known events",
    "subject": "each message is on the subject of its events",
    "instrument": "each instrument is described in the bucket `instruments` under venue.instrument",
    "sequence": "deltas rise by exactly one per instrument and epoch, after that epoch's snapshot",
    "epoch": "an epoch never goes back",
    "keyframe": "a snapshot in a known epoch equals what the deltas made; at least one a minute",
    "wish": "a KeyframeWanted is answered by a snapshot within two seconds",
    "levels": "snapshots are sorted best first, each price once, sizes above 0",
    "crossed": "a book is never crossed",
    "precision": "prices are whole ticks, sizes whole lots",
    "time": "ts_event and ts_recv are ns UTC, ts_recv never goes back, ts_event is not ahead of it",
    "trade": "a trade has an id of its own, a side, a price and a size",
    "status": "md.status is repeated every five seconds; what is not LIVE says why when it changes",
    "live": "LIVE only with a snapshot; no delta while SYNCING or DISCONNECTED",
    "resync": "after SYNCING or DISCONNECTED the book begins with a snapshot in a new epoch",
}


class Verdict(NamedTuple):
    """How one rule fared: how often it applied, how often it was broken, the first few times."""

    rule: str
    says: str
    checked: int
    broken: int
    examples: tuple[str, ...]

    @property
    def word(self) -> str:
        """passed, FAILED, or not seen."""
        return "FAILED" if self.broken else "passed" if self.checked else "not seen"


class _Seen:
    """One instrument as far as it was heard of."""

    def __init__(self) -> None:
        self.book = OrderBook()
        self.epoch = 0
        self.sequence = -1
        self.ts_recv = 0
        self.ts_keyframe = 0
        self.ts_status = 0
        self.state: FeedState | None = None
        self.broken_off = False
        """Said SYNCING or DISCONNECTED: what comes next must be a new epoch."""
        self.trades: dict[str, None] = {}


class Conformance:
    """Collects what breaks a rule; ask `verdicts` when enough was heard."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.messages = 0
        self.instruments: dict[str, Instrument] = {}
        self._seen: dict[str, _Seen] = {}
        self._checked = dict.fromkeys(RULES, 0)
        self._broken: dict[str, list[str]] = {rule: [] for rule in RULES}
        self._counts = dict.fromkeys(RULES, 0)
        self._wishes: dict[str, int] = {}
        self._handlers: dict[type, Callable[[_Seen, Any], None]] = {
            BookSnapshot: self._snapshot,
            BookDelta: self._delta,
            Trade: self._trade,
            Quote: self._quote,
            FeedStatus: self._status,
        }

    # -- what is heard -----------------------------------------------------------------------------

    def describe(self, instrument: Instrument) -> None:
        """An instrument from the bucket."""
        self.instruments[instrument.instrument_id] = instrument

    def take(self, subject: str, event: Event, now_ns: int) -> None:
        """One event as it came on `subject`, at `now_ns` by the listener's clock."""
        self.messages += 1
        name = getattr(event, "instrument_id", "")
        self._check("form", True, "")
        self._check(
            "subject", subject == subjects.of(event), f"{type(event).__name__} on {subject}"
        )
        venue = getattr(event, "venue", "")
        self._check("subject", venue == self.venue, f"venue {venue!r} on {subject}")
        self._check("instrument", name in self.instruments, f"{name} is not in the bucket")
        seen = self._seen.setdefault(name, _Seen())
        self._times(seen, event, name)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(seen, event)

    def malformed(self, subject: str, reason: str) -> None:
        """A message that is no envelope of events."""
        self.messages += 1
        self._check("form", False, f"{subject}: {reason}")

    def wished(self, instrument_id: str, now_ns: int) -> None:
        """A KeyframeWanted was published."""
        self._wishes[instrument_id] = now_ns

    def passed(self, now_ns: int) -> None:
        """Time went by: note what should have come by now."""
        for name, asked in list(self._wishes.items()):
            if now_ns - asked > 2 * SECOND_NS:
                del self._wishes[name]
                self._check("wish", False, f"{name}: no snapshot within two seconds")
        for name, seen in self._seen.items():
            if seen.ts_status and now_ns - seen.ts_status > STATUS_EVERY_NS:
                seen.ts_status = now_ns
                self._check("status", False, f"{name}: nothing said for five seconds")
            late = now_ns - seen.ts_keyframe > KEYFRAME_EVERY_NS
            if seen.ts_keyframe and late and seen.state is FeedState.LIVE:
                seen.ts_keyframe = now_ns
                self._check("keyframe", False, f"{name}: no keyframe for a minute")

    # -- rules -------------------------------------------------------------------------------------

    def _check(self, rule: str, holds: bool, otherwise: str) -> bool:
        self._checked[rule] += 1
        if not holds:
            self._counts[rule] += 1
            if len(self._broken[rule]) < SHOWN_MAX:
                self._broken[rule].append(otherwise)
        return holds

    def _times(self, seen: _Seen, event: Event, name: str) -> None:
        at = f"{name} {type(event).__name__}"
        plausible = event.ts_recv > YEAR_2009_NS and event.ts_event > YEAR_2009_NS
        self._check("time", plausible, f"{at}: {event.ts_event}, {event.ts_recv} are no ns UTC")
        self._check(
            "time", event.ts_recv >= seen.ts_recv,
            f"{at}: ts_recv {event.ts_recv} after {seen.ts_recv}",
        )  # fmt: skip
        self._check(
            "time", event.ts_event <= event.ts_recv + SKEW_NS,
            f"{at}: ts_event {event.ts_event} is ahead of ts_recv {event.ts_recv}",
        )  # fmt: skip
        seen.ts_recv = max(seen.ts_recv, event.ts_recv)

    def _snapshot(self, seen: _Seen, event: BookSnapshot) -> None:
        name = event.instrument_id
        if self._wishes.pop(name, None) is not None:
            self._check("wish", True, "")
        self._sorted(name, event.bids, event.asks)
        self._precise(name, (*event.bids, *event.asks))
        self._check("epoch", event.epoch >= seen.epoch, f"{name}: {event.epoch} < {seen.epoch}")
        if event.epoch == seen.epoch and not seen.broken_off:
            if event.sequence == seen.sequence:
                same = seen.book.levels() == (event.bids, event.asks)
                self._check("keyframe", same, f"{name}: not the book at {event.sequence}")
            else:
                self._check(
                    "sequence", event.sequence == seen.sequence,
                    f"{name}: keyframe of {event.sequence} after delta {seen.sequence}",
                )  # fmt: skip
        if seen.broken_off:
            new = event.epoch > seen.epoch
            self._check("resync", new, f"{name}: still epoch {event.epoch} after it broke off")
            seen.broken_off = False
        seen.book.load(event.bids, event.asks)
        seen.epoch, seen.sequence, seen.ts_keyframe = event.epoch, event.sequence, event.ts_recv
        self._check("crossed", not seen.book.is_crossed, f"{name}: snapshot {event.sequence}")

    def _delta(self, seen: _Seen, event: BookDelta) -> None:
        name = event.instrument_id
        self._precise(name, (*event.bids, *event.asks))
        if seen.state in (FeedState.SYNCING, FeedState.DISCONNECTED) and seen.broken_off:
            self._check("live", False, f"{name}: delta {event.sequence} while {seen.state}")
            return
        if seen.sequence < 0:
            return  # the listener came in the middle: it waits for a snapshot
        in_epoch = event.epoch == seen.epoch
        self._check(
            "sequence", in_epoch and event.sequence == seen.sequence + 1,
            f"{name}: {event.epoch}/{event.sequence} after {seen.epoch}/{seen.sequence}",
        )  # fmt: skip
        seen.sequence = event.sequence
        seen.book.apply(event.bids, event.asks)
        self._check("crossed", not seen.book.is_crossed, f"{name}: delta {event.sequence}")

    def _trade(self, seen: _Seen, event: Trade) -> None:
        name = event.instrument_id
        known = event.trade_id in seen.trades
        self._check("trade", bool(event.trade_id) and not known, f"{name}: id {event.trade_id!r}")
        side = event.aggressor_side in (Side.BUY, Side.SELL)
        sound = side and event.price > 0 and event.size > 0
        self._check("trade", sound, f"{name}: {event.price} x {event.size}")
        self._precise(name, ((event.price, event.size),))
        seen.trades[event.trade_id] = None
        if len(seen.trades) > TRADES_REMEMBERED:
            del seen.trades[next(iter(seen.trades))]

    def _quote(self, _: _Seen, event: Quote) -> None:
        levels = ((event.bid, event.bid_size), (event.ask, event.ask_size))
        self._precise(event.instrument_id, tuple(level for level in levels if level[0]))

    def _status(self, seen: _Seen, event: FeedStatus) -> None:
        name, changed = event.instrument_id, seen.state is not event.state
        self._check("status", True, "")
        if event.state is FeedState.LIVE:
            self._check(
                "live", seen.sequence < 0 or not seen.broken_off,
                f"{name}: LIVE before the new snapshot",
            )  # fmt: skip
        elif changed and seen.state is not None:
            self._check("status", bool(event.reason), f"{name}: {event.state} without a reason")
        if event.state in (FeedState.SYNCING, FeedState.DISCONNECTED) and changed:
            seen.broken_off = seen.sequence >= 0
        seen.state, seen.ts_status = event.state, event.ts_recv

    def _sorted(self, name: str, bids: Levels, asks: Levels) -> None:
        prices = [price for price, _ in bids], [price for price, _ in asks]
        best_first = (
            all(a > b for a, b in zip(prices[0], prices[0][1:], strict=False))
            and all(a < b for a, b in zip(prices[1], prices[1][1:], strict=False))
        )  # fmt: skip
        sizes = all(size > 0 for _, size in (*bids, *asks))
        self._check("levels", best_first and sizes, f"{name}: a snapshot out of order")

    def _precise(self, name: str, levels: Levels) -> None:
        instrument = self.instruments.get(name)
        if instrument is None:
            return
        tick, lot = float(instrument.tick_size), float(instrument.lot_size)
        wrong = [
            (price, size)
            for price, size in levels
            if not (_is_multiple(price, tick) and _is_multiple(size, lot) and price > 0 <= size)
        ]
        self._check("precision", not wrong, f"{name}: {wrong[:3]}, tick {tick}, lot {lot}")

    # -- the report --------------------------------------------------------------------------------

    def verdicts(self) -> list[Verdict]:
        """One per rule, in the order of `RULES`."""
        return [
            Verdict(rule, says, self._checked[rule], self._counts[rule], tuple(self._broken[rule]))
            for rule, says in RULES.items()
        ]

    @property
    def is_sound(self) -> bool:
        """Whether something was heard and nothing was broken."""
        return self.messages > 0 and not any(self._counts.values())


def _is_multiple(value: float, step: float) -> bool:
    if step <= 0:
        return True
    steps = value / step
    return abs(steps - round(steps)) < 1e-6 * max(1.0, abs(steps) * 1e-6)
