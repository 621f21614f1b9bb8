"""What our fills amount to: positions, profit and loss, balances, equity and drawdown.

All arithmetic is exact: sums and products carry up to 60 digits, and the only division (which part
of a cost leaves with a part of a position) is rounded to 1e-18 once and its remainder stays in the
position. So `cash + quantity * mark == realized + unrealized - fees` holds to the last digit.
"""

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import msgspec

from tickbus.events.orders import Fill

ZERO = Decimal(0)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_COST_STEP = Decimal("1e-18")
_PRICE_STEP = Decimal("1e-10")


def assets(instrument_id: str) -> tuple[str, str]:
    """(base, quote) of a canonical id: `BTC-USDT` and `BTC-USDT-260327` are ("BTC", "USDT").

    Raises ValueError.
    """
    base, _, rest = instrument_id.partition("-")
    quote, dash, expiry = rest.partition("-")
    if not (base and quote) or bool(dash) != bool(expiry):
        raise ValueError(f"{instrument_id!r} is no instrument id: expected BASE-QUOTE[-EXPIRY]")
    return base, quote


class Position(msgspec.Struct, kw_only=True):
    """What we hold of one instrument through our fills; starts flat, changed only by `apply`.

    `quantity` is signed (long > 0) and net of fees paid in the base asset, so it equals what the
    venue's balance changed by. `cost` is what the quantity held was entered for, signed like it,
    fees out; `realized_pnl` excludes fees; `fees` are positive when we pay, with fees in the base
    asset valued at their fill's price; `cash` is what the quote balance changed by. All in quote
    currency. Fees in a third asset are in `other_fees` by asset and in no P&L.
    """

    venue: str
    instrument_id: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    cash: Decimal = ZERO
    other_fees: dict[str, Decimal] = {}
    fills: int = 0
    ts_updated: int = 0

    @property
    def avg_entry_price(self) -> Decimal | None:
        """Average price at which the quantity held was entered, to 1e-10; None when flat."""
        if not self.quantity:
            return None
        with localcontext(_EXACT):
            return (self.cost / self.quantity).quantize(_PRICE_STEP)

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        """What closing at `mark` would realise, fees excluded."""
        with localcontext(_EXACT):
            return self.quantity * mark - self.cost

    def net_pnl(self, mark: Decimal) -> Decimal:
        """Realised and unrealised together, less fees."""
        with localcontext(_EXACT):
            return self.realized_pnl + (self.quantity * mark - self.cost) - self.fees

    def apply(self, fill: Fill) -> None:
        """Take in one fill of this instrument. The caller sees to it that each comes once."""
        base, quote = assets(self.instrument_id)
        with localcontext(_EXACT):
            change = fill.quantity * fill.side.sign
            self.cash -= change * fill.price
            if fill.fee_asset == base:
                # As if the whole quantity had been traded and a part of it given away at its price.
                change -= fill.fee
                self.fees += fill.fee * fill.price
            elif fill.fee_asset == quote:
                self.cash -= fill.fee
                self.fees += fill.fee
            elif fill.fee:
                paid = self.other_fees.get(fill.fee_asset, ZERO)
                self.other_fees[fill.fee_asset] = paid + fill.fee
            self._trade(change, fill.price)
        self.fills += 1
        self.ts_updated = max(self.ts_updated, fill.ts_event)

    def _trade(self, change: Decimal, price: Decimal) -> None:
        if self.quantity * change < 0:
            change -= self._close(change, price)
        self.quantity += change
        self.cost += change * price

    def _close(self, change: Decimal, price: Decimal) -> Decimal:
        # The part of `change` that reduces the position; what is left of it opens the other way.
        closed = -self.quantity if abs(change) >= abs(self.quantity) else change
        if closed == -self.quantity:
            released = self.cost
        else:
            released = (self.cost * -closed / self.quantity).quantize(_COST_STEP).normalize()
        self.realized_pnl += -closed * price - released
        self.cost -= released
        self.quantity += closed
        return closed


def balance_changes(instrument_id: str, fill: Fill) -> list[tuple[str, Decimal]]:
    """What `fill` changes at the venue, as (asset, amount): base, quote and the fee's asset."""
    base, quote = assets(instrument_id)
    with localcontext(_EXACT):
        change = fill.quantity * fill.side.sign
        changes = [(base, change), (quote, -change * fill.price)]
        return [*changes, (fill.fee_asset, -fill.fee)] if fill.fee else changes


class Drawdown(msgspec.Struct, kw_only=True):
    """How far equity is below its peak, in quote currency; all values >= 0 once it has risen."""

    equity_peak: Decimal | None = None
    drawdown: Decimal = ZERO
    drawdown_max: Decimal = ZERO

    def update(self, equity: Decimal) -> None:
        """Take in the newest equity."""
        if self.equity_peak is None or equity > self.equity_peak:
            self.equity_peak = equity
        self.drawdown = self.equity_peak - equity
        self.drawdown_max = max(self.drawdown_max, self.drawdown)


class Portfolio:
    """Positions and balances over many instruments, with the marks that value them.

    Balances are opening balances plus what the fills changed; a mark is the price (quote currency)
    at which an instrument is valued now.
    """

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], Position] = {}
        self.balances: dict[tuple[str, str], Decimal] = {}
        self.marks: dict[tuple[str, str], Decimal] = {}

    def __iter__(self) -> Iterator[Position]:
        return iter(self.positions.values())

    def add_opening(self, venue: str, balances: Mapping[str, Decimal]) -> None:
        """Add opening balances of `venue`, by asset; fills seen before them stay counted."""
        for asset, amount in balances.items():
            self._add(venue, asset, amount)

    def position(self, venue: str, instrument_id: str) -> Position:
        """The position, flat when nothing was traded yet."""
        key = (venue, instrument_id)
        found = self.positions.get(key)
        return found or Position(venue=venue, instrument_id=instrument_id)

    def apply(self, venue: str, instrument_id: str, fill: Fill) -> Position:
        """Take in one fill; the caller sees to it that each comes once."""
        position = self.position(venue, instrument_id)
        self.positions[venue, instrument_id] = position
        position.apply(fill)
        for asset, amount in balance_changes(instrument_id, fill):
            self._add(venue, asset, amount)
        return position

    def mark(self, venue: str, instrument_id: str, price: Decimal) -> None:
        """Value the instrument at `price` from now on."""
        self.marks[venue, instrument_id] = price

    def mark_of(self, position: Position) -> Decimal | None:
        """The mark of a position; its entry price before the market was seen; None when flat."""
        mark = self.marks.get((position.venue, position.instrument_id))
        return position.avg_entry_price if mark is None else mark

    def value(self, venue: str, asset: str, currency: str) -> Decimal | None:
        """What the balance of `asset` is worth in `currency`; None without a mark for it."""
        amount = self.balances.get((venue, asset), ZERO)
        if asset == currency or not amount:
            return amount
        mark = self.marks.get((venue, f"{asset}-{currency}"))
        with localcontext(_EXACT):
            return None if mark is None else amount * mark

    def equity(self, currency: str) -> Decimal:
        """Everything that can be valued in `currency`, over all venues; see `unvalued`."""
        with localcontext(_EXACT):
            values = [self.value(venue, asset, currency) for venue, asset in self.balances]
            return sum((value for value in values if value is not None), ZERO)

    def unvalued(self, currency: str) -> list[tuple[str, str]]:
        """(venue, asset) of balances that `equity` leaves out because nothing marks them."""
        return [key for key in self.balances if self.value(*key, currency) is None]

    def net_pnl(self) -> Decimal:
        """Over all positions at their marks; meaningful when all are in one quote currency."""
        total = ZERO
        with localcontext(_EXACT):
            for position in self.positions.values():
                total += position.net_pnl(self.mark_of(position) or ZERO)
        return total

    def _add(self, venue: str, asset: str, amount: Decimal) -> None:
        with localcontext(_EXACT):
            self.balances[venue, asset] = self.balances.get((venue, asset), ZERO) + amount
