"""A simulated exchange without sockets: its streams as recorded messages, and an account at it.

Orders go through its own protocol, signed as over a socket, into its own matching engine.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from tickbus.captures import CapturedMessage
from tickbus.events import Event, Recovered
from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.protocol.market_session import MarketSession
from tickbus_exchange.protocol.signing import sign, socket_payload
from tickbus_exchange.venue import USER
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.binance_usdm import BinanceUsdm
from tickbus_execution.core import ExecutionCore
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.refusals import read_refusal
from tickbus_execution.venue import (
    AccountReport,
    OrderReport,
    Request,
    RequestFailed,
    VenueCancel,
    VenueQuery,
    VenueSnapshot,
    VenueSubmit,
)
from tickbus_execution.wire import Ask

START_MS = 1_800_000_000_000
STEP_MS = 10
MS_NS = 1_000_000
SYMBOL = "BTCUSDT"


class Side(NamedTuple):
    """Spot or futures: who reads it, what is traded, where its answers are, streams by route."""

    adapter: str
    instrument_id: str
    path: str
    streams: dict[str, tuple[str, ...]]


SPOT = Side(
    "binance", "BTC-USDT", "/api/v3", {"": ("depth@100ms", "bookTicker", "trade")}
)  # fmt: skip
FUTURES = Side(
    "binance-usdm",
    "BTC-USDT-PERP",
    "/fapi/v1",
    {"public": ("depth@100ms", "bookTicker"), "market": ("aggTrade", "forceOrder")},
)


class Market:
    """A simulated exchange of one symbol on a clock of its own, and what its streams say."""

    def __init__(self, seed: int, side: Side) -> None:
        self.now_ms = START_MS
        self.side = side
        config = ExchangeConfig(seed=seed, listings=DEFAULT_LISTINGS[:1], balances=DEFAULT_BALANCES)
        self.exchange = Exchange(config, lambda: self.now_ms)
        self._frames: list[tuple[str, bytes]] = []

    def messages(self, seconds: int) -> Iterator[CapturedMessage]:
        """What a client records that asks for the book once its streams have begun."""
        for route in self.side.streams:
            self._listen(route)
        yield self._rest("exchangeInfo")
        for step in range(seconds * 1_000 // STEP_MS):
            self.now_ms += STEP_MS
            self.exchange.step()
            frames, self._frames[:] = self._frames[:], []
            for url, frame in frames:
                yield CapturedMessage(self.now_ms * MS_NS, "frame", url, payload_of(frame), "", 0)
            if step == 1_000 // STEP_MS:
                yield self._rest("depth", symbol=SYMBOL, limit="1000")

    def _listen(self, route: str) -> None:
        streams = "/".join(f"{SYMBOL.lower()}@{kind}" for kind in self.side.streams[route])
        hub: Any = self.exchange.hub.futures.route(route) if route else self.exchange.hub
        url = f"ws://exchange/{route}/stream"
        MarketSession(
            hub, lambda frame: self._frames.append((url, frame)), "/stream", f"streams={streams}"
        )

    def _rest(self, name: str, **params: str) -> CapturedMessage:
        path = f"{self.side.path}/{name}"
        body = table(self.exchange, self.side).rest["GET", path].run(params, self.now_ms)
        query = "&".join(f"{key}={value}" for key, value in params.items())
        url = f"http://exchange{path}?{query}"
        payload = msgspec.json.encode(body)
        return CapturedMessage(self.now_ms * MS_NS, "rest", url, payload, "", 0)


def table(exchange: Exchange, side: Side) -> Any:
    """What the first user may ask for."""
    return exchange.futures.tables[USER] if side is FUTURES else exchange.tables[USER]


def payload_of(frame: bytes) -> bytes:
    """What is in an unmasked WebSocket frame."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class UserStreamSpoke(Event, frozen=True):
    """The exchange may have something to say of our resting orders."""


class Account:
    """An account at the exchange, as the execution core sees its gateway; a core itself."""

    def __init__(self, exchange: Exchange, side: Side) -> None:
        self._exchange = exchange
        self._side = side
        futures = side is FUTURES
        self._protocol: VenueProtocol = BinanceUsdm() if futures else BinanceSpot()
        session = exchange.futures_session if futures else exchange.api_session
        self._session = session("127.0.0.1", self._hear)
        self._answer: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []

    def _hear(self, frame: bytes) -> None:
        message = msgspec.json.decode(payload_of(frame))
        if "id" in message:
            self._answer = message
        else:
            self._events.append(message.get("event", message))

    def handle(self, event: Any, /) -> Sequence[Event]:
        """What the exchange says to a request, and what its user stream said meanwhile."""
        out: list[Event] = []
        match event:
            case VenueSubmit(order=order, symbol=symbol):
                out += self._order(Request.SUBMIT, self._protocol.place(order, symbol), order)
            case VenueCancel(cancel=cancel, symbol=symbol):
                ask = self._protocol.cancel(cancel, symbol)
                out += self._order(Request.CANCEL, ask, cancel, cancel.command_id)
            case VenueQuery(client_order_id=name, symbol=symbol):
                out += self._order(Request.QUERY, self._protocol.status(name, symbol), event)
            case Recovered():
                out += self._begin(event)
        events, self._events = self._events, []
        for said in events:
            out += self._protocol.read_event(said, event.ts_recv, self._instrument_of).reports
        return out

    def _begin(self, event: Recovered) -> Sequence[Event]:
        if self._protocol.subscribe is not None:
            self._ask(self._protocol.subscribe)
        if self._protocol.new_listen_key is not None:
            key = self._ask(self._protocol.new_listen_key)["listenKey"]
            self._exchange.futures.private_session(self._hear, f"/ws/{key}", "")
        body = self._ask(self._protocol.account)
        account = self._protocol.read_account(body, event.ts_recv, 0, self._instrument_of)
        return account, VenueSnapshot(event.ts_event, event.ts_recv, (), ())

    def _order(self, kind: Request, ask: Ask, what: Any, command_id: str = "") -> Sequence[Event]:
        answer = self._ask(ask)
        now = self._exchange.clock_ms() * MS_NS
        if "code" not in answer:
            report = self._protocol.read_order(answer, what.instrument_id, now)
            return () if report is None else (report,)
        refusal = read_refusal(self._protocol.dialect, kind, answer, 400)
        return (
            RequestFailed(
                now, now, kind, refusal.outcome, what.client_order_id, what.instrument_id,
                refusal.reason, refusal.detail, command_id,
            ),
        )  # fmt: skip

    def _ask(self, ask: Ask) -> Any:
        """The result, or the error, which has a code."""
        params = {key: str(value) for key, value in ask.params.items()}
        now_ms, config = self._exchange.clock_ms(), self._exchange.config
        if not ask.method:
            rest = table(self._exchange, self._side).rest[ask.verb, ask.path]
            return msgspec.json.decode(msgspec.json.encode(rest.run(params, now_ms)))
        params |= {"apiKey": config.api_key, "timestamp": str(now_ms)}
        params["signature"] = sign(config.api_secret.encode(), socket_payload(params))
        request = {"id": 1, "method": ask.method, "params": params}
        self._session.on_text(msgspec.json.encode(request).decode())
        return self._answer.get("result") or self._answer["error"]

    def _instrument_of(self, symbol: str) -> str | None:
        return {SYMBOL: self._side.instrument_id}.get(symbol)


class Execution:
    """The execution core with the account behind it, as one core."""

    def __init__(self, venue: str, account: Account) -> None:
        self._core = ExecutionCore(venue)
        self._account = account

    def handle(self, event: Any, /) -> Sequence[Event]:
        """What reaches the bus after both have said all they have to say."""
        out: list[Event] = []
        said = [*self._core.handle(event), *self._account.handle(event)]
        while said:
            now = said.pop(0)
            if isinstance(now, VenueSubmit | VenueCancel | VenueQuery):
                said += self._account.handle(now)
            elif isinstance(now, OrderReport | RequestFailed | AccountReport | VenueSnapshot):
                said += self._core.handle(now)
            else:
                out.append(now)
        return out
