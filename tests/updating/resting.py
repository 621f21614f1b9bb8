"""A strategy whose orders rest: what becomes of them is done by others."""

from tickbus.events import Quote
from tickbus_strategy import Strategy

ORDERS = 3
BELOW = 0.96
"""Of the best bid: too far to be filled, near enough for risk."""


class Resting(Strategy):
    """Buys far below the market, and cancels nothing."""

    def on_quote(self, quote: Quote) -> None:
        """Place what is missing."""
        for _ in range(ORDERS - len(self.working_orders) if quote.bid else 0):
            self.buy(0.001, quote.bid * BELOW)
