"""The rules under which versions understand each other, and what to do instead of breaking one."""

from collections.abc import Iterator
from typing import Any

from wire import REQUIRED

NEW_VALUES: dict[tuple[str, str], str] = {}
"""(enum, value) that an older version cannot read, and the version since which all can.

An entry is right only when the version named has been released, reads the value, and writes it
nowhere: say in CHANGELOG.md that an upgrade goes by way of it.
"""

GONE = (
    "is gone, but streams, buckets or the other version still hold it."
    " Keep the class, and stop writing it instead"
)
MOVED = (
    "was {old!r} in this place and is {new!r} now. Fields travel by their place: put new ones last,"
    " and never remove, rename or move one; one that is given up stays, and says its default"
)
MISSING = (
    "is not there any more, and older versions look for it."
    " Keep it with its default, and put what takes its place beside it"
)
NO_DEFAULT = (
    "is new and has no default, so what an older version wrote cannot be read. Give it the default"
    " that means what was true before there was the field"
)
DEFAULT = (
    "had the default {old!r} and has {new!r} now: what an older version left out would mean"
    " something else. Keep the default"
)
TYPE = (
    "was {old} and is {new} now, so one of the two versions cannot read the other."
    " Keep it, and add a new field of the new type last"
)
SHAPE = "was written with {what}={old!r} and is with {new!r} now. Make a new class instead"
STRICT = (
    "is a new field of what older versions refuse to read with unknown fields. Declare the class"
    " with omit_defaults=True, so that only what uses the field is refused"
)
VALUE_GONE = "is a value no more, but may be in what was written. Keep it"
VALUE_NEW = (
    "is a new value, and older versions put aside every message that says it. Where the value only"
    " explains, give the enum a `_missing_`; else release a version first that reads it and does"
    " not write it, and then name the value in NEW_VALUES (tests/upgrade/rules.py)"
)


def broken(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What of `old` and `new`, two versions put down, would not understand each other.

    Each has `crossing`, `structs` and `enums`.
    """
    seen: set[tuple[str, str]] = set()
    for label, words in old["crossing"].items():
        if label not in new["crossing"]:
            yield f"{label} {GONE}"
        else:
            yield from _types(label, words, new["crossing"][label], old, new, seen)


def _types(
    place: str, before: Any, now: Any, old: dict[str, Any], new: dict[str, Any],
    seen: set[tuple[str, str]],
) -> Iterator[str]:  # fmt: skip
    word, parts = _split(before)
    word_now, parts_now = _split(now)
    if word == word_now == "struct":
        yield from _structs(parts[0], parts_now[0], old, new, seen)
    elif word == word_now == "enum":
        yield from _enums(old["enums"][parts[0]], new["enums"][parts_now[0]], parts_now[0], seen)
    elif word == word_now == "union":
        yield from _unions(place, parts, parts_now, old, new, seen)
    elif word == word_now and word in ("list", "tuple", "dict") and len(parts) == len(parts_now):
        for one, other in zip(parts, parts_now, strict=True):
            yield from _types(place, one, other, old, new, seen)
    elif before != now:
        yield f"{place} {TYPE.format(old=before, new=now)}"


def _unions(
    place: str, before: list[Any], now: list[Any], old: dict[str, Any], new: dict[str, Any],
    seen: set[tuple[str, str]],
) -> Iterator[str]:  # fmt: skip
    # Structs are told apart by their tags; a new one is for readers that know it.
    tagged = {_tag(part, new): part for part in now if _tag(part, new)}
    plain = [part for part in now if not _tag(part, new)]
    for part in before:
        tag = _tag(part, old)
        if tag and tag not in tagged:
            yield f"{place}: {tag} {GONE}"
        elif tag:
            yield from _types(f"{place}: {tag}", part, tagged[tag], old, new, seen)
    left = [part for part in before if not _tag(part, old)]
    if len(left) != len(plain):
        yield f"{place} {TYPE.format(old=left, new=plain)}"
        return
    for one, other in zip(left, plain, strict=True):
        yield from _types(place, one, other, old, new, seen)


def _structs(
    before: str, now: str, old: dict[str, Any], new: dict[str, Any], seen: set[tuple[str, str]]
) -> Iterator[str]:
    if (before, now) in seen:
        return
    seen.add((before, now))
    place = now.rpartition(".")[2]
    one, other = old["structs"][before], new["structs"][now]
    for what in ("array", "tag", "tag_field"):
        if one[what] != other[what]:
            yield f"{place} {SHAPE.format(what=what, old=one[what], new=other[what])}"
            return
    pairs = list(_array(one, other) if one["array"] else _map(one, other))
    for field, field_now in pairs:
        name = f"{place}.{field[0]}"
        if field_now is None:
            yield f"{name} {MISSING}"
        elif field[0] != field_now[0]:
            yield f"{name} {MOVED.format(old=field[0], new=field_now[0])}"
            return
        else:
            yield from _types(name, field[1], field_now[1], old, new, seen)
            if field[2] not in (REQUIRED, field_now[2]):
                yield f"{name} {DEFAULT.format(old=field[2], new=field_now[2])}"
    known = {field[0] for field in one["fields"]}
    for field in other["fields"]:
        if field[0] not in known and field[2] == REQUIRED:
            yield f"{place}.{field[0]} {NO_DEFAULT}"
        if field[0] not in known and one["strict"] and not other["leaves_out"]:
            yield f"{place}.{field[0]} {STRICT}"


def _array(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for place, field in enumerate(one["fields"]):
        yield field, other["fields"][place] if place < len(other["fields"]) else None


def _map(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    named = {field[0]: field for field in other["fields"]}
    for field in one["fields"]:
        yield field, named.get(field[0])


def _enums(
    one: dict[str, Any], other: dict[str, Any], name: str, seen: set[tuple[str, str]]
) -> Iterator[str]:
    if (name, "") in seen:
        return
    seen.add((name, ""))
    for value in one["values"]:
        if value not in other["values"]:
            yield f"{name}.{value} {VALUE_GONE}"
    for value in other["values"]:
        if value not in one["values"] and not one["open"] and (name, value) not in NEW_VALUES:
            yield f"{name}.{value} {VALUE_NEW}"


def _split(words: Any) -> tuple[str, list[Any]]:
    if isinstance(words, list):
        return words[0], words[1:]
    return words, []


def _tag(words: Any, version: dict[str, Any]) -> str:
    word, parts = _split(words)
    return str(version["structs"][parts[0]]["tag"] or "") if word == "struct" else ""
