"""The wire form of every event is pinned: a change that old readers could not follow fails here.

`golden.json` holds the bytes of one sample per event. A new event, or a new last field with a
default, is added with TICKBUS_UPDATE_GOLDEN=1; the bytes of what exists are never rewritten.
"""

import json
import os
import types
import typing
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tickbus import codec
from tickbus.events import Event, Instrument

GOLDEN = Path(__file__).with_name("golden.json")


def _kinds() -> list[type]:
    union = typing.get_type_hints(codec.Envelope)["events"]
    return [*typing.get_args(typing.get_args(union)[0]), Instrument]


def _value(kind: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return name
    if origin in (typing.Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), name)
    if origin is tuple:
        parts = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return tuple(_value(part, name) for part in parts)
    if origin is dict:
        return {_value(arguments[0], name): _value(arguments[1], name)}
    if issubclass(kind, Enum):
        return next(iter(kind))
    if issubclass(kind, msgspec.Struct):
        return a_sample(kind)
    samples = {int: 1_700_000_000_123_456_789, float: 61837.64, bool: True, str: name}
    return Decimal("0.00100000") if kind is Decimal else samples[kind]


def a_sample(kind: Any) -> Any:
    """An instance of `kind` with a value in every field."""
    hints = typing.get_type_hints(kind)
    return kind(**{field: _value(hints[field], field) for field in kind.__struct_fields__})


def _golden() -> dict[str, str]:
    return json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


def _begins(now: Any, stored: Any) -> bool:
    # An event inside an event may have got new last fields just as well.
    if isinstance(now, list) and isinstance(stored, list):
        return len(now) >= len(stored) and all(map(_begins, now, stored))
    if isinstance(now, dict) and isinstance(stored, dict):
        return all(key in now and _begins(now[key], stored[key]) for key in stored)
    return bool(now == stored)


if os.environ.get("TICKBUS_UPDATE_GOLDEN"):
    known = _golden()
    known.update(
        {
            k.__name__: codec.encode_value(a_sample(k)).hex()
            for k in _kinds()
            if k.__name__ not in known
        }
    )
    GOLDEN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("kind", _kinds(), ids=lambda k: k.__name__)
def test_golden_bytes_still_decode(kind: type) -> None:
    golden = _golden()
    assert kind.__name__ in golden, "new event: run once with TICKBUS_UPDATE_GOLDEN=1"
    decoded: Any = codec.decode_value(bytes.fromhex(golden[kind.__name__]), kind)
    stored = msgspec.msgpack.decode(bytes.fromhex(golden[kind.__name__]))
    assert _begins(msgspec.msgpack.decode(codec.encode_value(decoded)), stored)


@pytest.mark.parametrize("kind", _kinds(), ids=lambda k: k.__name__)
def test_what_is_written_begins_with_the_golden_fields(kind: type) -> None:
    now = msgspec.msgpack.decode(codec.encode_value(a_sample(kind)))
    stored = msgspec.msgpack.decode(bytes.fromhex(_golden()[kind.__name__]))
    assert _begins(now, stored)


@pytest.mark.parametrize(
    "kind", [k for k in _kinds() if issubclass(k, Event)], ids=lambda k: k.__name__
)
def test_envelope_round_trip(kind: type[Event]) -> None:
    sample = a_sample(kind)
    hops = (codec.Hop("feed", 1, 2),)
    assert codec.decode(codec.encode([sample], hops)) == codec.Envelope([sample], hops)


def test_new_reader_takes_old_bytes_without_the_fields_that_have_defaults() -> None:
    from tickbus.events import BookTop

    old = msgspec.msgpack.encode(["BookTop", 1, 2, "sim", "BTC-USDT", 1.0, 1.0, 2.0, 1.0, 1, 1])
    assert codec.decode_value(old, BookTop).stale is False
