"""What requests that change something have in common: their fields, who wishes it and why."""

from http import HTTPStatus
from typing import Any

from fastapi import Request

from tickbus_api.access import Principal
from tickbus_api.parsing import json_object, nearest
from tickbus_api.problems import Problem, invalid, shown

ACTOR = "api"
WORDS_MAX = 500
WHO: dict[str, Any] = {
    "actor": {"type": "string"},
    "reason": {"type": "string", "description": "for the record"},
}


def body_schema(fields: dict[str, Any], required: list[str], example: dict[str, Any]) -> Any:
    """The documentation of a JSON body, for `openapi_extra`."""
    schema = {
        "type": "object", "required": required, "additionalProperties": False, "properties": fields
    }  # fmt: skip
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def fields_of(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a JSON object, its numbers exact. Raises Problem, also for an unknown field."""
    fields = json_object(body)
    for name in fields:
        if name in known:
            continue
        near = nearest(name, known, 1)
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "UNKNOWN_FIELD",
            f"{shown(name)!r} is not a field of this request",
            field=shown(name),
            remedy=f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(known)}",
        )
    return fields


def words(field: str, value: Any) -> str:
    """A text that says something. Raises Problem."""
    if not isinstance(value, str) or not value.strip():
        problem = "is missing" if value is None else "must be a non-empty string"
        raise invalid(field, value, problem, f"give {field} as words in quotes")
    return value.strip()


def who(fields: dict[str, Any], request: Request) -> tuple[str, str]:
    """Who wishes it and why. Raises Problem.

    Who is logged in cannot wish it in another's name; whoever is at this machine may say who it is.
    """
    reason = words("reason", fields.get("reason"))
    actor = words("actor", fields.get("actor", ACTOR))
    principal: Principal = request.state.principal
    if not principal.is_local:
        actor = principal.name
    for name, text in (("actor", actor), ("reason", reason)):
        if len(text) > WORDS_MAX:
            raise invalid(
                name, text, f"has more than {WORDS_MAX} characters", "say it in fewer words"
            )
    return actor, reason
