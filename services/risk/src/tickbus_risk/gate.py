"""The order of the checks: the first refusal wins."""

from tickbus_risk import account_checks as account
from tickbus_risk import checks
from tickbus_risk.checks import Check, Request
from tickbus_risk.denial import Denial
from tickbus_risk.terms import TERMS, trigger_not_reached

CHECKS: tuple[Check, ...] = (
    checks.order_id_valid,
    checks.order_id_unique,
    checks.quantity_positive,
    checks.trading_state,
    account.heartbeat,
    checks.instrument_known,
    checks.instrument_trading,
    checks.quantity_max,
    checks.quantity_min,
    checks.quantity_lot,
    checks.price_given,
    checks.price_positive,
    checks.price_range,
    checks.price_tick,
    *TERMS,
    checks.market_data,
    trigger_not_reached,
    checks.price_deviation,
    checks.notional,
    checks.position_limit,
    account.exposure,
    checks.order_count,
    checks.order_rate,
    account.orders_per_fill,
    account.balance,
    account.self_trade,
    account.losses,
)


def first_denial(request: Request) -> Denial | None:
    """The first refusal, None when the order may go."""
    for check in CHECKS:
        denial = check(request)
        if denial is not None:
            return denial
    return None
