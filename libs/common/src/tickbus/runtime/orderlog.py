"""Lines of the log about orders: what was refused and why, with the ids that lead to its trace."""

import logging
from typing import Any

from tickbus import codec
from tickbus.clock import Clock
from tickbus.codec import MalformedMessage
from tickbus.events import (
    CancelDenied,
    CancelRejected,
    Event,
    OrderDenied,
    OrderRejected,
    OrderUnknown,
)
from tickbus.order import client_order_id_of
from tickbus.tracing import about

LEVELS: dict[type, int] = {
    OrderDenied: logging.INFO,
    CancelDenied: logging.INFO,
    CancelRejected: logging.INFO,
    OrderRejected: logging.WARNING,
    OrderUnknown: logging.WARNING,
}
"""What people should see; the other steps of orders are there at the level `debug`."""
LINES_MAX = 20
"""Lines a second; of more only the number is said, in the next line."""


def about_message(payload: bytes) -> dict[str, Any]:
    """`about` the one order that a message names; nothing where it cannot be read."""
    try:
        events = codec.decode(payload).events
    except MalformedMessage:
        return {}
    found = {client_order_id_of(event) for event in events}
    return about(found.pop()) if len(found) == 1 else {}


class OrderLog:
    """Writes a line for what this service says of an order."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._second = self._lines = self._left_out = 0

    def said(self, event: Event) -> None:
        """`event` is stored."""
        level = LEVELS.get(type(event), logging.DEBUG)
        if not self._log.isEnabledFor(level):
            return
        order_id = client_order_id_of(event)
        if not order_id or (level > logging.DEBUG and self._is_too_many()):
            return
        said = " ".join(filter(None, (getattr(event, "reason", ""), getattr(event, "detail", ""))))
        more = f" ({self._left_out} such lines before it left out)" if self._left_out else ""
        self._left_out = 0
        text = f"{type(event).__name__}: {said}" if said else type(event).__name__
        self._log.log(level, "%s%s", text, more, extra=about(order_id))

    def _is_too_many(self) -> bool:
        second = self._clock.now_ns() // 1_000_000_000
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= LINES_MAX:
            return False
        self._left_out += 1
        return True
