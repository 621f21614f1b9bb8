"""Positions beside what the venue says of them."""

from decimal import Decimal

from tickbus.events import AccountUpdated, VenuePosition
from tickbus.portfolio import Portfolio
from tickbus_ledger.held import HeldPositions

NAME = "BTC-USDT-PERP"


def reported(held: HeldPositions) -> list[Decimal | None]:
    return [record.reported for record in held.beside([], 100)]


def test_older_word_of_the_venue_does_not_take_the_place_of_a_newer_one() -> None:
    held = HeldPositions(Portfolio(), 10)
    held.report(AccountUpdated(20, 20, "sim", (), False, (VenuePosition(NAME, Decimal(1)),)))
    held.report(AccountUpdated(10, 25, "sim", (), True))
    assert reported(held) == [Decimal(1)]
    held.report(AccountUpdated(30, 30, "sim", (), True))
    assert reported(held) == []
