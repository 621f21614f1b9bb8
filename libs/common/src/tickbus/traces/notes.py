"""What a service notes of an order while it handles it: events and stamps, nothing worked out."""

from typing import Any, NamedTuple

from tickbus.codec import Hop
from tickbus.events import Event


class Said(NamedTuple):
    """The service stored `event`; its own hop is the last of `hops`."""

    event: Event
    hops: tuple[Hop, ...]


class Heard(NamedTuple):
    """The service was given `event` of the order path, which came over `hops`, at `ts_recv`."""

    event: Event
    hops: tuple[Hop, ...]
    ts_recv: int


class Sent(NamedTuple):
    """The request for an order, or for its cancel by `command_id`, left for the venue at `ts`."""

    client_order_id: str
    ts: int
    command_id: str = ""


class Booked(NamedTuple):
    """`event` reached the ledger at `ts_recv`, and its rows were committed at `ts_written`."""

    event: Event
    hops: tuple[Hop, ...]
    ts_recv: int
    ts_written: int


class Called(NamedTuple):
    """A client's request, from its first byte here to the answer's last, that led to `wish`.

    `traceparent` is the header that the client sent, "" for none.
    """

    wish: Any
    method: str
    route: str
    status: int
    ts_recv: int
    ts_answered: int
    traceparent: str = ""


Note = Said | Heard | Sent | Booked | Called
