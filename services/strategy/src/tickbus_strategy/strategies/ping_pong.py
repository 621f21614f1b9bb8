"""Ping-pong: buy at the bid, sell a little higher, and again."""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from tickbus.events import BookTop, Fill, Quote, TimeInForce
from tickbus.order import Order, OrderState
from tickbus_strategy.base import BPS, Strategy, require_positive

SECOND_NS = 1_000_000_000


class PingPongParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`order_notional` (quote currency): per order.

    `profit_bps` (basis points): wanted beyond round-trip fees. `requote_s` (seconds): how long a
    resting order may wait before it is placed anew. `patience` (orders): so many entries wait at
    the bid before one takes the ask. `hold_s` (seconds): how long a position waits for its profit
    before it is sold at the market. `cooldown_s` (seconds): pause after a sale.
    """

    order_notional: Decimal = Decimal(100)
    profit_bps: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    requote_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    patience: Annotated[int, msgspec.Meta(ge=0)] = 2
    hold_s: Annotated[float, msgspec.Meta(gt=0)] = 20.0
    cooldown_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0

    def __post_init__(self) -> None:
        require_positive("order_notional", self.order_notional)


class PingPong(Strategy):
    """Buys and sells in turn, one order at a time.

    Idea: a price that swings around gives small profits to whoever waits on both sides.

    Entry: a resting bid at the best price, placed anew after `requote_s`; after `patience` vain
    attempts an order that takes the ask. Not within `cooldown_s` of a sale.

    Exit: a resting offer `profit_bps` beyond entry and round-trip fees (once as maker, once as
    taker), or at the best ask where that is higher; once the position is older than `hold_s`, a
    market sale.

    Loses when the price falls: it then sells below its entry, and pays fees both ways.
    """

    title: ClassVar[str] = "Buys at the bid, sells a little higher, and again"
    Params = PingPongParams
    params: PingPongParams

    _attempts = 0
    _ts_entry = 0
    _ts_quiet = 0

    def on_start(self) -> None:
        """A position of an earlier run gets its full time to wait for its profit."""
        self._ts_entry = self.now_ns

    def on_quote(self, quote: Quote) -> None:
        """The venue's own best prices come first, straight from the feed."""
        self._decide(quote)

    def on_book(self, top: BookTop) -> None:
        """Our own book's are the pulse of a market without quotes."""
        if not self.has_fresh_quote:
            self._decide(top)

    def _decide(self, top: Quote | BookTop) -> None:
        """From what works, what is held and the best prices."""
        if not top.bid or not top.ask or self.now_ns < self._ts_quiet:
            return
        working = self.working_orders
        if working:
            self._refresh(working[0])
        elif not self.is_settled:
            return  # an order is over, and what it filled is still to be told
        elif self._held_notional(top) >= self._least_notional():
            self._exit(top)
        else:
            self._enter(top)

    def on_fill(self, order: Order, fill: Fill) -> None:
        """Start the clock of the position, or the pause after it."""
        if fill.side.sign > 0:
            self._attempts = 0
            self._ts_entry = self.now_ns
        else:
            self._ts_quiet = self.now_ns + int(self.params.cooldown_s * SECOND_NS)

    def on_order(self, order: Order) -> None:
        """An order that was refused, or found nothing to take, is not repeated at once."""
        ended = order.is_terminal and order.state is not OrderState.CANCELED
        if ended and not order.filled_quantity and not order.missing_quantity:
            self._ts_quiet = max(self._ts_quiet, self.now_ns + SECOND_NS)

    def _refresh(self, order: Order) -> None:
        age_s = (self.now_ns - order.ts_created) / SECOND_NS
        if age_s > self.params.requote_s:
            self.note(action="requote", age_s=age_s)
            self.cancel(order)

    def _enter(self, top: Quote | BookTop) -> None:
        quantity = self.params.order_notional / Decimal(repr(top.ask))
        self._attempts += 1
        takes = self._attempts > self.params.patience
        self.note(
            action="take" if takes else "bid", attempt=self._attempts, bid=top.bid, ask=top.ask,
            position=self.position.quantity,
        )  # fmt: skip
        if takes:
            self.buy(quantity, top.ask, time_in_force=TimeInForce.IOC)
        else:
            self.buy(quantity, top.bid)

    def _exit(self, top: Quote | BookTop) -> None:
        quantity, held_s = self.closable_quantity, (self.now_ns - self._ts_entry) / SECOND_NS
        entry = self.position.avg_entry_price or Decimal(repr(top.ask))
        wanted = entry * (1 + self._round_trip + Decimal(repr(self.params.profit_bps)) / BPS)
        late = held_s > self.params.hold_s
        self.note(
            action="sell" if late else "offer", held_s=held_s, entry=entry, wanted=wanted,
            bid=top.bid, ask=top.ask, position=self.position.quantity,
        )  # fmt: skip
        if late:
            self.sell(quantity)
        else:
            self.sell(quantity, max(wanted, Decimal(repr(top.ask))))

    @property
    def _round_trip(self) -> Decimal:
        return self.fees.maker + self.fees.taker

    def _held_notional(self, top: Quote | BookTop) -> Decimal:
        return max(Decimal(0), self.closable_quantity) * Decimal(repr(top.bid))

    def _least_notional(self) -> Decimal:
        # What is worth less than the venue takes cannot be sold; it waits for the next purchase.
        return max(self.instrument.notional_min, Decimal("1e-12"))
