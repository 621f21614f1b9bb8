"""What a format is on the wire, as plain data: so that an old version can be kept and built again.

A format is described by its fields in order: name, type, and the default where there is one. Types
are words (`int`), or lists of a word and what belongs to it (`["struct", "Fill"]`).
"""

import zlib
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import msgspec
from msgspec import inspect

REQUIRED: list[str] = ["required"]
"""In the place of a default: there is none. A list, which no default is."""
PLAIN: dict[type[inspect.Type], str] = {
    inspect.NoneType: "none",
    inspect.BoolType: "bool",
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.StrType: "str",
    inspect.BytesType: "bytes",
    inspect.DecimalType: "decimal",
    inspect.AnyType: "any",
}
BUILT: dict[str, Any] = {
    "none": None, "bool": bool, "int": int, "float": float, "str": str, "bytes": bytes,
    "decimal": Decimal, "any": Any,
}  # fmt: skip
BOUNDS = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
EPOCH = 1_700_000_000_000_000_000


class Formats:
    """Formats put down as plain data: `structs` and `enums` by the names of their classes."""

    def __init__(self) -> None:
        self.structs: dict[str, Any] = {}
        self.enums: dict[str, Any] = {}

    def put_down(self, kind: Any) -> Any:
        """The type `kind` in words; the structs and enums in it are put down, too."""
        return self._words(inspect.type_info(kind))

    def _words(self, info: inspect.Type) -> Any:
        if isinstance(info, inspect.Metadata):
            return self._words(info.type)
        if type(info) in PLAIN:
            bounds = {b: v for b in BOUNDS if (v := getattr(info, b, None)) is not None}
            return [PLAIN[type(info)], bounds] if bounds else PLAIN[type(info)]
        match info:
            case inspect.UnionType():
                return ["union", *sorted((self._words(t) for t in info.types), key=str)]
            case inspect.VarTupleType() | inspect.ListType() | inspect.SetType():
                return ["list", self._words(info.item_type)]
            case inspect.TupleType():
                return ["tuple", *map(self._words, info.item_types)]
            case inspect.DictType():
                return ["dict", self._words(info.key_type), self._words(info.value_type)]
            case inspect.EnumType():
                self.enums[info.cls.__name__] = {
                    "values": [str(each.value) for each in info.cls], "open": _is_open(info.cls),
                }  # fmt: skip
                return ["enum", info.cls.__name__]
            case inspect.StructType():
                return ["struct", self._struct(info)]
        raise TypeError(f"{info!r}: say in tests/upgrade/wire.py what it is on the wire")

    def _struct(self, info: inspect.StructType) -> str:
        name, config = _name(info.cls), info.cls.__struct_config__
        if name in self.structs:
            return name
        found = self.structs[name] = {
            "array": config.array_like,
            "tag": config.tag,
            "tag_field": config.tag_field,
            "strict": config.forbid_unknown_fields,
            "leaves_out": config.omit_defaults,
            "fields": [],
        }
        for field in info.fields:
            found["fields"].append([field.encode_name, self._words(field.type), _default(field)])
        return name


def _name(kind: type) -> str:
    # Not where it is kept: a class may move to another module of its package.
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def _is_open(kind: type[Enum]) -> bool:
    try:
        kind("no value of any version")
    except ValueError:
        return False
    return True


def _default(field: inspect.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return plain(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return plain(field.default_factory())
    return REQUIRED


class Reader:
    """Reads as a version did of which only the description is left."""

    def __init__(self, described: dict[str, Any]) -> None:
        self._described = described
        self._built: dict[str, Any] = {}

    def kind(self, words: Any) -> Any:
        """The type that `words` describe."""
        word, *parts = words if isinstance(words, list) else [words]
        if word in BUILT:
            built = BUILT[word]
            return Annotated[built, msgspec.Meta(**parts[0])] if parts else built
        match word:
            case "union":
                union = self.kind(parts[0])
                for part in parts[1:]:
                    union = union | self.kind(part)
                return union
            case "list":
                return list[self.kind(parts[0])]  # type: ignore[misc]
            case "tuple":
                return tuple[tuple(map(self.kind, parts))]  # type: ignore[misc]
            case "dict":
                return dict[self.kind(parts[0]), self.kind(parts[1])]  # type: ignore[misc]
            case "enum":
                return self._enum(parts[0])
            case "struct":
                return self._struct(parts[0])
        raise TypeError(f"{words!r} describes no type")

    def _enum(self, name: str) -> Any:
        if name not in self._built:
            about = self._described["enums"][name]
            make: Any = Enum  # called by its name below, mypy would read it as a declaration
            kind = make(name, {value: value for value in about["values"]})
            if about["open"]:
                kind._missing_ = lambda _: next(iter(kind))
            self._built[name] = kind
        return self._built[name]

    def _struct(self, name: str) -> Any:
        if name not in self._built:
            about = self._described["structs"][name]
            fields = []
            for field, words, default in about["fields"]:
                kind = self.kind(words)
                given = [] if default == REQUIRED else [msgspec.field(default=_value_of(default))]
                fields.append((field, kind, *given))
            self._built[name] = msgspec.defstruct(
                name.rpartition(".")[2], fields, array_like=about["array"], tag=about["tag"],
                tag_field=about["tag_field"], forbid_unknown_fields=about["strict"], kw_only=True,
            )  # fmt: skip
        return self._built[name]


def _value_of(default: Any) -> Any:
    # Only there so that the field may be absent: what it then is, nobody compares.
    return None if isinstance(default, list | dict) else default


def plain(value: Any) -> Any:
    """`value` as JSON has it, structs by the names of their fields."""
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {encoded: plain(getattr(value, name)) for name, encoded in names}
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, Decimal) else value


def a_sample(kind: Any, place: str = "") -> Any:
    """A value of `kind` in which every field is set, and no two numbers or texts are equal."""
    return _sample(inspect.type_info(kind), place)


def _sample(info: inspect.Type, place: str) -> Any:
    number = zlib.crc32(place.encode())
    match info:
        case inspect.Metadata():
            return _sample(info.type, place)
        case inspect.UnionType():
            kinds = [each for each in info.types if not isinstance(each, inspect.NoneType)]
            return _sample(kinds[0], place)
        case inspect.VarTupleType():
            return (_sample(info.item_type, place),)
        case inspect.ListType():
            return [_sample(info.item_type, place)]
        case inspect.SetType():
            return {_sample(info.item_type, place)}
        case inspect.TupleType():
            return tuple(_sample(t, f"{place}.{n}") for n, t in enumerate(info.item_types))
        case inspect.DictType():
            key = _sample(info.key_type, f"{place}.key")
            return {key: _sample(info.value_type, f"{place}.value")}
        case inspect.EnumType():
            return list(info.cls)[number % 2]  # the first two: newer ones are behind them
        case inspect.StructType():
            fields = {f.name: _sample(f.type, f"{place}.{f.name}") for f in info.fields}
            return info.cls(**fields)
        case inspect.IntType():
            return number % (info.le + 1) if info.le is not None else EPOCH + number
        case inspect.StrType():
            return place[-(info.max_length or len(place)) :]
        case inspect.BoolType():
            return True
    samples: dict[type[inspect.Type], Any] = {
        inspect.FloatType: number / 100,
        inspect.DecimalType: Decimal(number).scaleb(-3),
        inspect.BytesType: place.encode(),
        inspect.AnyType: place,
    }
    return samples[type(info)]
