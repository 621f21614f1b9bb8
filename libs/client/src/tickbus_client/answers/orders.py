"""Answers about orders."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tickbus_client.answers.base import Answer, Page


class Hop(Answer, frozen=True, kw_only=True):
    """One service on the way to an event: when it received what led to it, and sent it on."""

    service: str
    received_at: datetime | None
    sent_at: datetime | None


class Step(Answer, frozen=True, kw_only=True):
    """One event of an order's life; `body` has its fields by name, `hops` the oldest first."""

    sequence: int
    event: str
    at: datetime | None
    received_at: datetime | None
    body: Any
    hops: tuple[Hop, ...] = ()


class Order(Answer, frozen=True, kw_only=True):
    """One of our orders; prices in quote, quantities in base currency; a fee above 0 is paid.

    `state` is one of PENDING_NEW, OPEN, PARTIALLY_FILLED, FILLED, CANCELED, DENIED (by risk),
    REJECTED (by the venue), EXPIRED and those in between. `replaces` is the order whose place it
    took, `parent` the one of which it is a part. `trace_id` is as W3C trace contexts have it.
    `inputs` (what was decided on) and `events` only where one order is asked for.
    """

    id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    post_only: bool
    reduce_only: bool
    trigger_price: Decimal | None = None
    expires_at: datetime | None = None
    replaces: str = ""
    parent: str = ""
    state: str
    working: bool
    filled_quantity: Decimal
    leaves_quantity: Decimal
    avg_fill_price: Decimal | None
    fees: dict[str, Decimal]
    venue_order_id: str
    reason: str
    detail: str
    created_at: datetime | None
    updated_at: datetime | None
    trace_id: str = ""
    inputs: dict[str, str] | None = None
    events: tuple[Step, ...] | None = None


class Preview(Answer, frozen=True, kw_only=True):
    """What would become of an order at risk, now; money in `currency`, which is the quote's.

    Where it does not pass, `reason`, `field`, `limit`, `value`, `scope`, `meaning` and `remedy` say
    why. `price` is at which it is expected to trade, `fee` the most that the venue takes for it,
    `position_after` is if it filled.
    """

    passes: bool
    reason: str
    detail: str
    field: str
    limit: str
    value: str
    scope: str
    meaning: str
    remedy: str
    symbol: str
    instrument_id: str
    venue: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None
    notional: Decimal | None
    fee: Decimal | None
    currency: str
    position: Decimal
    position_after: Decimal


class OrderPage(Page, frozen=True, kw_only=True):
    """A page of orders, newest first."""

    orders: tuple[Order, ...]


class Canceled(Answer, frozen=True, kw_only=True):
    """What a wish to cancel everything has done so far, as order ids.

    `closed_otherwise` were filled, or refused by the venue, meanwhile. `not_checked` could not be
    looked up; the wish was sent all the same.
    """

    command_id: str
    canceled: tuple[str, ...]
    closed_otherwise: tuple[str, ...]
    pending: tuple[str, ...]
    not_checked: tuple[str, ...] = ()


class Fill(Answer, frozen=True, kw_only=True):
    """One execution of one of our orders; `fee` is positive when we pay, in `fee_asset`.

    `fee_value` is a fee in a third asset, in quote currency.
    """

    id: str
    order_id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    venue_order_id: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    liquidity: str
    at: datetime | None
    fee_value: Decimal | None = None


class FillPage(Page, frozen=True, kw_only=True):
    """A page of fills, newest first."""

    fills: tuple[Fill, ...]
