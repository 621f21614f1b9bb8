"""One call of the gateway as data: what is sent and what the answer is; nothing here does IO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, UnsetType

from tickbus_client.errors import ApiError, Unintelligible

T = TypeVar("T")
Number = Decimal | int | str
"""An exact number; a float is refused, for it may not be what was meant."""
When = datetime | int | str
"""A moment: a datetime with its zone, ns since 1970, or ISO 8601 text."""
Param = str | int | bool | None | Sequence[str]
Query = dict[str, Param]
FileFormat = Literal["csv", "json", "parquet"]
READS = frozenset({"GET"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the type of its answer; the same object may be performed more than once.

    `path` is as the gateway documents it, `names` fill its places. `timeout_s` is the least that
    this call needs, however little patience the client has. `repeatable`: doing it twice is doing
    it once, so it may be tried again. `has_files`: `as_file` works.
    """

    method: str
    path: str
    answer: type[T]
    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Param] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)  # it may be a password
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 0.0
    repeatable: bool | None = None
    has_files: bool = False

    def as_file(self, form: FileFormat) -> "Call[bytes]":
        """The call for all that this one lists, as one file. Raises ValueError where it cannot be.

        Columns are the members of the answer; exact numbers are text in each of the formats.
        """
        if not self.has_files:
            raise ValueError(f"{self.method} {self.path} gives no files")
        return replace(self, answer=bytes, query={**self.query, "format": form})  # type: ignore[return-value,arg-type]

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be tried again without anybody's leave."""
        return self.method in READS if self.repeatable is None else self.repeatable

    @property
    def target(self) -> str:
        """Path and query as they go over the wire."""
        places = {name: quote(value, safe="") for name, value in self.names.items()}
        given = [pair for name, value in self.query.items() for pair in _pairs(name, value)]
        return self.path.format(**places) + (f"?{urlencode(given)}" if given else "")

    @property
    def content(self) -> bytes | None:
        """The body as JSON; numbers stay exact."""
        if self.body is None:
            return None
        return msgspec.json.encode({k: v for k, v in self.body.items() if v is not UNSET})


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """An answer with what came around it: `content` is the body as it was sent."""

    status: int
    data: T
    content: bytes
    headers: Mapping[str, str]


def _pairs(name: str, value: Param) -> list[tuple[str, str]]:
    match value:
        case None | "":
            return []
        case bool():
            return [(name, "true" if value else "false")]
        case int() | str():
            return [(name, str(value))]
    return [(name, each) for each in value]


def exact(name: str, value: Number | None) -> Number | None:
    """`value`, which is money or a quantity. Raises TypeError for a float."""
    if isinstance(value, float):
        raise TypeError(f"{name}: {value!r} is a float; give a Decimal or a string")
    return value


def required(name: str, value: Number) -> Number:
    """As `exact`, of what must be given."""
    exact(name, value)
    return value


def moment(value: When | None) -> str:
    """`value` as the gateway reads it, "" for None. Raises ValueError for a time without a zone."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: give it one, such as datetime.UTC")
        return value.isoformat()
    return "" if value is None else str(value)


def written(value: When | None) -> str:
    """As `moment`, for the body of a request, where ns are no time: to the microsecond."""
    if isinstance(value, int):
        return (_EPOCH + timedelta(microseconds=value // 1_000)).isoformat()
    return moment(value)


def unless_empty(value: str) -> str | UnsetType:
    """`value`, left out of a body where it says nothing."""
    return value or UNSET


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def read(call: Call[T], url: str, status: int, headers: Mapping[str, str], content: bytes) -> T:
    """What a finished exchange says. Raises ApiError or Unintelligible."""
    if not 200 <= status < 300:
        raise ApiError.of(status, content, retry_after_s(headers))
    kind: Any = call.answer
    if kind is bytes:
        return content  # type: ignore[return-value]
    try:
        if kind is str:
            return content.decode()  # type: ignore[return-value]
        answer: T = _decoder(kind).decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unintelligible(url, f"{call.method} {call.path}: {error}") from error
    if status == 202 and "unconfirmed" in getattr(kind, "__struct_fields__", ()):
        answer = msgspec.structs.replace(answer, unconfirmed=True)  # type: ignore[type-var]
    return answer


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After header; None where there is none, or a date."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
