"""The feed benchmark: frames per second on one core, beside bare JSON decoding."""

import gc
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tickbus import codec
from tickbus.captures import CapturedMessage, Captures
from tickbus.events import BookDelta, BookSnapshot, FeedStatus, Instrument
from tickbus_book.config import BookConfig
from tickbus_book.core import BookCore
from tickbus_cli.bench_frames import a_market, an_instrument
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.venue import SnapshotAnswer, VenueConnected, VenueFrame
from tickbus_feed.venues.binance import Binance

CAPTURE = "binance/spot/btcusdt_20240808.gz"
ROUNDS = 3
MADE_FRAMES = 40_000
MANY = 500
ROWS = 40
ROUNDS_OF_ONE = 100
"""Each of many instruments gets `ROWS` changes; one instrument gets the same, as often anew."""


async def bench_feed(say: Callable[[str], None]) -> dict[str, Any]:
    """Frames/s of the whole path and of the floor, the best of interleaved rounds.

    `depth` is of changes of books alone, without a book service behind the feed: its frames/s, the
    same with the best bid and ask read each time, and what a frame costs with 500 instruments in
    one feed, as a multiple of one.
    """
    messages, source = _messages()
    frames = [m.payload for m in messages if m.kind == "frame"]
    depth = [m for m in messages if m.kind == "rest" or b"@depth" in m.payload[:40]]
    say(f"feed: {len(frames):,} frames from {source}, {ROUNDS} rounds")
    best, floor, events = 0.0, 0.0, 0
    one, reading, few, many = 0.0, 0.0, 0.0, 0.0
    gc.collect()
    gc.freeze()  # as a service does when it starts
    gc.set_threshold(50_000, 20, 100)
    for _ in range(ROUNDS):
        floor = max(floor, len(frames) / _decode_only(frames))
        seconds, events = _whole_path(messages)
        best = max(best, len(frames) / seconds)
        one = max(one, depth_frames_per_s(depth))
        reading = max(reading, depth_frames_per_s(depth, read=True))
        few = max(few, depth_frames_per_s(depth, rounds=ROUNDS_OF_ONE, rows=ROWS))
        many = max(many, depth_frames_per_s(depth, instruments=MANY, rows=ROWS))
    return {
        "frames_per_s": round(best, 1),
        "floor": {"frames_per_s": round(floor, 1)},
        "of_floor": round(best / floor, 3),
        "depth": {
            "frames_per_s": round(one, 1),
            "reading_best_frames_per_s": round(reading, 1),
            "cost_at_500_instruments": round(few / many, 3),
        },
        "frames": len(frames),
        "events": events,
        "source": source,
    }


def depth_frames_per_s(
    messages: Sequence[CapturedMessage],
    *,
    read: bool = False,
    instruments: int = 1,
    rounds: int = 1,
    rows: int = 0,
) -> float:
    """Changes of books per second through decoding, normalising, the book and encoding.

    `rows`: only so many of the changes, for each instrument; `rounds`: so often from the beginning.
    """
    whole = next(m.payload for m in messages if m.kind == "rest")
    # Some changes come before the book that they are applied to, as in life.
    changes = [m for m in messages if m.kind == "frame"][: rows or None]
    keys = [f"C{n}USDT" for n in range(instruments)] if instruments > 1 else ["BTCUSDT"]
    spent = sum(_depth_round(changes, whole, keys, read) for _ in range(rounds))
    return rounds * len(changes) * instruments / spent


def _depth_round(
    changes: Sequence[CapturedMessage], whole: bytes, keys: Sequence[str], read: bool
) -> float:
    """Seconds spent on every change for every key, round and round."""
    feed = FeedCore(FeedConfig(), "binance", Binance())
    for key in keys:
        feed.handle(an_instrument(key))
    begin = changes[0].ts_recv
    for line in feed.streams:
        feed.handle(VenueConnected(begin, begin, line))
    for key in keys:
        feed.handle(SnapshotAnswer(begin, begin, key, whole))
    encode, clock, spent = codec.encode, time.perf_counter, 0.0
    books = [sync.book for sync in feed.syncs.values()]
    for message in changes:
        for key, book in zip(keys, books, strict=True):
            # Made here, as a frame fresh from the socket would be.
            payload = message.payload.replace(b"BTCUSDT", key.encode())
            began = clock()
            outputs = feed.handle(VenueFrame(message.ts_recv, message.ts_recv, payload))
            if outputs:
                encode(outputs)
            if read:
                _ = book.best_bid, book.best_ask
            spent += clock() - began
    assert all(sync.synced and sync.sequence for sync in feed.syncs.values())
    return spent


def _messages() -> tuple[list[CapturedMessage], str]:
    path = Path(os.environ.get("TICKBUS_CAPTURES", "../shared/data")) / CAPTURE
    if path.is_file():
        return list(Captures([path])), CAPTURE
    return a_market("BTCUSDT", MADE_FRAMES), "generated frames: TICKBUS_CAPTURES has no capture"


def _decode_only(frames: list[bytes]) -> float:
    decode = msgspec.json.Decoder().decode
    began = time.perf_counter()
    for frame in frames:
        decode(frame)
    return time.perf_counter() - began


def _whole_path(messages: list[CapturedMessage]) -> tuple[float, int]:
    """Seconds for every message through feed and book, with each event encoded for the bus."""
    feed = FeedCore(FeedConfig(), "binance", Binance())
    instrument: Instrument = an_instrument("BTCUSDT")
    feed.handle(instrument)
    book = BookCore(BookConfig())
    begin = messages[0].ts_recv
    for line in feed.streams:
        feed.handle(VenueConnected(begin, begin, line))
    events, encode = 0, codec.encode
    began = time.perf_counter()
    for message in messages:
        now = message.ts_recv
        if message.kind == "rest":
            outputs = feed.handle(SnapshotAnswer(now, now, instrument.symbol, message.payload))
        else:
            outputs = feed.handle(VenueFrame(now, now, message.payload))
        for event in outputs:
            if isinstance(event, BookDelta | BookSnapshot | FeedStatus):
                book.handle(event)
            events += 1
        if outputs:
            encode(outputs)
    return time.perf_counter() - began, events
