"""Who listens to which stream, and how a message reaches all of them."""

from typing import Protocol

from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.frames import text_frame


class Subscriber(Protocol):
    """A connection that listens to streams."""

    combined: bool

    def send(self, frame: bytes) -> None:
        """Take a complete WebSocket frame. Never blocks."""


class Listeners:
    """Subscribers by stream; each message is encoded once per shape, however many listen."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.messages_total: dict[str, int] = {}
        self._listeners: dict[str, dict[Subscriber, None]] = {}

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Send every later message of `stream` to `subscriber`."""
        self._listeners.setdefault(stream, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Stop sending `stream` to `subscriber`."""
        listeners = self._listeners.get(stream)
        if listeners is not None:
            listeners.pop(subscriber, None)
            if not listeners:
                del self._listeners[stream]

    def publish(self, stream: str, payload: bytes) -> None:
        """Send `payload` to all listeners of `stream`: two frames at most, however many listen."""
        raw = combined = b""
        kind = stream.partition("@")[2]
        self.messages_total[kind] = self.messages_total.get(kind, 0) + 1
        if self.faults.active:
            self._publish_badly(stream, payload)
            return
        for subscriber in tuple(self._listeners.get(stream, ())):
            if subscriber.combined:
                if not combined:
                    combined = text_frame(b'{"stream":"%b","data":%b}' % (stream.encode(), payload))
                subscriber.send(combined)
            else:
                if not raw:
                    raw = text_frame(payload)
                subscriber.send(raw)

    def _publish_badly(self, stream: str, payload: bytes) -> None:
        for subscriber in tuple(self._listeners.get(stream, ())):
            whole = payload
            if subscriber.combined:
                whole = b'{"stream":"%b","data":%b}' % (stream.encode(), payload)
            for part in self.faults.apply(id(subscriber), stream, whole):
                subscriber.send(text_frame(part))
