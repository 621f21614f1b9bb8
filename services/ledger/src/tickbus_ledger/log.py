"""The audit log: every event of the order path as it is kept, each row chained to the one before.

The hash of a row is SHA-256 over the hash of the row before it and the row itself, as the JSON
array of its other columns. So no row can be changed, taken out, put in or moved without breaking
every hash after it; only the end can be cut off, and anchors kept elsewhere (`head_text`) tell.
"""

import hashlib
import types
import typing
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from tickbus import events as kinds
from tickbus.codec import Hop
from tickbus.events import Event

GENESIS = bytes(32)
"""What the first row is chained to."""
MALFORMED = "Malformed"
"""The kind of a row that holds a message that is no event, or one that the books refuse."""
GAP = "Gap"
"""The kind of a row that stands for messages which the stream no longer had; `first` to its own."""

_BIGINT_MAX = 2**63 - 1


class Notes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger added to an event from what it knew then; folding it again needs no market.

    `value` is what a fee or payment in another asset was worth in the instrument's quote currency;
    `contract_size` that of the instrument; `duplicate` says that it was told before.
    """

    value: Decimal | None = None
    contract_size: Decimal | None = None
    duplicate: bool = False


NOTHING = Notes()


class LogRow(NamedTuple):
    """One row: `body`, `hops` and `notes` are JSON ("" for no notes); `hash` chains it."""

    sequence: int
    client_order_id: str
    kind: str
    ts_event: int
    ts_recv: int
    body: str
    hops: str
    notes: str
    hash: bytes


def chained(previous: bytes, *columns: Any) -> bytes:
    """The hash of a row with these columns (all but the hash) behind the row hashed `previous`."""
    return hashlib.sha256(previous + msgspec.json.encode(columns)).digest()


def row_of(
    previous: bytes,
    sequence: int,
    client_order_id: str,
    event: Event,
    hops: tuple[Hop, ...],
    notes: Notes,
) -> LogRow:
    """The row of `event`, behind the row hashed `previous`."""
    columns = (
        sequence,
        text(client_order_id),
        type(event).__name__,
        time(event.ts_event),
        time(event.ts_recv),
        msgspec.json.encode(_named(event)).decode(),
        msgspec.json.encode(hops).decode(),
        "" if notes == NOTHING else msgspec.json.encode(notes).decode(),
    )
    return LogRow(*columns, chained(previous, *columns))


def odd_row(previous: bytes, sequence: int, kind: str, body: dict[str, Any]) -> LogRow:
    """The row of what is no event: MALFORMED or GAP."""
    columns = (sequence, "", kind, 0, 0, msgspec.json.encode(body).decode(), "[]", "")
    return LogRow(*columns, chained(previous, *columns))


def event_from(kind: str, body: str) -> Event | None:
    """The event that a row holds; None for MALFORMED and GAP. Raises ValueError."""
    if kind in (MALFORMED, GAP):
        return None
    found = getattr(kinds, kind, None)
    if found is None:
        raise ValueError(f"{kind!r} is no event of this version: use a newer one")
    try:
        event: Event = msgspec.convert(_positional(found, msgspec.json.decode(body)), found)
    except (msgspec.DecodeError, msgspec.ValidationError, AttributeError, KeyError) as error:
        raise ValueError(f"not the fields of {kind}: {error}") from error
    return event


def notes_from(written: str) -> Notes:
    """The notes in a row. Raises ValueError."""
    if not written:
        return NOTHING
    try:
        return msgspec.json.decode(written, type=Notes)
    except msgspec.DecodeError as error:
        raise ValueError(f"no notes of this version: {error}") from error


def head_text(sequence: int, head: bytes) -> str:
    """The anchor of a log that ends there; "" for an empty one."""
    return f"{sequence}:{head.hex()}" if sequence else ""


def text(value: str) -> str:
    """`value` as Postgres can keep it: every character but NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def time(value: int) -> int:
    """`value` as a bigint can keep it."""
    return max(-_BIGINT_MAX, min(value, _BIGINT_MAX))


def _named(value: Any) -> Any:
    # Structs travel as arrays; what is kept for years has its fields' names.
    if isinstance(value, msgspec.Struct):
        return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
    return [_named(item) for item in value] if isinstance(value, tuple) else value


def _positional(kind: Any, value: Any) -> Any:
    # The way back from `_named`. Fields that an older version did not know are last and have
    # defaults, so an array may end before them.
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _positional(arguments[0], value)
    if origin is tuple:
        return [_positional(arguments[0], item) for item in value]
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return value
    hints, names = _hints(kind), kind.__struct_fields__
    if unknown := set(value) - set(names):
        raise KeyError(f"{', '.join(sorted(unknown))}: use a newer version")
    present = [name for name in names if name in value]
    if not kind.__struct_config__.array_like:
        return {name: _positional(hints[name], value[name]) for name in present}
    if present != list(names[: len(present)]):
        raise KeyError("a field in the middle is missing")
    fields = [_positional(hints[name], value[name]) for name in present]
    tag = kind.__struct_config__.tag
    return fields if tag is None else [tag, *fields]


_known_hints: dict[type, dict[str, Any]] = {}


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _known_hints:
        _known_hints[kind] = typing.get_type_hints(kind)
    return _known_hints[kind]
