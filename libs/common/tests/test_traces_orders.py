"""From stamps to spans: what each service tells of an order, and how the parts fit together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.codec import Hop
from tickbus.events import (
    CancelAllOrders,
    CancelApproved,
    CancelDenied,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
    Side,
    SubmitOrder,
)
from tickbus.traces.notes import Booked, Called, Heard, Note, Said, Sent
from tickbus.traces.orders import BOOKED_LATE_NS, OPEN_MAX, OrderTraces
from tickbus.traces.spans import Span
from tickbus.tracing import read_traceparent, span_id_of, trace_id_of

T = 1_700_000_000_000_000_000
TICK = T - 3_000
ID = "pp-r-1"
NAMES = (ID, "pp", "sim", "BTC-USDT")
ORDER = SubmitOrder(
    TICK, T, ID, "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal("0.5"), Decimal(100),
    inputs={"secret_of_the_strategy": "42"},
)  # fmt: skip
FEED, BOOK = Hop("feed", T, T + 10), Hop("book", T + 15, T + 20)
WISH = (FEED, BOOK, Hop("strategy", T + 30, T + 60))
VERDICT = (*WISH, Hop("risk", T + 100, T + 150))
HEARD_AT = T + 200
SUBMITTED = (*VERDICT, Hop("execution", HEARD_AT, T + 210))
SENT_AT = T + 300
ACKED = (Hop("execution", T + 1_300, T + 1_310),)
FILL = Fill("f1", Side.BUY, Decimal(100), Decimal("0.5"), Decimal(0), "BTC", LiquiditySide.MAKER, T)


def at(ns: int) -> tuple[int, int, str, str, str, str]:
    return (ns, ns, *NAMES)


def a_fill(ns: int, leaves: str = "0", fill_id: str = "f1") -> OrderFilled:
    fill = msgspec.structs.replace(FILL, fill_id=fill_id)
    return OrderFilled(*at(ns), "v7", fill, Decimal("0.5") - Decimal(leaves), Decimal(leaves))


ACCEPTED = OrderAccepted(*at(T + 1_300), "v7")
PLACED: dict[str, list[Note]] = {
    "strategy": [Said(ORDER, WISH)],
    "risk": [Said(OrderApproved(TICK, T, ORDER), VERDICT)],
    "execution": [
        Heard(OrderApproved(TICK, T, ORDER), VERDICT, HEARD_AT),
        Said(OrderSubmitted(*at(T)), SUBMITTED),
        Sent(ID, SENT_AT),
        Said(ACCEPTED, ACKED),
    ],
}


@dataclass
class Story:
    """The services, and what they told so far."""

    services: dict[str, OrderTraces] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)

    def note(self, service: str, *notes: Note) -> "Story":
        """What `service` tells of `notes`."""
        traces = self.services.setdefault(service, OrderTraces(service))
        for note in notes:
            self.spans += traces.take(note)
        return self

    def named(self, name: str) -> Span:
        """The one span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def under(self, parent: Span) -> list[Span]:
        """Its children, in order."""
        found = [span for span in self.spans if span.parent_id == parent.span_id]
        return sorted(found, key=lambda span: (span.start_ns, span.end_ns))


def placed() -> Story:
    story = Story()
    for service, notes in PLACED.items():
        story.note(service, *notes)
    return story


def a_row(spans: Sequence[Span]) -> list[tuple[str, str, int, int]]:
    return [(s.service, s.name, s.start_ns - T, s.end_ns - T) for s in spans]


def test_hops_from_tick_to_ack_follow_each_other_under_one_root() -> None:
    story = placed()
    root = story.named("order")
    assert (root.start_ns, root.end_ns) == (TICK, T + 1_300)
    assert (root.trace_id, root.span_id, root.parent_id) == (trace_id_of(ID), span_id_of(ID), "")
    assert a_row(story.under(root)) == [
        ("feed", "venue to feed", -3_000, 0),
        ("feed", "feed", 0, 10),
        ("book", "feed to book", 10, 15),
        ("book", "book", 15, 20),
        ("strategy", "book to strategy", 20, 30),
        ("strategy", "strategy", 30, 60),
        ("risk", "strategy to risk", 60, 100),
        ("risk", "risk", 100, 150),
        ("execution", "risk to execution", 150, 200),
        ("execution", "execution", 200, 300),
        ("execution", "venue", 300, 1_300),
    ]
    assert {span.trace_id for span in story.spans} == {root.trace_id}
    assert len({span.span_id for span in story.spans}) == len(story.spans)


def test_root_says_what_the_order_was_and_what_came_of_it_and_not_why() -> None:
    root = placed().named("order")
    assert dict(root.attributes) == {
        "tickbus.client_order_id": ID,
        "tickbus.strategy": "pp",
        "tickbus.venue": "sim",
        "tickbus.instrument": "BTC-USDT",
        "tickbus.side": "BUY",
        "tickbus.type": "LIMIT",
        "tickbus.time_in_force": "GTC",
        "tickbus.quantity": "0.5",
        "tickbus.price": "100",
        "tickbus.outcome": "ack",
        "tickbus.venue_order_id": "v7",
        "tickbus.tick_to_order_us": 0.3,
    }
    assert root.error == ""
    assert "secret_of_the_strategy" not in repr(placed().spans)


@given(
    st.lists(st.integers(0, 10**9), min_size=9, max_size=9),
    st.booleans(),
    st.integers(0, 20 * 10**9),
)
def test_hops_add_up_to_the_root_whatever_they_took(
    steps: list[int], ticked: bool, age: int
) -> None:
    stamps, now = [], T
    for step in steps:
        stamps.append(now)
        now += step
    a, b, c, d, e, f, g, h, i = stamps
    first = Hop("feed" if ticked else "api", a, b)
    order = msgspec.structs.replace(ORDER, ts_event=a - age)
    wish = (first, Hop("strategy", c, d)) if ticked else (first,)
    verdict = (*wish, Hop("risk", e, f))
    approved = OrderApproved(T, T, order)
    story = Story()
    story.note("strategy", Said(order, wish)).note("risk", Said(approved, verdict))
    story.note("execution", Heard(approved, verdict, g), Sent(ID, h))
    story.note("execution", Said(ACCEPTED, (Hop("execution", i, i),)))
    root = story.named("order")
    children = story.under(root)
    assert sum(span.end_ns - span.start_ns for span in children) == root.end_ns - root.start_ns
    assert all(left.end_ns == right.start_ns for left, right in pairwise(children))


def test_denied_order_ends_at_risk_with_the_reason_as_its_error() -> None:
    denied = OrderDenied(TICK, T, ORDER, DenialReason.POSITION_ABOVE_MAX, "position=9 max=5")
    story = Story().note("strategy", *PLACED["strategy"]).note("risk", Said(denied, VERDICT))
    root = story.named("order")
    assert (root.start_ns, root.end_ns) == (TICK, T + 150)
    assert root.error == "POSITION_ABOVE_MAX: position=9 max=5"
    assert root.attributes["tickbus.denial_reason"] == "POSITION_ABOVE_MAX"
    *others, risk = story.under(root)
    assert (risk.name, risk.error) == ("risk", root.error)
    assert not any(span.error for span in others)
    story.note("ledger", Booked(denied, VERDICT, T + 160, T + 190))
    assert a_row(story.under(risk)) == [
        ("ledger", "risk to ledger", 150, 160), ("ledger", "ledger", 160, 190),
    ]  # fmt: skip


@pytest.mark.parametrize("before", [(), (FEED, BOOK)])
def test_order_that_risk_wishes_itself_has_all_of_its_way(before: tuple[Hop, ...]) -> None:
    way = (*before, Hop("risk", T + 30, T + 40))
    story = Story().note("risk", Said(OrderApproved(TICK, T, ORDER), way))
    story.note("execution", Heard(OrderApproved(TICK, T, ORDER), way, HEARD_AT), Sent(ID, SENT_AT))
    story.note("execution", Said(ACCEPTED, ACKED))
    root = story.named("order")
    told = sum(span.end_ns - span.start_ns for span in story.under(root))
    assert told == root.end_ns - root.start_ns


def test_fills_follow_the_ack_with_the_time_in_the_book_between_and_are_booked() -> None:
    story = placed()
    partly, rest = a_fill(T + 5_000, "0.2"), a_fill(T + 9_000, "0", "f2")
    ways = [(Hop("execution", T + ns, T + ns + 10),) for ns in (5_000, 9_000)]
    story.note("execution", Said(partly, ways[0]), Said(rest, ways[1]))
    venue = story.named("venue")
    below = story.under(venue)
    assert a_row(below) == [
        ("execution", "ack", 1_300, 1_310),
        ("execution", "working", 1_300, 5_000),
        ("execution", "fill", 5_000, 5_010),
        ("execution", "working", 5_000, 9_000),
        ("execution", "fill", 9_000, 9_010),
    ]
    assert below[-1].attributes["tickbus.fill_id"] == "f2"
    assert below[-1].attributes["tickbus.leaves_quantity"] == "0"
    story.note("ledger", Booked(rest, ways[1], T + 9_020, T + 9_050))
    assert a_row(story.under(below[-1])) == [
        ("ledger", "execution to ledger", 9_010, 9_020), ("ledger", "ledger", 9_020, 9_050),
    ]  # fmt: skip


def test_order_that_the_paper_venue_answers_at_once_has_no_time_at_the_venue() -> None:
    story = Story()
    approved = OrderApproved(TICK, T, ORDER)
    own = (*VERDICT, Hop("execution", HEARD_AT, T + 210))
    story.note(
        "execution", Heard(approved, VERDICT, HEARD_AT), Said(OrderSubmitted(*at(T)), own),
        Said(OrderAccepted(*at(T), "p1"), own), Said(a_fill(T), own),
    )  # fmt: skip
    root = story.named("order")
    assert a_row(story.under(root)) == [
        ("execution", "risk to execution", 150, 200),
        ("execution", "execution", 200, 210),
        ("execution", "venue", 210, 210),
    ]
    assert root.end_ns == T + 210
    assert [span.name for span in story.under(story.named("venue"))] == ["ack", "fill"]


def test_order_refused_unsent_was_never_at_the_venue() -> None:
    story = Story()
    approved = OrderApproved(TICK, T, ORDER)
    refused = OrderRejected(*at(T), "VENUE_DISCONNECTED", "never sent")
    story.note(
        "execution", Heard(approved, VERDICT, HEARD_AT), Said(OrderSubmitted(*at(T)), SUBMITTED),
        Said(refused, (Hop("execution", T + 900, T + 910),)),
    )  # fmt: skip
    venue, root = story.named("venue"), story.named("order")
    assert venue.start_ns == venue.end_ns == T + 900
    assert root.error == "VENUE_DISCONNECTED: never sent"
    assert root.attributes["tickbus.outcome"] == "rejected"
    assert "tickbus.tick_to_order_us" not in root.attributes


def test_silence_of_the_venue_is_told_and_the_root_waits_for_the_answer() -> None:
    story = Story().note("execution", *PLACED["execution"][:3])
    unknown = OrderUnknown(*at(T + 700), "no answer")
    story.note("execution", Said(unknown, (Hop("execution", T + 700, T + 710),)))
    assert "order" not in [span.name for span in story.spans]
    assert story.named("unknown").error == "unknown: no answer"
    story.note("execution", Said(ACCEPTED, ACKED))
    assert story.named("order").end_ns == T + 1_300


CANCEL = CancelOrder(T, T, "c1", *NAMES)


def test_cancel_is_a_way_of_its_own_in_the_same_trace() -> None:
    story = placed()
    later = T + 10_000
    way = (Hop("api", later, later + 5), Hop("risk", later + 10, later + 15))
    approved = CancelApproved(later, later, CANCEL)
    story.note("api", Said(CANCEL, way[:1])).note("risk", Said(approved, way))
    canceled = OrderCanceled(*at(later + 50), "v7", Decimal(0))
    story.note(
        "execution", Heard(approved, way, later + 20), Sent(ID, later + 25, "c1"),
        Said(canceled, (Hop("execution", later + 50, later + 55),)),
    )  # fmt: skip
    root = story.named("cancel")
    assert (root.start_ns, root.end_ns) == (later, later + 50)
    assert root.parent_id == span_id_of(ID, "venue")
    names = [span.name for span in story.under(root)]
    assert names == ["api", "api to risk", "risk", "risk to execution", "execution", "venue"]
    durations = sum(span.end_ns - span.start_ns for span in story.under(root))
    assert durations == root.end_ns - root.start_ns
    assert {span.trace_id for span in story.spans} == {trace_id_of(ID)}
    assert story.named("canceled").parent_id == root.parent_id


def test_cancel_of_everything_has_its_way_in_the_trace_of_each_order() -> None:
    everything = CancelAllOrders(T, T, "c9")
    way = (Hop("api", T, T + 5), Hop("risk", T + 10, T + 15))
    story = Story().note("api", Said(everything, way[:1]))
    for order_id in (ID, "pp-r-2"):
        cancel = CancelOrder(T, T, "c9", order_id, "pp", "sim", "BTC-USDT")
        story.note("risk", Said(CancelApproved(T, T, cancel), way))
    for order_id in (ID, "pp-r-2"):
        names = [span.name for span in story.spans if span.trace_id == trace_id_of(order_id)]
        assert names == ["api", "api to risk", "risk"]


def test_cancel_that_is_denied_or_refused_says_why() -> None:
    way = (Hop("strategy", T, T + 5), Hop("risk", T + 10, T + 15))
    denied = CancelDenied(T, T, CANCEL, DenialReason.CANCEL_NOT_OWNER, "owner=other")
    root = Story().note("risk", Said(denied, way)).named("cancel")
    assert root.error == "CANCEL_NOT_OWNER: owner=other"
    story = placed()
    story.note("execution", Heard(CancelApproved(T, T, CANCEL), way, T + 2_000))
    refused = CancelRejected(*at(T + 3_000), "c1", "ORDER_NOT_WORKING", "too late")
    story.note("execution", Said(refused, (Hop("execution", T + 3_000, T + 3_010),)))
    assert story.named("cancel").error == "ORDER_NOT_WORKING: too late"


def test_part_of_a_routed_order_and_the_whole_point_at_each_other() -> None:
    whole = msgspec.structs.replace(ORDER, client_order_id="pp-r-9", venue="smart")
    part = msgspec.structs.replace(ORDER, client_order_id="pp-r-9-1", parent_id="pp-r-9")
    story = Story()
    story.note("router", Heard(OrderApproved(T, T, whole), VERDICT, T + 200))
    way = (*VERDICT, Hop("router", T + 200, T + 260))
    story.note("router", Said(part, way))
    (told,) = [span for span in story.spans if span.name == "part"]
    assert told.trace_id == trace_id_of("pp-r-9")
    assert told.links == ((trace_id_of("pp-r-9-1"), span_id_of("pp-r-9-1"), "child"),)
    approved = OrderApproved(T, T, part)
    names = ("pp-r-9-1", "pp", "sim", "BTC-USDT")
    second = (*way, Hop("risk", T + 300, T + 350))
    story.note("risk", Said(approved, second))
    story.note("execution", Heard(approved, second, T + 400), Sent("pp-r-9-1", T + 450))
    story.note(
        "execution", Said(OrderAccepted(T, T, *names, "v1"), (Hop("execution", T + 900, T),))
    )
    root = story.named("order")
    assert root.links == ((trace_id_of("pp-r-9"), span_id_of("pp-r-9"), "parent"),)
    ids = [span.span_id for span in story.spans]
    assert len(set(ids)) == len(ids), "risk is passed twice, by two spans"


def test_replacing_order_points_at_the_one_whose_place_it_takes() -> None:
    order = msgspec.structs.replace(ORDER, replaces="pp-r-0")
    story = Story()
    story.note("execution", Heard(OrderApproved(T, T, order), VERDICT, HEARD_AT))
    replaced = OrderReplaced(*at(T + 500), "pp-r-0", Decimal(0))
    story.note("execution", Said(replaced, (Hop("execution", T + 500, T + 510),)))
    link = (trace_id_of("pp-r-0"), span_id_of("pp-r-0"), "replaces")
    assert story.named("order").links == story.named("replaced").links == (link,)


def test_request_of_a_client_hangs_on_the_wish_and_points_at_the_clients_own_trace() -> None:
    order = msgspec.structs.replace(ORDER, strategy_id="manual")
    story = Story().note("api", Said(order, (Hop("api", T, T + 5),)))
    header = f"00-{'ab' * 16}-{'cd' * 8}-01"
    story.note("api", Called(order, "POST", "/api/v1/orders", 201, T - 50, T + 900, header))
    call, hop = story.named("POST /api/v1/orders"), story.named("api")
    assert (call.parent_id, call.trace_id) == (hop.span_id, hop.trace_id)
    assert call.links == (("ab" * 16, "cd" * 8, "client"),)
    assert call.attributes["http.response.status_code"] == 201
    story.note("api", Called(CANCEL, "DELETE", "/api/v1/orders/{order_id}", 500, T, T + 9))
    assert story.named("DELETE /api/v1/orders/{order_id}").error == "HTTP 500"


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", f"ff-{'ab' * 16}-{'cd' * 8}-01", f"00-{'00' * 16}-{'cd' * 8}-01",
     f"00-{'ab' * 16}-{'00' * 8}-01", f"00-{'AB' * 16}-{'cd' * 8}-01"],
)  # fmt: skip
def test_header_that_is_no_traceparent_is_passed_over(header: str) -> None:
    assert read_traceparent(header) is None


def test_who_joins_in_the_middle_tells_what_it_knows() -> None:
    story = Story().note("execution", Said(a_fill(T + 500), ACKED))
    assert [span.name for span in story.spans] == ["fill"]
    assert Story().note("alerts", Heard(OrderApproved(T, T, ORDER), VERDICT, T)).spans == []


def test_orders_that_never_end_are_forgotten_oldest_first() -> None:
    traces = OrderTraces("execution")
    first = OrderApproved(T, T, ORDER)
    traces.take(Heard(first, VERDICT, HEARD_AT))
    for n in range(OPEN_MAX):
        order = msgspec.structs.replace(ORDER, client_order_id=f"x-{n}")
        traces.take(Heard(OrderApproved(T, T, order), VERDICT, HEARD_AT))
    assert [span.name for span in traces.take(Said(ACCEPTED, ACKED))] == ["ack"]


def test_history_read_again_by_the_books_is_not_told_again() -> None:
    late = T + BOOKED_LATE_NS + 10_000
    assert Story().note("ledger", Booked(a_fill(T), ACKED, late - 5, late)).spans == []


def test_events_that_are_of_no_order_make_no_spans() -> None:
    events: list[Event] = [CancelAllOrders(T, T, "c1"), CANCEL]
    for event in events:
        assert OrderTraces("strategy").take(Said(event, WISH)) == []
