"""What the gateway advises reaches a terminal as commands."""

import ast
import importlib
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickbus_cli import main
from tickbus_cli.wording import COMMANDS, in_commands

ROOT = Path(__file__).parents[3]
REQUEST = re.compile(r"(GET|PUT|POST|PATCH|DELETE) /(api|health)")


@pytest.mark.parametrize(
    ("advice", "command"),
    [
        ("GET /api/v1/orders lists them", "`tickbus orders` lists them"),
        ("see `GET /api/v1/orders/m-1` first", "see `tickbus orders show m-1` first"),
        ("see GET /health, then repeat", "see `tickbus status`, then repeat"),
        ("log in (POST /api/v1/auth/login), or", "log in (`tickbus login USER`), or"),
        ("see GET /api/v1/strategies/a.b.", "see `tickbus strategies show a.b`."),
        ("GET /docs shows every path", "GET /docs shows every path"),
        ("write 10s, 1m, 4h or 1d", "write 10s, 1m, 4h or 1d"),
    ],
)
def test_requests_become_commands(advice: str, command: str) -> None:
    assert in_commands(advice) == command


@pytest.mark.parametrize("command", sorted(set(COMMANDS.values())))
def test_commands_are_those_there_are(command: str) -> None:
    _, name, *arguments = command.format("x").split()
    if name in ("halt", "flatten"):
        arguments = ["--reason", "x"]
    parser = ArgumentParser(exit_on_error=False)
    importlib.import_module(main.COMMANDS[name].module).configure(parser)
    parser.parse_args(arguments)


def test_no_advice_of_the_gateway_is_left_in_requests() -> None:
    advices = [advice for advice in _advices() if REQUEST.search(advice)]
    assert len(advices) > 20
    assert [advice for advice in advices if REQUEST.search(in_commands(advice))] == []


def _advices() -> Iterator[str]:
    """Every text with a request in it that the gateway may give as a remedy."""
    for path in (ROOT / "services/api/src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield from _of_call(node)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "remedy":
                yield _text(node.value)


def _of_call(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    given = [*(k.value for k in node.keywords if k.arg == "remedy")]
    if ast.unparse(node.func).rpartition(".")[2] in ("invalid", "unavailable"):
        given += node.args
    yield from map(_text, given)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else "name" for p in node.values]
        return "".join(map(str, parts))
    return str(node.value) if isinstance(node, ast.Constant) else ""
