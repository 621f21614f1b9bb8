"""Strategies that order all the time, for chaos and for control: of every kind, in turns."""

from decimal import Decimal
from typing import Annotated

import msgspec

from tickbus.events import Quote, TimeInForce, Trade
from tickbus.order import OrderState
from tickbus_strategy import Market, Strategy

SWING_STEPS = 60
IOC = TimeInForce.IOC


class RestlessParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`every`: quotes per step; `notional`: quote currency per order; `resting_max`: orders."""

    every: Annotated[int, msgspec.Meta(ge=1)] = 4
    notional: Annotated[float, msgspec.Meta(gt=0)] = 20.0
    resting_max: Annotated[int, msgspec.Meta(ge=1)] = 8


class Restless(Strategy):
    """Takes a step every few quotes, then cancels the oldest of what rests."""

    Params = RestlessParams
    params: RestlessParams
    _seen = 0
    _step = 0

    def on_quote(self, quote: Quote) -> None:
        """Do the next thing when it is time."""
        self._seen += 1
        if self._seen % self.params.every or not quote.bid or not quote.ask:
            return
        self._step += 1
        self.act(quote, self.params.notional / quote.bid)
        resting = [order for order in self.working_orders if order.state is OrderState.OPEN]
        for order in resting[: max(0, len(resting) - self.params.resting_max)]:
            self.cancel(order)

    def act(self, quote: Quote, size: float) -> None:
        """One step."""
        raise NotImplementedError


class Wild(Restless):
    """Takes on both sides in turns, rests far from the market."""

    def act(self, quote: Quote, size: float) -> None:
        match self._step % 4:
            case 0:
                self.buy(size, quote.ask, time_in_force=IOC)
            case 1:
                self.buy(size, quote.bid * 0.98)
            case 2:
                self.sell(size, quote.bid, time_in_force=IOC)
            case 3 if self.sellable > 0:
                self.sell(min(size, float(self.sellable)), quote.ask * 1.02)

    @property
    def sellable(self) -> Decimal:
        """What may be offered: nothing twice."""
        return self.closable_quantity


class Hammer(Wild):
    """Offers the same twice, too: the venue refuses what is too much."""

    @property
    def sellable(self) -> Decimal:
        return self.position.quantity


class Tamer(Wild):
    """Takes other parameters in, without being made anew."""

    def on_params(self, old: RestlessParams) -> None:
        self._step = 0


class Fuse(Wild):
    """Breaks at its fifth step, in the middle of a decision."""

    def on_quote(self, quote: Quote) -> None:
        super().on_quote(quote)
        if self._step >= 5:
            raise RuntimeError("a crash that somebody wrote into it")


class Steady(Wild):
    """Counts the trades it is told of; their numbers at the exchange have no holes.

    While the book cannot be trusted, as on a machine that is too busy, nobody is told of any.
    """

    _first = 0
    _last = 0
    _count = 0
    _blind = False

    def on_unusable(self, market: Market) -> None:
        self._blind = True

    def on_trade(self, trade: Trade) -> None:
        number = int(trade.trade_id)
        self._first = self._first or number
        if self._blind and self._last:
            self._count += number - self._last - 1
        self._blind, self._last = False, number
        self._count += 1
        self.note(first=str(self._first), last=trade.trade_id, count=str(self._count))


class SwingerParams(RestlessParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, and `position_max` in quote currency."""

    notional: Annotated[float, msgspec.Meta(gt=0)] = 150.0
    resting_max: Annotated[int, msgspec.Meta(ge=1)] = 6
    position_max: Annotated[float, msgspec.Meta(gt=0)] = 6000.0


class Swinger(Restless):
    """Is long and short of a perpetual in turns; takes, rests, waits and reduces."""

    Params = SwingerParams
    params: SwingerParams

    def act(self, quote: Quote, size: float) -> None:
        held = float(self.position.quantity) * quote.bid
        rises = self._step // SWING_STEPS % 2 == 0
        match self._step % 8:
            case 0 | 3 if rises and held < self.params.position_max:
                self.buy(size, quote.ask, time_in_force=IOC)
            case 0 | 3 if not rises and held > -self.params.position_max:
                self.sell(size, quote.bid, time_in_force=IOC)
            case 1:
                self.buy(size, quote.bid * 0.98)
            case 2:
                self.sell(size, quote.ask * 1.02, post_only=True)
            case 4 if held > 0:
                self.sell(size / 2, quote.bid, time_in_force=IOC, reduce_only=True)
            case 4 if held < 0:
                self.buy(size / 2, quote.ask, time_in_force=IOC, reduce_only=True)
            case 5:
                self.buy(size, quote.bid)
            case 6:
                self.buy(size / 2, stop=quote.ask * 1.0005)
            case 7:
                self.sell(size / 2, take_profit=quote.bid * 1.0005)
