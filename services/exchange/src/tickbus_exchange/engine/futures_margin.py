"""Arithmetic of a margin account: positions, realised profit, margins; exact, in 1e-8 units.

Invariants: what the fills of a symbol bring in is what its position cost or has realised, to the
last unit; a flat position has no cost. Margins are rounded up, what is available down.
"""

from collections.abc import Iterable

import msgspec

from tickbus_exchange.engine.futures_types import FuturesOrder, Position
from tickbus_exchange.engine.numbers import SCALE, notional
from tickbus_exchange.engine.orders import Side

LEVERAGE_DEFAULT = 20


class Bracket(msgspec.Struct, frozen=True):
    """Positions up to `cap` USDT: the most leverage, the maintenance rate, and its deduction."""

    cap: int
    leverage_max: int
    rate: int
    deduction: int


def _brackets(*rows: tuple[int, int, int]) -> tuple[Bracket, ...]:
    """Rows of (cap in USDT, leverage, rate in basis points of 1e-4)."""
    made: list[Bracket] = []
    for cap, leverage, basis_points in rows:
        rate = basis_points * SCALE // 10_000
        before = made[-1] if made else Bracket(0, 0, 0, 0)
        # So that the margin has no step where one bracket ends and the next begins.
        deduction = before.deduction + notional(before.cap, rate - before.rate) if made else 0
        made.append(Bracket(cap * SCALE, leverage, rate, deduction))
    return tuple(made)


BRACKETS = _brackets(
    (50_000, 125, 40), (500_000, 100, 50), (8_000_000, 50, 100), (50_000_000, 20, 250),
    (80_000_000, 10, 500), (100_000_000, 5, 1_000), (120_000_000, 4, 1_250),
    (200_000_000, 3, 1_500), (300_000_000, 2, 2_500), (10_000_000_000, 1, 5_000),
)  # fmt: skip
LEVERAGE_MAX = BRACKETS[0].leverage_max


def notional_max(leverage: int) -> int:
    """Return the largest position that `leverage` allows."""
    return max(b.cap for b in BRACKETS if b.leverage_max >= leverage)


def bracket_of(value: int) -> Bracket:
    """Return the bracket of a position worth `value`; the last has no end."""
    return next((b for b in BRACKETS if value <= b.cap), BRACKETS[-1])


def fill(
    position: Position, side: Side, quantity: int, quote: int, now_ms: int
) -> tuple[Position, int]:
    """Return the position after a fill, and the profit it realised (commission not in it)."""
    held, cost = position.quantity, position.cost
    signed = quantity if side is Side.BUY else -quantity
    if held * signed >= 0:
        return _moved(position, held + signed, cost + quote, 0, now_ms), 0
    closing = min(quantity, abs(held))
    # Shares are whole units; closing everything takes everything, also what rounding left before.
    released = cost * closing // abs(held)
    closed_for = quote * closing // quantity
    realized = closed_for - released if held > 0 else released - closed_for
    left = cost - released + quote - closed_for
    return _moved(position, held + signed, left, realized, now_ms), realized


def _moved(position: Position, quantity: int, cost: int, realized: int, now_ms: int) -> Position:
    return Position(position.symbol, quantity, cost, position.realized + realized, now_ms)


def value(position: Position, mark: int) -> int:
    """Return the position's worth at `mark`, signed like its quantity."""
    worth = notional(mark, abs(position.quantity))
    return worth if position.quantity > 0 else -worth


def unrealized(position: Position, mark: int) -> int:
    """Return the profit that closing at `mark` would realise."""
    cost = position.cost if position.quantity > 0 else -position.cost
    return value(position, mark) - cost


def entry_price(position: Position) -> int:
    """Return the average price paid, 0 when flat."""
    held = abs(position.quantity)
    return position.cost * SCALE // held if held else 0


def maintenance(position: Position, mark: int) -> int:
    """Return the margin below which the position is closed by force."""
    worth = abs(value(position, mark))
    bracket = bracket_of(worth)
    return -(-worth * bracket.rate // SCALE) - bracket.deduction if worth else 0


class Demand(msgspec.Struct, frozen=True):
    """What one symbol ties up: initial margin of the position, and beyond it of open orders."""

    position: int
    orders: int
    bids: int
    asks: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.position + self.orders


def demand(
    position: Position,
    orders: Iterable[FuturesOrder],
    mark: int,
    leverage: int,
    extra: tuple[Side, int] | None = None,
) -> Demand:
    """Return the initial margin with `orders` and one `extra` (side, notional) open.

    The worse of "all bids fill" and "all asks fill" counts; reduce-only orders need none.
    """
    open_value = {Side.BUY: 0, Side.SELL: 0}
    for order in orders:
        if not order.reduce_only:
            open_value[order.side] += notional(order.price, order.leaves)
    if extra is not None:
        open_value[extra[0]] += extra[1]
    held = value(position, mark)
    bids, asks = open_value[Side.BUY], open_value[Side.SELL]
    worst = max(abs(held), abs(held + bids), abs(held - asks))
    own = -(-abs(held) // leverage)
    return Demand(own, -(-worst // leverage) - own, bids, asks)


def liquidation_price(position: Position, spare: int, step: int) -> int:
    """Return the mark at which `spare` (margin balance less maintenance) is used up, 0 for none.

    `spare` is at `step`, the mark now. Exact within one bracket, as the venue's own estimate.
    """
    held = position.quantity
    if held == 0:
        return 0
    rate = bracket_of(abs(value(position, step))).rate
    # One unit of price moves profit by the quantity, and maintenance by its rate.
    slope = abs(held) * (SCALE - rate if held > 0 else SCALE + rate) // SCALE
    distance = spare * SCALE // slope if slope else 0
    price = step - distance if held > 0 else step + distance
    return max(0, price)
