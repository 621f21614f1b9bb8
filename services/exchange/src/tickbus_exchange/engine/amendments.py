"""What an amendment that keeps priority may change: the quantity, downwards, and the name."""

from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.filters import Situation, SymbolRules, lot_size, notional_range
from tickbus_exchange.engine.orders import Order, OrderRequest, Refusal


def check_amendment(
    account: Account,
    rules: SymbolRules,
    now: Situation,
    order: Order,
    quantity: int,
    client_order_id: str,
) -> Refusal | None:
    """Return why `order` cannot be made `quantity` and be named so, None if it can."""
    if quantity > order.quantity:
        return Refusal.AMEND_INCREASE
    if quantity == order.quantity:
        return Refusal.AMEND_NOTHING
    if quantity <= order.filled:
        return Refusal.AMEND_BELOW_FILLED
    if order.amendments >= rules.amendments_max:
        return Refusal.MAX_NUM_ORDER_AMENDS
    wish = OrderRequest(order.symbol, order.side, order.type, quantity, order.price)
    if not lot_size(wish, rules, now):
        return Refusal.LOT_SIZE
    if not notional_range(wish, rules, now):
        return Refusal.NOTIONAL
    other = account.find(order.symbol, client_order_id)
    return Refusal.DUPLICATE if other is not None and other is not order else None
