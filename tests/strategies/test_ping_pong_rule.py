"""Ping-pong does what its stated rule says, found anew from the log of events."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from strategy_runs import Ours, Run, needs_captures, on_capture, on_exchange

from tickbus.events import (
    BookTop,
    CancelOrder,
    OrderFilled,
    Quote,
    Side,
    SubmitOrder,
    TimeInForce,
)
from tickbus_strategy.strategies.ping_pong import PingPong

SECOND = 1_000_000_000
SPOT = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"]
USDM = ["binance/usdm/btcusdt_20240808.gz"]
Act = tuple[int, str, Decimal | None]
"""When, what, and at which price."""


class Rule:
    """The stated rule, step by step, with its own idea of what was paid for what is held."""

    def __init__(
        self, run: Run, *, maker: str = "0.001", taker: str = "0.001", profit_bps: float = 5,
        requote_s: float = 2, patience: int = 2, hold_s: float = 20, cooldown_s: float = 1,
    ) -> None:  # fmt: skip
        self.ours = Ours(run.instrument)
        self.acts: list[Act] = []
        self._run = run
        self._markup = 1 + Decimal(maker) + Decimal(taker) + Decimal(str(profit_bps)) / 10_000
        self._requote_s, self._patience, self._hold_s = requote_s, patience, hold_s
        self._cooldown_s = cooldown_s
        self._attempts = 0
        self._ts_order = self._ts_bought = self._ts_quiet = 0
        self._is_canceling = False
        self._paid = Decimal(0)

    def acted(self) -> list[Act]:
        """Every order and cancel that the rule asks for, given what became of those before."""
        ts_quote = -SECOND
        for event, trusted in self._run.told():
            self._follow(event)
            if type(event) is Quote:
                ts_quote = event.ts_recv
            elif type(event) is not BookTop or event.ts_recv - ts_quote < SECOND:
                continue
            if trusted and event.bid and event.ask and event.ts_recv >= self._ts_quiet:
                self._decide(event)
        return self.acts

    def _follow(self, event: Any) -> None:
        ours, held, ts_void = self.ours, self.ours.held, self.ours.ts_void
        ours.see(event)
        if type(event) is SubmitOrder:
            self._ts_order, self._is_canceling = event.ts_recv, False
        elif type(event) is OrderFilled and event.fill.side is Side.BUY:
            self._attempts, self._ts_bought = 0, event.ts_recv
            self._paid += (ours.held - held) * event.fill.price
        elif type(event) is OrderFilled:
            self._ts_quiet = event.ts_recv + int(self._cooldown_s * SECOND)
            self._paid *= ours.held / held
        canceled = type(event).__name__ == "OrderCanceled"
        if ours.ts_void != ts_void and not canceled:
            self._ts_quiet = max(self._ts_quiet, event.ts_recv + SECOND)

    def _decide(self, top: Any) -> None:
        now, ours = top.ts_recv, self.ours
        if ours.is_working:
            is_old = now - self._ts_order > self._requote_s * SECOND
            if is_old and not self._is_canceling:
                self.acts.append((now, "cancel", None))
                self._is_canceling = True
            return
        if ours.side(top.bid) > 0:
            self._sell(now, Decimal(repr(top.ask)))
        else:
            self._attempts += 1
            takes = self._attempts > self._patience
            price = Decimal(repr(top.ask if takes else top.bid))
            self.acts.append((now, "take" if takes else "bid", price))
        ours.ask()

    def _sell(self, now: int, ask: Decimal) -> None:
        if now - self._ts_bought > self._hold_s * SECOND:
            self.acts.append((now, "sell", None))
            return
        wanted = self._paid / self.ours.held * self._markup
        tick = self._run.instrument.tick_size
        up = -(-wanted // tick) * tick
        self.acts.append((now, "offer", max(up, ask)))


def found(run: Run) -> list[Act]:
    """What the strategy did."""
    acts: list[Act] = []
    for event in run.of(SubmitOrder, CancelOrder):
        if type(event) is CancelOrder:
            acts.append((event.ts_recv, "cancel", None))
        elif event.side is Side.BUY:
            name = "take" if event.time_in_force is TimeInForce.IOC else "bid"
            acts.append((event.ts_recv, name, event.price))
        else:
            acts.append((event.ts_recv, "sell" if event.price is None else "offer", event.price))
    return acts


def check(run: Run, **rule: Any) -> list[str]:
    """What `run` did is the rule's, one by one; returns the names of it all."""
    did, wanted = found(run), Rule(run, **rule).acted()
    tick = run.instrument.tick_size
    assert [act[:2] for act in did] == [act[:2] for act in wanted]
    for (_, name, ours), (ts, _, theirs) in zip(did, wanted, strict=True):
        # The average entry is rounded somewhere: an offer may be a tick beside it, no other price.
        apart = abs((ours or Decimal(0)) - (theirs or Decimal(0)))
        assert apart <= (tick if name == "offer" else 0), (ts, name, ours, theirs)
    assert all(o.inputs["action"] in ("bid", "take", "offer", "sell") for o in run.orders)
    return [name for _, name, _ in did]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_the_simulated_exchange_it_does_all_that_its_rule_says(
    tmp_path: Path, seed: int
) -> None:
    run = on_exchange(tmp_path, seed, 150, PingPong)
    did = check(run)
    assert set(did) == {"bid", "take", "offer", "sell", "cancel"}
    sides = [fill.side for fill in run.fills]
    assert {Side.BUY, Side.SELL} == set(sides)


@needs_captures
@pytest.mark.captures
@pytest.mark.parametrize("names", [SPOT, USDM])
def test_on_captures_it_does_what_its_rule_says(names: list[str]) -> None:
    params = {"profit_bps": 1.0, "patience": 5, "hold_s": 30.0}
    run = on_capture(
        names, PingPong, params={**params, "order_notional": 500},
        fees=("0", "0.0002"),
    )  # fmt: skip
    did = check(run, **params, maker="0", taker="0.0002")
    assert {"bid", "offer"} < set(did)
    assert len(run.fills) >= 10
