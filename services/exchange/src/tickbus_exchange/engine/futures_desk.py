"""The futures desk: the user's orders on margin, matched in the common book, settled in USDT.

Consumes: requests with the time in ms, and the matching engine's reports on the desk's orders.
Produces: `Changes`, one per event, told to every listener at once and in order.
Invariants: the books are changed by `Changes` alone; an order has one leg in the matching engine
while it is live, named by the order's id; an amended order keeps its id and gets a new leg.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec.structs import replace

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.futures_account import MarginAccount
from tickbus_exchange.engine.futures_books import FuturesBooks
from tickbus_exchange.engine.futures_checks import (
    FuturesRefusal,
    Prices,
    Refused,
    first_refusal,
)
from tickbus_exchange.engine.futures_types import (
    Changes,
    Execution,
    FuturesFill,
    FuturesOrder,
    FuturesRequest,
    FuturesTif,
    FuturesType,
    Income,
    IncomeType,
    Settings,
)
from tickbus_exchange.engine.matching import Engine, Market
from tickbus_exchange.engine.numbers import SCALE, notional
from tickbus_exchange.engine.orders import (
    ExecutionType,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Refusal,
    Report,
    SelfTradePrevention,
    Side,
    TimeInForce,
    Transfer,
)

AMENDMENTS_MAX = 10_000
_TIFS = {FuturesTif.IOC: TimeInForce.IOC, FuturesTif.FOK: TimeInForce.FOK}


class Door(Protocol):
    """The way into the market."""

    engine: Engine
    forced_accounts: set[str]

    def submit(self, account_id: str, request: OrderRequest, now_ms: int) -> Order | Refusal:
        """Send an order."""

    def cancel(
        self, account_id: str, symbol: str, order_id: int, now_ms: int, cancel_id: str = ""
    ) -> Order | Refusal:
        """Cancel an order."""


def mark_price(market: Market) -> int:
    """Return what positions are valued at: the middle of the book, else the last price."""
    bid, ask = market.book.bids.best_price(), market.book.asks.best_price()
    return (bid + ask) // 2 if bid and ask else market.last_price


class FuturesDesk:
    """One margin account, one-way mode, cross margin. Fee rates are 1e-8 fractions of the quote."""

    def __init__(
        self,
        door: Door,
        rules: dict[str, SymbolRules],
        books: FuturesBooks,
        fees: tuple[int, int],
        user: str,
    ) -> None:
        self._door = door
        self.rules = rules
        self.maker_fee, self.taker_fee = fees
        self.books = books
        self.account = MarginAccount(user, self._held())
        door.engine.add_account(self.account)
        self.account_id = self.account.account_id
        self.listeners: list[Callable[[Changes], None]] = []
        self._order_id = max(books.orders, default=0)
        self._income_id = max((i.income_id for i in books.income), default=0)
        self._legs: dict[int, int] = {}
        self._placing: tuple[FuturesOrder, Execution] | None = None
        self._ending: tuple[Execution, OrderStatus] | None = None

    def _held(self) -> dict[str, int]:
        held = {r.base: self.books.position(s).quantity for s, r in self.rules.items()}
        return held | {r.quote: 0 for r in self.rules.values()}

    def resume(self, now_ms: int) -> None:
        """Put the live orders of before a restart back into the market."""
        engine = self._door.engine
        for symbol, fills in self.books.fills.items():
            market = engine.markets[symbol]
            market.trade_id = max(market.trade_id, fills[-1].trade_id)
        for orders in self.books.live.values():
            for order in orders.values():
                engine.order_id += 1
                engine.restore(_leg(order, self.account_id, engine.order_id, now_ms))
                self._legs[order.order_id] = engine.order_id

    def emit(self, changes: Changes) -> None:
        """Enter changes in the books and tell everybody."""
        self.books.apply(changes)
        for listener in tuple(self.listeners):
            listener(changes)

    # -- what things are worth -----------------------------------------------------------------

    def mark(self, symbol: str) -> int:
        """Return the mark price."""
        return mark_price(self._door.engine.markets[symbol])

    def last_price(self, symbol: str) -> int:
        """Return the price of the last trade."""
        return self._door.engine.markets[symbol].last_price

    def unrealized(self) -> int:
        """Return the profit all positions would realise at the mark."""
        return sum(margin.unrealized(p, self.mark(s)) for s, p in self.books.positions.items())

    def maintenance(self) -> int:
        """Return the margin that all positions must keep."""
        return sum(margin.maintenance(p, self.mark(s)) for s, p in self.books.positions.items())

    def demand(
        self, symbol: str, extra: tuple[Side, int] | None = None, without: int = 0
    ) -> margin.Demand:
        """Return the initial margin of a symbol; with an extra order, without one of its own."""
        orders = [o for o in self.books.working_orders(symbol).values() if o.order_id != without]
        leverage = self.books.leverage(symbol)
        position = self.books.position(symbol)
        return margin.demand(position, orders, self.mark(symbol), leverage, extra)

    def symbols_in_use(self) -> list[str]:
        """Return the symbols with a position or an open order."""
        held = {s: None for s, p in self.books.positions.items() if p.quantity}
        return list(held | {s: None for s, orders in self.books.live.items() if orders})

    def available(self) -> int:
        """Return what is left for new orders, below 0 where there is too little already."""
        tied = sum(self.demand(symbol).total for symbol in self.symbols_in_use())
        return self.books.wallet + self.unrealized() - tied

    # -- orders --------------------------------------------------------------------------------

    def check(
        self, request: FuturesRequest, now_ms: int, replaced: FuturesOrder | None = None
    ) -> Refused | None:
        """Return why `place` would refuse, None if it would not; `replaced` is what it amends."""
        books, rules = self.books, self.rules[request.symbol]
        book = self._door.engine.markets[request.symbol].book
        prices = Prices(self.mark(request.symbol), book.opposite(request.side).best_price(), now_ms)
        refused = first_refusal(request, rules, prices)
        if refused is not None:
            return refused
        live = books.working_orders(request.symbol)
        for order in live.values():
            same = order.client_order_id == request.client_order_id != ""
            if same and (replaced is None or order.order_id != replaced.order_id):
                return Refused(FuturesRefusal.DUPLICATE)
        if replaced is None and request.type is FuturesType.LIMIT and len(live) >= rules.orders_max:
            return Refused(FuturesRefusal.MAX_OPEN_ORDERS, rules.orders_max)
        if request.reduce_only:
            held = books.position(request.symbol).quantity
            if not held or (held > 0) is (request.side is Side.BUY):
                return Refused(FuturesRefusal.REDUCE_ONLY)
        elif (refused := self._check_margin(request, prices.mark, replaced)) is not None:
            return refused
        return self._check_terms(request)

    def _check_margin(
        self, request: FuturesRequest, mark: int, replaced: FuturesOrder | None
    ) -> Refused | None:
        """Check that the account can carry the order, and that the leverage allows it."""
        symbol, books = request.symbol, self.books
        without = 0
        if replaced is not None:
            without = replaced.order_id
            request = replace(request, quantity=request.quantity - replaced.filled)
        if request.type is FuturesType.LIMIT:
            worth = notional(request.price, request.quantity)
        else:
            _, worth, missing = self._door.engine.preview(self.account_id, leg_request(request))
            worth += notional(mark, missing)
        before = self.demand(symbol)
        after = self.demand(symbol, (request.side, worth), without)
        # Buying above the mark, or selling below it, is a loss from the first moment.
        fair = notional(mark, request.quantity)
        loss = max(0, worth - fair if request.side is Side.BUY else fair - worth)
        if after.total + loss - before.total > max(0, self.available()) and (
            after.total > before.total
        ):
            return Refused(FuturesRefusal.MARGIN)
        leverage = books.leverage(symbol)
        most = margin.notional_max(leverage)
        if after.total > before.total and after.total * leverage > most:
            return Refused(FuturesRefusal.MAX_POSITION, most)
        return None

    def _check_terms(self, request: FuturesRequest) -> Refused | None:
        """Check what fill-or-kill and post-only promise."""
        engine = self._door.engine
        if request.time_in_force is FuturesTif.FOK:
            if engine.preview(self.account_id, leg_request(request))[2]:
                return Refused(FuturesRefusal.FOK)
        elif request.time_in_force is FuturesTif.GTX:
            book = engine.markets[request.symbol].book
            if book.crosses(request.side, request.price):
                return Refused(FuturesRefusal.POST_ONLY)
        return None

    def place(self, request: FuturesRequest, now_ms: int) -> FuturesOrder | Refused:
        """Place an order; return it as it was accepted, before any fill."""
        refused = self.check(request, now_ms)
        if refused is not None:
            return refused
        return self._accept(request, now_ms)

    def _accept(self, request: FuturesRequest, now_ms: int) -> FuturesOrder | Refused:
        self._order_id += 1
        quantity = request.quantity
        if request.reduce_only:
            quantity = min(quantity, abs(self.books.position(request.symbol).quantity))
        order = FuturesOrder(
            self._order_id, request.client_order_id or f"auto-{self._order_id}", request.symbol,
            request.side, request.type, request.time_in_force, request.price, quantity,
            request.stp, now_ms, now_ms, request.reduce_only, request.good_till_ms,
            request.price_match, request.orig_type or request.type.value, request.stop_price,
            request.working_type, request.close_position,
        )  # fmt: skip
        return self._send(order, Execution.NEW, now_ms)

    def _send(
        self, order: FuturesOrder, execution: Execution, now_ms: int
    ) -> FuturesOrder | Refused:
        """Give an order its leg in the market."""
        self._placing = (order, execution)
        result = self._door.submit(self.account_id, _leg_of(order), now_ms)
        self._placing = None
        if isinstance(result, Refusal):
            return Refused(FuturesRefusal.POST_ONLY)
        return order

    def cancel(
        self,
        order: FuturesOrder,
        now_ms: int,
        ending: tuple[Execution, OrderStatus] = (Execution.CANCELED, OrderStatus.CANCELED),
    ) -> FuturesOrder:
        """Take a live order out of the market and return what it then is."""
        self._ending = ending
        leg_id = self._legs[order.order_id]
        self._door.cancel(self.account_id, order.symbol, leg_id, now_ms)
        self._ending = None
        return self.books.orders[order.order_id]

    def expire(self, order: FuturesOrder, now_ms: int) -> FuturesOrder:
        """End an order that may stand no longer."""
        return self.cancel(order, now_ms, (Execution.EXPIRED, OrderStatus.EXPIRED))

    def amend(
        self, order: FuturesOrder, quantity: int, price: int, now_ms: int
    ) -> FuturesOrder | Refused:
        """Change a limit order's price and quantity; it goes to the end of its queue.

        It is cancelled instead where the quantity is already filled, or where it is post-only and
        would now trade.
        """
        if order.type is not FuturesType.LIMIT:
            return Refused(FuturesRefusal.LIMIT_ONLY)
        if (order.quantity, order.price) == (quantity, price):
            return Refused(FuturesRefusal.NO_CHANGE)
        if order.amendments >= AMENDMENTS_MAX:
            return Refused(FuturesRefusal.MAX_AMENDMENTS)
        if quantity <= order.filled:
            return self.cancel(order, now_ms)
        if order.reduce_only:
            held = abs(self.books.position(order.symbol).quantity)
            quantity = min(quantity, order.filled + held)
        request = FuturesRequest(
            symbol=order.symbol, side=order.side, type=order.type, quantity=quantity, price=price,
            client_order_id=order.client_order_id, reduce_only=order.reduce_only, stp=order.stp,
        )  # fmt: skip
        refused = self.check(request, now_ms, replaced=order)
        if refused is not None:
            return refused
        book = self._door.engine.markets[order.symbol].book
        if order.time_in_force is FuturesTif.GTX and book.crosses(order.side, price):
            return self.cancel(order, now_ms)
        # The old leg ends without a word: for the user it is the same order.
        self._door.cancel(self.account_id, order.symbol, self._legs[order.order_id], now_ms)
        amended = replace(
            order, quantity=quantity, price=price, amendments=order.amendments + 1, update_ms=now_ms
        )
        return self._send(amended, Execution.AMENDMENT, now_ms)

    def liquidate(self, symbol: str, client_order_id: str, now_ms: int) -> None:
        """Close a position at any price, in the venue's name."""
        held = self.books.position(symbol).quantity
        request = FuturesRequest(
            symbol=symbol, side=Side.SELL if held > 0 else Side.BUY, type=FuturesType.LIQUIDATION,
            quantity=abs(held), time_in_force=FuturesTif.IOC, client_order_id=client_order_id,
            reduce_only=True,
        )  # fmt: skip
        self._door.forced_accounts.add(self.account_id)
        self._accept(request, now_ms)
        self._door.forced_accounts.discard(self.account_id)

    # -- settings and money --------------------------------------------------------------------

    def set_leverage(self, symbol: str, leverage: int, now_ms: int) -> Refused | None:
        """Choose the leverage of a symbol."""
        if not 1 <= leverage <= margin.LEVERAGE_MAX:
            return Refused(FuturesRefusal.LEVERAGE, leverage)
        mark, position = self.mark(symbol), self.books.position(symbol)
        if abs(margin.value(position, mark)) > margin.notional_max(leverage):
            return Refused(FuturesRefusal.MAX_POSITION, margin.notional_max(leverage))
        orders = self.books.working_orders(symbol).values()
        more = margin.demand(position, orders, mark, leverage).total - self.demand(symbol).total
        if more > 0 and more > self.available():
            return Refused(FuturesRefusal.MARGIN)
        self.emit(Changes(now_ms, settings=(Settings(symbol, leverage),)))
        return None

    def income(
        self, kind: IncomeType, symbol: str, amount: int, now_ms: int, trade_id: int = 0
    ) -> Income:
        """Return a new entry of the income history; the caller emits it."""
        self._income_id += 1
        return Income(self._income_id, symbol, kind, amount, now_ms, trade_id)

    def withdrawable(self) -> int:
        """Return how much can leave the wallet: nothing that is tied up, no unrealised profit."""
        return max(0, min(self.books.wallet, self.available()))

    def transfer(self, spot: Transfer, now_ms: int) -> None:
        """Take what left the spot wallet, or give what came to it; `withdrawable` was asked."""
        income = self.income(IncomeType.TRANSFER, "", -spot.amount, now_ms)
        reason = "DEPOSIT" if income.amount > 0 else "WITHDRAW"
        self.emit(Changes(now_ms, reason=reason, income=(income,), spot=(spot,)))

    # -- what the matching engine says ---------------------------------------------------------

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Take reports on our legs, oldest first."""
        for report in reports:
            order_id = int(report.client_order_id)
            match report.execution_type:
                case ExecutionType.NEW:
                    self._legs[order_id] = report.order_id
                    if self._placing is not None:
                        order, execution = self._placing
                        self._tell(order, execution)
                case ExecutionType.TRADE:
                    self._fill(self.books.orders[order_id], report)
                case ExecutionType.CANCELED:
                    if self._ending is not None:
                        self._end(order_id, *self._ending, report.transact_ms)
                case ExecutionType.EXPIRED:
                    status = OrderStatus.EXPIRED
                    self._end(order_id, Execution.EXPIRED, status, report.transact_ms)
                case ExecutionType.TRADE_PREVENTION:
                    status = OrderStatus.EXPIRED_IN_MATCH
                    self._end(order_id, Execution.EXPIRED, status, report.transact_ms)

    def _tell(self, order: FuturesOrder, execution: Execution) -> None:
        self.emit(Changes(order.update_ms, execution, orders=(order,)))

    def _end(self, order_id: int, execution: Execution, status: OrderStatus, now_ms: int) -> None:
        self._legs.pop(order_id, None)
        order = replace(self.books.orders[order_id], status=status, update_ms=now_ms)
        self._tell(order, execution)

    def _fill(self, order: FuturesOrder, report: Report) -> None:
        """Settle a fill: position, realised profit, commission."""
        now_ms, quantity, quote = report.transact_ms, report.last_quantity, report.last_quote
        rate = self.maker_fee if report.is_maker else self.taker_fee
        commission = quote * rate // SCALE
        position, realized = margin.fill(
            self.books.position(order.symbol), order.side, quantity, quote, now_ms
        )
        filled = order.filled + quantity
        status = OrderStatus.FILLED if filled == order.quantity else OrderStatus.PARTIALLY_FILLED
        if status is OrderStatus.FILLED:
            self._legs.pop(order.order_id, None)
        order = replace(
            order, filled=filled, quote_filled=order.quote_filled + quote, status=status,
            update_ms=now_ms,
        )  # fmt: skip
        fill = FuturesFill(
            order.symbol, report.trade_id, order.order_id, order.client_order_id, order.side,
            report.last_price, quantity, quote, commission, realized, report.is_maker, now_ms,
        )  # fmt: skip
        parts = ((IncomeType.REALIZED_PNL, realized), (IncomeType.COMMISSION, -commission))
        income = tuple(
            self.income(kind, order.symbol, amount, now_ms, report.trade_id)
            for kind, amount in parts
            if amount
        )
        forced = order.type is FuturesType.LIQUIDATION
        self.emit(
            Changes(
                now_ms, Execution.CALCULATED if forced else Execution.TRADE, "ORDER",
                orders=(order,), fills=(fill,), income=income, positions=(position,),
            )
        )  # fmt: skip


def leg_request(request: FuturesRequest) -> OrderRequest:
    """Return what `request` asks of the matching engine."""
    return _wish(
        request.symbol, request.side, request.type, request.time_in_force, request.quantity,
        request.price, request.stp, reduce_only=request.reduce_only,
    )  # fmt: skip


def _leg_of(order: FuturesOrder) -> OrderRequest:
    wish = _wish(
        order.symbol, order.side, order.type, order.time_in_force, order.leaves, order.price,
        order.stp, reduce_only=order.reduce_only,
    )  # fmt: skip
    return replace(wish, client_order_id=str(order.order_id))


def _wish(
    symbol: str,
    side: Side,
    kind: FuturesType,
    tif: FuturesTif,
    quantity: int,
    price: int,
    stp: SelfTradePrevention,
    *,
    reduce_only: bool,
) -> OrderRequest:
    if kind is not FuturesType.LIMIT:
        engine_type, price, engine_tif = OrderType.MARKET, 0, TimeInForce.GTC
    elif tif is FuturesTif.GTX:
        engine_type, engine_tif = OrderType.LIMIT_MAKER, TimeInForce.GTC
    else:
        engine_type, engine_tif = OrderType.LIMIT, _TIFS.get(tif, TimeInForce.GTC)
    return OrderRequest(
        symbol, side, engine_type, quantity, price, engine_tif, stp=stp, reduce_only=reduce_only
    )


def _leg(order: FuturesOrder, account_id: str, leg_id: int, now_ms: int) -> Order:
    """Return the leg of an order that stood before a restart."""
    wish = _leg_of(order)
    return Order(
        leg_id, wish.client_order_id, account_id, order.symbol, order.side, OrderType.LIMIT,
        TimeInForce.GTC, order.price, order.leaves, 0, wish.stp, now_ms,
        reduce_only=order.reduce_only,
    )  # fmt: skip
