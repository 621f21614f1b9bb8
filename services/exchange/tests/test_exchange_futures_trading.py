"""Futures orders over REST, plain and conditional, and what is asked about the account."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tickbus_exchange.config import (
    DEFAULT_LISTINGS,
    FuturesConfig,
)
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.futures_limits import FuturesLimiter

if TYPE_CHECKING:
    from services.exchange.tests.conftest import FuturesClient

Json = dict[str, Any]
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000"
MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
STOP = (
    "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=50000"
    "&quantity=0.01"
)


# -- orders over REST ------------------------------------------------------------------------------


async def test_life_of_an_order(client: FuturesClient) -> None:
    response = await client.send("POST", "v1/order", LIMIT + "&newClientOrderId=mine")
    placed = response.json()
    assert (placed["status"], placed["clientOrderId"]) == ("NEW", "mine")
    assert not {"avgPrice", "cumQuote"} & placed.keys(), "gone from answers since July 2026"
    assert response.headers["x-mbx-order-count-10s"] == "1"
    assert response.headers["x-mbx-order-count-1m"] == "1"
    assert "x-mbx-order-count-1d" not in response.headers
    named = f"symbol=BTCUSDT&orderId={placed['orderId']}"
    found = await client.ask("GET", "v1/order", named)
    assert (found["avgPrice"], found["cumQuote"], found["price"]) == ("0", "0", "50000")
    assert await client.ask("GET", "v1/openOrders") == [found]
    assert await client.ask("GET", "v1/openOrder", "symbol=BTCUSDT&origClientOrderId=mine") == found
    change = f"{named}&side=BUY&quantity=0.02&price=50001"
    amended = await client.ask("PUT", "v1/order", change)
    assert (amended["orderId"], amended["origQty"]) == (placed["orderId"], "0.02")
    assert await client.fail("PUT", "v1/order", change) == -5027
    ended = await client.ask("DELETE", "v1/order", "symbol=BTCUSDT&origClientOrderId=mine")
    assert (ended["status"], ended["executedQty"]) == ("CANCELED", "0")
    assert await client.fail("DELETE", "v1/order", named) == -2011
    assert await client.fail("GET", "v1/openOrder", named) == -2013
    assert await client.fail("GET", "v1/order", "symbol=BTCUSDT&orderId=99") == -2013
    (old,) = await client.ask("GET", "v1/allOrders", "symbol=BTCUSDT")
    assert old["status"] == "CANCELED"


async def test_a_market_order_makes_a_position_and_income(client: FuturesClient) -> None:
    assert (await client.ask("POST", "v1/order", MARKET))["status"] == "NEW", "ACK by default"
    result = await client.ask("POST", "v1/order", MARKET + "&newOrderRespType=RESULT")
    assert (result["status"], result["executedQty"]) == ("FILLED", "0.01")
    trades = await client.ask("GET", "v1/userTrades", "symbol=BTCUSDT")
    assert sum(float(t["qty"]) for t in trades) == pytest.approx(0.02)
    assert trades[0]["commissionAsset"] == "USDT"
    (position,) = await client.ask("GET", "v3/positionRisk")
    assert (position["positionAmt"], position["positionSide"]) == ("0.02", "BOTH")
    assert float(position["liquidationPrice"]) == 0, "the wallet bears a fall to nothing"
    everything = await client.ask("GET", "v2/positionRisk")
    assert len(everything) == len(DEFAULT_LISTINGS)
    account = await client.ask("GET", "v3/account")
    (balance,) = await client.ask("GET", "v3/balance")
    income = await client.ask("GET", "v1/income")
    fees = sum(float(i["income"]) for i in income)
    assert {i["incomeType"] for i in income} == {"COMMISSION"}
    assert float(balance["balance"]) == pytest.approx(100_000 + fees)
    assert account["totalWalletBalance"] == balance["balance"]
    paid = sum(float(t["commission"]) for t in trades)
    assert fees == pytest.approx(-paid)
    last = await client.ask("GET", "v1/userTrades", f"symbol=BTCUSDT&fromId={trades[-1]['id']}")
    assert last == [trades[-1]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (LIMIT.replace("type=LIMIT", "type=STOP_MARKET"), -4120),
        (LIMIT.replace("type=LIMIT", "type=TRAILING_STOP_MARKET"), -4120),
        (LIMIT.replace("type=LIMIT", "type=LIMIT_MAKER"), -1116),
        (LIMIT.replace("BUY", "HOLD"), -1117),
        (LIMIT.replace("GTC", "DAY"), -1115),
        (LIMIT.replace("BTCUSDT", "NOUSDT"), -1121),
        (LIMIT.replace("&price=50000", ""), -1102),
        (LIMIT.replace("&quantity=0.01", ""), -1102),
        (LIMIT.replace("=50000", "=50000.0001"), -1111),
        (LIMIT.replace("=50000", "=50000.005"), -4014),
        (LIMIT.replace("0.01", "0.000001"), -1111),
        (LIMIT.replace("0.01", "0"), -4003),
        (LIMIT.replace("=50000", "=70000"), -4016),
        (LIMIT.replace("BUY", "SELL"), -4024),
        (LIMIT.replace("0.01", "0.00005"), -4164),
        (LIMIT.replace("0.01", "50"), -2019),
        (LIMIT.replace("GTC", "GTX").replace("=50000", "=61000"), -5022),
        (LIMIT.replace("GTC", "FOK"), -5021),
        (LIMIT.replace("GTC", "GTD"), -1102),
        (LIMIT.replace("GTC", "GTD") + "&goodTillDate=1600000000000", -5040),
        (LIMIT + "&reduceOnly=true", -2022),
        (LIMIT + "&positionSide=LONG", -4061),
        (LIMIT + "&selfTradePreventionMode=DECREMENT", -5039),
        (LIMIT + "&newClientOrderId=" + "a" * 37, -4015),
        (LIMIT + "&newClientOrderId=a%20b", -4015),
        (LIMIT + "&closePosition=true", -4136),
        (LIMIT + "&priceMatch=QUEUE", -1106),
        (LIMIT.replace("&price=50000", "&priceMatch=NEAR"), -5037),
        (MARKET + "&price=50000", -1106),
        (MARKET + "&nonsense=1", -1104),
    ],
)
async def test_bad_orders_get_the_venue_s_codes(
    client: FuturesClient, query: str, code: int
) -> None:
    assert await client.fail("POST", "v1/order", query) == code
    assert await client.fail("POST", "v1/order/test", query) == code
    assert (await client.ledger())["futures"]["orders"] == []


async def test_a_client_id_is_free_again_when_its_order_is_closed(client: FuturesClient) -> None:
    order = LIMIT + "&newClientOrderId=again"
    await client.ask("POST", "v1/order", order)
    assert await client.fail("POST", "v1/order", order) == -4116
    await client.ask("DELETE", "v1/allOpenOrders", "symbol=BTCUSDT")
    await client.ask("POST", "v1/order", order)


async def test_price_match_takes_its_price_from_the_book(client: FuturesClient) -> None:
    book = (await client.http.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")).json()
    for mode, price in (("QUEUE", book["bids"][0][0]), ("QUEUE_5", book["bids"][4][0])):
        order = LIMIT.replace("&price=50000", f"&priceMatch={mode}")
        placed = await client.ask("POST", "v1/order", order)
        assert float(placed["price"]) == float(price)


async def test_batches_answer_each_order_for_itself(client: FuturesClient) -> None:
    good = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
            "quantity": "0.01", "price": "50000", "newClientOrderId": "one"}  # fmt: skip
    orders = quote(json.dumps([good, good, good | {"newClientOrderId": "two"}]))
    response = await client.send("POST", "v1/batchOrders", f"batchOrders={orders}")
    first, second, third = response.json()
    assert (first["clientOrderId"], second["code"], third["clientOrderId"]) == ("one", -4116, "two")
    assert response.headers["x-mbx-order-count-10s"] == "3"
    assert response.headers["x-mbx-order-count-1m"] == "1"
    six = quote(json.dumps([good] * 6))
    assert await client.fail("POST", "v1/batchOrders", f"batchOrders={six}") == -4082
    names = quote('["one","gone"]')
    query = f"symbol=BTCUSDT&origClientOrderIdList={names}"
    cancelled, missing = await client.ask("DELETE", "v1/batchOrders", query)
    assert (cancelled["status"], missing["code"]) == ("CANCELED", -2011)


async def test_settings_of_the_account(client: FuturesClient) -> None:
    changed = await client.ask("POST", "v1/leverage", "symbol=BTCUSDT&leverage=50")
    assert changed == {"symbol": "BTCUSDT", "leverage": 50, "maxNotionalValue": "8000000"}
    assert await client.fail("POST", "v1/leverage", "symbol=BTCUSDT&leverage=126") == -4028
    cross, isolated = "symbol=BTCUSDT&marginType=CROSSED", "symbol=BTCUSDT&marginType=ISOLATED"
    assert await client.fail("POST", "v1/marginType", cross) == -4046
    assert await client.fail("POST", "v1/marginType", isolated) == -4048
    assert await client.fail("POST", "v1/positionSide/dual", "dualSidePosition=false") == -4059
    assert await client.fail("POST", "v1/positionSide/dual", "dualSidePosition=true") == -4068
    assert await client.ask("GET", "v1/positionSide/dual") == {"dualSidePosition": False}
    brackets = await client.ask("GET", "v1/leverageBracket", "symbol=BTCUSDT")
    assert brackets["brackets"][0]["initialLeverage"] == 125
    rates = await client.ask("GET", "v1/commissionRate", "symbol=BTCUSDT")
    assert rates["takerCommissionRate"] == "0.0005"


async def test_history_is_asked_for_a_week_at_a_time(client: FuturesClient) -> None:
    now_ms, day_ms = time.time_ns() // 1_000_000, 86_400_000
    for path in ("v1/userTrades", "v1/allOrders"):
        span = f"symbol=BTCUSDT&startTime={now_ms - 8 * day_ms}&endTime={now_ms}"
        assert await client.fail("GET", path, span) == -4165
        ancient = f"symbol=BTCUSDT&startTime={now_ms - 120 * day_ms}"
        assert await client.fail("GET", path, ancient) == -4166
    both = f"symbol=BTCUSDT&fromId=1&startTime={now_ms}"
    assert await client.fail("GET", "v1/userTrades", both) == -1128


async def test_limits_are_the_futures_own(client: FuturesClient) -> None:
    info = (await client.http.get("/fapi/v1/exchangeInfo")).json()
    limits = {(x["rateLimitType"], x["interval"]): x["limit"] for x in info["rateLimits"]}
    assert limits == {
        ("REQUEST_WEIGHT", "MINUTE"): 2_400, ("ORDERS", "SECOND"): 300, ("ORDERS", "MINUTE"): 1_200,
    }  # fmt: skip
    listed = await client.ask("GET", "v1/rateLimit/order")
    assert [x["rateLimitType"] for x in listed] == ["ORDERS", "ORDERS"]
    while True:
        minute = time.time_ns() // 60_000_000_000
        used = (await client.send("GET", "v1/income")).headers["x-mbx-used-weight-1m"]
        again = (await client.send("GET", "v1/income")).headers["x-mbx-used-weight-1m"]
        spot = (await client.http.get("/api/v3/ping")).headers["x-mbx-used-weight-1m"]
        if time.time_ns() // 60_000_000_000 == minute:
            break  # else the count began anew meanwhile
    assert int(again) - int(used) == 30
    assert int(spot) < int(used), "spot counts for itself"


def test_orders_are_limited_by_ten_seconds_and_by_the_minute() -> None:
    limiter = FuturesLimiter(FuturesConfig(orders_per_10s_max=10, orders_per_minute_max=12))
    minute_ms = 1_800_000_000_000
    limiter.count_batch(minute_ms, "user", 5)
    for _ in range(5):
        limiter.check_orders(minute_ms)
        limiter.count_order(minute_ms)
    assert limiter.orders(minute_ms) == (10, 6), "a batch is one of the minute's"
    limiter.check_orders(minute_ms, "another")
    with pytest.raises(ApiError, match="10 orders per 10 SECOND") as caught:
        limiter.check_orders(minute_ms + 9_000)
    assert (caught.value.code, caught.value.status, caught.value.retry_after_s) == (-1015, 429, 1)
    for _ in range(6):
        limiter.count_order(minute_ms + 10_000)
    with pytest.raises(ApiError, match="12 orders per 1 MINUTE"):
        limiter.check_orders(minute_ms + 20_000)
    limiter.check_orders(minute_ms + 60_000)


# -- conditional orders ----------------------------------------------------------------------------


async def test_life_of_a_conditional_order(client: FuturesClient) -> None:
    placed = await client.ask("POST", "v1/algoOrder", STOP + "&clientAlgoId=stop")
    assert (placed["algoStatus"], placed["orderType"]) == ("NEW", "STOP_MARKET")
    assert await client.fail("POST", "v1/algoOrder", STOP + "&clientAlgoId=stop") == -4116
    assert await client.ask("GET", "v1/openAlgoOrders") == [placed]
    assert await client.ask("GET", "v1/openOrders") == []
    await client.ask("POST", "v1/order", LIMIT)
    await client.ask("DELETE", "v1/allOpenOrders", "symbol=BTCUSDT")
    assert await client.ask("GET", "v1/openOrders") == []
    assert len(await client.ask("GET", "v1/openAlgoOrders", "symbol=BTCUSDT")) == 1
    ended = await client.ask("DELETE", "v1/algoOrder", "clientAlgoId=stop")
    assert (ended["algoId"], ended["code"]) == (placed["algoId"], "200")
    assert await client.fail("DELETE", "v1/algoOrder", f"algoId={placed['algoId']}") == -2011
    found = await client.ask("GET", "v1/algoOrder", f"algoId={placed['algoId']}")
    assert found["algoStatus"] == "CANCELED"
    await client.ask("POST", "v1/algoOrder", STOP)
    done = await client.ask("DELETE", "v1/algoOpenOrders", "symbol=BTCUSDT")
    assert done["code"] == 200
    assert len(await client.ask("GET", "v1/allAlgoOrders", "symbol=BTCUSDT")) == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (STOP.replace("STOP_MARKET", "LIMIT"), -1116),
        (STOP.replace("CONDITIONAL", "VP"), -1130),
        (STOP.replace("50000", "70000"), -2021),
        (STOP.replace("&triggerPrice=50000", ""), -1102),
        (STOP + "&closePosition=true", -4138),
        (STOP.replace("STOP_MARKET", "TRAILING_STOP_MARKET") + "&callbackRate=11", -2007),
        (STOP + "&price=1", -1106),
    ],
)
async def test_bad_conditional_orders(client: FuturesClient, query: str, code: int) -> None:
    assert await client.fail("POST", "v1/algoOrder", query) == code
