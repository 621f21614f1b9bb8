"""Futures books are exact to the last unit, whatever is done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.futures_books import FuturesBooks
from tickbus_exchange.engine.futures_types import (
    Changes,
    FuturesTif,
    IncomeType,
    Position,
)
from tickbus_exchange.engine.numbers import parse
from tickbus_exchange.engine.orders import Side

if TYPE_CHECKING:
    from services.exchange.tests.conftest import Floor

BUY, SELL = Side.BUY, Side.SELL
START_MS = 1_800_000_000_000
BTC = "BTCUSDT"


# -- any sequence ----------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["limit", "limit", "market", "reduce", "post", "bob", "bob", "sweep", "cancel",
             "amend", "fund", "step", "leverage"]
        ),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 40),
        st.integers(-60, 60),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def act(floor: Floor, kind: str, side: Side, lots: int, ticks: int) -> None:
    """Do one thing; refusals are part of the game."""
    quantity = f"{lots / 100:.2f}"
    price = f"{60_000 + ticks * 0.37:.2f}"
    live = list(floor.desk.books.working_orders(BTC).values())
    chosen = live[lots % len(live)] if live else None
    match kind:
        case "limit":
            floor.try_order(side, quantity, price)
        case "post":
            floor.try_order(side, quantity, price, time_in_force=FuturesTif.GTX)
        case "market":
            floor.try_order(side, quantity)
        case "reduce":
            floor.try_order(side, quantity, price if ticks % 2 else "", reduce_only=True)
        case "bob":
            floor.bob(side, quantity, price)
        case "sweep":
            floor.bob(side, str(lots), price)
        case "cancel" if chosen:
            floor.desk.cancel(chosen, floor.now_ms)
        case "amend" if chosen:
            floor.desk.amend(chosen, parse(quantity), parse(price), floor.now_ms)
        case "fund":
            floor.keeper.fund(ticks * 1_000, floor.now_ms)
        case "leverage":
            floor.desk.set_leverage(BTC, lots, floor.now_ms)
        case "step":
            floor.step(lots * 100)


def check_books(floor: Floor) -> None:
    """What must hold of the books after anything."""
    books = floor.desk.books
    assert books.wallet == floor.wallet + sum(i.amount for i in books.income)
    fills = books.fills.get(BTC, [])
    bought = sum(f.quantity for f in fills if f.side is BUY)
    sold = sum(f.quantity for f in fills if f.side is SELL)
    position = books.position(BTC)
    assert position.quantity == bought - sold == floor.desk.account.held("BTC")
    earned = sum(f.quote if f.side is SELL else -f.quote for f in fills)
    tied = position.cost if position.quantity > 0 else -position.cost
    assert position.realized - tied == earned, "won and lost sums up, to the last unit"
    assert position.realized == sum(f.realized for f in fills)
    assert position.realized == floor.income(IncomeType.REALIZED_PNL)
    assert floor.income(IncomeType.COMMISSION) == -sum(f.commission for f in fills)
    assert bool(position.quantity) == bool(position.cost)
    legs = floor.desk.account.working_orders(BTC)
    live = books.working_orders(BTC)
    assert sorted(leg.leaves for leg in legs.values()) == sorted(o.leaves for o in live.values())
    for order in books.orders.values():
        assert order.filled == sum(f.quantity for f in fills if f.order_id == order.order_id)
        assert order.is_live is (order.order_id in live)
    assert not floor.venue.engine.markets[BTC].book.is_crossed()


def check_reduce_only(before: int, changes: Changes) -> int:
    """A reduce-only fill brings the position nearer to nothing, never past it."""
    if not changes.fills:
        return before
    (after,) = (p.quantity for p in changes.positions)
    if changes.orders[0].reduce_only:
        assert abs(after) < abs(before)
        assert before * after >= 0
    return after


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS)
def test_books_are_exact_whatever_happens(
    new_floor: type[Floor], actions: list[tuple[str, Side, int, int]]
) -> None:
    floor = new_floor("3000")
    floor.quotes("59990", "60010", "0.5")
    for kind, side, lots, ticks in actions:
        act(floor, kind, side, lots, ticks)
        check_books(floor)
    held = 0
    for changes in floor.changes:
        held = check_reduce_only(held, changes)
    # A restart reads the same books from what was written down.
    folded = FuturesBooks(floor.wallet)
    for changes in floor.changes:
        folded.apply(msgspec.json.decode(msgspec.json.encode(changes), type=Changes))
    assert vars(folded) == vars(floor.desk.books)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 10**12), st.integers(1, 10**16)),
        min_size=1,
        max_size=30,
    )
)
def test_profit_is_exact_for_any_fills(fills: list[tuple[Side, int, int]]) -> None:
    position, earned, realized = Position(BTC), 0, 0
    for side, quantity, quote in fills:
        position, profit = margin.fill(position, side, quantity, quote, 0)
        realized += profit
        earned += quote if side is SELL else -quote
        tied = position.cost if position.quantity > 0 else -position.cost
        assert realized - tied == earned
        assert position.cost >= 0
    side = SELL if position.quantity > 0 else BUY
    if position.quantity:
        position, profit = margin.fill(position, side, abs(position.quantity), 12_345, 0)
        earned += 12_345 if side is SELL else -12_345
        realized += profit
    assert realized == earned, "a flat account has won what it sold for more than it bought"
