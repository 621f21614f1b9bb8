"""Spans, and how the hops of a message become spans that follow each other without a gap."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from tickbus.codec import Hop
from tickbus.events import SubmitOrder
from tickbus.tracing import ROOT, span_id_of, trace_id_of

VENUE_AGE_MAX_NS = 10_000_000_000
"""A tick that is older by the venue's clock says more about the clocks than about the way."""

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Kind(StrEnum):
    """Which side of a call or a message a span is."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"


class Span(NamedTuple):
    """One part of an order's trace; stamps are ns UTC.

    `service` is where that part happened, which is not always who tells it. `error` is what went
    wrong, "" for nothing. `links` are (trace id, span id, what it is to this one).
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    kind: Kind = Kind.INTERNAL
    error: str = ""
    links: tuple[tuple[str, str, str], ...] = ()


class Place(NamedTuple):
    """Where in which trace spans belong: an order's, under the span that `parent` names."""

    client_order_id: str
    parent: str = ROOT

    def span(
        self, part: str, name: str, service: str, start_ns: int, end_ns: int,
        attributes: Attributes | None = None, *, kind: Kind = Kind.INTERNAL, error: str = "",
        links: tuple[tuple[str, str, str], ...] = (),
    ) -> Span:  # fmt: skip
        """A span here; where the clocks of two machines disagree it is empty, never negative."""
        order_id = self.client_order_id
        return Span(
            trace_id_of(order_id),
            span_id_of(order_id, part),
            span_id_of(order_id, self.parent) if self.parent else "",
            name,
            service,
            start_ns,
            max(start_ns, end_ns),
            {"tickbus.client_order_id": order_id, **(attributes or {})},
            kind,
            error,
            links,
        )

    def transit(self, part: str, before: Hop, service: str, ts_recv: int) -> Span:
        """The way over the bus from `before` to `service`."""
        name = f"{before.service} to {service}"
        return self.span(part, name, service, before.ts_sent, ts_recv, kind=Kind.CONSUMER)

    def way(
        self, journey: str, hops: Sequence[Hop], own: Mapping[int, str], first: int = 0
    ) -> list[Span]:
        """Each hop from number `first` on, and each way between two of them.

        `own` has the parts that hops are known by elsewhere, by their numbers; the rest is named by
        `journey` and number.
        """
        spans = []
        for number in range(first, len(hops)):
            hop = hops[number]
            part = f"{journey}:{number}"
            if number:
                spans.append(self.transit(f"{part}:to", hops[number - 1], hop.service, hop.ts_recv))
            part = own.get(number, f"{part}:{hop.service}")
            spans.append(self.span(part, hop.service, hop.service, hop.ts_recv, hop.ts_sent))
        return spans


def starts_at(hops: Sequence[Hop], ts_event: int) -> int:
    """When what led to an order began: at the venue where that is known, else where it entered.

    `ts_event` is the stamp of what the order was decided on.
    """
    first = hops[0]
    is_tick = first.service == "feed"
    if is_tick and 0 < first.ts_recv - ts_event <= VENUE_AGE_MAX_NS:
        return ts_event
    return first.ts_recv


def terms(order: SubmitOrder) -> dict[str, Value]:
    """What an order is for, as attributes; nothing of what it was decided on."""
    found: dict[str, Value | None] = {
        "tickbus.strategy": order.strategy_id,
        "tickbus.venue": order.venue,
        "tickbus.instrument": order.instrument_id,
        "tickbus.side": str(order.side),
        "tickbus.type": str(order.order_type),
        "tickbus.time_in_force": str(order.time_in_force),
        "tickbus.quantity": number(order.quantity),
        "tickbus.price": None if order.price is None else number(order.price),
        "tickbus.parent_id": order.parent_id or None,
        "tickbus.replaces": order.replaces or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def number(value: Decimal) -> str:
    """An amount as an attribute: exact, so text."""
    return format(value, "f")
