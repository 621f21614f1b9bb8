"""The client knows every route that the gateway documents, all of it, and reads its answers."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from api_access import at_this_machine

from tickbus import kill_api
from tickbus_api.app import create_app
from tickbus_client.answers.risk import Killed
from tickbus_client.call import Call
from tickbus_client.routes import GROUPS, Route

NOT_FOR_PROGRAMS = {("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")}
IN_THE_STREAM = {("GET", "/api/v1/stream/sse")}
"""Says what the WebSocket says, to browsers."""
Schema = dict[str, Any]
SAMPLES: dict[Any, Any] = {
    str: "x", int: 7, bool: True, Decimal: Decimal("1.5"), Any: 1,
    datetime: datetime(2026, 11, 21, tzinfo=UTC),
}  # fmt: skip


def sample(kind: Any) -> Any:
    """A value of `kind` that a parameter of a call may have."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return sample(next(each for each in inside if each is not type(None)))
    if origin is typing.Literal:
        return inside[0]
    if origin is Mapping or origin is dict:
        return {"x": 1}
    if origin is Sequence:
        return ["x"]
    return SAMPLES[kind]


def described(describe: Callable[..., Call[Any]]) -> Call[Any]:
    """The call with every parameter given."""
    hints = typing.get_type_hints(describe)
    names = inspect.signature(describe).parameters
    return describe(**{name: sample(hints[name]) for name in names})


def routes() -> Iterator[tuple[str, Call[Any]]]:
    for group in GROUPS:
        for name, member in vars(group).items():
            if isinstance(member, Route):
                yield f"{group.__name__}.{name}", described(member.describe)


ROUTES = dict(routes())
DOCUMENT: Schema = create_app(typing.cast(Any, None), at_this_machine()).openapi()
DOCUMENTED = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if (method.upper(), path) not in NOT_FOR_PROGRAMS | IN_THE_STREAM
}


def places(path: str) -> str:
    """`path` with its places numbered, for nobody cares for their names."""
    return re.sub(r"{[^}]*}", "{}", path)


def resolved(schema: Schema) -> Schema:
    if "$ref" in schema:
        found: Schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def operation_of(call: Call[Any]) -> Schema:
    wanted = (call.method, places(call.path))
    found = {(m, places(p)): operation for (m, p), operation in DOCUMENTED.items()}
    assert wanted in found, f"the gateway has no {call.method} {call.path}"
    operation: Schema = found[wanted]
    return operation


def test_every_route_of_the_gateway_is_a_call() -> None:
    known = {(call.method, places(call.path)) for call in ROUTES.values()}
    missing = [key for key in DOCUMENTED if (key[0], places(key[1])) not in known]
    assert not missing


@pytest.mark.parametrize("name", ROUTES)
def test_a_call_says_what_the_gateway_documents(name: str) -> None:
    call = ROUTES[name]
    operation = operation_of(call)
    parameters = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
    assert set(call.query) | ({"format"} if call.has_files else set()) == parameters
    headers = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "header"}
    assert {h.lower() for h in call.headers} == headers
    body = operation.get("requestBody")
    if body is None:
        assert call.content is None
        return
    (media,) = body["content"].values()
    schema = resolved(media["schema"])
    sent = msgspec.json.decode(call.content or b"{}")
    assert set(sent) == set(schema["properties"])
    for field, value in sent.items():
        allowed = resolved(schema["properties"][field]).get("enum")
        assert allowed is None or value in allowed


@pytest.mark.parametrize("name", ROUTES)
def test_documented_answers_are_read_without_loss(name: str) -> None:
    call = ROUTES[name]
    for status, answer in operation_of(call)["responses"].items():
        media = answer.get("content", {}).get("application/json")
        if not status.startswith("2") or media is None or call.answer in (str, bytes):
            continue
        for bare in (False, True):
            example = made(media["schema"], call.answer, bare=bare)
            msgspec.convert(example, call.answer, strict=False)
            msgspec.json.decode(msgspec.json.encode(example), type=call.answer)


def test_what_the_kill_switch_reports_is_read_without_loss() -> None:
    order = kill_api.VenueOrder(symbol="BTCUSDT", order_id="1")
    held = kill_api.Exposure(name="BTC", quantity=Decimal("0.10"), value=Decimal(9))
    account = kill_api.AccountReport(
        account="sim", verified=True, cleared=(order,), exposure=(held,), unverified=("x",)
    )
    report = kill_api.KillReport(
        exit_code=3, summary="s", reason="r", flatten=True, halted=False, halt_detail="",
        accounts=(account,), seconds=1.5, not_told=("nats",),
    )  # fmt: skip
    sent = msgspec.json.encode(report)
    read = msgspec.json.decode(sent, type=Killed)
    assert msgspec.json.decode(msgspec.json.encode(read)) == msgspec.json.decode(sent)


def test_every_choice_is_one_of_the_gateway() -> None:
    """Literals of parameters are what the schema lists, none missing."""
    for group in GROUPS:
        for member in vars(group).values():
            if not isinstance(member, Route):
                continue
            operation = operation_of(described(member.describe))
            fields = {p["name"]: p["schema"] for p in operation.get("parameters", ())}
            for media in operation.get("requestBody", {}).get("content", {}).values():
                fields |= resolved(media["schema"])["properties"]
            for field, hint in typing.get_type_hints(member.describe).items():
                if choices := literals(hint):
                    listed = resolved(fields.get(field, {})).get("enum")
                    assert listed is None or set(choices) == set(listed), field


def literals(hint: Any) -> tuple[str, ...]:
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    return next((found for each in typing.get_args(hint) if (found := literals(each))), ())


# -- an example of a schema, as the type that shall read it wants it -------------------------------


def made(schema: Schema, kind: Any, *, bare: bool, where: str = "answer") -> Any:
    """What `schema` allows, `bare` with null wherever it may be.

    Fails where `kind` would lose a member, or cannot read what may come.
    """
    schema = resolved(schema)
    if kind is Any or kind is object:
        return None if bare else {"x": [1]}
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        nullable = any(each.get("type") == "null" for each in choices)
        assert not nullable or _takes_none(kind), f"{where} may be null"
        if nullable and bare:
            return None
        full = next(each for each in choices if each.get("type") != "null")
        return made(full, _without_none(kind), bare=bare, where=where)
    kind = _without_none(kind)
    if "type" not in schema:
        raise AssertionError(f"{where} is not documented; its type in the client should be Any")
    match schema["type"]:
        case "object":
            return _object(schema, kind, bare, where)
        case "array":
            return _array(schema, kind, bare, where)
        case "string":
            assert kind in (str, Decimal, datetime), f"{where} is text, not {kind}"
            texts = {str: "x", Decimal: "-1.50", datetime: "2026-11-21T18:30:00.000001Z"}
            return texts[kind]
        case "integer":
            assert kind in (int, float), f"{where} is a whole number, not {kind}"
            return 7
        case "number":
            assert kind is float, f"{where} is a number, not {kind}"
            return 1.25
        case "boolean":
            assert kind is bool, f"{where} is a boolean, not {kind}"
            return True
    raise AssertionError(f"{where}: {schema}")


def _object(schema: Schema, kind: Any, bare: bool, where: str) -> Any:
    if typing.get_origin(kind) is dict:
        inside = schema.get("additionalProperties", True)
        value_kind = typing.get_args(kind)[1]
        if inside is True:
            assert value_kind is Any, f"{where} may have anything in it"
            return {"x": 1}
        return {"x": made(inside, value_kind, bare=bare, where=f"{where}.*")}
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    documented: Schema = schema.get("properties", {})
    lost = set(documented) - set(fields)
    assert not lost, f"{where}: {kind.__name__} lacks {sorted(lost)}"
    needed = {name for name, field in fields.items() if field.required}
    never = needed - set(schema.get("required", documented))
    assert not never, f"{where}: {kind.__name__} needs {sorted(never)}, which may be left out"
    return {
        name: made(inside, fields[name].type, bare=bare, where=f"{where}.{name}")
        for name, inside in documented.items()
        if not bare or name in schema.get("required", documented)
    }


def _array(schema: Schema, kind: Any, bare: bool, where: str) -> Any:
    inside = typing.get_args(kind)
    assert typing.get_origin(kind) is tuple, f"{where} is a list, not {kind}"
    if items := schema.get("prefixItems"):
        assert len(items) == len(inside), f"{where} has {len(items)} members"
        return [
            made(each, inner, bare=bare, where=f"{where}[{n}]")
            for n, (each, inner) in enumerate(zip(items, inside, strict=True))
        ]
    return [made(schema["items"], inside[0], bare=bare, where=f"{where}[]")]


def _takes_none(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [each for each in typing.get_args(kind) if each is not type(None)]
        assert len(rest) == 1, kind
        return rest[0]
    return kind
