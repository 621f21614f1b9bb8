"""The codes of problems: the page and the examples are held to what the source says."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from api_access import at_this_machine

from tickbus.events import DenialReason
from tickbus_api.app import create_app
from tickbus_api.codes import CODES, table
from tickbus_api.names import Named

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "services/api/src/tickbus_api"
COMPUTED = {
    "f'UNKNOWN_{kind.upper()}'": [f"UNKNOWN_{kind.upper()}" for kind in Named],
    "STALLED": ["STREAM_STALLED"],
    "REFUSED": ["LOGIN_REFUSED"],
    "order.reason": [],  # of risk: docs/denial-reasons.md
    "status.name": ["METHOD_NOT_ALLOWED"],  # what else the framework says itself has a code below
    "name": [],  # of an example
    "code": [],  # of `unavailable`, whose callers are looked at
}
"""Codes that stand nowhere as such, by the expression that makes them."""


def problems() -> Iterator[tuple[ast.expr, ast.expr]]:
    """Status and code of each problem that is made anywhere."""
    unavailable = ast.parse("HTTPStatus.SERVICE_UNAVAILABLE", mode="eval").body
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "Problem":
                    yield node.args[0], node.args[1]
                elif node.func.id == "unavailable":
                    yield unavailable, node.args[0]


def codes_of(code: ast.expr) -> list[str]:
    if isinstance(code, ast.IfExp):
        return codes_of(code.body) + codes_of(code.orelse)
    if isinstance(code, ast.Constant):
        return [str(code.value)]
    return COMPUTED[ast.unparse(code)]


def told() -> dict[str, set[int]]:
    """Each code with its statuses, as the source has them."""
    found: dict[str, set[int]] = defaultdict(set)
    for status, code in problems():
        name = ast.unparse(status).removeprefix("HTTPStatus.")
        for each in codes_of(code):
            known = HTTPStatus.METHOD_NOT_ALLOWED if name == "status" else HTTPStatus[name]
            found[each].add(int(known))
    return found


def test_every_code_of_the_source_is_listed_with_its_status_and_no_other() -> None:
    assert {name: set(code.statuses) for name, code in CODES.items()} == told()
    statuses = [code.statuses[0] for code in CODES.values()]
    assert statuses == sorted(statuses)
    # Of risk's (422) and of the gateway's own failure (500): the status says whose it was.
    assert set(CODES) & {str(reason) for reason in DenialReason} == {"INTERNAL_ERROR"}


def test_the_page_is_what_is_printed() -> None:
    page = (ROOT / "docs/problems.md").read_text(encoding="utf-8")
    assert page == table(), "run: python -m tickbus_api.codes > docs/problems.md"


def document() -> dict[str, Any]:
    nobody: Any = None
    found: dict[str, Any] = create_app(nobody, at_this_machine()).openapi()
    return found


DOCUMENT = document()


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_examples_of_problems_have_a_code_of_their_status(path: str) -> None:
    for operation in DOCUMENT["paths"][path].values():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                example = answer["content"]["application/problem+json"]["example"]
                code = CODES[example["code"]]
                assert int(status) in code.statuses
                assert example["type"] == f"urn:tickbus:problem:{example['code'].lower()}"
                assert code.where in path, (path, example["code"])


def test_what_is_not_there_is_called_by_its_name() -> None:
    def code(method: str, path: str, status: str) -> str:
        answers = DOCUMENT["paths"][f"/api/v1{path}"][method]["responses"]
        found: str = answers[status]["content"]["application/problem+json"]["example"]["code"]
        return found

    assert code("get", "/orders/{order_id}", "404") == "UNKNOWN_ORDER"
    assert code("delete", "/orders/{order_id}", "409") == "ORDER_CLOSED"
    assert code("post", "/orders", "422") == "INVALID_VALUE"
    assert code("post", "/flatten/confirm", "410") == "CONFIRMATION_GONE"
    assert code("post", "/alerts/channels/{channel}/test", "502") == "CHANNEL_FAILED"
    assert code("get", "/orders", "401") == "UNAUTHENTICATED"
