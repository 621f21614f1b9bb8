"""Cancels: who may have which order cancelled, and the words for it."""

import re

import msgspec

from tickbus import subjects
from tickbus.events import CancelDenied, CancelOrder, DenialReason, Event
from tickbus.order import Order
from tickbus_risk.denial import Denial, deny

OPERATORS = (subjects.MANUAL, subjects.RISK)
"""Whose wish cancels any order: people (gateway, kill switch), and risk itself."""
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]")


def is_plain(text: str) -> bool:
    """Whether `text` can be part of a subject or a header."""
    return bool(text) and not _NOT_PLAIN.search(text)


def plain(text: str) -> str:
    """`text` as something that can."""
    return _NOT_PLAIN.sub("_", text)[:64] or "_"


def may_cancel(wisher: str, order: Order) -> bool:
    """Whether `wisher` may: a strategy takes none of another's orders out of the market."""
    return wisher == order.strategy_id or wisher in OPERATORS


def cancel_denial(cancel: CancelOrder, order: Order | None) -> Denial | None:
    """Why `cancel` does not pass; `order` is the one it names, None where risk knows none.

    Risk forgets no order that may work. What it does not know was never approved for a strategy,
    or is over for ten thousand orders: only operators may have it cancelled nevertheless.
    """
    wisher = cancel.strategy_id
    if order is not None:
        if may_cancel(wisher, order):
            return None
        return deny(DenialReason.CANCEL_NOT_OWNER, order.strategy_id, wisher)
    for name in (cancel.venue, cancel.command_id, cancel.client_order_id):
        if not is_plain(name):  # it names neither an order nor a place to send it
            return deny(DenialReason.ORDER_ID_INVALID, "[A-Za-z0-9_-]{1,}", repr(name))
    if wisher in OPERATORS:
        return None
    return deny(DenialReason.CANCEL_ORDER_UNKNOWN, "an order of its own", cancel.client_order_id)


def cancel_denied(cancel: CancelOrder, denial: Denial) -> CancelDenied:
    """The refusal, with ids as a subject can hold them; where they were not, `detail` has them."""
    cancel = msgspec.structs.replace(
        cancel,
        command_id=plain(cancel.command_id),
        client_order_id=plain(cancel.client_order_id),
        strategy_id=plain(cancel.strategy_id),
    )
    return CancelDenied(cancel.ts_event, cancel.ts_recv, cancel, denial.reason, denial.detail)


def cancel_of(order: Order, cause: Event, command_id: str) -> CancelOrder:
    """The cancel of one order, because of `cause`."""
    return CancelOrder(
        cause.ts_event,
        cause.ts_recv,
        plain(command_id),
        order.client_order_id,
        order.strategy_id,
        order.venue,
        order.instrument_id,
    )
