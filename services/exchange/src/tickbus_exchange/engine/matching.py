"""The matching engine: price-time priority, settlement and self-trade prevention; no IO.

Consumes: `submit`, `cancel` and `amend`, each with the time in milliseconds.
Produces: the order or a Refusal, and, until the next `drain`, every Trade and every Report of a
tracked account, in the order they happened.
Invariants: the book is never crossed after a call returns; no balance is ever negative; what one
account gains another loses, fees included; order, trade and execution ids only rise.
"""

from collections.abc import Iterable

from tickbus_exchange.engine.account import Account, locked_asset
from tickbus_exchange.engine.amendments import check_amendment
from tickbus_exchange.engine.book import Book, Level
from tickbus_exchange.engine.filters import Situation, SymbolRules, first_failure
from tickbus_exchange.engine.numbers import SCALE, affordable, notional
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
    Trade,
)
from tickbus_exchange.engine.reports import NO_FILL, FillOfOrder, make_report
from tickbus_exchange.engine.stops import Stops, is_reached


class Market:
    """One symbol: its rules, book, stops, trade counter and the average price that filters use."""

    __slots__ = ("average_price", "book", "last_price", "rules", "stops", "trade_id")

    def __init__(self, rules: SymbolRules, last_price: int = 0) -> None:
        self.rules = rules
        self.book = Book()
        self.stops = Stops()
        self.trade_id = 0
        self.last_price = last_price
        self.average_price = last_price


class Engine:
    """All markets and all accounts. Fee rates are 1e-8 fractions of what is received."""

    def __init__(self, rules: Iterable[SymbolRules], maker_fee: int, taker_fee: int) -> None:
        self.markets = {r.symbol: Market(r) for r in rules}
        self.accounts: dict[str, Account] = {}
        self.maker_fee = maker_fee
        self.taker_fee = taker_fee
        self.fee_asset_rate = SCALE
        """Part of a fee, in 1e-8, that is owed where it is paid in the account's `fee_asset`."""
        self.fees: dict[str, int] = {}
        self.order_id = 0
        self.execution_id = 0
        self._events: list[Trade | Report] = []

    def add_account(self, account: Account) -> Account:
        """Open an account; a second one of the same name replaces the first."""
        self.accounts[account.account_id] = account
        return account

    def drain(self) -> list[Trade | Report]:
        """Return what happened since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    # -- requests ----------------------------------------------------------------------------

    def check(self, account_id: str, request: OrderRequest) -> Refusal | None:
        """Return why `submit` would refuse `request` now, None if it would not."""
        return self._check(self.accounts[account_id], self.markets[request.symbol], request)[0]

    def preview(self, account_id: str, request: OrderRequest) -> tuple[int, int, int]:
        """Return the (quantity, quote) that would trade now and the quantity that would not."""
        return self._preview(self.accounts[account_id], self.markets[request.symbol], request)

    def submit(self, account_id: str, request: OrderRequest, now_ms: int) -> Order | Refusal:
        """Take an order: refuse it, or match it, then let it rest or expire."""
        account, market = self.accounts[account_id], self.markets[request.symbol]
        refusal, lock = self._check(account, market, request)
        if refusal is not None:
            return refusal
        order = self._accept(account, market, request, lock, now_ms)
        if order.stop_price:
            market.stops.add(order)
            return order
        self._work(account, market, order, now_ms)
        if market.stops.reached:
            self._trigger(market, now_ms)
        return order

    def _work(self, account: Account, market: Market, order: Order, now_ms: int) -> None:
        """Match an order, then let what is left of it rest or expire."""
        if order.time_in_force is TimeInForce.FOK and not self._can_fill(account, market, order):
            self._expire(account, market, order, now_ms)
            return
        self._match(account, market, order, now_ms)
        if order.is_live:
            self._rest_or_expire(account, market, order, now_ms)

    def cancel(
        self, account_id: str, symbol: str, order_id: int, now_ms: int, cancel_id: str = ""
    ) -> Order | Refusal:
        """Take a live order out of the book and free what it locked."""
        account, market = self.accounts[account_id], self.markets[symbol]
        order = account.working_orders(symbol).get(order_id)
        if order is None:
            return Refusal.UNKNOWN_ORDER
        self._remove(market, order)
        self._close(account, market, order, OrderStatus.CANCELED)
        if account.tracked:
            self._report(
                account, market, order, now_ms, ExecutionType.CANCELED, cancel_id=cancel_id
            )
        return order

    def amend(
        self,
        account_id: str,
        symbol: str,
        order_id: int,
        quantity: int,
        now_ms: int,
        client_order_id: str,
    ) -> Order | Refusal:
        """Make a live order smaller and rename it; it keeps its place in the queue."""
        account, market = self.accounts[account_id], self.markets[symbol]
        order = account.working_orders(symbol).get(order_id)
        if order is None:
            return Refusal.UNKNOWN_ORDER
        now = Situation(market.average_price, 0)
        refusal = check_amendment(account, market.rules, now, order, quantity, client_order_id)
        if refusal is not None:
            return refusal
        name, before = order.client_order_id, order.quantity
        order.client_order_id, order.quantity = client_order_id, quantity
        order.amendments += 1
        kept = _standing_lock(order)
        rules = market.rules
        account.unlock(locked_asset(order.side, rules.base, rules.quote), order.locked - kept)
        order.locked = kept
        if not order.is_waiting:
            market.book.side(order.side).reduce(order, before - quantity)
            market.book.touch(order.side, order.price)
        if account.tracked:
            self._report(
                account, market, order, now_ms, ExecutionType.REPLACED, former=(name, before)
            )
        return order

    def restore(self, order: Order) -> None:
        """Put a live order from the journal back into its book, last in its queue."""
        market = self.markets[order.symbol]
        account = self.accounts[order.account_id]
        order.locked = _standing_lock(order)
        rules = market.rules
        account.lock(locked_asset(order.side, rules.base, rules.quote), order.locked)
        account.working_orders(order.symbol)[order.order_id] = order
        self._rest(market, order)

    # -- stop orders -------------------------------------------------------------------------

    def _trigger(self, market: Market, now_ms: int) -> None:
        """Put every order to work whose stop price was reached, also by one before it."""
        reached = market.stops.reached
        while reached:
            order = reached.pop(0)
            account = self.accounts[order.account_id]
            order.triggered_ms = now_ms
            if not order.price and not self._lock_cost(account, market, order):
                self._expire(account, market, order, now_ms)
                continue
            if account.tracked:
                self._report(account, market, order, now_ms, ExecutionType.NEW)
            self._work(account, market, order, now_ms)

    def _lock_cost(self, account: Account, market: Market, order: Order) -> bool:
        """Lock what a triggered market order will pay; False where the account has too little."""
        if order.side is Side.SELL:
            return True
        quote = market.rules.quote
        account.unlock(quote, order.locked)
        order.locked = 0
        cost = self._preview(account, market, order)[1]
        if cost > account.balance(quote).free:
            return False
        account.lock(quote, cost)
        order.locked = cost
        return True

    # -- before the match --------------------------------------------------------------------

    def _check(
        self, account: Account, market: Market, request: OrderRequest
    ) -> tuple[Refusal | None, int]:
        """Return (refusal, 0) or (None, what the order would lock)."""
        rules = market.rules
        working = account.working_orders(request.symbol)
        if account.tracked and not account.on_margin:
            stops = account.stop_orders(request.symbol) if request.stop_price else 0
            situation = Situation(market.average_price, len(working), stops)
            refusal = first_failure(request, rules, situation)
            if refusal is not None:
                return refusal, 0
            if request.client_order_id and account.find(request.symbol, request.client_order_id):
                return Refusal.DUPLICATE, 0
        if request.type is OrderType.LIMIT_MAKER and market.book.crosses(
            request.side, request.price
        ):
            return Refusal.WOULD_TAKE, 0
        if request.stop_price and is_reached(request, market.last_price):
            return Refusal.WOULD_TRIGGER, 0
        needed = lock = self._lock_for(account, market, request)
        if request.type is OrderType.MARKET and request.quote_quantity:
            if lock == 0:
                return Refusal.NO_LIQUIDITY, 0
            needed = request.quote_quantity if request.side is Side.BUY else lock
        asset = locked_asset(request.side, rules.base, rules.quote)
        if needed > account.balance(asset).free:
            return Refusal.INSUFFICIENT_BALANCE, 0
        return None, lock

    def _lock_for(self, account: Account, market: Market, request: OrderRequest) -> int:
        """Return what the order must set aside, in the asset it pays with."""
        if request.stop_price and not request.price and request.side is Side.BUY:
            return notional(request.stop_price, request.quantity)
        if request.type is OrderType.MARKET:
            quantity, cost, _ = self._preview(account, market, request)
            if request.side is Side.BUY:
                return cost
            return quantity if request.quote_quantity else request.quantity
        if request.side is Side.BUY:
            return notional(request.price, request.quantity)
        return request.quantity

    def _preview(
        self, account: Account, market: Market, request: OrderRequest | Order
    ) -> tuple[int, int, int]:
        """Return the (quantity, quote) that would trade now and the quantity that would not."""
        quantity, cost, step = 0, 0, market.rules.step_size
        price = market.last_price
        ladder, own = market.book.opposite(request.side), account.account_id

        def missing() -> int:
            if request.quote_quantity:
                return affordable(request.quote_quantity - cost, price, step)
            return request.quantity - quantity

        for key in reversed(ladder.keys):
            level = ladder.levels[key * ladder.sign]
            if request.price and not _reaches(request, level.price):
                break
            price = level.price
            for maker in level.orders.values():
                if maker.account_id == own and request.stp is not SelfTradePrevention.NONE:
                    if request.stp is SelfTradePrevention.EXPIRE_MAKER:
                        continue
                    return quantity, cost, missing()
                traded = min(missing(), maker.leaves)
                if traded == 0:
                    return quantity, cost, 0
                quantity += traded
                cost += notional(price, traded)
        return quantity, cost, missing()

    def _can_fill(self, account: Account, market: Market, order: Order) -> bool:
        return self._preview(account, market, order)[2] == 0

    def _accept(
        self, account: Account, market: Market, request: OrderRequest, lock: int, now_ms: int
    ) -> Order:
        self.order_id += 1
        order = Order(
            self.order_id, request.client_order_id, account.account_id, request.symbol,
            request.side, request.type, request.time_in_force, request.price, request.quantity,
            request.quote_quantity, request.stp, now_ms, stop_price=request.stop_price,
            reduce_only=request.reduce_only,
        )  # fmt: skip
        if order.quote_quantity:
            quantity, _, missing = self._preview(account, market, request)
            order.quantity = quantity + missing
        rules = market.rules
        account.lock(locked_asset(order.side, rules.base, rules.quote), lock)
        order.locked = lock
        account.working_orders(order.symbol)[order.order_id] = order
        if account.tracked:
            self._report(account, market, order, now_ms, ExecutionType.NEW)
        return order

    # -- the match ---------------------------------------------------------------------------

    def _match(self, account: Account, market: Market, taker: Order, now_ms: int) -> None:
        ladder = market.book.opposite(taker.side)
        is_market = not taker.price
        guarded = taker.stp is not SelfTradePrevention.NONE
        while taker.is_live:
            level = ladder.best()
            if level is None or not (is_market or _reaches(taker, level.price)):
                return
            maker = level.first()
            if guarded and maker.account_id == taker.account_id:
                self._prevent(account, market, taker, maker, now_ms)
                continue
            quantity = min(taker.leaves, maker.leaves)
            if maker.reduce_only:
                quantity = min(quantity, self._room(market, maker))
                if quantity == 0:
                    self._remove(market, maker)
                    self._expire(self.accounts[maker.account_id], market, maker, now_ms)
                    continue
            self._trade(account, market, taker, maker, level, quantity, now_ms)

    def _room(self, market: Market, maker: Order) -> int:
        return self.accounts[maker.account_id].room(maker, market.rules.base)

    def _trade(
        self,
        account: Account,
        market: Market,
        taker: Order,
        maker: Order,
        level: Level,
        quantity: int,
        now_ms: int,
    ) -> None:
        price = level.price
        quote = notional(price, quantity)
        market.trade_id += 1
        market.last_price = price
        if market.stops.waiting:
            market.stops.see(price)
        buyer_is_maker = maker.side is Side.BUY
        buyer, seller = (maker, taker) if buyer_is_maker else (taker, maker)
        trade = Trade(
            taker.symbol, market.trade_id, price, quantity, quote, buyer.order_id,
            seller.order_id, taker.order_id, buyer_is_maker, now_ms,
        )  # fmt: skip
        self._events.append(trade)
        maker_account = self.accounts[maker.account_id]
        taker_fee = self._settle(account, market, taker, price, quantity, quote, self.taker_fee)
        maker_fee = self._settle(
            maker_account, market, maker, price, quantity, quote, self.maker_fee
        )
        market.book.opposite(taker.side).fill(level, maker, quantity)
        market.book.touch(maker.side, price)
        for order, owner, fee in ((maker, maker_account, maker_fee), (taker, account, taker_fee)):
            if order.leaves == 0:
                self._close(owner, market, order, OrderStatus.FILLED)
            else:
                order.status = OrderStatus.PARTIALLY_FILLED
            if owner.tracked:
                self._report(
                    owner, market, order, now_ms, ExecutionType.TRADE,
                    fill=(quantity, price, quote, *fee, market.trade_id), is_maker=order is maker,
                )  # fmt: skip

    def _settle(
        self,
        account: Account,
        market: Market,
        order: Order,
        price: int,
        quantity: int,
        quote: int,
        fee_rate: int,
    ) -> tuple[int, str]:
        """Move both assets of one side of a trade; return the fee and its asset."""
        base, quote_asset = market.rules.base, market.rules.quote
        order.filled += quantity
        order.quote_filled += quote
        if order.side is Side.BUY:
            paid_asset, paid, got_asset, got = quote_asset, quote, base, quantity
            released = notional(order.price, quantity) if order.price else quote
        else:
            paid_asset, paid, got_asset, got = base, quantity, quote_asset, quote
            released = quantity
        fee = 0 if account.on_margin else got * fee_rate // SCALE
        account.unlock(paid_asset, released)
        order.locked -= released
        account.balance(paid_asset).free -= paid
        account.balance(got_asset).free += got
        fee_asset = got_asset
        if account.fee_asset and fee:
            value = fee if got_asset == quote_asset else notional(price, fee)
            owed = self._owed(account, quote_asset, value)
            if owed:
                fee, fee_asset = owed, account.fee_asset
        account.balance(fee_asset).free -= fee
        self.fees[fee_asset] = self.fees.get(fee_asset, 0) + fee
        return fee, fee_asset

    def _owed(self, account: Account, quote_asset: str, value: int) -> int:
        """Return a fee of `value` quote units in the account's fee asset, 0 if it cannot pay so."""
        pair = self.markets.get(account.fee_asset + quote_asset)
        if pair is None:
            return 0
        owed = value * self.fee_asset_rate // pair.last_price
        return owed if owed <= account.balance(account.fee_asset).free else 0

    def _prevent(
        self, account: Account, market: Market, taker: Order, maker: Order, now_ms: int
    ) -> None:
        """Expire whichever of two orders of one account its self-trade prevention mode names."""
        quantity = min(taker.leaves, maker.leaves)
        self.execution_id += 1
        prevention = (self.execution_id, quantity, maker.price)
        losers = {
            SelfTradePrevention.EXPIRE_MAKER: ((maker, taker),),
            SelfTradePrevention.EXPIRE_TAKER: ((taker, maker),),
        }.get(taker.stp, ((maker, taker), (taker, maker)))
        for order, counter in losers:
            if order is maker:
                self._remove(market, order)
            order.prevented += quantity
            self._close(account, market, order, OrderStatus.EXPIRED_IN_MATCH)
            if account.tracked:
                self._report(
                    account, market, order, now_ms, ExecutionType.TRADE_PREVENTION,
                    prevention=prevention, counter=counter,
                )  # fmt: skip

    # -- after the match ---------------------------------------------------------------------

    def _rest_or_expire(self, account: Account, market: Market, order: Order, now_ms: int) -> None:
        if order.price and order.time_in_force is TimeInForce.GTC:
            self._rest(market, order)
        else:
            self._expire(account, market, order, now_ms)

    def _rest(self, market: Market, order: Order) -> None:
        if order.is_waiting:
            market.stops.add(order)
            return
        market.book.side(order.side).add(order)
        market.book.touch(order.side, order.price)

    def _remove(self, market: Market, order: Order) -> None:
        if order.is_waiting:
            market.stops.remove(order)
            return
        market.book.side(order.side).remove(order)
        market.book.touch(order.side, order.price)

    def _expire(self, account: Account, market: Market, order: Order, now_ms: int) -> None:
        self._close(account, market, order, OrderStatus.EXPIRED)
        if account.tracked:
            self._report(account, market, order, now_ms, ExecutionType.EXPIRED)

    def _close(self, account: Account, market: Market, order: Order, status: OrderStatus) -> None:
        """Make an order final and free what it still locks."""
        order.status = status
        if order.locked:
            rules = market.rules
            account.unlock(locked_asset(order.side, rules.base, rules.quote), order.locked)
            order.locked = 0
        account.working_orders(order.symbol).pop(order.order_id, None)

    def _report(
        self,
        account: Account,
        market: Market,
        order: Order,
        now_ms: int,
        execution_type: ExecutionType,
        *,
        fill: FillOfOrder = NO_FILL,
        is_maker: bool = False,
        cancel_id: str = "",
        prevention: tuple[int, int, int] = (-1, 0, 0),
        counter: Order | None = None,
        former: tuple[str, int] = ("", 0),
    ) -> None:
        self.execution_id += 1
        report = make_report(
            self.execution_id, account, market.rules, order, now_ms, execution_type, fill,
            is_maker=is_maker, cancel_id=cancel_id, prevention=prevention, counter=counter,
            former=former,
        )  # fmt: skip
        self._events.append(report)


def _standing_lock(order: Order) -> int:
    """Return what an order that stands or waits must set aside, in the asset it pays with."""
    if order.side is Side.SELL:
        return order.leaves
    return notional(order.price or order.stop_price, order.leaves)


def _reaches(order: OrderRequest | Order, price: int) -> bool:
    """Whether a limit order's price is as good as `price` for the other side."""
    return order.price >= price if order.side is Side.BUY else order.price <= price
