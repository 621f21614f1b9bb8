"""A strategy for chaos: its orders are for all venues together, several under way at a time."""

from typing import Annotated

import msgspec

from tickbus.events import BookTop, TimeInForce
from tickbus_strategy import Strategy


class SplitterParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`every`: books per order; `notional`: quote currency per order; `working_max`: orders."""

    every: Annotated[int, msgspec.Meta(ge=1)] = 8
    notional: Annotated[float, msgspec.Meta(gt=0)] = 1000.0
    working_max: Annotated[int, msgspec.Meta(ge=1)] = 3


class Splitter(Strategy):
    """Buys and sells in turns, at the market and as IOC."""

    Params = SplitterParams
    params: SplitterParams
    _seen = 0
    _step = 0

    def on_book(self, top: BookTop) -> None:
        """Do the next thing when it is time."""
        self._seen += 1
        if self._seen % self.params.every or not top.bid or not top.ask:
            return
        if len(self.working_orders) >= self.params.working_max:
            return
        self._step += 1
        size = self.params.notional / top.bid
        held = min(size, float(self.position.quantity))
        match self._step % 4:
            case 0:
                self.buy(size)
            case 1 if held > 0:
                self.sell(held, top.bid * 0.998, time_in_force=TimeInForce.IOC)
            case 2:
                self.buy(size, top.ask * 1.002, time_in_force=TimeInForce.IOC)
            case 3 if held > 0:
                self.sell(held)
