"""Accounts: free and locked balances per asset, in 1e-8 units, never below zero."""

from tickbus_exchange.engine.orders import Order, Side


class InsufficientBalanceError(Exception):
    """A lock or a debit would make a balance negative: a bug, since requests are checked first."""


class Balance:
    """What an account holds of one asset."""

    __slots__ = ("free", "locked")

    def __init__(self, free: int = 0, locked: int = 0) -> None:
        self.free = free
        self.locked = locked


class Account:
    """Balances and live orders of one trader. `tracked` accounts get a report for every event.

    `fee_asset` names the asset it pays fees in while it has enough of it; "" for what it receives.
    """

    __slots__ = ("account_id", "balances", "fee_asset", "live", "tracked")

    on_margin = False
    """Whether trades are settled elsewhere: then neither filters nor fees apply here."""

    def __init__(
        self, account_id: str, balances: dict[str, int] | None = None, *, tracked: bool = False
    ) -> None:
        self.account_id = account_id
        self.tracked = tracked
        self.fee_asset = ""
        self.balances: dict[str, Balance] = {
            asset: Balance(free) for asset, free in (balances or {}).items()
        }
        self.live: dict[str, dict[int, Order]] = {}

    def balance(self, asset: str) -> Balance:
        """Return the balance of `asset`, made on first use."""
        balance = self.balances.get(asset)
        if balance is None:
            balance = self.balances[asset] = Balance()
        return balance

    def lock(self, asset: str, amount: int) -> None:
        """Move `amount` from free to locked."""
        balance = self.balance(asset)
        if amount > balance.free:
            raise InsufficientBalanceError(f"{self.account_id} {asset}: {amount} > {balance.free}")
        balance.free -= amount
        balance.locked += amount

    def unlock(self, asset: str, amount: int) -> None:
        """Move `amount` from locked back to free."""
        balance = self.balance(asset)
        if amount > balance.locked:
            raise InsufficientBalanceError(f"{self.account_id} {asset}: unlock {amount}")
        balance.locked -= amount
        balance.free += amount

    def working_orders(self, symbol: str) -> dict[int, Order]:
        """Return the live orders in `symbol` by order id, oldest first."""
        orders = self.live.get(symbol)
        if orders is None:
            orders = self.live[symbol] = {}
        return orders

    def stop_orders(self, symbol: str) -> int:
        """Return how many of the live orders are stop orders, triggered or not."""
        return sum(1 for order in self.working_orders(symbol).values() if order.stop_price)

    def room(self, order: Order, base: str) -> int:
        """Return how much a reduce-only `order` may trade; only an account on margin has any."""
        return 0

    def find(self, symbol: str, client_order_id: str) -> Order | None:
        """Return the live order in `symbol` with that client order id."""
        for order in self.working_orders(symbol).values():
            if order.client_order_id == client_order_id:
                return order
        return None


def locked_asset(side: Side, base: str, quote: str) -> str:
    """Return the asset an order of `side` pays with."""
    return quote if side is Side.BUY else base
