"""Conditional orders: they wait beside the market until a price triggers them.

Consumes: requests, public trades, and the time. Produces: `Changes` by way of the desk.
Trades only mark what they trigger; `step` sends the orders, so nothing trades within a trade.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from tickbus_exchange.engine.futures_checks import FuturesRefusal, Prices, Refused, first_refusal
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_types import (
    AlgoOrder,
    AlgoStatus,
    AlgoType,
    Changes,
    FuturesRequest,
    FuturesTif,
    FuturesType,
    WorkingType,
)
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Side, Trade

OPEN_MAX = 200
"""Open conditional orders over all symbols."""
LIMIT_TYPES = frozenset({AlgoType.STOP, AlgoType.TAKE_PROFIT})
PROFIT_TYPES = frozenset({AlgoType.TAKE_PROFIT, AlgoType.TAKE_PROFIT_MARKET})
PEAK_SAVED_EVERY_MS = 1_000


def waits_for_rise(algo: AlgoOrder) -> bool:
    """Whether the trigger is reached from below."""
    return (algo.type in PROFIT_TYPES) is (algo.side is Side.SELL)


def is_reached(algo: AlgoOrder, price: int) -> bool:
    """Whether `price` triggers an order that does not trail."""
    trigger = algo.trigger_price
    return price >= trigger if waits_for_rise(algo) else price <= trigger


def follow(algo: AlgoOrder, price: int) -> tuple[AlgoOrder, bool]:
    """Let a trailing stop see `price`; return it as it is now, and whether it is triggered."""
    sells = algo.side is Side.SELL
    if not algo.is_active:
        activation = algo.activate_price
        if not (price >= activation if sells else price <= activation):
            return algo, False
        algo = replace(algo, is_active=True, peak=price)
    best = max(algo.peak, price) if sells else min(algo.peak or price, price)
    if best != algo.peak:
        algo = replace(algo, peak=best)
    share = best * algo.callback_rate // (100 * SCALE)
    return algo, price <= best - share if sells else price >= best + share


class FuturesAlgos:
    """The waiting room of the desk's conditional orders."""

    def __init__(self, desk: FuturesDesk) -> None:
        self._desk = desk
        self._algo_id = max(desk.books.algos, default=0)
        self._hit: dict[int, int] = {}
        self._trails: dict[int, AlgoOrder] = {}
        self._saved_ms = 0
        self._born = {
            algo.order_id: algo.algo_id
            for algo in desk.books.algos.values()
            if algo.status is AlgoStatus.TRIGGERED
        }
        """Orders that came of a trigger and are not known to have ended."""
        for algo in desk.books.open_algos.values():
            self._watch(algo)
        desk.listeners.append(self._on_changes)

    def _watch(self, algo: AlgoOrder) -> None:
        if algo.type is AlgoType.TRAILING_STOP_MARKET:
            self._trails[algo.algo_id] = algo

    def next_id(self) -> int:
        """Return the id that the next conditional order will have."""
        return self._algo_id + 1

    # -- requests ------------------------------------------------------------------------------

    def place(self, algo: AlgoOrder, now_ms: int) -> AlgoOrder | Refused:
        """Take a conditional order, whose id is `next_id`."""
        refused = self.check(algo, now_ms)
        if refused is not None:
            return refused
        self._algo_id = algo.algo_id
        if algo.type is AlgoType.TRAILING_STOP_MARKET and not algo.activate_price:
            algo = replace(algo, peak=self._price(algo))
        self._watch(algo)
        self._tell(algo, now_ms)
        return algo

    def check(self, algo: AlgoOrder, now_ms: int) -> Refused | None:
        """Return why `place` would refuse, None if it would not."""
        open_algos = self._desk.books.open_algos
        if any(a.client_algo_id == algo.client_algo_id for a in open_algos.values()):
            return Refused(FuturesRefusal.DUPLICATE)
        if len(open_algos) >= OPEN_MAX:
            return Refused(FuturesRefusal.MAX_CONDITIONAL, OPEN_MAX)
        rules, price = self._desk.rules[algo.symbol], self._price(algo)
        if not algo.close_position:
            request = self._request(algo, algo.quantity)
            near = algo.price or algo.trigger_price or price
            refused = first_refusal(request, rules, Prices(near, near, now_ms))
            if refused is not None:
                return refused
        if algo.trigger_price and (algo.trigger_price - rules.price_min) % rules.tick_size:
            return Refused(FuturesRefusal.TICK_SIZE, rules.tick_size)
        if algo.type is not AlgoType.TRAILING_STOP_MARKET and is_reached(algo, price):
            return Refused(FuturesRefusal.WOULD_TRIGGER)
        return None

    def cancel(self, algo: AlgoOrder, now_ms: int) -> None:
        """Forget an open conditional order."""
        self._tell(replace(self._latest(algo), status=AlgoStatus.CANCELED), now_ms)

    # -- the market ----------------------------------------------------------------------------

    def on_trades(self, symbol: str, trades: Sequence[Trade]) -> None:
        """Look which orders the trades trigger; they are sent by the next `step`."""
        for algo in self._desk.books.open_algos.values():
            by_trades = algo.working_type is WorkingType.CONTRACT_PRICE
            if algo.symbol == symbol and by_trades:
                for trade in trades:
                    self._see(algo, trade.price)

    def _see(self, algo: AlgoOrder, price: int) -> None:
        if algo.algo_id in self._hit:
            return
        if algo.type is AlgoType.TRAILING_STOP_MARKET:
            trail, is_hit = follow(self._trails[algo.algo_id], price)
            self._trails[algo.algo_id] = trail
        else:
            is_hit = is_reached(algo, price)
        if is_hit:
            self._hit[algo.algo_id] = price

    def step(self, now_ms: int) -> None:
        """Send what was triggered, end what has had its time, save how far trails have come."""
        open_algos = self._desk.books.open_algos
        for algo in tuple(open_algos.values()):
            if algo.working_type is WorkingType.MARK_PRICE:
                self._see(algo, self._desk.mark(algo.symbol))
            if algo.good_till_ms and now_ms >= algo.good_till_ms:
                self._tell(replace(self._latest(algo), status=AlgoStatus.EXPIRED), now_ms)
        for algo_id in tuple(self._hit):
            hit = open_algos.get(algo_id)
            if hit is not None:
                self._trigger(self._latest(hit), now_ms)
        self._hit.clear()
        if self._trails and now_ms - self._saved_ms >= PEAK_SAVED_EVERY_MS:
            self._saved_ms = now_ms
            moved = [a for i, a in self._trails.items() if a != open_algos.get(i)]
            if moved:
                self._desk.emit(Changes(now_ms, algos=tuple(moved)))

    def _trigger(self, algo: AlgoOrder, now_ms: int) -> None:
        algo = replace(algo, status=AlgoStatus.TRIGGERING, trigger_ms=now_ms)
        self._tell(algo, now_ms)
        quantity = algo.quantity
        if algo.close_position:
            quantity = abs(self._desk.books.position(algo.symbol).quantity)
        order = self._desk.place(self._request(algo, quantity), now_ms)
        if isinstance(order, Refused):
            self._tell(replace(algo, status=AlgoStatus.REJECTED, reason=order.reason.value), now_ms)
            return
        algo = replace(algo, status=AlgoStatus.TRIGGERED, order_id=order.order_id)
        self._tell(algo, now_ms)
        self._born[order.order_id] = algo.algo_id
        self._finish(order.order_id, now_ms)

    def _on_changes(self, changes: Changes) -> None:
        for order in changes.orders:
            if order.order_id in self._born:
                self._finish(order.order_id, changes.time_ms)

    def _finish(self, order_id: int, now_ms: int) -> None:
        """Note that the order born of a trigger has ended."""
        books = self._desk.books
        if not books.orders[order_id].is_live:
            algo = books.algos[self._born.pop(order_id)]
            self._tell(replace(algo, status=AlgoStatus.FINISHED), now_ms)

    # -- helpers -------------------------------------------------------------------------------

    def _latest(self, algo: AlgoOrder) -> AlgoOrder:
        return self._trails.get(algo.algo_id, algo)

    def _price(self, algo: AlgoOrder) -> int:
        if algo.working_type is WorkingType.MARK_PRICE:
            return self._desk.mark(algo.symbol)
        return self._desk.last_price(algo.symbol)

    def _tell(self, algo: AlgoOrder, now_ms: int) -> None:
        if not algo.is_open:
            self._trails.pop(algo.algo_id, None)
        self._desk.emit(Changes(now_ms, algos=(replace(algo, update_ms=now_ms),)))

    def _request(self, algo: AlgoOrder, quantity: int) -> FuturesRequest:
        is_limit = algo.type in LIMIT_TYPES
        return FuturesRequest(
            symbol=algo.symbol, side=algo.side,
            type=FuturesType.LIMIT if is_limit else FuturesType.MARKET,
            quantity=quantity, price=algo.price,
            time_in_force=algo.time_in_force if is_limit else FuturesTif.GTC,
            client_order_id=algo.client_algo_id, stp=algo.stp,
            reduce_only=algo.reduce_only or algo.close_position, good_till_ms=algo.good_till_ms,
            price_match=algo.price_match, orig_type=algo.type.value,
            stop_price=algo.trigger_price, working_type=algo.working_type,
            close_position=algo.close_position,
        )  # fmt: skip
