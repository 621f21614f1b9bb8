"""The feed benchmark: frames per second on one core, beside bare JSON decoding."""

import os
import time
from collections.abc import Callable
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


async def bench_feed(say: Callable[[str], None]) -> dict[str, Any]:
    """Frames/s of the whole path and of the floor, the best of interleaved rounds."""
    messages, source = _messages()
    frames = [m.payload for m in messages if m.kind == "frame"]
    say(f"feed: {len(frames):,} frames from {source}, {ROUNDS} rounds")
    best, floor, events = 0.0, 0.0, 0
    for _ in range(ROUNDS):
        floor = max(floor, len(frames) / _decode_only(frames))
        seconds, events = _whole_path(messages)
        best = max(best, len(frames) / seconds)
    return {
        "frames_per_s": round(best, 1),
        "floor": {"frames_per_s": round(floor, 1)},
        "of_floor": round(best / floor, 3),
        "frames": len(frames),
        "events": events,
        "source": source,
    }


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
    feed.handle(VenueConnected(begin, begin))
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
