"""Orders over HTTP: sent, answered, replaced, cancelled, listed."""

import re
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from api_platform import (
    LIMIT_BUY,
    MARKET_BUY,
    NOW,
    Platform,
    a_platform,
    approved,
    denied,
    filled,
    names,
    rejected,
)

from tickbus.events import OrderCanceled, Side, SubmitOrder
from tickbus.ledger_api import OrderStep
from tickbus.order import Order, Orders, OrderState


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


async def test_a_manual_market_order_is_sent_exactly_and_answered_when_filled(
    platform: Platform,
) -> None:
    platform.answer = filled
    answer = await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    assert answer.status_code == 201
    (intent,) = platform.intents
    assert isinstance(intent, SubmitOrder)
    assert (intent.strategy_id, intent.client_order_id) == ("manual", "manual-r-1")
    assert (intent.order_type, intent.quantity) == ("MARKET", Decimal("0.001"))
    body = answer.json()
    assert (body["state"], body["filled_quantity"], body["price"]) == ("FILLED", "0.001", None)
    assert (body["avg_fill_price"], body["fees"]) == ("100", {"BTC": "0.0000010"})
    assert answer.headers["location"] == "/api/v1/orders/manual-r-1"


async def test_a_limit_order_is_answered_when_it_rests(platform: Platform) -> None:
    answer = await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    body = answer.json()
    assert (answer.status_code, body["state"], body["working"]) == (201, "OPEN", True)
    assert (body["price"], body["quantity"], body["venue_order_id"]) == ("100.25", "0.5", "v1")


async def test_a_stop_is_answered_when_the_venue_has_it(platform: Platform) -> None:
    body = LIMIT_BUY.replace("}", ',"trigger_price":"100.5"}')
    answer = await platform.http.post("/api/v1/orders", content=body)
    shown = answer.json()
    assert (answer.status_code, shown["type"], shown["state"]) == (201, "STOP_LIMIT", "OPEN")
    assert (shown["price"], shown["trigger_price"]) == ("100.25", "100.5")


async def test_a_working_order_is_replaced_by_another(platform: Platform) -> None:
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    path = f"/api/v1/orders/{placed['id']}"
    answer = await platform.http.put(path, content='{"price":"100.5"}')
    shown = answer.json()
    assert (answer.status_code, shown["replaces"]) == (201, placed["id"])
    assert (shown["price"], shown["quantity"]) == ("100.5", "0.5")
    old = (await platform.http.get(path)).json()
    assert old["state"] == "PENDING_REPLACE"


async def test_a_stop_is_replaced_by_one_with_another_trigger(platform: Platform) -> None:
    body = LIMIT_BUY.replace("}", ',"trigger_price":"100.5"}')
    placed = (await platform.http.post("/api/v1/orders", content=body)).json()
    path = f"/api/v1/orders/{placed['id']}"
    answer = await platform.http.put(path, content='{"trigger_price":"101.75"}')
    shown = answer.json()
    assert (answer.status_code, shown["replaces"], shown["type"]) == (
        201, placed["id"], "STOP_LIMIT",
    )  # fmt: skip
    assert (shown["trigger_price"], shown["price"], shown["quantity"]) == (
        "101.75", "100.25", "0.5",
    )  # fmt: skip
    again = f"/api/v1/orders/{shown['id']}"
    kept = (await platform.http.put(again, content='{"price":"100.5"}')).json()
    assert (kept["trigger_price"], kept["price"]) == ("101.75", "100.5")


async def test_an_order_without_a_trigger_gets_none_by_being_replaced(platform: Platform) -> None:
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    path = f"/api/v1/orders/{placed['id']}"
    answer = await platform.http.put(path, content='{"trigger_price":101}')
    assert (answer.status_code, answer.json()["field"]) == (422, "trigger_price")
    answer = await platform.http.put(path, content='{"trigger_price":-1}')
    assert (answer.status_code, answer.json()["field"]) == (422, "trigger_price")
    answer = await platform.http.put(path, content="{}")
    assert "trigger_price" in answer.json()["detail"]


async def test_only_a_working_order_can_be_replaced(platform: Platform) -> None:
    answer = await platform.http.put("/api/v1/orders/nobody-1", content='{"price":1}')
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_ORDER")
    platform.answer = filled
    placed = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()
    await platform.bus.settle()
    answer = await platform.http.put(f"/api/v1/orders/{placed['id']}", content='{"price":1}')
    assert (answer.status_code, answer.json()["code"]) == (409, "ORDER_CLOSED")


async def test_a_denial_by_risk_carries_its_reason(platform: Platform) -> None:
    platform.answer = denied
    answer = await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    body = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["code"], body["reason_detail"]) == ("NOTIONAL_ABOVE_MAX", "notional=10 max=5")
    assert (body["denied_by"], body["order_id"]) == ("risk", "manual-r-1")
    assert body["remedy"] == "Split the order, or raise `order_notional_max`."
    assert (body["field"], body["value"]) == ("quantity", "0.001")


async def test_a_rejection_by_the_venue_carries_its_words(platform: Platform) -> None:
    platform.answer = rejected
    answer = await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "VENUE_REJECTED")
    assert (body["venue_reason"], body["denied_by"]) == ("-2010", "sim")
    assert "insufficient balance" in body["detail"]


async def test_an_undecided_order_is_answered_as_pending(platform: Platform) -> None:
    platform.answer = approved
    platform.hurry()
    answer = await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    # It waits for a second, in which the approval may not have come yet.
    assert (answer.status_code, answer.json()["state"]) in (
        (202, "PENDING_RISK"), (202, "PENDING_NEW"),
    )  # fmt: skip
    assert answer.headers["location"] == "/api/v1/orders/manual-r-1"
    await platform.bus.settle()
    shown = await platform.http.get(answer.headers["location"])
    assert (shown.status_code, shown.json()["state"]) == (200, "PENDING_NEW")


async def test_a_repeat_with_one_idempotency_key_places_one_order(platform: Platform) -> None:
    headers = {"Idempotency-Key": "6f1c"}
    first = await platform.http.post("/api/v1/orders", content=LIMIT_BUY, headers=headers)
    again = await platform.http.post("/api/v1/orders", content=LIMIT_BUY, headers=headers)
    other = await platform.http.post("/api/v1/orders", content=MARKET_BUY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(first.json()["id"]) <= 36
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(platform.intents) == 1


async def test_cancel_answers_with_the_order_as_it_ended(platform: Platform) -> None:
    order_id = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()["id"]
    answer = await platform.http.delete(f"/api/v1/orders/{order_id}")
    assert (answer.status_code, answer.json()["state"]) == (200, "CANCELED")
    again = await platform.http.delete(f"/api/v1/orders/{order_id}")
    assert (again.status_code, again.json()["code"]) == (409, "ORDER_CLOSED")


async def test_cancel_without_an_id_is_not_taken_for_cancelling_all(platform: Platform) -> None:
    answer = await platform.http.delete("/api/v1/orders/", follow_redirects=True)
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_PATH")


async def test_cancel_of_an_unknown_order_is_404(platform: Platform) -> None:
    answer = await platform.http.delete("/api/v1/orders/nobody-1")
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_ORDER")


async def test_a_refused_cancel_is_a_conflict(platform: Platform) -> None:
    order_id = (await platform.http.post("/api/v1/orders", content=LIMIT_BUY)).json()["id"]
    platform.cancels = False
    answer = await platform.http.delete(f"/api/v1/orders/{order_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "CANCEL_REJECTED")


async def test_an_order_that_only_the_ledger_knows_can_be_cancelled(platform: Platform) -> None:
    submit = SubmitOrder(
        1, 1, "pingpong-q-4", "pingpong", "sim", "BTC-USDT", Side.SELL, "LIMIT",  # type: ignore[arg-type]
        Decimal(1), Decimal(120),
    )  # fmt: skip
    platform.books.add(Order.from_submit(submit, OrderState.OPEN))
    answer = await platform.http.delete("/api/v1/orders/pingpong-q-4")
    assert (answer.status_code, answer.json()["strategy"]) == (200, "pingpong")


async def test_an_order_whose_end_was_missed_is_as_the_ledger_says(platform: Platform) -> None:
    """Learned of a ledger that was behind, it was shown as working for ever."""
    submit = SubmitOrder(
        1, 1, "pingpong-q-4", "pingpong", "sim", "BTC-USDT", Side.SELL, "LIMIT",  # type: ignore[arg-type]
        Decimal(1), Decimal(120),
    )  # fmt: skip
    platform.books.add(Order.from_submit(submit, OrderState.OPEN))
    platform.cancels = False
    assert (await platform.http.delete("/api/v1/orders/pingpong-q-4")).status_code == 409
    # The gateway did not follow yet when this was said.
    platform.books.fold(OrderCanceled(NOW, NOW, *names(submit), "v1", Decimal(0)))
    working = (await platform.http.get("/api/v1/orders?working=true")).json()["orders"]
    assert working == []
    one = (await platform.http.get("/api/v1/orders/pingpong-q-4")).json()
    assert one["state"] == "CANCELED"
    again = await platform.http.delete("/api/v1/orders/pingpong-q-4")
    assert (again.status_code, again.json()["code"]) == (409, "ORDER_CLOSED")


async def test_cancel_all_says_what_was_cancelled(platform: Platform) -> None:
    for _ in range(2):
        await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    await platform.bus.settle()
    answer = await platform.http.delete("/api/v1/orders")
    body = answer.json()
    assert answer.status_code == 200
    assert sorted(body["canceled"]) == ["manual-r-1", "manual-r-2"]
    assert (body["pending"], body["command_id"]) == ([], "manual-r-c1")


async def test_orders_can_be_listed_by_state_and_looked_at(platform: Platform) -> None:
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    platform.answer = filled
    await platform.http.post("/api/v1/orders", content=MARKET_BUY)
    await platform.bus.settle()

    async def ids(query: str) -> list[str]:
        body = (await platform.http.get(f"/api/v1/orders?{query}")).json()
        return sorted(order["id"] for order in body["orders"])

    assert await ids("") == ["manual-r-1", "manual-r-2"]
    assert await ids("state=filled") == ["manual-r-2"]
    assert await ids("working=true") == ["manual-r-1"]
    assert await ids("symbol=ETHUSDT") == []
    assert (await platform.http.get("/api/v1/orders/manual-r-2")).json()["events"] == []
    bad = await platform.http.get("/api/v1/orders?state=lost")
    assert (bad.status_code, bad.json()["field"]) == (422, "state")


async def test_a_fresh_order_is_listed_before_the_ledger_knows_it(platform: Platform) -> None:
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    platform.books = Orders()
    body = (await platform.http.get("/api/v1/orders")).json()
    assert [order["id"] for order in body["orders"]] == ["manual-r-1"]
    assert (await platform.http.get("/api/v1/orders/manual-r-1")).status_code == 200


async def test_an_unknown_symbol_gets_the_nearest_known(platform: Platform) -> None:
    body = MARKET_BUY.replace("BTCUSDT", "BTCUSD")
    answer = (await platform.http.post("/api/v1/orders", content=body)).json()
    assert (answer["code"], answer["field"], answer["value"]) == (
        "UNKNOWN_SYMBOL", "symbol", "BTCUSD",
    )  # fmt: skip
    assert "BTCUSDT" in answer["nearest"]
    assert not platform.intents


async def test_order_shows_what_was_decided_on_and_the_way_of_each_event(
    platform: Platform,
) -> None:
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    platform.steps = (
        OrderStep(
            sequence=1, kind="SubmitOrder", ts_event=NOW, ts_recv=NOW,
            body='{"quantity":"0.5","inputs":{"z":"2.10"}}',
            hops=f'[["feed",{NOW},{NOW + 1000}],["strategy",{NOW + 2000},{NOW + 5000}]]',
        ),
        OrderStep(sequence=2, kind="OrderApproved", ts_event=NOW, ts_recv=NOW, body="{}"),
    )  # fmt: skip
    body = (await platform.http.get("/api/v1/orders/manual-r-1")).json()
    assert body["inputs"] == {"z": "2.10"}
    assert re.fullmatch("[0-9a-f]{32}", body["trace_id"])
    first, second = body["events"]
    assert first["hops"][1] == {
        "service": "strategy", "received_at": "2023-11-14T22:13:20.000002Z",
        "sent_at": "2023-11-14T22:13:20.000005Z",
    }  # fmt: skip
    assert second["hops"] == []
    (listed,) = (await platform.http.get("/api/v1/orders")).json()["orders"]
    assert (listed["trace_id"], listed["inputs"]) == (body["trace_id"], None)
