"""What the market topics say: prices, depth, trades, consolidated tops; read from the core."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from tickbus.events import BookDepth, BookTop, ConsolidatedTop, Trade
from tickbus_api.core import ApiCore, Key
from tickbus_api.streaming.core import WHOLE
from tickbus_api.venues import TradeView
from tickbus_api.views import ConsolidatedView, DepthView, PriceView

LEVELS = 20
TRADES_SHOWN = 100
"""In the snapshot of a topic of trades."""
T = TypeVar("T")
Levels = Sequence[tuple[float, float]]


def listed(name: str, items: Sequence[str]) -> str:
    """`items`, JSON each, as an object with one list."""
    return f'{{"{name}":[{",".join(items)}]}}'


def behind(row: deque[T], last: T | None) -> list[T] | None:
    """What came into `row` behind `last`, None for from the beginning; None if that is unknown."""
    found: list[T] = []
    for item in reversed(row):
        if item is last:
            break
        found.append(item)
    else:
        if last is not None:
            return None
    found.reverse()
    return found


def moves(before: Levels, after: Levels) -> list[tuple[float, float]]:
    """The levels that turn `before` into `after`: new sizes, 0 for those that are gone."""
    old, new = dict(before), dict(after)
    gone = [(price, 0.0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]


class _Said(NamedTuple):
    top: BookTop | None
    last: Trade | None
    stale: bool
    text: str


class Prices:
    """Topic `prices`: every instrument; a delta has those that changed."""

    is_ready = True

    def __init__(self, core: ApiCore, stale_after_ns: int) -> None:
        self._core = core
        self._stale_after_ns = stale_after_ns
        self._said: dict[Key, _Said] = {}

    def changes(self, now: int) -> str | None:
        """The instruments of which the market said anything."""
        news: list[str] = []
        for price in self._core.prices():
            key = (price.instrument.venue, price.instrument.instrument_id)
            stale = price.is_stale(now, self._stale_after_ns)
            said = self._said.get(key)
            if (
                said is not None
                and said.top is price.top
                and said.last is price.last
                and said.stale is stale
            ):
                continue
            text = PriceView.of(price, now, self._stale_after_ns).model_dump_json()
            self._said[key] = _Said(price.top, price.last, stale, text)
            news.append(text)
        return listed("prices", news) if news else None

    def state(self) -> str:
        """All of them."""
        return listed("prices", [said.text for said in self._said.values()])


class Depth:
    """Topic `depth`: the best levels of one book; a delta has the levels that changed."""

    def __init__(self, core: ApiCore, key: Key, stale_after_ns: int) -> None:
        self._core = core
        self._key = key
        self._stale_after_ns = stale_after_ns
        self._seen: tuple[BookDepth, bool] | None = None
        self._view: DepthView | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the book was seen."""
        return self._key in self._core.depths and self._key in self._core.instruments

    def changes(self, now: int) -> str | None:
        """The levels that changed, with size 0 those that are gone."""
        core = self._core
        instrument, depth = core.instruments[self._key], core.depths[self._key]
        stale = core.price(instrument).is_stale(now, self._stale_after_ns)
        if self._seen is not None and self._seen[0] is depth and self._seen[1] is stale:
            return None
        self._seen = depth, stale
        before, self._view = self._view, DepthView.of(instrument, depth, LEVELS, stale)
        if before is None:
            return WHOLE
        sides = {"bids": moves(before.bids, self._view.bids),
                 "asks": moves(before.asks, self._view.asks)}  # fmt: skip
        return self._view.model_copy(update=sides).model_dump_json()

    def state(self) -> str:
        """The book."""
        assert self._view is not None
        return self._view.model_dump_json()


class Consolidated:
    """Topic `consolidated`: one instrument's tops at all venues, whole each time."""

    def __init__(self, core: ApiCore, instrument_id: str) -> None:
        self._core = core
        self._instrument_id = instrument_id
        self._seen: ConsolidatedTop | None = None

    @property
    def is_ready(self) -> bool:
        """Whether any were seen."""
        return self._instrument_id in self._core.consolidated

    def changes(self, now: int) -> str | None:
        """Whether they changed."""
        top = self._core.consolidated[self._instrument_id]
        if top is self._seen:
            return None
        self._seen = top
        return WHOLE

    def state(self) -> str:
        """The tops."""
        assert self._seen is not None
        return ConsolidatedView.of(self._seen).model_dump_json()


class Trades:
    """Topic `trades`: the market's trades in one instrument, the newest first."""

    is_ready = True

    def __init__(self, core: ApiCore, key: Key) -> None:
        self._core = core
        self._key = key
        self._newest: deque[Trade] = deque(maxlen=TRADES_SHOWN)

    def changes(self, now: int) -> str | None:
        """The trades that happened since."""
        tape = self._core.tapes.get(self._key)
        if not tape or (self._newest and tape[-1] is self._newest[-1]):
            return None
        news = behind(tape, self._newest[-1] if self._newest else None)
        self._newest.extend(tape if news is None else news)
        if news is None or len(news) > TRADES_SHOWN:
            return WHOLE
        return listed("trades", _views(reversed(news)))

    def state(self) -> str:
        """The last of them."""
        return listed("trades", _views(reversed(self._newest)))


def _views(trades: Iterable[Trade]) -> list[str]:
    return [TradeView.of(trade).model_dump_json() for trade in trades]
