"""One instrument's book, kept in step with the venue's numbering, or known not to be."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from zlib import crc32

from tickbus.events import Levels
from tickbus.orderbook import OrderBook
from tickbus_feed.adapter import Adapter, Book, Diff, MarketLiquidation, Texts, Whole

RETRY_FIRST_NS = 500_000_000
RETRY_CAP_NS = 30_000_000_000
SETTLED_NS = 10_000_000_000
"""A book that held for so long had a good snapshot: its next trouble is a new one."""
TRADES_REMEMBERED = 1_000
LIQUIDATIONS_REMEMBERED = 50
BUFFERED_LEVELS_MAX = 50_000
"""Minutes of a busy book, seconds of one in a crash; some 6 MB."""


class BookSync:
    """Whole books and changes of one symbol become a gapless sequence of our own.

    `epoch` changes with each synchronisation and never repeats: it is the time (ns UTC) of the
    whole book. `sequence` rises by one per change applied. `link` is the connection that the book
    comes from, where the venue sends books in the stream. A whole book came at `ts_whole`; one was
    asked for at `ts_asked`, or at `ts_audit` only to compare ours with. A silent stream is asked
    about at `ts_probed`, for the first time in this silence at `ts_doubt`, and was found quiet at
    `ts_confirmed`; since `ts_ahead` the venue is known to be ahead of us, at `venue_id`. `quiet`
    and `dead` count how often in a row it had nothing new, or had; `known_in_a_row` changes that
    were known already.
    """

    def __init__(
        self, symbol: str, instrument_id: str, lines: Sequence[str], adapter: Adapter,
        buffer_max: int,
    ) -> None:  # fmt: skip
        self.symbol = symbol
        self.instrument_id = instrument_id
        self.lines = tuple(lines)
        self.book = OrderBook()
        self.epoch = 0
        self.sequence = 0
        self.last_id = -1
        self.synced = False
        self.link = -1
        self.ts_diff = 0
        self.ts_whole = 0
        self.ts_audit = 0
        self.ts_confirmed = 0
        self.ts_keyframe = 0
        self.ts_asked = 0
        self.attempts = 0
        self.fetch_number = 0
        self.ts_probed = 0
        self.ts_doubt = 0
        self.ts_ahead = 0
        self.venue_id = -1
        self.quiet = 0
        self.dead = 0
        self.halted = False
        """Whether the venue says that it does not trade: then its silence means nothing."""
        self.known_in_a_row = 0
        self.quote_link = -1
        self.top: tuple[Any, Any] | None = None
        """The best prices that were last told as a quote, where they are read off the book."""
        self.has_traded = False
        """Whether a trade was told that came while we listened."""
        self.gaps = 0
        self.resyncs = 0
        self.crossed = 0
        self.checksums = 0
        """Books whose checksum was the venue's."""
        self.checksum_failures = 0
        self._adapter = adapter
        self._bridging = False
        self._buffer: deque[Diff] = deque(maxlen=buffer_max)
        self._buffered = 0
        self._liquidations: deque[MarketLiquidation] = deque(maxlen=LIQUIDATIONS_REMEMBERED)
        self._spelled: tuple[dict[float, tuple[str, str]], dict[float, tuple[str, str]]] = ({}, {})
        self._trades: deque[str] = deque(maxlen=TRADES_REMEMBERED)
        self._trade_ids: set[str] = set()
        self.before: set[str] = set()
        """Trades that were before we listened: known, and never told."""

    @property
    def line(self) -> str:
        """The connection that the book comes from; the first that the adapter names."""
        return self.lines[0]

    def heard(self, now_ns: int) -> None:
        """A change came: the stream is neither quiet nor dead."""
        self.ts_diff = now_ns
        self.quiet = self.dead = self.ts_ahead = 0
        self.halted = False

    @property
    def is_bridging(self) -> bool:
        """Whether the first change that goes on from the whole book is still to come."""
        return self._bridging

    def reset(self) -> None:
        """Forget what was in step; changes are buffered until the next whole book."""
        self.synced = False
        self.ts_ahead = self.ts_audit = 0
        self.known_in_a_row = 0
        self._bridging = False
        self._clear_buffer()

    def _clear_buffer(self) -> None:
        self._buffer.clear()
        self._buffered = 0

    def buffer(self, diff: Diff) -> None:
        """Keep a change until the whole book comes; past the bound the oldest is forgotten.

        That only makes an old snapshot unusable, which `load` notices. The bound is of changes and
        of their levels, so that a venue that gives no books for long costs no more memory.
        """
        if len(self._buffer) == self._buffer.maxlen:
            self._forget_oldest()
        self._buffer.append(diff)
        self._buffered += len(diff.bids) + len(diff.asks)
        while self._buffered > BUFFERED_LEVELS_MAX and len(self._buffer) > 1:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        diff = self._buffer.popleft()
        self._buffered -= len(diff.bids) + len(diff.asks)

    def is_new_liquidation(self, liquidation: MarketLiquidation) -> bool:
        """Whether it was not among the last: two connections both tell for a while."""
        if liquidation in self._liquidations:
            return False
        self._liquidations.append(liquidation)
        return True

    def is_new_trade(self, trade_id: str) -> bool:
        """Whether the trade was not among the last: a venue repeats some after a reconnect."""
        if trade_id in self._trade_ids:
            return False
        if len(self._trades) == TRADES_REMEMBERED:
            self._trade_ids.discard(self._trades[0])
        self._trades.append(trade_id)
        self._trade_ids.add(trade_id)
        return True

    def retry_at_ns(self, now_ns: int) -> int:
        """When to ask for the next whole book: back-off from 0.5 s to 30 s, with jitter.

        The jitter is a hash of symbol and attempt: cores draw no random numbers, and different
        symbols still spread out.
        """
        if not self.attempts:
            return now_ns
        ceiling = min(RETRY_CAP_NS, RETRY_FIRST_NS << min(self.attempts - 1, 10))
        jitter = crc32(f"{self.symbol}:{self.attempts}".encode()) / 2**32
        return now_ns + int(ceiling * (0.5 + jitter / 2))

    # -- whole books -------------------------------------------------------------------------------

    def load(self, book: Book, now_ns: int) -> list[Diff] | None:
        """Begin with a snapshot; the buffered changes to apply to it, None when it is too old."""
        adapter, waiting = self._adapter, list[Diff]()
        for diff in self._buffer:
            seen = bool(waiting) and adapter.is_known(diff, waiting[-1].last)
            if not seen and not adapter.is_covered(diff, book.update_id):
                waiting.append(diff)
        if waiting and not self._adapter.bridges(waiting[0], book.update_id):
            return None
        for before, after in pairwise(waiting):
            if not self._adapter.follows(after, before.last):
                return None  # the gap is in the buffer; a later snapshot will be behind it
        self.book.load(book.bids, book.asks)
        self._begin(book.update_id, now_ns)
        self._bridging = True
        return waiting

    def load_whole(self, whole: Whole, link: int, now_ns: int) -> bool:
        """Begin with a book that came in the stream; False where its checksum is not ours."""
        self.book.load(whole.bids, whole.asks)
        if whole.depth:
            self.book.truncate(whole.depth)
        if whole.texts is not None:
            self._spelled = ({}, {})
            self._spell(whole.texts, whole.bids, whole.asks)
        self.link = link
        self._begin(whole.update_id, now_ns)
        return self._verify(whole.checksum)

    def _begin(self, update_id: int, now_ns: int) -> None:
        self.epoch = max(self.epoch + 1, now_ns)
        self.ts_whole, self.ts_audit = now_ns, 0
        self.sequence = 0
        self.last_id = update_id
        self.synced = True
        self._clear_buffer()

    def is_same(self, whole: Whole) -> bool:
        """Whether the book in step already is `whole`."""
        if not self.synced or len(self.book) != len(whole.bids) + len(whole.asks):
            return False
        return self.book.levels() == (whole.bids, whole.asks)

    # -- changes -----------------------------------------------------------------------------------

    def accepts(self, diff: Diff) -> bool | None:
        """True: the next change; None: already known; False: there is a gap before it."""
        adapter = self._adapter
        if self._bridging:
            if adapter.is_covered(diff, self.last_id):
                return None
            return adapter.bridges(diff, self.last_id)
        if adapter.is_known(diff, self.last_id):
            return None
        return adapter.follows(diff, self.last_id)

    def apply(self, diff: Diff, ts_recv: int) -> tuple[Levels, Levels] | None:
        """Take in a change that `accepts`, received at `ts_recv` (ns UTC).

        Returns the change with what fell off at the end of the venue's depth, or None when the
        book is then not the one that the venue's checksum is of.
        """
        if self.attempts and ts_recv - self.epoch > SETTLED_NS:
            self.attempts = 0
        bids, asks = diff.bids, diff.asks
        self.book.apply(bids, asks)
        self.last_id = diff.last
        self.sequence += 1
        self._bridging = False
        if diff.texts is not None:
            self._spell(diff.texts, bids, asks)
        if diff.depth:
            bids, asks = self._truncate(diff.depth, bids, asks)
        if diff.checksum is not None and not self._verify(diff.checksum):
            return None
        return bids, asks

    def _truncate(self, depth: int, bids: Levels, asks: Levels) -> tuple[Levels, Levels]:
        gone_bids, gone_asks = self.book.truncate(depth)
        for spelled, gone in zip(self._spelled, (gone_bids, gone_asks), strict=True):
            for price, _ in gone:
                spelled.pop(price, None)
        return (
            (*bids, *((price, 0.0) for price, _ in gone_bids)) if gone_bids else bids,
            (*asks, *((price, 0.0) for price, _ in gone_asks)) if gone_asks else asks,
        )

    # -- checksums, which are of digits as the venue spells them -----------------------------------

    def _spell(self, texts: tuple[Texts, Texts], bids: Levels, asks: Levels) -> None:
        for spelled, side, levels in zip(self._spelled, texts, (bids, asks), strict=True):
            for text, (price, size) in zip(side, levels, strict=True):
                if size:
                    spelled[price] = text
                else:
                    spelled.pop(price, None)

    def _verify(self, checksum: int | None) -> bool:
        if checksum is None:
            return True
        bids, asks = self.book.depth(self._adapter.checksum_levels)
        bid_texts, ask_texts = self._spelled
        if checksum != self._adapter.checksum(
            tuple(bid_texts[price] for price, _ in bids),
            tuple(ask_texts[price] for price, _ in asks),
        ):
            return False
        self.checksums += 1
        return True
