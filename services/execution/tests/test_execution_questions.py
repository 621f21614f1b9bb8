"""Questions about orders: whatever goes wrong with one, it is no verdict on the order."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus.clock import ManualClock
from tickbus.events import (
    Instrument,
    OrderAccepted,
    OrderApproved,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus_execution import questions
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.calls import Unsent, VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.guard import Guard
from tickbus_execution.questions import Questions
from tickbus_execution.rate import VenueRate
from tickbus_execution.refusals import SPOT, read_refusal
from tickbus_execution.venue import (
    OrderReport,
    Outcome,
    Request,
    RequestFailed,
    VenueQuery,
    VenueSnapshot,
    VenueSubmit,
)
from tickbus_execution.wire import Ask

STATUS, TRADES, LISTED = "order.status", "myTrades", "openOrders.status"
WISH = VenueQuery(1, 1, "s-r-1", "BTC-USDT", "BTCUSDT")
INSTRUMENT = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.001")
)
BODY = {
    "orderId": 7, "clientOrderId": "s-r-1", "updateTime": 9, "side": "BUY", "origQty": "1",
    "executedQty": "1", "status": "FILLED",
}  # fmt: skip
TRADE = {
    "id": 9, "orderId": 7, "isBuyer": True, "price": "5", "qty": "1", "commission": "0",
    "commissionAsset": "BTC", "isMaker": False, "time": 3,
}  # fmt: skip


def refused(code: int, status: int = 400) -> Exception:
    error = {"code": code, "msg": "words"}
    return VenueRefused("x", read_refusal(SPOT, Request.QUERY, error, status))


FAILURES: list[Any] = [
    *(refused(code) for code in (-1003, -1015, -1021, -1022, -1121, -1100, -2011, -2015, -9999)),
    refused(0, 503), refused(0, 418), refused(0, 403), refused(0, 404),
    TimeoutError("no answer"), Unsent("no road"), ConnectionError("cut"),
    {"nothing": "as documented"}, ["a list"], {}, None,
]  # fmt: skip
GONE = refused(-2013)
MISSING: dict[str, Any] = {STATUS: GONE, TRADES: []}


class Venue:
    """Answers each question as it is told to; what reaches the core is in `said`."""

    offset_ms = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers = {STATUS: BODY, TRADES: [TRADE], LISTED: [], **answers}
        self.said: list[Any] = []
        self.asked: list[str] = []
        self.now_s = 1000.0
        self.is_ours = True
        monkeypatch.setattr("tickbus_execution.questions.time.monotonic", lambda: self.now_s)
        guard = Guard(VenueRate(), lambda: self.now_s, lambda: 0)
        some: Any = self
        self.questions = Questions(
            BinanceSpot(), some, ExecutionCore("sim"), guard, some, ManualClock(5), 5.0,
            lambda: self.is_ours,
        )  # fmt: skip

    async def call(self, ask: Ask) -> Any:
        self.asked.append(ask.method)
        by_venue_id = f"{ask.method} {ask.params.get('orderId')}"
        answer = self.answers.get(by_venue_id, self.answers[ask.method])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, events: list[Any]) -> None:
        self.said += events

    def quarantine(self, *_: Any) -> None:
        pass

    def ask(self, wish: VenueQuery = WISH) -> Any:
        asyncio.run(self.questions._query(wish))
        (said,) = self.said
        self.said = []
        return said


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("where", [STATUS, TRADES, LISTED])
def test_failed_question_leaves_the_order_unknown(
    monkeypatch: pytest.MonkeyPatch, where: str, failure: Any
) -> None:
    venue = Venue(monkeypatch)
    venue.answers[where] = failure
    if where == LISTED:
        venue.answers |= MISSING
        venue.now_s += 60
    said = venue.ask()
    assert isinstance(said, RequestFailed)
    assert said.outcome is Outcome.UNKNOWN


def test_order_that_is_there_while_its_trades_are_not_is_not_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    venue.answers[TRADES] = GONE
    venue.now_s += 60
    assert venue.ask().outcome is Outcome.UNKNOWN


def test_order_is_not_gone_before_its_request_can_no_longer_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    venue.answers |= MISSING
    outcomes = []
    for _ in range(9):
        outcomes.append(venue.ask().outcome)
        venue.now_s += 1
    early = [Outcome.NOT_FOUND_YET] * 8
    assert outcomes == [*early, Outcome.NOT_FOUND], "recvWindow, a second, and what answers lag"
    venue.questions.note_sent("s-r-1")
    assert venue.ask().outcome is Outcome.NOT_FOUND_YET


def test_denial_that_comes_too_early_names_the_time_from_which_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    venue.answers |= MISSING
    venue.now_s += 3
    now_ns = 5
    assert venue.ask().again_ns == now_ns + 5_010_000_000
    venue.questions.note_sent("s-r-1")
    assert venue.ask().again_ns == 0, "it has just left, and may be seen at any moment"
    venue.now_s += 2
    assert venue.ask().again_ns == now_ns + 6_010_000_000
    assert venue.asked == [STATUS] * 3, "the list is no evidence yet"


def test_one_list_serves_all_that_are_missing_unless_it_is_older_than_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    venue.answers |= MISSING
    venue.now_s += 60
    for number in range(5):
        wish = msgspec.structs.replace(WISH, client_order_id=f"s-r-{number}")
        assert venue.ask(wish).outcome is Outcome.NOT_FOUND
    assert venue.asked.count(LISTED) == 1
    venue.now_s += questions.LISTED_S
    assert venue.ask().outcome is Outcome.NOT_FOUND
    assert venue.asked.count(LISTED) == 2
    monkeypatch.setattr(questions, "LISTED_S", 100.0)
    venue.questions.note_sent("s-r-1")
    venue.now_s += 8
    assert venue.ask().outcome is Outcome.NOT_FOUND
    assert venue.asked.count(LISTED) == 3, "it could have come behind the list"


def test_denials_that_came_too_early_are_half_of_the_evidence_and_no_more() -> None:
    core = ExecutionCore("sim")
    core.handle(INSTRUMENT)
    core.handle(an_approval("s-r-1"))
    core.handle(OrderSubmitted(1, 1, "s-r-1", "s", "sim", "BTC-USDT"))
    core.handle(Recovered(2, 2))
    early = RequestFailed(
        5, 5, Request.QUERY, Outcome.NOT_FOUND_YET, "s-r-1", "BTC-USDT", "ORDER_NOT_FOUND", "-2013",
        again_ns=77,
    )  # fmt: skip
    for _ in range(5):
        (timer,) = core.handle(early)
        assert isinstance(timer, SetTimer)
        assert timer.at_ns == 77
    (event,) = core.handle(msgspec.structs.replace(early, outcome=Outcome.NOT_FOUND))
    assert isinstance(event, OrderRejected)


@pytest.mark.parametrize("waiting", [True, False])
def test_order_that_was_never_sent_costs_two_questions_after_a_crash(
    monkeypatch: pytest.MonkeyPatch, waiting: bool
) -> None:
    """Each is asked for at once, in case it is there, and once more when the answer counts."""
    venue = Venue(monkeypatch)
    venue.answers |= MISSING
    core = venue.questions._core
    ids = [f"s-r-{number}" for number in range(10)]
    core.handle(INSTRUMENT)
    for order_id in ids:
        core.handle(an_approval(order_id))
        if not waiting:
            core.handle(OrderSubmitted(1, 1, order_id, "s", "sim", "BTC-USDT"))
    core.handle(Recovered(5, 5, backlog=True))
    wishes = [e for e in core.handle(VenueSnapshot(5, 5, (), ())) if isinstance(e, VenueQuery)]
    ends: list[Any] = []
    for _ in range(2):
        out: list[Any] = [e for wish in wishes for e in core.handle(venue.ask(wish))]
        ends += [e for e in out if isinstance(e, VenueSubmit | OrderRejected)]
        timers = [e for e in out if isinstance(e, SetTimer)]
        due = [TimerFired(timer.at_ns, timer.at_ns, timer.key) for timer in timers]
        wishes = [e for timer in due for e in core.handle(timer) if isinstance(e, VenueQuery)]
        venue.now_s += 8.01
    assert not wishes
    kind = VenueSubmit if waiting else OrderRejected
    assert [type(e) for e in ends] == [kind] * len(ids)
    assert venue.asked.count(STATUS) == 2 * len(ids)
    assert venue.asked.count(LISTED) == 1


def test_order_is_not_gone_while_another_process_may_be_sending_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    venue.answers |= MISSING
    venue.now_s += 60
    venue.is_ours = False
    assert venue.ask().outcome is Outcome.UNKNOWN
    venue.is_ours = True
    assert venue.ask().outcome is Outcome.NOT_FOUND


def test_order_that_the_list_knows_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Venue(monkeypatch)
    venue.answers |= {**MISSING, LISTED: [{**BODY, "status": "NEW"}]}
    venue.now_s += 60
    assert venue.ask().outcome is Outcome.UNKNOWN
    venue.answers[LISTED] = [{**BODY, "clientOrderId": "another", "status": "NEW"}]
    venue.now_s += questions.LISTED_S
    assert venue.ask().outcome is Outcome.NOT_FOUND


def test_order_that_every_question_denies_is_found_by_its_trade(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    venue.questions._core.handle(an_approval("s-r-1"))
    venue.now_s += 60
    venue.answers |= {STATUS: GONE, f"{STATUS} 7": BODY}
    said = venue.ask()
    assert isinstance(said, OrderReport)
    assert (str(said.status), [fill.fill_id for fill in said.fills]) == ("FILLED", ["9"])


def test_order_is_not_gone_while_nobody_says_whose_a_trade_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue(monkeypatch)
    core = venue.questions._core
    core.handle(an_approval("s-r-1"))
    venue.now_s += 60
    venue.answers |= {STATUS: GONE}
    assert venue.ask().outcome is Outcome.UNKNOWN
    venue.answers[f"{STATUS} 7"] = {**BODY, "clientOrderId": "placed-by-hand"}
    assert venue.ask().outcome is Outcome.NOT_FOUND
    del venue.answers[f"{STATUS} 7"]
    core.handle(an_approval("s-r-2"))
    core.handle(OrderAccepted(2, 2, "s-r-2", "s", "sim", "BTC-USDT", "7"))
    assert venue.ask().outcome is Outcome.NOT_FOUND, "it is another's, as we know"


@pytest.mark.parametrize("sizes", [(1000, 1000, 3), (1000, 0), (2,)])
def test_all_pages_of_trades_are_read(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    venue = Venue(monkeypatch)
    venue.questions._core.handle(an_approval("s-r-1"))
    venue.now_s += 60
    pages = iter([[{**TRADE, "id": n} for n in range(size)] for size in sizes])

    async def call(ask: Ask) -> Any:
        if ask.method == TRADES:
            venue.asked.append(TRADES)
            return next(pages)
        return {**BODY, "clientOrderId": "another"} if "orderId" in ask.params else []

    monkeypatch.setattr(venue, "call", call)
    asyncio.run(venue.questions._traded(WISH))
    assert venue.asked == [TRADES] * len(sizes)


def test_order_that_was_found_comes_with_its_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Venue(monkeypatch).ask()
    assert isinstance(said, OrderReport)
    assert [fill.fill_id for fill in said.fills] == ["9"]


def test_question_too_many_is_put_off_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "QUESTIONS_MAX", 2)
    venue = Venue(monkeypatch)
    asked: list[bool] = [venue.questions.ask(WISH) for _ in range(3)]
    assert asked == [True, True, False]
    (said,) = venue.said
    assert (said.outcome, said.reason) == (Outcome.UNKNOWN, "QUERY_PUT_OFF")


def test_archived_order_ended_unfilled_by_the_venues_own_word(
    monkeypatch: pytest.MonkeyPatch, an_open_order: Callable[[ExecutionCore], None]
) -> None:
    venue = Venue(monkeypatch)
    venue.answers[STATUS] = refused(-2026)
    an_open_order(venue.questions._core)
    said = venue.ask()
    assert isinstance(said, OrderReport)
    assert (str(said.status), said.reason.split()[0]) == ("CANCELED", "ORDER_ARCHIVED")


def an_approval(order_id: str) -> OrderApproved:
    order = SubmitOrder(
        1, 1, order_id, "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(5)
    )
    return OrderApproved(1, 1, order)


@pytest.fixture
def an_open_order() -> Callable[[ExecutionCore], None]:
    def add(core: ExecutionCore) -> None:
        core.handle(an_approval("s-r-1"))
        core.handle(OrderAccepted(2, 2, "s-r-1", "s", "sim", "BTC-USDT", "7"))

    return add
