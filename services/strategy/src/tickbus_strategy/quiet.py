"""Brings a strategy's orders to an end, and closes what it holds where that is wished for."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from tickbus.events import DenialReason, Event, Instrument, OrderDenied, Side, TradingState
from tickbus.order import Order
from tickbus.portfolio import Position
from tickbus_strategy.desk import SECOND_NS, Desk, Market, Terms

ASK_AGAIN_NS = SECOND_NS
ASK_AGAIN_MAX_NS = 30 * SECOND_NS
"""A cancel that led to nothing is wished for again after a second, then after ever longer."""
CLOSE_AGAIN_NS = SECOND_NS
CLOSE_PATIENCE_NS = 10 * SECOND_NS
"""A closing order that still works after so long is taken back, and another one sent."""
ATTEMPTS_MAX = 60
"""After so many rounds of closing orders what is left is told, and left."""
DESCRIBE_PATIENCE_NS = 300 * SECOND_NS
"""So long it waits for an instrument to be described: after a restart the feed says it anew."""

Key = tuple[str, str]


class Quiet:
    """One strategy on its way to rest: while `step` says so, call it at each event and each second.

    Its wishes are the desk's. Orders made meanwhile by anybody else are cancelled, too.
    """

    def __init__(self, desk: Desk, instruments: Mapping[Key, Instrument], closes: bool) -> None:
        self.closes = closes
        self._desk = desk
        self._instruments = instruments
        self._asked: dict[str, tuple[int, int]] = {}
        self._closing: dict[str, Key] = {}
        self._most: dict[Key, Decimal] = {}
        """What one order may be for, where more was refused."""
        self._given_up: set[Key] = set()
        self._plain: set[Key] = set()
        """Where orders that only reduce are refused, so that ours must be plain ones."""
        self._attempts = 0
        self._began_ns = desk.now_ns
        self._at_ns = 0

    def asked_for_all(self) -> None:
        """A cancel of everything is under way: no order is asked for singly at first."""
        for order in self._desk.orders.living():
            self._asked[order.client_order_id] = (self._desk.now_ns, ASK_AGAIN_NS)

    def step(self) -> bool:
        """Wish for what has to be wished for now; True once all is over."""
        orders = list(self._desk.orders.living())
        for order in orders:
            self._cancel(order)
        if orders:
            return False
        self._asked.clear()
        return not (self.closes and self._close())

    def see(self, event: Event) -> None:
        """Take in a verdict on a closing order: what was too much is tried in smaller parts."""
        if not isinstance(event, OrderDenied):
            return
        key = self._closing.get(event.order.client_order_id)
        if key is None:
            return
        if event.reason is DenialReason.NOTIONAL_ABOVE_MAX:
            self._most[key] = event.order.quantity / 2
        elif event.reason is DenialReason.TRADING_REDUCING_ONLY:
            # The account holds less than we do: somebody else here holds the other way.
            self._plain.add(key)
        elif event.reason is DenialReason.NOTIONAL_BELOW_MIN:
            self._given_up.add(key)

    @property
    def left(self) -> str:
        """What it holds that could not be closed; "" where that was not wished for, or is nothing.

        Less than the venue takes is left, too, but not worth a word.
        """
        if not self.closes:
            return ""
        return f"could not close {held}" if (held := self.holdings) else ""

    @property
    def holdings(self) -> str:
        """What it holds that is worth a word: less than the venue takes is not."""
        return ", ".join(
            f"{position.venue} {position.instrument_id} {position.quantity}"
            for position in self._held()
            if not self._is_dust(position)
        )

    def _cancel(self, order: Order) -> None:
        order_id, now = order.client_order_id, self._desk.now_ns
        if order_id in self._closing and now - order.ts_created < CLOSE_PATIENCE_NS:
            return
        at_ns, wait_ns = self._asked.get(order_id, (0, 0))
        if wait_ns and now - at_ns < wait_ns:
            return
        self._asked[order_id] = (now, min(max(2 * wait_ns, ASK_AGAIN_NS), ASK_AGAIN_MAX_NS))
        if wait_ns:
            self._desk.cancel_answered(order_id)  # or the answer was lost: a repeat does no harm
        self._desk.cancel(order)

    def _close(self) -> bool:
        """Send what closes what is held; whether that goes on."""
        now = self._desk.now_ns
        wanted = [(position, lots) for position in self._held() if (lots := self._lots(position))]
        if not wanted:
            return self._is_to_be_described()
        if self._attempts >= ATTEMPTS_MAX:
            return False
        if now < self._at_ns:
            return True
        self._attempts += 1
        self._at_ns = now + CLOSE_AGAIN_NS
        if self._desk.trading_state is TradingState.HALTED:
            return True  # risk would refuse it; perhaps somebody resumes in time
        if self._fills_are_due():
            return True
        for position, lots in wanted:
            market = Market(position.venue, position.instrument_id)
            side = Side.SELL if position.quantity > 0 else Side.BUY
            key = (position.venue, position.instrument_id)
            only_reduces = Terms(reduce_only=key not in self._plain)
            order = self._desk.submit(market, side, lots, None, only_reduces)
            self._closing[order.client_order_id] = key
        return True

    def _is_to_be_described(self) -> bool:
        """Whether something is held of which nobody has said yet in which lots it trades."""
        if self._desk.now_ns - self._began_ns >= DESCRIBE_PATIENCE_NS:
            return False
        return any(self._instrument(position) is None for position in self._held())

    def _fills_are_due(self) -> bool:
        """Whether an order has just ended that filled more than any fill told us of yet."""
        since = self._desk.now_ns - CLOSE_PATIENCE_NS
        orders = self._desk.orders.snapshot()
        return any(order.missing_quantity and order.ts_updated >= since for order in orders)

    def _held(self) -> Iterator[Position]:
        return (position for position in self._desk.portfolio if position.quantity)

    def _instrument(self, position: Position) -> Instrument | None:
        return self._instruments.get((position.venue, position.instrument_id))

    def _is_dust(self, position: Position) -> bool:
        """Whether it is less than the venue takes; what risk refused in any part is not."""
        key, instrument = (position.venue, position.instrument_id), self._instrument(position)
        if instrument is None:
            return False
        if key in self._given_up and key not in self._most:
            return True
        lots = instrument.quantity(abs(position.quantity))
        return lots <= 0 or lots < instrument.quantity_min

    def _lots(self, position: Position) -> Decimal:
        """As much of it as one order may close; 0 when it is dust, or nothing is known of it."""
        key, instrument = (position.venue, position.instrument_id), self._instrument(position)
        if instrument is None or key in self._given_up:
            return Decimal(0)
        quantity = abs(position.quantity)
        limits = (instrument.quantity_max, instrument.market_quantity_max, self._most.get(key))
        for most in limits:
            quantity = min(quantity, most) if most else quantity
        lots = instrument.quantity(quantity)
        return lots if lots >= instrument.quantity_min else Decimal(0)
