"""Keeps the way of an order warm: a made-up order takes it again and again, and never arrives.

Code that has not run for some milliseconds waits for memory at every step, and orders are rare. So,
where `platform.rehearse_every_ms` asks for it, each service on the way sends itself over the bus
what would bring it an order, reads it with the same care, decides on it with
`ServiceSpec.rehearse`, and encodes what it would say, without saying it. It costs processor time
all day and buys it back at the moment when it counts.
"""

import asyncio
from decimal import Decimal

from tickbus import codec, subjects
from tickbus.bus import BusError, Message, Subscription
from tickbus.codec import Hop, MalformedMessage
from tickbus.events import Event, OrderApproved, OrderType, Side, SubmitOrder, TimeInForce
from tickbus.events.orders import message_id
from tickbus.runtime.context import Context
from tickbus.runtime.spec import Rehearse
from tickbus.seal import Seal

NOBODY = "rehearsal"


class Rehearsal:
    """The edge that rehearses, every `every_s`, for one instrument of a venue."""

    def __init__(
        self, service: str, instance: str, rehearse: Rehearse, every_s: float, venue: str,
        instrument_id: str, seal: Seal | None = None, *, of_approvals: bool = False,
    ) -> None:  # fmt: skip
        self._service = service
        self._subject = subjects.rehearsal(service, instance)
        self._rehearse = rehearse
        self._every_s = every_s
        self._seal = seal
        order = SubmitOrder(
            ts_event=0, ts_recv=0, client_order_id=NOBODY, strategy_id=NOBODY, venue=venue,
            instrument_id=instrument_id, side=Side.BUY, order_type=OrderType.LIMIT,
            quantity=Decimal(1), price=Decimal(1), time_in_force=TimeInForce.IOC,
        )  # fmt: skip
        self._said = OrderApproved(0, 0, order) if of_approvals else order
        self._said_on = subjects.of(self._said)
        self._subscription: Subscription | None = None
        self._failed = False
        self._context: Context

    async def start(self, context: Context) -> None:
        """Begin. Raises BusError."""
        self._context = context
        self._subscription = await context.bus.subscribe(self._subject, self._on_order)
        context.spawn(self._send(), "rehearsal")

    async def stop(self) -> None:
        """End."""
        if self._subscription is not None:
            await self._subscription.stop()

    async def _send(self) -> None:
        payload = codec.encode([self._said], (Hop(NOBODY, 0, 0),))
        if self._seal is not None and self._seal.covers(self._said_on):
            payload = self._seal.put(self._said_on, payload)
        while not self._failed:
            await asyncio.sleep(self._every_s)
            try:
                await self._context.bus.publish(self._subject, payload)
            except BusError:
                await asyncio.sleep(1.0)  # the bus is away; there is nothing to keep warm for

    async def _on_order(self, message: Message) -> None:
        seal, subject = self._seal, self._said_on
        try:
            if seal is not None and seal.covers(subject):
                seal.holds(subject, message.payload)
            envelope = codec.decode_said(subject, message.payload)
        except MalformedMessage as error:
            self._context.quarantine(message.subject, message.payload, error)
            return
        for event in envelope.events:
            order = event.order if isinstance(event, OrderApproved) else event
            if isinstance(order, SubmitOrder) and not self._failed:
                self._go(order, envelope.hops)

    def _go(self, order: SubmitOrder, hops: tuple[Hop, ...]) -> None:
        try:
            would_say = self._rehearse(order)
            if would_say is not None:
                self._write(would_say, hops)
        except Exception as error:
            self._failed = True
            self._context.telemetry.error("rehearsal_failed")
            self._context.log.error("no more rehearsals: %r", error, exc_info=error)
            return
        self._context.telemetry.count(type(order).__name__, "rehearsed")

    def _write(self, event: Event, hops: tuple[Hop, ...]) -> None:
        if subjects.is_durable(event):
            now = self._context.clock.now_ns()
            subject = subjects.of(event)
            payload = codec.encode([event], (*hops, Hop(self._service, now, now)))
            if self._seal is not None and self._seal.covers(subject):
                self._seal.put(subject, payload)
            message_id(event)
