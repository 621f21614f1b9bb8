"""A strategy for chaos: it orders all the time, of every kind, and keeps its position small."""

from typing import Annotated

import msgspec

from tickbus.events import Quote, TimeInForce
from tickbus.order import OrderState
from tickbus_strategy import Strategy


class HammerParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`every`: quotes per step; `notional`: quote currency per order; `resting_max`: orders."""

    every: Annotated[int, msgspec.Meta(ge=1)] = 4
    notional: Annotated[float, msgspec.Meta(gt=0)] = 20.0
    resting_max: Annotated[int, msgspec.Meta(ge=1)] = 8


class Hammer(Strategy):
    """Takes on both sides in turns, rests far from the market, cancels the oldest."""

    Params = HammerParams
    params: HammerParams
    _seen = 0
    _step = 0

    def on_quote(self, quote: Quote) -> None:
        """Do the next thing when it is time."""
        self._seen += 1
        if self._seen % self.params.every or not quote.bid or not quote.ask:
            return
        self._step += 1
        size = self.params.notional / quote.bid
        match self._step % 4:
            case 0:
                self.buy(size, quote.ask, time_in_force=TimeInForce.IOC)
            case 1:
                self.buy(size, quote.bid * 0.98)
            case 2:
                self.sell(size, quote.bid, time_in_force=TimeInForce.IOC)
            case 3 if self.position.quantity > 0:
                self.sell(min(size, float(self.position.quantity)), quote.ask * 1.02)
        resting = [order for order in self.working_orders if order.state is OrderState.OPEN]
        for order in resting[: max(0, len(resting) - self.params.resting_max)]:
            self.cancel(order)
