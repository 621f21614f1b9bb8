"""The private stream and the WebSocket API of futures, what the venue does, and faults."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tickbus_exchange.config import (
    DEFAULT_BALANCES,
    DEFAULT_LISTINGS,
    ExchangeConfig,
    FuturesConfig,
)
from tickbus_exchange.engine.futures_types import Changes
from tickbus_exchange.engine.numbers import plain
from tickbus_exchange.server import Server

if TYPE_CHECKING:
    from services.exchange.tests.conftest import FuturesClient

Json = dict[str, Any]
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000"
MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
STOP = (
    "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=50000"
    "&quantity=0.01"
)


# -- the private stream ----------------------------------------------------------------------------


async def test_a_fill_is_told_on_the_private_route(client: FuturesClient) -> None:
    key = await client.listen_key()
    assert await client.listen_key() == key, "asking again gives the same"
    async with client.socket(f"/private/ws/{key}") as socket:
        await client.ask("POST", "v1/order", MARKET + "&newClientOrderId=mine")
        events = [await client.receive(socket) for _ in range(4)]
        assert [e["e"] for e in events] == [
            "ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE",
        ]  # fmt: skip
        new, _, account, fill = events
        assert (new["o"]["x"], new["o"]["X"], new["o"]["c"]) == ("NEW", "NEW", "mine")
        assert (fill["o"]["x"], fill["o"]["X"], fill["o"]["N"]) == ("TRADE", "FILLED", "USDT")
        (trade,) = await client.ask("GET", "v1/userTrades", "symbol=BTCUSDT")
        assert fill["o"]["t"] == trade["id"]
        assert float(fill["o"]["n"]) == float(trade["commission"])
        assert account["a"]["m"] == "ORDER"
        assert account["a"]["P"][0]["pa"] == "0.01"
        await client.ask("POST", "v1/leverage", "symbol=BTCUSDT&leverage=10")
        config_update = await client.receive(socket)
        assert config_update["ac"] == {"s": "BTCUSDT", "l": 10}
        await client.admin("funding", rate="0.001")
        funding = await client.receive(socket)
        assert (funding["a"]["m"], funding["a"]["P"]) == ("FUNDING_FEE", [])
        await client.ask("POST", "v1/algoOrder", STOP)
        algo = await client.receive(socket)
        assert (algo["e"], algo["o"]["X"], algo["o"]["tp"]) == ("ALGO_UPDATE", "NEW", "50000")


async def test_a_margin_call_names_the_position(
    futures_server: Server, client: FuturesClient
) -> None:
    await client.ask("POST", "v1/order", MARKET)
    key = await client.listen_key()
    async with client.socket(f"/private/ws/{key}") as socket:
        desk = futures_server.exchange.futures.user.desk
        desk.emit(Changes(futures_server.exchange.clock_ms(), reason="MARGIN_CALL"))
        call = await client.receive(socket)
    assert (call["e"], call["cw"]) == ("MARGIN_CALL", plain(desk.books.wallet))
    (position,) = call["p"]
    assert (position["s"], position["pa"], position["mt"]) == ("BTCUSDT", "0.01", "CROSSED")
    assert 0 < float(position["mm"]) < 10


async def test_the_end_of_the_stream_can_be_had_on_demand(client: FuturesClient) -> None:
    key = await client.listen_key()
    async with client.socket(f"/private/ws/{key}") as socket:
        await client.admin("faults", terminate_user=1.0)
        await client.ask("POST", "v1/order", LIMIT)
        assert (await client.receive(socket))["e"] == "listenKeyExpired"
        assert await client.quiet(socket)
    assert (await client.http.put("/fapi/v1/listenKey")).json()["code"] == -1125


async def test_chosen_events_and_combined_streams(client: FuturesClient) -> None:
    key = await client.listen_key()
    some = f"/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE/ACCOUNT_CONFIG_UPDATE"
    both = f"/private/stream?listenKey={key}&events=ACCOUNT_UPDATE&listenKey=unknown"
    async with client.socket(some) as one, client.socket(both) as other:
        await client.ask("POST", "v1/order", MARKET)
        assert [(await client.receive(one))["e"] for _ in range(2)] == ["ORDER_TRADE_UPDATE"] * 2
        wrapped = await client.receive(other)
        assert (wrapped["stream"], wrapped["data"]["e"]) == (key, "ACCOUNT_UPDATE")
        assert await client.quiet(one)
        assert await client.quiet(other)


@pytest.mark.parametrize("path", ["/ws/{}", "/stream?streams={}", "/public/ws/{}", "/market/ws/{}"])
async def test_other_routes_say_nothing_of_the_account(client: FuturesClient, path: str) -> None:
    key = await client.listen_key()
    async with client.socket(path.format(key)) as socket:
        await client.ask("POST", "v1/order", MARKET)
        assert await client.quiet(socket)


async def test_a_listen_key_lives_an_hour_unless_kept(
    futures_server: Server, client: FuturesClient
) -> None:
    key = await client.listen_key()
    assert (await client.http.put("/fapi/v1/listenKey")).json() == {"listenKey": key}
    async with client.socket(f"/private/ws/{key}") as socket:
        futures_server.exchange.set_clock(3_600_000)
        expired = await client.receive(socket)
        assert (expired["e"], expired["listenKey"]) == ("listenKeyExpired", key)
        futures_server.exchange.set_clock(0)
        await client.ask("POST", "v1/order", LIMIT)
        assert await client.quiet(socket)
    gone = await client.http.put("/fapi/v1/listenKey")
    assert (gone.status_code, gone.json()["code"]) == (400, -1125)
    assert await client.listen_key() != key
    await client.http.delete("/fapi/v1/listenKey")
    assert (await client.http.put("/fapi/v1/listenKey")).json()["code"] == -1125
    bare = await client.http.post("/fapi/v1/listenKey", headers={"X-MBX-APIKEY": "wrong"})
    assert (bare.status_code, bare.json()["code"]) == (401, -2015)


# -- the WebSocket API -----------------------------------------------------------------------------


async def test_orders_over_the_web_socket_api(client: FuturesClient) -> None:
    async with client.socket("/ws-fapi/v1") as socket:
        terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        placed = await client.call(
            socket, "order.place", **terms, quantity="0.01", price="50000", newClientOrderId="w"
        )
        assert placed["status"] == 200
        assert {x["interval"] for x in placed["rateLimits"]} == {"SECOND", "MINUTE"}
        number = placed["result"]["orderId"]
        changed = await client.call(
            socket, "order.modify", symbol="BTCUSDT", orderId=number, side="BUY",
            quantity="0.02", price="50000",
        )  # fmt: skip
        assert changed["result"]["origQty"] == "0.02"
        found = await client.call(socket, "order.status", symbol="BTCUSDT", origClientOrderId="w")
        assert found["result"]["status"] == "NEW"
        ended = await client.call(socket, "order.cancel", symbol="BTCUSDT", orderId=number)
        assert ended["result"]["status"] == "CANCELED"
        again = await client.call(socket, "order.cancel", symbol="BTCUSDT", orderId=number)
        assert (again["status"], again["error"]["code"]) == (400, -2011)
        algo = await client.call(
            socket, "algoOrder.place", algoType="CONDITIONAL", symbol="BTCUSDT", side="SELL",
            type="STOP_MARKET", triggerPrice="50000", quantity="0.01",
        )  # fmt: skip
        gone = await client.call(socket, "algoOrder.cancel", algoId=algo["result"]["algoId"])
        assert gone["result"]["msg"] == "success"


async def test_account_and_stream_over_the_web_socket_api(client: FuturesClient) -> None:
    async with client.socket("/ws-fapi/v1") as socket:
        (balance,) = (await client.call(socket, "v2/account.balance"))["result"]
        assert balance["balance"] == "100000"
        status = (await client.call(socket, "v2/account.status"))["result"]
        assert status["totalWalletBalance"] == "100000"
        assert (await client.call(socket, "v2/account.position"))["result"] == []
        answer = await client.call(socket, "userDataStream.start")
        key = answer["result"]["listenKey"]
        assert await client.listen_key() == key
        assert (await client.call(socket, "userDataStream.ping"))["status"] == 200
        assert (await client.call(socket, "userDataStream.stop"))["status"] == 200
        ended = await client.call(socket, "userDataStream.ping")
        assert ended["error"]["code"] == -1125
        logon = await client.call(socket, "session.logon")
        assert logon["error"]["code"] == -4056, "Ed25519 only"
        spot = await client.call(socket, "userDataStream.subscribe.signature")
        assert spot["status"] == 404
        await socket.send(json.dumps({"id": 1, "method": "time"}))
        assert (await client.receive(socket))["result"]["serverTime"] > 0


# -- what the venue and its operator do ------------------------------------------------------------


async def test_the_dead_man_s_switch_cancels_when_it_is_not_held(client: FuturesClient) -> None:
    await client.ask("POST", "v1/order", LIMIT)
    armed = await client.ask("POST", "v1/countdownCancelAll", "symbol=BTCUSDT&countdownTime=200")
    assert armed == {"symbol": "BTCUSDT", "countdownTime": "200"}
    async with asyncio.timeout(30):
        while await client.ask("GET", "v1/openOrders", "symbol=BTCUSDT"):
            await asyncio.sleep(0.02)
    (order,) = await client.ask("GET", "v1/allOrders", "symbol=BTCUSDT")
    assert order["status"] == "CANCELED"


async def test_money_moves_between_the_wallets(client: FuturesClient) -> None:
    before = (await client.ledger())["balances"]["USDT"]["free"]
    await client.admin("futures/transfer", amount="1000")
    await client.admin("futures/transfer", amount="-250.5")
    ledger = await client.ledger()
    assert float(before) - float(ledger["balances"]["USDT"]["free"]) == 749.5
    assert ledger["futures"]["wallet"] == "100749.5"
    assert [t["amount"] for t in ledger["futures"]["transfers"]] == ["1000", "-250.5"]
    assert [t["amount"] for t in ledger["transfers"]] == ["-1000.00000000", "250.50000000"]
    income = await client.ask("GET", "v1/income", "incomeType=TRANSFER")
    assert [i["income"] for i in income] == ["1000", "-250.5"]
    for amount in ("1000000", "-1000000", "0", "x"):
        response = await client.http.post("/admin/futures/transfer", json={"amount": amount})
        assert response.status_code == 400
        assert "amount" in response.json()["error"]


async def test_a_liquidation_is_told_to_the_user_and_to_the_public(client: FuturesClient) -> None:
    await client.ask("POST", "v1/order", MARKET)
    key = await client.listen_key()
    async with (
        client.socket(f"/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE") as private,
        client.socket("/market/ws/!forceOrder@arr") as public,
    ):
        await client.admin("futures/liquidate", symbol="BTCUSDT")
        new, fill = await client.receive(private), await client.receive(private)
        assert new["o"]["c"].startswith("autoclose-")
        assert (fill["o"]["x"], fill["o"]["o"]) == ("CALCULATED", "LIQUIDATION")
        assert "N" not in fill["o"], "no fee is told of a liquidation"
        forced = await client.receive(public)
        assert (forced["o"]["s"], forced["o"]["S"]) == ("BTCUSDT", "SELL")
    assert await client.ask("GET", "v3/positionRisk") == []


async def test_orders_by_hand_are_seen_as_external(client: FuturesClient) -> None:
    body = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.01"}
    placed = await client.admin("futures/orders", **body)
    assert (placed["status"], placed["clientOrderId"][:4]) == ("FILLED", "web_")


async def test_accounts_have_books_of_their_own(
    futures_server: Server, client: FuturesClient
) -> None:
    other = type(client)(futures_server.port, "key-2", b"secret-2")
    keys = await client.listen_key(), await other.listen_key()
    assert keys[0] != keys[1]
    async with (
        client.socket(f"/private/ws/{keys[0]}") as first,
        client.socket(f"/private/ws/{keys[1]}") as second,
    ):
        await other.ask("POST", "v1/order", MARKET)
        assert (await client.receive(second))["e"] == "ORDER_TRADE_UPDATE"
        assert await client.quiet(first)
    assert (await client.ledger())["futures"]["orders"] == []
    assert len((await client.ledger("second"))["futures"]["orders"]) == 1
    await other.close()


async def test_a_halted_symbol_takes_cancels_only(client: FuturesClient) -> None:
    placed = await client.ask("POST", "v1/order", LIMIT)
    await client.admin("symbol", symbol="BTCUSDT", status="HALT")
    named = f"symbol=BTCUSDT&orderId={placed['orderId']}"
    assert await client.fail("POST", "v1/order", LIMIT) == -1122
    assert await client.fail("POST", "v1/algoOrder", STOP) == -1122
    change = f"{named}&side=BUY&quantity=0.02&price=50001"
    assert await client.fail("PUT", "v1/order", change) == -1122
    info = (await client.http.get("/fapi/v1/exchangeInfo")).json()
    assert [s["status"] for s in info["symbols"]] == ["HALT", "TRADING", "TRADING"]
    assert (await client.ask("DELETE", "v1/order", named))["status"] == "CANCELED"


async def test_a_query_may_not_find_what_is_there(client: FuturesClient) -> None:
    placed = await client.ask("POST", "v1/order", LIMIT)
    await client.admin("faults", not_found=1.0)
    named = f"symbol=BTCUSDT&orderId={placed['orderId']}"
    assert await client.fail("GET", "v1/order", named) == -2013
    assert len(await client.ask("GET", "v1/openOrders")) == 1


# -- faults ----------------------------------------------------------------------------------------


async def test_overload_has_three_faces(client: FuturesClient) -> None:
    async def order(query: str = LIMIT) -> tuple[int, Json]:
        response = await client.send("POST", "v1/order", query)
        return response.status_code, response.json()

    await client.admin("faults", futures_unavailable=1.0)
    assert await order() == (503, {"code": -1000, "msg": "Service Unavailable."})
    assert (await client.ledger())["futures"]["orders"] == []
    await client.admin("faults", futures_throttled=1.0)
    status, body = await order()
    assert (status, body["code"]) == (503, -1008)
    assert (await order(LIMIT + "&reduceOnly=true"))[1]["code"] == -2022, "exempt, so looked at"
    await client.ask("DELETE", "v1/allOpenOrders", "symbol=BTCUSDT")
    await client.admin("faults", futures_unknown=1.0, seed=4)
    for number in range(8):
        status, body = await order(f"{LIMIT}&newClientOrderId=n{number}")
        assert (status, body["code"]) == (503, -1000)
        assert body["msg"].startswith("Unknown error, please check your request")
    await client.admin("faults")
    carried_out = len(await client.ask("GET", "v1/openOrders"))
    assert 0 < carried_out < 8
    async with client.socket("/ws-fapi/v1") as socket:
        await client.admin("faults", futures_unavailable=1.0)
        answer = await client.call(socket, "order.cancel", symbol="BTCUSDT", origClientOrderId="n1")
        assert (answer["status"], answer["error"]["msg"]) == (503, "Service Unavailable.")


async def test_lost_answers_and_dropped_events_of_futures(client: FuturesClient) -> None:
    key = await client.listen_key()
    async with client.socket(f"/private/ws/{key}") as stream, client.socket("/ws-fapi/v1") as api:
        await client.admin("faults", lose_answer=1.0, drop_user=1.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.call(
                    api, "order.place", symbol="BTCUSDT", side="BUY", type="MARKET",
                    quantity="0.01",
                )  # fmt: skip
        assert await client.quiet(stream)
        await client.admin("faults", duplicate_user=1.0)
        (order,) = (await client.ledger())["futures"]["orders"]
        assert order["status"] == "FILLED"
        await client.ask("POST", "v1/order", LIMIT)
        assert await client.receive(stream) == await client.receive(stream)


async def test_funding_comes_at_the_end_of_every_interval(
    new_client: type[FuturesClient],
) -> None:
    quick = FuturesConfig(funding_interval_ms=300)
    server = Server(
        ExchangeConfig(
            listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, intensity=0.0, futures=quick
        )
    )
    await server.start()
    client = new_client(server.port)
    await client.ask("POST", "v1/order", MARKET)
    async with asyncio.timeout(30):
        while len(await client.ask("GET", "v1/income", "incomeType=FUNDING_FEE")) < 2:
            await asyncio.sleep(0.05)
    income = await client.ask("GET", "v1/income", "incomeType=FUNDING_FEE")
    assert all(float(i["income"]) < 0 for i in income), "a long pays"
    await client.close()
    await server.close()
