"""SMA crossover's entries and exits are those of its stated rule, found anew from the log."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from strategy_runs import Ours, Run, needs_captures, on_capture, on_exchange

from tickbus.events import OrderFilled, Side, Trade
from tickbus_strategy.strategies.sma_crossover import SmaCrossover

SECOND = 1_000_000_000
SPOT = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"]
USDM = ["binance/usdm/btcusdt_20240808.gz"]
Signal = tuple[int, Side]


def mean(prices: list[float]) -> Fraction:
    """Exact, so that what is equal is equal."""
    return sum((Fraction(price) for price in prices), Fraction()) / len(prices)


def expected(
    run: Run, *, bar_s: float, fast: int, slow: int, taker: float, cooldown_s: float
) -> list[Signal]:
    """(time, side) of every order that the rule asks for, given what became of those before."""
    ours, signals = Ours(run.instrument), list[Signal]()
    closes: list[float] = []
    bar, last, was_above, ts_quiet = -1, 0.0, True, 0
    for event, trusted in run.told():
        ours.see(event)
        now = event.ts_recv
        if type(event) is OrderFilled and event.fill.side is Side.SELL:
            ts_quiet = now + int(cooldown_s * SECOND)
        if type(event) is not Trade or not trusted:
            continue
        this = now // int(bar_s * SECOND)
        ended, before = this > bar >= 0, last
        bar, last = this, event.price
        if not ended:
            continue
        closes.append(before)
        if len(closes) < slow:
            continue
        is_above = mean(closes[-fast:]) > mean(closes[-slow:])
        crossed, was_above = is_above and not was_above, is_above
        if ours.is_working or now < max(ts_quiet, ours.ts_void + int(cooldown_s * SECOND)):
            continue
        range_bps = (max(closes[-slow:]) / min(closes[-slow:]) - 1) * 10_000
        side = None
        if ours.side(before) > 0:
            side = None if is_above else Side.SELL
        elif crossed and range_bps > 2 * taker * 10_000:
            side = Side.BUY
        if side is not None:
            signals.append((now, side))
            ours.ask()
    return signals


def check(run: Run, **rule: Any) -> list[Side]:
    """The orders of `run` are the rule's, one by one, and each says why; returns their sides."""
    assert [(order.ts_recv, order.side) for order in run.orders] == expected(run, **rule)
    for order in run.orders:
        is_above = float(order.inputs["fast"]) > float(order.inputs["slow"])
        assert is_above == (order.side is Side.BUY)
    assert len(run.fills) >= len(run.orders)
    return [order.side for order in run.orders]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_the_simulated_exchange_it_trades_by_its_rule(tmp_path: Path, seed: int) -> None:
    run = on_exchange(tmp_path, seed, 240, SmaCrossover, params={"bar_s": 1, "cooldown_s": 2})
    sides = check(run, bar_s=1, fast=10, slow=50, taker=0.001, cooldown_s=2)
    assert sides[:2] == [Side.BUY, Side.SELL]


def test_short_averages_trade_often(tmp_path: Path) -> None:
    params = {"bar_s": 0.5, "fast": 3, "slow": 12, "cooldown_s": 1}
    run = on_exchange(tmp_path, 4, 240, SmaCrossover, params=params)
    assert len(check(run, **params, taker=0.001)) >= 6


@needs_captures
@pytest.mark.captures
def test_with_its_own_parameters_it_trades_the_spot_capture_at_full_fees() -> None:
    run = on_capture(SPOT, SmaCrossover)
    assert check(run, bar_s=2, fast=10, slow=50, taker=0.001, cooldown_s=5) == [
        Side.BUY, Side.SELL,
    ]  # fmt: skip


@needs_captures
@pytest.mark.captures
@pytest.mark.parametrize(("names", "least"), [(SPOT, 8), (USDM, 2)])
def test_at_lower_fees_it_trades_the_captures_by_its_rule(names: list[str], least: int) -> None:
    params = {"bar_s": 1, "fast": 10, "slow": 50}
    run = on_capture(names, SmaCrossover, params=params, fees=("0.0002", "0.0005"))
    assert len(check(run, **params, taker=0.0005, cooldown_s=5)) >= least
