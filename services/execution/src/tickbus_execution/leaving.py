"""What is told of a request the moment it has left for the venue: latencies, and its trace."""

from tickbus.codec import Hop
from tickbus.events import CancelOrder
from tickbus.runtime import Context


def order_left(context: Context, client_order_id: str, hops: tuple[Hop, ...], sent_ns: int) -> None:
    """The order, which came over `hops`, was written at `sent_ns`."""
    telemetry, now = context.telemetry, context.clock.now_ns()
    telemetry.observe_ns("approved_to_sent", now - hops[-1].ts_recv)
    if hops[0].service == "feed":
        telemetry.observe_ns("tick_to_order", now - hops[0].ts_recv)
    if context.tracer is not None:
        context.tracer.sent(client_order_id, sent_ns)


def cancel_left(context: Context, cancel: CancelOrder) -> None:
    """The cancel was written now."""
    if context.tracer is not None:
        context.tracer.sent(cancel.client_order_id, context.clock.now_ns(), cancel.command_id)
