"""Which tests run beside which, where several processes run them (pytest-xdist's loadgroup).

A test that is marked `slow(seconds)` starts a platform or something like it. The slow ones are
dealt out to a few groups, each of which one worker runs from the beginning on: so the long ones
never come last, and there are hardly more platforms at a time than groups. Those that are marked
`slow(seconds, together="name")` share something of one name, and so a group. The rest goes, one by
one, to whoever is free.
"""

from collections.abc import Sequence
from typing import Any

import pytest

GROUPS = 2
SECONDS = 5.0
"""What a test takes that is marked without a number."""


def share_out(items: Sequence[pytest.Item], groups: int = GROUPS) -> None:
    """Give every slow test its group: the longest first, each to the group with least to do."""
    shares: dict[str, list[tuple[float, pytest.Item]]] = {}
    for place, item in enumerate(items):
        if mark := item.get_closest_marker("slow"):
            seconds = float(mark.args[0]) if mark.args else SECONDS
            name = mark.kwargs.get("together", str(place))
            shares.setdefault(name, []).append((seconds, item))
    weighed = [(sum(seconds for seconds, _ in share), share) for share in shares.values()]
    totals = [0.0] * groups
    for weight, share in sorted(weighed, key=lambda pair: -pair[0]):
        group = totals.index(min(totals))
        totals[group] += weight
        for _, item in share:
            item.add_marker(pytest.mark.xdist_group(f"slow-{group + 1}"))


def writable(report: Any) -> Any:
    """`report` with every text in it such that it can be sent: half letters are spelled out."""
    if isinstance(report, str):
        return report.encode("utf-8", "backslashreplace").decode()
    if isinstance(report, dict):
        return {writable(key): writable(value) for key, value in report.items()}
    if isinstance(report, list):
        return [writable(each) for each in report]
    if isinstance(report, tuple):
        return tuple(writable(each) for each in report)
    return report
