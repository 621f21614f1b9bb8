"""The gateway at a socket: opening, cuts, refusals, silence, strangers on the account."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from execution_bench import Account, Bench, ExchangeBench, impatient, until

from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderUnknown,
)
from tickbus_execution.external import EXTERNAL
from tickbus_testkit.scripted_venue import ScriptedVenue, a_scripted_venue

# -- at the simulated exchange ---------------------------------------------------------------------


async def test_session_cut_in_mid_order_is_taken_up_again(bench: ExchangeBench) -> None:
    await bench.start()
    await bench.hear(OrderAccepted, await bench.order(1, "30000"))
    bench.disconnect()
    await until(bench.running.waiting)
    await bench.cancel("s-r-1")  # while the venue cannot be reached
    await bench.hear(OrderCanceled)
    await bench.order(2)
    filled = await bench.hear(OrderFilled)
    assert filled.client_order_id == "s-r-2"


async def test_exchange_killed_and_back_with_the_same_orders(bench: ExchangeBench) -> None:
    await bench.start()
    await bench.hear(OrderAccepted, await bench.order(1, "30000"))
    bench.exchange.kill()
    await until(bench.running.waiting)
    with impatient():
        await bench.order(2)
        refused = await bench.hear(OrderRejected)
    assert (refused.client_order_id, refused.reason) == ("s-r-2", "VENUE_DISCONNECTED")
    bench.exchange.start().until_ready()
    await bench.ready()
    await bench.cancel("s-r-1")
    await bench.hear(OrderCanceled)
    assert [o["clientOrderId"] for o in bench.truth()["orders"]] == ["s-r-1"]


async def test_stranger_on_the_account_enters_the_books_as_external(bench: ExchangeBench) -> None:
    await bench.start()
    async with Bench(bench.account) as stranger:
        await stranger.ready()
        await stranger.order(9)
        theirs = await stranger.hear(OrderFilled)
        filled = await bench.hear(OrderFilled)
        assert filled.strategy_id == EXTERNAL
        assert (filled.fill, filled.venue_order_id) == (theirs.fill, theirs.venue_order_id)


async def test_wrong_secret_is_said_with_its_remedy_and_not_tried_in_a_hurry(
    bench: ExchangeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.account = bench.account._replace(secret="wrong")
    await bench.launch()
    await until(lambda: "signature" in str(bench.running.waiting()).lower())
    await bench.order(1)
    refused = await bench.hear(OrderRejected)
    assert refused.reason == "VENUE_KEY_REFUSED"
    assert "-1022" in refused.detail
    said = [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"]
    assert len(said) == 1
    assert "TICKBUS_VENUE_API_KEY" in said[0]
    (again,) = [r.args[1] for r in caplog.records if "again in" in r.msg and r.args]  # type: ignore[index]
    assert float(str(again)) > 50


# -- at a venue that says what the test wants ------------------------------------------------------


def a_spot_account(venue: ScriptedVenue) -> None:
    """An account with 100 USDT and nothing that works."""
    balance = {"asset": "USDT", "free": "100", "locked": "0"}
    venue.api |= {
        "userDataStream.subscribe.signature": {"subscriptionId": 0},
        "openOrders.status": [],
        "myTrades": [],
        "account.status": {"updateTime": 5, "balances": [balance]},
        "time": lambda _: {"serverTime": time.time_ns() // 1_000_000},
        "order.place": placed,
    }


def spot(venue: ScriptedVenue, **changes: Any) -> Account:
    where = Account(f"127.0.0.1:{venue.rest_port}", f"127.0.0.1:{venue.ws_port}")
    return where._replace(**changes)


@asynccontextmanager
async def trading(**execution: Any) -> AsyncIterator[tuple[ScriptedVenue, Bench]]:
    async with a_scripted_venue(a_spot_account) as venue, Bench(spot(venue), **execution) as bench:
        await bench.ready()
        yield venue, bench


@asynccontextmanager
async def comparing() -> AsyncIterator[tuple[ScriptedVenue, Bench, asyncio.Event]]:
    """Execution whose account is not compared before the event is set."""
    told = asyncio.Event()

    def held_back(venue: ScriptedVenue) -> None:
        a_spot_account(venue)
        answer = venue.api["account.status"]

        async def later(_: Any) -> Any:
            await told.wait()
            return answer

        venue.api["account.status"] = later

    async with a_scripted_venue(held_back) as venue, Bench(spot(venue)) as bench:
        await until(lambda: "account.status" in venue.names())
        yield venue, bench, told
        told.set()


def placed(params: dict[str, Any], status: str = "NEW") -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": 7, "clientOrderId": params["newClientOrderId"],
        "transactTime": 9, "side": "BUY", "origQty": params["quantity"], "executedQty": "0",
        "status": status, "fills": [],
    }  # fmt: skip


def sent(venue: ScriptedVenue) -> list[str]:
    """The orders that reached the venue."""
    return [params["newClientOrderId"] for params in venue.params("order.place")]


async def test_nothing_is_sent_before_the_account_was_compared() -> None:
    async with comparing() as (venue, execution, told):
        for n in (1, 2):
            await execution.order(n)
        await execution.cancel("s-r-2")
        refused = await execution.hear(OrderRejected)
        assert (refused.client_order_id, refused.reason) == ("s-r-2", "NEVER_SENT")
        assert "order.place" not in venue.names()
        told.set()
        await execution.hear(OrderAccepted)
        assert sent(venue) == ["s-r-1"]


async def test_rehearsed_order_never_reaches_the_venue() -> None:
    async with trading() as (venue, execution):
        rehearse = execution.running.spec.rehearse
        assert rehearse is not None
        for n in (1, 2, 3):
            assert isinstance(rehearse(execution.wish(n, "60000")), OrderSubmitted)
        await execution.order(4)
        await execution.hear(OrderAccepted)
        assert sent(venue) == ["s-r-4"]


async def test_what_waits_too_long_for_the_account_is_refused_unsent() -> None:
    async with comparing() as (venue, execution, _):
        with impatient():
            for n in range(1, 121):
                await execution.order(n)
            await execution.hear(OrderRejected, n=120)
        reasons = {refused.reason for refused in execution.all(OrderRejected)}
        assert reasons == {"VENUE_DISCONNECTED"}
        assert "order.place" not in venue.names()


async def test_instrument_that_nobody_describes_is_waited_for_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        a_scripted_venue(a_spot_account) as venue,
        Bench(spot(venue, further=("BTX-USDT",))) as execution,
    ):
        await execution.ready()
        execution.gateway.session.drop()
        await until(execution.running.waiting)
        await execution.ready()
    said = [r for r in caplog.records if "going on without" in r.msg]
    assert len(said) == 1
    assert "BTX-USDT" in said[0].getMessage()


async def test_order_without_an_answer_is_unknown_until_the_venue_was_asked() -> None:
    async with trading(request_timeout_s=0.3) as (venue, execution):
        found = {
            **placed({"newClientOrderId": "s-r-1", "quantity": "0.001"}, "CANCELED"), "time": 9
        }  # fmt: skip
        venue.api |= {"order.place": None, "order.status": found}
        await execution.order(1)
        await execution.hear(OrderUnknown)
        await execution.hear(OrderCanceled)
        assert venue.count("order.place") == 1
        account = (AccountReconciled, AccountUpdated)
        kinds = [type(e) for e in execution.said if not isinstance(e, account)]
        assert kinds == [OrderSubmitted, OrderUnknown, OrderAccepted, OrderCanceled]


async def test_answer_and_frame_that_cannot_be_read_are_kept_and_the_session_lives() -> None:
    async with trading() as (venue, execution):
        for frame in ("{ no json", '{"neither": "answer nor event"}'):
            await venue.api_lines[-1].send(frame)
        await until(lambda: execution.errors("malformed") == 2)
        await execution.order(1)
        await execution.hear(OrderAccepted)
        assert len([m for m in venue.names() if m.startswith("userDataStream")]) == 1


async def test_asked_for_silence_sends_no_order_and_every_cancel() -> None:
    async with trading() as (venue, execution):
        await execution.order(1, "30000")
        await execution.hear(OrderAccepted)
        until_ms = (time.time_ns() // 1_000_000) + 60_000
        venue.api["order.place"] = {
            "status": 429,
            "error": {"code": -1003, "msg": "Too much", "data": {"retryAfter": until_ms}},
        }
        await execution.order(2, "30000")
        await execution.hear(OrderRejected)
        await execution.order(3, "30000")
        refused = await execution.hear(OrderRejected, n=2)
        assert refused.reason == "VENUE_PAUSED"
        assert venue.count("order.place") == 2
        await execution.cancel("s-r-1")
        await until(lambda: "order.cancel" in venue.names())


async def test_request_out_of_time_measures_the_clock_once() -> None:
    async with trading() as (venue, execution):
        before = venue.count("time")
        venue.api["order.place"] = {
            "status": 400, "error": {"code": -1021, "msg": "Timestamp outside of recvWindow"}
        }  # fmt: skip
        for n in range(1, 6):
            await execution.order(n)
        await execution.hear(OrderRejected, n=5)
        await until(lambda: venue.count("time") >= before + 3)
        await asyncio.sleep(0.1)
        assert venue.count("time") < before + 3 * 5


async def test_questions_are_asked_a_few_at_a_time() -> None:
    async with trading() as (venue, execution):
        venue.api["order.place"] = {"status": 504, "error": {"code": -1007, "msg": "Timeout"}}
        venue.api["order.status"] = None  # and so each question waits for its answer
        for n in range(1, 31):
            await execution.order(n)
        await execution.hear(OrderUnknown, n=30)
        await until(lambda: "order.status" in venue.names())
        await asyncio.sleep(0.5)  # if all were asked, they would have been by then
        assert venue.count("order.status") <= 8


async def test_order_round_trip_is_measured_where_the_venue_answered(bench: ExchangeBench) -> None:
    await bench.start(request_timeout_s=30)
    await bench.hear(OrderAccepted, await bench.order(1, "30000"))
    latency = bench.running.telemetry.latencies["order_round_trip"]
    assert latency.count == 1
    assert latency.total_ns > 0
