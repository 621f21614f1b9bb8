"""What is read of the books when somebody scrapes: money as the newest statement tells it.

Only here do amounts become floats: they are looked at, and nothing is reckoned with them.
"""

from collections.abc import Iterator

from tickbus.events import PortfolioUpdated
from tickbus.runtime import Reading
from tickbus_ledger.core import LedgerCore

SUMS = (
    "equity", "realized_pnl", "unrealized_pnl", "net_pnl", "fees", "funding", "drawdown",
    "drawdown_max",
)  # fmt: skip


def measure(core: LedgerCore, _: int) -> Iterator[Reading]:
    """Equity, P&L, positions and strategies of the newest statement, and what is to be written."""
    yield Reading("events_pending", core.pending)
    said = core.statement
    if said is None:
        return
    for name in SUMS:
        yield Reading(name, float(getattr(said, name)), {"currency": said.currency})
    yield Reading("orders_total", said.orders)
    yield Reading("fills_total", said.fills)
    yield Reading("working_orders", said.working_orders)
    yield Reading("unvalued_assets", len(said.unvalued))
    yield from _positions(said)
    for record in said.strategies:
        labels = {"strategy": record.strategy_id, "currency": said.currency}
        yield Reading("strategy_net_pnl", float(record.net_pnl), labels)
        yield Reading("strategy_drawdown", float(record.drawdown), labels)
        yield Reading("strategy_fills_total", record.fills, labels)


def _positions(said: PortfolioUpdated) -> Iterator[Reading]:
    for each in said.positions:
        labels = {"venue": each.venue, "instrument": each.instrument_id}
        yield Reading("position_quantity", float(each.quantity), labels)
        yield Reading("position_value", float(each.quantity * (each.mark or 0)), labels)
        yield Reading("position_net_pnl", float(each.net_pnl), labels)
    for balance in said.balances:
        labels = {"venue": balance.venue, "asset": balance.asset}
        yield Reading("balance_difference", abs(float(balance.difference or 0)), labels)
