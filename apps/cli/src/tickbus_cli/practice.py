"""A made-up market as a capture: something to replay before there is a recording."""

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

SYMBOL = "BTCUSDT"
BEGIN_NS = 1_767_225_600 * 10**9
STEP_NS = 100_000_000
MID = 6_000_000
"""In hundredths, as are all prices here: sums of floats would show."""
LEVELS = 5
CYCLE = 400
"""Steps from one quiet time to the next: quiet, up, quiet, down."""

Levels = dict[int, str]


def practice_capture(seconds: int = 120, seed: int = 1) -> bytes:
    """A gzip of `<ns> <json>` lines: each tenth of a second a change of the book, a quote, trades.

    The same arguments give the same bytes.
    """
    lines = "\n".join(
        f"{ts} {json.dumps(d, separators=(',', ':'))}" for ts, d in _lines(seconds, seed)
    )
    return gzip.compress(f"{lines}\n".encode(), mtime=0)


def _lines(seconds: int, seed: int) -> Iterator[tuple[int, dict[str, Any]]]:
    rng, mid, trade = random.Random(seed), MID, 0
    bids, asks = _side(rng, mid, -1), _side(rng, mid, 1)
    whole = {"lastUpdateId": 1, "bids": _rows(bids), "asks": _rows(asks)}
    yield BEGIN_NS, whole
    for step in range(seconds * 10):
        ts, update = BEGIN_NS + (step + 1) * STEP_NS, step + 2
        mid += _drift(step) + rng.randint(-200, 200)
        before, bids, asks = (bids, asks), _side(rng, mid, -1), _side(rng, mid, 1)
        changes = [_rows(_change(*pair)) for pair in zip(before, (bids, asks), strict=True)]
        event = {"e": "depthUpdate", "E": ts // 10**6, "s": SYMBOL, "U": update, "u": update}
        yield ts, _frame("depth@100ms", {**event, "b": changes[0], "a": changes[1]})
        bid, ask = max(bids), min(asks)
        best = {"b": _text(bid), "B": bids[bid], "a": _text(ask), "A": asks[ask]}
        yield ts, _frame("bookTicker", {"u": update, "s": SYMBOL, **best})
        for _ in range(rng.randrange(3)):
            trade += 1
            is_sale = rng.random() < 0.5
            price = _text(bid if is_sale else ask)
            told = {"e": "trade", "E": ts // 10**6, "s": SYMBOL, "t": trade, "p": price}
            size = f"{rng.random() / 4:.5f}"
            yield ts, _frame("trade", {**told, "q": size, "T": ts // 10**6, "m": is_sale})


def _drift(step: int) -> int:
    """Up by half a percent in ten seconds, later as much down."""
    quarter = step % CYCLE * 4 // CYCLE
    return (0, MID // 20_000, 0, -MID // 20_000)[quarter]


def _side(rng: random.Random, mid: int, sign: int) -> Levels:
    return {mid + sign * (1 + 50 * n): f"{rng.uniform(0.05, 2):.5f}" for n in range(LEVELS)}


def _change(old: Levels, new: Levels) -> Levels:
    return {**{price: "0" for price in old if price not in new}, **new}


def _rows(levels: Levels) -> list[list[str]]:
    return [[_text(price), size] for price, size in levels.items()]


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _frame(stream: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"stream": f"{SYMBOL.lower()}@{stream}", "data": data}
