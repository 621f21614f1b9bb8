"""Quantising market floats into order decimals."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import Instrument

BTC = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000")
)


def test_price_goes_to_the_nearest_tick_or_the_side_asked_for() -> None:
    assert BTC.price(61837.637) == Decimal("61837.64")
    assert BTC.price(61837.631, up=True) == Decimal("61837.64")
    assert BTC.price(61837.639, up=False) == Decimal("61837.63")


def test_quantity_never_grows() -> None:
    assert BTC.quantity(0.0019999) == Decimal("0.00199")


@pytest.mark.parametrize("text", ["61837.64", "0.01", "99999.99"])
def test_a_venue_price_survives_the_float(text: str) -> None:
    assert BTC.price(float(text)) == Decimal(text)


def test_coarse_steps_stay_exact() -> None:
    coarse = Instrument("v", "A-B", "AB", "A", "B", Decimal(5), Decimal(10))
    assert coarse.price(12.4) == 10
    assert coarse.quantity(Decimal(39)) == 30


@given(st.decimals(min_value="0.01", max_value="1000000", places=6))
def test_results_are_multiples(value: Decimal) -> None:
    assert BTC.price(value) % BTC.tick_size == 0
    quantity = BTC.quantity(value)
    assert quantity % BTC.lot_size == 0
    assert quantity <= value
