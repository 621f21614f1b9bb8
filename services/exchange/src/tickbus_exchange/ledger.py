"""The exchange's own books of a tracked account: a fold over its reports, the truth for tests."""

from tickbus_exchange.engine.orders import (
    ExecutionType,
    Order,
    Report,
    Side,
    Transfer,
)


class Ledger:
    """Every order, fill and transfer of one account. Grows with its history, nothing is dropped."""

    def __init__(self, account_id: str, initial: dict[str, int]) -> None:
        self.account_id = account_id
        self.initial = dict(initial)
        self.orders: dict[str, dict[int, Report]] = {}
        self.client_ids: dict[tuple[str, str], int] = {}
        self.fills: dict[str, list[Report]] = {}
        self.amendments: dict[int, list[Report]] = {}
        self.transfers: list[Transfer] = []
        self.fees: dict[str, int] = {}
        self.updated_ms = 0

    def apply(self, report: Report) -> None:
        """Take the next report. Reports must come in the order they happened."""
        self.orders.setdefault(report.symbol, {})[report.order_id] = report
        self.updated_ms = report.transact_ms
        if report.execution_type is ExecutionType.NEW:
            self.client_ids[report.symbol, report.client_order_id] = report.order_id
        elif report.execution_type is ExecutionType.REPLACED:
            self.client_ids.pop((report.symbol, report.former_client_order_id), None)
            self.client_ids[report.symbol, report.client_order_id] = report.order_id
            self.amendments.setdefault(report.order_id, []).append(report)
        elif report.execution_type is ExecutionType.TRADE:
            self.fills.setdefault(report.symbol, []).append(report)
            self.fees[report.fee_asset] = self.fees.get(report.fee_asset, 0) + report.fee

    def move(self, transfer: Transfer) -> None:
        """Take the next deposit or withdrawal."""
        self.transfers.append(transfer)
        self.updated_ms = transfer.time_ms

    def find(self, symbol: str, order_id: int | None, client_order_id: str | None) -> Report | None:
        """Return the latest report of an order named by either id; the order id wins."""
        if order_id is None:
            order_id = self.client_ids.get((symbol, client_order_id or ""))
        if order_id is None:
            return None
        return self.orders.get(symbol, {}).get(order_id)

    def working_orders(self, symbol: str | None = None) -> list[Report]:
        """Return the latest report of every live order. Slow on a long history; restart only."""
        symbols = (symbol,) if symbol is not None else tuple(self.orders)
        return [r for s in symbols for r in self.orders.get(s, {}).values() if r.is_live]

    def holdings(self, assets: dict[str, tuple[str, str]]) -> dict[str, int]:
        """Return free plus locked per asset: the first balances and all that happened since.

        `assets` maps a symbol to its (base, quote).
        """
        total = dict(self.initial)
        for transfer in self.transfers:
            total[transfer.asset] = total.get(transfer.asset, 0) + transfer.amount
        for symbol, fills in self.fills.items():
            base, quote = assets[symbol]
            for fill in fills:
                sign = 1 if fill.side is Side.BUY else -1
                total[base] = total.get(base, 0) + sign * fill.last_quantity
                total[quote] = total.get(quote, 0) - sign * fill.last_quote
                total[fill.fee_asset] = total.get(fill.fee_asset, 0) - fill.fee
        return total


def live_order(report: Report) -> Order:
    """Return the engine's order that `report` is the latest word on."""
    return Order(
        report.order_id, report.client_order_id, report.account_id, report.symbol, report.side,
        report.type, report.time_in_force, report.price, report.quantity, report.quote_quantity,
        report.stp, report.time_ms, report.filled, report.quote_filled, report.prevented,
        0, report.status, report.stop_price, report.triggered_ms, report.amendments,
    )  # fmt: skip
