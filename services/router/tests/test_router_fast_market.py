"""A market that runs away from a MARKET order: the rest goes on, slower, and not for ever."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_cores import (
    NOW,
    A,
    D,
    a_book,
    a_core,
    an_instrument,
    an_order,
    approved,
    expired,
    filled,
    kinds,
    parts,
)

from tickbus.events import (
    AccountUpdated,
    Balance,
    BestExecution,
    DenialReason,
    OrderDenied,
    OrderExpired,
    OrderSubmitted,
    OrderType,
    SetTimer,
    SubmitOrder,
    TimeInForce,
    TimerFired,
)
from tickbus_router.core import RouterCore

MS = 1_000_000
LIMIT: dict[str, Any] = {
    "order_type": OrderType.LIMIT,
    "price": D(101),
    "time_in_force": TimeInForce.IOC,
}


def the_end(out: Any) -> OrderExpired:
    (end,) = [event for event in out if isinstance(event, OrderExpired)]
    return end


def missed(core: RouterCore, out: Any) -> Any:
    """Every part finds its level gone."""
    said: list[Any] = []
    for event in out:
        if isinstance(event, SubmitOrder):
            said += core.handle(expired(event.client_order_id, event.venue))
    return said


def test_rounds_that_fill_nothing_come_slower_and_end_with_limit_and_value() -> None:
    core = a_core(market_attempts_max=5, pause_ms=100, pause_ms_max=400)
    out: Any = core.handle(approved())
    pauses = []
    for _ in range(4):
        (timer,) = missed(core, out)
        assert isinstance(timer, SetTimer)
        pauses.append((timer.at_ns - NOW) // MS)
        out = core.handle(TimerFired(NOW, NOW, timer.key))
    end = the_end(missed(core, out))
    assert pauses == [200, 400, 400, 400]
    assert (end.reason, end.filled_quantity) == ("ATTEMPTS_USED_UP limit=5 value=5 left=3", D(0))


def test_a_round_that_fills_is_followed_by_the_next_as_soon_as_ever() -> None:
    core = a_core(pause_ms=100)
    (timer,) = missed(core, core.handle(approved()))
    assert timer.at_ns == NOW + 200 * MS
    core.handle(TimerFired(NOW, NOW, timer.key))
    core.handle(filled("s-r-1-3", "a", "1", "100", of="2"))
    core.handle(expired("s-r-1-3", "a", "1"))
    (timer,) = core.handle(expired("s-r-1-4", "b"))
    assert isinstance(timer, SetTimer)
    assert timer.at_ns == NOW + 100 * MS


def test_empty_books_are_waited_for_and_traded_on_when_they_fill_again() -> None:
    core = a_core(a_book("a", ()), a_book("b", ()))
    submitted, timer = core.handle(approved())
    assert kinds([submitted, timer]) == [OrderSubmitted, SetTimer]
    core.handle(a_book("a", ((140.0, 9.0),)))
    out = core.handle(TimerFired(NOW, NOW, timer.key))
    assert parts(out) == [("s-r-1-1", "a", D(3), D(140))], "at the prices of now"


@pytest.mark.parametrize(("stale", "reason"), [(False, "NO_LIQUIDITY"), (True, "NO_MARKET")])
def test_books_that_stay_empty_or_stale_end_it(stale: bool, reason: str) -> None:
    books = [msgspec.structs.replace(a_book(venue, ()), stale=stale) for venue in "ab"]
    core = a_core(*books, market_attempts_max=3)
    out: Any = core.handle(approved())
    for _ in range(2):
        out = core.handle(TimerFired(NOW, NOW, out[-1].key))
    assert the_end(out).reason == f"{reason} limit=3 value=3 left=3"
    assert not [event for event in out if isinstance(event, BestExecution)]


def test_without_money_anywhere_that_is_what_it_says() -> None:
    poor = [AccountUpdated(NOW, NOW, v, (Balance("USDT", D("0.01"), D(0)),), True) for v in "ab"]
    core = a_core(*poor, market_attempts_max=2)
    out: Any = core.handle(approved())
    end = the_end(core.handle(TimerFired(NOW, NOW, out[-1].key)))
    assert end.reason == "BALANCE_INSUFFICIENT limit=0.01 value=0.1000"
    (_, end) = core.handle(approved(client_order_id="s-r-2", **LIMIT))
    assert isinstance(end, OrderExpired)
    assert end.reason == "BALANCE_INSUFFICIENT limit=0.01 value=0.1000"


def test_venues_that_all_refused_are_not_waited_for() -> None:
    core = a_core(approved())
    for number, venue in ((1, "a"), (2, "b")):
        part = an_order(client_order_id=f"s-r-1-{number}", venue=venue)
        denied = OrderDenied(NOW, NOW, part, DenialReason.NOTIONAL_ABOVE_MAX, "limit=1 value=2")
        out: Any = core.handle(denied)
    end = the_end(core.handle(TimerFired(NOW, NOW, out[-1].key)))
    assert end.reason == (
        "a: NOTIONAL_ABOVE_MAX limit=1 value=2; b: NOTIONAL_ABOVE_MAX limit=1 value=2"
    )


def test_a_rest_too_small_for_every_venue_is_not_waited_for() -> None:
    core = a_core()
    for venue in "ab":
        rules = msgspec.structs.replace(an_instrument(venue), notional_min=D(50))
        core.handle(rules)
    core.handle(approved())
    core.handle(filled("s-r-1-1", "a", "2", "100"))
    core.handle(filled("s-r-1-2", "b", "0.75", "101", of="1"))
    (timer,) = core.handle(expired("s-r-1-2", "b", "0.75"))
    end = the_end(core.handle(TimerFired(NOW, NOW, timer.key)))
    assert end.reason == "REST_TOO_SMALL limit=0.5 value=0.25"


def test_a_limit_is_taken_at_once_or_not_at_all() -> None:
    core = a_core()
    out: Any = core.handle(approved(**LIMIT))
    (timer,) = missed(core, out)
    core.handle(a_book("a", ((102.0, 1.0),)))
    core.handle(a_book("b", ()))
    assert the_end(core.handle(TimerFired(NOW, NOW, timer.key))).reason == (
        "NO_LIQUIDITY limit=101 value=102.0"
    )


def test_rounds_of_a_limit_have_their_own_bound() -> None:
    core = a_core(rounds_max=2)
    (timer,) = missed(core, core.handle(approved(**LIMIT)))
    end = the_end(missed(core, core.handle(TimerFired(NOW, NOW, timer.key))))
    assert end.reason == "ATTEMPTS_USED_UP limit=2 value=2 left=3"


def test_the_last_round_of_a_limit_pays_what_it_may() -> None:
    core = a_core(rounds_max=2)
    out: Any = core.handle(approved(**LIMIT | {"price": D(105)}))
    assert [price for *_, price in parts(out)] == [D(100), D(101)]
    (timer,) = missed(core, out)
    out = core.handle(TimerFired(NOW, NOW, timer.key))
    assert [price for *_, price in parts(out)] == [D(105), D(105)]


def test_too_little_within_the_limit_is_told_with_the_least_that_a_venue_takes() -> None:
    core = a_core(a_book("a", ((100.0, 0.0001), (110.0, 9.0))), a_book("b", ()))
    (_, end) = core.handle(approved(**LIMIT))
    assert isinstance(end, OrderExpired)
    assert end.reason == "LIQUIDITY_TOO_SMALL limit=0.001 value=0.0001"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), max_size=60))
def test_it_always_ends_and_never_before_its_attempts_are_used_up(
    market: list[tuple[bool, int]],
) -> None:
    core = a_core(market_attempts_max=6)
    out: Any = core.handle(approved())
    bought, attempts = Decimal(0), 0
    for there, tenths in [*market, *[(False, 0)] * 20]:
        for event in [e for e in out if isinstance(e, SubmitOrder)]:
            order_id, venue = event.client_order_id, event.venue
            took = event.quantity * tenths / 10
            if took:
                out = core.handle(filled(order_id, venue, str(took), "100", str(event.quantity)))
                bought += took
            if took < event.quantity:
                out = [*out, *core.handle(expired(order_id, venue, str(took)))]
        ends = [event for event in out if isinstance(event, OrderExpired)]
        if ends or bought == 3:
            break
        for venue in "ab":
            core.handle(a_book(venue, A if there else ()))
        (timer,) = [event for event in out if isinstance(event, SetTimer)][-1:]
        assert MS * 150 <= timer.at_ns - NOW <= MS * 1000
        attempts += 1
        out = core.handle(TimerFired(NOW, NOW, timer.key))
    assert bought <= 3
    assert attempts <= 6
    if bought < 3:
        assert "limit=6 value=6" in the_end(out).reason or "TOO_SMALL" in the_end(out).reason
