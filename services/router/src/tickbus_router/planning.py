"""How an order is split: the levels of all venues in one queue, fees in their prices."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, Context, Decimal, localcontext
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
    """A part of an order for one venue; `price` is the worst that it is to trade at."""

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
    legs_max: int = 5, *, at_limit: bool = False,
) -> list[Leg]:  # fmt: skip
    """The legs that trade up to `quantity` (base) most cheaply, fees in; none when nothing can.

    `limit` bounds the prices without fees. A leg goes no further than the level it is to take;
    `at_limit` as far as the limit, where the level may be gone when the leg comes. A venue on which
    too little would be traded for its rules, or that is one too many, is left out, and its part
    goes to the others; where these cannot take it, one of them gives up what it lacks.
    """
    left_out: set[int] = set()
    while True:
        taken = _take(side, quantity, limit, markets, left_out, at_limit=at_limit)
        legs: dict[int, Leg] = {}
        for index, (amount, worst) in taken.items():
            rules = markets[index].instrument
            lots = rules.quantity(amount)
            if rules.quantity_max:
                lots = min(lots, rules.quantity(rules.quantity_max))
            price = _leg_price(side, markets[index], worst, at_limit)
            if _is_enough(markets[index], lots, price):
                legs[index] = Leg(markets[index].venue, lots, price)
            else:
                left_out.add(index)
        if len(legs) > legs_max:
            left_out.add(min(legs, key=lambda index: legs[index].quantity))
        elif len(legs) == len(taken):
            if len(legs) < legs_max:
                _share(side, quantity, limit, markets, legs, at_limit=at_limit)
            return [legs[index] for index in sorted(legs)]


def _share(
    side: Side, quantity: Decimal, limit: Decimal | None, markets: Sequence[VenueMarket],
    legs: dict[int, Leg], *, at_limit: bool,
) -> None:  # fmt: skip
    """Let the largest leg give up so much that the rest is enough for a venue without one.

    Else an order that all accounts together can pay for ends with a rest that no venue takes.
    """
    rest = quantity - sum((leg.quantity for leg in legs.values()), ZERO)
    if not legs or rest <= 0:
        return
    giver = max(legs, key=lambda index: legs[index].quantity)
    given = legs[giver]
    for index, market in enumerate(markets):
        rules = market.instrument
        best = best_level(side, [market])
        if index in legs or best is None or rest < rules.lot_size:
            continue
        # A little above the least: its worst price may be below its best.
        lowest = min(best, limit) if at_limit and limit is not None else best
        wanted = least(lowest, [market]) * Decimal("1.05") + rules.lot_size
        # The giver gives up whole lots: the other takes all of them, or a part would be lost.
        step = markets[giver].instrument.lot_size
        wanted = rest + max(ZERO, ((wanted - rest) / step).to_integral_value(ROUND_CEILING)) * step
        taken = _take(side, wanted, limit, [market], set(), at_limit=at_limit)
        amount, worst = taken.get(0, (ZERO, ZERO))
        lots = rules.quantity(amount)
        if rules.quantity_max:
            lots = min(lots, rules.quantity(rules.quantity_max))
        kept = markets[giver].instrument.quantity(given.quantity - (lots - rest))
        price = _leg_price(side, market, worst, at_limit)
        if lots < rest or not _is_enough(market, lots, price):
            continue
        if kept + lots <= given.quantity:  # its lots are so coarse that more would be lost
            continue
        if _is_enough(markets[giver], kept, given.price):
            legs[giver] = Leg(given.venue, kept, given.price)
            legs[index] = Leg(market.venue, lots, price)
            return


def _is_enough(market: VenueMarket, lots: Decimal, price: Decimal) -> bool:
    rules = market.instrument
    return lots > 0 and lots >= rules.quantity_min and lots * price >= rules.notional_min


def _leg_price(side: Side, market: VenueMarket, worst: Decimal, at_limit: bool) -> Decimal:
    # A level lies on the venue's grid; a limit need not, and is not to be passed.
    return market.instrument.price(worst, up=side is (Side.SELL if at_limit else Side.BUY))


def best_level(side: Side, markets: Sequence[VenueMarket]) -> Decimal | None:
    """The best price at which `side` can trade, without fees; None where no book has a level."""
    sides = [m.depth.asks if side is Side.BUY else m.depth.bids for m in markets]
    prices = [Decimal(repr(levels[0][0])) for levels in sides if levels]
    return min(prices, key=lambda price: price * side.sign) if prices else None


def within(side: Side, limit: Decimal, market: VenueMarket) -> Decimal:
    """How much (base) the book of `market` shows up to `limit`."""
    levels = market.depth.asks if side is Side.BUY else market.depth.bids
    prices = ((Decimal(repr(price)), Decimal(repr(size))) for price, size in levels)
    return sum((size for price, size in prices if (price - limit) * side.sign <= 0), ZERO)


def least(price: Decimal, markets: Sequence[VenueMarket]) -> Decimal:
    """The smallest quantity (base) that one of `markets`, of which there are some, takes."""
    rules = [market.instrument for market in markets]
    return min(max(r.quantity_min, r.lot_size, r.notional_min / price) for r in rules)


def lacking(
    side: Side, price: Decimal, markets: Sequence[VenueMarket]
) -> tuple[Decimal, Decimal] | None:
    """(free, needed) of the venue that comes closest, where none can pay for the least it takes.

    In what the order pays with; None where a venue can, or its balance is not known.
    """
    closest: tuple[Decimal, Decimal] | None = None
    for market in markets:
        unit = price * (1 + market.fees.taker) if side is Side.BUY else Decimal(1)
        needed = least(price, [market]) * unit
        if market.free is None or market.free >= needed:
            return None
        if closest is None or needed - market.free < closest[1] - closest[0]:
            closest = (market.free, needed)
    return closest


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
    left_out: set[int], *, at_limit: bool,
) -> dict[int, tuple[Decimal, Decimal]]:  # fmt: skip
    """(quantity, worst price) by the market's place in `markets`."""
    left = quantity
    taken: dict[int, tuple[Decimal, Decimal]] = {}
    with localcontext(_EXACT):
        for level in _queue(side, limit, markets, left_out):
            size = min(left, level.size)
            before = taken.get(level.market, (ZERO, ZERO))[0]
            free = markets[level.market].free
            worst = limit if at_limit and limit is not None else level.price
            if free is not None:
                # A leg needs all of its quantity covered at its worst price, not at each level's.
                fee = 1 + markets[level.market].fees.taker
                unit = worst * fee if side is Side.BUY else Decimal(1)
                # Whole lots: what a lot lacks here goes to the next venue, or it would be lost.
                covered = markets[level.market].instrument.quantity(free / unit)
                size = min(size, covered - before)
            if size <= 0:
                continue
            taken[level.market] = (before + size, worst)
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
