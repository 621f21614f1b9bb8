"""Times as people write them."""

import pytest

from tickbus.times import time_ns, utc


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000001Z", 1_000),
        ("2026-11-21 18:30", 1_795_285_800 * 10**9),
        ("1795285800000000001", 1_795_285_800_000_000_001),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert time_ns(text) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "18:30", "12", "2026-13-01"])
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: give ISO 8601"):
        time_ns(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_285_800_123_999_999, "2026-11-21T18:30:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (2**63, "2262-04-11T23:47:16.854Z"),
        (10**25, "10000000000000000000000000ns"),
    ],
)
def test_a_time_is_told_in_utc(ns: int, text: str) -> None:
    assert utc(ns) == text
