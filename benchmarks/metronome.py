"""A strategy for measuring: an order for every n-th quote, which never trades."""

from typing import Annotated

import msgspec

from tickbus.events import Quote, TimeInForce
from tickbus_strategy import Strategy


class MetronomeParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`every`: quotes per order."""

    every: Annotated[int, msgspec.Meta(ge=1)] = 20


class Metronome(Strategy):
    """Bids 1 % below the market, immediate or cancel, whatever happens."""

    Params = MetronomeParams
    params: MetronomeParams
    _seen = 0

    def on_quote(self, quote: Quote) -> None:
        """Count, and order when it is time."""
        self._seen += 1
        if self._seen % self.params.every == 0 and quote.bid:
            self.buy(20 / quote.bid, quote.bid * 0.99, time_in_force=TimeInForce.IOC)
