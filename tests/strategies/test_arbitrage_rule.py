"""Arbitrage's pairs and made-up legs are those of its stated rule, found anew from the log."""

from decimal import Decimal
from itertools import islice, permutations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from strategy_runs import needs_captures
from two_venues import NAMES, BothRun, captures, exchanges, run
from two_venues_on_a_bus import run_over

from tickbus import codec
from tickbus.events import (
    BookTop,
    FeedState,
    FeedStatus,
    FeeSchedule,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    Quote,
    Side,
    SubmitOrder,
    TimeInForce,
)
from tickbus_strategy.strategies.arbitrage import Arbitrage

D = Decimal
SECOND = 1_000_000_000
CAPTURED = ("binance/spot/btcusdt_20240808.gz", "binance/usdm/btcusdt_20240808.gz")
MESSAGES = 3_000
"""Of each capture, over a bus: there each waits until all that the one before led to is handled."""
TEN_BPS = FeeSchedule(maker=D("0.001"), taker=D("0.001"))
FREE = FeeSchedule(maker=D(0), taker=D(0))


class Rule(NamedTuple):
    """The parameters that the reader of the log goes by."""

    taker: Decimal
    notional: Decimal = D(200)
    most: Decimal = D("0.016")
    min_profit_bps: float = 2.0
    max_leg_loss_bps: float = 20.0
    cooldown_s: float = 1.0
    refused_s: float = 30.0
    price_age_max_s: float = 2.0


class Due(NamedTuple):
    """An order that the rule asks for."""

    venue: str
    side: Side
    price: Decimal
    quantity: Decimal
    is_leg: bool


class Reader:
    """Goes through the log of one arbitrage and holds every order against the rule."""

    def __init__(self, found: BothRun, rule: Rule) -> None:
        self.run, self.rule = found, rule
        self.quotes: dict[str, Quote] = {}
        self.books: dict[str, BookTop] = {}
        self.live = dict.fromkeys(NAMES, True)
        self.held = dict.fromkeys(NAMES, D(0))
        self.living: dict[str, SubmitOrder] = {}
        self.due: list[Due] = []
        self.meant: dict[Side, float] = {}
        self.ts_quiet = self.ts_ended = self.ts_hedge = self.ts_due = 0
        self.pairs = self.made_up = self.waited = 0
        self.cash = D(0)

    def read(self) -> None:
        """All of it. Raises AssertionError at the first order too many, too few or amiss."""
        for event in self.run.log:
            now = getattr(event, "ts_recv", 0)
            match event:
                case FeedStatus():
                    self.live[event.venue] = event.state is FeedState.LIVE
                case Quote():
                    self.quotes[event.venue] = event
                    self.heard(event.venue, now)
                case BookTop():
                    self.books[event.venue] = event
                    self.heard(event.venue, now)
                case SubmitOrder():
                    self.submitted(event)
                case OrderFilled():
                    self.filled(event)
                    if not event.leaves_quantity:
                        self.ended(event.client_order_id, now)
                case OrderExpired() | OrderCanceled():
                    self.ended(event.client_order_id, now)
                case OrderRejected():
                    self.ended(event.client_order_id, now, refused=True)
                case OrderDenied():
                    self.ended(event.order.client_order_id, now, refused=True)
        assert self.due == [], "never ordered"

    def trusted(self, venue: str) -> bool:
        book = self.books.get(venue)
        return self.live[venue] and (book is None or not book.stale)

    def heard(self, venue: str, now: int) -> None:
        # Of what a core says at one instant all is in the log before any of it is decided on.
        assert self.due == [] or now == self.ts_due, "never ordered"
        if self.trusted(venue):
            self.decide(now)

    def filled(self, event: OrderFilled) -> None:
        fill = event.fill
        self.held[event.venue] += fill.quantity * fill.side.sign
        self.cash -= fill.quantity * fill.side.sign * fill.price
        if fill.fee_asset == "BTC":
            self.held[event.venue] -= fill.fee
        else:
            self.cash -= fill.fee
        assert abs(self.held[event.venue]) <= self.rule.most, "beyond the bound"
        limit = self.living[event.client_order_id].price or D(0)
        assert (fill.price - limit) * fill.side.sign <= 0, "worse than its limit"

    def ended(self, name: str, now: int, *, refused: bool = False) -> None:
        del self.living[name]
        pause_s = self.rule.refused_s if refused else self.rule.cooldown_s
        self.ts_quiet = max(self.ts_quiet, now + int(pause_s * SECOND))
        self.ts_ended = now
        if refused:
            self.ts_hedge = now + SECOND
        self.decide(now)

    # -- the rule ----------------------------------------------------------------------------------

    def best(self, venue: str, now: int) -> Any:
        tops = [t for t in (self.quotes.get(venue), self.books.get(venue)) if t is not None]
        if not tops or not self.trusted(venue):
            return None
        top = sorted(tops, key=lambda t: -t.ts_recv)[0]
        young = now - top.ts_recv <= self.rule.price_age_max_s * SECOND
        return top if young and top.bid and top.ask else None

    def room(self, venue: str, side: Side) -> Decimal:
        return self.rule.most - self.held[venue] * side.sign

    def least(self, tops: dict[str, Any]) -> Decimal:
        """The least that can be traded at all."""
        found = []
        for venue, top in tops.items():
            i = self.run.instruments[venue]
            found.append(max(i.lot_size, i.quantity_min, i.notional_min / D(repr(top.bid))))
        return min(found)

    def decide(self, now: int) -> None:
        if self.living or self.due:
            return
        self.ts_due = now
        tops = {v: top for v in NAMES if (top := self.best(v, now)) is not None}
        net = sum(self.held.values(), D(0))
        if not tops:
            return
        if abs(net) >= self.least(tops):
            self.make_up(net, tops, now)
            return
        anew = {venue: top for venue, top in tops.items() if top.ts_recv > self.ts_ended}
        best: tuple[float, str, str] | None = None
        for buy, sell in permutations(anew, 2):
            if self.room(buy, Side.BUY) <= 0 or self.room(sell, Side.SELL) <= 0:
                continue
            fee = float(self.rule.taker)
            gain = anew[sell].bid * (1 - fee) - anew[buy].ask * (1 + fee)
            gain_bps = gain / anew[buy].ask * 10_000
            if best is None or gain_bps > best[0]:
                best = gain_bps, buy, sell
        if best and best[0] >= self.rule.min_profit_bps and now >= self.ts_quiet:
            self.take(best[1], best[2], anew, net)

    def take(self, buy: str, sell: str, tops: dict[str, Any], net: Decimal) -> None:
        ask, bid = D(repr(tops[buy].ask)), D(repr(tops[sell].bid))
        quantity = min(
            self.rule.notional / ask, D(repr(tops[buy].ask_size)), D(repr(tops[sell].bid_size)),
            self.room(buy, Side.BUY), self.room(sell, Side.SELL),
        )  # fmt: skip
        lot = max(self.run.instruments[venue].lot_size for venue in (buy, sell))
        quantity, odd = quantity // lot * lot, abs(net) // lot * lot
        lots = {
            Side.BUY: quantity - (odd if net > 0 else 0),
            Side.SELL: quantity - (odd if net < 0 else 0),
        }
        for venue, side, price in ((buy, Side.BUY, ask), (sell, Side.SELL, bid)):
            least = self.run.instruments[venue].notional_min
            if lots[side] <= 0 or lots[side] * price < least:
                return
        self.meant = {Side.BUY: float(ask), Side.SELL: float(bid)}
        self.due.append(Due(buy, Side.BUY, ask, lots[Side.BUY], True))
        self.due.append(Due(sell, Side.SELL, bid, lots[Side.SELL], True))

    def make_up(self, net: Decimal, tops: dict[str, Any], now: int) -> None:
        side = Side.SELL if net > 0 else Side.BUY
        price = {v: t.ask if side is Side.BUY else t.bid for v, t in tops.items()}
        open_to = {v: min(abs(net), self.room(v, side)) for v in tops}
        places = [
            v for v in tops
            if open_to[v] >= self.run.instruments[v].lot_size
            and open_to[v] * D(repr(tops[v].bid)) >= self.run.instruments[v].notional_min
        ]  # fmt: skip
        if not places:
            return
        venue = sorted(places, key=lambda v: price[v] * side.sign)[0]
        limit = self.meant[side] * (1 + side.sign * self.rule.max_leg_loss_bps / 10_000)
        if (price[venue] - limit) * side.sign > 0 or now < self.ts_hedge:
            self.waited += 1
            return
        i = self.run.instruments[venue]
        ticks = D(repr(limit)) // i.tick_size
        if side is Side.SELL and ticks * i.tick_size < D(repr(limit)):
            ticks += 1
        lots = open_to[venue] // i.lot_size * i.lot_size
        self.due.append(Due(venue, side, ticks * i.tick_size, lots, False))

    def submitted(self, order: SubmitOrder) -> None:
        assert self.due, f"nothing asks for {order}"
        due = self.due.pop(0)
        assert (order.venue, order.side) == (due.venue, due.side)
        assert order.price is not None
        tick = self.run.instruments[order.venue].tick_size
        assert abs(order.price - due.price) <= (0 if due.is_leg else tick)
        assert order.quantity == due.quantity
        assert order.time_in_force is TimeInForce.IOC
        assert ("gain_bps" in order.inputs) == due.is_leg
        self.living[order.client_order_id] = order
        self.pairs += due.is_leg and due.side is Side.SELL
        self.made_up += not due.is_leg

    @property
    def worth(self) -> Decimal:
        """What it made: money, and what is held at the middle of each market."""
        value = self.cash
        for venue, held in self.held.items():
            quote = self.quotes[venue]
            value += held * D(repr((quote.bid + quote.ask) / 2))
        return value


def check(found: BothRun, rule: Rule) -> Reader:
    """The orders of a run are the rule's, one by one."""
    reader = Reader(found, rule)
    reader.read()
    assert found.of(SubmitOrder)
    return reader


def gains(found: BothRun, taker: Decimal) -> list[Decimal]:
    """What each pair of which both legs filled made beyond its fees, bps of what was bought."""
    paid: dict[str, tuple[Decimal, Decimal]] = {}
    for event in found.of(OrderFilled):
        quantity, notional = paid.get(event.client_order_id, (D(0), D(0)))
        fill = event.fill
        paid[event.client_order_id] = (
            quantity + fill.quantity,
            notional + fill.quantity * fill.price,
        )
    legs = [order for order in found.of(SubmitOrder) if "gain_bps" in order.inputs]
    made = []
    for buy, sell in zip(legs[::2], legs[1::2], strict=True):
        bought = paid.get(buy.client_order_id, (D(0), D(0)))
        sold = paid.get(sell.client_order_id, (D(0), D(0)))
        if bought[0] == buy.quantity and sold[0] == sell.quantity:
            price_in, price_out = bought[1] / bought[0], sold[1] / sold[0]
            made.append((price_out * (1 - taker) / price_in - (1 + taker)) * 10_000)
    return made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seeds", [(1, 2), (3, 4)])
def test_between_two_exchanges_it_finds_something_within_a_minute(
    tmp_path: Path, seeds: tuple[int, int]
) -> None:
    found = run(exchanges(tmp_path, seeds, 60), Arbitrage, TEN_BPS, {"max_position": "0.016"})
    reader = check(found, Rule(D("0.001")))
    assert reader.pairs >= 3
    made = gains(found, D("0.001"))
    assert made
    assert min(made) >= D("1.999"), "every pair gains what was wanted, or more"


@pytest.mark.timeout(300)
def test_the_same_markets_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [run(exchanges(tmp_path, (1, 2), 20), Arbitrage, TEN_BPS, {}) for _ in range(2)]
    first, second = (codec.encode(found.of(SubmitOrder, OrderFilled)) for found in runs)
    assert first == second
    assert runs[0].of(OrderFilled)


@pytest.mark.timeout(300)
def test_missed_legs_at_the_exchange_are_made_up_for(tmp_path: Path) -> None:
    params = {"max_position": "0.05", "cooldown_s": 0.2, "min_profit_bps": 1, "order_notional": 600}
    found = run(exchanges(tmp_path, (1, 2), 90), Arbitrage, TEN_BPS, params)
    reader = check(
        found,
        Rule(D("0.001"), notional=D(600), most=D("0.05"), cooldown_s=0.2, min_profit_bps=1),
    )
    assert reader.pairs >= 10
    assert reader.made_up >= 1
    assert abs(sum(reader.held.values(), D(0))) * 60_000 < 6, "no leg is left bare"


@needs_captures
@pytest.mark.slow
@pytest.mark.captures
@pytest.mark.timeout(600)
async def test_same_wishes_without_a_bus_on_one_in_memory_and_over_nats() -> None:
    """Two captures, each the market of a venue with a feed and an execution of its own.

    What the first pair noted is not compared: it is wished for in the instant in which a book comes
    into step, when deltas and the word that they can be trusted come over a bus by two subjects,
    whose order among themselves no bus promises. All that it wishes is. Fills are compared venue by
    venue: two executions answer each at its own pace, as two processes do.
    """
    params = {"min_profit_bps": 0.2, "max_position": "0.03", "order_notional": 500}
    wished = list[Any]()
    for bus in ("none", "none", "memory", "nats"):
        places = [
            place._replace(messages=islice(place.messages, MESSAGES))
            for place in captures(CAPTURED, FREE, 0)
        ]
        if bus == "none":
            found = run(places, Arbitrage, FREE, params)
        else:
            found = await run_over(bus, places, Arbitrage, FREE, params)
        orders = found.of(SubmitOrder)
        bare = [msgspec.structs.replace(order, inputs={}) for order in orders]
        fills = sorted(found.of(OrderFilled), key=lambda fill: fill.venue)
        wished.append(list(map(codec.encode, (bare, orders[2:], fills))))
        assert len(orders) >= 6
        assert len(fills) >= 6
    alone, again, memory, nats = wished
    assert again == alone, "replayed twice"
    assert memory == alone
    assert nats == alone


@needs_captures
@pytest.mark.captures
@pytest.mark.timeout(300)
@pytest.mark.parametrize("latency_ms", [0, 100])
def test_between_spot_and_future_it_trades_the_capture_by_its_rule(latency_ms: float) -> None:
    """The same minutes of two real markets, taken as if both were of one thing."""
    params = {"min_profit_bps": 0.2, "max_position": "0.03", "order_notional": 500}
    found = run(captures(CAPTURED, FREE, latency_ms), Arbitrage, FREE, params)
    reader = check(found, Rule(D(0), notional=D(500), most=D("0.03"), min_profit_bps=0.2))
    assert reader.pairs >= 4
    made = gains(found, D(0))
    assert made
    assert min(made) >= D("0.199")
