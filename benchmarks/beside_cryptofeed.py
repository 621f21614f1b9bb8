"""Binance depth frames through tickbus and through cryptofeed, in turns, in one run.

    python -m venv /tmp/cryptofeed && /tmp/cryptofeed/bin/pip install cryptofeed
    .venv/bin/python benchmarks/beside_cryptofeed.py /tmp/cryptofeed/bin/python CAPTURE [ROUNDS]

CAPTURE is one of the long Binance captures, spot or USD-M. cryptofeed decodes, keeps its book and
calls back, with an idle callback and with one that reads the best bid and ask; tickbus decodes,
normalises, keeps its book and encodes for the bus. Prints one JSON object; rates are frames/s, the
best of the rounds.
"""

import asyncio
import gzip
import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any


def messages(path: str) -> tuple[bytes, list[str]]:
    """The REST book and the depth frames of a capture."""
    with gzip.open(path, "rb") as file:
        lines = [line.split(b" ", 1)[1] for line in file]
    book = next(line for line in lines if line.startswith(b'{"lastUpdateId"'))
    return book, [line.decode() for line in lines if b"@depth" in line[:80]]


def of_cryptofeed(path: str, reading: bool) -> float:
    """Frames/s; runs in an environment that has cryptofeed."""
    from cryptofeed.defines import L2_BOOK
    from cryptofeed.exchanges import Binance, BinanceFutures
    from cryptofeed.symbols import Symbols
    from cryptofeed.types import OrderBook

    book, frames = messages(path)
    kind = BinanceFutures if "usdm" in path else Binance
    name = "BTC-USDT-PERP" if "usdm" in path else "BTC-USDT"
    symbol = json.loads(frames[0])["data"]["s"]
    Symbols.set(kind.id, {name: symbol}, {"instrument_type": {name: "x"}, "tick_size": {name: "0"}})

    async def called_back(held: Any, _: float) -> None:
        if reading:
            _ = held.book.bids.index(0), held.book.asks.index(0)

    feed = kind(symbols=[name], channels=[L2_BOOK], callbacks={L2_BOOK: called_back})
    whole = json.loads(book, parse_float=Decimal)

    async def snapshot(_: str) -> None:
        feed.last_update_id[name] = whole["lastUpdateId"]
        sides = {
            side: {Decimal(price): Decimal(size) for price, size in whole[side]}
            for side in ("bids", "asks")
        }
        feed._l2_book[name] = OrderBook(feed.id, name, max_depth=feed.max_depth, **sides)

    feed._snapshot = snapshot

    async def run() -> float:
        began = time.perf_counter()
        for frame in frames:
            await feed.message_handler(frame, None, 1.0)
        return len(frames) / (time.perf_counter() - began)

    return asyncio.run(run())


def of_tickbus(path: str, reading: bool) -> float:
    """Frames/s of the feed's own core."""
    import gc

    from tickbus import codec
    from tickbus_cli.replay_instruments import guessed, recognize
    from tickbus_feed.config import FeedConfig
    from tickbus_feed.core import FeedCore
    from tickbus_feed.venue import SnapshotAnswer, VenueConnected, VenueFrame

    book, frames = messages(path)
    payloads = [frame.encode() for frame in frames]
    adapter = recognize([path])
    core = FeedCore(FeedConfig(), adapter.name, adapter)
    symbol = json.loads(frames[0])["data"]["s"]
    core.handle(guessed(adapter, symbol, adapter.name))
    for line in core.streams:
        core.handle(VenueConnected(1, 1, line))
    (sync,) = core.syncs.values()
    asked_after = 5  # the book was asked for when some changes had come already
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    handle, encode = core.handle, codec.encode
    began = time.perf_counter()
    for place, payload in enumerate(payloads):
        now = 1 + place * 100_000_000  # ten frames a second, for the keyframes
        outputs = handle(VenueFrame(now, now, payload))
        if place == asked_after:
            outputs = (*outputs, *handle(SnapshotAnswer(now, now, symbol, book)))
        if outputs:
            encode(outputs)
        if reading:
            _ = sync.book.best_bid, sync.book.best_ask
    rate = len(payloads) / (time.perf_counter() - began)
    assert sync.synced
    assert sync.gaps == 0
    return rate


def main() -> None:
    """Measure in turns, each in a process of its own."""
    if sys.argv[1] in ("cryptofeed", "tickbus"):
        measure = of_cryptofeed if sys.argv[1] == "cryptofeed" else of_tickbus
        print(measure(sys.argv[2], sys.argv[3] == "reading"))
        return
    other, path = sys.argv[1], sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    best: dict[str, float] = {}
    for _ in range(rounds):
        for what in ("idle", "reading"):
            for name, python in (("tickbus", sys.executable), ("cryptofeed", other)):
                done = subprocess.run(
                    [python, __file__, name, path, what], capture_output=True, text=True, check=True
                )
                rate = float(done.stdout.split()[-1])
                best[f"{name} {what}"] = max(best.get(f"{name} {what}", 0.0), rate)
    print(
        json.dumps(
            {
                "capture": Path(path).name,
                **{key: round(rate) for key, rate in best.items()},
                "idle, times cryptofeed": round(best["tickbus idle"] / best["cryptofeed idle"], 2),
                "reading, times cryptofeed": round(
                    best["tickbus reading"] / best["cryptofeed reading"], 1
                ),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
