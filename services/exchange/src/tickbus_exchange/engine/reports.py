"""Writes down an order of a tracked account as it stands right after an event."""

from tickbus_exchange.engine.account import Account, Balance
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.orders import ExecutionType, Order, Report

FillOfOrder = tuple[int, int, int, int, str, int]
"""Quantity, price, quote amount, fee, fee asset, trade id."""
NO_FILL: FillOfOrder = (0, 0, 0, 0, "", -1)
_NOTHING = Balance()


def make_report(
    execution_id: int,
    account: Account,
    rules: SymbolRules,
    order: Order,
    now_ms: int,
    execution_type: ExecutionType,
    fill: FillOfOrder,
    *,
    is_maker: bool,
    cancel_id: str,
    prevention: tuple[int, int, int],
    counter: Order | None,
    former: tuple[str, int],
) -> Report:
    """Return the report. `prevention`: match id, quantity, price. `former`: name, quantity."""
    base, quote = account.balance(rules.base), account.balance(rules.quote)
    fee_asset = fill[4]
    third = _NOTHING
    if fee_asset not in {"", rules.base, rules.quote}:
        third = account.balance(fee_asset)
    return Report(
        account.account_id, order.symbol, order.order_id, order.client_order_id,
        order.side, order.type, order.time_in_force, order.price, order.quantity,
        order.quote_quantity, order.stp, execution_type, order.status, order.filled,
        order.quote_filled, order.time_ms, now_ms, execution_id,
        base.free, base.locked, quote.free, quote.locked,
        working=order.is_live and order.price != 0 and not order.is_waiting,
        last_quantity=fill[0], last_price=fill[1], last_quote=fill[2], fee=fill[3],
        trade_id=fill[5], fee_asset=fee_asset, is_maker=is_maker,
        cancel_client_order_id=cancel_id, prevented=order.prevented,
        prevented_match_id=prevention[0], last_prevented=prevention[1],
        counter_price=prevention[2],
        counter_order_id=counter.order_id if counter is not None else -1,
        stop_price=order.stop_price, triggered_ms=order.triggered_ms,
        amendments=order.amendments, former_client_order_id=former[0],
        former_quantity=former[1], fee_asset_free=third.free, fee_asset_locked=third.locked,
    )  # fmt: skip
