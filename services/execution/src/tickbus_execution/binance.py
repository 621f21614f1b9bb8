"""Binance spot's order entry: signed requests out, answers and user events in; no IO here.

Requests and events travel over the WebSocket API. Sources: Binance's `web-socket-api.md`,
`user-data-stream.md` and `errors.md`.
"""

import hashlib
import hmac
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from tickbus.events import (
    Balance,
    Fill,
    LiquiditySide,
    OrderType,
    Side,
    SubmitOrder,
    TimeInForce,
)
from tickbus_execution.venue import AccountReport, ForeignFill, OrderReport, Outcome, VenueStatus

MS_NS = 1_000_000

# What a refusal means for the request. Not in the table: the venue said no, and why.
OUTCOMES: dict[int, Outcome] = {
    -1000: Outcome.UNKNOWN,  # unknown error while processing
    -1001: Outcome.UNKNOWN,  # internal error
    -1006: Outcome.UNKNOWN,  # unexpected response from the message bus
    -1007: Outcome.UNKNOWN,  # time-out waiting for the backend
    -2013: Outcome.NOT_FOUND,  # order does not exist (it may lag right after placing)
}
CLOCK_CODE = -1021
DUPLICATE_CODE = -2010
PAUSE_CODES = frozenset({-1003, -1015, -1008})
KEY_CODES = frozenset({-1022, -2014, -2015})
_STATUSES = {
    "PENDING_NEW": VenueStatus.NEW,
    "PENDING_CANCEL": VenueStatus.NEW,
    "EXPIRED_IN_MATCH": VenueStatus.EXPIRED,
    **{str(status): status for status in VenueStatus},
}


class Answer(msgspec.Struct):
    """One frame of the WebSocket API: an answer (`id`) or an event."""

    id: int | str | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw(b"")
    error: dict[str, Any] | None = None
    event: msgspec.Raw = msgspec.Raw(b"")


read_answer = msgspec.json.Decoder(Answer).decode
# Decimals stay text until they become Decimal: no float in between.
_read_json = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder().encode


def sign(secret: str, params: dict[str, Any]) -> str:
    """HMAC-SHA256 over `k=v` sorted by name, joined by `&`; hexadecimal."""
    mac = _keyed(secret).copy()
    mac.update("&".join([f"{k}={_text(v)}" for k, v in sorted(params.items())]).encode())
    return mac.hexdigest()


@lru_cache(maxsize=4)
def _keyed(secret: str) -> hmac.HMAC:
    # Scheduling the key is half of the work, and the same each time.
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def request(request_id: int, method: str, params: dict[str, Any]) -> str:
    """One request as sent."""
    return _encode({"id": request_id, "method": method, "params": params}).decode()


def signed(
    request_id: int, method: str, params: dict[str, Any], key: str, secret: str, now_ms: int,
    recv_window_ms: int,
) -> str:  # fmt: skip
    """One signed request; `now_ms` is the venue's time as we reckon it."""
    params = {**params, "apiKey": key, "timestamp": now_ms, "recvWindow": recv_window_ms}
    params["signature"] = sign(secret, params)
    return request(request_id, method, params)


def order_params(order: SubmitOrder, symbol: str) -> dict[str, Any]:
    """The parameters of `order.place` for our order; plain decimals, never an exponent."""
    params: dict[str, Any] = {
        "symbol": symbol,
        "side": str(order.side),
        "quantity": f"{order.quantity:f}",
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "FULL",
        "returnRateLimits": False,
    }
    if order.order_type is OrderType.MARKET:
        return {**params, "type": "MARKET"}
    assert order.price is not None  # risk lets no LIMIT pass without
    params["price"] = f"{order.price:f}"
    if order.post_only:
        return {**params, "type": "LIMIT_MAKER"}
    tif = order.time_in_force if order.time_in_force in TimeInForce else TimeInForce.GTC
    return {**params, "type": "LIMIT", "timeInForce": str(tif)}


def outcome_of(error: dict[str, Any], status: int) -> tuple[Outcome, str, str]:
    """(what it means, the venue's code, its words) of an error answer."""
    code, message = int(error.get("code", 0)), str(error.get("msg", ""))
    if code == DUPLICATE_CODE and "Duplicate" in message:
        return Outcome.UNKNOWN, str(code), message  # it may be the one that was sent before
    outcome = OUTCOMES.get(code)
    if outcome is None:
        outcome = Outcome.UNKNOWN if status >= 500 else Outcome.REFUSED
    return outcome, str(code), message


def read(raw: msgspec.Raw) -> Any:
    """The JSON in `raw`, numbers with a point as Decimal."""
    return _read_json(bytes(raw))


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
        status=_STATUSES[body["status"]],
        side=side,
        quantity=Decimal(body["origQty"]),
        filled_quantity=Decimal(body["executedQty"]),
        fills=fills,
        reason="" if body["status"] != "EXPIRED_IN_MATCH" else "SELF_TRADE_PREVENTION",
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
        status=_STATUSES[event["X"]],
        side=Side(event["S"]),
        quantity=Decimal(event["q"]),
        filled_quantity=Decimal(event["z"]),
        fills=fills,
        reason=reason,
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
