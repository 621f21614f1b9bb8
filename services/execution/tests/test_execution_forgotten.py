"""Futures orders that ended unfilled days ago: that the venue denies them proves nothing alone."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.clock import ManualClock
from tickbus.events import (
    AccountReconciled,
    DifferenceFound,
    DifferenceKind,
    Fill,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    ReconciliationCause,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus.order import OrderState
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.binance_usdm import BinanceUsdm
from tickbus_execution.calls import VenueRefused
from tickbus_execution.core import ExecutionCore
from tickbus_execution.guard import Guard
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.questions import Questions
from tickbus_execution.rate import VenueRate
from tickbus_execution.refusals import USDM, read_refusal
from tickbus_execution.venue import (
    Outcome,
    Request,
    RequestFailed,
    VenueQuery,
    VenueSnapshot,
)
from tickbus_execution.wire import Ask

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
BORN = 100 * DAY
NAME = "BTC-USDT-PERP"
PERP = Instrument("sim", NAME, "BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
HEAD = (BORN, BORN, "s-r-1", "s", "sim", NAME)
WISH = VenueQuery(1, 1, "s-r-1", NAME, "BTCUSDT")
LISTED = {
    "orderId": 7, "clientOrderId": "s-r-1", "updateTime": 9, "side": "BUY", "origQty": "1",
    "executedQty": "0", "status": "NEW",
}  # fmt: skip
TRADE = {
    "id": 9, "orderId": 7, "side": "BUY", "price": "5", "qty": "1", "commission": "0",
    "commissionAsset": "USDT", "maker": False, "time": 3,
}  # fmt: skip


def a_history(*, filled: str = "", accepted: bool = True) -> list[Any]:
    order = SubmitOrder(
        BORN, BORN, "s-r-1", "s", "sim", NAME, Side.BUY, OrderType.LIMIT, Decimal(2), Decimal(5)
    )
    fill = Fill(
        "8", Side.BUY, Decimal(5), Decimal(filled or 1), Decimal(0), "USDT", LiquiditySide.MAKER,
        BORN,
    )  # fmt: skip
    return [
        OrderApproved(BORN, BORN, order),
        OrderSubmitted(*HEAD),
        *([OrderAccepted(*HEAD, "7")] if accepted else []),
        *([OrderFilled(*HEAD, "7", fill, Decimal(filled), Decimal(1))] if filled else []),
    ]


class Venue:
    """Denies the order; what else it says is in `listed` and `trades`."""

    offset_ms = 0

    def __init__(self, core: ExecutionCore, now_ns: int, protocol: VenueProtocol) -> None:
        self.listed: list[Any] = []
        self.trades: Any = []
        self.said: list[Any] = []
        some: Any = self
        guard = Guard(VenueRate(), lambda: 0.0, lambda: 0)
        self.questions = Questions(
            protocol, some, core, guard, some, ManualClock(now_ns), 0.0, lambda: True
        )
        self.questions._started -= 60

    async def call(self, ask: Ask) -> Any:
        if ask.path.endswith(("openOrders", "openAlgoOrders")):
            return self.listed
        if ask.path.endswith("Trades"):
            if isinstance(self.trades, Exception):
                raise self.trades
            return self.trades
        error = {"code": -2013, "msg": "Order does not exist."}
        raise VenueRefused("x", read_refusal(USDM, Request.QUERY, error, 400))

    def put(self, events: list[Any]) -> None:
        self.said += events

    def ask(self) -> RequestFailed:
        asyncio.run(self.questions._query(WISH))
        failed = self.said.pop()
        assert isinstance(failed, RequestFailed)
        return failed


def a_venue(
    age_ns: int, protocol: VenueProtocol | None = None, *, filled: str = "", accepted: bool = True
) -> Venue:
    core = ExecutionCore("sim")
    for event in a_history(filled=filled, accepted=accepted):
        core.handle(event)
    return Venue(core, BORN + age_ns, protocol or BinanceUsdm())


# -- what is evidence ------------------------------------------------------------------------------


def test_an_order_older_than_the_venue_keeps_unfilled_ones_is_forgotten() -> None:
    failed = a_venue(4 * DAY).ask()
    assert (failed.outcome, failed.reason) == (Outcome.FORGOTTEN, "ORDER_FORGOTTEN")
    assert failed.detail == "limit=72h value=96h -2013 Order does not exist."


def test_a_younger_one_is_only_not_found() -> None:
    assert a_venue(3 * DAY).ask().outcome is Outcome.NOT_FOUND
    assert a_venue(3 * DAY + HOUR).ask().outcome is Outcome.NOT_FOUND
    assert a_venue(3 * DAY + 2 * HOUR).ask().outcome is Outcome.FORGOTTEN


def test_one_that_the_venue_never_accepted_cannot_be_forgotten() -> None:
    assert a_venue(4 * DAY, accepted=False).ask().outcome is Outcome.NOT_FOUND


def test_one_that_filled_is_kept_for_longer() -> None:
    assert a_venue(4 * DAY, filled="1").ask().outcome is Outcome.NOT_FOUND
    venue = a_venue(91 * DAY, filled="1")
    venue.trades = [{**TRADE, "id": 8}]
    assert venue.ask().outcome is Outcome.FORGOTTEN, "its only trade is known"


def test_one_that_is_listed_or_has_traded_is_not_forgotten() -> None:
    venue = a_venue(4 * DAY)
    venue.listed = [{**LISTED, "clientOrderId": "another name"}]
    assert venue.ask().outcome is Outcome.UNKNOWN
    venue = a_venue(4 * DAY)
    venue.trades = [TRADE]
    assert venue.ask().outcome is Outcome.NOT_FOUND


def test_a_question_for_its_trades_that_fails_proves_nothing() -> None:
    venue = a_venue(4 * DAY)
    venue.trades = TimeoutError("no answer")
    assert venue.ask().outcome is Outcome.UNKNOWN


def test_spot_says_itself_what_it_archived() -> None:
    assert a_venue(400 * DAY, BinanceSpot()).ask().outcome is Outcome.NOT_FOUND


# -- what follows ----------------------------------------------------------------------------------

NOW = BORN + 4 * DAY
FORGOTTEN = RequestFailed(
    NOW, NOW, Request.QUERY, Outcome.FORGOTTEN, "s-r-1", NAME, "ORDER_FORGOTTEN",
    "limit=72h value=96h -2013",
)  # fmt: skip
NOT_FOUND = RequestFailed(
    NOW, NOW, Request.QUERY, Outcome.NOT_FOUND, "s-r-1", NAME, "ORDER_NOT_FOUND", "-2013"
)


def a_core(*, filled: str = "") -> ExecutionCore:
    core = ExecutionCore("sim")
    core.handle(PERP)
    for event in a_history(filled=filled):
        core.handle(event)
    core.handle(Recovered(NOW, NOW, backlog=True))
    look = VenueSnapshot(NOW, NOW, (), (), ReconciliationCause.CONNECTED)
    out = core.handle(look)
    assert [type(event) for event in out] == [VenueQuery, AccountReconciled]
    return core


def test_it_ends_when_the_venue_has_said_so_twice_and_is_told_as_a_difference() -> None:
    core = a_core()
    (timer,) = core.handle(FORGOTTEN)
    assert isinstance(timer, SetTimer)
    (question,) = core.handle(TimerFired(NOW, NOW, timer.key))
    assert isinstance(question, VenueQuery)
    ended, difference = core.handle(FORGOTTEN)
    assert isinstance(ended, OrderCanceled)
    assert (ended.venue_order_id, ended.filled_quantity) == ("7", Decimal(0))
    assert ended.reason == "ORDER_FORGOTTEN limit=72h value=96h -2013"
    assert isinstance(difference, DifferenceFound)
    assert (difference.kind, difference.cause) == (
        DifferenceKind.ORDER_STATE, ReconciliationCause.CONNECTED,
    )  # fmt: skip
    assert "ORDER_FORGOTTEN" in difference.detail
    assert core.handle(TimerFired(NOW, NOW, timer.key)) == (), "it is asked about no more"
    assert core.is_compared


def test_what_it_had_filled_stays() -> None:
    core = a_core(filled="1")
    core.handle(FORGOTTEN)
    ended, _ = core.handle(FORGOTTEN)
    assert isinstance(ended, OrderCanceled)
    assert ended.filled_quantity == 1
    order = core.orders.get("s-r-1")
    assert order is not None
    assert (order.state, order.filled_quantity) == (OrderState.CANCELED, Decimal(1))


@given(st.integers(1, 30))
def test_not_found_alone_never_ends_what_was_accepted(times: int) -> None:
    core = a_core()
    for _ in range(times):
        assert [type(e) for e in core.handle(NOT_FOUND)] == [SetTimer]
    order = core.orders.get("s-r-1")
    assert order is not None
    assert order.state is OrderState.OPEN


@pytest.mark.parametrize("protocol", [BinanceSpot, BinanceUsdm])
def test_no_venue_forgets_what_filled_before_what_did_not(protocol: Any) -> None:
    assert protocol.unfilled_kept_ms <= protocol.kept_ms
