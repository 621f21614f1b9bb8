"""What every Binance protocol shares: frames of the WebSocket API, numbers, what is asked for."""

from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from tickbus.events import SubmitOrder

MS_NS = 1_000_000
UNREADABLE = (
    msgspec.DecodeError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError,
)  # fmt: skip
"""What reading an answer of another shape than documented may raise."""
INTERVALS_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}


class Lane(IntEnum):
    """Who goes first where requests are short."""

    CANCEL = 0
    REDUCE = 1
    NEW = 2
    QUERY = 3


class Ask(NamedTuple):
    """One request in the venue's words; `method` is "" where only REST has it.

    `weight` is what it costs of the address's budget, 0 where the venue charges only refusals.
    `signed` False with `keyed` True sends the key and no signature.
    """

    method: str
    verb: str
    path: str
    params: dict[str, Any]
    lane: Lane = Lane.QUERY
    weight: int = 0
    signed: bool = True
    keyed: bool = True


class RateLimit(msgspec.Struct, rename="camel"):
    """One of the venue's limits, and how much of it was used when it last said so."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int
    count: int | None = None

    @property
    def interval_s(self) -> int:
        """The length of its interval in seconds. Raises KeyError for a unit nobody documented."""
        return INTERVALS_S[self.interval] * self.interval_num


class Answer(msgspec.Struct, rename="camel"):
    """One frame of the WebSocket API, an answer (`id`) or an event; or an answer of REST.

    `unsent` says why the request never left; then nothing else is set.
    """

    id: int | str | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw(b"")
    error: dict[str, Any] | None = None
    event: msgspec.Raw = msgspec.Raw(b"")
    rate_limits: list[RateLimit] = []
    unsent: str = ""


read_answer = msgspec.json.Decoder(Answer).decode
# Decimals stay text until they become Decimal: no float in between.
read_json = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder().encode


def read(raw: msgspec.Raw) -> Any:
    """The JSON in `raw`, numbers with a point as Decimal."""
    return read_json(bytes(raw))


def entries(body: Any) -> list[dict[str, Any]]:
    """An answer that is a list; anything else would look like an empty one. Raises ValueError."""
    if not isinstance(body, list):
        raise ValueError(f"no list: {body!r:.200}")
    return body


def text(value: Any) -> str:
    """A parameter's value as it is sent and signed."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def request(request_id: int, method: str, params: dict[str, Any]) -> str:
    """One request of the WebSocket API as sent."""
    return _encode({"id": request_id, "method": method, "params": params}).decode()


def sorted_payload(params: Mapping[str, Any]) -> bytes:
    """What the WebSocket API wants signed: `k=v` sorted by name, joined by `&`, plain UTF-8."""
    return "&".join([f"{k}={text(v)}" for k, v in sorted(params.items())]).encode()


def query(params: Mapping[str, Any]) -> str:
    """What REST wants sent and signed: in the given order, percent-encoded."""
    return "&".join([f"{k}={quote(text(v), safe='')}" for k, v in params.items()])


def lane_of(order: SubmitOrder) -> Lane:
    """The lane of a new order: one that reduces a position goes before one that opens it."""
    return Lane.REDUCE if order.reduce_only else Lane.NEW
