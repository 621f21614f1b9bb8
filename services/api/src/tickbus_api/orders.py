"""Routes about orders: place, list, look at, cancel."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from tickbus.events import OrderType, Side, TimeInForce
from tickbus.order import WORKING, Order, OrderState
from tickbus_api.access import READ, STOP, TRADE
from tickbus_api.books import CancelAllView, OrdersView, OrderView
from tickbus_api.exporting import FILES, ROWS_AT_ONCE, AsFile, as_file
from tickbus_api.gateway import Gateway, OrderFilter
from tickbus_api.names import Named, configured_instrument, require_past
from tickbus_api.parsing import BODY_BYTES_MAX, parse_changes, parse_order
from tickbus_api.problems import Problem, invalid
from tickbus_api.reading import Cursor, Limit, Operations, Since, Until, Venue, ns_of

router = APIRouter(prefix="/api/v1/orders", tags=["orders"])

OrderId = Annotated[str, Path(max_length=64)]
_number = {"oneOf": [{"type": "number"}, {"type": "string"}]}
ORDER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["symbol", "side", "quantity"],
                    "additionalProperties": False,
                    "properties": {
                        "symbol": {"type": "string", "description": "BTCUSDT, BTC-USDT, btc/usdt"},
                        "side": {"type": "string", "description": "BUY or SELL, in any case"},
                        "quantity": {**_number, "description": "in base currency, above 0"},
                        "price": {
                            "oneOf": [*_number["oneOf"], {"type": "null"}],
                            "description": "limit price in quote currency; null is a market order",
                        },
                        "type": {
                            "type": "string",
                            "enum": list(OrderType),
                            "description": "by default what follows from the prices given",
                        },
                        "trigger_price": {
                            **_number,
                            "description": "of a stop (default) or take-profit",
                        },
                        "expires_at": {
                            "type": "string",
                            "format": "date-time",
                            "description": "what is left of the order is cancelled then (GTD)",
                        },
                        "time_in_force": {"type": "string", "enum": list(TimeInForce)},
                        "post_only": {"type": "boolean"},
                        "reduce_only": {"type": "boolean"},
                        "venue": {"type": "string", "description": "where several trade it"},
                    },
                },
                "example": {
                    "symbol": "BTCUSDT",
                    "side": Side.BUY.title(),
                    "quantity": 0.001,
                    "price": None,
                },
            }
        },
    }
}


_CHANGES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "price": _number,
                        "quantity": _number,
                        "trigger_price": {**_number, "description": "of a stop or take-profit"},
                    },
                },
                "example": {"price": 60000},
            }
        },
    }
}


@router.post(
    "",
    status_code=201,
    openapi_extra=ORDER_BODY,
    responses={202: {"model": OrderView}},
    dependencies=TRADE,
)
async def place(
    gateway: Operations,
    request: Request,
    response: Response,
    idempotency_key: Annotated[
        str, Header(description="repeats with one key place one order")
    ] = "",
) -> OrderView:
    """Send an order to risk, as any strategy would, and wait up to `api.order_wait_s` for it.

    201: the venue has it, or has filled it. 200: the Idempotency-Key was used before, and this is
    its order as it is now. 202: undecided so far, look at `Location`. 422: risk or
    the venue refused it, `code` says why.
    """
    wanted = parse_order(await body_of(request))
    status, order = await gateway.submit(wanted, idempotency_key, request.state.principal)
    response.status_code = status
    response.headers["Location"] = f"/api/v1/orders/{order.client_order_id}"
    return _view(gateway, order)


@router.get("", dependencies=READ, response_model=OrdersView, responses=FILES)
async def listing(
    gateway: Operations,
    state: Annotated[list[str] | None, Query(description="repeat for several")] = None,
    working: Annotated[bool | None, Query(description="only those that may still trade")] = None,
    strategy: Annotated[str, Query(max_length=64)] = "",
    symbol: Annotated[str | None, Query(max_length=64)] = None,
    venue: Venue = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    file: AsFile = None,
) -> OrdersView | Response:
    """Our orders, newest first; `since` and `until` are about when they were created.

    The first page may be longer than `limit`, by orders so new that the books do not have them yet.
    """
    await require_past(gateway, Named.VENUE, venue)
    await require_past(gateway, Named.STRATEGY, strategy)
    wanted = OrderFilter(
        _states(state or [], working),
        strategy,
        venue,
        _instrument_id(gateway, symbol, venue),
        ns_of("since", since),
        ns_of("until", until),
    )

    async def page(cursor: str, limit: int = ROWS_AT_ONCE) -> tuple[list[OrderView], str]:
        orders, following = await gateway.orders(wanted, limit, cursor)
        return [_view(gateway, order) for order in orders], following

    if file is not None:
        return await as_file(file, "orders", OrderView, page, without=("inputs", "events"))
    views, following = await page(cursor, limit)
    return OrdersView(orders=views, next_cursor=following or None)


@router.get("/{order_id}", dependencies=READ)
async def one(gateway: Operations, order_id: OrderId) -> OrderView:
    """One order and every event of its life."""
    order, steps = await gateway.order(order_id)
    return OrderView.of(order, gateway.core.symbol(order.venue, order.instrument_id), steps)


@router.put("/{order_id}", status_code=201, openapi_extra=_CHANGES_BODY, dependencies=TRADE)
async def replace(
    gateway: Operations, order_id: OrderId, request: Request, response: Response
) -> OrderView:
    """Replace a working order by one with another price, quantity or trigger price.

    The answer is the new order.
    The old one is cancelled first, and what it had filled counts towards the quantity. 201, 202 and
    422 as with a new order; 409: the old one is over.
    """
    changes = parse_changes(await body_of(request))
    status, order = await gateway.replace(order_id, changes, request.state.principal)
    response.status_code = status
    response.headers["Location"] = f"/api/v1/orders/{order.client_order_id}"
    return _view(gateway, order)


@router.delete("/{order_id}", responses={202: {"model": OrderView}}, dependencies=STOP)
async def cancel(gateway: Operations, order_id: OrderId, response: Response) -> OrderView:
    """Cancel one order. 200: cancelled. 202: on its way. 409: it can no longer be cancelled."""
    response.status_code, order = await gateway.cancel(order_id)
    return _view(gateway, order)


@router.delete("", responses={202: {"model": CancelAllView}}, dependencies=STOP)
async def cancel_all(
    gateway: Operations,
    response: Response,
    strategy: Annotated[str, Query(max_length=64)] = "",
    symbol: Annotated[str | None, Query(max_length=64)] = None,
    venue: Venue = "",
) -> CancelAllView:
    """Cancel every working order, or those that match. 202 when some are still pending.

    It is not refused for a name that cannot be looked up now: `not_checked` says which.
    """
    not_checked: list[str] = []
    try:
        await require_past(gateway, Named.STRATEGY, strategy)
    except Problem as problem:
        _unless_unavailable(problem, f"whether there is a strategy {strategy!r}", not_checked)
    instrument_id = ""
    try:
        instrument_id = _instrument_id(gateway, symbol, venue)
    except Problem as problem:
        _unless_unavailable(problem, f"how the venue spells {symbol!r}", not_checked)
        instrument_id = configured_instrument(gateway, symbol or "")
    wanted = OrderFilter((), strategy, venue, instrument_id)
    response.status_code, command_id, orders, unlisted = await gateway.cancel_all(wanted)
    not_checked += [unlisted] if unlisted else []
    canceled = [o for o in orders if o.state is OrderState.CANCELED]
    otherwise = [o for o in orders if o.is_terminal and o.state is not OrderState.CANCELED]
    return CancelAllView(
        command_id=command_id,
        canceled=_ids(canceled),
        closed_otherwise=_ids(otherwise),
        pending=_ids([o for o in orders if not o.is_terminal]),
        not_checked=not_checked,
    )


def _unless_unavailable(problem: Problem, what: str, not_checked: list[str]) -> None:
    """Note what could not be looked up. Raises any other `problem`."""
    if problem.status is not HTTPStatus.SERVICE_UNAVAILABLE:
        raise problem
    not_checked.append(f"{what}: {problem.detail}")


async def body_of(request: Request) -> bytes:
    """The body, cut off one byte behind the longest that is allowed."""
    # One byte more than allowed is enough to know; the rest is never read.
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            break
    return body


def _states(names: list[str], working: bool | None) -> tuple[OrderState, ...]:
    for name in names:
        if name.upper() not in OrderState.__members__:
            known = ", ".join(OrderState.__members__)
            raise invalid("state", name, "is no state of an order", f"use one of {known}")
    wanted = {OrderState[name.upper()] for name in names} or set(OrderState)
    if working is not None:
        wanted &= WORKING if working else set(OrderState) - WORKING
    if names or working is not None:
        # An empty filter would mean everything: an impossible one is refused instead.
        if not wanted:
            raise invalid(
                "state", names, f"no such state has working={working}", "drop one of them"
            )
        return tuple(sorted(wanted))
    return ()


def _instrument_id(gateway: Gateway, symbol: str | None, venue: str) -> str:
    return gateway.instrument(symbol, venue).instrument_id if symbol else ""


def _view(gateway: Gateway, order: Order) -> OrderView:
    return OrderView.of(order, gateway.core.symbol(order.venue, order.instrument_id))


def _ids(orders: list[Order]) -> list[str]:
    return [order.client_order_id for order in orders]
