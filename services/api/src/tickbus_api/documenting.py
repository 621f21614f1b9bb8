"""The OpenAPI document: what FastAPI reads off the routes, with every status, need and example.

A status that a route's own words name (`409: it is over`) is documented with these words.
"""

import re
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tickbus.kill_api import KillReport
from tickbus_api import codes
from tickbus_api.access import declarations
from tickbus_api.problems import PROBLEM_JSON, Problem
from tickbus_api.samples import PARAMETERS, sample

REFERENCE = "#/components/schemas/"
PLAIN = (KillReport,)
"""What answers hold that is no view, but is passed on as somebody else said it."""
_STATUS = re.compile(r"\b([2-5]\d\d)(?=[:,]| and | as )(?::\s+([^.;]+))?")
_USUAL = {
    401: "nobody is logged in, or the credentials are no good",
    403: "who asks may not do it, or the page is a foreign one",
    422: "a parameter or a field cannot be understood, or cannot be right",
    429: "too many requests; `Retry-After` says when to repeat it",
    500: "the gateway failed; its log says where",
    503: "something that the gateway needs does not answer; repeating it may help",
}
_OF_BODIES = {400: "the body is no JSON object", 413: "the body is too large"}
_OF_PATHS = {404: "there is no such thing"}
_OF_ACTS = {409: "it cannot be done as things stand"}
_LOGINS = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "an access token of POST /api/v1/auth/login, or an API key",
    }
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = found["components"]["schemas"]
        _, plain = msgspec.json.schema_components(PLAIN, ref_template=f"{REFERENCE}{{name}}")
        components.update({name: _typed(schema) for name, schema in plain.items()})
        needs = {
            (path, method.lower()): need
            for path, methods, need in declarations(app)
            for method in methods
        }
        found["components"]["securitySchemes"] = _LOGINS
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                _describe(operation, needs.get((path, method)))
                _give_statuses(path, method, operation)
                _give_examples(path, operation, components)
        app.openapi_schema = found
    return app.openapi_schema


def _typed(schema: dict[str, Any]) -> dict[str, Any]:
    # Our choices are words all of them; msgspec does not say so.
    return {"type": "string", **schema} if "enum" in schema else schema


def _describe(operation: dict[str, Any], need: Any) -> None:
    # What a route is about is the first sentence of what it says, not the name of its function.
    text = operation.get("description", "").strip()
    first = " ".join(text.partition("\n\n")[0].split()).partition(". ")[0]
    operation["summary"] = first.rstrip(".") or operation["summary"]
    scopes = sorted(need.scopes) if need is not None else []
    is_open = need is None or need.is_open
    known = f"Needs the scope `{'`, `'.join(scopes)}`." if scopes else "Needs a login or a key."
    needed = "Open to all." if is_open else known
    operation["description"] = "\n\n".join(part for part in (text, needed) if part)
    operation["security"] = [] if is_open else [{"bearer": []}]
    operation["x-scopes"] = scopes


def _give_statuses(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    for wide in ("4XX", "5XX"):
        answers.pop(wide, None)
    usual = dict(_USUAL)
    if "requestBody" in operation:
        usual |= _OF_BODIES
    if "{" in path:
        usual |= _OF_PATHS
    if method != "get":
        usual |= _OF_ACTS
    words = " ".join(operation["description"].split())
    told = {int(code): why for code, why in _STATUS.findall(words)}
    good = next(answers[code] for code in sorted(answers) if code.startswith("2"))
    for code in sorted({*usual, *told, *(int(each) for each in answers)}):
        known = answers.setdefault(str(code), {})
        why = told.get(code) or usual.get(code) or HTTPStatus(code).phrase
        if code in told or known.get("description", "") in ("", "Successful Response"):
            known["description"] = why
        if code < 400:
            known.setdefault("content", good.get("content", {}))
        else:
            schema = {"$ref": f"{REFERENCE}ProblemView"}
            known["content"] = {PROBLEM_JSON: {"schema": schema}}
    operation["responses"] = {code: answers[code] for code in sorted(answers)}


def _give_examples(path: str, operation: dict[str, Any], components: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in PARAMETERS and "example" not in parameter:
            parameter["example"] = PARAMETERS[parameter["name"]]
    has_file = any(each["name"] == "format" for each in operation.get("parameters", ()))
    for code, answer in operation["responses"].items():
        for media, content in answer.get("content", {}).items():
            schema = content.get("schema")
            if not schema or "example" in content:
                continue
            if media == "text/csv":
                content["example"] = "id,price,quantity\nf-1001,60000.10,0.25\n"
            elif media.endswith("json"):
                content["example"] = _answer(path, int(code), schema, components)
                if has_file and media == "application/json":
                    content["schema"] = {"anyOf": [schema, _rows(schema, components)]}
    if "requestBody" in operation:
        for content in operation["requestBody"]["content"].values():
            content.setdefault("example", sample(content["schema"], components))


def _answer(path: str, status: int, schema: dict[str, Any], components: dict[str, Any]) -> Any:
    if status < 400:
        return sample(schema, components)
    name = codes.example(status, path)
    if not name:
        raise RuntimeError(f"{path} speaks of {status}: tickbus_api.codes has no code for that")
    known = codes.CODES[name]
    return Problem(HTTPStatus(status), name, known.means, remedy=known.remedy).body()


def _rows(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    # As a file it is the list in the page alone.
    page = components[schema["$ref"].rpartition("/")[2]]
    return next(each for each in page["properties"].values() if each.get("type") == "array")
