"""SMA crossover: long while the fast average of prices is above the slow one."""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from tickbus.events import Fill, Trade
from tickbus.order import Order
from tickbus_strategy.base import BPS, Strategy, require_positive
from tickbus_strategy.indicators import RollingMax, RollingMin, Sma

SECOND_NS = 1_000_000_000


class SmaCrossoverParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order_notional` (quote currency): per order. `bar_s` (seconds): of a bar; 0: every trade.

    `fast`, `slow` (bars): of the averages. `threshold_bps` (basis points): by how much the range of
    the last `slow` bars must exceed round-trip fees. `cooldown_s` (seconds): pause after a sale, or
    after an order that came to nothing.
    """

    order_notional: Decimal = Decimal(200)
    bar_s: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    fast: Annotated[int, msgspec.Meta(ge=1)] = 10
    slow: Annotated[int, msgspec.Meta(ge=2)] = 50
    threshold_bps: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    cooldown_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0

    def __post_init__(self) -> None:
        require_positive("order_notional", self.order_notional)
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast}: must be below slow = {self.slow}")


class SmaCrossover(Strategy):
    """Buys when the fast average crosses above the slow one, sells when it is below again.

    Idea: a crossing tells the turn of a trend. The averages are of bars' closing prices; a bar ends
    with the first trade after it, and bars without a trade are left out.

    Entry: the fast average crosses from not above to above the slow one, and the range of the last
    `slow` bars is wider than round-trip fees and `threshold_bps`: a market that moves less cannot
    pay for two fees. At the market; not within `cooldown_s`.

    Exit: the fast average is not above the slow one any more. At the market.

    Loses when the price goes sideways in swings about as long as the averages: they then cross at
    each turn, always late, and every crossing pays two fees.
    """

    title: ClassVar[str] = "Buys and sells when two moving averages cross"
    Params = SmaCrossoverParams
    params: SmaCrossoverParams

    _ts_quiet = 0

    def on_start(self) -> None:
        """Averages begin anew; a position of an earlier run waits until they are there."""
        self._fast, self._slow = Sma(self.params.fast), Sma(self.params.slow)
        self._high = RollingMax(count=self.params.slow)
        self._low = RollingMin(count=self.params.slow)
        self._bar, self._close = 0, 0.0
        self._was_above = True  # until it was seen below, nothing has crossed

    def on_trade(self, trade: Trade) -> None:
        """A trade may end a bar; the last price before it was the close."""
        if not self.params.bar_s:
            self._decide(trade.price)
            return
        bar = self.now_ns // int(self.params.bar_s * SECOND_NS)
        if bar > self._bar and self._bar:
            self._decide(self._close)
        self._bar, self._close = bar, trade.price

    def _decide(self, close: float) -> None:
        fast, slow = self._fast.update(close), self._slow.update(close)
        high, low = self._high.update(close), self._low.update(close)
        if fast is None or slow is None or high is None or low is None:
            return
        range_bps = (high / low - 1) * BPS
        needed_bps = self.params.threshold_bps + float(2 * self.fees.taker) * BPS
        crossed, self._was_above = fast > slow and not self._was_above, fast > slow
        self.note(
            fast=fast, slow=slow, range_bps=range_bps, needed_bps=needed_bps,
            position=self.position.quantity,
        )  # fmt: skip
        if not self.is_settled or self.now_ns < self._ts_quiet:
            return
        if self._holds(close):
            if fast <= slow:
                self.sell(self.closable_quantity)
        elif crossed and range_bps > needed_bps:
            self.buy(self.params.order_notional / Decimal(repr(close)))

    def _holds(self, price: float) -> bool:
        """Whether what is held is worth enough to be sold."""
        held = self.closable_quantity
        return held > 0 and held * Decimal(repr(price)) >= self.instrument.notional_min

    def on_fill(self, order: Order, fill: Fill) -> None:
        """Pause after a sale."""
        if fill.side.sign < 0:
            self._pause()

    def on_order(self, order: Order) -> None:
        """An order that was refused, or found nothing to take, is not repeated at once."""
        if order.is_terminal and not order.filled_quantity and not order.missing_quantity:
            self._pause()

    def _pause(self) -> None:
        self._ts_quiet = self.now_ns + int(self.params.cooldown_s * SECOND_NS)
