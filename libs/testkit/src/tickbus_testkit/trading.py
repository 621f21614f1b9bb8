"""One account's market, orders and reports, for tests of what judges, sends or keeps them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tickbus.events import (
    AccountUpdated,
    Balance,
    BookTop,
    Event,
    Fill,
    Instrument,
    LiquiditySide,
    OrderApproved,
    OrderDenied,
    OrderFilled,
    OrderType,
    RiskReport,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus.runtime import Core

D = Decimal
S = 1_000_000_000
LIMITS: dict[str, Any] = {
    "order_notional_max": D(10_000), "position_notional_max": D(50_000), "open_orders_max": 50,
    "order_rate_per_s_max": 100, "total_order_rate_per_s_max": 1000,
    "price_deviation_bps_max": D(500), "market_data_age_ms_max": 10**9,
    "gross_exposure_max": D(100_000), "net_exposure_max": D(100_000),
    "daily_loss_max": D(1_000_000), "drawdown_max": D(1_000_000),
    "heartbeat_timeout_s": D(0), "balance_check": False, "self_trade": "venue",
}  # fmt: skip
"""Limits of risk that let everything pass that these builders make."""


def an_instrument(name: str) -> Instrument:
    """A spot instrument of `sim`."""
    base, quote = name.split("-")
    return Instrument(
        "sim", name, name.replace("-", ""), base, quote, D("0.01"), D("0.001"), D("0.001"),
        D("100"), D("50"), D("1"), D("100000"), D("5"), D("9000000"),
    )  # fmt: skip


def a_top(name: str = "BTC-USDT", mid: float = 1000.0, ts: int = S, *, ask: bool = True) -> BookTop:
    """A book around `mid`, 1 to either side."""
    return BookTop(ts, ts, "sim", name, mid - 1, 1.0, mid + 1 if ask else 0.0, 1.0, 1, ts)


def an_order(n: int = 1, side: Side = Side.BUY, quantity: str = "1", **changes: Any) -> SubmitOrder:
    """A LIMIT order of 1 BTC at 1000, or what `changes` make of it."""
    strategy_id = changes.get("strategy_id", "pp")
    values: dict[str, Any] = {
        "ts_event": S, "ts_recv": S, "client_order_id": f"{strategy_id}-r-{n}",
        "strategy_id": "pp", "venue": "sim", "instrument_id": "BTC-USDT", "side": side,
        "order_type": OrderType.LIMIT, "quantity": D(quantity), "price": D(1000),
    }  # fmt: skip
    return SubmitOrder(**(values | changes))


def a_fill(
    order: SubmitOrder, number: int, quantity: str = "", *, price: str = "1000", fee: str = "0",
    asset: str = "USDT", ts: int = S,
) -> OrderFilled:  # fmt: skip
    """A fill of `order`, of all of it by default."""
    amount = D(quantity) if quantity else order.quantity
    fill = Fill(f"f{number}", order.side, D(price), amount, D(fee), asset, LiquiditySide.TAKER, ts)
    return OrderFilled(
        ts, ts, order.client_order_id, order.strategy_id, order.venue, order.instrument_id, "v",
        fill, amount, order.quantity - amount,
    )  # fmt: skip


def report(kind: type, order: SubmitOrder, ts: int, *rest: Any) -> Any:
    """Another report on `order`, whose last fields are `rest`."""
    return kind(
        ts, ts, order.client_order_id, order.strategy_id, order.venue, order.instrument_id, *rest
    )


def an_account(ts: int = S, *, complete: bool = True, **free: str) -> AccountUpdated:
    """The venue's word on free balances."""
    balances = tuple(Balance(asset, D(amount), D(0)) for asset, amount in free.items())
    return AccountUpdated(ts, ts, "sim", balances, complete)


def verdict(core: Core, order: SubmitOrder) -> str:
    """The reason and the detail of a denial; "" for an approval."""
    output = core.handle(order)[0]
    if isinstance(output, OrderDenied):
        return f"{output.reason} {output.detail}"
    assert isinstance(output, OrderApproved)
    return ""


def of_kind(outputs: Iterable[Any], *kinds: type) -> list[Any]:
    """Those of one of the kinds."""
    return [output for output in outputs if isinstance(output, kinds)]


def tick(core: Core, ts: int) -> list[Event]:
    """What risk does when its watch timer fires."""
    return list(core.handle(TimerFired(ts, ts, "risk-watch")))


def the_report(core: Core) -> RiskReport:
    """What risk says of itself."""
    _, told, _ = core.handle(TimerFired(S, S, "risk-state"))
    assert isinstance(told, RiskReport)
    return told
