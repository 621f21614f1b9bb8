"""Liquidation's entries and exits are those of its stated rule, found anew from the log."""

from pathlib import Path
from typing import Any

import pytest
from strategy_runs import Ours, Run, needs_captures, on_capture, on_exchange

from tickbus.events import Liquidation as ForcedOrder
from tickbus.events import OrderFilled, Side, Trade
from tickbus_strategy.strategies.liquidation import Liquidation

SECOND = 1_000_000_000
SPOT = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"]
USDM = ["binance/usdm/btcusdt_20240808.gz"]
FUNDS = {"USDT": "100000", "BTC": "1"}
"""On spot a fall is sold from what is held."""
Signal = tuple[int, Side]


def expected(
    run: Run, *, ticks: int = 50, price_threshold: float = 10.0, volume_multiplier: float = 2.0,
    recent_ticks: int = 10, average_ticks: int = 500, cooldown_s: float = 5.0,
    confirm_s: float = 5.0,
) -> list[Signal]:  # fmt: skip
    """(time, side) of every order that the rule asks for, given what became of those before."""
    ours, signals = Ours(run.instrument), list[Signal]()
    prices, sizes, forced = list[float](), list[float](), dict[Side, int]()
    ts_quiet = 0
    for event, trusted in run.told():
        ours.see(event)
        now = event.ts_recv
        if type(event) is OrderFilled and not ours.side(float(event.fill.price)):
            ts_quiet = now + int(cooldown_s * SECOND)
        elif type(event) is ForcedOrder and trusted:
            forced[event.side] = now
        if type(event) is not Trade or not trusted:
            continue
        prices.append(event.price)
        sizes.append(event.size)
        if len(prices) <= ticks or len(sizes) < average_ticks or ours.is_working:
            continue
        if now - ours.ts_void < SECOND:
            continue
        velocity = (prices[-1] / prices[-1 - ticks] - 1) * 10_000
        recent = sum(sizes[-recent_ticks:]) / recent_ticks
        rolling = sum(sizes[-average_ticks:]) / average_ticks
        way = Side.BUY if velocity > 0 else Side.SELL
        confirmed = not (confirm_s and forced) or now - forced.get(way, 0) <= confirm_s * SECOND
        held, side = ours.side(event.price), None
        if held and recent <= rolling:
            side = Side.SELL if held > 0 else Side.BUY
        elif not held and abs(velocity) > price_threshold and now >= ts_quiet and confirmed:
            side = way if recent > volume_multiplier * rolling else None
        if side is not None:
            signals.append((now, side))
            ours.ask()
    return signals


def check(run: Run, **rule: Any) -> list[Side]:
    """The orders of `run` are the rule's, one by one, and each says why; returns their sides."""
    assert [(order.ts_recv, order.side) for order in run.orders] == expected(run, **rule)
    assert all(float(order.inputs["rolling_volume"]) > 0 for order in run.orders)
    return [order.side for order in run.orders]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_the_simulated_exchange_it_goes_with_cascades_both_ways(
    tmp_path: Path, seed: int
) -> None:
    run = on_exchange(tmp_path, seed, 240, Liquidation)
    found = check(run)
    assert len(found) >= 6
    assert len(run.fills) >= len(found)
    assert set(found[::2]) == {Side.BUY, Side.SELL}, "entries: each was followed by its exit"


@pytest.mark.parametrize("seed", [2, 3])
def test_where_liquidations_are_published_each_entry_has_one_behind_it(
    tmp_path: Path, seed: int
) -> None:
    fees = ("0.0002", "0.0005")
    run = on_exchange(tmp_path, seed, 240, Liquidation, perpetual=True, fees=fees)
    found, forced = check(run), run.of(ForcedOrder)
    assert len(found) >= 2
    assert len(run.fills) >= len(found)
    for entry in run.orders[::2]:
        behind = [f for f in forced if f.side is entry.side and f.ts_recv <= entry.ts_recv]
        assert entry.ts_recv - behind[-1].ts_recv <= 5 * SECOND
        assert entry.inputs["confirmed"] == "True"


def test_without_asking_for_confirmation_it_enters_more_often(tmp_path: Path) -> None:
    fees, params = ("0.0002", "0.0005"), {"confirm_s": 0}
    run = on_exchange(tmp_path, 2, 150, Liquidation, perpetual=True, fees=fees, params=params)
    assert len(check(run, confirm_s=0)) > len(expected(run)) >= 2


@needs_captures
@pytest.mark.captures
def test_a_quiet_night_has_no_cascade() -> None:
    run = on_capture(SPOT, Liquidation)
    assert check(run) == []
    prices = [trade.price for trade in run.of(Trade)]
    moves = [abs(b / a - 1) for a, b in zip(prices, prices[50:], strict=False)]
    assert round(max(moves) * 10_000, 1) == 5.9, "basis points over 50 trades, while 10 are needed"


@needs_captures
@pytest.mark.captures
@pytest.mark.parametrize(("names", "least"), [(SPOT, 8), (USDM, 2)])
def test_with_a_lower_threshold_it_trades_the_captures_by_its_rule(
    names: list[str], least: int
) -> None:
    run = on_capture(names, Liquidation, params={"price_threshold": 2.5}, balances=FUNDS)
    found = check(run, price_threshold=2.5)
    assert len(found) >= least
    assert len(run.fills) >= len(found)
