"""How an order is split: the levels of all venues in one queue, fees in their prices."""

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

from tickbus.events import BookDepth, FeeSchedule, Instrument, Side

ZERO = Decimal(0)
_EXACT = Context(prec=60)


class VenueMarket(NamedTuple):
    """One instrument at one venue: its book, what a taker pays, and what we can spend there.

    `free` is of the asset that the order pays with; None while the balance is not known.
    """

    instrument: Instrument
    depth: BookDepth
    fees: FeeSchedule
    free: Decimal | None = None

    @property
    def venue(self) -> str:
        """The venue's name."""
        return self.instrument.venue


class Leg(NamedTuple):
    """A part of an order for one venue; `price` is the worst level that it is to reach."""

    venue: str
    quantity: Decimal
    price: Decimal


class _Level(NamedTuple):
    cost: Decimal
    market: int
    price: Decimal
    size: Decimal


def split(
    side: Side, quantity: Decimal, limit: Decimal | None, markets: Sequence[VenueMarket],
    legs_max: int = 5,
) -> list[Leg]:  # fmt: skip
    """The legs that trade up to `quantity` (base) most cheaply, fees in; none when nothing can.

    `limit` bounds the prices without fees. A venue on which too little would be traded for its
    rules, or that is one too many, is left out, and its part goes to the others.
    """
    left_out: set[int] = set()
    while True:
        taken = _take(side, quantity, limit, markets, left_out)
        legs: dict[int, Leg] = {}
        for index, (amount, worst) in taken.items():
            rules = markets[index].instrument
            lots = rules.quantity(amount)
            if rules.quantity_max:
                lots = min(lots, rules.quantity(rules.quantity_max))
            if lots <= 0 or lots < rules.quantity_min or lots * worst < rules.notional_min:
                left_out.add(index)
            else:
                legs[index] = Leg(
                    markets[index].venue, lots, rules.price(worst, up=side is Side.BUY)
                )
        if len(legs) > legs_max:
            left_out.add(min(legs, key=lambda index: legs[index].quantity))
        elif len(legs) == len(taken):
            return [legs[index] for index in sorted(legs)]


def best_price(side: Side, quantity: Decimal, markets: Sequence[VenueMarket]) -> Decimal | None:
    """What `quantity` costs on average, fees in, if every venue gave what its book shows.

    The measure of best execution; None when the books together do not hold so much.
    """
    with localcontext(_EXACT):
        left, total = quantity, ZERO
        for level in _queue(side, None, markets, frozenset()):
            size = min(left, level.size)
            total += size * level.cost
            left -= size
            if not left:
                return total / quantity
    return None


def _take(
    side: Side, quantity: Decimal, limit: Decimal | None, markets: Sequence[VenueMarket],
    left_out: set[int],
) -> dict[int, tuple[Decimal, Decimal]]:  # fmt: skip
    """(quantity, worst price) by the market's place in `markets`."""
    left = quantity
    taken: dict[int, tuple[Decimal, Decimal]] = {}
    with localcontext(_EXACT):
        for level in _queue(side, limit, markets, left_out):
            size = min(left, level.size)
            before = taken.get(level.market, (ZERO, ZERO))[0]
            free = markets[level.market].free
            if free is not None:
                # A leg needs all of its quantity covered at its worst price, not at each level's.
                unit = level.cost if side is Side.BUY else Decimal(1)
                # Whole lots: what a lot lacks here goes to the next venue, or it would be lost.
                covered = markets[level.market].instrument.quantity(free / unit)
                size = min(size, covered - before)
            if size <= 0:
                continue
            taken[level.market] = (before + size, level.price)
            left -= size
            if not left:
                break
    return taken


def _queue(
    side: Side, limit: Decimal | None, markets: Sequence[VenueMarket],
    left_out: set[int] | frozenset[int],
) -> Iterator[_Level]:  # fmt: skip
    """The levels that `side` can take, cheapest first, fees in."""
    levels: list[_Level] = []
    for index, market in enumerate(markets):
        if index in left_out:
            continue
        fee = 1 + market.fees.taker * side.sign
        for price, size in market.depth.asks if side is Side.BUY else market.depth.bids:
            exact = Decimal(repr(price))
            if limit is not None and (exact - limit) * side.sign > 0:
                break
            levels.append(_Level(exact * fee, index, exact, Decimal(repr(size))))
    return iter(sorted(levels, key=lambda level: level.cost * side.sign))
