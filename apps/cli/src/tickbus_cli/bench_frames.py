"""Generated Binance frames for benchmarks: seeded, realistic in size, never crossed."""

import json
import random
from decimal import Decimal
from typing import Any

from tickbus.captures import CapturedMessage
from tickbus.events import Instrument

TICK = 0.01
BEGIN_NS = 1_700_000_000 * 10**9
LEVELS = 200


def an_instrument(symbol: str, venue: str = "binance") -> Instrument:
    """`symbol`, quoted in USDT, with usual steps."""
    base = symbol.removesuffix("USDT")
    return Instrument(
        venue, f"{base}-USDT", symbol, base, "USDT", Decimal("0.01"), Decimal("0.00001")
    )


def snapshot(mid: float = 60_000.0, update_id: int = 1_000) -> bytes:
    """A REST depth answer."""
    bids = [[_text(mid - (n + 1) * TICK), "1.00000000"] for n in range(LEVELS)]
    asks = [[_text(mid + (n + 1) * TICK), "1.00000000"] for n in range(LEVELS)]
    return _dump({"lastUpdateId": update_id, "bids": bids, "asks": asks})


def a_market(symbol: str, frames: int, seed: int = 1) -> list[CapturedMessage]:
    """A snapshot and `frames` frames: of twenty, one change of the book, five trades, quotes."""
    rng = random.Random(seed)
    name = symbol.lower()
    messages = [CapturedMessage(BEGIN_NS, "rest", f"/depth?symbol={symbol}", snapshot(), "", 0)]
    update, mid = 1_001, 60_000.0
    for n in range(frames):
        ts = BEGIN_NS + (n + 1) * 1_000_000
        if n % 20 == 0:
            stream, data = f"{name}@depth@100ms", _diff(rng, symbol, ts, update, mid)
            update += 1
        elif n % 4 == 1:
            stream, data = f"{name}@trade", _trade(rng, symbol, ts, n, mid)
        else:
            stream, data = f"{name}@bookTicker", _quote(symbol, update - 1, mid)
        payload = _dump({"stream": stream, "data": data})
        messages.append(CapturedMessage(ts, "frame", "", payload, "", n))
    return messages


def _diff(rng: random.Random, symbol: str, ts: int, update: int, mid: float) -> dict[str, Any]:
    def side(sign: int) -> list[list[str]]:
        steps = rng.sample(range(2, LEVELS), 18)
        return [[_text(mid + sign * step * TICK), _text(rng.random() * 3)] for step in steps]

    event = {"e": "depthUpdate", "E": ts // 10**6, "s": symbol, "U": update, "u": update}
    return {**event, "b": side(-1), "a": side(1)}


def _trade(rng: random.Random, symbol: str, ts: int, number: int, mid: float) -> dict[str, Any]:
    ms = ts // 10**6
    return {
        "e": "trade", "E": ms, "s": symbol, "t": number, "p": _text(mid + TICK),
        "q": _text(rng.random()), "T": ms, "m": rng.random() < 0.5, "M": True,
    }  # fmt: skip


def _quote(symbol: str, update: int, mid: float) -> dict[str, Any]:
    return {
        "u": update, "s": symbol, "b": _text(mid - TICK), "B": "1.00000000",
        "a": _text(mid + TICK), "A": "1.00000000",
    }  # fmt: skip


def _text(number: float) -> str:
    return f"{number:.8f}"


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
