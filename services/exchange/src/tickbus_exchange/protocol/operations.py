"""One table of everything that can be asked: REST and WebSocket API names, weight, parameters."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.market_data import MarketData
from tickbus_exchange.protocol.trading import Trading
from tickbus_exchange.protocol.wallet import Wallet
from tickbus_exchange.venue import USER, Venue

Params = dict[str, str]
Weight = Callable[[Params], int]
SIGNING = frozenset({"timestamp", "recvWindow", "signature"})


class Operation(msgspec.Struct, frozen=True):
    """How one request is answered. `free_on_success`: only a refusal costs its weight."""

    run: Callable[[Params, int], object]
    weight: int | Weight
    names: frozenset[str]
    signed: bool = False
    free_on_success: bool = False
    counts_orders: bool = False
    trades: bool = False
    """Whether the key must be allowed to trade, not just to read."""
    queries: bool = False
    """Whether it asks for one order."""
    of_key: bool = False
    """Whether it asks what the key itself may do; then the key answers, and not `run`."""

    def cost(self, values: Params) -> int:
        """Return the request weight of asking with `values`."""
        return self.weight if isinstance(self.weight, int) else self.weight(values)


_ORDER = (
    "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId "
    "strategyType stopPrice trailingDelta icebergQty newOrderRespType selfTradePreventionMode "
    "pegPriceType pegOffsetType pegOffsetValue"
)
_CANCEL = "symbol orderId origClientOrderId newClientOrderId cancelRestrictions"
_REPLACE = (
    "cancelReplaceMode cancelOrderId cancelOrigClientOrderId cancelNewClientOrderId "
    "cancelRestrictions orderRateLimitExceededMode"
)


def _depth_weight(values: Params) -> int:
    limit = values.get("limit", "100")
    levels = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 10 else 100
    return next((w for most, w in ((100, 5), (500, 25), (1_000, 50)) if levels <= most), 250)


def _by_symbol(one: int, every: int) -> Weight:
    return lambda values: one if "symbol" in values else every


def _my_trades_weight(values: Params) -> int:
    return 5 if "orderId" in values else 20


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Table(Protocol):
    """What one account may ask for, by REST (method, path) and by WebSocket API method."""

    rest: dict[tuple[str, str], Operation]
    socket: dict[str, Operation]


class Operations:
    """One account's operations by REST (method, path) or by WebSocket API method."""

    def __init__(
        self,
        venue: Venue,
        limiter: Limiter,
        account_id: str = USER,
        market: MarketData | None = None,
    ) -> None:
        market = market or MarketData(venue, limiter)
        trading = Trading(venue, limiter, account_id)
        self.market = market
        self.rest: dict[tuple[str, str], Operation] = {}
        self.socket: dict[str, Operation] = {}
        self._add_public(market)
        self._add_signed(trading)
        self._add_wallet(Wallet(venue, account_id))

    def _public(
        self,
        path: str,
        method: str,
        run: Callable[[Params, int], object],
        weight: int | Weight,
        names: str = "",
    ) -> None:
        operation = Operation(run, weight, _names(names))
        self.rest["GET", f"/api/v3/{path}"] = operation
        self.socket[method] = operation

    def _add_public(self, market: MarketData) -> None:
        many = "symbol symbols symbolStatus permissions showPermissionSets"
        tickers = "symbol symbols symbolStatus type"
        public = self._public
        public("ping", "ping", market.ping, 1)
        public("time", "time", market.time, 1)
        public("exchangeInfo", "exchangeInfo", market.exchange_info, 20, many)
        public("depth", "depth", market.depth, _depth_weight, "symbol limit symbolStatus")
        public("trades", "trades.recent", market.trades, 25, "symbol limit")
        history = "symbol limit fromId"
        public("historicalTrades", "trades.historical", market.historical_trades, 25, history)
        aggregate = "symbol limit fromId startTime endTime"
        public("aggTrades", "trades.aggregate", market.agg_trades, 4, aggregate)
        candles = "symbol interval limit startTime endTime timeZone"
        public("klines", "klines", market.klines, 2, candles)
        public("uiKlines", "uiKlines", market.klines, 2, candles)
        public("avgPrice", "avgPrice", market.average_price, 2, "symbol")
        public("ticker/price", "ticker.price", market.ticker_price, _by_symbol(2, 4), tickers)
        public("ticker/bookTicker", "ticker.book", market.book_ticker, _by_symbol(2, 4), tickers)
        public("ticker/24hr", "ticker.24hr", market.ticker_24h, _by_symbol(2, 80), tickers)

    def _signed(
        self,
        verb: str,
        path: str,
        method: str,
        run: Callable[[Params, int], object],
        weight: int | Weight,
        names: str = "",
        *,
        free: bool = False,
        orders: bool = False,
    ) -> None:
        operation = Operation(
            run, weight, _names(names) | SIGNING, signed=True, free_on_success=free,
            counts_orders=orders, trades=verb != "GET", queries=method == "order.status",
        )  # fmt: skip
        self.rest[verb, f"/api/v3/{path}"] = operation
        self.socket[method] = operation

    def _add_signed(self, t: Trading) -> None:
        signed = self._signed
        signed("POST", "order", "order.place", t.place, 1, _ORDER, free=True, orders=True)
        test = f"{_ORDER} computeCommissionRates"
        signed("POST", "order/test", "order.test", t.test, 1, test)
        signed("DELETE", "order", "order.cancel", t.cancel, 1, _CANCEL, free=True)
        query = "symbol orderId origClientOrderId"
        signed("GET", "order", "order.status", t.order, 4, query)
        replace = f"{_ORDER} {_REPLACE}"
        signed(
            "POST", "order/cancelReplace", "order.cancelReplace", t.cancel_replace, 1, replace,
            free=True, orders=True,
        )  # fmt: skip
        amend = "symbol orderId origClientOrderId newClientOrderId newQty"
        keep = "order/amend/keepPriority"
        signed("PUT", keep, "order.amend.keepPriority", t.amend, 4, amend)
        history = "symbol orderId fromExecutionId limit"
        signed("GET", "order/amendments", "order.amendments", t.amendments, 4, history)
        open_weight = _by_symbol(6, 80)
        signed("GET", "openOrders", "openOrders.status", t.open_orders, open_weight, "symbol")
        cancel_all = "openOrders.cancelAll"
        signed("DELETE", "openOrders", cancel_all, t.cancel_all, 1, "symbol", free=True)
        history = "symbol orderId startTime endTime limit"
        signed("GET", "allOrders", "allOrders", t.all_orders, 20, history)
        fills = f"{history} fromId"
        signed("GET", "myTrades", "myTrades", t.my_trades, _my_trades_weight, fills)
        signed("GET", "account", "account.status", t.account, 20, "omitZeroBalances")
        lists = "fromId startTime endTime limit"
        signed("GET", "openOrderList", "openOrderLists.status", t.nothing, 6)
        signed("GET", "allOrderList", "allOrderLists", t.nothing, 20, lists)
        signed("GET", "myAllocations", "myAllocations", t.nothing, 20, f"symbol orderId {lists}")
        limits = "account.rateLimits.orders"
        signed("GET", "rateLimit/order", limits, t.order_rate_limits, 40)
        signed("GET", "account/commission", "account.commission", t.commission, 20, "symbol")

    def _add_wallet(self, wallet: Wallet) -> None:
        for path, run, weight, names, signed in (
            ("system/status", wallet.system_status, 1, "", False),
            ("account/status", wallet.account_status, 1, "", True),
            ("capital/config/getall", wallet.coins, 10, "", True),
            ("asset/tradeFee", wallet.trade_fees, 1, "symbol", True),
            ("margin/allPairs", wallet.no_pairs, 1, "symbol", True),
            ("margin/isolated/allPairs", wallet.no_pairs, 10, "symbol", True),
        ):
            known = _names(names) | SIGNING if signed else _names(names)
            self.rest["GET", f"/sapi/v1/{path}"] = Operation(run, weight, known, signed=signed)
        of_key = Operation(wallet.account_status, 1, SIGNING, signed=True, of_key=True)
        self.rest["GET", "/sapi/v1/account/apiRestrictions"] = of_key
