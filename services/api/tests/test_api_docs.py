"""The documentation: /docs as a browser without the internet gets it, and what OpenAPI says."""

import re
from typing import Any

import httpx
import jsonschema_rs
import pytest
from api_access import at_this_machine

from tickbus_api.app import create_app


class NotStarted:
    """A gateway that has not started."""

    context = None


async def test_documentation_needs_nothing_from_elsewhere() -> None:
    nobody: Any = NotStarted()
    transport = httpx.ASGITransport(app=create_app(nobody, at_this_machine()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        page = (await http.get("/docs")).text
        wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any(url.endswith(".js") for url in wanted)
        assert any(url.endswith(".css") for url in wanted)
        for url in wanted:
            assert url.startswith("/"), url
            assert (await http.get(url)).status_code == 200
        assert "/api/v1/orders" in (await http.get("/openapi.json")).json()["paths"]


def document() -> dict[str, Any]:
    nobody: Any = None
    found: dict[str, Any] = create_app(nobody, at_this_machine()).openapi()
    return found


DOCUMENT = document()
PARQUET = "application/vnd.apache.parquet"
"""Bytes that nobody reads."""
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_every_route_says_what_it_is_for_and_shows_it(name: str, operation: dict[str, Any]) -> None:
    assert len(operation["summary"].split()) > 2, "its first sentence is its summary"
    assert not operation["summary"].endswith(".")
    for code, answer in operation["responses"].items():
        assert answer["description"], code
        assert "X" not in code
        assert answer["content"], code
        for media, content in answer["content"].items():
            if media.endswith("json"):
                validator(content["schema"]).validate(content["example"])
            else:
                assert content.get("example") or media == PARQUET
    for parameter in operation.get("parameters", ()):
        # Of the others the default is the example.
        if parameter["required"]:
            validator(parameter["schema"]).validate(parameter["example"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        validator(content["schema"]).validate(content["example"])
    if "{" in name:
        assert "404" in operation["responses"]


def test_statuses_that_routes_speak_of_are_documented_with_their_words() -> None:
    paths = DOCUMENT["paths"]
    cancel = paths["/api/v1/orders/{order_id}"]["delete"]["responses"]
    assert cancel["409"]["description"] == "it can no longer be cancelled"
    assert cancel["202"]["content"] == cancel["200"]["content"]
    assert {"201", "202", "409"} <= set(paths["/api/v1/orders/{order_id}"]["put"]["responses"])
    assert "502" in paths["/api/v1/kill"]["post"]["responses"]
    assert set(cancel["409"]["content"]) == {"application/problem+json"}


def test_needs_of_routes_are_told() -> None:
    assert DOCUMENT["paths"]["/api/v1/orders"]["post"]["x-scopes"] == ["trade"]
    assert "scope `read`" in DOCUMENT["paths"]["/api/v1/orders"]["get"]["description"]
    assert DOCUMENT["paths"]["/health"]["get"]["security"] == []
