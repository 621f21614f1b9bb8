"""One client of the market streams: which streams, in which shape, and live changes of both."""

from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs, unquote

import msgspec

from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.frames import text_frame
from tickbus_exchange.protocol.listeners import Subscriber

STREAMS_MAX = 1_024
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_encode = msgspec.json.Encoder().encode


class Streams(Protocol):
    """Where streams are listened to."""

    faults: Faults

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Listen to a stream."""

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Stop listening."""


class StreamError(Exception):
    """A control message that cannot be obeyed: Binance's small code and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class MarketSession:
    """A Subscriber of the hub; `write` takes complete frames."""

    def __init__(self, hub: Streams, write: Callable[[bytes], None], path: str, query: str) -> None:
        self._hub = hub
        self.send = write
        self.combined = path.startswith("/stream")
        self.streams: dict[str, None] = {}
        if self.combined:
            names = "/".join(parse_qs(query).get("streams", []))
        else:
            names = unquote(path.removeprefix("/ws"))
        self._subscribe([name for name in names.split("/") if name])

    def on_text(self, message: str) -> None:
        """Obey a control message and answer it."""
        request_id: object = None
        try:
            try:
                request = msgspec.json.decode(message)
            except (msgspec.DecodeError, RecursionError):
                raise StreamError(3, "Invalid JSON: expected value at line 1 column 1") from None
            if not isinstance(request, dict):
                raise StreamError(2, "Invalid request: expected an object")
            request_id = _request_id(request)
            answer: dict[str, object] = {"result": self._obey(request), "id": request_id}
        except StreamError as error:
            answer = {"error": {"code": error.code, "msg": str(error)}, "id": request_id}
        self.send(text_frame(_encode(answer)))

    def close(self) -> None:
        """Leave all streams."""
        for stream in self.streams:
            self._hub.unsubscribe(self, stream)
        self.streams.clear()
        self._hub.faults.forget(id(self))

    def shutdown_notice(self, now_ms: int) -> bytes:
        """Return the frame that announces a planned stop."""
        event: object = {"e": "serverShutdown", "E": now_ms}
        if self.combined:
            event = {"stream": "!serverShutdown", "data": event}
        return text_frame(_encode(event))

    def _obey(self, request: dict[str, object]) -> object:
        method = request.get("method")
        if method is None:
            raise StreamError(2, "Invalid request: missing field `method` at line 1 column 1")
        if method not in METHODS:
            expected = ", ".join(f"`{m}`" for m in METHODS)
            message = f"Invalid request: unknown variant `{method}`, expected one of {expected}"
            raise StreamError(2, message)
        if method == "LIST_SUBSCRIPTIONS":
            return list(self.streams)
        values = request.get("params")
        if not isinstance(values, list):
            raise StreamError(2, "Invalid request: params must be an array")
        if method.endswith("PROPERTY"):
            return self._property(method, values)
        if not all(isinstance(v, str) for v in values):
            raise StreamError(2, "Invalid request: stream names must be strings")
        if method == "SUBSCRIBE":
            self._subscribe(values)
        else:
            for stream in values:
                self.streams.pop(stream, None)
                self._hub.unsubscribe(self, stream)
        return None

    def _property(self, method: str, values: list[object]) -> object:
        if not values or not isinstance(values[0], str):
            raise StreamError(2, "Invalid request: property name must be a string")
        if values[0] != "combined":
            raise StreamError(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(values) != 2 or not isinstance(values[1], bool):
            raise StreamError(1, "Invalid value type: expected Boolean")
        self.combined = values[1]
        return None

    def _subscribe(self, names: list[str]) -> None:
        if len(self.streams.keys() | set(names)) > STREAMS_MAX:
            raise StreamError(2, f"Invalid request: more than {STREAMS_MAX} streams")
        for stream in names:
            self.streams[stream] = None
            self._hub.subscribe(self, stream)


def _request_id(request: dict[str, object]) -> object:
    request_id = request.get("id")
    valid = request_id is None or (isinstance(request_id, int) and request_id is not True)
    if isinstance(request_id, str):
        valid = len(request_id) <= 36
    if not valid:
        raise StreamError(2, "Invalid request: request ID must be an unsigned integer")
    return request_id
