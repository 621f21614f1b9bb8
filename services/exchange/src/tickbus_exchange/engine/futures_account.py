"""A trader on margin in the common book: it borrows what it delivers, so no asset ever runs out."""

from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Order, Side

FUTURES = "futures:"
"""What the engine's name of a user's futures account begins with."""
LOAN = 1_000_000_000_000 * SCALE
"""What the account is lent of each asset; what it has more or less of a base is its position."""


class MarginAccount(Account):
    """The futures account as the matching engine sees it: no fees, no filters, no balance check.

    All three are the futures desk's. What an order may reduce is known here, at every match.
    """

    on_margin = True

    def __init__(self, user: str, assets: dict[str, int]) -> None:
        super().__init__(
            FUTURES + user, {a: LOAN + held for a, held in assets.items()}, tracked=True
        )

    def held(self, base: str) -> int:
        """Return the position in `base`, below 0 for short."""
        balance = self.balance(base)
        return balance.free + balance.locked - LOAN

    def room(self, order: Order, base: str) -> int:
        """Return how much `order` may trade and still only reduce the position."""
        held = self.held(base)
        return max(0, held if order.side is Side.SELL else -held)
