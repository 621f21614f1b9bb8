"""What one strategy works with: its market, its orders, its books, and the wishes it makes."""

from decimal import Decimal

import msgspec

from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelOrder,
    Event,
    FeedState,
    FeeSchedule,
    Instrument,
    OrderType,
    Quote,
    SetTimer,
    Side,
    SubmitOrder,
    TimeInForce,
)
from tickbus.order import Order, Orders, OrderState
from tickbus.portfolio import Portfolio

SECOND_NS = 1_000_000_000


class Market(msgspec.Struct):
    """What is known of one instrument at one venue."""

    venue: str
    instrument_id: str
    instrument: Instrument | None = None
    top: BookTop | None = None
    quote: Quote | None = None
    feed: FeedState = FeedState.LIVE

    @property
    def usable(self) -> bool:
        """Whether a strategy may act on it."""
        if self.instrument is None or self.feed is not FeedState.LIVE:
            return False
        return self.top is None or not self.top.stale


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is besides its side, quantity and price; see `SubmitOrder`.

    `take_profit` makes an order with a trigger price a take-profit, otherwise it is a stop.
    """

    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    trigger_price: Decimal | None = None
    take_profit: bool = False
    expires_ns: int = 0
    replaces: str = ""

    def order_type(self, price: Decimal | None) -> OrderType:
        """The type of an order at `price`, None for the market's."""
        if self.trigger_price is None:
            return OrderType.MARKET if price is None else OrderType.LIMIT
        if self.take_profit:
            return OrderType.TAKE_PROFIT_MARKET if price is None else OrderType.TAKE_PROFIT_LIMIT
        return OrderType.STOP_MARKET if price is None else OrderType.STOP_LIMIT


class Desk:
    """The orders, positions and outgoing wishes of one strategy, over all its instruments."""

    def __init__(self, strategy_id: str, run_id: str, fees: FeeSchedule) -> None:
        self.strategy_id = strategy_id
        self.fees = fees
        self.portfolio = Portfolio()
        self.orders = Orders()
        self.now_ns = 0
        self.may_order = True
        self.ts_event = 0
        self._run_id = run_id
        self._number = 0
        self._cancels = 0
        self._cancelling: set[str] = set()
        self._out: list[Event] = []

    def see(self, event: Event) -> None:
        """Time moves on; it never runs backwards."""
        self.now_ns = max(self.now_ns, event.ts_recv)
        self.ts_event = event.ts_event

    def remember_id(self, client_order_id: str) -> None:
        """Never use the number of an order of this run again, if the run was interrupted."""
        head, _, number = client_order_id.rpartition("-")
        if head == f"{self.strategy_id}-{self._run_id}" and number.isdigit():
            self._number = max(self._number, int(number))

    def remember_command(self, command_id: str) -> None:
        """Nor that of a cancel: its repeat would be taken for the first, and be lost."""
        head, _, number = command_id.rpartition("-c")
        if head == f"{self.strategy_id}-{self._run_id}" and number.isdigit():
            self._cancels = max(self._cancels, int(number))

    def take(self) -> list[Event]:
        """The wishes made since the last call."""
        out, self._out = self._out, []
        return out

    def living(self, venue: str, instrument_id: str) -> list[Order]:
        """Orders that may trade or await risk's verdict, oldest first."""
        return [
            order
            for order in self.orders.living()
            if order.venue == venue and order.instrument_id == instrument_id
        ]

    def submit(
        self,
        market: Market,
        side: Side,
        quantity: Decimal,
        price: Decimal | None,
        terms: Terms,
    ) -> Order:
        """Wish for an order; its id follows from the strategy, the run and a count."""
        self._number += 1
        submit = SubmitOrder(
            ts_event=self.ts_event,
            ts_recv=self.now_ns,
            client_order_id=f"{self.strategy_id}-{self._run_id}-{self._number}",
            strategy_id=self.strategy_id,
            venue=market.venue,
            instrument_id=market.instrument_id,
            side=side,
            order_type=terms.order_type(price),
            quantity=quantity,
            price=price,
            time_in_force=terms.time_in_force,
            post_only=terms.post_only,
            reduce_only=terms.reduce_only,
            trigger_price=terms.trigger_price,
            expires_ns=terms.expires_ns,
            replaces=terms.replaces,
        )
        self._out.append(submit)
        if terms.replaces:
            self._cancelling.add(terms.replaces)
        self.orders.fold(submit)
        order = self.orders.get(submit.client_order_id)
        assert order is not None
        return order

    def may_cancel(self, order: Order) -> bool:
        """Whether a wish to take it back, or to replace it, makes sense now."""
        pending = (OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)
        known = order.is_terminal or order.client_order_id in self._cancelling
        return not known and order.state not in pending

    def cancel(self, order: Order) -> None:
        """Wish to take back an order, once per order until that wish was answered."""
        order_id = order.client_order_id
        if not self.may_cancel(order):
            return
        self._cancels += 1
        self._cancelling.add(order_id)
        self._out.append(
            CancelOrder(
                ts_event=self.ts_event,
                ts_recv=self.now_ns,
                command_id=f"{self.strategy_id}-{self._run_id}-c{self._cancels}",
                client_order_id=order_id,
                strategy_id=self.strategy_id,
                venue=order.venue,
                instrument_id=order.instrument_id,
            )
        )

    def cancel_everything(self) -> None:
        """Wish to take back every order of the strategy, also those that it does not remember."""
        self._cancels += 1
        command_id = f"{self.strategy_id}-{self._run_id}-c{self._cancels}"
        self._out.append(
            CancelAllOrders(self.ts_event, self.now_ns, command_id, strategy_id=self.strategy_id)
        )

    def cancel_answered(self, order_id: str) -> None:
        """The venue refused a cancel or the order ended: another wish may be made."""
        self._cancelling.discard(order_id)

    def set_timer(self, market: Market, key: str, delay_s: float) -> None:
        """Ask the shell for a timer; its key says whose it is."""
        full = f"{self.strategy_id}/{market.venue}/{market.instrument_id}/{key}"
        at_ns = self.now_ns + int(delay_s * SECOND_NS)
        self._out.append(SetTimer(self.ts_event, self.now_ns, full, at_ns))
