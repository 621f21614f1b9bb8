"""What the venue reports of an amount, in any order, against the amount as it was."""

from decimal import Decimal

from tickbus.comparison import Comparison

SETTLE = 30


def test_report_that_is_older_than_the_one_compared_last_turns_nothing_back() -> None:
    """Changes of before the newer one are forgotten, so nothing could explain it."""
    comparison = Comparison(SETTLE, eager=True)
    comparison.change(11, Decimal(1))
    comparison.change(12, Decimal(1))
    comparison.report(12, 13, Decimal(2))
    assert comparison.settle(13, Decimal(2)) == 0
    comparison.report(10, 14, Decimal(0))
    assert comparison.settle(14, Decimal(2)) == 0
    assert not comparison.waits(14)
    assert comparison.settle(14 + SETTLE, Decimal(2)) == 0
    assert comparison.ts_settled == 12
