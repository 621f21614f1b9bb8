"""Storing an event once under its message id, also where somebody has taken that id.

The server drops a message whose id it has seen, whoever sent it and wherever: who may store
anything could keep a fill or a stop from being heard by storing something under its id first.
"""

import logging
from collections.abc import Sequence

from tickbus import codec
from tickbus.bus import Bus, BusDenied, BusError
from tickbus.codec import MalformedMessage
from tickbus.events import (
    CancelDenied,
    CancelRejected,
    Event,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderRejected,
)
from tickbus.events.orders import message_id
from tickbus.order import client_order_id_of
from tickbus.runtime.telemetry import Telemetry
from tickbus.tracing import about

NAMES_MAX = 100
"""Ids tried for one event. Somebody who takes them all is seen, and ends the service."""
REASONED = (OrderDenied, CancelDenied, OrderRejected, CancelRejected, OrderCanceled, OrderExpired)
"""What says of an order why it ended; the reasons of others are sentences that people write."""


async def store(
    bus: Bus, event: Event, subject: str, payload: bytes, telemetry: Telemetry, log: logging.Logger
) -> Sequence[Event]:
    """Store `event`; what the stream kept in its place, () when it was new. Raises BusError."""
    name = message_id(event)
    for number in range(NAMES_MAX):
        taken = f"{name}:{number}" if number else name
        stored = await bus.publish_durable(subject, payload, taken)
        if not stored.duplicate:
            telemetry.count(type(event).__name__, "published")
            if isinstance(event, REASONED):
                telemetry.reason(type(event).__name__, str(event.reason) or "NONE")
            return ()
        earlier = await _said_before(bus, stored.sequence, name)
        if earlier is not None:
            telemetry.count(type(event).__name__, "repeated")
            return earlier
        telemetry.error("message_id_taken")
        ids = about(client_order_id_of(event))
        text = "somebody else took the message id %s, at %d"
        log.critical(text, taken, stored.sequence, extra=ids)
    raise BusError(f"{name} cannot be stored: {NAMES_MAX} ids for it are taken by somebody else")


async def _said_before(bus: Bus, sequence: int, name: str) -> Sequence[Event] | None:
    """The events at `sequence`; None when none of them is what `name` stands for."""
    try:
        message = await bus.read(sequence)
        events = codec.decode_said(message.subject, message.payload).events
    except (BusDenied, MalformedMessage):
        return None
    return events if any(message_id(event) == name for event in events) else None
