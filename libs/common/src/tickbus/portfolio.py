"""What our fills amount to: positions, profit and loss, balances, equity and drawdown.

All arithmetic is exact: sums and products carry up to 60 digits, and the only divisions (which part
of a cost leaves with a part of a position, who bears which part of a funding payment) are rounded
to 1e-18 once, or as the venue says it did, and the remainder goes to one of the parts. So net P&L
is what came in and went out plus the value of what is held, to the last digit.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

import msgspec

from tickbus.events.orders import Fill

ZERO = Decimal(0)
ONE = Decimal(1)
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


def is_derivative(instrument_id: str) -> bool:
    """Whether it is a promise (`BTC-USDT-PERP`, `BTC-USDT-260327`), not a thing that changes hands.

    A derivative's fill moves no base and no price: what it realises is settled in the quote asset.
    """
    return instrument_id.count("-") >= 2


class Position(msgspec.Struct, kw_only=True):
    """What we hold of one instrument through our fills; starts flat.

    `quantity` is signed (long > 0), in what the venue counts, each `contract_size` of the base
    asset; on a spot market it is net of fees paid in the base asset, so it equals what the venue's
    balance changed by. `cost` is what the quantity held was entered for, signed like it, fees out;
    `realized_pnl` excludes fees; `fees` are positive when we pay, with fees in another asset than
    the quote at their value when they were paid; `funding` is positive when we received. `cash`
    is what was paid and received for the quantity, with the fees in quote: on a spot market what
    the quote balance changed by. All in quote currency, of linear contracts.

    Fees in a third asset are in `other_fees`, by asset and exact; `other_fees_value` is the part of
    `fees` that they are, and what nothing valued is in `unvalued_fees` and in no P&L.
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
    funding: Decimal = ZERO
    other_fees_value: Decimal = ZERO
    unvalued_fees: dict[str, Decimal] = {}
    contract_size: Decimal = ONE

    @property
    def avg_entry_price(self) -> Decimal | None:
        """Average price at which the quantity held was entered, to 1e-10; None when flat."""
        if not self.quantity:
            return None
        with localcontext(_EXACT):
            return (self.cost / (self.quantity * self.contract_size)).quantize(_PRICE_STEP)

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        """What closing at `mark` would realise, fees excluded."""
        with localcontext(_EXACT):
            return self.quantity * self.contract_size * mark - self.cost

    def net_pnl(self, mark: Decimal) -> Decimal:
        """Realised and unrealised together, less fees, plus funding."""
        with localcontext(_EXACT):
            return self.realized_pnl + self.unrealized_pnl(mark) - self.fees + self.funding

    def apply(
        self, fill: Fill, fee_value: Decimal | None = None, *, settled: Decimal | None = None
    ) -> Decimal:
        """Take in one fill of this instrument; returns what it realised, fees excluded.

        `fee_value` is what a fee in a third asset is worth in quote currency, None when nobody
        knows. `settled` is what the venue paid out for it, where this is the position that the
        venue keeps: it rounds which part of the cost leaves with a part of a position, and its word
        counts. The caller sees to it that each fill comes once.
        """
        base, _ = assets(self.instrument_id)
        realized_before = self.realized_pnl
        with localcontext(_EXACT):
            change = fill.quantity * fill.side.sign
            self.cash -= change * self.contract_size * fill.price
            if fill.fee_asset == base and not is_derivative(self.instrument_id):
                # As if the whole quantity had been traded and a part of it given away at its price.
                change -= fill.fee
                self.fees += fill.fee * fill.price
            else:
                self.pay_fee(fill.fee_asset, fill.fee, fee_value)
            self._trade(change, fill.price * self.contract_size)
            if settled is not None and self.realized_pnl - realized_before != settled:
                # So much more of the cost stayed, or left: the sum of both remains what it was.
                rounded = settled - (self.realized_pnl - realized_before)
                self.realized_pnl += rounded
                self.cost += rounded
            self.fills += 1
            self.ts_updated = max(self.ts_updated, fill.ts_event)
            return self.realized_pnl - realized_before

    def pay_fee(self, asset: str, amount: Decimal, value: Decimal | None) -> None:
        """Book a fee (positive when we pay) that is worth `value`, None when nobody knows."""
        with localcontext(_EXACT):
            if asset == assets(self.instrument_id)[1]:
                self.cash -= amount
                self.fees += amount
            elif amount:
                self.other_fees[asset] = self.other_fees.get(asset, ZERO) + amount
                if value is None:
                    self.unvalued_fees[asset] = self.unvalued_fees.get(asset, ZERO) + amount
                else:
                    self.fees += value
                    self.other_fees_value += value

    def receive_funding(self, value: Decimal) -> None:
        """Book a funding payment, in quote currency; negative when we paid."""
        with localcontext(_EXACT):
            self.funding += value

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


class Move(NamedTuple):
    """One amount that a fill moves in the account at the venue; `is_fee` tells what for."""

    asset: str
    amount: Decimal
    is_fee: bool


def moves_of(instrument_id: str, fill: Fill, realized: Decimal = ZERO) -> list[Move]:
    """What `fill` moves at the venue; `realized` is what it realised, which derivatives settle."""
    base, quote = assets(instrument_id)
    with localcontext(_EXACT):
        change = fill.quantity * fill.side.sign
        if is_derivative(instrument_id):
            moves = [Move(quote, realized, False)] if realized else []
        else:
            moves = [Move(base, change, False), Move(quote, -change * fill.price, False)]
        return [*moves, Move(fill.fee_asset, -fill.fee, True)] if fill.fee else moves


def balance_changes(
    instrument_id: str, fill: Fill, realized: Decimal = ZERO
) -> list[tuple[str, Decimal]]:
    """What `fill` changes at the venue, as (asset, amount): `moves_of` without what for."""
    return [(move.asset, move.amount) for move in moves_of(instrument_id, fill, realized)]


def shares(amount: Decimal, positions: Iterable[Position]) -> list[tuple[Position, Decimal]]:
    """Who of `positions` (of one instrument) bears which part of a funding payment.

    Each by its quantity: where one is long and another short, one receives what the other pays.
    Empty when together they hold nothing, and nobody can say whose the payment is.
    """
    holders = [position for position in positions if position.quantity]
    with localcontext(_EXACT):
        held = sum((position.quantity for position in holders), ZERO)
        if not held:
            return []
        parts = [(amount * p.quantity / held).quantize(_COST_STEP).normalize() for p in holders]
        parts[-1] += amount - sum(parts, ZERO)
        return list(zip(holders, parts, strict=True))


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

    def transfer(self, value: Decimal) -> None:
        """Money came in (or went out, negative): no profit, and no loss either."""
        if self.equity_peak is not None:
            self.equity_peak += value


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
            self.add(venue, asset, amount)

    def position(self, venue: str, instrument_id: str) -> Position:
        """The position, flat when nothing was traded yet."""
        key = (venue, instrument_id)
        found = self.positions.get(key)
        return found or Position(venue=venue, instrument_id=instrument_id)

    def apply(self, venue: str, instrument_id: str, fill: Fill) -> Position:
        """Take in one fill; the caller sees to it that each comes once."""
        position = self.position(venue, instrument_id)
        self.positions[venue, instrument_id] = position
        realized = position.apply(fill)
        for asset, amount in balance_changes(instrument_id, fill, realized):
            self.add(venue, asset, amount)
        return position

    def add(self, venue: str, asset: str, amount: Decimal) -> Decimal:
        """Move `amount` of `asset` into the account (out of it, negative); returns its balance."""
        with localcontext(_EXACT):
            balance = self.balances.get((venue, asset), ZERO) + amount
        self.balances[venue, asset] = balance
        return balance

    def mark(self, venue: str, instrument_id: str, price: Decimal) -> None:
        """Value the instrument at `price` from now on."""
        self.marks[venue, instrument_id] = price

    def mark_of(self, position: Position) -> Decimal | None:
        """The mark of a position; its entry price before the market was seen; None when flat."""
        mark = self.marks.get((position.venue, position.instrument_id))
        return position.avg_entry_price if mark is None else mark

    def value(self, venue: str, asset: str, currency: str) -> Decimal | None:
        """What the balance of `asset` is worth in `currency`; None without a mark for it."""
        return self.worth(venue, asset, self.balances.get((venue, asset), ZERO), currency)

    def worth(self, venue: str, asset: str, amount: Decimal, currency: str) -> Decimal | None:
        """What `amount` of `asset` is worth in `currency` at `venue`; None without a mark."""
        if asset == currency or not amount:
            return amount
        mark = self.marks.get((venue, f"{asset}-{currency}"))
        with localcontext(_EXACT):
            return None if mark is None else amount * mark

    def equity(self, currency: str) -> Decimal:
        """Everything that can be valued in `currency`, over all venues; see `unvalued`.

        What derivatives have not realised yet is in it.
        """
        with localcontext(_EXACT):
            values = [self.value(venue, asset, currency) for venue, asset in self.balances]
            for position in self.positions.values():
                if position.quantity and is_derivative(position.instrument_id):
                    pnl = position.unrealized_pnl(self.mark_of(position) or ZERO)
                    quote = assets(position.instrument_id)[1]
                    values.append(self.worth(position.venue, quote, pnl, currency))
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
