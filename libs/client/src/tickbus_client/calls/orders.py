"""Calls about orders and fills."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET

from tickbus_client.answers.orders import Canceled, FillPage, Order, OrderPage, Preview
from tickbus_client.call import (
    Call,
    Number,
    Query,
    When,
    exact,
    moment,
    required,
    unless_empty,
    written,
)

PATH = "/api/v1/orders"
ONE = PATH + "/{order_id}"
Side = Literal["BUY", "SELL"]
OrderType = Literal[
    "LIMIT", "MARKET", "STOP_MARKET", "STOP_LIMIT", "TAKE_PROFIT_MARKET", "TAKE_PROFIT_LIMIT"
]
TimeInForce = Literal["GTC", "IOC", "FOK", "GTD"]


def place(
    symbol: str, side: Side, quantity: Number, price: Number | None = None, *,
    type: OrderType | None = None, trigger_price: Number | None = None,
    expires_at: When | None = None, time_in_force: TimeInForce | None = None,
    post_only: bool = False, reduce_only: bool = False, venue: str = "",
    idempotency_key: str = "",
) -> Call[Order]:  # fmt: skip
    """Send an order to risk, as any strategy would, and wait a little for what becomes of it.

    `quantity` is in base currency, `price` in quote currency; without one it is a market order.
    `type` is by default what follows from the prices given. Without an `idempotency_key` it gets
    one of its own: however often this very call is performed, it places one order.

    Raises ApiError where risk or the venue refuses it. The answer's `state` may still be
    PENDING_NEW: then ask again with `get`.
    """
    body = _order(
        symbol, side, quantity, price, type, trigger_price, expires_at, time_in_force, post_only,
        reduce_only, venue,
    )  # fmt: skip
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return Call("POST", PATH, Order, body=body, headers=headers, repeatable=True)


def validate(
    symbol: str, side: Side, quantity: Number, price: Number | None = None, *,
    type: OrderType | None = None, trigger_price: Number | None = None,
    expires_at: When | None = None, time_in_force: TimeInForce | None = None,
    post_only: bool = False, reduce_only: bool = False, venue: str = "",
) -> Call[Preview]:  # fmt: skip
    """Ask risk what would become of such an order, and send nothing; parameters as of `place`."""
    body = _order(
        symbol, side, quantity, price, type, trigger_price, expires_at, time_in_force, post_only,
        reduce_only, venue,
    )  # fmt: skip
    return Call("POST", PATH + "/validate", Preview, body=body, repeatable=True)


def _order(
    symbol: str, side: Side, quantity: Number, price: Number | None, type: OrderType | None,
    trigger_price: Number | None, expires_at: When | None, time_in_force: TimeInForce | None,
    post_only: bool, reduce_only: bool, venue: str,
) -> dict[str, Any]:  # fmt: skip
    return {
        "symbol": symbol,
        "side": side,
        "quantity": required("quantity", quantity),
        "price": exact("price", price),
        "type": type or UNSET,
        "trigger_price": UNSET if trigger_price is None else exact("trigger_price", trigger_price),
        "expires_at": unless_empty(written(expires_at)),
        "time_in_force": time_in_force or UNSET,
        "post_only": post_only or UNSET,
        "reduce_only": reduce_only or UNSET,
        "venue": unless_empty(venue),
    }


def listing(
    *, state: Sequence[str] = (), working: bool | None = None, strategy: str = "",
    symbol: str = "", venue: str = "", since: When | None = None, until: When | None = None,
    limit: int = 100, cursor: str = "",
) -> Call[OrderPage]:  # fmt: skip
    """Our orders, newest first, `limit` (1 to 1000) a page; `since`, `until`: when created.

    `working`: only those that may still trade. `client.pages(...)` goes through all pages.
    """
    query: Query = {
        "state": state, "working": working, "strategy": strategy, "symbol": symbol, "venue": venue,
        "since": moment(since), "until": moment(until), "limit": limit, "cursor": cursor,
    }  # fmt: skip
    return Call("GET", PATH, OrderPage, query=query, has_files=True)


def get(order_id: str) -> Call[Order]:
    """One order and every event of its life."""
    return Call("GET", ONE, Order, names={"order_id": order_id})


def replace(
    order_id: str, *, price: Number | None = None, quantity: Number | None = None,
    trigger_price: Number | None = None,
) -> Call[Order]:  # fmt: skip
    """Replace a working order by one with other prices or quantity; the answer is the new one.

    The old one is cancelled first, and what it had filled counts towards `quantity`.
    """
    given = {"price": price, "quantity": quantity, "trigger_price": trigger_price}
    body = {k: UNSET if v is None else exact(k, v) for k, v in given.items()}
    return Call("PUT", ONE, Order, names={"order_id": order_id}, body=body)


def cancel(order_id: str) -> Call[Order]:
    """Cancel one order; its `state` says whether it is over. ApiError: it can no longer be."""
    return Call("DELETE", ONE, Order, names={"order_id": order_id})


def cancel_all(*, strategy: str = "", symbol: str = "", venue: str = "") -> Call[Canceled]:
    """Cancel every working order, or those that match."""
    query: Query = {"strategy": strategy, "symbol": symbol, "venue": venue}
    return Call("DELETE", PATH, Canceled, query=query)


def fills(
    *, symbol: str = "", venue: str = "", strategy: str = "", order_id: str = "",
    since: When | None = None, until: When | None = None, limit: int = 100, cursor: str = "",
) -> Call[FillPage]:  # fmt: skip
    """Executions of our orders, newest first, `limit` (1 to 1000) a page."""
    query: Query = {
        "symbol": symbol, "venue": venue, "strategy": strategy, "order_id": order_id,
        "since": moment(since), "until": moment(until), "limit": limit, "cursor": cursor,
    }  # fmt: skip
    return Call("GET", "/api/v1/fills", FillPage, query=query, has_files=True)
