"""Requests of clients in the traces of the orders that they place, replace or cancel."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickbus import subjects
from tickbus.events import CancelAllOrders, CancelOrder, Event, SubmitOrder
from tickbus.order import Order
from tickbus.runtime import Context

TRACEPARENT_MAX = 128


class _Call:
    """The request that is being served, and what it made us wish for orders."""

    def __init__(self) -> None:
        self.wishes: Sequence[SubmitOrder | CancelOrder] = ()
        self.status = 0


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


def note_wish(event: Event) -> None:
    """`event` is about to be sent for the request that is being served here."""
    call = _call.get()
    if call is not None and isinstance(event, SubmitOrder | CancelOrder):
        call.wishes = (event,)


def note_cancels(command: CancelAllOrders, orders: Sequence[Order]) -> None:
    """`command`, about `orders`, is about to be sent for the request that is being served here.

    Risk makes a cancel of it for each that works, under the id of the command.
    """
    call = _call.get()
    if call is not None:
        call.wishes = [
            CancelOrder(
                command.ts_event, command.ts_recv, command.command_id, order.client_order_id,
                subjects.MANUAL, order.venue, order.instrument_id,
            )
            for order in orders
            if order.is_working
        ]  # fmt: skip


class CallTraces:
    """Tells the trace of an order which request it came from; does nothing where none is kept."""

    def __init__(self, app: ASGIApp, context_of: Callable[[], Context | None]) -> None:
        self._app = app
        self._context_of = context_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        context = self._context_of()
        if context is None or context.tracer is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call, received = _Call(), context.clock.now_ns()

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
            await send(message)

        token = _call.set(call)
        try:
            await self._app(scope, receive, seen)
        finally:
            _call.reset(token)
            if call.wishes:
                route = getattr(scope.get("route"), "path", "") or scope["path"]
                parent = Headers(scope=scope).get("traceparent", "")[:TRACEPARENT_MAX]
                answered = context.clock.now_ns()
                for wish in call.wishes:
                    context.tracer.called(
                        wish, scope["method"], route, call.status, received, answered, parent
                    )
