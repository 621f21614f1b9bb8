"""What the strategies share that take what the book offers: one order at a time, with pauses."""

from decimal import Decimal
from typing import Annotated

import msgspec

from tickbus.events import Fill
from tickbus.order import Order
from tickbus_strategy.base import BPS, Strategy, require_positive

SECOND_NS = 1_000_000_000
AGAIN_NS = SECOND_NS
"""Until the next order after one that came to nothing."""


class TakingParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order_notional` (quote currency): per order. `cooldown_s` (seconds): pause after a close.

    `allow_short`: also follow falls, by selling what the account holds of the base asset, or short
    where the venue has positions.
    """

    order_notional: Decimal = Decimal(200)
    cooldown_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    allow_short: bool = False

    def __post_init__(self) -> None:
        require_positive("order_notional", self.order_notional)


class Taking(Strategy):
    """Enters and leaves at the market, never with two orders at once.

    A position is what can be traded at the venue: less than its least notional counts as none.
    After a position was closed no entry for `cooldown_s`; after an order that came to nothing no
    order at all for a second.
    """

    Params = TakingParams
    params: TakingParams

    _ts_quiet = 0
    _ts_again = 0

    @property
    def is_busy(self) -> bool:
        """Whether an order may still change the position, or one has just come to nothing."""
        return not self.is_settled or self.now_ns < self._ts_again

    @property
    def is_cooling(self) -> bool:
        """Whether the pause after a close is not over."""
        return self.now_ns < self._ts_quiet

    @property
    def fees_bps(self) -> float:
        """What a round trip costs that takes both ways, in basis points."""
        return float(2 * self.fees.taker) * BPS

    def side_held(self, price: float) -> int:
        """+1 long, -1 short, 0 when what is held is worth too little to trade at `price`."""
        quantity = self.closable_quantity
        if abs(quantity) * Decimal(repr(price)) < self.instrument.notional_min:
            return 0
        return (quantity > 0) - (quantity < 0)

    def enter(self, side: int, price: float) -> None:
        """Take `order_notional`, counted at `price`: +1 buys, -1 sells where that is allowed."""
        quantity = self.params.order_notional / Decimal(repr(price))
        if side > 0:
            self.buy(quantity)
        elif self.params.allow_short:
            self.sell(quantity)

    def leave(self) -> None:
        """Close the position at the market."""
        quantity = self.closable_quantity
        if quantity > 0:
            self.sell(quantity)
        else:
            self.buy(-quantity)

    def on_fill(self, order: Order, fill: Fill) -> None:
        """Pause after a fill that closed the position."""
        if not self.side_held(float(fill.price)):
            self._ts_quiet = self.now_ns + int(self.params.cooldown_s * SECOND_NS)

    def on_order(self, order: Order) -> None:
        """An order that was refused, or found nothing to take, is not repeated at once."""
        if order.is_terminal and not order.filled_quantity and not order.missing_quantity:
            self._ts_again = self.now_ns + AGAIN_NS
