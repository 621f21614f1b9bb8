"""Closing what a stopped scope holds: market orders that only reduce, again until nothing is left.

Working orders of the scope may still fill while their cancels are on the way, orders may be refused
or fill in part: so once a second what is left is looked at again, at most `ATTEMPTS_MAX` times.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tickbus import subjects
from tickbus.events import GLOBAL, Event, FlattenEnded, OrderType, Side, SubmitOrder
from tickbus_risk.config import RiskConfig
from tickbus_risk.exposure import Key, Slot
from tickbus_risk.state import RiskBook

ZERO = Decimal(0)
INTERVAL_NS = 1_000_000_000
ATTEMPTS_MAX = 60


class Closing(msgspec.Struct, kw_only=True):
    """How far one scope is; `orders` were sent, `at_ns` is when it is looked at next."""

    attempts: int = 0
    orders: int = 0
    at_ns: int = 0


class Flattening:
    """The scopes that are being closed."""

    def __init__(self, book: RiskBook) -> None:
        self.closing: dict[str, Closing] = {}
        self._book = book
        self._number = 0

    def begin(self, scope: str) -> None:
        """Close what the scope holds from now on."""
        self.closing[scope] = Closing()

    def end(self, scope: str) -> None:
        """Close no more: it is done, or somebody resumed."""
        self.closing.pop(scope, None)

    def step(self, event: Event, config: RiskConfig) -> tuple[list[SubmitOrder], list[Event]]:
        """The orders to send now, and the word that a scope is done with."""
        orders: list[SubmitOrder] = []
        ended: list[Event] = []
        for scope, closing in list(self.closing.items()):
            if event.ts_recv < closing.at_ns:
                continue
            closing.at_ns = event.ts_recv + INTERVAL_NS
            closing.attempts += 1
            wanted = list(self._orders(scope, event, config))
            if closing.attempts > ATTEMPTS_MAX or not (wanted or self._is_working(scope)):
                ended.append(self._ended(scope, closing, event))
                self.end(scope)
                continue
            closing.orders += len(wanted)
            orders += wanted
        return orders, ended

    def _is_working(self, scope: str) -> bool:
        book = self._book
        if scope == GLOBAL:
            return book.working_count > 0
        strategy_id = scope.partition(":")[2]
        return any(book.open_orders.get(name, 0) for name in (strategy_id, subjects.RISK))

    def _held(self, scope: str) -> Iterator[tuple[Key, Slot]]:
        owner = "" if scope == GLOBAL else scope.partition(":")[2]
        return ((k, s) for k, s in self._book.exposures.slots(owner) if s.position.quantity)

    def _orders(self, scope: str, event: Event, config: RiskConfig) -> Iterator[SubmitOrder]:
        strategy_id = "" if scope == GLOBAL else scope.partition(":")[2]
        for (venue, instrument_id), slot in self._held(scope):
            held = slot.position.quantity
            side = Side.SELL if held > 0 else Side.BUY
            quantity = self._quantity((venue, instrument_id), side, abs(held), config)
            if not quantity:
                continue
            self._number = max(self._number + 1, event.ts_recv // 1_000_000)
            middle = f"{strategy_id}-" if strategy_id else ""
            yield SubmitOrder(
                event.ts_event, event.ts_recv, f"{subjects.RISK}-{middle}{self._number}",
                subjects.RISK, venue, instrument_id, side, OrderType.MARKET, quantity,
                reduce_only=True,
            )  # fmt: skip

    def _quantity(self, key: Key, side: Side, held: Decimal, config: RiskConfig) -> Decimal:
        # As much as one order may be, of what the account still holds and nothing else closes.
        book = self._book
        instrument, top = book.instruments.get(key), book.tops.get(key)
        if instrument is None or top is None:
            return ZERO
        account = -side.sign * book.positions.get(key, ZERO)
        quantity = min(held, max(ZERO, account - book.working_quantity(*key, side)))
        for most in (instrument.quantity_max, instrument.market_quantity_max):
            quantity = min(quantity, most) if most else quantity
        price = Decimal(repr(top.ask if side is Side.BUY else top.bid))
        limit = config.limits(subjects.RISK, *key).order_notional_max
        if price <= 0:
            return ZERO
        quantity = instrument.quantity(min(quantity, limit / price))
        dust = quantity < instrument.quantity_min
        return ZERO if dust or quantity * price < instrument.notional_min else quantity

    def _ended(self, scope: str, closing: Closing, event: Event) -> FlattenEnded:
        residual = tuple((*key, slot.position.quantity) for key, slot in self._held(scope))
        return FlattenEnded(event.ts_event, event.ts_recv, scope, closing.orders, residual)
