"""What continuous integration runs once more, and what has to pass the first time."""

import json
from pathlib import Path

import again

ROUTING = "tests/routing/test_routing.py::test_parts"
CHAOS = "tests/chaos/test_chaos.py::test_books"


def test_the_group_that_a_parallel_run_adds_is_no_part_of_a_name(tmp_path: Path) -> None:
    left = tmp_path / "lastfailed"
    left.write_text(json.dumps({f"{ROUTING}@slow-2": True, "a.py::test_b[x@y]": True}))
    assert again.last_failed(left) == ["a.py::test_b[x@y]", ROUTING]


def test_a_few_tests_of_platforms_are_run_again() -> None:
    assert again.refusal([ROUTING], [ROUTING, CHAOS]) == ""


def test_a_core_lost_money_many_failures_and_a_run_without_an_end_are_not() -> None:
    assert "core.py::test_a has to pass" in again.refusal([ROUTING, "core.py::test_a"], [ROUTING])
    assert f"{CHAOS} has to pass" in again.refusal([CHAOS], [CHAOS])
    books = "tests/integration/test_story.py::test_killed_and_the_books_are_equal[risk]"
    assert "books_are_equal[risk] has to pass" in again.refusal([books], [books])
    many = [f"{ROUTING}_{n}" for n in range(again.AGAIN_MAX + 1)]
    assert "4 tests failed" in again.refusal(many, many)
    assert "did not end" in again.refusal([], [])


def test_what_compares_books_is_still_called_so() -> None:
    tests = Path(again.ROOT, "tests")
    for where, name in (
        ("routing", "add_up"), ("routing", "counted_once"), ("integration", "books_are_equal"),
        ("control", ""), ("chaos", ""),
    ):  # fmt: skip
        texts = [path.read_text(encoding="utf-8") for path in (tests / where).glob("test_*.py")]
        assert any(f"{name}(" in text and "def test_" in text for text in texts), where


def test_what_is_no_list_of_failures_counts_as_none(tmp_path: Path) -> None:
    assert again.last_failed(tmp_path / "none") == []
    (tmp_path / "torn").write_text("{")
    assert again.last_failed(tmp_path / "torn") == []


def test_which_start_platforms_is_told_by_their_marks() -> None:
    fast = "tools/tests/test_again.py::test_a_few_tests_of_platforms_are_run_again"
    real = "tests/routing/test_routing.py::test_parts_trade_on_both_exchanges_and_are_counted_once"
    found = again.slow_among([fast, real, "tests/integration/test_story.py::test_it"])
    assert real in found
    assert "tests/integration/test_story.py::test_it" in found
    assert fast not in found
