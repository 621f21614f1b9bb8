"""What one strategy works with: its market, its orders, its books, and the wishes it makes."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tickbus.events import (
    GLOBAL,
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
    TradingState,
)
from tickbus.order import Order, Orders, OrderState
from tickbus.portfolio import Portfolio
from tickbus_strategy.decisions import Decisions
from tickbus_strategy.memory import DeskMemory
from tickbus_strategy.refusing import TOLD_MAX, NotOrdered, NotOrderedReason

SECOND_NS = 1_000_000_000
FILL_PATIENCE_NS = 60 * SECOND_NS
"""So long a position counts as unsettled when an order's end told of fills that nobody has seen."""
RUNS_MAX = 1_000
"""Runs whose numbers are remembered; with more the oldest is forgotten, never our own."""


class Market(msgspec.Struct, eq=False):
    """What is known of one instrument at one venue; equal to nothing but itself."""

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

    @property
    def mid(self) -> float | None:
        """The middle of the newer of quote and book; None before the first."""
        best = self.quote or self.top
        if self.quote is not None and self.top is not None:
            best = self.quote if self.quote.ts_recv >= self.top.ts_recv else self.top
        return (best.bid + best.ask) / 2 if best is not None and best.bid and best.ask else None

    def holds(self, order: Order) -> bool:
        """Whether `order` is one of this market."""
        return (order.venue, order.instrument_id) == (self.venue, self.instrument_id)


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

    def __init__(
        self, strategy_id: str, run_id: str, fees: FeeSchedule,
        fees_by_venue: Mapping[str, FeeSchedule] | None = None, *, every_decision: bool = False,
    ) -> None:  # fmt: skip
        self.strategy_id = strategy_id
        self.fees = fees
        self._fees_by_venue = fees_by_venue or {}
        self.portfolio = Portfolio()
        self.orders = Orders()
        self.now_ns = 0
        self.may_order = True
        self.ts_event = 0
        self._run_id = run_id
        # By run: the highest numbers of orders and of cancels; never used again, should it go on.
        self._numbers: dict[str, list[int]] = {run_id: [0, 0]}
        self._cancelling: set[str] = set()
        self._untold: dict[str, Order] = {}
        self._states: dict[str, TradingState] = {}
        self._timers: set[str] = set()
        self._void_timers: set[str] = set()
        self._out: list[Event] = []
        self._refused: list[NotOrdered] = []
        self.decisions = Decisions(strategy_id, every=every_decision)

    def fees_at(self, venue: str) -> FeeSchedule:
        """What `venue` takes; where that is not known, what the strategy's own does."""
        return self._fees_by_venue.get(venue, self.fees)

    @property
    def trading_state(self) -> TradingState:
        """What risk lets pass of this strategy: the stricter of its own state and that of all."""
        state = TradingState.ACTIVE
        for each in self._states.values():
            state = state.or_stricter(each)
        return state

    def know_states(self, states: Mapping[str, TradingState]) -> None:
        """Risk has put on record what scopes may do; those of all and our own are kept."""
        for scope in (GLOBAL, f"strategy:{self.strategy_id}"):
            if scope in states:
                self._states[scope] = states[scope]

    def may_wish(self, market: Market, side: Side, quantity: Decimal, reduce_only: bool) -> bool:
        """Whether an order is worth a wish: risk would refuse it else, and each refusal is kept.

        While REDUCING, what shrinks our own position is, and what says `reduce_only`.
        """
        state = self.trading_state if self._states else TradingState.ACTIVE
        if state is TradingState.ACTIVE:
            return True
        held = self.portfolio.position(market.venue, market.instrument_id).quantity
        shrinks = reduce_only or quantity <= -side.sign * held
        return state is TradingState.REDUCING and shrinks

    def see(self, event: Event) -> None:
        """Time moves on; it never runs backwards."""
        self.now_ns = max(self.now_ns, event.ts_recv)
        self.ts_event = event.ts_event

    def remember_id(self, client_order_id: str) -> None:
        """Never use the number of an order of this run again, if the run was interrupted."""
        self._remember(client_order_id.rpartition("-"), 0)

    def remember_command(self, command_id: str) -> None:
        """Nor that of a cancel: its repeat would be taken for the first, and be lost."""
        self._remember(command_id.rpartition("-c"), 1)

    def _remember(self, parts: tuple[str, str, str], which: int) -> None:
        head, _, number = parts
        prefix = f"{self.strategy_id}-"
        if not head.startswith(prefix) or not number.isdigit():
            return
        numbers = self._numbers.setdefault(head[len(prefix) :], [0, 0])
        numbers[which] = max(numbers[which], int(number))
        if len(self._numbers) > RUNS_MAX:
            oldest = next(run for run in self._numbers if run != self._run_id)
            del self._numbers[oldest]

    def _next(self, which: int) -> int:
        numbers = self._numbers[self._run_id]
        numbers[which] += 1
        return numbers[which]

    def snapshot(self) -> DeskMemory:
        """All that folding the order path gave, but for the orders."""
        portfolio = self.portfolio
        return DeskMemory(
            self.strategy_id,
            self.now_ns,
            self.ts_event,
            list(portfolio.positions.values()),
            [(*key, amount) for key, amount in portfolio.balances.items()],
            [(run, order, cancel) for run, (order, cancel) in self._numbers.items()],
            list(self._states.items()),
        )

    def restore(self, memory: DeskMemory, orders: list[Order]) -> None:
        """Know what `memory` says, and these orders."""
        self.now_ns, self.ts_event = max(self.now_ns, memory.now_ns), memory.ts_event
        self.orders.restore(orders)
        self._untold.clear()
        for each in orders:
            self.changed(each)
        positions = self.portfolio.positions
        positions.update({(p.venue, p.instrument_id): p for p in memory.positions})
        self.portfolio.balances.update({(v, asset): x for v, asset, x in memory.balances})
        for run, order, cancel in memory.numbers:
            self._numbers[run] = [order, cancel]
        self._states.update(memory.states)

    def changed(self, order: Order) -> None:
        """Take in what became of an order: its end may tell of fills that are still to come."""
        if order.is_terminal and order.missing_quantity:
            self._untold = {each.client_order_id: each for each in self.untold()}
            self._untold[order.client_order_id] = order
        else:
            self._untold.pop(order.client_order_id, None)

    def is_settled(self, market: Market) -> bool:
        """Whether none of our orders can change the position in `market` any more.

        None works, and of those that have ended every fill was told: the venue's word that an order
        is over may overtake its fills. What does not come within 60 s is waited for no more.
        """
        if self.living(market.venue, market.instrument_id):
            return False
        return not any(map(market.holds, self.untold()))

    def untold(self) -> list[Order]:
        """Orders that ended within 60 s and filled more than any fill told us of."""
        since = self.now_ns - FILL_PATIENCE_NS
        return [order for order in self._untold.values() if order.ts_updated >= since]

    def retire(self) -> None:
        """Forget orders that are over, and decisions; numbers and dust stay for who comes next."""
        self.orders.restore([])
        self._cancelling.clear()
        self._untold.clear()
        self.decisions = Decisions(self.strategy_id, every=self.decisions.every)
        self.change_hands()

    def take(self) -> list[Event]:
        """The wishes made since the last call."""
        out, self._out = self._out, []
        return out

    def refuse(
        self, market: Market, side: Side, quantity: float | Decimal, reason: NotOrderedReason,
        detail: str,
    ) -> None:  # fmt: skip
        """Remember an order that is not made; past TOLD_MAX in one call, no more."""
        if len(self._refused) < TOLD_MAX:
            self._refused.append(
                NotOrdered(
                    self.ts_event, self.now_ns, self.strategy_id, market.venue,
                    market.instrument_id, side, quantity, reason, detail,
                )
            )  # fmt: skip

    @property
    def not_ordered(self) -> NotOrdered | None:
        """The last order that this call asked for in vain."""
        return self._refused[-1] if self._refused else None

    def take_refused(self) -> list[NotOrdered]:
        """The orders asked for in vain since the last call."""
        if not self._refused:
            return []
        out, self._refused = self._refused, []
        return out

    def take_back(self) -> None:
        """Forget the wishes made since `take`, as if they had never been made."""
        self._refused.clear()
        for wish in self.take():
            if isinstance(wish, SubmitOrder):
                self.orders.pop(wish.client_order_id)
                self._cancelling.discard(wish.replaces)
            elif isinstance(wish, CancelOrder):
                self._cancelling.discard(wish.client_order_id)

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
        number = self._next(0)
        submit = SubmitOrder(
            ts_event=self.ts_event,
            ts_recv=self.now_ns,
            client_order_id=f"{self.strategy_id}-{self._run_id}-{number}",
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
            inputs=self.decisions.written(),
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
        number = self._next(1)
        self._cancelling.add(order_id)
        self._out.append(
            CancelOrder(
                ts_event=self.ts_event,
                ts_recv=self.now_ns,
                command_id=f"{self.strategy_id}-{self._run_id}-c{number}",
                client_order_id=order_id,
                strategy_id=self.strategy_id,
                venue=order.venue,
                instrument_id=order.instrument_id,
            )
        )

    def cancel_everything(self) -> None:
        """Wish to take back every order of the strategy, also those that it does not remember."""
        command_id = f"{self.strategy_id}-{self._run_id}-c{self._next(1)}"
        self._out.append(
            CancelAllOrders(self.ts_event, self.now_ns, command_id, strategy_id=self.strategy_id)
        )

    def cancel_answered(self, order_id: str) -> None:
        """The venue refused a cancel or the order ended: another wish may be made."""
        self._cancelling.discard(order_id)

    def set_timer(self, market: Market, key: str, delay_s: float) -> None:
        """Ask the shell for a timer; its key says whose it is."""
        full = f"{self.strategy_id}/{market.venue}/{market.instrument_id}/{key}"
        self._timers.add(full)
        self._void_timers.discard(full)
        at_ns = self.now_ns + int(delay_s * SECOND_NS)
        self._out.append(SetTimer(self.ts_event, self.now_ns, full, at_ns))

    def is_due(self, timer: str) -> bool:
        """Whether a timer that fired is for who sits here now; one of before is not."""
        self._timers.discard(timer)
        if timer in self._void_timers:
            self._void_timers.discard(timer)
            return False
        return True

    def change_hands(self) -> None:
        """Somebody else sits down here: timers that were set before are not for them."""
        self._void_timers |= self._timers
        self._timers.clear()
