"""One table of every futures request: REST paths and WebSocket API methods, weight, parameters."""

from collections.abc import Callable

from tickbus_exchange.protocol.futures import FuturesData
from tickbus_exchange.protocol.futures_account import FuturesAccount
from tickbus_exchange.protocol.futures_trading import FuturesTrading
from tickbus_exchange.protocol.futures_user import ListenKeys
from tickbus_exchange.protocol.market_data import MarketData
from tickbus_exchange.protocol.operations import SIGNING, Operation, Params, Weight

Run = Callable[[Params, int], object]


class FuturesOperation(Operation, frozen=True):
    """A futures request. `keyed` needs the API key but no signature.

    `overloads` is what an overloaded venue may not carry out; of that it never throttles cancels.
    """

    keyed: bool = False
    overloads: bool = False
    throttled: bool = False


_TERMS = (
    "symbol side positionSide type timeInForce quantity reduceOnly price closePosition workingType "
    "priceProtect newOrderRespType priceMatch selfTradePreventionMode goodTillDate callbackRate"
)
_ORDER = f"{_TERMS} newClientOrderId stopPrice activationPrice"
_ALGO = f"{_TERMS} algoType clientAlgoId triggerPrice activatePrice activationPrice"
_ONE = "symbol orderId origClientOrderId"
_AMEND = f"{_ONE} side quantity price priceMatch modifyId"
_ONE_ALGO = "symbol algoId clientAlgoId"
_HISTORY = "symbol startTime endTime limit"


_METHODS = {"ticker/price": "ticker.price", "ticker/bookTicker": "ticker.book"}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _depth_weight(values: Params) -> int:
    limit = values.get("limit", "500")
    levels = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 10 else 500
    return next((w for most, w in ((50, 2), (100, 5), (500, 10)) if levels <= most), 20)


def _open_weight(values: Params) -> int:
    return 1 if "symbol" in values else 40


class FuturesOperations:
    """Looks up an operation by REST (method, path) or by WebSocket API method."""

    def __init__(
        self,
        market: MarketData,
        data: FuturesData,
        trading: FuturesTrading,
        account: FuturesAccount,
        keys: ListenKeys,
    ) -> None:
        self.rest: dict[tuple[str, str], Operation] = {}
        self.socket: dict[str, Operation] = {}
        self._add_public(market, data)
        self._add_orders(trading)
        self._add_algos(trading)
        self._add_queries(trading)
        self._add_account(account)
        self._add_listen_key(keys)

    def _add_public(self, market: MarketData, data: FuturesData) -> None:
        for path, run, weight, names in (
            ("ping", market.ping, 1, ""),
            ("time", market.time, 1, ""),
            ("exchangeInfo", data.exchange_info, 1, ""),
            ("depth", data.depth, _depth_weight, "symbol limit"),
            ("ticker/price", market.ticker_price, 2, "symbol"),
            ("ticker/bookTicker", market.book_ticker, 5, "symbol"),
            ("premiumIndex", data.premium_index, 1, "symbol"),
        ):
            operation = FuturesOperation(run, weight, _names(names))
            self.rest["GET", f"/fapi/v1/{path}"] = operation
            self.socket[_METHODS.get(path, path)] = operation

    def _signed(
        self,
        verb: str,
        path: str,
        run: Run,
        weight: int | Weight,
        names: str = "",
        *,
        method: str = "",
        places: bool = False,
        cancels: bool = False,
        queries: bool = False,
    ) -> None:
        operation = FuturesOperation(
            run, weight, _names(names) | SIGNING, signed=True, counts_orders=places,
            trades=verb != "GET", queries=queries, overloads=cancels or places, throttled=places,
        )  # fmt: skip
        self.rest[verb, f"/fapi/{path}"] = operation
        if method:
            self.socket[method] = operation

    def _add_orders(self, t: FuturesTrading) -> None:
        signed = self._signed
        signed("POST", "v1/order", t.place, 0, _ORDER, method="order.place", places=True)
        signed("POST", "v1/order/test", t.test, 0, _ORDER)
        signed("PUT", "v1/order", t.amend, 1, _AMEND, method="order.modify", places=True)
        signed("DELETE", "v1/order", t.cancel, 1, _ONE, method="order.cancel", cancels=True)
        signed("GET", "v1/order", t.order, 1, _ONE, method="order.status", queries=True)
        signed("DELETE", "v1/allOpenOrders", t.cancel_all, 1, "symbol", cancels=True)
        signed("POST", "v1/batchOrders", t.batch, 5, "batchOrders", places=True)
        signed("PUT", "v1/batchOrders", t.amend_batch, 5, "batchOrders", places=True)
        lists = "symbol orderIdList origClientOrderIdList"
        signed("DELETE", "v1/batchOrders", t.cancel_batch, 1, lists, cancels=True)
        signed("POST", "v1/countdownCancelAll", t.countdown, 10, "symbol countdownTime")

    def _add_algos(self, t: FuturesTrading) -> None:
        signed = self._signed
        signed("POST", "v1/algoOrder", t.place_algo, 0, _ALGO, method="algoOrder.place",
               places=True)  # fmt: skip
        signed("DELETE", "v1/algoOrder", t.cancel_algo, 1, _ONE_ALGO, method="algoOrder.cancel",
               cancels=True)  # fmt: skip
        signed("GET", "v1/algoOrder", t.algo, 1, _ONE_ALGO, queries=True)
        signed("GET", "v1/openAlgoOrders", t.open_algos, _open_weight, "symbol algoType algoId")
        signed("DELETE", "v1/algoOpenOrders", t.cancel_all_algos, 1, "symbol", cancels=True)
        signed("GET", "v1/allAlgoOrders", t.all_algos, 5, f"{_HISTORY} algoId page")

    def _add_queries(self, t: FuturesTrading) -> None:
        signed = self._signed
        signed("GET", "v1/openOrder", t.open_order, 1, _ONE, queries=True)
        signed("GET", "v1/openOrders", t.open_orders, _open_weight, "symbol")
        signed("GET", "v1/allOrders", t.all_orders, 5, f"{_HISTORY} orderId")
        signed("GET", "v1/userTrades", t.user_trades, 5, f"{_HISTORY} orderId fromId")
        signed("GET", "v1/rateLimit/order", t.order_rate_limits, 1)

    def _add_account(self, a: FuturesAccount) -> None:
        signed = self._signed
        signed("GET", "v2/account", a.account_v2, 5, method="account.status")
        signed("GET", "v3/account", a.account_v3, 5, method="v2/account.status")
        signed("GET", "v2/balance", a.balance, 5, method="account.balance")
        signed("GET", "v3/balance", a.balance, 5, method="v2/account.balance")
        old_risk = "account.position"
        signed("GET", "v2/positionRisk", a.positions_v2, 5, "symbol", method=old_risk)
        risk = "v2/account.position"
        signed("GET", "v3/positionRisk", a.positions_v3, 5, "symbol", method=risk)
        signed("GET", "v1/income", a.income, 30, f"{_HISTORY} incomeType page")
        signed("POST", "v1/leverage", a.set_leverage, 1, "symbol leverage")
        signed("POST", "v1/marginType", a.set_margin_type, 1, "symbol marginType")
        signed("POST", "v1/positionSide/dual", a.set_dual, 1, "dualSidePosition")
        signed("GET", "v1/positionSide/dual", a.dual, 30)
        signed("GET", "v1/multiAssetsMargin", a.multi_assets, 30)
        signed("GET", "v1/accountConfig", a.account_config, 5)
        signed("GET", "v1/symbolConfig", a.symbol_config, 5, "symbol")
        signed("GET", "v1/leverageBracket", a.leverage_brackets, 1, "symbol")
        signed("GET", "v1/commissionRate", a.commission, 20, "symbol")

    def _add_listen_key(self, keys: ListenKeys) -> None:
        def start(_: Params, now_ms: int) -> object:
            return {"listenKey": keys.start(now_ms)}

        def keep(_: Params, now_ms: int) -> object:
            return {"listenKey": keys.keep(now_ms)}

        def stop(_: Params, now_ms: int) -> object:
            keys.stop()
            return {}

        # Some clients name the key, or sign although they need not; neither is looked at.
        names = _names("listenKey") | SIGNING
        for verb, method, run in (
            ("POST", "start", start), ("PUT", "ping", keep), ("DELETE", "stop", stop),
        ):  # fmt: skip
            operation = FuturesOperation(run, 1, names, keyed=True)
            self.rest[verb, "/fapi/v1/listenKey"] = operation
            self.socket[f"userDataStream.{method}"] = operation
