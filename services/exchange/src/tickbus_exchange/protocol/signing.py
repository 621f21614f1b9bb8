"""Signed requests: what is signed, and the recvWindow rule."""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from tickbus_exchange.protocol import errors
from tickbus_exchange.protocol.errors import ApiError

RECV_WINDOW_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
_MICROSECONDS = 10**14
"""A time above this many milliseconds (year 5138) can only be meant as microseconds."""


def sign(secret: bytes, payload: bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of `payload`."""
    return hmac.digest(secret, payload, sha256).hex()


def rest_payload(query: bytes, body: bytes) -> bytes:
    """Return query and body joined as sent, without the signature."""
    return _without_signature(query) + _without_signature(body)


def _without_signature(part: bytes) -> bytes:
    if b"signature=" not in part:
        return part
    return b"&".join(p for p in part.split(b"&") if not p.startswith(b"signature="))


def socket_payload(params: Mapping[str, str]) -> bytes:
    """Return the WebSocket API's payload: all parameters but the signature, sorted by name."""
    return "&".join(f"{k}={params[k]}" for k in sorted(params) if k != "signature").encode()


def check_window(params: Mapping[str, str], now_ms: int) -> None:
    """Raise unless the request's timestamp is within its recvWindow of `now_ms`."""
    text = params.get("timestamp")
    if not text:
        raise errors.missing("timestamp")
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise errors.illegal("timestamp", "^[0-9]{1,20}$")
    timestamp: float = int(text)
    if timestamp >= _MICROSECONDS:
        timestamp /= 1_000
    window = _recv_window(params.get("recvWindow"))
    if timestamp >= now_ms + 1_000:
        message = "Timestamp for this request was 1000ms ahead of the server's time."
        raise ApiError(-1021, message)
    if now_ms - timestamp > window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _recv_window(text: str | None) -> float:
    if text is None:
        return RECV_WINDOW_MS
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (whole and digits.isascii() and digits.isdigit()) or len(fraction) > 3:
        raise errors.illegal("recvWindow", "^[0-9]{1,5}(\\.[0-9]{1,3})?$")
    window = float(text)
    if window > RECV_WINDOW_MAX_MS:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    return window
