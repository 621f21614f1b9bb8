"""MessagePack envelopes: the only form in which events cross a process boundary."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tickbus import subjects
from tickbus.events.access import AccessEvent
from tickbus.events.base import Event
from tickbus.events.book import BookEvent
from tickbus.events.control import PlatformEvent
from tickbus.events.ledger import PortfolioUpdated
from tickbus.events.lifecycle import LifecycleEvent
from tickbus.events.logs import LogEvent
from tickbus.events.market import MarketEvent
from tickbus.events.orders import OrderPathEvent
from tickbus.events.risk import RiskEvent
from tickbus.events.strategy import StrategyEvent

T = TypeVar("T")
MARKET = ("md.", "book.")


class Hop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When a service received what it then sent on; ns UTC by that machine's clock."""

    service: str
    ts_recv: int
    ts_sent: int


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One bus message: events in order, and the way that led to them, oldest hop first.

    Market data carries one or many events (a backlog is coalesced); the order path exactly one.
    """

    events: list[
        MarketEvent
        | BookEvent
        | OrderPathEvent
        | PlatformEvent
        | PortfolioUpdated
        | RiskEvent
        | StrategyEvent
        | LifecycleEvent
        | LogEvent
        | AccessEvent
    ]
    hops: tuple[Hop, ...] = ()


class MalformedMessage(ValueError):
    """A payload that is no envelope of known events; the text says where it broke."""


_encoder = msgspec.msgpack.Encoder()
_envelope = msgspec.msgpack.Decoder(Envelope)
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def encode(events: Sequence[Event], hops: tuple[Hop, ...] = ()) -> bytes:
    """The wire form of `events`, which must not be empty."""
    return _encoder.encode((events, hops))


def decode(payload: bytes) -> Envelope:
    """The events in `payload`. Raises MalformedMessage."""
    try:
        return _envelope.decode(payload)
    except (msgspec.DecodeError, ValueError, ArithmeticError) as error:
        raise MalformedMessage(f"not an event envelope: {error}") from error


def decode_said(subject: str, payload: bytes) -> Envelope:
    """The events of a message on `subject`. Raises MalformedMessage.

    Also for an event that belongs on another subject: who may speak on one may not say what only
    somebody else may, such as a strategy that it was filled, or in a heartbeat that trading goes
    on. Market data is not compared: only feed and book may publish it, and it is much.
    """
    envelope = decode(payload)
    if not subject.startswith(MARKET):
        for event in envelope.events:
            try:
                own = subjects.of(event)
            except (TypeError, ValueError):
                own = "no subject at all"
            if own != subject:
                raise MalformedMessage(
                    f"{type(event).__name__} on {subject!r}: it belongs on {own!r}"
                )
    return envelope


def encode_value(value: Any) -> bytes:
    """The wire form of one struct: bucket values, requests and replies."""
    return _encoder.encode(value)


def decode_value(payload: bytes, kind: type[T]) -> T:
    """One struct of type `kind`. Raises MalformedMessage."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value: T = decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, ArithmeticError) as error:
        raise MalformedMessage(f"not a {getattr(kind, '__name__', kind)}: {error}") from error
    return value
