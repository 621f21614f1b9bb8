"""What one service noted becomes its part of the orders' traces: notes in, spans out.

The parts of several services fit together without a word between them: ids follow from the order's
id and from the message id of the event that a service stored. The root lasts from the tick to the
venue's first answer (to the refusal, where risk denied the order); its children are the hops, one
behind the other without a gap. What comes later hangs on the hop at the venue: time spent working,
fills, cancels, parts, and what the ledger booked.

Consumes: notes. Produces: spans.
Invariants: the same notes give the same spans; at most `OPEN_MAX` orders are remembered, of one
forgotten early only the root, the hop at the venue and the times spent working are missing.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tickbus.codec import Hop
from tickbus.events import (
    SMART_VENUE,
    CancelApproved,
    CancelDenied,
    CancelOrder,
    CancelRejected,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderUnknown,
    SubmitOrder,
)
from tickbus.events.orders import message_id
from tickbus.order import client_order_id_of
from tickbus.traces.notes import Booked, Called, Heard, Note, Said, Sent
from tickbus.traces.spans import Kind, Place, Span, Value, number, starts_at, terms
from tickbus.tracing import ROOT, read_traceparent, span_id_of, trace_id_of

OPEN_MAX = 10_000
CANCELS_MAX = 100
"""Cancels of one order that wait for an answer; of more only the hops are told."""
BOOKED_LATE_NS = 900_000_000_000
"""What is booked later than this is history read again, by books that are made anew."""
VENUE = "venue"
WISHERS = ("strategy", "api", "router")
PLACERS = ("execution", "router")
HEARD = frozenset({OrderApproved, CancelApproved})
"""What those who place orders have to note when they are given it."""
NAMES: dict[type, str] = {
    OrderAccepted: "ack",
    OrderRejected: "rejected",
    OrderFilled: "fill",
    OrderCanceled: "canceled",
    OrderExpired: "expired",
    OrderReplaced: "replaced",
    OrderUnknown: "unknown",
    CancelRejected: "cancel rejected",
}
"""What is told of an order after it was sent, by what the venue's word is called."""
SAID = frozenset({
    SubmitOrder, OrderApproved, OrderDenied, CancelApproved, CancelDenied, OrderSubmitted, *NAMES
})  # fmt: skip
BOOKED = frozenset({OrderDenied, *NAMES})
ANSWERS = (OrderAccepted, OrderRejected, OrderFilled, OrderCanceled, OrderExpired)
FAILED = (OrderRejected, OrderUnknown, CancelRejected)

Spans = list[Span]


def orders_of(note: Note) -> tuple[str, ...]:
    """The orders in whose traces `note` is told: one, and its whole for the wish of a part."""
    if isinstance(note, Sent):
        return (note.client_order_id,)
    event = note.wish if isinstance(note, Called) else note.event
    if isinstance(event, SubmitOrder) and event.parent_id:
        return (event.client_order_id, event.parent_id)
    return (client_order_id_of(event),)


class _Cancel:
    """A cancel on its way: the hops up to risk, and the stamps of the rest."""

    def __init__(self, heard: Heard) -> None:
        self.hops = heard.hops
        self.ts_recv = self.sent = heard.ts_recv


class _Open:
    """An order on its way to the venue, or working there; stamps are ns UTC, 0 for not yet."""

    def __init__(self, order: SubmitOrder, heard: Heard) -> None:
        self.order = order
        self.hops = heard.hops
        self.ts_recv = heard.ts_recv
        self.said = self.sent = self.answered = self.last = 0
        self.cancels: dict[str, _Cancel] = {}


class OrderTraces:
    """The part of `service` in the traces of all orders."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._open: dict[str, _Open] = {}
        self._takers: dict[type, Callable[[Any], Spans]] = {
            Said: self._said, Heard: self._heard, Sent: self._sent, Booked: _booked,
            Called: _called,
        }  # fmt: skip

    def take(self, note: Note) -> Spans:
        """The spans that are known by `note`."""
        return self._takers[type(note)](note)

    # -- on the way to the venue -------------------------------------------------------------------

    def _said(self, note: Said) -> Spans:
        event, hops = note
        match event:
            case SubmitOrder():
                return self._wished(event, hops)
            case OrderApproved() | OrderDenied():
                return self._judged(event, hops)
            case CancelApproved() | CancelDenied():
                return _cancel_judged(event, hops)
            case OrderSubmitted():
                order = self._open.get(event.client_order_id)
                if order is not None and not order.said:
                    order.said = hops[-1].ts_sent
                return []
        return self._told(event, hops) if type(event) in NAMES else []

    def _wished(self, order: SubmitOrder, hops: Sequence[Hop]) -> Spans:
        place, own = Place(order.client_order_id), message_id(order)
        spans = _since_tick(place, order, hops)
        spans += place.way(ROOT, hops, {len(hops) - 1: own})
        spans[-1] = _with(spans[-1], terms(order))
        if order.parent_id:
            hop = hops[-1]
            link = (spans[-1].trace_id, span_id_of(order.client_order_id), "child")
            whole = Place(order.parent_id, VENUE)
            spans.append(
                whole.span(
                    f"part:{order.client_order_id}", "part", self._service,
                    hop.ts_recv, hop.ts_sent, terms(order), links=(link,),
                )
            )  # fmt: skip
        return spans

    def _judged(self, event: OrderApproved | OrderDenied, hops: Sequence[Hop]) -> Spans:
        order, last = event.order, len(hops) - 1
        place = Place(order.client_order_id)
        own, is_told = {last: message_id(event)}, last > 0 and hops[-2].service in WISHERS
        # Of an order of risk's own, as when it flattens, nobody has told the way so far.
        spans = [] if is_told else _since_tick(place, order, hops)
        spans += place.way(ROOT, hops, own, last if is_told else 0)
        if isinstance(event, OrderDenied):
            why: dict[str, Value] = {"tickbus.denial_reason": str(event.reason)}
            error = f"{event.reason}: {event.detail}"
            spans[-1] = _with(spans[-1], why)._replace(error=error)
            end = hops[-1].ts_sent
            spans.append(_root(order, hops, end, {**why, "tickbus.outcome": "denied"}, error))
        return spans

    def _heard(self, note: Heard) -> Spans:
        event, hops, ts_recv = note
        if self._service not in PLACERS or not hops:
            return []
        if isinstance(event, OrderApproved):
            order = event.order
            if (order.venue == SMART_VENUE) != (self._service == "router"):
                return []
            _bound(self._open, OPEN_MAX)
            self._open[order.client_order_id] = _Open(order, note)
            place = Place(order.client_order_id)
            part = f"{ROOT}:{len(hops)}:to"
            return [place.transit(part, hops[-1], self._service, ts_recv)]
        if isinstance(event, CancelApproved):
            working = self._open.get(event.cancel.client_order_id)
            if working is not None:
                _bound(working.cancels, CANCELS_MAX)
                working.cancels[event.cancel.command_id] = _Cancel(note)
        return []

    def _sent(self, note: Sent) -> Spans:
        order = self._open.get(note.client_order_id)
        if order is None:
            return []
        if not note.command_id:
            order.sent = note.ts
        elif note.command_id in order.cancels:
            order.cancels[note.command_id].sent = note.ts
        return []

    # -- at the venue ------------------------------------------------------------------------------

    def _told(self, event: Any, hops: Sequence[Hop]) -> Spans:
        """What the venue said; its answer ends the root, what comes behind it hangs on the hop."""
        order_id, own = event.client_order_id, hops[-1]
        place = Place(order_id, VENUE)
        order = self._open.get(order_id)
        spans: Spans = []
        if order is not None:
            is_answer = isinstance(event, ANSWERS) or _is_over(event)
            if is_answer and not order.answered:
                spans += self._answer(order, event, own)
            elif order.answered and own.ts_recv > order.last:
                name = f"working:{message_id(event)}"
                spans.append(place.span(name, "working", self._service, order.last, own.ts_recv))
                order.last = own.ts_recv
            spans += self._cancels_ended(order, event, own)
        error = _failure(event)
        spans.append(
            place.span(
                message_id(event), NAMES[type(event)], self._service, own.ts_recv, own.ts_sent,
                _told_of(event), error=error, links=_links_of_replaced(event),
            )
        )  # fmt: skip
        if order is not None and _is_over(event):
            del self._open[order_id]
        return spans

    def _answer(self, order: _Open, event: Any, own: Hop) -> Spans:
        wish = order.order
        place = Place(wish.client_order_id)
        sent = order.sent or order.said or own.ts_sent
        if not order.sent and isinstance(event, OrderRejected):
            sent = own.ts_recv  # refused here, without a word to the venue
        sent = max(sent, order.ts_recv)
        end = order.answered = order.last = max(sent, own.ts_recv)
        error = _failure(event)
        service, part = self._service, f"{ROOT}:{len(order.hops)}:{self._service}"
        facts = {"tickbus.outcome": NAMES[type(event)], **_told_of(event)}
        first = order.hops[0]
        if first.service == "feed" and order.sent:
            facts["tickbus.tick_to_order_us"] = (sent - first.ts_recv) / 1000
        return [
            place.span(part, service, service, order.ts_recv, sent),
            place.span(
                VENUE, VENUE, service, sent, end, {"tickbus.venue": wish.venue},
                kind=Kind.CLIENT, error=error,
            ),
            _root(wish, order.hops, end, facts, error),
        ]  # fmt: skip

    def _cancels_ended(self, order: _Open, event: Any, own: Hop) -> Spans:
        if isinstance(event, CancelRejected):
            ended = [event.command_id] if event.command_id in order.cancels else []
        else:
            ended = list(order.cancels) if isinstance(event, OrderCanceled) else []
        spans: Spans = []
        order_id, venue = order.order.client_order_id, order.order.venue
        for command_id in ended:
            cancel = order.cancels.pop(command_id)
            journey = f"cancel:{command_id}"
            place = Place(order_id, journey)
            part = f"{journey}:{len(cancel.hops)}"
            end, error = max(cancel.sent, own.ts_recv), _failure(event)
            spans += [
                place.transit(f"{part}:to", cancel.hops[-1], self._service, cancel.ts_recv),
                place.span(part, self._service, self._service, cancel.ts_recv, cancel.sent),
                place.span(
                    f"{journey}:{VENUE}", VENUE, self._service, cancel.sent, end,
                    {"tickbus.venue": venue}, kind=Kind.CLIENT, error=error,
                ),
                _cancel_root(order_id, command_id, cancel.hops, end, error),
            ]  # fmt: skip
        return spans


def _since_tick(place: Place, order: SubmitOrder, hops: Sequence[Hop]) -> Spans:
    start, first = starts_at(hops, order.ts_event), hops[0].ts_recv
    if start == first:
        return []
    part, name = f"{ROOT}:0:to", f"{VENUE} to feed"
    return [place.span(part, name, "feed", start, first, kind=Kind.CONSUMER)]


def _root(
    order: SubmitOrder, hops: Sequence[Hop], end: int, facts: dict[str, Value], error: str
) -> Span:
    links = tuple(
        (trace_id_of(other), span_id_of(other), what)
        for other, what in ((order.parent_id, "parent"), (order.replaces, "replaces"))
        if other
    )
    place = Place(order.client_order_id, "")
    start = starts_at(hops, order.ts_event)
    service = hops[-2 if len(hops) > 1 else -1].service  # who wished it, just before risk
    attributes = {**terms(order), **facts}
    return place.span(ROOT, ROOT, service, start, end, attributes, error=error, links=links)


def _cancel_judged(event: CancelApproved | CancelDenied, hops: Sequence[Hop]) -> Spans:
    """All the way to risk's verdict: a wish to cancel everything is of no order before it."""
    cancel = event.cancel
    journey = f"cancel:{cancel.command_id}"
    place = Place(cancel.client_order_id, journey)
    own = {len(hops) - 2: wish_of_cancel(cancel.command_id), len(hops) - 1: message_id(event)}
    spans = place.way(journey, hops, own)
    if isinstance(event, CancelDenied):
        error = f"{event.reason}: {event.detail}"
        spans[-1] = spans[-1]._replace(error=error)
        end = hops[-1].ts_sent
        root = _cancel_root(cancel.client_order_id, cancel.command_id, hops, end, error)
        spans.append(_with(root, {"tickbus.denial_reason": str(event.reason)}))
    return spans


def wish_of_cancel(command_id: str) -> str:
    """The part of a trace that the wish to cancel is; as its message id, for one order or all."""
    return f"{CancelOrder.__name__}:{command_id}"


def _cancel_root(order_id: str, command_id: str, hops: Sequence[Hop], end: int, error: str) -> Span:
    place = Place(order_id, VENUE)
    facts: dict[str, Value] = {"tickbus.command_id": command_id}
    start, service = hops[0].ts_recv, hops[0].service
    return place.span(f"cancel:{command_id}", "cancel", service, start, end, facts, error=error)


def _booked(note: Booked) -> Spans:
    event, hops, ts_recv, ts_written = note
    if type(event) not in BOOKED or not hops:
        return []
    if ts_written - hops[-1].ts_sent > BOOKED_LATE_NS:
        return []
    own = message_id(event)
    place = Place(client_order_id_of(event), own)
    return [
        place.transit(f"{own}:to ledger", hops[-1], "ledger", ts_recv),
        place.span(f"{own}:ledger", "ledger", "ledger", ts_recv, ts_written),
    ]


def _called(note: Called) -> Spans:
    link = read_traceparent(note.traceparent)
    facts: dict[str, Value] = {
        "http.request.method": note.method,
        "http.route": note.route,
        "http.response.status_code": note.status,
    }
    own = message_id(note.wish)
    return [
        Place(client_order_id_of(note.wish), own).span(
            f"http:{own}", f"{note.method} {note.route}", "api", note.ts_recv, note.ts_answered,
            facts, kind=Kind.SERVER, error=f"HTTP {note.status}" if note.status >= 500 else "",
            links=((*link, "client"),) if link else (),
        )
    ]  # fmt: skip


def _told_of(event: Any) -> dict[str, Value]:
    facts: dict[str, Value] = {"tickbus.venue": event.venue, "tickbus.strategy": event.strategy_id}
    venue_order_id = getattr(event, "venue_order_id", "")
    if venue_order_id:
        facts["tickbus.venue_order_id"] = venue_order_id
    reason = getattr(event, "reason", "")
    if reason:
        facts["tickbus.reason"] = str(reason)
    if isinstance(event, OrderFilled):
        fill = event.fill
        facts |= {
            "tickbus.fill_id": fill.fill_id,
            "tickbus.price": number(fill.price),
            "tickbus.quantity": number(fill.quantity),
            "tickbus.leaves_quantity": number(event.leaves_quantity),
            "tickbus.liquidity": str(fill.liquidity_side),
            "tickbus.venue_time_ns": fill.ts_event,
        }
    return facts


def _links_of_replaced(event: Any) -> tuple[tuple[str, str, str], ...]:
    if not isinstance(event, OrderReplaced):
        return ()
    return ((trace_id_of(event.replaced_id), span_id_of(event.replaced_id), "replaces"),)


def _failure(event: Any) -> str:
    if not isinstance(event, FAILED):
        return ""
    reason = getattr(event, "reason", "") or NAMES[type(event)]
    return f"{reason}: {event.detail}" if event.detail else reason


def _is_over(event: Any) -> bool:
    """Whether nothing more can come of the order."""
    match event:
        case OrderFilled():
            return not event.leaves_quantity
        case OrderReplaced():
            return not event.quantity
    return isinstance(event, (OrderRejected, OrderCanceled, OrderExpired))


def _with(span: Span, attributes: dict[str, Value]) -> Span:
    return span._replace(attributes={**span.attributes, **attributes})


def _bound(known: dict[str, Any], size: int) -> None:
    """Forget the oldest, so that one more has room."""
    while len(known) >= size:
        del known[next(iter(known))]
