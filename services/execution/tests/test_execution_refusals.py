"""What refusals mean: the venue's table of codes, row by row, and what follows from each."""

from decimal import Decimal
from typing import Any

import pytest

from tickbus.events import OrderType, Side, SubmitOrder
from tickbus_execution.guard import KEY_PAUSE_S, Guard
from tickbus_execution.rate import VenueRate
from tickbus_execution.refusals import SPOT, USDM, Action, read_refusal, rule_of
from tickbus_execution.venue import Outcome, Request
from tickbus_execution.wire import Answer, RateLimit

REFUSED, UNKNOWN, NOT_FOUND = Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_FOUND
BOTH = (SPOT, USDM)

ROWS: list[tuple[tuple[str, ...], int, int, str, Outcome, Action, str]] = [
    # venues, code, HTTP status, words -> outcome of an order, action, reason
    (BOTH, 0, 500, "", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, 0, 502, "<html>", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, 0, 503, "Unknown error, please check", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, 0, 504, "", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, 0, 408, "", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, -1000, 400, "", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, -1001, 400, "", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, -1006, 400, "", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, -1007, 400, "Timeout", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    ((USDM,), 0, 503, "Service Unavailable.", REFUSED, Action.OVERLOAD, "VENUE_UNAVAILABLE"),
    ((SPOT,), 0, 503, "Service Unavailable.", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
    (BOTH, -1003, 429, "Too much", REFUSED, Action.PAUSE, "VENUE_RATE_LIMIT"),
    (BOTH, -1003, 418, "banned", REFUSED, Action.PAUSE, "VENUE_RATE_LIMIT"),
    (BOTH, 0, 429, "", REFUSED, Action.PAUSE, "VENUE_RATE_LIMIT"),
    (BOTH, 0, 418, "", REFUSED, Action.PAUSE, "VENUE_RATE_LIMIT"),
    (BOTH, 0, 403, "<html>", REFUSED, Action.PAUSE, "VENUE_FIREWALL"),
    (BOTH, -1008, 503, "Request throttled", REFUSED, Action.OVERLOAD, "VENUE_OVERLOADED"),
    (BOTH, -1013, 400, "Filter failure: LOT_SIZE", REFUSED, Action.NONE, "FILTER_LOT_SIZE"),
    (BOTH, -1013, 400, "Invalid quantity.", REFUSED, Action.NONE, "FILTER_FAILURE"),
    (BOTH, -1015, 429, "Too many", REFUSED, Action.STOP_ORDERS, "VENUE_RATE_LIMIT"),
    (BOTH, -1021, 400, "", REFUSED, Action.RESYNC_CLOCK, "CLOCK_OUT_OF_STEP"),
    (BOTH, -1022, 400, "", REFUSED, Action.HALT, "VENUE_KEY_REFUSED"),
    (BOTH, -2014, 401, "", REFUSED, Action.HALT, "VENUE_KEY_REFUSED"),
    (BOTH, -2015, 401, "", REFUSED, Action.HALT, "VENUE_KEY_REFUSED"),
    (BOTH, -1033, 400, "", REFUSED, Action.BACK_OFF_CONNECTS, "TOO_MANY_CONNECTIONS"),
    (BOTH, -1034, 400, "", REFUSED, Action.BACK_OFF_CONNECTS, "TOO_MANY_CONNECTIONS"),
    (BOTH, -1100, 400, "", REFUSED, Action.BUG, "REQUEST_MALFORMED"),
    (BOTH, -1111, 400, "", REFUSED, Action.BUG, "REQUEST_MALFORMED"),
    (BOTH, -1130, 400, "", REFUSED, Action.BUG, "REQUEST_MALFORMED"),
    (BOTH, -1121, 400, "", REFUSED, Action.DISABLE_SYMBOL, "SYMBOL_NOT_TRADING"),
    (BOTH, -1122, 400, "", REFUSED, Action.DISABLE_SYMBOL, "SYMBOL_NOT_TRADING"),
    (BOTH, -1220, 400, "", REFUSED, Action.DISABLE_SYMBOL, "SYMBOL_NOT_TRADING"),
    (BOTH, -1125, 400, "", REFUSED, Action.NEW_LISTEN_KEY, "LISTEN_KEY_MISSING"),
    (BOTH, -2010, 400, "Account has insufficient balance for requested action.", REFUSED,
     Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    (BOTH, -2010, 400, "Order would immediately match and take.", REFUSED, Action.COUNT,
     "POST_ONLY_WOULD_TAKE"),
    (BOTH, -2010, 400, "Duplicate order sent.", UNKNOWN, Action.QUERY, "ORDER_ID_DUPLICATE"),
    (BOTH, -2010, 400, "Market is closed.", REFUSED, Action.DISABLE_SYMBOL, "MARKET_CLOSED"),
    (BOTH, -2010, 400, "Stop price would trigger immediately.", REFUSED, Action.NONE,
     "STOP_WOULD_TRIGGER"),
    (BOTH, -2010, 400, "Something new.", REFUSED, Action.NONE, "VENUE_REJECTED"),
    (BOTH, -2011, 400, "Unknown order sent.", REFUSED, Action.QUERY, "ORDER_NOT_WORKING"),
    (BOTH, -2018, 400, "", REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    (BOTH, -2019, 400, "", REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_MARGIN"),
    (BOTH, -4050, 400, "", REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    (BOTH, -4051, 400, "", REFUSED, Action.LOOK_AT_ACCOUNT, "INSUFFICIENT_BALANCE"),
    ((USDM,), -2021, 400, "", REFUSED, Action.NONE, "STOP_WOULD_TRIGGER"),
    ((SPOT,), -2021, 409, "", UNKNOWN, Action.QUERY, "REPLACE_HALF_DONE"),
    ((USDM,), -2022, 400, "", REFUSED, Action.LOOK_AT_ACCOUNT, "REDUCE_ONLY_REJECTED"),
    ((SPOT,), -2022, 400, "", REFUSED, Action.NONE, "REPLACE_FAILED"),
    ((USDM,), -4118, 400, "", REFUSED, Action.LOOK_AT_ACCOUNT, "REDUCE_ONLY_MARGIN"),
    ((USDM,), -2026, 400, "", REFUSED, Action.NONE, "REDUCE_ONLY_TYPE"),
    ((SPOT,), -2026, 400, "", REFUSED, Action.NONE, "ORDER_ARCHIVED"),
    ((SPOT,), -2038, 400, "", REFUSED, Action.NONE, "AMEND_REJECTED"),
    ((USDM,), -4014, 400, "", REFUSED, Action.NONE, "FILTER_PRICE_FILTER"),
    ((USDM,), -4023, 400, "", REFUSED, Action.NONE, "FILTER_LOT_SIZE"),
    ((USDM,), -4164, 400, "", REFUSED, Action.NONE, "FILTER_MIN_NOTIONAL"),
    ((USDM,), -4131, 400, "", REFUSED, Action.NONE, "FILTER_PERCENT_PRICE"),
    ((USDM,), -4016, 400, "", REFUSED, Action.NONE, "FILTER_PERCENT_PRICE"),
    ((USDM,), -4024, 400, "", REFUSED, Action.NONE, "FILTER_PERCENT_PRICE"),
    ((USDM,), -4061, 400, "", REFUSED, Action.HALT_FOR_MODE, "POSITION_MODE_MISMATCH"),
    ((USDM,), -4059, 400, "", REFUSED, Action.HALT_FOR_MODE, "POSITION_MODE_MISMATCH"),
    ((USDM,), -4116, 400, "", UNKNOWN, Action.QUERY, "ORDER_ID_DUPLICATE"),
    ((USDM,), -4120, 400, "", REFUSED, Action.BUG, "ALGO_ENDPOINT_NEEDED"),
    ((USDM,), -5021, 400, "", REFUSED, Action.COUNT, "FOK_NOT_FILLED"),
    ((USDM,), -5022, 400, "", REFUSED, Action.COUNT, "POST_ONLY_WOULD_TAKE"),
    ((USDM,), -5041, 400, "", REFUSED, Action.COUNT, "BBO_NOT_AVAILABLE"),
    ((USDM,), -5027, 400, "", REFUSED, Action.COUNT, "AMEND_NO_CHANGE"),
    ((USDM,), -5043, 400, "", REFUSED, Action.COUNT, "AMEND_PENDING"),
    ((USDM,), -5028, 400, "", REFUSED, Action.RESYNC_CLOCK, "CLOCK_OUT_OF_STEP"),
    (BOTH, -9999, 400, "Something new.", REFUSED, Action.NONE, "VENUE_REJECTED"),
    (BOTH, 0, 404, "<html>", UNKNOWN, Action.QUERY, "OUTCOME_UNKNOWN"),
]  # fmt: skip


@pytest.mark.parametrize(("venues", "code", "status", "words", "outcome", "action", "reason"), ROWS)
def test_refusal_of_an_order(
    venues: tuple[str, ...], code: int, status: int, words: str, outcome: Outcome, action: Action,
    reason: str,
) -> None:  # fmt: skip
    for venue in venues:
        found = read_refusal(venue, Request.SUBMIT, {"code": code, "msg": words}, status)
        assert (found.outcome, found.action, found.reason) == (outcome, action, reason)
        assert str(code or status) in found.detail
        assert words in found.detail


def test_missing_order_is_evidence_only_where_it_was_asked_for() -> None:
    error = {"code": -2013, "msg": "Order does not exist."}
    assert read_refusal(SPOT, Request.QUERY, error, 400).outcome is NOT_FOUND
    assert read_refusal(SPOT, Request.CANCEL, error, 400).outcome is REFUSED
    assert read_refusal(SPOT, Request.SUBMIT, error, 400).outcome is UNKNOWN


@pytest.mark.parametrize("venue", BOTH)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503, 504])
def test_no_failure_of_a_question_is_a_verdict_on_the_order(venue: str, status: int) -> None:
    for code in range(-5100, 1):
        for words in ("", "Duplicate order sent.", "Service Unavailable."):
            error = {"code": code, "msg": words}
            found = read_refusal(venue, Request.QUERY, error, status)
            no_such_order = code == -2013 and status < 500 and status != 418
            assert found.outcome is (NOT_FOUND if no_such_order else UNKNOWN), (code, words)


@pytest.mark.parametrize("venue", BOTH)
def test_no_time_out_is_ever_a_refusal(venue: str) -> None:
    for status in (500, 502, 504):
        for code in range(-5100, 1):
            rule = rule_of(venue, code, "whatever it says: insufficient balance", status)
            assert rule.outcome is UNKNOWN or code == -1008


def test_cancel_refused_for_reasons_of_its_own_is_still_wished_for() -> None:
    for code, status in ((-1003, 429), (-1008, 503), (-1021, 400), (-2015, 401), (-1034, 400)):
        found = read_refusal(SPOT, Request.CANCEL, {"code": code, "msg": ""}, status)
        assert found.outcome is UNKNOWN


# -- what follows ----------------------------------------------------------------------------------


class AGuard(Guard):
    """A guard whose clock the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.rate = VenueRate()
        super().__init__(self.rate, lambda: self.now_s, lambda: int(self.now_s * 1000))

    def refuse(self, code: int, status: int = 400, symbol: str = "", **error: Any) -> None:
        body = {"code": code, "msg": "words", **error}
        refusal = read_refusal(USDM, Request.SUBMIT, body, status)
        self.note(refusal, Answer(status=status, error=body), symbol)

    def reason(self, *, reduce_only: bool = False, symbol: str = "BTCUSDT") -> str:
        order = SubmitOrder(
            1, 1, "s-r-1", "s", "sim", "BTC-USDT-PERP", Side.BUY, OrderType.MARKET, Decimal(1),
            reduce_only=reduce_only,
        )  # fmt: skip
        no = self.refusal(order, symbol)
        return no.reason if no is not None else ""


def test_silence_lasts_as_long_as_the_venue_said() -> None:
    guard = AGuard()
    guard.refuse(-1003, 429, data={"retryAfter": 1_030_000})
    assert (guard.reason(), guard.reason(reduce_only=True)) == ("VENUE_PAUSED",) * 2
    assert guard.banned_s == 0
    guard.now_s += 30
    assert not guard.reason()
    guard.refuse(0, 418, retryAfterS=7200)
    assert (guard.reason(), guard.banned_s, guard.connect_in_s) == ("VENUE_PAUSED", 7200, 7200)


def test_overload_lets_through_what_reduces_and_backs_off_the_longer_it_lasts() -> None:
    guard = AGuard()
    waits = []
    for _ in range(7):
        guard.refuse(-1008, 503)
        assert guard.reason() == "VENUE_OVERLOADED"
        assert not guard.reason(reduce_only=True)
        began = guard.now_s
        while guard.reason():
            guard.now_s += 0.5
        waits.append(guard.now_s - began)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    guard.now_s += 100
    guard.refuse(-1008, 503)
    guard.now_s += 1
    assert not guard.reason(), "a new overload begins small"


def test_too_many_orders_stop_new_ones_until_the_interval_ends() -> None:
    guard = AGuard()
    guard.refuse(-1015, 429, retryAfterS=4)
    assert (guard.reason(), guard.silent_s) == ("VENUE_RATE_LIMIT", 0)
    guard.now_s += 4
    assert not guard.reason()


def test_refused_key_halts_until_the_venue_takes_it_again() -> None:
    guard = AGuard()
    guard.refuse(-2015, 401)
    assert guard.connect_in_s == KEY_PAUSE_S
    guard.now_s += 3600
    assert guard.reason() == "VENUE_KEY_REFUSED"
    guard.opened()
    assert not guard.reason()
    guard.refuse(-4061)
    guard.opened()
    assert guard.reason() == "POSITION_MODE_MISMATCH", "no new session changes that"


def test_symbol_that_does_not_trade_stops_no_other() -> None:
    guard = AGuard()
    guard.refuse(-1121, symbol="BTCUSDT")
    assert guard.reason() == "SYMBOL_NOT_TRADING"
    assert not guard.reason(symbol="ETHUSDT")


# -- rates -----------------------------------------------------------------------------------------


def orders(limit: int, count: int | None = None, interval_s: int = 10) -> RateLimit:
    return RateLimit("ORDERS", "SECOND", interval_s, limit, count)


def test_new_orders_stop_before_those_that_reduce_and_both_before_the_limit() -> None:
    rate = VenueRate()
    rate.learn([orders(20)], 1000)
    taken = 0
    while not (why := rate.take(1000, reduces=False)):
        taken += 1
    assert (taken, why) == (18, "limit=18 of 20 orders per 10 s, value=18")
    assert [rate.take(1000, reduces=True) for _ in range(2)] == ["", ""]
    assert rate.take(1000, reduces=True) == "limit=20 of 20 orders per 10 s, value=20"


def test_venues_count_is_taken_and_what_is_under_way_is_added() -> None:
    rate = VenueRate()
    rate.learn([orders(100)], 1000)
    for _ in range(3):
        rate.take(1000, reduces=False)
    rate.answered(counted=True)
    rate.learn([orders(100, 88)], 1000)  # others use the account, too
    assert rate.take(1000, reduces=False) == "limit=90 of 100 orders per 10 s, value=90"
    rate.answered(counted=True)
    rate.learn([orders(100, 40)], 1000)  # fills gave some back
    assert rate.take(1000, reduces=False) == ""
    assert rate.take(20_000, reduces=False) == "", "another interval"


def test_refused_order_is_not_counted_and_one_without_an_answer_is() -> None:
    rate = VenueRate()
    rate.learn([orders(3)], 1000)
    for _ in range(10):
        assert rate.take(1000, reduces=False) == ""
        rate.answered(counted=False)
    for _ in range(2):
        assert rate.take(1000, reduces=False) == ""
        rate.answered(counted=True)
    assert "value=2" in rate.take(1000, reduces=False)


def test_count_that_another_process_heard_later_is_taken() -> None:
    one, two = VenueRate(), VenueRate()
    one.learn([orders(50, 5)], 1000)
    two.learn([orders(50, 45)], 2000)
    one.adopt(two.shared())
    two.adopt(one.shared())
    for rate in (one, two):
        assert "value=45" in rate.take(2000, reduces=False)


def test_request_weight_used_up_stops_orders() -> None:
    rate = VenueRate()
    rate.learn([RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6000, 5700)], 1000)
    wanted = "limit=5700 of 6000 request weight per 60 s, value=5700"
    assert rate.take(1000, reduces=True) == wanted
    assert rate.weight(1000) == (6000, 5700)
    assert rate.weight(61_000) == (6000, 0), "what was said of another minute is over"
    assert rate.take(61_000, reduces=True) == ""
