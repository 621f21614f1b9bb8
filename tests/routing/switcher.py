"""A strategy that buys and sells at the venue `smart` in turns, at the market and as IOC."""

from typing import Annotated

import msgspec

from tickbus.events import BookTop, TimeInForce
from tickbus_strategy import Strategy


class SwitcherParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`every`: books per order; `notional`: quote currency per order."""

    every: Annotated[int, msgspec.Meta(ge=1)] = 20
    notional: Annotated[float, msgspec.Meta(gt=0)] = 100.0


class Switcher(Strategy):
    """One order at a time, of each kind in turns."""

    Params = SwitcherParams
    params: SwitcherParams
    _seen = 0
    _step = 0

    def on_book(self, top: BookTop) -> None:
        """Do the next thing when it is time."""
        self._seen += 1
        if self._seen % self.params.every or self.working_orders or not top.bid or not top.ask:
            return
        self._step += 1
        size = self.params.notional / top.bid
        match self._step % 4:
            case 0:
                self.buy(size)
            case 1:
                self.buy(size, top.ask * 1.002, time_in_force=TimeInForce.IOC)
            case 2 if self.position.quantity > 0:
                self.sell(min(size, float(self.position.quantity)))
            case 3 if self.position.quantity > 0:
                quantity = min(size, float(self.position.quantity))
                self.sell(quantity, top.bid * 0.998, time_in_force=TimeInForce.IOC)
