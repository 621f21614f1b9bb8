"""The house rules catch what they say they catch, and nothing else."""

from pathlib import Path

import pytest

import tidy

CLEAN = '"""One sentence."""\n\n\ndef half(x: float) -> float:\n    return x / 2\n'


def messages(path: str, source: str) -> list[str]:
    return [finding.message for finding in tidy.check(Path(path), source)]


def test_a_clean_core_has_no_findings() -> None:
    assert messages("services/risk/src/tickbus_risk/core.py", CLEAN) == []


def test_an_empty_file_needs_no_sentence() -> None:
    assert messages("__init__.py", "") == []


@pytest.mark.parametrize("source", ["x = 1\n", '"""no sentence"""\n', '"""Half a\nsentence."""\n'])
def test_a_module_must_open_with_one_sentence(source: str) -> None:
    assert len(messages("module.py", source)) == 1


def test_a_long_file_is_named_with_its_length() -> None:
    [message] = messages("module.py", '"""Long."""\n' + "x = 1\n" * 500)
    assert message.startswith("501 lines")


def test_a_function_of_71_lines_is_one_too_long() -> None:
    body = "def f() -> None:\n" + "    pass\n" * 69
    assert messages("module.py", '"""Fine."""\n' + body) == []
    [message] = messages("module.py", '"""Long."""\n' + body + "    pass\n")
    assert message.startswith("f has 71 lines")


@pytest.mark.parametrize(
    "line",
    [
        "x = open('file')",
        "print(1)",
        "x = datetime.now(UTC)",
        "async def f() -> None: ...",
    ],
)
def test_a_core_may_not_reach_outside(line: str) -> None:
    source = f'"""A core."""\n{line}\n'
    assert len(messages("services/feed/src/tickbus_feed/core.py", source)) == 1
    assert len(messages("services/feed/src/tickbus_feed/core/book.py", source)) == 1
    assert messages("services/feed/src/tickbus_feed/service.py", source) == []


def test_the_repository_lists_itself() -> None:
    root = Path(tidy.__file__).parent.parent
    assert Path("tools/tidy.py") in tidy.python_files(root)
