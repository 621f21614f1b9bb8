"""A strategy reckons with the fees of its own venue, whatever else was wished for it."""

from decimal import Decimal
from typing import Any

import pytest
from lifecycle_story import LOADED, VENUE, kind

from tickbus.config import Settings
from tickbus.events import StrategyTerms
from tickbus_strategy.base import Strategy
from tickbus_strategy.making import Maker, Refused


def test_terms_that_are_refused_change_no_fees() -> None:
    dear: dict[str, Any] = {**VENUE, "name": "dear", "fees": {"maker": "0.01", "taker": "0.02"}}
    settings = Settings({"strategies": [], "venue": VENUE, "venues": [dear]}, run_id="r")
    maker = Maker(settings, LOADED)
    desk = maker.desk("a")
    assert desk is not None
    (seat,) = maker.seats(StrategyTerms(kind("Resting"), ("BTC-USDT",)), desk)
    assert isinstance(seat.strategy, Strategy)
    with pytest.raises(Refused):
        maker.seats(StrategyTerms(kind("BreaksWhenMade"), ("BTC-USDT",), venue="dear"), desk)
    assert seat.strategy.fees.taker == Decimal("0.001")
    (other,) = maker.seats(StrategyTerms(kind("Resting"), ("BTC-USDT",), venue="dear"), desk)
    assert isinstance(other.strategy, Strategy)
    assert (other.strategy.fees.taker, seat.strategy.fees.taker) == (
        Decimal("0.02"), Decimal("0.001"),
    )  # fmt: skip
