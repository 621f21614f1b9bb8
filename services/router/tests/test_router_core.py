"""Routing: given books and an order, when its parts trade or fail, then what is left goes on."""

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from router_cores import (
    FREE,
    NAMES,
    NOW,
    A,
    D,
    a_book,
    a_core,
    an_instrument,
    an_order,
    approved,
    at,
    expired,
    filled,
    kinds,
    parts,
)

from tickbus.events import (
    AccountUpdated,
    Balance,
    BestExecution,
    BookDepth,
    BookTop,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimeInForce,
    TimerFired,
)
from tickbus_router.config import RouterConfig
from tickbus_router.core import WARM_NS, Measured, RouterCore


def test_order_is_split_into_immediate_parts_that_name_it() -> None:
    out: Any = a_core().handle(approved())
    assert kinds(out) == [OrderSubmitted, SubmitOrder, SubmitOrder]
    assert parts(out) == [("s-r-1-1", "a", D(2), D(100)), ("s-r-1-2", "b", D(1), D(101))]
    assert all(e.parent_id == "s-r-1" and e.strategy_id == "s" for e in out[1:])
    assert all(e.time_in_force is TimeInForce.IOC for e in out[1:])


def test_fills_of_the_parts_are_told_of_the_whole_and_its_execution_is_measured() -> None:
    core = a_core(approved(), OrderAccepted(*at("s-r-1-1", "a"), "v1"))
    (first,) = core.handle(filled("s-r-1-1", "a", "2", "100"))
    assert isinstance(first, OrderFilled)
    assert (first.client_order_id, first.venue, first.fill.fill_id) == (
        "s-r-1", "smart", "a-fs-r-1-12",
    )  # fmt: skip
    assert (first.filled_quantity, first.leaves_quantity) == (D(2), D(1))
    out: Any = core.handle(filled("s-r-1-2", "b", "1", "101"))
    assert kinds(out) == [OrderFilled, BestExecution, Measured]
    assert (out[1].quantity, out[1].rounds, out[1].legs) == (3, 1, 2)
    assert out[1].shortfall_bps == 0, "it got what the books had shown"


def test_worse_prices_than_the_books_had_shown_are_a_shortfall() -> None:
    core = a_core(approved(quantity=D(2)))
    out: Any = core.handle(filled("s-r-1-1", "a", "2", "101"))
    assert out[-1].execution.shortfall_bps == 100


def test_what_is_left_is_sent_again_after_a_pause_and_not_while_a_part_may_trade() -> None:
    core = a_core(approved())
    assert kinds(core.handle(expired("s-r-1-1", "a"))) == [], "the other part may still trade"
    out: Any = core.handle(filled("s-r-1-2", "b", "1", "101"))
    assert kinds(out) == [OrderFilled, SetTimer]
    core.handle(a_book("a", ()))
    again = core.handle(TimerFired(NOW, NOW + 1, out[1].key))
    assert parts(again) == [("s-r-1-3", "b", D(2), D(101))]


def test_venue_that_refused_is_avoided() -> None:
    core = a_core(approved())
    part = an_order(client_order_id="s-r-1-1", venue="a", quantity=D(2))
    core.handle(OrderDenied(NOW, NOW, part, DenialReason.NOTIONAL_ABOVE_MAX, "limit=1 value=2"))
    (_, timer) = core.handle(filled("s-r-1-2", "b", "1", "101"))
    assert isinstance(timer, SetTimer)
    assert parts(core.handle(TimerFired(NOW, NOW, timer.key)))[0][1] == "b"


def test_order_ends_after_the_last_round_with_what_it_got() -> None:
    core = a_core(approved(), market_attempts_max=1)
    core.handle(expired("s-r-1-1", "a"))
    core.handle(filled("s-r-1-2", "b", "0.5", "101", of="1"))
    out: Any = core.handle(expired("s-r-1-2", "b", "0.5"))
    assert kinds(out) == [OrderExpired, BestExecution, Measured]
    assert out[0].filled_quantity == D("0.5")
    assert out[0].reason == "ATTEMPTS_USED_UP limit=1 value=1 left=2.5"


def test_nothing_to_trade_with_ends_at_once_and_says_why() -> None:
    out: Any = a_core().handle(approved(order_type=OrderType.LIMIT, price=D(50),
                                        time_in_force=TimeInForce.IOC))  # fmt: skip
    assert kinds(out) == [OrderSubmitted, OrderExpired]
    assert out[1].reason == "NO_LIQUIDITY limit=50 value=100.0"


def test_cancel_takes_the_parts_back_and_ends_the_whole_when_they_are_over() -> None:
    core = a_core(approved())
    cancel = CancelOrder(NOW, NOW, "c1", "s-r-1", *NAMES)
    out: Any = core.handle(CancelApproved(NOW, NOW, cancel))
    assert [(e.client_order_id, e.venue) for e in out] == [("s-r-1-1", "a"), ("s-r-1-2", "b")]
    canceled = OrderCanceled(*at("s-r-1-1", "a"), "v1", D(0))
    assert list(core.handle(canceled)) == []
    out = core.handle(filled("s-r-1-2", "b", "1", "101"))
    assert kinds(out)[:2] == [OrderFilled, OrderCanceled]
    assert kinds(core.handle(CancelApproved(NOW, NOW, cancel))) == [CancelRejected]


def test_money_at_a_venue_bounds_its_part() -> None:
    money = AccountUpdated(NOW, NOW, "a", (Balance("USDT", D(50), D(0)),), True)
    out = a_core(money).handle(approved())
    assert parts(out) == [("s-r-1-1", "a", D("0.5"), D(100)), ("s-r-1-2", "b", D("2.5"), D(101))]


def test_what_was_described_before_it_was_live_is_offered_when_it_is() -> None:
    core = RouterCore(RouterConfig(), {"a": FREE, "b": FREE})
    for venue in ("a", "b"):
        assert core.handle(an_instrument(venue)) == (), "nobody would be told"
    (told,) = core.handle(Recovered(NOW, NOW))
    assert (told.venue, told.instrument_id) == ("smart", "BTC-USDT")


def test_older_word_on_money_changes_nothing() -> None:
    money = AccountUpdated(NOW, NOW, "a", (Balance("USDT", D(50), D(0)),), True)
    newer = AccountUpdated(NOW + 2, NOW, "a", (Balance("USDT", D(100), D(0)),), False)
    older = AccountUpdated(NOW + 1, NOW, "a", (), True)
    out = a_core(money, newer, older).handle(approved())
    assert parts(out) == [("s-r-1-1", "a", D(1), D(100)), ("s-r-1-2", "b", D(2), D(101))]
    gone = AccountUpdated(NOW + 3, NOW, "a", (), True)
    assert parts(a_core(money, newer, gone).handle(approved())) == [("s-r-1-1", "b", D(3), D(101))]


def test_stale_book_is_not_traded_on() -> None:
    stale = msgspec.structs.replace(a_book("a", A), stale=True)
    assert parts(a_core(stale).handle(approved())) == [("s-r-1-1", "b", D(3), D(101))]


def test_book_whose_best_price_is_stale_is_not_traded_on_either() -> None:
    top = BookTop(NOW, NOW, "a", "BTC-USDT", 99.0, 1.0, 100.0, 1.0, 1, 1, True)
    assert parts(a_core(top).handle(approved())) == [("s-r-1-1", "b", D(3), D(101))]


def test_orders_that_cannot_be_split_are_refused_with_limit_and_value() -> None:
    for terms in (
        {"order_type": OrderType.STOP_MARKET, "trigger_price": D(100)},
        {"order_type": OrderType.LIMIT, "price": D(100)},
        {"client_order_id": "x" * 33},
    ):
        out: Any = a_core().handle(approved(**terms))
        assert kinds(out) == [OrderRejected]
        assert "limit=" in out[0].detail
        assert "value=" in out[0].detail


def test_after_a_restart_what_is_left_goes_on_and_nothing_is_sent_twice() -> None:
    before = a_core()
    first, second = [e for e in before.handle(approved()) if isinstance(e, SubmitOrder)]
    history = [approved(), first, second, filled("s-r-1-1", "a", "2", "100")]
    core = a_core(history=history)
    assert core.handle(TimerFired(NOW, NOW, "route/s-r-1")) == (), "the second part may trade"
    told = core.handle(expired("s-r-1-2", "b"))
    assert kinds(told) == [SetTimer]
    again = core.handle(TimerFired(NOW, NOW + 1, "route/s-r-1"))
    assert parts(again) == [("s-r-1-3", "a", D(1), D(100))]


def test_part_that_the_stream_kept_from_before_counts_for_what_it_was() -> None:
    core = a_core(approved(quantity=D(1)))
    kept = an_order(
        client_order_id="s-r-1-1", venue="b", quantity=D("0.4"), parent_id="s-r-1", price=D(101),
        order_type=OrderType.LIMIT,
    )  # fmt: skip
    core.handle(kept)
    out: Any = core.handle(filled("s-r-1-1", "b", "0.4", "101"))
    assert (out[0].filled_quantity, out[0].leaves_quantity) == (D("0.4"), D("0.6"))
    assert isinstance(out[1], SetTimer)


def test_best_price_of_all_venues_is_told_as_that_of_smart() -> None:
    core = a_core()

    def top(venue: str, bid: float, ask: float, ts: int = NOW, *, stale: bool = False) -> BookTop:
        return BookTop(ts, ts, venue, "BTC-USDT", bid, 1.0, ask, 1.0, 1, 1, stale)

    core.handle(top("a", 99.0, 101.0))
    (told,) = core.handle(top("b", 98.0, 100.0))
    assert isinstance(told, BookTop)
    assert (told.venue, told.bid, told.ask, told.stale) == ("smart", 99.0, 100.0, False)
    assert core.handle(top("b", 98.0, 100.0)) == (), "nothing new"
    assert len(core.handle(top("b", 98.0, 100.0, NOW + 2_000_000_000))) == 1, "but confirmed"
    core.handle(top("a", 99.0, 101.0, stale=True))
    (told,) = core.handle(top("b", 98.0, 100.0, stale=True))
    assert isinstance(told, BookTop)
    assert told.stale


OUTCOMES = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


@given(OUTCOMES)
def test_parts_are_never_for_more_than_the_whole(outcomes: list[tuple[int, bool]]) -> None:
    core = a_core(rounds_max=20)
    living: dict[str, SubmitOrder] = {}
    bought = D(0)

    def take(events: Iterable[Any]) -> list[str]:
        timers = []
        for event in events:
            if isinstance(event, SubmitOrder):
                living[event.client_order_id] = event
            elif isinstance(event, SetTimer):
                timers.append(event.key)
        return timers

    timers = take(core.handle(approved()))
    for tenths, finishes in outcomes:
        open_now = sum((part.quantity for part in living.values()), D(0))
        assert bought + open_now <= 3
        if not living:
            for key in timers:
                timers = take(core.handle(TimerFired(NOW, NOW, key)))
            continue
        part = living.pop(next(iter(living)))
        events: list[Event] = []
        quantity = part.quantity if finishes else (part.quantity * tenths / 10)
        if quantity:
            name = part.client_order_id
            events.append(filled(name, part.venue, str(quantity), "100", str(part.quantity)))
            bought += quantity
        if not finishes:
            events.append(expired(part.client_order_id, part.venue, str(quantity)))
        for event in events:
            timers += take(core.handle(event))
    assert bought <= 3


def recalled(*words: Any) -> tuple[RouterCore, list[Any]]:
    """A router that finds its own words of before, then gets the approval again."""
    core = RouterCore(RouterConfig(), {"a": FREE, "b": FREE})
    for word in words:
        assert core.handle(word) == (), "history is silent"
    core.handle(Recovered(NOW, NOW))
    return core, list(core.handle(approved()))


def test_a_part_sent_before_the_approval_could_be_acknowledged_is_still_a_part() -> None:
    said = a_core().handle(approved())
    core, out = recalled(*said)
    assert kinds(out) == [OrderSubmitted], "neither a second part nor an end"
    assert kinds(core.handle(filled("s-r-1-1", "a", "2", "100"))) == [OrderFilled]


def test_an_order_that_had_ended_is_not_begun_again() -> None:
    said = a_core().handle(approved())
    core, _ = recalled(*said, expired("s-r-1", "smart"))
    market = (an_instrument("a"), a_book("a", A))
    for event in (*market, expired("s-r-1-1", "a"), expired("s-r-1-2", "b")):
        assert parts(core.handle(event)) == []
    assert core.handle(TimerFired(NOW, NOW, "route/s-r-1")) == (), "nothing goes out again"


def test_a_derivative_can_be_sold_without_owning_its_base() -> None:
    name = "BTC-USDT-PERP"
    core = a_core(
        msgspec.structs.replace(an_instrument("a"), instrument_id=name),
        AccountUpdated(NOW, NOW, "a", (Balance("USDT", D(1000), D(0)),), True),
        BookDepth(NOW, NOW, "a", name, ((100.0, 2.0),), ((101.0, 2.0),), 1, 1),
    )
    out = core.handle(approved(side=Side.SELL, quantity=D(1), instrument_id=name))
    assert parts(out) == [("s-r-1-1", "a", D(1), D(100))]


def test_approval_that_comes_again_goes_on_with_the_parts_that_are_out() -> None:
    first = a_core()
    submitted, *sent = first.handle(approved())
    # The earlier process died before it could say that it had handled the approval.
    core = a_core(history=[submitted, *sent])
    out: Any = core.handle(approved())
    assert kinds(out) == [OrderSubmitted], "they may still trade"
    core.handle(filled("s-r-1-1", "a", "2", "100"))
    out = core.handle(expired("s-r-1-2", "b"))
    again = core.handle(TimerFired(NOW, NOW + 2, out[-1].key))
    assert parts(again)[0][2] == D(1), "never for more than the whole together"


def test_order_that_an_earlier_process_has_ended_is_not_routed_again() -> None:
    first = a_core()
    submitted, *sent = first.handle(approved(quantity=D(2)))
    end = OrderExpired(*at("s-r-1", "smart"), "s-r-1", D(0), "NO_LIQUIDITY")
    core = a_core(history=[submitted, *sent, end])
    core.handle(approved(quantity=D(2)))
    out: Any = core.handle(expired("s-r-1-1", "a"))
    assert parts(core.handle(TimerFired(NOW, NOW + 1, out[-1].key))) == []
    assert core.snapshot().parents == []


def test_after_a_start_an_order_waits_for_the_books_of_all_venues_but_not_for_ever() -> None:
    core = RouterCore(RouterConfig(), {"a": FREE, "b": FREE})
    for event in (an_instrument("a"), an_instrument("b"), Recovered(NOW, NOW), a_book("a", A)):
        core.handle(event)
    submitted, timer = core.handle(approved())
    assert kinds([submitted, timer]) == [OrderSubmitted, SetTimer]
    later = NOW + WARM_NS + 1
    assert parts(core.handle(TimerFired(later, later, timer.key))) == [
        ("s-r-1-1", "a", D(2), D(100))
    ]
