"""A small market in every venue's wire format: the truth that the feed is compared with."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

Sides = dict[str, dict[int, int]]
"""bids and asks: price and size in units of 0.1 and 0.001."""
T = 1_700_000_000_000


def price(n: int) -> str:
    """`n` tenths as text."""
    return f"{n // 10}.{n % 10}"


def size(n: int) -> str:
    """`n` thousandths as text."""
    return f"{n // 1000}.{n % 1000:03d}"


@dataclass
class Market:
    """One instrument: `history[v]` is the whole book after change number v."""

    rng: random.Random
    sides: Sides = field(default_factory=lambda: {"b": {}, "a": {}})
    history: list[Sides] = field(default_factory=list)
    mid: int = 10_000
    depth: int = 30

    def __post_init__(self) -> None:
        for n in range(1, self.depth):
            self.sides["b"][self.mid - n] = self.rng.randint(1, 9_999)
            self.sides["a"][self.mid + n] = self.rng.randint(1, 9_999)
        self._keep()

    def _keep(self) -> None:
        self.history.append({side: dict(levels) for side, levels in self.sides.items()})

    @property
    def version(self) -> int:
        """How many changes there were."""
        return len(self.history) - 1

    def step(self) -> Sides:
        """Change some levels, never to a crossed book; absolute sizes, 0 for what is gone."""
        changes: Sides = {"b": {}, "a": {}}
        self.mid += self.rng.choice((-1, 0, 0, 1))
        for side, sign in (("b", -1), ("a", 1)):
            levels = self.sides[side]
            for at in [p for p in levels if (p - self.mid) * sign <= 0]:
                changes[side][at] = 0
            for _ in range(self.rng.randint(1, 4)):
                at = self.mid + sign * self.rng.randint(1, self.depth)
                changes[side][at] = self.rng.choice((0, self.rng.randint(1, 9_999)))
            changes[side].setdefault(self.mid + sign, self.rng.randint(1, 9_999))
            if not changes[side][self.mid + sign]:
                changes[side][self.mid + sign] = 7
            for at, amount in changes[side].items():
                levels[at] = amount
                if not amount:
                    del levels[at]
        self._keep()
        return changes


def texts(levels: dict[int, int], *, best_high: bool) -> list[list[str]]:
    """Levels as venues write them, best first."""
    return [[price(p), size(s)] for p, s in sorted(levels.items(), reverse=best_high)]


@dataclass
class Spoken:
    """How one venue says it: `change` gives a frame, `whole` a frame or the answer over REST."""

    symbol: str
    instrument_id: str
    line: str
    change: Callable[["Session", Sides], bytes]
    whole: Callable[["Session"], bytes]
    version_of: Callable[[int], int] | None
    """The version of the market that an update id stands for; None where there are none."""


@dataclass
class Session:
    """What a venue remembers of one connection."""

    market: Market
    frames: int = -1

    @property
    def u(self) -> int:
        """The number of the last change, as most venues count."""
        return self.market.version + 100

    def next_frame(self) -> int:
        """The number of the next frame of this connection."""
        self.frames += 1
        return self.frames


def dump(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def _sides(sides: Sides) -> dict[str, list[list[str]]]:
    return {
        "b": texts(sides["b"], best_high=True),
        "a": texts(sides["a"], best_high=False),
    }


def binance_change(s: Session, changes: Sides) -> bytes:
    """A spot `depthUpdate` of one id."""
    data = {"e": "depthUpdate", "E": T, "s": "BTCUSDT", "U": s.u, "u": s.u, **_sides(changes)}
    return dump({"stream": "btcusdt@depth@100ms", "data": data})


def usdm_change(s: Session, changes: Sides) -> bytes:
    """A futures `depthUpdate`: ids with holes, and the one before."""
    u = s.u * 7
    data = {"e": "depthUpdate", "E": T, "s": "BTCUSDT", "U": u - 5, "u": u, "pu": u - 7,
            **_sides(changes)}  # fmt: skip
    return dump({"stream": "btcusdt@depth@100ms", "data": data})


def rest_book(s: Session, scale: int) -> bytes:
    """The answer of Binance's `depth`."""
    sides = _sides(s.market.sides)
    return dump({"lastUpdateId": s.u * scale, "bids": sides["b"], "asks": sides["a"]})


def _okx(s: Session, sides: Sides, action: str) -> bytes:
    levels = {k: [[p, a, "0", "1"] for p, a in v] for k, v in _sides(sides).items()}
    data = {"asks": levels["a"], "bids": levels["b"], "ts": str(T), "checksum": 0,
            "seqId": s.u * 3, "prevSeqId": -1 if action == "snapshot" else s.u * 3 - 3}  # fmt: skip
    arg = {"channel": "books", "instId": "BTC-USDT"}
    return dump({"arg": arg, "action": action, "data": [data]})


def _bybit(s: Session, sides: Sides, kind: str) -> bytes:
    data = {"s": "BTCUSDT", **_sides(sides), "u": s.u, "seq": s.u * 9}
    return dump({"topic": "orderbook.200.BTCUSDT", "type": kind, "ts": T, "data": data, "cts": T})


def _coinbase(s: Session, sides: Sides, kind: str) -> bytes:
    time = "2026-08-09T21:05:48.483587501Z"
    updates = [
        {"side": name, "event_time": time, "price_level": p, "new_quantity": a}
        for side, name in (("b", "bid"), ("a", "offer"))
        for p, a in _sides(sides)[side]
    ]
    events = [{"type": kind, "product_id": "BTC-USD", "updates": updates}]
    return dump(
        {"channel": "l2_data", "timestamp": time, "sequence_num": s.next_frame(), "events": events}
    )


def _kraken(s: Session, sides: Sides, kind: str) -> bytes:
    top = _sides(s.market.sides)
    digits = "".join(
        text.replace(".", "").lstrip("0")
        for side in (top["a"][:10], top["b"][:10])
        for level in side
        for text in level
    )

    def levels(side: str) -> str:
        return ",".join(f'{{"price":{p},"qty":{a}}}' for p, a in _sides(sides)[side])

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{levels("b")}],'
        f'"asks":[{levels("a")}],"checksum":{crc32(digits.encode())},'
        '"timestamp":"2026-08-09T21:05:48.483587Z"}]}'
    ).encode()


def _deribit(s: Session, sides: Sides, kind: str) -> bytes:
    levels = {k: [["new", p, a] for p, a in v] for k, v in _sides(sides).items()}
    data = {"type": kind, "timestamp": T, "instrument_name": "BTC-PERPETUAL", "change_id": s.u * 5,
            "bids": levels["b"], "asks": levels["a"]}  # fmt: skip
    if kind == "change":
        data["prev_change_id"] = s.u * 5 - 5
    params = {"channel": "book.BTC-PERPETUAL.100ms", "data": data}
    return dump({"jsonrpc": "2.0", "method": "subscription", "params": params})


VENUES = {
    "binance": Spoken(
        "BTCUSDT", "BTC-USDT", "", binance_change,
        lambda s: rest_book(s, 1), lambda u: u - 100,
    ),
    "binance-usdm": Spoken(
        "BTCUSDT", "BTC-USDT-PERP", "public", usdm_change,
        lambda s: rest_book(s, 7), lambda u: u // 7 - 100,
    ),
    "okx": Spoken(
        "BTC-USDT", "BTC-USDT", "", lambda s, c: _okx(s, c, "update"),
        lambda s: _okx(s, s.market.sides, "snapshot"), lambda u: u // 3 - 100,
    ),
    "bybit": Spoken(
        "BTCUSDT", "BTC-USDT", "spot", lambda s, c: _bybit(s, c, "delta"),
        lambda s: _bybit(s, s.market.sides, "snapshot"), lambda u: u - 100,
    ),
    "coinbase": Spoken(
        "BTC-USD", "BTC-USD", "", lambda s, c: _coinbase(s, c, "update"),
        lambda s: _coinbase(s, s.market.sides, "snapshot"), None,
    ),
    "deribit": Spoken(
        "BTC-PERPETUAL", "BTC-USD-PERP", "", lambda s, c: _deribit(s, c, "change"),
        lambda s: _deribit(s, s.market.sides, "snapshot"), lambda u: u // 5 - 100,
    ),
    "kraken": Spoken(
        "BTC/USD", "BTC-USD", "", lambda s, c: _kraken(s, c, "update"),
        lambda s: _kraken(s, s.market.sides, "snapshot"), None,
    ),
}  # fmt: skip
