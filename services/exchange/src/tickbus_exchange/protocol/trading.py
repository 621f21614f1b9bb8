"""Signed requests of one account: orders, cancels, queries. Returns JSON to be sent."""

from bisect import bisect_left

from tickbus_exchange.config import FEE_ASSET
from tickbus_exchange.engine.account import Account
from tickbus_exchange.engine.numbers import text
from tickbus_exchange.engine.orders import (
    FILTER_REFUSALS,
    MARKET_TYPES,
    STOP_LIMIT_TYPES,
    STOP_TYPES,
    Order,
    OrderRequest,
    OrderType,
    Refusal,
    Report,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tickbus_exchange.ledger import Ledger
from tickbus_exchange.protocol import errors, params, render
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.market_data import Params, one_symbol
from tickbus_exchange.venue import TRADING, USER, Venue

DAY_MS = 86_400_000
RESPONSE_TYPES = ("ACK", "RESULT", "FULL")
_UNSUPPORTED = ("pegPriceType", "pegOffsetType", "pegOffsetValue")
_TIMED_TYPES = STOP_LIMIT_TYPES | {OrderType.LIMIT}


class Trading:
    """Answers what needs the signature of the account's owner."""

    def __init__(self, venue: Venue, limiter: Limiter, account_id: str = USER) -> None:
        self._venue = venue
        self._limiter = limiter
        self._account_id = account_id

    @property
    def _user(self) -> Account:
        return self._venue.users[self._account_id]

    @property
    def _ledger(self) -> Ledger:
        return self._venue.ledgers[self._account_id]

    # -- new orders ----------------------------------------------------------------------------

    def place(self, values: Params, now_ms: int) -> object:
        """Place an order."""
        request = self._request(values)
        reports = self._submit(request, now_ms)
        return render.placed(reports, _response_type(values, request.type))

    def test(self, values: Params, now_ms: int) -> object:
        """Check an order as `place` would, without placing it."""
        request = self._request(values)
        refusal = self._venue.engine.check(self._account_id, request)
        if refusal is not None:
            raise errors.refused(refusal)
        if values.get("computeCommissionRates") == "true":
            return self._commission()
        return {}

    def _request(self, values: Params) -> OrderRequest:
        """Read a new order, or raise Binance's complaint about it."""
        symbol = one_symbol(self._venue, values)
        if self._venue.statuses[symbol] != TRADING:
            raise ApiError(-1013, "Market is closed.")
        side = params.choice(
            Side, params.required(values, "side"), ApiError(-1117, "Invalid side.")
        )
        kind_text = params.required(values, "type")
        kind = params.choice(OrderType, kind_text, ApiError(-1116, "Invalid orderType."))
        for name in _UNSUPPORTED:
            if name in values:
                raise errors.not_required(name)
        if "trailingDelta" in values:
            message = "Trailing stop orders are not supported for this symbol."
            raise ApiError(-1013, message)
        if "icebergQty" in values:
            raise ApiError(-1013, "Iceberg orders are not supported for this symbol.")
        tif, price, quantity, quote = _terms(values, kind)
        stop_price = _stop_price(values, kind)
        mode = values.get("selfTradePreventionMode", SelfTradePrevention.EXPIRE_MAKER)
        stp_error = ApiError(
            -1013, "This symbol does not allow the specified self-trade prevention mode."
        )
        _response_type(values, kind)
        client_order_id = params.client_id(values, "newClientOrderId")
        return OrderRequest(
            symbol=symbol,
            side=side,
            type=kind,
            quantity=quantity,
            price=price,
            time_in_force=tif,
            quote_quantity=quote,
            client_order_id=client_order_id or f"auto-{self._venue.engine.order_id + 1}",
            stp=params.choice(SelfTradePrevention, mode, stp_error),
            stop_price=stop_price,
        )

    def _submit(self, request: OrderRequest, now_ms: int) -> list[Report]:
        """Send an order to the venue and return its own reports."""
        self._limiter.check_orders(now_ms, self._account_id)
        result, reports = self._venue.submit_user(request, now_ms, self._account_id)
        if isinstance(result, Refusal):
            raise errors.refused(result)
        if not result.filled:
            self._limiter.count_order(now_ms, self._account_id)
        return reports

    # -- cancels -------------------------------------------------------------------------------

    def cancel(self, values: Params, now_ms: int) -> object:
        """Cancel one order."""
        symbol = one_symbol(self._venue, values)
        order = self._named(symbol, values, "orderId", "origClientOrderId")
        return self._cancel(order, params.client_id(values, "newClientOrderId"), values, now_ms)

    def _named(self, symbol: str, values: Params, id_name: str, client_name: str) -> Order:
        """Return the live order that a cancel names."""
        order_id = params.long(values, id_name)
        client_order_id = params.client_id(values, client_name)
        if order_id is None and client_order_id is None:
            raise _neither(client_name, id_name)
        live = self._user.working_orders(symbol)
        if order_id is not None:
            order = live.get(order_id)
        else:
            order = self._user.find(symbol, client_order_id or "")
        if order is None:
            raise errors.refused(Refusal.UNKNOWN_ORDER)
        if client_order_id not in {None, order.client_order_id}:
            raise errors.client_id_mismatch()
        return order

    def _cancel(
        self, order: Order, cancel_id: str | None, values: Params, now_ms: int
    ) -> render.Json:
        restriction = values.get("cancelRestrictions")
        if restriction is not None:
            if restriction not in {"ONLY_NEW", "ONLY_PARTIALLY_FILLED"}:
                raise ApiError(
                    -1145,
                    "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED.",
                )
            if order.status != restriction.removeprefix("ONLY_"):
                message = "Order was not canceled due to cancel restrictions."
                raise ApiError(-2011, message)
        venue = self._venue
        cancel_id = cancel_id or f"cancel-{venue.engine.execution_id + 1}"
        venue.cancel(self._account_id, order.symbol, order.order_id, now_ms, cancel_id)
        return render.cancelled(self._ledger.orders[order.symbol][order.order_id])

    def cancel_all(self, values: Params, now_ms: int) -> object:
        """Cancel every open order of a symbol."""
        symbol = one_symbol(self._venue, values)
        orders = list(self._user.working_orders(symbol).values())
        if not orders:
            raise errors.refused(Refusal.UNKNOWN_ORDER)
        return [self._cancel(order, None, {}, now_ms) for order in orders]

    def cancel_replace(self, values: Params, now_ms: int) -> object:
        """Cancel an order and place another, one after the other."""
        mode = params.required(values, "cancelReplaceMode")
        if mode not in {"STOP_ON_FAILURE", "ALLOW_FAILURE"}:
            raise errors.invalid("cancelReplaceMode")
        request = self._request(values)
        cancelled: object
        placed: object = None
        cancel_failed = place_failed = False
        try:
            old = self._named(request.symbol, values, "cancelOrderId", "cancelOrigClientOrderId")
            new_id = params.client_id(values, "cancelNewClientOrderId")
            cancelled = self._cancel(old, new_id, values, now_ms)
        except ApiError as error:
            cancel_failed, cancelled = True, _body(error)
        attempted = not cancel_failed or mode == "ALLOW_FAILURE"
        if attempted:
            try:
                reports = self._submit(request, now_ms)
                placed = render.placed(reports, _response_type(values, request.type))
            except ApiError as error:
                place_failed, placed = True, _body(error)
        answer = {
            "cancelResult": "FAILURE" if cancel_failed else "SUCCESS",
            "newOrderResult": ("FAILURE" if place_failed else "SUCCESS")
            if attempted
            else "NOT_ATTEMPTED",
            "cancelResponse": cancelled,
            "newOrderResponse": placed,
        }
        if not cancel_failed and not place_failed:
            return answer
        both = cancel_failed and (place_failed or not attempted)
        failure = (
            ApiError(-2022, "Order cancel-replace failed.")
            if both
            else ApiError(-2021, "Order cancel-replace partially failed.", 409)
        )
        failure.data = answer
        raise failure

    # -- amendments ----------------------------------------------------------------------------

    def amend(self, values: Params, now_ms: int) -> object:
        """Make an order smaller; it keeps its place in the queue."""
        symbol = one_symbol(self._venue, values)
        params.required(values, "newQty")
        quantity = params.amount(values, "newQty") or 0
        if quantity == 0:
            raise ApiError(-1013, "Invalid quantity.")
        name = params.client_id(values, "newClientOrderId")
        try:
            order = self._named(symbol, values, "orderId", "origClientOrderId")
        except ApiError as error:
            raise ApiError(-2038, error.message) if error.code == -2011 else error from None
        name = name or f"amend-{self._venue.engine.execution_id + 1}"
        result = self._venue.amend(self._account_id, symbol, order.order_id, quantity, now_ms, name)
        if isinstance(result, Refusal):
            refused = errors.refused(result)
            is_filter = result in FILTER_REFUSALS - {Refusal.MAX_NUM_ORDER_AMENDS}
            raise refused if is_filter else ApiError(-2038, refused.message)
        return render.amended(self._ledger.orders[symbol][order.order_id])

    def amendments(self, values: Params, now_ms: int) -> object:
        """Return the amendments of one order, oldest first."""
        symbol = one_symbol(self._venue, values)
        params.required(values, "orderId")
        order_id = params.long(values, "orderId") or 0
        first = params.long(values, "fromExecutionId") or 0
        count = params.limit(values, 500, 1_000)
        if order_id not in self._ledger.orders.get(symbol, {}):
            raise errors.no_such_order()
        found = self._ledger.amendments.get(order_id, [])
        return [render.amendment(r) for r in found if r.execution_id >= first][:count]

    # -- queries -------------------------------------------------------------------------------

    def order(self, values: Params, now_ms: int) -> object:
        """Return one order, live or not."""
        symbol = one_symbol(self._venue, values)
        order_id = params.long(values, "orderId")
        client_order_id = params.client_id(values, "origClientOrderId")
        if order_id is None and client_order_id is None:
            raise _neither("origClientOrderId", "orderId")
        report = self._ledger.find(symbol, order_id, client_order_id)
        if report is None:
            raise errors.no_such_order()
        if client_order_id not in {None, report.client_order_id}:
            raise errors.client_id_mismatch()
        return render.order(report)

    def open_orders(self, values: Params, now_ms: int) -> object:
        """Return the live orders of one or all symbols."""
        names = [one_symbol(self._venue, values)] if "symbol" in values else self._venue.rules
        ledger, user = self._ledger, self._user
        return [
            render.order(ledger.orders[symbol][order_id])
            for symbol in names
            for order_id in user.working_orders(symbol)
        ]

    def all_orders(self, values: Params, now_ms: int) -> object:
        """Return orders in any state, oldest first: from `orderId` on, or the latest."""
        symbol = one_symbol(self._venue, values)
        first, count = params.long(values, "orderId"), params.limit(values, 500, 1_000)
        start, end = _window(values)
        reports = [
            r
            for r in self._ledger.orders.get(symbol, {}).values()
            if (start is None or r.time_ms >= start) and (end is None or r.time_ms <= end)
        ]
        if first is not None:
            reports = [r for r in reports if r.order_id >= first][:count]
        elif start is not None:
            reports = reports[:count]
        return [render.order(r) for r in reports[-count:]]

    def my_trades(self, values: Params, now_ms: int) -> object:
        """Return fills, oldest first: from `fromId` on, of one order, or the latest."""
        symbol = one_symbol(self._venue, values)
        order_id, first = params.long(values, "orderId"), params.long(values, "fromId")
        start, end = _window(values)
        timed = start is not None or end is not None
        if timed and (order_id is not None or first is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        count = params.limit(values, 500, 1_000)
        fills = self._ledger.fills.get(symbol, [])
        if first is not None:
            fills = fills[bisect_left(fills, first, key=lambda f: f.trade_id) :]
        if order_id is not None:
            fills = [f for f in fills if f.order_id == order_id]
        if timed:
            fills = [
                f
                for f in fills
                if (start is None or f.transact_ms >= start)
                and (end is None or f.transact_ms <= end)
            ]
        forward = first is not None or start is not None
        return [render.fill(f) for f in (fills[:count] if forward else fills[-count:])]

    def nothing(self, values: Params, now_ms: int) -> object:
        """Return order lists or allocations: this venue has none."""
        return []

    def account(self, values: Params, now_ms: int) -> object:
        """Return balances and fee rates."""
        engine = self._venue.engine
        names = list(self._venue.users)
        return render.account(
            self._user,
            engine.maker_fee,
            engine.taker_fee,
            self._ledger.updated_ms,
            all_assets=values.get("omitZeroBalances") != "true",
            uid=names.index(self._account_id) + 1,
        )

    def order_rate_limits(self, values: Params, now_ms: int) -> object:
        """Return how many unfilled orders were placed in each interval."""
        return self._limiter.usage("", now_ms, orders=True, account_id=self._account_id)

    def commission(self, values: Params, now_ms: int) -> object:
        """Return the fee rates of a symbol."""
        return {"symbol": one_symbol(self._venue, values)} | self._commission()

    def _commission(self) -> render.Json:
        engine = self._venue.engine
        rates = {"maker": text(engine.maker_fee), "taker": text(engine.taker_fee)}
        zero = {"maker": render.ZERO, "taker": render.ZERO}
        sides = {"buyer": render.ZERO, "seller": render.ZERO}
        return {
            "standardCommission": rates | sides,
            "standardCommissionForOrder": rates,
            "taxCommission": zero | sides,
            "taxCommissionForOrder": zero,
            "discount": {
                "enabledForAccount": bool(self._user.fee_asset),
                "enabledForSymbol": bool(self._user.fee_asset),
                "discountAsset": self._user.fee_asset or FEE_ASSET,
                "discount": text(engine.fee_asset_rate) if self._user.fee_asset else render.ZERO,
            },
        }


def _terms(values: Params, kind: OrderType) -> tuple[TimeInForce, int, int, int]:
    """Return (time in force, price, quantity, quote quantity) as the order type demands."""
    price, quantity = params.amount(values, "price"), params.amount(values, "quantity")
    quote, tif_text = params.amount(values, "quoteOrderQty"), values.get("timeInForce")
    tif = TimeInForce.GTC
    if kind is OrderType.MARKET:
        for name, value in (("price", price), ("timeInForce", tif_text)):
            if value is not None:
                raise errors.not_required(name)
        if quantity is None and quote is None:
            raise _neither("quantity", "quoteOrderQty")
        if quantity is not None and quote is not None:
            raise errors.not_required("quoteOrderQty")
    else:
        if quote is not None:
            raise errors.not_required("quoteOrderQty")
        if kind in _TIMED_TYPES:
            bad = ApiError(-1115, "Invalid timeInForce.")
            tif = params.choice(TimeInForce, params.required(values, "timeInForce"), bad)
        elif tif_text is not None:
            raise errors.not_required("timeInForce")
        if quantity is None:
            raise errors.missing("quantity")
        if (price is None) is (kind not in MARKET_TYPES):
            raise errors.missing("price") if price is None else errors.not_required("price")
    for label, value in (("quantity", quantity), ("price", price), ("quote order qty", quote)):
        if value == 0:
            raise ApiError(-1013, f"Invalid {label}.")
    return tif, price or 0, quantity or 0, quote or 0


def _stop_price(values: Params, kind: OrderType) -> int:
    """Return the stop price where the order type has one, else 0."""
    stop_price = params.amount(values, "stopPrice")
    if kind not in STOP_TYPES:
        if stop_price is not None:
            raise errors.not_required("stopPrice")
        return 0
    if stop_price is None:
        raise _neither("stopPrice", "trailingDelta")
    if stop_price == 0:
        raise ApiError(-1013, "Invalid stopPrice.")
    return stop_price


def _response_type(values: Params, kind: OrderType) -> str:
    default = "FULL" if kind in {OrderType.LIMIT, OrderType.MARKET} else "ACK"
    response_type = values.get("newOrderRespType", default)
    if response_type not in RESPONSE_TYPES:
        raise errors.invalid("newOrderRespType")
    return response_type


def _window(values: Params) -> tuple[int | None, int | None]:
    start, end = params.long(values, "startTime"), params.long(values, "endTime")
    if start is not None and end is not None:
        if end < start:
            raise errors.invalid("endTime")
        if end - start > DAY_MS:
            raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    return start, end


def _neither(first: str, second: str) -> ApiError:
    message = f"Param '{first}' or '{second}' must be sent, but both were empty/null!"
    return ApiError(-1102, message)


def _body(error: ApiError) -> dict[str, object]:
    return {"code": error.code, "msg": error.message}
