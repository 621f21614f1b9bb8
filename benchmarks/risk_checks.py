"""How long risk thinks about an order: `python benchmarks/risk_checks.py`.

One core, every check on, orders that are approved and then cancelled, against an account that holds
and works a given number of instruments and orders: the time must not grow with them. Shown are the
median and the 99th percentile of one order, from the intent to the verdict, and with what is left
for the time after the verdict (bookkeeping, done when the next event comes).
"""

import gc
import time
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
    OrderCanceled,
    OrderFilled,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore

D = Decimal
S = 1_000_000_000
ORDERS = 5_000
LIMITS: dict[str, Any] = {
    "order_notional_max": D(10**6), "position_notional_max": D(10**12), "open_orders_max": 10**6,
    "order_rate_per_s_max": 10**5, "total_order_rate_per_s_max": 10**5,
    "price_deviation_bps_max": D(500), "market_data_age_ms_max": 10**9,
    "gross_exposure_max": D(10**12), "net_exposure_max": D(10**12), "daily_loss_max": D(10**12),
    "drawdown_max": D(10**12), "heartbeat_timeout_s": D(0), "balance_check": True,
    "self_trade": "deny",
}  # fmt: skip


def an_order(n: int, name: str, side: Side = Side.BUY) -> SubmitOrder:
    """A LIMIT order that rests."""
    price = D(995) if side is Side.BUY else D(1005)
    return SubmitOrder(
        S, S, f"pp-r-{n}", "pp", "sim", name, side, OrderType.LIMIT, D("0.125"), price
    )  # fmt: skip


def a_core(instruments: int, working: int) -> RiskCore:
    """A core with positions in all instruments and so many working orders."""
    known = {k: v for k, v in LIMITS.items() if k in RiskConfig.__struct_fields__}
    core = RiskCore(RiskConfig(**known))
    names = [f"C{i}-USDT" for i in range(instruments)]
    free = tuple(Balance(a, D(10**9), D(0)) for a in ("USDT", *(n.split("-")[0] for n in names)))
    events: list[Event | Instrument] = [AccountUpdated(S, S, "sim", free, True)]
    for i, name in enumerate(names):
        tick = Instrument("sim", name, name, f"C{i}", "USDT", D("0.01"), D("0.001"))
        events += [tick, BookTop(S, S, "sim", name, 999.5, 1.0, 1000.5, 1.0, 1, 1)]
    events += [Recovered(S, S)]
    for i, name in enumerate(names):
        fill = Fill(f"f{i}", Side.BUY, D(1000), D(3), D(0), "USDT", LiquiditySide.TAKER, S)
        events.append(OrderFilled(S, S, f"h-{i}", "pp", "sim", name, "v", fill, D(3), D(0)))
    for n in range(working):
        events.append(an_order(10**6 + n, names[n % instruments], (Side.BUY, Side.SELL)[n % 2]))
    events.append(TimerFired(S, S, "risk-watch"))
    for event in events:
        core.handle(event)
    return core


def measure(instruments: int, working: int) -> tuple[list[int], list[int]]:
    """Sorted ns to the verdict, and ns with the bookkeeping, of one order each."""
    core = a_core(instruments, working)
    verdicts, wholes = [], []
    nothing = TimerFired(S, S, "nothing")
    for n in range(ORDERS):
        name = f"C{n % instruments}-USDT"
        # Each order finds a market that has moved since the last one.
        shift = 0.01 * (n % 7)
        core.handle(BookTop(S, S, "sim", name, 999.5 - shift, 1.0, 1000.5, 1.0, 1, n))
        order = an_order(n, name)
        begin = time.perf_counter_ns()
        (verdict,) = core.handle(order)
        decided = time.perf_counter_ns()
        core.handle(nothing)
        wholes.append(time.perf_counter_ns() - begin)
        verdicts.append(decided - begin)
        assert isinstance(verdict, OrderApproved), verdict
        core.handle(OrderCanceled(S, S, order.client_order_id, "pp", "sim", name, "v", D(0)))
    return sorted(verdicts[ORDERS // 5 :]), sorted(wholes[ORDERS // 5 :])


def main() -> None:
    """Measure and print."""
    gc.disable()
    print(f"{'instruments':>12} {'working':>8} {'verdict p50':>12} {'p99':>8} {'whole p50':>10} ns")
    for instruments, working in ((1, 0), (10, 100), (50, 1000)):
        verdicts, wholes = measure(instruments, working)
        half, last = len(verdicts) // 2, int(len(verdicts) * 0.99)
        print(
            f"{instruments:>12} {working:>8} {verdicts[half]:>12,} {verdicts[last]:>8,}"
            f" {wholes[half]:>10,}"
        )


if __name__ == "__main__":
    main()
