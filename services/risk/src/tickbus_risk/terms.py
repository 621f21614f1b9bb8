"""Checks of an order's terms: triggers, time in force, expiry, and the order that it replaces."""

from decimal import Decimal
from typing import TYPE_CHECKING

from tickbus.events import DenialReason as R
from tickbus.events import Side, TimeInForce
from tickbus.order import OrderState
from tickbus.times import utc
from tickbus_risk.denial import Denial, deny

if TYPE_CHECKING:
    from tickbus_risk.checks import Request

EXPIRY_MIN_NS = 1_000_000_000
"""An order that ends sooner would mostly be over before the venue has it."""


def trigger_given(r: "Request") -> Denial | None:
    """Stops and take-profits have a trigger price, others have none."""
    kind, trigger = r.order.order_type, r.order.trigger_price
    if kind.has_trigger:
        return deny(R.TRIGGER_PRICE_MISSING, kind, trigger) if trigger is None else None
    return deny(R.TRIGGER_PRICE_UNEXPECTED, kind, trigger) if trigger is not None else None


def trigger_valid(r: "Request") -> Denial | None:
    """A trigger price is a number above 0, in whole ticks, within the venue's range."""
    trigger, rules = r.order.trigger_price, r.rules
    if trigger is None:
        return None
    if not (trigger.is_finite() and trigger > 0):
        return deny(R.TRIGGER_PRICE_INVALID, "above 0", trigger)
    if rules.tick_size > 0 and trigger % rules.tick_size:
        return deny(R.TRIGGER_PRICE_INVALID, f"multiple of {rules.tick_size}", trigger)
    low, high = rules.price_min, rules.price_max
    if trigger < low or (high and trigger > high):
        return deny(R.TRIGGER_PRICE_INVALID, f"{low}..{high}", trigger)
    return None


def trigger_not_reached(r: "Request") -> Denial | None:
    """A trigger that the market has passed already would make it another order than was meant."""
    trigger, top = r.order.trigger_price, r.top
    if trigger is None or top is None:
        return None
    above = r.order.order_type.triggers_above(r.order.side)
    # The side that the market has to come through: the last trade lies between bid and ask.
    edge = Decimal(repr(top.bid if above else top.ask))
    reached = trigger <= edge if above else trigger >= edge
    limit = f"{'above' if above else 'below'} {edge}"
    return deny(R.TRIGGER_PRICE_REACHED, limit, trigger) if reached else None


def time_in_force(r: "Request") -> Denial | None:
    """Without a limit price nothing can stand in the book; post-only orders must stand in it."""
    order = r.order
    immediate = order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
    if order.post_only and (immediate or not order.order_type.has_limit):
        limit = "a limit price and GTC or GTD for post_only"
        return deny(R.TIME_IN_FORCE_INVALID, limit, f"{order.order_type}/{order.time_in_force}")
    if order.post_only and order.order_type.has_trigger:
        return deny(R.TIME_IN_FORCE_INVALID, "LIMIT for post_only", order.order_type)
    return None


def expiry(r: "Request") -> Denial | None:
    """GTD says until when, at least a second ahead; others say nothing."""
    expires_ns, least = r.order.expires_ns, r.book.now_ns + EXPIRY_MIN_NS
    if r.order.time_in_force is not TimeInForce.GTD:
        limit = "none without GTD"
        return deny(R.EXPIRY_INVALID, limit, utc(expires_ns)) if expires_ns else None
    if expires_ns >= least:
        return None
    return deny(R.EXPIRY_INVALID, f">={utc(least)}", utc(expires_ns) if expires_ns else "none")


def replaced(r: "Request") -> Denial | None:
    """Only a working order of the same strategy, instrument and side can be replaced, and once."""
    order = r.order
    if not order.replaces:
        return None
    old = r.book.order(order.replaces)
    if old is None or not old.is_working or old.state is OrderState.PENDING_REPLACE:
        state = "unknown" if old is None else old.state
        return deny(R.REPLACED_ORDER_NOT_WORKING, "working", f"{order.replaces}:{state}")
    theirs = (old.strategy_id, old.venue, old.instrument_id, old.side)
    ours = (order.strategy_id, order.venue, order.instrument_id, order.side)
    if theirs != ours:
        return deny(R.REPLACED_ORDER_MISMATCH, _named(theirs), _named(ours))
    return None


def _named(what: tuple[str, str, str, Side]) -> str:
    return "/".join(what)


TERMS = (trigger_given, trigger_valid, time_in_force, expiry, replaced)
