"""Instruments: where what the market says (float) becomes what we order (Decimal)."""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import msgspec

ZERO = Decimal(0)


class Instrument(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """What can be traded at one venue, with the venue's filters.

    `instrument_id` is canonical (`BTC-USDT`), `symbol` the venue's spelling (`BTCUSDT`). Prices and
    notionals are in `quote`, quantities in what the venue counts: `base`, unless it counts
    contracts, each `contract_size` of `base`, or of `quote` where `inverse`. A limit of 0 means
    that the venue sets none.
    """

    venue: str
    instrument_id: str
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    quantity_min: Decimal = ZERO
    quantity_max: Decimal = ZERO
    market_quantity_max: Decimal = ZERO
    price_min: Decimal = ZERO
    price_max: Decimal = ZERO
    notional_min: Decimal = ZERO
    notional_max: Decimal = ZERO
    trading: bool = True
    contract_size: Decimal = Decimal(1)
    inverse: bool = False

    def base_size(self, price: float, size: float) -> float:
        """A size of the venue's in units of `base`, at `price`."""
        size *= float(self.contract_size)
        return size / price if self.inverse and price else size

    def price(self, value: float | Decimal, *, up: bool | None = None) -> Decimal:
        """Quantise to the tick size: nearest by default, or towards `up` True/False. Slow."""
        rounding = {None: ROUND_HALF_EVEN, True: ROUND_CEILING, False: ROUND_FLOOR}[up]
        return _quantise(_decimal(value), self.tick_size, rounding)

    def quantity(self, value: float | Decimal) -> Decimal:
        """Quantise down to the lot size, never up: an order must not grow by rounding. Slow."""
        return _quantise(_decimal(value), self.lot_size, ROUND_DOWN)

    def notional(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Value in quote currency; always positive for a positive quantity."""
        return price * quantity


def _decimal(value: float | Decimal) -> Decimal:
    # repr() gives the shortest text that parses back to the same float: the venue's own digits.
    return value if isinstance(value, Decimal) else Decimal(repr(value))


def _quantise(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if step <= 0:
        return value
    steps = (value / step).to_integral_value(rounding=rounding)
    return (steps * step).quantize(step.normalize()) if step < 1 else steps * step
