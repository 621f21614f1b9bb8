"""Questions about orders: whatever goes wrong with one, it is no verdict on the order."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tickbus.clock import ManualClock
from tickbus_execution import questions
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.calls import Unsent, VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.guard import Guard
from tickbus_execution.questions import Questions
from tickbus_execution.rate import VenueRate
from tickbus_execution.refusals import SPOT, read_refusal
from tickbus_execution.venue import OrderReport, Outcome, Request, RequestFailed, VenueQuery
from tickbus_execution.wire import Ask

STATUS, TRADES, LISTED = "order.status", "myTrades", "openOrders.status"
WISH = VenueQuery(1, 1, "s-r-1", "BTC-USDT", "BTCUSDT")
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


class Venue:
    """Answers each question as it is told to; what reaches the core is in `said`."""

    offset_ms = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers = {STATUS: BODY, TRADES: [TRADE], LISTED: [], **answers}
        self.said: list[Any] = []
        self.now_s = 1000.0
        monkeypatch.setattr("tickbus_execution.questions.time.monotonic", lambda: self.now_s)
        guard = Guard(VenueRate(), lambda: self.now_s, lambda: 0)
        some: Any = self
        self.questions = Questions(
            BinanceSpot(), some, ExecutionCore("sim"), guard, some, ManualClock(5), 5.0
        )

    async def call(self, ask: Ask) -> Any:
        answer = self.answers[ask.method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, events: list[Any]) -> None:
        self.said += events

    def quarantine(self, *_: Any) -> None:
        pass

    def ask(self) -> Any:
        asyncio.run(self.questions._query(WISH))
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
        venue.answers[STATUS] = GONE
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
    venue.answers[STATUS] = GONE
    outcomes = []
    for _ in range(8):
        outcomes.append(venue.ask().outcome)
        venue.now_s += 1
    assert outcomes == [Outcome.UNKNOWN] * 7 + [Outcome.NOT_FOUND], "recvWindow and a second"
    venue.questions.note_sent("s-r-1")
    assert venue.ask().outcome is Outcome.UNKNOWN


def test_order_that_the_list_knows_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Venue(monkeypatch)
    venue.answers |= {STATUS: GONE, LISTED: [{**BODY, "status": "NEW"}]}
    venue.now_s += 60
    assert venue.ask().outcome is Outcome.UNKNOWN
    venue.answers[LISTED] = [{**BODY, "clientOrderId": "another", "status": "NEW"}]
    assert venue.ask().outcome is Outcome.NOT_FOUND


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


@pytest.fixture
def an_open_order() -> Callable[[ExecutionCore], None]:
    from decimal import Decimal

    from tickbus.events import OrderAccepted, OrderApproved, OrderType, Side, SubmitOrder

    def add(core: ExecutionCore) -> None:
        order = SubmitOrder(
            1, 1, "s-r-1", "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(5)
        )
        core.handle(OrderApproved(1, 1, order))
        core.handle(OrderAccepted(2, 2, "s-r-1", "s", "sim", "BTC-USDT", "7"))

    return add
