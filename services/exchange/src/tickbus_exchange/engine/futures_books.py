"""The books of a margin account: a fold over `Changes`, the same live as after a restart.

Invariant: `wallet` is the opening wallet plus every income, and nothing else moves it.
"""

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.futures_types import (
    AlgoOrder,
    Changes,
    Countdown,
    FuturesFill,
    FuturesOrder,
    Income,
    Position,
)
from tickbus_exchange.engine.orders import Transfer


class FuturesBooks:
    """Orders, fills, positions, income and settings of one account; nothing is ever dropped."""

    def __init__(self, opening_wallet: int) -> None:
        self.opening_wallet = opening_wallet
        self.wallet = opening_wallet
        self.orders: dict[int, FuturesOrder] = {}
        self.live: dict[str, dict[int, FuturesOrder]] = {}
        self.client_ids: dict[tuple[str, str], int] = {}
        self.fills: dict[str, list[FuturesFill]] = {}
        self.income: list[Income] = []
        self.positions: dict[str, Position] = {}
        self.algos: dict[int, AlgoOrder] = {}
        self.open_algos: dict[int, AlgoOrder] = {}
        self.algo_client_ids: dict[str, int] = {}
        self.leverages: dict[str, int] = {}
        self.countdowns: dict[str, Countdown] = {}
        self.transfers: list[Transfer] = []
        """What was moved from the spot wallet (amount below 0) or to it."""
        self.update_ms = 0

    def apply(self, changes: Changes) -> None:
        """Take the next changes. They must come in the order they happened."""
        self.update_ms = changes.time_ms
        for order in changes.orders:
            self._apply_order(order)
        for fill in changes.fills:
            self.fills.setdefault(fill.symbol, []).append(fill)
        for income in changes.income:
            self.income.append(income)
            self.wallet += income.amount
        for position in changes.positions:
            self.positions[position.symbol] = position
        for algo in changes.algos:
            self._apply_algo(algo)
        for setting in changes.settings:
            self.leverages[setting.symbol] = setting.leverage
        for countdown in changes.countdowns:
            self.countdowns[countdown.symbol] = countdown
        self.transfers += changes.spot

    def _apply_order(self, order: FuturesOrder) -> None:
        self.orders[order.order_id] = order
        self.client_ids[order.symbol, order.client_order_id] = order.order_id
        live = self.live.setdefault(order.symbol, {})
        if order.is_live:
            live[order.order_id] = order
        else:
            live.pop(order.order_id, None)

    def _apply_algo(self, algo: AlgoOrder) -> None:
        self.algos[algo.algo_id] = algo
        self.algo_client_ids[algo.client_algo_id] = algo.algo_id
        if algo.is_open:
            self.open_algos[algo.algo_id] = algo
        else:
            self.open_algos.pop(algo.algo_id, None)

    # -- questions -----------------------------------------------------------------------------

    def position(self, symbol: str) -> Position:
        """Return what is held of `symbol`, flat by default."""
        return self.positions.get(symbol) or Position(symbol)

    def leverage(self, symbol: str) -> int:
        """Return the leverage chosen for `symbol`."""
        return self.leverages.get(symbol, margin.LEVERAGE_DEFAULT)

    def working_orders(self, symbol: str) -> dict[int, FuturesOrder]:
        """Return the live orders of `symbol`, oldest first."""
        return self.live.get(symbol, {})

    def find(
        self, symbol: str, order_id: int | None, client_order_id: str | None
    ) -> FuturesOrder | None:
        """Return an order named by either id; the order id wins."""
        if order_id is None:
            order_id = self.client_ids.get((symbol, client_order_id or ""))
        order = self.orders.get(order_id) if order_id is not None else None
        return order if order is not None and order.symbol == symbol else None

    def find_algo(self, algo_id: int | None, client_algo_id: str | None) -> AlgoOrder | None:
        """Return a conditional order named by either id; the algo id wins."""
        if algo_id is None:
            algo_id = self.algo_client_ids.get(client_algo_id or "")
        return self.algos.get(algo_id) if algo_id is not None else None
