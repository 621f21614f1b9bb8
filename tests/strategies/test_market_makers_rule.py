"""The market makers' quotes are those of their stated rule, found anew from the log of events."""

from collections.abc import Callable
from decimal import Decimal
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from strategy_runs import Run, needs_captures, on_capture, on_exchange

from tickbus.events import (
    BookTop,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    Quote,
    Side,
    SubmitOrder,
)
from tickbus_strategy.strategies.avellaneda_stoikov import AvellanedaStoikov
from tickbus_strategy.strategies.market_making import MarketMaking

D = Decimal
SECOND = 1_000_000_000
SPOT = ["binance/spot/btcusdt_20240808.gz"]
USDM = ["binance/usdm/btcusdt_20240808.gz"]
FUTURES_FEES = ("0.0002", "0.0005")
FUNDS = {"USDT": "100000", "BTC": "1"}
Shape = Callable[[int, float, float, float], tuple[float, float] | None]
"""From the time, the mid, how full the inventory is, and how many quotes from its middle."""


class Rule(NamedTuple):
    """The parameters that the reader of the log goes by."""

    shape: Shape
    maker: float
    most: Decimal
    short: bool = True
    notional: Decimal = D(100)
    min_profit_bps: float = 1.0
    tolerance_bps: float = 2.0
    requote_s: float = 1.0
    cooldown_s: float = 1.0


class Known(msgspec.Struct):
    """One of our orders as the log shows it."""

    side: Side
    price: Decimal
    quantity: Decimal
    filled: Decimal = D(0)
    resting: bool = False
    leaving: bool = False


class Due(NamedTuple):
    """What the rule asks for; `near` where rounding decides whether it does."""

    side: Side
    raw: float
    room: Decimal
    replaces: str
    near: bool


class Reader:
    """Goes through the log of one market maker and holds every order against the rule."""

    def __init__(self, run: Run, rule: Rule) -> None:
        self.run, self.rule = run, rule
        self.held, self.fills = D(0), 0
        self.orders: dict[str, Known] = {}
        self.moved = {Side.BUY: 0, Side.SELL: 0}
        self.quiet = {Side.BUY: 0, Side.SELL: 0}
        self.due: list[Due] = []
        self.top: Any = None
        self.asked = self.moves = 0
        self.mid = 0.0
        self.foreign: dict[Side, float] = {}

    def read(self) -> None:
        """All of it. Raises AssertionError at the first order too many, too few or amiss."""
        ts_quote = -SECOND
        for event, trusted in self.run.told():
            match event:
                case SubmitOrder():
                    self.submitted(event)
                case CancelOrder():
                    known = self.orders[event.client_order_id]
                    known.leaving = True
                    needless = self.room(known.side) * known.price >= D(10) and trusted
                    assert not needless, f"nothing asks for {event}"
                case Quote() | BookTop():
                    is_quote = type(event) is Quote
                    if trusted and (is_quote or event.ts_recv - ts_quote >= SECOND):
                        self.decide(event)
                    ts_quote = event.ts_recv if is_quote else ts_quote
                case _:
                    self.happened(event)
            self.check()
        self.nothing_due()

    # -- what became of our orders -----------------------------------------------------------------

    def happened(self, event: Any) -> None:
        name = getattr(event, "client_order_id", "")
        known = self.orders.get(name)
        match event:
            case OrderDenied():
                self.refused(event.order.client_order_id, event.ts_recv)
            case OrderRejected() | OrderExpired():
                self.refused(name, event.ts_recv)
            case OrderAccepted() if known:
                known.resting = True
            case OrderReplaced() if known:
                known.quantity = event.quantity
                if not event.quantity:
                    del self.orders[name]
            case OrderCanceled():
                self.orders.pop(name, None)
            case OrderFilled() if known:
                fill, base = event.fill, self.run.instrument.base
                self.fills += 1
                self.held += fill.side.sign * fill.quantity
                is_spot = self.run.instrument.instrument_id.count("-") == 1
                self.held -= fill.fee if fill.fee_asset == base and is_spot else 0
                known.filled += fill.quantity
                known.resting = True
                if not event.leaves_quantity:
                    del self.orders[name]

    def refused(self, name: str, now: int) -> None:
        known = self.orders.pop(name)
        if not known.filled:
            self.quiet[known.side] = now + int(self.rule.cooldown_s * SECOND)

    def check(self) -> None:
        """What must hold at any time."""
        for side, bound in ((Side.BUY, self.rule.most), (Side.SELL, -self.least)):
            resting = [o for o in self.orders.values() if o.side is side and o.resting]
            assert len(resting) <= 1, "two quotes on one side"
            leaves = sum((o.quantity - o.filled for o in resting), D(0))
            assert self.held * side.sign + leaves <= bound, "beyond the bound"

    @property
    def least(self) -> Decimal:
        return -self.rule.most if self.rule.short else D(0)

    def room(self, side: Side) -> Decimal:
        return self.rule.most - self.held if side is Side.BUY else self.held - self.least

    # -- the rule ----------------------------------------------------------------------------------

    def nothing_due(self) -> None:
        assert all(due.near for due in self.due), f"never ordered: {self.due}"
        self.due = []

    def decide(self, top: Quote | BookTop) -> None:
        self.nothing_due()
        self.top = top
        if not top.bid or not top.ask:
            return
        rule, now = self.rule, top.ts_recv
        mid = self.mid = (self.others(Side.BUY) + self.others(Side.SELL)) / 2
        middle = float(self.least + rule.most) / 2
        away = float(self.held) - middle
        fullness = max(-1.0, min(1.0, away / (float(rule.most) - middle)))
        shape = rule.shape(now, mid, fullness, away * mid / float(rule.notional))
        if shape is None:
            return
        center, width = shape
        width = max(width, 2 * rule.maker * 10_000 + rule.min_profit_bps)
        tolerance = min(rule.tolerance_bps, width / 4) * mid / 10_000
        tick = float(self.run.instrument.tick_size)
        wanted = {
            Side.BUY: min(center - center * width / 20_000, top.ask - tick),
            Side.SELL: max(center + center * width / 20_000, top.bid + tick),
        }
        for side, raw in wanted.items():
            self.decide_side(side, raw, tolerance, now)

    def others(self, side: Side) -> float:
        """The best price of a side, the one before where nobody but us stands at it."""
        is_bid = side is Side.BUY
        best, size = (
            (self.top.bid, self.top.bid_size) if is_bid else (self.top.ask, self.top.ask_size)
        )
        ours = [o for o in self.orders.values() if o.side is side and o.resting]
        there = [o for o in ours if float(o.price) == best]
        alone = bool(there) and float(there[0].quantity - there[0].filled) >= size * (1 - 1e-9)
        if alone and side in self.foreign:
            before = self.foreign[side]
            return min(before, float(best)) if is_bid else max(before, float(best))
        self.foreign[side] = float(best)
        return self.foreign[side]

    def decide_side(self, side: Side, raw: float, tolerance: float, now: int) -> None:
        own = {name: o for name, o in self.orders.items() if o.side is side}
        if not self.worth(side, raw):
            return
        if now < self.quiet[side] or now - self.moved[side] < self.rule.requote_s * SECOND:
            return
        if not own:
            self.due.append(Due(side, raw, self.room(side), "", False))
        elif len(own) == 1:
            ((name, order),) = own.items()
            off = abs(float(order.price) - raw) - tolerance
            if order.resting and not order.leaving and off > -1e-7:
                self.due.append(Due(side, raw, self.room(side), name, off < 1e-7))

    def worth(self, side: Side, raw: float) -> Decimal:
        """The quantity of a quote at `raw`; 0 for too little to trade."""
        instrument = self.run.instrument
        price = D(repr(raw)) // instrument.tick_size * instrument.tick_size
        price += instrument.tick_size if side is Side.SELL and price < D(repr(raw)) else 0
        lots = min(self.rule.notional / price, self.room(side)) // instrument.lot_size
        quantity = max(D(0), lots * instrument.lot_size)
        return quantity if quantity and quantity * price >= instrument.notional_min else D(0)

    def submitted(self, order: SubmitOrder) -> None:
        assert self.due, f"nothing asks for {order}"
        due = self.due.pop(0)
        while due.near and (due.side, due.replaces) != (order.side, order.replaces):
            due = self.due.pop(0)
        assert (due.side, due.replaces) == (order.side, order.replaces)
        assert order.post_only
        assert order.price is not None
        price, tick = float(order.price), float(self.run.instrument.tick_size)
        behind = (due.raw - price) * order.side.sign
        assert -1e-6 <= behind < tick + 1e-6, "a tick behind what is wanted at most"
        assert price < self.top.ask if order.side is Side.BUY else price > self.top.bid
        replaced = self.orders.get(order.replaces)
        whole = order.quantity - (replaced.filled if replaced else 0)
        assert abs(whole - self.worth(order.side, due.raw)) <= self.run.instrument.lot_size
        assert float(order.inputs["mid"]) == self.mid
        self.orders[order.client_order_id] = Known(order.side, order.price, order.quantity)
        self.moved[order.side] = order.ts_recv
        self.asked += 1
        self.moves += bool(order.replaces)


def check(run: Run, rule: Rule) -> Reader:
    """The orders of `run` are the rule's, one by one."""
    reader = Reader(run, rule)
    reader.read()
    assert reader.asked == len(run.orders)
    return reader


# -- market making ---------------------------------------------------------------------------------


def leaning(spread_bps: float, skew_bps: float) -> Shape:
    def shape(now: int, mid: float, fullness: float, quotes: float) -> tuple[float, float]:
        return mid - mid * fullness * skew_bps / 10_000, spread_bps

    return shape


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("short", [True, False])
def test_market_making_quotes_by_its_rule_at_the_exchange(
    tmp_path: Path, seed: int, short: bool
) -> None:
    params = {"max_position": "0.006", "allow_short": short}
    run = on_exchange(tmp_path, seed, 120, MarketMaking, params=params)
    reader = check(run, Rule(leaning(10, 5), 0.001, D("0.006"), short))
    assert reader.asked > 100
    assert {fill.side for fill in run.fills} == {Side.BUY, Side.SELL}
    assert len(run.fills) >= 5


def test_market_making_quotes_futures_by_its_rule_at_the_exchange(tmp_path: Path) -> None:
    params = {"max_position": "0.006", "allow_short": True}
    run = on_exchange(
        tmp_path, 1, 120, MarketMaking, perpetual=True, params=params, fees=FUTURES_FEES
    )
    reader = check(run, Rule(leaning(10, 5), 0.0002, D("0.006")))
    assert reader.asked > 100
    assert {fill.side for fill in run.fills} == {Side.BUY, Side.SELL}
    assert run.instrument.instrument_id == "BTC-USDT-PERP"


@needs_captures
@pytest.mark.captures
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("names", "least"), [(SPOT, 20), (USDM, 20)])
def test_market_making_quotes_the_captures_by_its_rule(names: list[str], least: int) -> None:
    params = {"max_position": "0.01", "allow_short": True, "spread_bps": 4, "skew_bps": 2}
    run = on_capture(
        names, MarketMaking, params=params, fees=("0.0001", "0.0005"), balances=FUNDS
    )  # fmt: skip
    reader = check(run, Rule(leaning(4, 2), 0.0001, D("0.01")))
    assert reader.asked > 100
    assert reader.fills >= least
    assert {fill.side for fill in run.fills} == {Side.BUY, Side.SELL}


# -- Avellaneda and Stoikov ------------------------------------------------------------------------


class Model:
    """The model, with volatility from all mids so far at every sample: slow and plain."""

    def __init__(
        self, gamma: float = 0.01, kappa: float = 0.2, horizon_s: float = 10.0,
        halflife_s: float = 60.0, warmup_s: float = 10.0,
    ) -> None:  # fmt: skip
        self.gamma, self.kappa, self.horizon_s = gamma, kappa, horizon_s
        self.halflife_s, self.warmup_s = halflife_s, warmup_s
        self.samples: list[tuple[int, float]] = []
        self.variance: float | None = None

    def shape(
        self, now: int, mid: float, fullness: float, quotes: float
    ) -> tuple[float, float] | None:
        if not self.samples or now - self.samples[-1][0] >= SECOND:
            self.samples.append((now, mid))
            self.variance = self.measured()
        if self.variance is None:
            return None
        risk = self.gamma * self.variance * self.horizon_s
        width = risk + 2 / self.gamma * log(1 + self.gamma / self.kappa)
        return mid * (1 - quotes * risk / 10_000), width

    def measured(self) -> float | None:
        """Each second weighs half as much as one a half-life later; holes are left out."""
        spans = [
            ((b[0] - a[0]) / SECOND, log(b[1] / a[1]) * 10_000)
            for a, b in zip(self.samples, self.samples[1:], strict=False)
            if b[0] - a[0] < 10 * SECOND
        ]
        if sum(seconds for seconds, _ in spans) < self.warmup_s:
            return None
        rate, age, total, weights = log(2) / self.halflife_s, 0.0, 0.0, 0.0
        for seconds, move in reversed(spans):
            weight = exp(-rate * age) - exp(-rate * (age + seconds))
            total += weight * move * move / seconds
            weights += weight
            age += seconds
        return total / weights


@pytest.mark.parametrize("seed", [1, 2])
def test_model_quotes_by_its_formulas_at_the_exchange(tmp_path: Path, seed: int) -> None:
    params = {"max_position": "0.006", "allow_short": True}
    run = on_exchange(tmp_path, seed, 120, AvellanedaStoikov, params=params)
    reader = check(run, Rule(Model().shape, 0.001, D("0.006")))
    assert reader.asked > 100
    assert len(run.fills) >= 5
    assert {fill.side for fill in run.fills} == {Side.BUY, Side.SELL}


def test_model_quotes_futures_by_its_formulas_at_the_exchange(tmp_path: Path) -> None:
    params = {"max_position": "0.006", "allow_short": True}
    run = on_exchange(
        tmp_path, 1, 120, AvellanedaStoikov, perpetual=True, params=params, fees=FUTURES_FEES
    )
    reader = check(run, Rule(Model().shape, 0.0002, D("0.006")))
    assert reader.asked > 100
    assert {fill.side for fill in run.fills} == {Side.BUY, Side.SELL}


@needs_captures
@pytest.mark.captures
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("names", "least"), [(SPOT, 20), (USDM, 20)])
def test_model_quotes_the_captures_by_its_formulas(names: list[str], least: int) -> None:
    params = {"max_position": "0.01", "allow_short": True, "kappa": 1.4, "gamma": 0.05}
    run = on_capture(
        names, AvellanedaStoikov, params=params, fees=("0", "0.0005"), balances=FUNDS
    )  # fmt: skip
    reader = check(run, Rule(Model(gamma=0.05, kappa=1.4).shape, 0, D("0.01")))
    assert reader.asked > 100
    assert reader.fills >= least
    assert {fill.side for fill in run.fills} == {Side.BUY, Side.SELL}
