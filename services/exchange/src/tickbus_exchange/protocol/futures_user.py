"""The futures user data stream: listen keys, and what happens to the account, on /private.

Consumes: every `Changes` of the desk, right away. A client subscribes to `<listenKey>`, or to
`<listenKey>@EVENT@EVENT` for some events only.
"""

from collections.abc import Callable
from hashlib import sha256
from urllib.parse import parse_qsl, quote

import msgspec

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_types import ASSET, AlgoOrder, Changes
from tickbus_exchange.engine.numbers import plain
from tickbus_exchange.protocol import futures_errors, futures_render
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.frames import text_frame
from tickbus_exchange.protocol.later import Later
from tickbus_exchange.protocol.listeners import Subscriber
from tickbus_exchange.protocol.render import Json

PRIVATE = "private"
LIFE_MS = 3_600_000
_encode = msgspec.json.Encoder().encode


class ListenKeys:
    """The one listen key of the account, while it lives."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0
        self.key = ""
        self.until_ms = 0

    def start(self, now_ms: int) -> str:
        """Return the key, a new one if there is none, good for another hour."""
        if not self.is_alive(now_ms):
            self._count += 1
            text = f"{self._seed} {self._count} {now_ms}"
            self.key = sha256(text.encode()).hexdigest()
        self.until_ms = now_ms + LIFE_MS
        return self.key

    def keep(self, now_ms: int) -> str:
        """Let the key live for another hour; raise ApiError -1125 where it is gone."""
        if not self.is_alive(now_ms):
            raise futures_errors.no_listen_key()
        return self.start(now_ms)

    def stop(self) -> None:
        """End the key; its streams fall silent."""
        self.key, self.until_ms = "", 0

    def is_alive(self, now_ms: int) -> bool:
        """Whether the key is still good."""
        return bool(self.key) and now_ms < self.until_ms


class PrivateHub:
    """Who listens to which key. Messages leave late if the faults say so, never out of turn."""

    def __init__(self, faults: Faults, later: Later, steady_ms: Callable[[], int]) -> None:
        self.faults = faults
        self._later = later
        self._steady_ms = steady_ms
        self._due_ms = 0
        self._listeners: dict[tuple[Subscriber, str], frozenset[str]] = {}
        self.events_total = 0

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Listen to a key, known or not: an unknown one stays silent, as at the venue."""
        _, *events = stream.split("@")
        self._listeners[subscriber, stream] = frozenset(events)

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Stop listening."""
        self._listeners.pop((subscriber, stream), None)

    def send(self, key: str, kind: str, payload: bytes) -> None:
        """Send an event to all who listen to `key` and want its `kind`."""
        self.events_total += 1
        for (subscriber, stream), events in tuple(self._listeners.items()):
            if stream.partition("@")[0] != key or (events and kind not in events):
                continue
            whole = payload
            if subscriber.combined:
                whole = b'{"stream":"%b","data":%b}' % (key.encode(), payload)
            self._send_in_turn(subscriber, text_frame(whole))

    def _send_in_turn(self, subscriber: Subscriber, frame: bytes) -> None:
        now_ms = self._steady_ms()
        due_ms = max(self._due_ms, now_ms + self.faults.delay_of_event())
        if due_ms <= now_ms:
            subscriber.send(frame)
            return
        self._due_ms = due_ms
        self._later.add(due_ms, lambda: subscriber.send(frame))


class PrivateStream:
    """Says everything that happens to one account to whoever listens to its key."""

    def __init__(self, hub: PrivateHub, desk: FuturesDesk, keys: ListenKeys) -> None:
        self._hub = hub
        self._desk = desk
        self._keys = keys
        self._told: dict[int, tuple[str, bool]] = {}

    def step(self, now_ms: int) -> None:
        """Tell listeners when the key has run out."""
        if self._keys.key and not self._keys.is_alive(now_ms):
            self._end(now_ms)

    def _end(self, now_ms: int) -> None:
        key = self._keys.key
        event = {"e": "listenKeyExpired", "E": now_ms, "listenKey": key}
        self._hub.send(key, "listenKeyExpired", _encode(event))
        self._keys.stop()

    def on_changes(self, changes: Changes) -> None:
        """Say what happened: the quick hint first, then the account, then the order."""
        fill = changes.fills[0] if changes.fills else None
        order = changes.orders[0] if changes.orders else None
        if changes.reason == "MARGIN_CALL":
            self._push(self._margin_call(changes.time_ms))
            return
        if order is not None and fill is not None and changes.execution == "TRADE":
            self._push(futures_render.trade_lite(order, fill))
        if changes.reason:
            self._push(self._account_update(changes))
        if order is not None:
            self._push(futures_render.order_update(order, changes.execution, fill))
        for algo in changes.algos:
            if self._is_news(algo):
                self._push(futures_render.algo_update(algo))
        for setting in changes.settings:
            config = {"s": setting.symbol, "l": setting.leverage}
            head = {"e": "ACCOUNT_CONFIG_UPDATE", "E": changes.time_ms, "T": changes.time_ms}
            self._push(head | {"ac": config})

    def _is_news(self, algo: AlgoOrder) -> bool:
        """Whether more happened to a conditional order than that its trail moved on."""
        now = (algo.status.value, algo.is_active)
        is_news = self._told.get(algo.algo_id) != now
        self._told[algo.algo_id] = now
        return is_news

    def _account_update(self, changes: Changes) -> Json:
        wallet = plain(self._desk.books.wallet)
        # The balance change is without what trading earned or cost.
        moved = sum(i.amount for i in changes.income) if changes.reason != "ORDER" else 0
        balance = {"a": ASSET, "wb": wallet, "cw": wallet, "bc": plain(moved)}
        positions = [
            futures_render.position_change(p, self._desk.mark(p.symbol)) for p in changes.positions
        ]
        return {
            "e": "ACCOUNT_UPDATE", "E": changes.time_ms, "T": changes.time_ms,
            "a": {"m": changes.reason, "B": [balance], "P": positions},
        }  # fmt: skip

    def _margin_call(self, now_ms: int) -> Json:
        desk = self._desk
        held = [
            {
                "s": p.symbol, "ps": "BOTH", "pa": plain(p.quantity), "mt": "CROSSED", "iw": "0",
                "mp": plain(desk.mark(p.symbol)),
                "up": plain(margin.unrealized(p, desk.mark(p.symbol))),
                "mm": plain(margin.maintenance(p, desk.mark(p.symbol))),
            }
            for p in desk.books.positions.values()
            if p.quantity
        ]  # fmt: skip
        return {"e": "MARGIN_CALL", "E": now_ms, "cw": plain(desk.books.wallet), "p": held}

    def _push(self, event: Json) -> None:
        if not self._keys.key:
            return
        sent = self._hub.faults.of_event(_encode(event), self._desk.account_id)
        if sent is None:
            self._end(event["E"])
            return
        for payload in sent:
            self._hub.send(self._keys.key, msgspec.json.decode(payload)["e"], payload)


def session_target(path: str, query: str) -> tuple[str, str]:
    """Return the (path, query) of a market session that means what /private was asked for.

    `?listenKey=k&events=A/B` (repeated for more keys) becomes the stream name `k@A@B`.
    """
    names: list[str] = []
    for name, value in parse_qsl(query):
        if name == "listenKey":
            names.append(value)
        elif name == "events" and names:
            names[-1] += "".join(f"@{event}" for event in value.split("/") if event)
    if not names:
        return path, query
    joined = "/".join(names)
    if path.startswith("/stream"):
        return "/stream", f"streams={quote(joined)}"
    return f"/ws/{quote(joined)}", ""
