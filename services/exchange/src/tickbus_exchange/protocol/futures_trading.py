"""Signed futures requests about orders, plain and conditional. Returns JSON to be sent."""

from collections.abc import Callable

from tickbus_exchange.engine.futures_algos import FuturesAlgos
from tickbus_exchange.engine.futures_checks import FuturesRefusal, Refused
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_keeper import FuturesKeeper
from tickbus_exchange.engine.futures_types import AlgoOrder, FuturesOrder, FuturesRequest
from tickbus_exchange.engine.orders import Side
from tickbus_exchange.protocol import errors, futures_errors, futures_render, params
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.futures_limits import FuturesLimiter
from tickbus_exchange.protocol.futures_requests import (
    Params,
    amount,
    client_id,
    json_list,
    new_algo,
    new_order,
    one_symbol,
)
from tickbus_exchange.protocol.futures_windows import is_forgotten, window
from tickbus_exchange.venue import TRADING, Venue

RESPONSE_TYPES = ("ACK", "RESULT")
BATCH_MAX = 5
BATCH_CANCEL_MAX = 10
_ALL_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


class FuturesTrading:
    """Answers what orders need."""

    def __init__(
        self,
        desk: FuturesDesk,
        algos: FuturesAlgos,
        keeper: FuturesKeeper,
        limiter: FuturesLimiter,
        venue: Venue,
        account_id: str,
    ) -> None:
        self._desk = desk
        self._algos = algos
        self._keeper = keeper
        self._limiter = limiter
        self._books = {s: m.book for s, m in venue.engine.markets.items()}
        self._statuses = venue.statuses
        self._account_id = account_id

    def _count(self, now_ms: int, orders: int = 1) -> None:
        self._limiter.check_orders(now_ms, self._account_id)
        self._limiter.count_batch(now_ms, self._account_id, orders)

    # -- new orders ----------------------------------------------------------------------------

    def place(self, values: Params, now_ms: int) -> object:
        """Place an order."""
        self._count(now_ms)
        return self._place(values, now_ms)

    def _place(self, values: Params, now_ms: int) -> object:
        request = self._request(values)
        wants_result = _response_type(values) == "RESULT"
        order = _accepted(self._desk.place(request, now_ms))
        latest = self._desk.books.orders[order.order_id]
        return futures_render.placed(latest if wants_result else order)

    def _request(self, values: Params) -> FuturesRequest:
        self._check_status(values)
        return new_order(values, self._desk, self._books)

    def _check_status(self, values: Params) -> None:
        """Refuse what only a symbol that trades takes."""
        if self._statuses[one_symbol(self._desk.rules, values)] != TRADING:
            raise futures_errors.not_trading()

    def test(self, values: Params, now_ms: int) -> object:
        """Check an order as `place` would, without placing it."""
        request = self._request(values)
        _response_type(values)
        refused = self._desk.check(request, now_ms)
        if refused is not None:
            raise futures_errors.refused(refused)
        return {}

    def batch(self, values: Params, now_ms: int) -> object:
        """Place up to five orders; each succeeds or fails for itself."""
        items = json_list(values, "batchOrders", list[dict[str, object]], BATCH_MAX)
        self._count(now_ms, len(items))
        return [_each(self._place, item, now_ms) for item in items]

    # -- changes and cancels -------------------------------------------------------------------

    def amend(self, values: Params, now_ms: int) -> object:
        """Change a limit order's price and quantity."""
        self._count(now_ms)
        return self._amend(values, now_ms)

    def _amend(self, values: Params, now_ms: int) -> object:
        self._check_status(values)
        symbol = one_symbol(self._desk.rules, values)
        rules = self._desk.rules[symbol]
        side_error = ApiError(-1117, "Invalid side.")
        side = params.choice(Side, params.required(values, "side"), side_error)
        for name in ("quantity", "price"):
            params.required(values, name)
        quantity = amount(values, "quantity", futures_render.decimals(rules.step_size)) or 0
        price = amount(values, "price", futures_render.price_precision(rules)) or 0
        order = self._find(values)
        if order is None or not order.is_live:
            raise errors.no_such_order()
        if order.side is not side:
            raise ApiError(-1117, "Invalid side.")
        amended = _accepted(self._desk.amend(order, quantity, price, now_ms))
        return futures_render.placed(self._desk.books.orders[amended.order_id])

    def amend_batch(self, values: Params, now_ms: int) -> object:
        """Change up to five orders."""
        items = json_list(values, "batchOrders", list[dict[str, object]], BATCH_MAX)
        self._count(now_ms, len(items))
        return [_each(self._amend, item, now_ms) for item in items]

    def _find(self, values: Params) -> FuturesOrder | None:
        symbol = one_symbol(self._desk.rules, values)
        order_id = params.long(values, "orderId")
        client_order_id = client_id(values, "origClientOrderId")
        if order_id is None and client_order_id is None:
            raise _neither("origClientOrderId", "orderId")
        return self._desk.books.find(symbol, order_id, client_order_id)

    def cancel(self, values: Params, now_ms: int) -> object:
        """Cancel one order."""
        order = self._find(values)
        if order is None or not order.is_live:
            raise futures_errors.refused(Refused(FuturesRefusal.UNKNOWN_ORDER))
        return futures_render.placed(self._desk.cancel(order, now_ms))

    def cancel_all(self, values: Params, now_ms: int) -> object:
        """Cancel the plain orders of a symbol; conditional ones stay."""
        self._keeper.cancel_all(one_symbol(self._desk.rules, values), now_ms)
        return _ALL_DONE

    def cancel_batch(self, values: Params, now_ms: int) -> object:
        """Cancel up to ten orders named by id, or by client id."""
        symbol = one_symbol(self._desk.rules, values)
        if "orderIdList" in values:
            ids = json_list(values, "orderIdList", list[int], BATCH_CANCEL_MAX)
            name = "orderId"
        elif "origClientOrderIdList" in values:
            ids = json_list(values, "origClientOrderIdList", list[str], BATCH_CANCEL_MAX)
            name = "origClientOrderId"
        else:
            raise _neither("origClientOrderIdList", "orderIdList")
        return [_each(self.cancel, {"symbol": symbol, name: i}, now_ms) for i in ids]

    def countdown(self, values: Params, now_ms: int) -> object:
        """Arm, renew or (with 0) stop the dead man's switch of a symbol."""
        symbol = one_symbol(self._desk.rules, values)
        params.required(values, "countdownTime")
        countdown_ms = params.long(values, "countdownTime")
        if countdown_ms is None or countdown_ms < 0:
            raise errors.invalid("countdownTime")
        self._keeper.arm(symbol, countdown_ms, now_ms)
        return {"symbol": symbol, "countdownTime": str(countdown_ms)}

    # -- queries -------------------------------------------------------------------------------

    def order(self, values: Params, now_ms: int) -> object:
        """Return one order, live or not, unless it is so old that the venue forgot it."""
        order = self._find(values)
        if order is None or is_forgotten(order, now_ms):
            raise errors.no_such_order()
        return futures_render.order(order)

    def open_order(self, values: Params, now_ms: int) -> object:
        """Return one live order."""
        order = self._find(values)
        if order is None or not order.is_live:
            raise errors.no_such_order()
        return futures_render.order(order)

    def open_orders(self, values: Params, now_ms: int) -> object:
        """Return the live orders of one or all symbols."""
        desk = self._desk
        names = [one_symbol(desk.rules, values)] if "symbol" in values else list(desk.books.live)
        return [
            futures_render.order(order)
            for name in names
            for order in desk.books.working_orders(name).values()
        ]

    def all_orders(self, values: Params, now_ms: int) -> object:
        """Return orders in any state, oldest first, of seven days at most."""
        symbol = one_symbol(self._desk.rules, values)
        first, count = params.long(values, "orderId"), params.limit(values, 500, 1_000)
        start, end, forward = window(values, now_ms)
        orders = [
            o
            for o in self._desk.books.orders.values()
            if o.symbol == symbol and start <= o.time_ms <= end and not is_forgotten(o, now_ms)
        ]
        if first is not None:
            orders = [o for o in orders if o.order_id >= first]
            forward = True
        return [futures_render.order(o) for o in (orders[:count] if forward else orders[-count:])]

    def user_trades(self, values: Params, now_ms: int) -> object:
        """Return fills, oldest first, of seven days at most, or from `fromId` on."""
        symbol = one_symbol(self._desk.rules, values)
        first, order_id = params.long(values, "fromId"), params.long(values, "orderId")
        count = params.limit(values, 500, 1_000)
        if first is not None and ("startTime" in values or "endTime" in values):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        start, end, forward = window(values, now_ms)
        fills = self._desk.books.fills.get(symbol, [])
        if first is not None:
            fills, forward = [f for f in fills if f.trade_id >= first], True
        else:
            fills = [f for f in fills if start <= f.time_ms <= end]
        if order_id is not None:
            fills = [f for f in fills if f.order_id == order_id]
        return [futures_render.fill(f) for f in (fills[:count] if forward else fills[-count:])]

    def order_rate_limits(self, values: Params, now_ms: int) -> object:
        """Return how many orders may be placed in each interval."""
        return self._limiter.describe()[1:]

    # -- conditional orders --------------------------------------------------------------------

    def place_algo(self, values: Params, now_ms: int) -> object:
        """Place a conditional order."""
        self._count(now_ms)
        self._check_status(values)
        algo = new_algo(values, self._desk, self._books, self._algos.next_id(), now_ms)
        placed = self._algos.place(algo, now_ms)
        if isinstance(placed, Refused):
            raise futures_errors.refused(placed)
        return futures_render.algo(placed)

    def _find_algo(self, values: Params) -> AlgoOrder | None:
        algo_id, client = params.long(values, "algoId"), client_id(values, "clientAlgoId")
        if algo_id is None and client is None:
            raise _neither("clientAlgoId", "algoId")
        return self._desk.books.find_algo(algo_id, client)

    def cancel_algo(self, values: Params, now_ms: int) -> object:
        """Cancel one conditional order."""
        algo = self._find_algo(values)
        if algo is None or not algo.is_open:
            raise futures_errors.refused(Refused(FuturesRefusal.UNKNOWN_ORDER))
        self._algos.cancel(algo, now_ms)
        return {
            "algoId": algo.algo_id, "clientAlgoId": algo.client_algo_id, "code": "200",
            "msg": "success",
        }  # fmt: skip

    def cancel_all_algos(self, values: Params, now_ms: int) -> object:
        """Cancel every conditional order of a symbol."""
        symbol = one_symbol(self._desk.rules, values)
        for algo in tuple(self._desk.books.open_algos.values()):
            if algo.symbol == symbol:
                self._algos.cancel(algo, now_ms)
        return _ALL_DONE

    def algo(self, values: Params, now_ms: int) -> object:
        """Return one conditional order."""
        algo = self._find_algo(values)
        if algo is None:
            raise errors.no_such_order()
        return futures_render.algo(algo)

    def open_algos(self, values: Params, now_ms: int) -> object:
        """Return the conditional orders that still wait."""
        symbol = one_symbol(self._desk.rules, values) if "symbol" in values else None
        found = self._desk.books.open_algos.values()
        return [futures_render.algo(a) for a in found if symbol in {None, a.symbol}]

    def all_algos(self, values: Params, now_ms: int) -> object:
        """Return conditional orders in any state, oldest first, of seven days at most."""
        symbol = one_symbol(self._desk.rules, values)
        first, count = params.long(values, "algoId"), params.limit(values, 500, 1_000)
        start, end, forward = window(values, now_ms)
        found = [
            a
            for a in self._desk.books.algos.values()
            if a.symbol == symbol and start <= a.create_ms <= end and a.algo_id >= (first or 0)
        ]
        forward = forward or first is not None
        return [futures_render.algo(a) for a in (found[:count] if forward else found[-count:])]


def _accepted(result: FuturesOrder | Refused) -> FuturesOrder:
    if isinstance(result, Refused):
        raise futures_errors.refused(result)
    return result


def _each(run: Callable[[Params, int], object], item: object, now_ms: int) -> object:
    """Return one answer of a batch: what was asked for, or the error."""
    assert isinstance(item, dict)
    values = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in item.items()}
    try:
        return run(values, now_ms)
    except ApiError as error:
        return {"code": error.code, "msg": error.message}


def _response_type(values: Params) -> str:
    response_type = values.get("newOrderRespType", "ACK")
    if response_type not in RESPONSE_TYPES:
        raise errors.invalid("newOrderRespType")
    return response_type


def _neither(one: str, other: str) -> ApiError:
    return ApiError(-1102, f"Param '{one}' or '{other}' must be sent, but both were empty/null!")
