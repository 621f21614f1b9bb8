"""Slow tests are dealt out evenly, the longest first, and quick ones are left alone."""

import os

import pytest

from tickbus_testkit.sharing_out import share_out, writable


def an_item(request: pytest.FixtureRequest, *marks: pytest.MarkDecorator) -> pytest.Item:
    made = pytest.Function.from_parent(request.node.parent, name="a", callobj=lambda: None)
    assert isinstance(made, pytest.Item)
    for mark in marks:
        made.add_marker(mark)
    return made


def groups(items: list[pytest.Item]) -> list[tuple[str, ...]]:
    return [tuple(mark.args[0] for mark in item.iter_markers("xdist_group")) for item in items]


def test_each_slow_test_goes_to_the_group_with_least_to_do(request: pytest.FixtureRequest) -> None:
    seconds = (20, 90, 40, 50, 10)
    items = [an_item(request, pytest.mark.slow(each)) for each in seconds]
    share_out(items, groups=3)
    assert groups(items) == [("slow-3",), ("slow-1",), ("slow-3",), ("slow-2",), ("slow-2",)]


def test_quick_ones_have_no_group_and_slow_ones_without_a_number_have(
    request: pytest.FixtureRequest,
) -> None:
    items = [an_item(request), an_item(request, pytest.mark.slow), an_item(request)]
    share_out(items, groups=3)
    assert groups(items) == [(), ("slow-1",), ()]


def test_what_shares_something_goes_together(request: pytest.FixtureRequest) -> None:
    ours, other = pytest.mark.slow(20, together="browser"), pytest.mark.slow(30)
    items = [an_item(request, mark) for mark in (ours, other, ours, other, other)]
    share_out(items, groups=3)
    assert groups(items) == [("slow-1",), ("slow-2",), ("slow-1",), ("slow-3",), ("slow-2",)]


@pytest.mark.slow(1)
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="the tests run one by one")
def test_workers_are_told_the_groups(request: pytest.FixtureRequest) -> None:
    # They schedule by this ending. A pytest that xdist does not know yet lets it be lost unsaid,
    # and then there are as many platforms at a time as workers.
    assert request.node.nodeid.endswith(("@slow-1", "@slow-2"))


def test_half_letters_in_a_report_are_spelled_out_wherever_they_stand() -> None:
    sent = writable(
        {"sections": [("log", "half \ud800 and äß")], "longrepr": ["\udfff", None, 1.5]}
    )
    assert sent["sections"] == [("log", "half \\ud800 and äß")]
    assert sent["longrepr"] == ["\\udfff", None, 1.5]
