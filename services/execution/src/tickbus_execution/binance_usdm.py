"""Binance USD-M futures' order entry: requests, answers and user events; no IO here.

Orders travel over the WebSocket API, what it lacks and what it cannot take over REST; user events
come on a line of their own. Sources: Binance's "USDⓈ-M Futures" trade, account, WebSocket API and
user data stream pages.
"""

from decimal import Decimal
from typing import Any

from tickbus.events import (
    Balance,
    CancelOrder,
    Fill,
    LiquiditySide,
    OrderType,
    Side,
    SubmitOrder,
    TimeInForce,
    VenuePosition,
)
from tickbus_execution.binance import EXTERNAL_PREFIX, STATUSES, is_trading, listing, named, span
from tickbus_execution.payments import PAYMENTS_PAGE, income
from tickbus_execution.protocol import Heard, InstrumentOf
from tickbus_execution.refusals import USDM
from tickbus_execution.venue import (
    AccountReport,
    ForeignFill,
    OrderReport,
    Payment,
    VenueStatus,
)
from tickbus_execution.wire import MS_NS, Ask, Lane, lane_of

VENUE_MADE = {
    "autoclose-": "LIQUIDATION",
    "adl_autoclose": "AUTO_DELEVERAGING",
    "settlement_autoclose-": "SETTLEMENT",
}
"""How the venue names the orders that it makes on our account, and why it does."""
PERPETUAL = "PERP"
STREAM_ENDS = frozenset({"listenKeyExpired", "eventStreamTerminated", "serverShutdown"})


class BinanceUsdm:
    """Binance USD-M futures, one-way position mode."""

    name = "binance-usdm"
    dialect = USDM
    time = Ask("", "GET", "/fapi/v1/time", {}, signed=False, keyed=False)
    account = Ask("", "GET", "/fapi/v3/account", {}, weight=5)
    trades_page = 1000
    trades_window_ms = 7 * 86_400_000
    # "Query Order", "Query Algo Order": counted from when the order was created.
    unfilled_kept_ms, kept_ms = 3 * 86_400_000, 90 * 86_400_000
    subscribe: Ask | None = None
    new_listen_key: Ask | None = Ask("", "POST", "/fapi/v1/listenKey", {}, weight=1, signed=False)
    keep_listen_key: Ask | None = Ask("", "PUT", "/fapi/v1/listenKey", {}, weight=1, signed=False)
    position_mode: Ask | None = Ask("", "GET", "/fapi/v1/positionSide/dual", {}, weight=30)
    has_countdown = True

    def __init__(self) -> None:
        self._algos = Algos()

    def limits(self, symbol: str) -> Ask:
        """Ask for exchangeInfo; there is one for all symbols."""
        return Ask("", "GET", "/fapi/v1/exchangeInfo", {}, signed=False, keyed=False)

    def private_url(self, ws_url: str, listen_key: str) -> str:
        """The unrouted address would connect and then stay silent."""
        return f"{ws_url.rstrip('/')}/private/ws/{listen_key}"

    def note_conditional(self, client_order_id: str) -> None:
        """It is asked for at the algo service until it is known to have been triggered."""
        self._algos.note(client_order_id)

    def place(self, order: SubmitOrder, symbol: str) -> Ask:
        """`order.place`, or `algoOrder.place` for one with a trigger price."""
        if order.order_type.has_trigger:
            self._algos.note(order.client_order_id)
            params = {**head(order, symbol), **trigger_terms(order)}
            return Ask("algoOrder.place", "POST", "/fapi/v1/algoOrder", params, lane_of(order))
        params = {
            **head(order, symbol),
            "newClientOrderId": order.client_order_id,
            # What it filled comes on the user stream; the answer no longer says at what price.
            "newOrderRespType": "ACK",
            **terms(order),
        }
        return Ask("order.place", "POST", "/fapi/v1/order", params, lane_of(order))

    def cancel(self, cancel: CancelOrder, symbol: str) -> Ask:
        """`order.cancel`, or `algoOrder.cancel` for one that waits for its trigger."""
        name = self._algo_name(cancel.client_order_id)
        if self._algos.waits(name):
            params: dict[str, Any] = {"clientAlgoId": name}
            return Ask("algoOrder.cancel", "DELETE", "/fapi/v1/algoOrder", params, Lane.CANCEL)
        params = {"symbol": symbol, **self._algos.named(name)}
        return Ask("order.cancel", "DELETE", "/fapi/v1/order", params, Lane.CANCEL)

    def status(self, client_order_id: str, symbol: str) -> Ask:
        """`order.status`, or what became of an order that waited for its trigger."""
        name = self._algo_name(client_order_id)
        if self._algos.waits(name):
            return Ask("", "GET", "/fapi/v1/algoOrder", {"clientAlgoId": name}, weight=1)
        params = {"symbol": symbol, **self._algos.named(name)}
        return Ask("order.status", "GET", "/fapi/v1/order", params, weight=1)

    def _algo_name(self, client_order_id: str) -> str:
        """The id under which the algo service has an order that is external to us."""
        external = f"{EXTERNAL_PREFIX}{ALGO_PREFIX}"
        if not client_order_id.startswith(external):
            return client_order_id
        name = client_order_id.removeprefix(external)
        self._algos.note(name)
        return name

    def trades_of(self, symbol: str, venue_order_id: str) -> Ask:
        """`userTrades` of one order; one that was never triggered has none."""
        order_id = self._algos.order_id(venue_order_id)
        params = {"symbol": symbol, "orderId": order_id}
        return Ask("", "GET", "/fapi/v1/userTrades", params, weight=5)

    def open_orders(self, symbol: str) -> tuple[Ask, ...]:
        """Plain ones, and those that wait for their trigger."""
        params = {"symbol": symbol}
        return (
            Ask("", "GET", "/fapi/v1/openAlgoOrders", params, weight=1),
            Ask("", "GET", "/fapi/v1/openOrders", params, weight=1),
        )

    def triggered(self, symbol: str) -> Ask | None:
        """`allAlgoOrders`: fills name the order that came of a conditional one, and not that."""
        return Ask("", "GET", "/fapi/v1/allAlgoOrders", {"symbol": symbol}, weight=5)

    def trades(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> Ask:  # fmt: skip
        """`userTrades`."""
        params = span(symbol, self.trades_page, from_id, start_ms, end_ms)
        return Ask("", "GET", "/fapi/v1/userTrades", params, weight=5)

    def countdown(self, symbol: str, after_ms: int) -> Ask:
        """`countdownCancelAll`; 0 stops it."""
        params = {"symbol": symbol, "countdownTime": after_ms}
        path = "/fapi/v1/countdownCancelAll"
        return Ask("", "POST", path, params, Lane.CANCEL, weight=10)

    def read_order(
        self, body: dict[str, Any], instrument_id: str, ts_recv: int
    ) -> OrderReport | None:
        """An order's own answers tell of no fills, nor of what they cost."""
        if "algoId" in body:
            known = "algoStatus" in body  # the answer to a cancel has nothing but ids
            return self._algos.read(body, instrument_id, ts_recv) if known else None
        client_id, venue_id = self._algos.ours(str(body["orderId"]), str(body["clientOrderId"]))
        ts_ms = int(body.get("updateTime") or body.get("time") or 0)
        return OrderReport(
            ts_event=ts_ms * MS_NS,
            ts_recv=ts_recv,
            client_order_id=client_id,
            instrument_id=instrument_id,
            venue_order_id=venue_id,
            status=STATUSES[body["status"]],
            side=Side(body["side"]),
            quantity=Decimal(body["origQty"]),
            filled_quantity=Decimal(body["executedQty"]),
            reason=_reason(body["status"], client_id),
            order_type=ORDER_TYPES.get(body.get("type", "")),
            price=Decimal(body.get("price") or 0),
        )

    def read_trade(self, body: dict[str, Any], instrument_id: str) -> ForeignFill:
        """From an entry of `userTrades`."""
        _, venue_id = self._algos.ours(str(body["orderId"]), "")
        fill = Fill(
            fill_id=str(body["id"]),
            side=Side(body["side"]) if "side" in body else _side(bool(body["buyer"])),
            price=Decimal(body["price"]),
            quantity=Decimal(body["qty"]),
            fee=Decimal(body["commission"]),
            fee_asset=str(body["commissionAsset"]),
            liquidity_side=LiquiditySide.MAKER if body["maker"] else LiquiditySide.TAKER,
            ts_event=int(body["time"]) * MS_NS,
            realized=_realized(body.get("realizedPnl")),
        )
        return ForeignFill(instrument_id, venue_id, fill)

    def read_account(
        self, body: dict[str, Any], ts_recv: int, ts_asked: int, instrument_of: InstrumentOf
    ) -> AccountReport:
        """Wallet balances and positions, from `v3/account`."""
        balances = tuple(_wallet(e["asset"], e["walletBalance"]) for e in body["assets"])
        times = [int(e.get("updateTime") or 0) for e in (*body["assets"], *body["positions"])]
        positions = _positions(body["positions"], "symbol", "positionAmt", instrument_of)
        ts_event = max([ts_asked, *(t * MS_NS for t in times)])
        return AccountReport(ts_event, ts_recv, balances, complete=True, positions=positions)

    def read_trading(self, body: dict[str, Any], symbol: str) -> bool:
        """Whether exchangeInfo lists `symbol` as TRADING."""
        return is_trading(body, symbol)

    def symbol_of(self, instrument_id: str) -> str:
        """`BTC-USDT-PERP` is `BTCUSDT`, `BTC-USDT-260327` is `BTCUSDT_260327`."""
        base, quote, expiry = instrument_id.split("-", 2)
        return f"{base}{quote}" if expiry == PERPETUAL else f"{base}{quote}_{expiry}"

    def read_instrument(self, body: dict[str, Any], symbol: str) -> str | None:
        """Named by its assets and when it ends."""
        listed = listing(body, symbol)
        if listed is None:
            return None
        is_perpetual = PERPETUAL in str(listed["contractType"])
        expiry = PERPETUAL if is_perpetual else symbol.partition("_")[2]
        return f"{listed['baseAsset']}-{listed['quoteAsset']}-{expiry}" if expiry else None

    def symbols_held(self, body: dict[str, Any]) -> tuple[str, ...]:
        """Those with a position in `v3/account`."""
        return tuple(str(e["symbol"]) for e in body["positions"] if Decimal(e["positionAmt"]))

    def payments(self, start_ms: int, end_ms: int, page: int) -> Ask | None:
        """`income`."""
        params = {"startTime": start_ms, "endTime": end_ms, "page": page, "limit": PAYMENTS_PAGE}
        return Ask("", "GET", "/fapi/v1/income", params, weight=30)

    def read_payment(self, body: dict[str, Any], instrument_of: InstrumentOf) -> Payment | None:
        """See `payments.income`."""
        return income(body, instrument_of(str(body.get("symbol") or "")) or "")

    def read_event(self, event: dict[str, Any], ts_recv: int, instrument_of: InstrumentOf) -> Heard:
        """Reports on orders, the account, and the stream's own end."""
        event = event.get("data", event)
        kind = str(event["e"])
        if kind in STREAM_ENDS:
            return Heard(ending=kind)
        if kind == "MARGIN_CALL":
            symbols = ", ".join(str(p["s"]) for p in event["p"])
            return Heard(alarm=f"margin call on {symbols}")
        if kind == "ACCOUNT_UPDATE":
            return Heard((_account_update(event, ts_recv, instrument_of),))
        if kind not in ("ORDER_TRADE_UPDATE", "ALGO_UPDATE"):
            return Heard()  # TRADE_LITE says less than what follows it
        order = event["o"]
        name = instrument_of(str(order["s"]))
        if name is None:
            return Heard(unknown_symbol=str(order["s"]))
        if kind == "ALGO_UPDATE":
            return Heard((self._algos.read_event(event, name, ts_recv),))
        return self._order_update(event, order, name, ts_recv)

    def _order_update(
        self, event: dict[str, Any], order: dict[str, Any], instrument_id: str, ts_recv: int
    ) -> Heard:
        ts_event = int(order.get("T") or event["T"]) * MS_NS
        client_id, venue_id = self._algos.ours(str(order["i"]), str(order["c"]))
        fills: tuple[Fill, ...] = ()
        # What the venue made itself may be told without its fee; then the list of trades has it.
        is_whole = order["x"] == "TRADE" or (order["x"] == "CALCULATED" and "n" in order)
        if is_whole and Decimal(order["l"]) > 0:
            fills = (
                Fill(
                    fill_id=str(order["t"]),
                    side=Side(order["S"]),
                    price=Decimal(order["L"]),
                    quantity=Decimal(order["l"]),
                    # Absent where there is none.
                    fee=Decimal(order.get("n") or 0),
                    fee_asset=str(order.get("N") or ""),
                    liquidity_side=LiquiditySide.MAKER if order["m"] else LiquiditySide.TAKER,
                    ts_event=ts_event,
                    realized=_realized(order.get("rp")),
                ),
            )
        reason = _reason(order["X"], client_id)
        report = OrderReport(
            ts_event=ts_event,
            ts_recv=ts_recv,
            client_order_id=client_id,
            instrument_id=instrument_id,
            venue_order_id=venue_id,
            status=STATUSES[order["X"]],
            side=Side(order["S"]),
            quantity=Decimal(order["q"]),
            filled_quantity=Decimal(order["z"]),
            fills=fills,
            reason=reason,
            order_type=ORDER_TYPES.get(order.get("o", "")),
            price=Decimal(order.get("p") or 0),
        )
        made = made_by_venue(client_id)
        alarm = f"{made} by the venue: {instrument_id} {order['S']} {order['q']}" if made else ""
        return Heard((report,), alarm=alarm)


class Algos:
    """Conditional orders: the venue has them under ids of their own until they are triggered.

    To the core such an order has one venue id, `algo-<client order id>`, before and after.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._triggered: dict[str, str] = {}
        self._client_ids: dict[str, str] = {}

    def note(self, client_id: str) -> None:
        """It is a conditional order; unless it is known to have been triggered it waits."""
        if client_id not in self._triggered:
            self._waiting[client_id] = None
            _bound(self._waiting)

    def waits(self, client_id: str) -> bool:
        """Whether it is known as conditional, and not as triggered."""
        return client_id in self._waiting

    def named(self, client_id: str) -> dict[str, Any]:
        """How a plain order is asked for: one that was triggered, by the order it became."""
        order_id = self._triggered.get(client_id)
        return {"orderId": int(order_id)} if order_id else named(client_id)

    def order_id(self, venue_id: str) -> int:
        """The plain order behind a venue id of ours; 0, which no order has, for one without."""
        if not venue_id.startswith(ALGO_PREFIX):
            return int(venue_id)
        return int(self._triggered.get(venue_id.removeprefix(ALGO_PREFIX), 0))

    def ours(self, order_id: str, client_id: str) -> tuple[str, str]:
        """(client order id, venue id) under which the core knows a plain order."""
        if client_id in self._waiting:
            # It was triggered, and what became of it is told before the trigger is.
            self._became(client_id, order_id)
        known = self._client_ids.get(order_id)
        return (client_id, order_id) if known is None else (known, f"{ALGO_PREFIX}{known}")

    def read(self, body: dict[str, Any], instrument_id: str, ts_recv: int) -> OrderReport:
        """From an answer on a conditional order."""
        ts_event = int(body.get("updateTime") or body.get("createTime") or 0) * MS_NS
        return self._report(
            (ts_event, ts_recv), str(body["clientAlgoId"]), str(body.get("actualOrderId") or ""),
            instrument_id, body["algoStatus"], Side(body["side"]), Decimal(body["quantity"]),
            kind=str(body.get("orderType") or ""), price=str(body.get("price") or 0),
        )  # fmt: skip

    def read_event(self, event: dict[str, Any], instrument_id: str, ts_recv: int) -> OrderReport:
        """From `ALGO_UPDATE`."""
        order = event["o"]
        return self._report(
            (int(event["T"]) * MS_NS, ts_recv), str(order["caid"]), str(order.get("ai") or ""),
            instrument_id, order["X"], Side(order["S"]), Decimal(order["q"]),
            str(order.get("rm") or ""), str(order.get("o") or ""), str(order.get("p") or 0),
        )  # fmt: skip

    def _report(
        self, times: tuple[int, int], client_id: str, order_id: str, instrument_id: str,
        status: str, side: Side, quantity: Decimal, reason: str = "", kind: str = "",
        price: str = "0",
    ) -> OrderReport:  # fmt: skip
        self.note(client_id)
        if order_id not in ("", "0"):
            self._became(client_id, order_id)
        # Once triggered, the order that came of it says how it ends.
        ended = status in ALGO_ENDS and client_id not in self._triggered
        return OrderReport(
            *times, client_id, instrument_id, f"{ALGO_PREFIX}{client_id}",
            VenueStatus(status) if ended else VenueStatus.NEW,
            side, quantity, Decimal(0), reason=reason, order_type=ORDER_TYPES.get(kind),
            price=Decimal(price),
        )  # fmt: skip

    def _became(self, client_id: str, order_id: str) -> None:
        self._waiting.pop(client_id, None)
        self._triggered[client_id] = order_id
        self._client_ids[order_id] = client_id
        _bound(self._triggered)
        _bound(self._client_ids)


ALGO_PREFIX = "algo-"
ALGO_ENDS = frozenset({"CANCELED", "REJECTED", "EXPIRED"})
IDS_MAX = 10_000


def _bound(ids: dict[str, Any]) -> None:
    if len(ids) > IDS_MAX:
        del ids[next(iter(ids))]


def head(order: SubmitOrder, symbol: str) -> dict[str, Any]:
    """What every kind of order says; plain decimals, never an exponent."""
    params = {"symbol": symbol, "side": str(order.side), "quantity": f"{order.quantity:f}"}
    return {**params, "reduceOnly": "true"} if order.reduce_only else params


def terms(order: SubmitOrder) -> dict[str, Any]:
    """The type of a plain order, its price and for how long it works."""
    if order.order_type is OrderType.MARKET:
        return {"type": "MARKET"}
    return {"type": "LIMIT", **limit_terms(order)}


TRIGGERED_TYPES = {
    OrderType.STOP_MARKET: "STOP_MARKET",
    OrderType.STOP_LIMIT: "STOP",
    OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT_MARKET",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
}
ORDER_TYPES = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    **{name: kind for kind, name in TRIGGERED_TYPES.items()},
}
"""Those of the venue in our words; what is not here is none of ours."""
GOOD_TILL_MIN_S = 600
"""How far away the end of a GTD order has to be for the venue to take it."""
SECOND_NS = 1_000_000_000


def trigger_terms(order: SubmitOrder) -> dict[str, Any]:
    """What a stop or take-profit says; it waits for the last trade, as ours do everywhere."""
    params = {
        "algoType": "CONDITIONAL",
        "clientAlgoId": order.client_order_id,
        "type": TRIGGERED_TYPES[order.order_type],
        "triggerPrice": f"{order.trigger_price:f}",
        "workingType": "CONTRACT_PRICE",
    }
    return {**params, **limit_terms(order)} if order.order_type.has_limit else params


def limit_terms(order: SubmitOrder) -> dict[str, Any]:
    """Price and time in force of whatever has a limit."""
    price = {"price": f"{order.price:f}"}
    if order.post_only:
        return {**price, "timeInForce": "GTX"}
    if order.time_in_force is not TimeInForce.GTD:
        return {**price, "timeInForce": str(order.time_in_force)}
    # The core cancels it in time; the venue's own end is for when we cannot, and has its limits.
    end_s = -(-order.expires_ns // SECOND_NS)
    if end_s - order.ts_recv // SECOND_NS <= GOOD_TILL_MIN_S + 60:
        return {**price, "timeInForce": "GTC"}
    return {**price, "timeInForce": "GTD", "goodTillDate": end_s * 1000}


def made_by_venue(client_id: str) -> str:
    """Why the venue made this order; "" for one that it did not make."""
    return next((why for start, why in VENUE_MADE.items() if client_id.startswith(start)), "")


def _reason(status: str, client_id: str) -> str:
    return "SELF_TRADE_PREVENTION" if status == "EXPIRED_IN_MATCH" else made_by_venue(client_id)


def _realized(amount: Any) -> Decimal | None:
    return None if amount is None else Decimal(amount)


def _side(buyer: bool) -> Side:
    return Side.BUY if buyer else Side.SELL


def _wallet(asset: str, amount: str) -> Balance:
    # What is free depends on every position's mark price; what is there does not.
    return Balance(str(asset), Decimal(amount), Decimal(0))


def _positions(
    entries: list[dict[str, Any]], symbol: str, amount: str, instrument_of: InstrumentOf
) -> tuple[VenuePosition, ...]:
    named_ = ((instrument_of(str(e[symbol])), e) for e in entries)
    return tuple(VenuePosition(name, Decimal(e[amount])) for name, e in named_ if name is not None)


def _account_update(
    event: dict[str, Any], ts_recv: int, instrument_of: InstrumentOf
) -> AccountReport:
    body = event["a"]
    balances = tuple(_wallet(e["a"], e["wb"]) for e in body.get("B", ()))
    positions = _positions(body.get("P", []), "s", "pa", instrument_of)
    return AccountReport(
        int(event["T"]) * MS_NS, ts_recv, balances, False, positions, str(body.get("m", ""))
    )
