"""A venue that exists in a test alone: it answers a strategy's wishes when the test says so.

It keeps what really is at the venue apart from what the strategy was told of it, so that a test can
look at the one while the other is late.
"""

from decimal import Decimal
from typing import Any

import msgspec

from tickbus.events import (
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderType,
    Quote,
    Side,
    SubmitOrder,
    TimeInForce,
)
from tickbus.runtime import Core

ZERO = Decimal(0)
SECOND_NS = 1_000_000_000


class AtVenue(msgspec.Struct):
    """An order as it stands at the venue."""

    order: SubmitOrder
    leaves: Decimal
    filled: Decimal = ZERO

    @property
    def side(self) -> Side:
        """Which way it trades."""
        return self.order.side


class PretendVenue:
    """One market and one strategy's orders in it.

    Wishes wait in `wishes` until `answer` takes one up; a replacement first takes out what it
    replaces. What the venue says waits in `untold` until `tell`. `fee` is of the notional, paid in
    quote currency.
    """

    def __init__(
        self, core: Core, *, venue: str = "sim", instrument_id: str = "BTC-USDT",
        now: int = SECOND_NS, fee: Decimal = ZERO,
    ) -> None:  # fmt: skip
        self.core = core
        self.venue, self.instrument_id = venue, instrument_id
        self.now = now
        self.fee = fee
        self.bid, self.ask = 0.0, 0.0
        self.bid_size = self.ask_size = 100.0
        self.wishes: list[SubmitOrder | CancelOrder] = []
        self.asked: list[SubmitOrder] = []
        self.working: dict[str, AtVenue] = {}
        self.untold: list[Event] = []
        self.neighbors: list[PretendVenue] = []
        """Where else the same strategy trades."""
        self.position = ZERO
        self._fills = 0
        self._filled: dict[str, Decimal] = {}

    def give(self, event: Any) -> list[Any]:
        """Tell the strategy anything; what it says is returned, wishes are kept by their venue."""
        out: list[Any] = []
        for wish in self.core.handle(event):
            out.append(wish)
            for venue in (self, *self.neighbors):
                venue.hear(wish)
        return out

    def hear(self, wish: Any) -> None:
        """Keep a wish that is for this market."""
        if not isinstance(wish, SubmitOrder | CancelOrder) or wish.venue != self.venue:
            return
        self.wishes.append(wish)
        if isinstance(wish, SubmitOrder):
            self.asked.append(wish)

    def quote(self, bid: float, ask: float, after_s: float = 1.0) -> list[Any]:
        """The market moves; resting orders it meets fill at their own price, then it is told."""
        self.now += int(after_s * SECOND_NS)
        self.bid, self.ask = bid, ask
        for each in list(self.working.values()):
            price = float(each.order.price or 0)
            if (ask and price >= ask) if each.side is Side.BUY else price <= bid:
                self.fill(each.order.client_order_id)
        sizes = self.bid_size, self.ask_size
        return self.give(
            Quote(
                self.now, self.now, self.venue, self.instrument_id, bid, sizes[0], ask, sizes[1], 1
            )
        )

    def settle(self, rounds: int = 20) -> None:
        """Answer and tell everything, until the strategy wishes nothing more."""
        for _ in range(rounds):
            if not self.wishes and not self.untold:
                return
            while self.wishes:
                self.answer()
            self.tell()
        raise AssertionError(f"still wishing after {rounds} rounds: {self.wishes}")

    def tell(self, count: int | None = None) -> list[Any]:
        """Tell the strategy what the venue said, the first `count` of it or all."""
        due, self.untold = self.untold[:count], self.untold[len(self.untold[:count]) :]
        return [wish for event in due for wish in self.give(event)]

    # -- what the venue does -----------------------------------------------------------------------

    def answer(self) -> None:
        """Take up the oldest wish as a venue would."""
        wish = self.wishes.pop(0)
        if isinstance(wish, CancelOrder):
            if not self.cancel(wish.client_order_id):
                self._say(CancelRejected, wish, wish.command_id, "-2011", "unknown order")
            return
        quantity = wish.quantity
        if wish.replaces:
            self.cancel(wish.replaces)
            quantity = max(ZERO, quantity - self.filled_of(wish.replaces))
            self._say(OrderReplaced, wish, wish.replaces, quantity)
            if not quantity:
                return
        self._arrive(wish, quantity)

    def deny(self) -> None:
        """Let risk refuse the oldest wish, if that is an order."""
        if self.wishes and isinstance(self.wishes[0], SubmitOrder):
            order = self.wishes.pop(0)
            assert isinstance(order, SubmitOrder)
            reason = DenialReason.ORDER_RATE_ABOVE_MAX
            self.untold.append(OrderDenied(self.now, self.now, order, reason, ""))

    def cancel(self, order_id: str) -> bool:
        """Take an order out of the book; False when it is not there."""
        found = self.working.pop(order_id, None)
        if found is not None:
            self._say(OrderCanceled, found.order, "1", found.filled)
        return found is not None

    def fill(self, order_id: str, quantity: Decimal | None = None, price: float = 0.0) -> None:
        """Fill an order in part or in whole, at its own price by default."""
        found = self.working[order_id]
        quantity = found.leaves if quantity is None else min(quantity, found.leaves)
        at = Decimal(repr(price)) if price else found.order.price
        assert at is not None
        found.leaves -= quantity
        found.filled += quantity
        self._filled[order_id] = found.filled
        self.position += quantity * found.side.sign
        self._fills += 1
        fill = Fill(
            f"{self.venue}-{self._fills}", found.side, at, quantity, quantity * at * self.fee,
            "USDT", LiquiditySide.TAKER if price else LiquiditySide.MAKER, self.now,
        )  # fmt: skip
        self._say(OrderFilled, found.order, "1", fill, found.filled, found.leaves)
        if not found.leaves:
            del self.working[order_id]

    def filled_of(self, order_id: str) -> Decimal:
        """How much the order ever filled."""
        return self._filled.get(order_id, ZERO)

    def _arrive(self, order: SubmitOrder, quantity: Decimal) -> None:
        best = self.ask if order.side is Side.BUY else self.bid
        price = None if order.price is None else float(order.price)
        meets = price is None or (price >= best if order.side is Side.BUY else price <= best)
        crosses = bool(best) and meets
        if order.post_only and crosses:
            self._say(OrderRejected, order, "-2010", "would immediately match and take")
            return
        at_venue = AtVenue(order, quantity)
        self.working[order.client_order_id] = at_venue
        self._say(OrderAccepted, order, "1")
        size = self.ask_size if order.side is Side.BUY else self.bid_size
        if crosses and size > 0:
            self.fill(order.client_order_id, Decimal(repr(size)), best)
        ends = order.time_in_force is TimeInForce.IOC or order.order_type is OrderType.MARKET
        if ends and self.working.pop(order.client_order_id, None) is not None:
            self._say(OrderExpired, order, "1", at_venue.filled)

    def _say(self, kind: Any, about: SubmitOrder | CancelOrder, *more: Any) -> None:
        head = (about.client_order_id, about.strategy_id, self.venue, self.instrument_id)
        self.untold.append(kind(self.now, self.now, *head, *more))
