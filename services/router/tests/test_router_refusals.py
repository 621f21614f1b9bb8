"""Venues that refuse: the order avoids them to its end, and the next orders for a while."""

from typing import Any

import pytest
from router_cores import (
    NOW,
    A,
    D,
    a_book,
    a_core,
    an_order,
    approved,
    at,
    expired,
    filled,
    parts,
)

from tickbus.events import (
    BookDepth,
    DenialReason,
    OrderApproved,
    OrderDenied,
    OrderExpired,
    OrderRejected,
    SetTimer,
    Side,
    TimerFired,
)
from tickbus_router.core import RouterCore

SECOND = 1_000_000_000
POOR = ("INSUFFICIENT_BALANCE", "-2010 Account has insufficient balance for requested action.")


def rejected(order_id: str, venue: str) -> OrderRejected:
    return OrderRejected(*at(order_id, venue), *POOR)


def another(after_s: float = 1, **terms: Any) -> OrderApproved:
    now = NOW + int(after_s * SECOND)
    return OrderApproved(now, now, an_order(client_order_id="s-r-2", **terms))


def after_a_refusal(**config: Any) -> RouterCore:
    """Venue a has refused a part of s-r-1, which b then filled."""
    core = a_core(approved(), rejected("s-r-1-1", "a"), **config)
    (_, timer) = core.handle(filled("s-r-1-2", "b", "1", "101"))
    assert isinstance(timer, SetTimer)
    assert parts(core.handle(TimerFired(NOW, NOW, timer.key))) == [("s-r-1-3", "b", D(2), D(101))]
    core.handle(filled("s-r-1-3", "b", "2", "101"))
    return core


def test_what_is_left_never_goes_to_a_venue_that_refused_a_part_and_the_end_says_why() -> None:
    core = a_core(approved(), rejected("s-r-1-1", "a"), market_attempts_max=4)
    out: Any = core.handle(expired("s-r-1-2", "b"))
    venues = []
    while isinstance(out[-1], SetTimer):
        ((order_id, venue, _, _),) = parts(core.handle(TimerFired(NOW, NOW, out[-1].key)))
        venues.append(venue)
        out = core.handle(expired(order_id, venue))
    assert venues == ["b"] * 3
    (end,) = [event for event in out if isinstance(event, OrderExpired)]
    assert end.reason == f"ATTEMPTS_USED_UP limit=4 value=4 left=3; a: {' '.join(POOR)}"


@pytest.mark.parametrize(
    ("after_s", "venues"), [(1, ["b"]), (9.9, ["b"]), (10, ["a", "b"]), (60, ["a", "b"])]
)
def test_next_orders_go_elsewhere_for_a_while(after_s: float, venues: list[str]) -> None:
    sent = parts(after_a_refusal().handle(another(after_s)))
    assert [venue for _, venue, _, _ in sent] == venues


def test_for_how_long_is_configured() -> None:
    sent = parts(after_a_refusal(avoid_s=0).handle(another()))
    assert [venue for _, venue, _, _ in sent] == ["a", "b"]


def test_other_side_of_the_market_is_another_matter() -> None:
    core = after_a_refusal()
    for venue in "ab":
        core.handle(BookDepth(NOW, NOW, venue, "BTC-USDT", ((99.0, 2.0),), A, 1, 2))
    sent = parts(core.handle(another(side=Side.SELL)))
    assert [venue for _, venue, _, _ in sent] == ["a", "b"]


def test_rather_than_not_at_all_it_is_tried_where_another_was_refused() -> None:
    core = after_a_refusal()
    core.handle(a_book("b", ()))
    out: Any = core.handle(another(quantity=D(2)))
    assert parts(out) == [("s-r-2-1", "a", D(2), D(100))]


def test_order_that_had_to_do_without_a_venue_says_so_at_its_end() -> None:
    core = after_a_refusal(market_attempts_max=2)
    out: Any = core.handle(another(quantity=D(2)))
    for number in (1, 2):
        assert parts(out) == [(f"s-r-2-{number}", "b", D(2), D(101))]
        out = core.handle(expired(f"s-r-2-{number}", "b"))
        if number == 1:
            out = core.handle(TimerFired(NOW, NOW, out[-1].key))
    (end,) = [event for event in out if isinstance(event, OrderExpired)]
    assert end.reason.endswith(f"left=2; a: passed over, {' '.join(POOR)}")


def test_what_risk_denies_concerns_that_order_alone() -> None:
    core = a_core(approved(quantity=D(2)))
    part = an_order(client_order_id="s-r-1-1", venue="a", quantity=D(2))
    core.handle(OrderDenied(NOW, NOW, part, DenialReason.NOTIONAL_ABOVE_MAX, "limit=1 value=2"))
    core.handle(a_book("a", A))
    assert parts(core.handle(another(quantity=D(1)))) == [("s-r-2-1", "a", D(1), D(100))]
