"""Binance spot's order entry: requests, answers and user events; no IO here.

Requests and events travel over the WebSocket API, requests over REST where that is away. Sources:
Binance's `web-socket-api.md`, `rest-api.md` and `user-data-stream.md`.
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
)
from tickbus_execution.payments import balance_update
from tickbus_execution.protocol import Heard, InstrumentOf
from tickbus_execution.refusals import SPOT
from tickbus_execution.venue import (
    AccountReport,
    ForeignFill,
    OrderReport,
    Payment,
    PaymentsReport,
    VenueStatus,
)
from tickbus_execution.wire import MS_NS, Ask, Lane, lane_of

EXTERNAL_PREFIX = "ext-"
STATUSES = {
    "PENDING_NEW": VenueStatus.NEW,
    "PENDING_CANCEL": VenueStatus.NEW,
    "EXPIRED_IN_MATCH": VenueStatus.EXPIRED,
    **{str(status): status for status in VenueStatus},
}


class BinanceSpot:
    """Binance spot, and what speaks like it."""

    name = "binance"
    dialect = SPOT
    time = Ask("time", "GET", "/api/v3/time", {}, signed=False, keyed=False)
    account = Ask("account.status", "GET", "/api/v3/account", {}, weight=20)
    trades_page = 1000
    trades_window_ms = 24 * 3_600_000
    unfilled_kept_ms = kept_ms = 0
    subscribe: Ask | None = Ask("userDataStream.subscribe.signature", "", "", {}, weight=2)
    new_listen_key: Ask | None = None
    keep_listen_key: Ask | None = None
    position_mode: Ask | None = None
    has_countdown = False

    def limits(self, symbol: str) -> Ask:
        """Ask for exchangeInfo of one symbol; that of all is megabytes."""
        path, params = "/api/v3/exchangeInfo", {"symbol": symbol}
        return Ask("exchangeInfo", "GET", path, params, weight=20, signed=False, keyed=False)

    def private_url(self, ws_url: str, listen_key: str) -> str:
        """Never asked: the user stream is on the WebSocket API."""
        raise NotImplementedError(self.name)

    def countdown(self, symbol: str, after_ms: int) -> Ask:
        """Never asked: spot has none."""
        raise NotImplementedError(self.name)

    def note_conditional(self, client_order_id: str) -> None:
        """Nothing: such orders are like any other here."""

    def place(self, order: SubmitOrder, symbol: str) -> Ask:
        """`order.place`; plain decimals, never an exponent."""
        params = order_params(order, symbol)
        return Ask("order.place", "POST", "/api/v3/order", params, lane_of(order))

    def cancel(self, cancel: CancelOrder, symbol: str) -> Ask:
        """`order.cancel`; the wish's id goes along."""
        params = {
            "symbol": symbol,
            **named(cancel.client_order_id),
            "newClientOrderId": cancel.command_id[:36],
        }
        return Ask("order.cancel", "DELETE", "/api/v3/order", params, Lane.CANCEL)

    def status(self, client_order_id: str, symbol: str) -> Ask:
        """`order.status`."""
        params = {"symbol": symbol, **named(client_order_id)}
        return Ask("order.status", "GET", "/api/v3/order", params, weight=4)

    def trades_of(self, symbol: str, venue_order_id: str) -> Ask:
        """`myTrades` of one order."""
        params = {"symbol": symbol, "orderId": int(venue_order_id)}
        return Ask("myTrades", "GET", "/api/v3/myTrades", params, weight=5)

    def open_orders(self, symbol: str) -> tuple[Ask, ...]:
        """`openOrders.status`; conditional orders are among them."""
        params = {"symbol": symbol}
        return (Ask("openOrders.status", "GET", "/api/v3/openOrders", params, weight=6),)

    def triggered(self, symbol: str) -> Ask | None:
        """Nothing: an order keeps its id when it is triggered."""
        return None

    def trades(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> Ask:  # fmt: skip
        """`myTrades`."""
        params = span(symbol, self.trades_page, from_id, start_ms, end_ms)
        return Ask("myTrades", "GET", "/api/v3/myTrades", params, weight=20)

    def read_order(self, body: dict[str, Any], instrument_id: str, ts_recv: int) -> OrderReport:
        """See `order_report`."""
        return order_report(body, instrument_id, ts_recv)

    def read_trade(self, body: dict[str, Any], instrument_id: str) -> ForeignFill:
        """See `foreign_fill`."""
        return foreign_fill(body, instrument_id)

    def read_account(
        self, body: dict[str, Any], ts_recv: int, ts_asked: int, instrument_of: InstrumentOf
    ) -> AccountReport:
        """See `account_report`."""
        return account_report(body, ts_recv, ts_asked)

    def read_trading(self, body: dict[str, Any], symbol: str) -> bool:
        """Whether exchangeInfo lists `symbol` as TRADING."""
        return is_trading(body, symbol)

    def symbol_of(self, instrument_id: str) -> str:
        """`BTC-USDT` is `BTCUSDT`."""
        return instrument_id.replace("-", "")

    def read_instrument(self, body: dict[str, Any], symbol: str) -> str | None:
        """Named by its assets."""
        listed = listing(body, symbol)
        return None if listed is None else f"{listed['baseAsset']}-{listed['quoteAsset']}"

    def symbols_held(self, body: dict[str, Any]) -> tuple[str, ...]:
        """None: spot has no positions."""
        return ()

    def payments(self, start_ms: int, end_ms: int, page: int) -> Ask | None:
        """None: deposits and transfers are listed for keys that may withdraw, not for ours."""
        return None

    def read_payment(self, body: dict[str, Any], instrument_of: InstrumentOf) -> Payment | None:
        """Never asked."""
        raise NotImplementedError(self.name)

    def read_event(self, event: dict[str, Any], ts_recv: int, instrument_of: InstrumentOf) -> Heard:
        """Reports on orders, balances, and the stream's own end."""
        kind = event["e"]
        if kind == "executionReport":
            name = instrument_of(str(event["s"]))
            if name is None:
                return Heard(unknown_symbol=str(event["s"]))
            return Heard((execution_report(event, name, ts_recv),))
        if kind == "outboundAccountPosition":
            return Heard((account_report(event, ts_recv),))
        if kind == "balanceUpdate":
            payment = balance_update(event)
            return Heard((PaymentsReport(payment.ts_event, ts_recv, (payment,)),))
        if kind in ("eventStreamTerminated", "serverShutdown"):
            return Heard(ending=str(kind))
        return Heard()


def named(client_order_id: str) -> dict[str, Any]:
    """How an order is asked for: our spelling of a foreign order is not the venue's."""
    if client_order_id.startswith(EXTERNAL_PREFIX):
        return {"orderId": int(client_order_id[len(EXTERNAL_PREFIX) :])}
    return {"origClientOrderId": client_order_id}


def span(
    symbol: str, limit: int, from_id: int | None, start_ms: int | None, end_ms: int | None
) -> dict[str, Any]:
    """The parameters of a question for trades."""
    given = {"fromId": from_id, "startTime": start_ms, "endTime": end_ms}
    return {"symbol": symbol, "limit": limit, **{k: v for k, v in given.items() if v is not None}}


def is_trading(body: dict[str, Any], symbol: str) -> bool:
    """Whether an exchangeInfo lists `symbol` as TRADING."""
    return any(s["symbol"] == symbol and s["status"] == "TRADING" for s in body["symbols"])


def listing(body: dict[str, Any], symbol: str) -> dict[str, Any] | None:
    """The entry of `symbol` in an exchangeInfo."""
    return next((s for s in body["symbols"] if s["symbol"] == symbol), None)


TRIGGERED_TYPES = {
    OrderType.STOP_MARKET: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}


def order_params(order: SubmitOrder, symbol: str) -> dict[str, Any]:
    """The parameters of `order.place` for our order; plain decimals, never an exponent."""
    return {
        "symbol": symbol,
        "side": str(order.side),
        "quantity": f"{order.quantity:f}",
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "FULL",
        **_terms(order),
    }


def _terms(order: SubmitOrder) -> dict[str, Any]:
    kind = order.order_type
    if kind is OrderType.MARKET:
        return {"type": "MARKET"}
    if kind is OrderType.LIMIT and order.post_only:
        return {"type": "LIMIT_MAKER", "price": f"{order.price:f}"}
    if not kind.has_trigger:
        return {"type": "LIMIT", **_limit(order)}
    trigger = {"type": TRIGGERED_TYPES[kind], "stopPrice": f"{order.trigger_price:f}"}
    return {**trigger, **_limit(order)} if kind.has_limit else trigger


def _limit(order: SubmitOrder) -> dict[str, Any]:
    # Spot knows no end of an order; the core cancels it when its time has come.
    tif = order.time_in_force
    until_then = TimeInForce.GTC if tif is TimeInForce.GTD else tif
    return {"price": f"{order.price:f}", "timeInForce": str(until_then)}


ORDER_TYPES = {
    "LIMIT_MAKER": OrderType.LIMIT,
    **{name: kind for kind, name in TRIGGERED_TYPES.items()},
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
}
"""Those of the venue in our words; what is not here is none of ours."""


def order_report(body: dict[str, Any], instrument_id: str, ts_recv: int) -> OrderReport:
    """From the answer of order.place, order.cancel or order.status."""
    ts_ms = int(body.get("transactTime") or body.get("updateTime") or body.get("time") or 0)
    side = Side(body["side"])
    fills = tuple(
        Fill(
            fill_id=str(fill["tradeId"]),
            side=side,
            price=Decimal(fill["price"]),
            quantity=Decimal(fill["qty"]),
            fee=Decimal(fill["commission"]),
            fee_asset=str(fill["commissionAsset"]),
            # An order's own answer lists what it took on arrival.
            liquidity_side=LiquiditySide.TAKER,
            ts_event=ts_ms * MS_NS,
        )
        for fill in body.get("fills", ())
    )
    return OrderReport(
        ts_event=ts_ms * MS_NS,
        ts_recv=ts_recv,
        client_order_id=str(body.get("origClientOrderId") or body["clientOrderId"]),
        instrument_id=instrument_id,
        venue_order_id=str(body["orderId"]),
        status=STATUSES[body["status"]],
        side=side,
        quantity=Decimal(body["origQty"]),
        filled_quantity=Decimal(body["executedQty"]),
        fills=fills,
        reason="" if body["status"] != "EXPIRED_IN_MATCH" else "SELF_TRADE_PREVENTION",
        order_type=ORDER_TYPES.get(body.get("type", "")),
        price=Decimal(body.get("price") or 0),
    )


def execution_report(event: dict[str, Any], instrument_id: str, ts_recv: int) -> OrderReport:
    """From a user stream's `executionReport`."""
    ts_event = int(event["T"]) * MS_NS
    fills: tuple[Fill, ...] = ()
    if event["x"] == "TRADE":
        fills = (
            Fill(
                fill_id=str(event["t"]),
                side=Side(event["S"]),
                price=Decimal(event["L"]),
                quantity=Decimal(event["l"]),
                fee=Decimal(event["n"]),
                fee_asset=str(event["N"] or ""),
                liquidity_side=LiquiditySide.MAKER if event["m"] else LiquiditySide.TAKER,
                ts_event=ts_event,
            ),
        )
    reason = "" if event.get("r", "NONE") == "NONE" else str(event["r"])
    if event["X"] == "EXPIRED_IN_MATCH":
        reason = "SELF_TRADE_PREVENTION"
    return OrderReport(
        ts_event=ts_event,
        ts_recv=ts_recv,
        client_order_id=str(event["C"] or event["c"]),
        instrument_id=instrument_id,
        venue_order_id=str(event["i"]),
        status=STATUSES[event["X"]],
        side=Side(event["S"]),
        quantity=Decimal(event["q"]),
        filled_quantity=Decimal(event["z"]),
        fills=fills,
        reason=reason,
        order_type=ORDER_TYPES.get(event.get("o", "")),
        price=Decimal(event.get("p") or 0),
    )


def account_report(body: dict[str, Any], ts_recv: int, ts_asked: int = 0) -> AccountReport:
    """From `account.status` (every asset) or `outboundAccountPosition` (those that changed).

    `ts_event` is the moment up to which every trade is in the balances: that of the last change,
    or `ts_asked`, the venue's time when the question left, if nothing changed since.
    """
    complete = "balances" in body
    entries = body["balances"] if complete else body["B"]
    keys = ("asset", "free", "locked") if complete else ("a", "f", "l")
    balances = tuple(
        Balance(str(e[keys[0]]), Decimal(e[keys[1]]), Decimal(e[keys[2]])) for e in entries
    )
    ts_event = max(int(body["updateTime" if complete else "u"]) * MS_NS, ts_asked)
    return AccountReport(ts_event, ts_recv, balances, complete)


def foreign_fill(body: dict[str, Any], instrument_id: str) -> ForeignFill:
    """From an entry of `myTrades`."""
    fill = Fill(
        fill_id=str(body["id"]),
        side=Side.BUY if body["isBuyer"] else Side.SELL,
        price=Decimal(body["price"]),
        quantity=Decimal(body["qty"]),
        fee=Decimal(body["commission"]),
        fee_asset=str(body["commissionAsset"]),
        liquidity_side=LiquiditySide.MAKER if body["isMaker"] else LiquiditySide.TAKER,
        ts_event=int(body["time"]) * MS_NS,
    )
    return ForeignFill(instrument_id, str(body["orderId"]), fill)
