"""Bitfinex v2: whole books in the stream, every frame of a connection numbered on request."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tickbus.events import Instrument, Levels, Side
from tickbus_feed.adapter import (
    NO_NUMBER,
    PERPETUAL,
    Adapter,
    Diff,
    Ignored,
    MarketQuote,
    MarketTrade,
    Message,
    Millis,
    Number,
    Numbered,
    Price,
    Refused,
    Request,
    Size,
    Whole,
    decimal,
    decoder,
)

SEQUENCE = 65_536
"""The flag that has every frame numbered."""
ASSETS = {"UST": "USDT", "USTF0": "USDT", "DSH": "DASH", "IOT": "IOTA", "QTM": "QTUM"}
CHANNELS_MAX = 1_000


class _Event(msgspec.Struct, gc=False):
    event: str
    channel: str = ""
    chanId: int = 0  # noqa: N815 - Bitfinex' spelling
    symbol: str = ""
    msg: str = ""


_read_event = decoder(_Event)
_read_frame = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_word = decoder(str)
_read_number = decoder(int)
_read_level = decoder(tuple[Price, int, Number])
_read_levels = decoder(list[tuple[Price, int, Number]])
_read_trade = decoder(tuple[int, Millis, Number, Price])
_read_trades = decoder(list[tuple[int, Millis, Number, Price]])
_read_ticker = decoder(list[float | None])
_read_size = decoder(Size)


class Bitfinex(Adapter):
    """Bitfinex: channels are numbers that the venue hands out; levels carry their side as sign."""

    name = "bitfinex"
    rest_url = "https://api-pub.bitfinex.com"
    ws_url = "wss://api-pub.bitfinex.com/ws/2"
    instruments_default = ("BTC-USD", "ETH-USD")
    hosts = ("bitfinex.com",)
    frames_numbered = True
    audit_every_s = 600.0  # a book may fall silent while the connection speaks
    batch_max = 10
    streams_max = 25
    levels_allowed = (1, 25, 100, 250)

    def __init__(self, levels: int = 250) -> None:
        super().__init__(levels)
        # The venue hands out numbers per connection: two have the same for different things.
        self._channels: dict[int, dict[int, tuple[str, str]]] = {}

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """An event (an object) or a frame of a channel (an array). Raises ValueError."""
        if payload[:1] == b"{":
            return self._event(_read_event(payload))
        frame = _read_frame(payload)
        number, body = _read_number(frame[0]), bytes(frame[1])
        channel, symbol = self._channels.get(self.connection, {}).get(number, ("", ""))
        last = bytes(frame[-1])
        out: list[Message] = []
        if len(frame) > 2 and last.isdigit():
            out.append(Numbered(_read_number(last)))
        if body[:1] == b'"':
            word = _read_word(body)
            if word == "te" and channel == "trades":
                out.append(_trade(symbol, _read_trade(frame[2])))
            else:
                out.append(Ignored(word))
        elif channel == "book":
            out.append(_book(symbol, body))
        elif channel == "trades":
            trades = reversed(_read_trades(body))
            out.extend(_trade(symbol, trade, history=True) for trade in trades)
        elif channel == "ticker" and symbol.startswith("t"):
            bid, bid_size, ask, ask_size, *_ = (value or 0.0 for value in _read_ticker(body))
            out.append(MarketQuote(symbol, 0, bid, bid_size, ask, ask_size, 0))
        else:
            out.append(Ignored(channel or "unknown channel"))
        return out

    def _event(self, event: _Event) -> Sequence[Message]:
        if event.event == "error":
            return (Refused(f"the venue refused: {event.msg}"),)
        channels = self._channels.setdefault(self.connection, {})
        if event.event == "subscribed" and len(channels) < CHANNELS_MAX:
            channels[event.chanId] = (event.channel, event.symbol)
        elif event.event == "unsubscribed":
            channels.pop(event.chanId, None)
        return (Ignored(event.event),)

    def closed(self, connection: int) -> None:
        """Its channels are no more."""
        self._channels.pop(connection, None)

    def recognizes(self, payload: bytes) -> bool:
        """By the answer to a subscription."""
        return payload.startswith(b'{"event":"subscribed"') and b'"chanId":' in payload

    def guess(self, key: str) -> tuple[str, str, str]:
        """tBTCUSD, tDOGE:USD, tBTCF0:USTF0."""
        name = key.removeprefix("t")
        base, _, quote = name.partition(":") if ":" in name else (name[:-3], "", name[-3:])
        if not base or not quote:
            raise ValueError(f"{key}: its quote asset cannot be told")
        suffix = f"-{PERPETUAL}" if base.endswith("F0") else ""
        base = ASSETS.get(base, base).removesuffix("F0")
        quote = ASSETS.get(quote, quote).removesuffix("F0")
        return f"{base}-{quote}{suffix}", base, quote

    # -- asking ------------------------------------------------------------------------------------

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book, trades and best prices."""
        return {"": [f"{channel} {key}" for channel in ("book", "trades", "ticker")]}

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """A frame per stream, behind the wish for numbers."""
        frames: list[dict[str, Any]] = [{"event": "conf", "flags": SEQUENCE}] if begin else []
        open_channels = {
            value: key
            for connection in sorted(self._channels)
            for key, value in self._channels[connection].items()
        }
        for name in names:
            channel, _, symbol = name.partition(" ")
            if begin:
                wish: dict[str, Any] = {"event": "subscribe", "channel": channel, "symbol": symbol}
                if channel == "book":
                    wish |= {"prec": "P0", "freq": "F0", "len": str(self.levels)}
                frames.append(wish)
            elif (channel, symbol) in open_channels:
                frames.append({"event": "unsubscribe", "chanId": open_channels[channel, symbol]})
        return [msgspec.json.encode(frame) for frame in frames]

    def instruments_requests(self) -> list[Request]:
        """Pairs with their smallest and largest orders, spot and derivatives."""
        return [Request(f"/v2/conf/pub:info:pair{kind}", {}, 1) for kind in ("", ":futures")]

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every pair; prices have five significant digits rather than a tick size."""
        (listed,) = msgspec.json.decode(payload)
        found = []
        for name, details in listed:
            instrument_id, base, quote = self.guess(f"t{name}")
            found.append(
                Instrument(
                    venue=venue, instrument_id=instrument_id, symbol=f"t{name}", base=base,
                    quote=quote, tick_size=decimal(0), lot_size=decimal("1e-8"),
                    quantity_min=decimal(details[3]), quantity_max=decimal(details[4]),
                )
            )  # fmt: skip
        return found


def _book(symbol: str, body: bytes) -> Message:
    levels = _read_levels(body) if body[:2] == b"[[" or body == b"[]" else [_read_level(body)]
    bids: Levels = tuple((p, a if count else 0.0) for p, count, a in levels if a > 0)
    asks: Levels = tuple((p, -a if count else 0.0) for p, count, a in levels if a < 0)
    if body[:2] == b"[[" or body == b"[]":
        return Whole(symbol, 0, NO_NUMBER, bids, asks)
    return Diff(symbol, 0, NO_NUMBER, NO_NUMBER, NO_NUMBER, bids, asks)


def _trade(
    symbol: str, trade: tuple[int, int, float, float], *, history: bool = False
) -> MarketTrade:
    number, ms, amount, price = trade
    side = Side.BUY if amount > 0 else Side.SELL
    return MarketTrade(symbol, ms * 1_000_000, str(number), price, abs(amount), side, history)
