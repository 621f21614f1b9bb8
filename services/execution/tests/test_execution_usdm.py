"""USD-M futures at a socket: two lines, REST beside them, the countdown, refusals."""

import asyncio
import base64
from decimal import Decimal
from typing import Any

import pytest
from execution_bench import Bench, impatient, until
from usdm_account import a_futures_account, a_trade, futures, placed, trading

from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
)
from tickbus_execution import countdown
from tickbus_execution.external import EXTERNAL
from tickbus_testkit.scripted_venue import a_scripted_venue


async def test_order_goes_over_the_socket_and_its_fill_comes_on_the_private_line() -> None:
    async with trading() as (venue, execution):
        assert "/private/ws/the-key" in venue.paths
        opened = await execution.hear(AccountUpdated)
        assert [balance.total for balance in opened.balances] == [Decimal(100)]
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        await venue.push(a_trade(z="0.001", status="FILLED", q="0.001"))
        filled = await execution.hear(OrderFilled)
        assert (filled.fill.fee, filled.leaves_quantity) == (Decimal("0.012"), Decimal(0))
        assert filled.fill.realized == Decimal("-1.25")
        assert (venue.count("order.place"), venue.count("POST /fapi/v1/order")) == (1, 0)


async def test_countdown_is_armed_before_the_first_order_and_refreshed() -> None:
    async with trading(countdown_s=0.6) as (venue, execution):
        await execution.order(1, "60000")
        await execution.order(2, "60000")
        await execution.hear(OrderAccepted, n=2)
        names = venue.names()
        armed = names.index("POST /fapi/v1/countdownCancelAll")
        assert armed < names.index("order.place")
        sent = [p["newClientOrderId"] for p in venue.params("order.place")]
        assert sent == ["s-r-1", "s-r-2"]
        await until(lambda: venue.count("POST /fapi/v1/countdownCancelAll") >= 4)
        for params in venue.params("POST /fapi/v1/countdownCancelAll"):
            assert (params["symbol"], params["countdownTime"]) == ("BTCUSDT", "600")


async def test_a_process_that_stops_leaves_the_next_one_the_whole_countdown() -> None:
    async with trading(countdown_s=3600) as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        assert venue.count("POST /fapi/v1/countdownCancelAll") == 1
        await execution.stop()
        assert venue.count("POST /fapi/v1/countdownCancelAll") == 2
        assert venue.params("POST /fapi/v1/countdownCancelAll")[-1]["countdownTime"] == "3600000"


async def test_the_end_does_not_wait_for_a_venue_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(countdown, "LAST_S", 0.05)
    async with trading(countdown_s=3600, request_timeout_s=3600) as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        venue.rest["POST /fapi/v1/countdownCancelAll"] = None
        async with asyncio.timeout(30):
            await execution.stop()


async def test_without_the_countdown_no_order_is_sent() -> None:
    async with trading() as (venue, execution):
        venue.rest["POST /fapi/v1/countdownCancelAll"] = {
            "status": 400, "error": {"code": -1000, "msg": "no"},
        }  # fmt: skip
        await execution.order(1, "60000")
        refused = await execution.hear(OrderRejected)
        assert refused.reason == "COUNTDOWN_NOT_ARMED"
        assert "order.place" not in venue.names()


async def test_countdown_that_could_not_be_refreshed_is_armed_again_before_the_next_order() -> None:
    async with trading(countdown_s=0.6) as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        taken = venue.rest["POST /fapi/v1/countdownCancelAll"]
        venue.rest["POST /fapi/v1/countdownCancelAll"] = {
            "status": 500, "error": {"code": -1000, "msg": "no"},
        }  # fmt: skip
        await until(lambda: not execution.gateway._countdown.armed)
        await execution.order(2, "60000")
        assert (await execution.hear(OrderRejected)).reason == "COUNTDOWN_NOT_ARMED"
        venue.rest["POST /fapi/v1/countdownCancelAll"] = taken
        await until(lambda: execution.gateway._countdown.armed)
        await execution.order(3, "60000")
        await execution.hear(OrderAccepted, n=2)
        assert [p["newClientOrderId"] for p in venue.params("order.place")] == ["s-r-1", "s-r-3"]


async def test_countdown_that_is_off_is_never_armed() -> None:
    async with trading(countdown_s=0) as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        assert "POST /fapi/v1/countdownCancelAll" not in venue.names()


async def test_socket_that_is_gone_stops_neither_orders_nor_cancels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away() -> Any:
        raise ConnectionError("away")

    async with trading() as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        monkeypatch.setattr(execution.gateway.session, "_open_api", away)
        for line in venue.api_lines:
            await line.close()
        await until(lambda: execution.gateway._calls.stream is None)
        await execution.cancel("s-r-1")
        await execution.hear(OrderCanceled)
        await until(lambda: "DELETE /fapi/v1/order" in venue.names())
        (params,) = venue.params("DELETE /fapi/v1/order")
        assert (params["origClientOrderId"], "signature" in params) == ("s-r-1", True)


async def test_everything_but_the_user_stream_goes_over_rest_without_sockets() -> None:
    async with trading() as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        await venue.refuse_websockets()
        await until(execution.running.waiting)
        await execution.cancel("s-r-1")
        await execution.hear(OrderCanceled)
        with impatient():
            await execution.order(2, "60000")
            refused = await execution.hear(OrderRejected)
        assert refused.reason == "VENUE_DISCONNECTED", "nobody would tell of its fills"
        await venue.take_websockets()
        await execution.ready()
        await execution.order(3, "60000")
        await execution.hear(OrderAccepted, n=2)


async def test_order_that_may_have_left_is_never_repeated_over_rest() -> None:
    async with trading(request_timeout_s=0.5) as (venue, execution):
        venue.api["order.place"] = None  # taken, and not a word
        await execution.order(1, "60000")
        await until(lambda: venue.count("order.place") == 1)
        found = placed({"newClientOrderId": "s-r-1"})
        venue.rest["GET /fapi/v1/order"] = venue.api["order.status"] = found
        await venue.api_lines[-1].close()
        await execution.hear(OrderUnknown)
        await execution.hear(OrderAccepted)
        assert (venue.count("order.place"), venue.count("POST /fapi/v1/order")) == (1, 0)
        kinds = [
            type(e) for e in execution.said if not isinstance(e, AccountUpdated | AccountReconciled)
        ]
        assert kinds == [OrderSubmitted, OrderUnknown, OrderAccepted]


async def test_expired_listen_key_is_replaced_and_the_account_compared_again() -> None:
    async with trading() as (venue, execution):
        await venue.push({"e": "listenKeyExpired", "E": 1, "listenKey": "the-key"})
        await until(lambda: venue.count("POST /fapi/v1/listenKey") == 2)
        await execution.ready()
        assert venue.count("GET /fapi/v3/account") >= 2


async def test_listen_key_is_renewed_and_one_that_is_gone_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_execution.session.LISTEN_KEY_S", 0.05)
    monkeypatch.setattr("tickbus_execution.session.PING_S", 0.1)
    async with trading() as (venue, execution):
        await until(lambda: venue.count("PUT /fapi/v1/listenKey") >= 2)
        assert venue.count("POST /fapi/v1/listenKey") == 1
        gone = {"status": 400, "error": {"code": -1125, "msg": "This listenKey does not exist."}}
        venue.rest["PUT /fapi/v1/listenKey"] = gone
        await until(lambda: venue.count("POST /fapi/v1/listenKey") >= 2)
        venue.rest["PUT /fapi/v1/listenKey"] = {}
        await execution.ready()
    keyed = [h for h in venue.headers if h.get("x-mbx-apikey") == "sim-key"]
    assert keyed


async def test_liquidation_is_in_the_books_as_external_and_alarms(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trading() as (venue, execution):
        await venue.push(a_trade(c="autoclose-17", x="CALCULATED", status="FILLED", q="0.001"))
        filled = await execution.hear(OrderFilled)
        assert filled.strategy_id == EXTERNAL
    assert any("LIQUIDATION" in r.message for r in caplog.records if r.levelname == "CRITICAL")


async def test_new_orders_stop_at_the_count_that_the_venue_tells() -> None:
    async with trading() as (venue, execution):
        # Whatever the time is, it is one interval.
        limit = {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 36_500, "limit": 300}
        venue.api["order.place"] = {
            "status": 400, "error": {"code": -5022, "msg": "Post Only order rejected"},
            "rateLimits": [{**limit, "count": 299}],
        }  # fmt: skip
        await execution.order(1, "60000", post_only=True)
        assert (await execution.hear(OrderRejected)).reason == "POST_ONLY_WOULD_TAKE"
        await execution.order(2, "60000")
        refused = await execution.hear(OrderRejected, n=2)
        assert refused.reason == "VENUE_RATE_LIMIT"
        assert refused.detail == "limit=270 of 300 orders per 3153600000 s, value=299"
        await execution.order(3, "60000", reduce_only=True)
        await until(lambda: venue.count("order.place") == 2)


@pytest.mark.parametrize("status", [429, 418])
async def test_silence_asked_for_over_rest_silences_orders_and_a_ban_cancels_too(
    status: int,
) -> None:
    async with trading(reconcile_interval_s=0.3) as (venue, execution):
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        venue.rest["GET /fapi/v1/openOrders"] = {
            "status": status, "headers": "Retry-After: 300\r\n",
            "error": {"code": -1003, "msg": "!"},
        }  # fmt: skip
        await until(lambda: execution.gateway._guard.silent_s > 200)
        await execution.order(2, "60000")
        refused = await execution.hear(OrderRejected)
        assert refused.reason == "VENUE_PAUSED"
        asked = len(venue.asked)
        await execution.cancel("s-r-1")
        if status == 429:
            await execution.hear(OrderCanceled)
        else:
            await execution.hear(OrderUnknown)
            assert [n for n in venue.names()[asked:] if "cancel" in n] == []


async def test_order_out_of_time_goes_once_more_by_a_better_clock() -> None:
    async with trading() as (venue, execution):
        late = {"status": 400, "error": {"code": -1021, "msg": "outside of the recvWindow"}}
        answers = [late]
        venue.api["order.place"] = lambda p: answers.pop() if answers else placed(p)
        clocks = venue.count("GET /fapi/v1/time")
        await execution.order(1, "60000")
        await execution.hear(OrderAccepted)
        assert venue.count("order.place") == 2
        assert venue.count("GET /fapi/v1/time") > clocks
        assert not execution.all(OrderRejected)


@pytest.mark.parametrize(("away", "ends"), [(3, OrderAccepted), (9, OrderRejected)])
async def test_order_for_which_the_venue_is_unavailable_goes_again(away: int, ends: Any) -> None:
    async with trading() as (venue, execution):
        answers = [{"status": 503, "error": {"code": -1000, "msg": "Service Unavailable."}}] * away
        venue.api["order.place"] = lambda p: answers.pop() if answers else placed(p)
        await execution.order(1, "60000")
        await execution.hear(ends)
        assert venue.count("order.place") == 4


async def test_symbol_that_the_venue_does_not_trade_is_let_go_when_its_list_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_execution.gateway.SYMBOL_AGAIN_S", 0.3)
    async with trading() as (venue, execution):
        listed = venue.rest["GET /fapi/v1/exchangeInfo"]
        venue.rest["GET /fapi/v1/exchangeInfo"] = {**listed, "symbols": []}
        venue.api["order.place"] = {"status": 400, "error": {"code": -1122, "msg": "Closed."}}
        await execution.order(1, "60000")
        await execution.order(2, "60000")
        await execution.hear(OrderRejected, n=2)
        venue.api["order.place"] = placed
        await execution.order(3, "60000")
        refused = await execution.hear(OrderRejected, n=3)
        assert (refused.reason, "-1122" in refused.detail) == ("SYMBOL_NOT_TRADING", True)
        venue.rest["GET /fapi/v1/exchangeInfo"] = listed
        await until(lambda: not execution.gateway._guard.disabled)
        await execution.order(4, "60000")
        await execution.hear(OrderAccepted)


async def test_ed25519_key_logs_the_session_on_and_then_signs_no_order() -> None:
    seed = base64.b64encode(bytes(range(32))).decode()

    async with a_scripted_venue(a_futures_account) as venue:
        venue.api["session.logon"] = {"apiKey": "sim-key", "authorizedSince": 1}
        async with Bench(futures(venue, seed)) as execution:
            await execution.ready()
            await until(lambda: execution.gateway._calls.logged_on)
            await execution.order(1, "60000")
            await execution.hear(OrderAccepted)
            (logon,), (order,) = venue.params("session.logon"), venue.params("order.place")
            assert "signature" in logon
            assert logon["apiKey"] == "sim-key"
            assert "signature" not in order
            assert "timestamp" in order
            (account, *_) = venue.params("GET /fapi/v3/account")
            assert len(base64.b64decode(account["signature"])) == 64


async def test_session_that_takes_no_logon_is_used_with_signatures() -> None:
    seed = base64.b64encode(bytes(range(32))).decode()
    async with a_scripted_venue(a_futures_account) as venue:
        venue.api["session.logon"] = {"status": 400, "error": {"code": -4056, "msg": "no"}}
        async with Bench(futures(venue, seed)) as execution:
            await execution.ready()
            await until(lambda: "session.logon" in venue.names())
            await execution.order(1, "60000")
            await execution.hear(OrderAccepted)
            (order,) = venue.params("order.place")
            assert "signature" in order


async def test_cancel_of_a_stop_that_was_triggered_meanwhile_finds_the_order_it_became() -> None:
    async with trading() as (venue, execution):
        algo = {
            "algoId": 5, "clientAlgoId": "s-r-1", "algoStatus": "NEW", "actualOrderId": "",
            "side": "BUY", "quantity": "0.001", "updateTime": 3,
        }  # fmt: skip
        venue.api["algoOrder.place"] = algo
        stop = {"order_type": OrderType.STOP_MARKET, "trigger_price": Decimal(61000)}
        await execution.order(1, **stop)
        accepted = await execution.hear(OrderAccepted)
        assert accepted.venue_order_id == "algo-s-r-1"
        venue.api["algoOrder.cancel"] = {"status": 400, "error": {"code": -2011, "msg": "Unknown"}}
        triggered = {**algo, "algoStatus": "TRIGGERED", "actualOrderId": "77"}
        venue.rest["GET /fapi/v1/algoOrder"] = triggered
        became = {**placed({"newClientOrderId": "x"}), "orderId": 77}
        venue.api["order.status"] = became
        venue.api["order.cancel"] = {**became, "status": "CANCELED"}
        await execution.cancel("s-r-1")
        canceled = await execution.hear(OrderCanceled)
        assert (canceled.client_order_id, canceled.venue_order_id) == ("s-r-1", "algo-s-r-1")
        assert venue.params("order.cancel")[-1]["orderId"] == 77


async def test_look_that_cannot_tell_whose_fills_are_is_none() -> None:
    """Refused the list of what became of our stops, it took their fills for a stranger's."""
    async with trading(reconcile_interval_s=0.2) as (venue, execution):
        venue.api["algoOrder.place"] = {
            "algoId": 5, "clientAlgoId": "s-r-1", "algoStatus": "NEW", "actualOrderId": "",
            "side": "BUY", "quantity": "0.001", "updateTime": 3,
        }  # fmt: skip
        stop = {"order_type": OrderType.STOP_MARKET, "trigger_price": Decimal(61000)}
        await execution.order(1, **stop)
        await execution.hear(OrderAccepted)
        lists = "GET /fapi/v1/allAlgoOrders"
        venue.rest[lists] = {"status": 400, "error": {"code": -1000, "msg": "no"}}
        await until(lambda: execution.errors("comparison_failed"))


async def test_cancel_that_comes_before_its_order_is_said_again() -> None:
    async with trading(recv_window_ms=60_000) as (venue, execution):
        venue.api["order.place"] = {"status": 504, "error": {"code": -1007, "msg": "Timeout"}}
        venue.api["order.cancel"] = {"status": 400, "error": {"code": -2011, "msg": "Unknown"}}
        venue.api["order.status"] = {"status": 400, "error": {"code": -2013, "msg": "None"}}
        await execution.order(1, "60000")
        await execution.hear(OrderUnknown)
        await execution.cancel("s-r-1")
        await until(lambda: "order.cancel" in venue.names())
        arrived = placed({"newClientOrderId": "s-r-1"})
        venue.api["order.status"] = arrived
        venue.api["order.cancel"] = {**arrived, "status": "CANCELED"}
        await execution.hear(OrderCanceled)
        assert venue.count("order.cancel") == 2
        assert not [e for e in execution.said if isinstance(e, CancelRejected | OrderRejected)]
