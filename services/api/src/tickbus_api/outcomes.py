"""What became of an order, as an answer: a status, or the problem that says why not."""

from http import HTTPStatus
from typing import Any

from tickbus.events import DenialReason, OrderType, SubmitOrder, TimeInForce
from tickbus.order import Order, OrderState
from tickbus.reasons import MEANINGS
from tickbus_api.problems import Problem, shown

_DENIED_FIELDS = {
    "QUANTITY": "quantity",
    "NOTIONAL": "quantity",
    "POSITION": "quantity",
    "PRICE": "price",
    "INSTRUMENT": "symbol",
    "TRIGGER": "trigger_price",
    "EXPIRY": "expires_at",
    "TIME": "time_in_force",
}
"""What to change in the request, by the category of risk's reason."""
_RESTING = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


def is_decided(order: Order) -> bool:
    """Whether no more is to be waited for."""
    # What is to trade at once is waited for to its end; what may rest, until it rests.
    stays = order.time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
    rests = order.order_type.has_trigger or (order.order_type is OrderType.LIMIT and stays)
    return order.is_terminal or (rests and order.state in _RESTING)


def field_of(reason: str) -> str:
    """The field of an order that a reason of risk is about; "" where it is about none."""
    return _DENIED_FIELDS.get(reason.partition("_")[0], "")


def remedy_of(reason: str) -> str:
    """What helps against a reason of risk, in the words that `validate` has for it."""
    if reason not in DenialReason.__members__:
        return "see docs/denial-reasons.md"  # of a risk that is newer than this gateway
    return MEANINGS[DenialReason(reason)][1]


def outcome(order: Order) -> tuple[HTTPStatus, Order]:
    """The answer about an order as it is now. Raises Problem where it was refused."""
    facts: dict[str, Any] = {"order_id": order.client_order_id, "state": order.state}
    if order.state is OrderState.DENIED:
        field = field_of(order.reason)
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            order.reason,
            f"risk denied the order: {order.reason} ({order.detail})",
            field=field,
            value=getattr(order, field, None),
            remedy=remedy_of(order.reason),
            extra={**facts, "denied_by": "risk", "reason_detail": order.detail},
        )
    if order.state is OrderState.REJECTED:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "VENUE_REJECTED",
            f"{order.venue} rejected the order: {order.detail or order.reason} ({order.reason})",
            remedy="change the order as the venue says",
            extra={**facts, "denied_by": order.venue, "reason_detail": order.detail,
                   "venue_reason": order.reason},
        )  # fmt: skip
    known = order.is_terminal or order.state in _RESTING
    return HTTPStatus.CREATED if known else HTTPStatus.ACCEPTED, order


def same(earlier: Order, submit: SubmitOrder) -> Order:
    """`earlier`, if it is what `submit` wishes for. Raises Problem."""
    wanted = Order.from_submit(submit)
    for name in (
        "instrument_id", "venue", "side", "order_type", "quantity", "price", "trigger_price",
        "time_in_force", "expires_ns", "post_only", "reduce_only",
    ):  # fmt: skip
        if getattr(earlier, name) != getattr(wanted, name):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                f"this Idempotency-Key belongs to another order (its {name} differs)",
                field=name,
                value=getattr(wanted, name),
                remedy="use a new key for a new order",
                extra={"order_id": earlier.client_order_id},
            )
    return earlier


def unknown_order(order_id: str) -> Problem:
    """That there is no such order (404)."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_ORDER",
        f"there is no order {shown(order_id)!r}",
        field="id",
        value=order_id,
        remedy="GET /api/v1/orders lists them",
    )


def closed(order: Order) -> Problem:
    """That the order is over (409)."""
    return Problem(
        HTTPStatus.CONFLICT,
        "ORDER_CLOSED",
        f"{order.client_order_id} is {order.state} and can no longer be cancelled or replaced",
        remedy="nothing is left of it in the market",
        extra={"order_id": order.client_order_id, "state": order.state},
    )
