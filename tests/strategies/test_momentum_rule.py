"""Momentum's entries and exits are those of its stated rule, found anew from the log of events."""

from pathlib import Path
from typing import Any

import pytest
from strategy_runs import Ours, Run, needs_captures, on_capture, on_exchange

from tickbus.events import BookTop, OrderFilled, Quote, Side
from tickbus_strategy.strategies.momentum import Momentum

SECOND = 1_000_000_000
SPOT = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"]
USDM = ["binance/usdm/btcusdt_20240808.gz"]
Signal = tuple[int, Side]


def expected(
    run: Run, *, window_s: float, threshold_bps: float, taker: float, cooldown_s: float,
    allow_short: bool,
) -> list[Signal]:  # fmt: skip
    """(time, side) of every order that the rule asks for, given what became of those before."""
    ours, signals = Ours(run.instrument), list[Signal]()
    mids: list[tuple[int, float]] = []
    then, ts_quote, ts_quiet = 0, -SECOND, 0
    needed = threshold_bps + 2 * taker * 10_000
    for event, trusted in run.told():
        ours.see(event)
        now = event.ts_recv
        if type(event) is OrderFilled and not ours.side(float(event.fill.price)):
            ts_quiet = now + int(cooldown_s * SECOND)
        if type(event) is Quote:
            ts_quote = now
        elif type(event) is not BookTop or now - ts_quote < SECOND:
            continue
        if not trusted or not event.bid or not event.ask:
            continue
        mids.append((now, (event.bid + event.ask) / 2))
        begin = now - int(window_s * SECOND)
        while then + 1 < len(mids) and mids[then + 1][0] <= begin:
            then += 1
        if mids[then][0] > begin or ours.is_working or now - ours.ts_void < SECOND:
            continue
        velocity = (mids[-1][1] / mids[then][1] - 1) * 10_000
        held = ours.side(event.bid)
        side = None
        if held and velocity * held <= 0:
            side = Side.SELL if held > 0 else Side.BUY
        elif not held and now >= ts_quiet and velocity >= needed:
            side = Side.BUY
        elif not held and now >= ts_quiet and velocity <= -needed and allow_short:
            side = Side.SELL
        if side is not None:
            signals.append((now, side))
            ours.ask()
    return signals


def check(run: Run, **rule: Any) -> list[Signal]:
    """The orders of `run` are the rule's, one by one, and each says why; returns them."""
    found = [(order.ts_recv, order.side) for order in run.orders]
    assert found == expected(run, **rule)
    assert all(float(order.inputs["velocity_bps"]) for order in run.orders)
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_the_simulated_exchange_it_trades_by_its_rule(tmp_path: Path, seed: int) -> None:
    run = on_exchange(tmp_path, seed, 120, Momentum, params={"allow_short": True})
    found = check(
        run, window_s=5, threshold_bps=5, taker=0.001, cooldown_s=5, allow_short=True
    )  # fmt: skip
    assert len(found) >= 8
    assert {side for _, side in found} == {Side.BUY, Side.SELL}
    assert len(run.fills) >= len(found)


def test_on_futures_it_goes_short_without_owning_anything(tmp_path: Path) -> None:
    params = {"window_s": 5, "threshold_bps": 5, "allow_short": True}
    fees = ("0.0002", "0.0005")
    run = on_exchange(tmp_path, 2, 120, Momentum, perpetual=True, params=params, fees=fees)
    found = check(run, **params, taker=0.0005, cooldown_s=5)
    assert len(found) >= 6
    assert Side.SELL in [side for _, side in found[::2]], "an entry"
    assert len(run.fills) >= len(found)


def test_without_leave_to_go_short_it_follows_rises_only(tmp_path: Path) -> None:
    run = on_exchange(tmp_path, 2, 120, Momentum)
    rule = {"window_s": 5, "threshold_bps": 5, "taker": 0.001, "cooldown_s": 5}
    sides = [side for _, side in check(run, **rule, allow_short=False)]
    assert len(sides) >= 4
    assert sides == [Side.BUY, Side.SELL] * (len(sides) // 2) + [Side.BUY] * (len(sides) % 2)


@needs_captures
@pytest.mark.captures
def test_quiet_eleven_minutes_of_bitcoin_have_no_move_that_pays_two_spot_fees() -> None:
    run = on_capture(SPOT, Momentum)
    rule = {"window_s": 5, "taker": 0.001, "cooldown_s": 5, "allow_short": False}
    assert check(run, **rule, threshold_bps=5) == [], "as the documentation says"
    quotes = [(q.ts_recv, (q.bid + q.ask) / 2) for q in run.of(Quote)]
    fastest, slowest, then = 0.0, 0.0, 0
    for ts, mid in quotes:
        while quotes[then + 1][0] <= ts - 5 * SECOND:
            then += 1
        velocity = (mid / quotes[then][1] - 1) * 10_000 if quotes[then][0] <= ts - 5 * SECOND else 0
        fastest, slowest = max(fastest, velocity), min(slowest, velocity)
    assert (round(fastest, 1), round(slowest, 1)) == (11.8, -14.0), "while 25 are needed"


@needs_captures
@pytest.mark.captures
def test_a_longer_window_finds_the_one_rise_of_the_spot_capture() -> None:
    run = on_capture(SPOT, Momentum, params={"window_s": 30, "threshold_bps": 1})
    rule = {"window_s": 30, "threshold_bps": 1, "taker": 0.001, "cooldown_s": 5}
    found = check(run, **rule, allow_short=False)
    assert [side for _, side in found] == [Side.BUY, Side.SELL]
    assert len(run.fills) == 2


@needs_captures
@pytest.mark.captures
def test_at_the_fees_of_futures_it_trades_the_capture_both_ways() -> None:
    params = {"window_s": 10, "threshold_bps": 1, "allow_short": True}
    run = on_capture(USDM, Momentum, params=params, fees=("0.0002", "0.0005"))
    found = check(run, **params, taker=0.0005, cooldown_s=5)
    assert len(found) >= 4
    assert len(run.fills) == len(found)
