"""Momentum: follow a move that is faster than it costs to trade it."""

from collections import deque
from decimal import Decimal
from typing import Annotated

import msgspec

from tickbus.events import BookTop, Fill, Quote
from tickbus.order import Order, OrderState
from tickbus_strategy.base import BPS, Strategy, require_positive

SECOND_NS = 1_000_000_000


class MomentumParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order_notional`: quote currency per order. `window_s`: over which velocity is measured.

    `threshold_bps`: the velocity (basis points per window) beyond round-trip fees that opens a
    position. `cooldown_s`: pause after a position was closed. `allow_short`: also follow falls, by
    selling what the account holds of the base asset.
    """

    order_notional: Decimal = Decimal(200)
    window_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    threshold_bps: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    cooldown_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    allow_short: bool = False

    def __post_init__(self) -> None:
        require_positive("order_notional", self.order_notional)


class Momentum(Strategy):
    """Buys a rise (sells a fall) and leaves when it stops.

    Idea: a fast move goes on for a while. Velocity is the change of the mid price over `window_s`
    in basis points. Entry: velocity beyond `threshold_bps` plus round-trip fees, at the market.
    Exit: velocity crosses zero, at the market. Loses when moves reverse at once: it then buys the
    top and pays the taker's fee twice.
    """

    Params = MomentumParams
    params: MomentumParams

    _ts_quiet = 0

    def on_start(self) -> None:
        """Measure anew: prices of before a restart say nothing of the velocity now."""
        self._mids: deque[tuple[int, float]] = deque()

    def on_quote(self, quote: Quote) -> None:
        """The venue's own best prices come first, straight from the feed."""
        self._decide(quote)

    def on_book(self, top: BookTop) -> None:
        """Our own book's are the pulse of a market without quotes."""
        if not self.has_fresh_quote:
            self._decide(top)

    def _decide(self, top: Quote | BookTop) -> None:
        """Measure, then enter or leave; one order at a time."""
        if not top.bid or not top.ask:
            return
        velocity = self._velocity((top.bid + top.ask) / 2)
        if velocity is None or self.working_orders:
            return
        held = self._position_sign(top)
        if held:
            if velocity * held <= 0:
                self._leave(held)
        elif self.now_ns >= self._ts_quiet:
            self._enter(velocity, top)

    def on_fill(self, order: Order, fill: Fill) -> None:
        """Pause after a fill that closed the position."""
        if not self.closable_quantity:
            self._pause()

    def on_order(self, order: Order) -> None:
        """An order that was refused, or found nothing to take, is not repeated at once."""
        ended = order.is_terminal and order.state is not OrderState.CANCELED
        if ended and not order.filled_quantity:
            self._pause()

    def _pause(self) -> None:
        self._ts_quiet = self.now_ns + int(self.params.cooldown_s * SECOND_NS)

    def _velocity(self, mid: float) -> float | None:
        """Basis points over the window; None until a whole window was seen."""
        mids, now = self._mids, self.now_ns
        begin = now - int(self.params.window_s * SECOND_NS)
        mids.append((now, mid))
        # The last mid at or before the window's begin is the one to compare with.
        while len(mids) > 1 and mids[1][0] <= begin:
            mids.popleft()
        if mids[0][0] > begin:
            return None
        return (mid / mids[0][1] - 1) * BPS

    def _enter(self, velocity: float, top: Quote | BookTop) -> None:
        needed = self.params.threshold_bps + float(2 * self.fees.taker) * BPS
        if abs(velocity) < needed:
            return
        quantity = self.params.order_notional / Decimal(repr(top.ask))
        if velocity > 0:
            self.buy(quantity)
        elif self.params.allow_short:
            self.sell(quantity)

    def _leave(self, held: int) -> None:
        quantity = abs(self.closable_quantity)
        if held > 0:
            self.sell(quantity)
        else:
            self.buy(quantity)

    def _position_sign(self, top: Quote | BookTop) -> int:
        """+1 long, -1 short, 0 when what is held is too little to trade."""
        quantity = self.closable_quantity
        if abs(quantity) * Decimal(repr(top.bid)) < self.instrument.notional_min:
            return 0
        return (quantity > 0) - (quantity < 0)
