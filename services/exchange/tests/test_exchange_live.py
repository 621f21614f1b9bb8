"""The exchange over loopback, as a client sees it, with httpx and websockets."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tickbus_exchange import connection
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.protocol.signing import sign, socket_payload
from tickbus_exchange.server import Server

Json = dict[str, Any]
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000"
MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"


class Client:
    """A small trader's client."""

    def __init__(self, port: int) -> None:
        self.url = f"127.0.0.1:{port}"
        self.http = httpx.AsyncClient(
            base_url=f"http://{self.url}", headers={"X-MBX-APIKEY": "sim-key"}, timeout=30
        )

    async def signed(self, method: str, path: str, query: str = "") -> httpx.Response:
        # Good for longer than a machine that tests share stands still.
        now_ms = time.time_ns() // 1_000_000
        query = f"{query}&recvWindow=60000&timestamp={now_ms}".lstrip("&")
        signature = sign(b"sim-secret", query.encode())
        return await self.http.request(method, f"/api/v3/{path}?{query}&signature={signature}")

    async def get(self, path: str) -> Json:
        answer: Json = (await self.http.get(path)).json()
        return answer

    def socket(self, path: str) -> connect:
        return connect(f"ws://{self.url}{path}", compression=None, open_timeout=60)


async def call(
    socket_: ClientConnection, method: str, *, sign_it: bool = True, **p: object
) -> Json:
    """Send a WebSocket API request and return its answer, passing over events."""
    if sign_it:
        p |= {
            "apiKey": "sim-key", "timestamp": time.time_ns() // 1_000_000, "recvWindow": 60_000,
        }  # fmt: skip
        texts = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in p.items()}
        p["signature"] = sign(b"sim-secret", socket_payload(texts))
    await socket_.send(json.dumps({"id": method, "method": method, "params": p}))
    while True:
        message = await receive(socket_)
        if "id" in message:
            return message


async def receive(socket_: ClientConnection) -> Json:
    message: Json = json.loads(await asyncio.wait_for(socket_.recv(), 30))
    return message


async def the_end(socket_: ClientConnection) -> int | None:
    """Read on until the server closes; return the close code it sent, if any."""
    try:
        while True:
            await receive(socket_)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    config = ExchangeConfig(listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, seed=5)
    server = Server(config)
    await server.start()
    yield server
    await server.close()
    assert server.failure is None


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    client = Client(server.port)
    yield client
    await client.http.aclose()


async def test_life_of_an_order_over_rest(client: Client) -> None:
    answer = await client.signed("POST", "order", LIMIT + "&newClientOrderId=mine")
    assert answer.status_code == 200
    assert answer.headers["x-mbx-order-count-10s"] == "1"
    order = answer.json()
    assert (order["status"], order["fills"]) == ("NEW", [])
    duplicate = await client.signed("POST", "order", LIMIT + "&newClientOrderId=mine")
    assert (duplicate.status_code, duplicate.json()) == (
        400,
        {"code": -2010, "msg": "Duplicate order sent."},
    )
    working = (await client.signed("GET", "openOrders", "symbol=BTCUSDT")).json()
    assert [o["clientOrderId"] for o in working] == ["mine"]
    balances = (await client.signed("GET", "account")).json()["balances"]
    assert {"asset": "USDT", "free": "99500.00000000", "locked": "500.00000000"} in balances
    gone = await client.signed("DELETE", "order", "symbol=BTCUSDT&origClientOrderId=mine")
    assert (gone.json()["status"], gone.json()["origClientOrderId"]) == ("CANCELED", "mine")
    again = await client.signed("DELETE", "order", "symbol=BTCUSDT&origClientOrderId=mine")
    assert again.json() == {"code": -2011, "msg": "Unknown order sent."}
    status = await client.signed("GET", "order", "symbol=BTCUSDT&origClientOrderId=mine")
    assert status.json()["status"] == "CANCELED"


async def test_bad_requests_leave_the_exchange_running(client: Client) -> None:
    bad = await client.http.get("/api/v3/account?timestamp=1&signature=abc")
    assert (bad.status_code, bad.json()["code"]) == (400, -1022)
    assert (await client.get("/api/v3/depth?symbol=NOPE"))["code"] == -1121
    assert (await client.http.post("/api/v3/order", content=b"\xff\xfe")).status_code == 400
    late = f"timestamp={time.time_ns() // 1_000_000 - 60_000}"
    signature = sign(b"sim-secret", late.encode())
    answer = await client.get(f"/api/v3/account?{late}&signature={signature}")
    assert answer["code"] == -1021
    reader, writer = await asyncio.open_connection(*client.url.split(":"))
    writer.write(b"NOT HTTP\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 400")
    writer.close()
    big = await client.http.post("/api/v3/order", content=b"a=" + b"x" * 100_000)
    assert big.status_code == 400
    assert await client.get("/healthz") == {"status": "ok"}


async def test_a_client_can_keep_a_book_by_binance_s_rule(client: Client) -> None:
    async with client.socket("/ws/btcusdt@depth@100ms") as stream:
        diffs = [await receive(stream)]
        snapshot = await client.get("/api/v3/depth?symbol=BTCUSDT&limit=5000")
        book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        last = snapshot["lastUpdateId"]
        assert last >= diffs[0]["U"]
        applied = 0
        while applied < 15:
            diffs.append(await receive(stream))
            assert diffs[-1]["U"] == diffs[-2]["u"] + 1
            if diffs[-1]["u"] <= last:
                continue
            assert diffs[-1]["U"] <= last + 1
            for side, key in (("bids", "b"), ("asks", "a")):
                for price, quantity in diffs[-1][key]:
                    book[side][price] = quantity
                    if Decimal(quantity) == 0:
                        del book[side][price]
            last = diffs[-1]["u"]
            applied += 1
            assert max(map(Decimal, book["bids"])) < min(map(Decimal, book["asks"]))
        # The crowd pauses with its symbol: no diff is newer than the snapshot.
        await client.http.post("/admin/symbol", json={"symbol": "BTCUSDT", "status": "HALT"})
        truth = await client.get("/api/v3/depth?symbol=BTCUSDT&limit=5000")
        while last < truth["lastUpdateId"]:
            diff = await receive(stream)
            last = diff["u"]
            for side, key in (("bids", "b"), ("asks", "a")):
                book[side] |= dict(diff[key])
        assert last == truth["lastUpdateId"]
        for side, levels in book.items():
            assert {p: q for p, q in levels.items() if Decimal(q)} == dict(truth[side])


async def test_user_events_arrive_before_the_answer_and_tell_the_whole_story(
    client: Client,
) -> None:
    async with client.socket("/ws-api/v3") as user:
        answer = await call(user, "userDataStream.subscribe.signature")
        assert (answer["status"], answer["result"]) == (200, {"subscriptionId": 0})
        again = await call(user, "userDataStream.subscribe.signature")
        assert again["error"]["code"] == -2035
        # So small that one level of the book fills it.
        small = MARKET.replace("0.01", "0.0001")
        order = (await client.signed("POST", "order", small)).json()
        events = [(await receive(user))["event"] for _ in range(4)]
        new, locked, trade, position = events
        assert (new["x"], new["i"]) == ("NEW", order["orderId"])
        assert locked["e"] == position["e"] == "outboundAccountPosition"
        fill = order["fills"][0]
        told = {k: trade[k] for k in ("x", "X", "l", "L", "n", "N", "t", "m", "z")}
        assert told == {
            "x": "TRADE", "X": "FILLED", "l": fill["qty"], "L": fill["price"],
            "n": fill["commission"], "N": "BTC", "t": fill["tradeId"], "m": False,
            "z": "0.00010000",
        }  # fmt: skip
        balances = (await client.signed("GET", "account")).json()["balances"]
        for held in position["B"]:
            same = {"asset": held["a"], "free": held["f"], "locked": held["l"]}
            assert same in balances
        assert (await call(user, "userDataStream.unsubscribe", sign_it=False))["status"] == 200
        await client.signed("POST", "order", MARKET)
        assert (await call(user, "ping", sign_it=False))["result"] == {}


async def test_the_web_socket_api_trades_like_rest(client: Client) -> None:
    async with client.socket("/ws-api/v3") as api:
        terms: Json = dict(pair.split("=") for pair in LIMIT.split("&"))
        order = await call(api, "order.place", **terms)
        assert (order["status"], order["result"]["status"]) == (200, "NEW")
        assert {r["rateLimitType"] for r in order["rateLimits"]} == {"ORDERS", "REQUEST_WEIGHT"}
        quiet = await call(api, "account.status", returnRateLimits=False)
        assert quiet["status"] == 200
        assert "rateLimits" not in quiet
        which = {"symbol": "BTCUSDT", "orderId": order["result"]["orderId"]}
        assert (await call(api, "order.status", **which))["result"]["status"] == "NEW"
        assert len((await call(api, "openOrders.status"))["result"]) == 1
        assert (await call(api, "order.cancel", **which))["result"]["status"] == "CANCELED"
        refused = await call(api, "order.cancel", **which)
        assert (refused["status"], refused["error"]["code"]) == (400, -2011)
        assert "balances" in (await call(api, "account.status"))["result"]
        unsigned = await call(api, "account.status", sign_it=False, apiKey="sim-key", signature="x")
        assert unsigned["error"]["code"] == -1102
        logon = await call(api, "session.logon")
        assert logon["error"]["code"] == -4056
        assert (await call(api, "no.such"))["error"]["code"] == -5000
        await api.send("{")
        assert (await receive(api))["error"]["code"] == -1135


async def test_faults_on_demand(client: Client) -> None:
    async with client.socket("/ws/btcusdt@depth@100ms") as stream:
        before = await receive(stream)
        answer = await client.http.post("/admin/gap", json={"symbol": "BTCUSDT"})
        assert answer.status_code == 200
        gap = False
        while not gap:
            after = await receive(stream)
            gap = after["U"] != before["u"] + 1
            before = after
        assert (await client.http.post("/admin/gap", json={})).status_code == 400
        assert (await client.http.post("/admin/disconnect")).json() == {"disconnected": 1}
        await the_end(stream)


async def test_the_ledger_agrees_with_what_the_client_was_told(client: Client) -> None:
    for query in (MARKET, MARKET.replace("BUY", "SELL"), LIMIT):
        await client.signed("POST", "order", query)
    ledger = await client.get("/admin/ledger")
    account = (await client.signed("GET", "account")).json()
    assert {b["asset"]: b["free"] for b in account["balances"]} == {
        a: b["free"] for a, b in ledger["balances"].items()
    }
    assert ledger["orders"] == (await client.signed("GET", "allOrders", "symbol=BTCUSDT")).json()
    assert ledger["fills"] == (await client.signed("GET", "myTrades", "symbol=BTCUSDT")).json()
    held = {a: Decimal(v) for a, v in ledger["initial_balances"].items()}
    for fill in ledger["fills"]:
        sign_ = 1 if fill["isBuyer"] else -1
        held["BTC"] += sign_ * Decimal(fill["qty"])
        held["USDT"] -= sign_ * Decimal(fill["quoteQty"])
        held[fill["commissionAsset"]] -= Decimal(fill["commission"])
    assert held == {a: Decimal(b["total"]) for a, b in ledger["balances"].items()}


async def test_metrics_and_unknown_sockets(client: Client) -> None:
    await client.get("/api/v3/ping")
    metrics = (await client.http.get("/metrics")).text
    assert 'tickbus_exchange_requests_total{request="GET /api/v3/ping",status="200"} 1' in metrics
    with pytest.raises(InvalidStatus):
        await client.socket("/elsewhere").__aenter__()


async def test_too_many_control_messages_are_a_disconnect(client: Client) -> None:
    async with client.socket("/ws") as stream:
        for i in range(20):
            await stream.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": i}))
        assert await the_end(stream) == 1008


async def test_a_client_that_does_not_read_is_dropped_and_delays_nobody(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WRITE_BUFFER_MAX", 2_000)
    with socket.create_connection(tuple(client.url.split(":"))) as lazy:  # type: ignore[arg-type]
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
        streams = "/".join(f"{s}usdt@depth20@100ms" for s in ("btc", "eth", "sol"))
        lazy.sendall(
            f"GET /stream?streams={streams} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        deadline = time.monotonic() + 30
        while not server.exchange.slow_clients_total and time.monotonic() < deadline:
            for _ in range(200):
                server.exchange.hub.every_100ms()
            await client.get("/api/v3/ping")
            await asyncio.sleep(0.01)
    assert server.exchange.slow_clients_total == 1


async def test_a_client_that_does_not_answer_pings_is_dropped_and_another_stays(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PING_EVERY_S", 0.0)
    async with client.socket("/ws-api/v3") as alive:
        reader, writer = await asyncio.open_connection(*client.url.split(":"))
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await asyncio.wait_for(reader.readuntil(b"\x89"), 30)  # both were pinged
        monkeypatch.setattr(connection, "PING_EVERY_S", 3600.0)
        async with asyncio.timeout(30):
            while sum(not c._ponged for c in server._connections) > 1:
                await asyncio.sleep(0.01)
        # However long the answer took: the time of who gave it is no more looked at.
        monkeypatch.setattr(connection, "PONG_WITHIN_S", 0.0)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        assert (await call(alive, "ping", sign_it=False))["result"] == {}
    writer.close()


async def test_a_url_with_too_many_streams_is_refused(client: Client) -> None:
    streams = "/".join(f"x{i}" for i in range(1_025))
    async with client.socket(f"/stream?streams={streams}") as stream:
        assert await the_end(stream) == 1008


async def test_a_planned_stop_is_announced() -> None:
    server = Server(ExchangeConfig(listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES))
    await server.start()
    client = Client(server.port)
    async with client.socket("/ws") as raw, client.socket("/ws-api/v3") as api:
        await server.close()
        assert (await receive(raw))["e"] == "serverShutdown"
        assert (await receive(api))["event"]["e"] == "serverShutdown"
        with pytest.raises(ConnectionClosed):
            await receive(raw)
    await client.http.aclose()


async def test_books_that_cannot_be_written_stop_the_exchange(tmp_path: Path) -> None:
    config = ExchangeConfig(
        listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, state_dir=tmp_path, intensity=0.0
    )
    server = Server(config)
    await server.start()
    client = Client(server.port)
    journal = server.exchange.journal
    assert journal is not None

    def full(reports: object) -> None:
        raise OSError(28, "No space left on device")

    journal.on_reports = full  # type: ignore[method-assign]
    answer = await client.signed("POST", "order", LIMIT)
    assert (answer.status_code, answer.json()["code"]) == (500, -1000)
    await asyncio.wait_for(server.wait(), 30)
    assert isinstance(server.failure, OSError)
    await client.http.aclose()
    await server.close()


# -- as a process ----------------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tickbus_exchange", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        if "listening on" in line:
            return int(line.split(",")[-2].rsplit(":", 1)[1])
    raise AssertionError(f"did not start: exit code {process.wait()}")


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = start("--port", "0", *arguments)
    try:
        yield process, port_of(process)
    finally:
        process.kill()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()


async def test_a_killed_process_comes_back_with_the_same_books(tmp_path: Path) -> None:
    arguments = ("--state-dir", str(tmp_path))
    with running(*arguments) as (process, port):
        client = Client(port)
        for query in (MARKET, LIMIT):
            assert (await client.signed("POST", "order", query)).status_code == 200
        before = await client.get("/admin/ledger")
        process.send_signal(signal.SIGKILL)
        await client.http.aclose()
    with running(*arguments) as (process, port):
        client = Client(port)
        after = await client.get("/admin/ledger")
        for key in ("initial_balances", "balances", "fees", "orders", "fills"):
            assert after[key] == before[key]
        working = (await client.signed("GET", "openOrders")).json()
        assert [o["price"] for o in working] == ["50000.00000000"]
        cancel = f"symbol=BTCUSDT&orderId={working[0]['orderId']}"
        assert (await client.signed("DELETE", "order", cancel)).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        await client.http.aclose()


def test_a_port_in_use_is_one_clear_message_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        _, message = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message.strip().splitlines() == [
        f"tickbus-exchange: port {port} on 127.0.0.1 is in use; stop its owner or choose --port"
    ]


async def test_an_outage_cuts_everybody_and_answers_the_administrator_alone(
    client: Client,
) -> None:
    async with client.socket("/ws/btcusdt@trade") as stream:
        answer = await client.http.post("/admin/outage", json={"seconds": 600})
        assert answer.json() == {"disconnected": 1}
        await the_end(stream)
    with pytest.raises(httpx.TransportError):
        await client.get("/api/v3/ping")
    with pytest.raises((InvalidMessage, ConnectionClosed, OSError)):
        await client.socket("/ws-api/v3").__aenter__()
    assert "balances" in await client.get("/admin/ledger")
    assert (await client.http.post("/admin/outage", json={"seconds": 0})).status_code == 200
    assert await client.get("/api/v3/ping") == {}
    assert (await client.http.post("/admin/outage", json={"minutes": 1})).status_code == 400


async def test_a_planned_stop_is_announced_then_closes_who_was_there(client: Client) -> None:
    async with (
        client.socket("/ws/btcusdt@kline_1m") as stream,
        client.socket("/ws-api/v3") as api,
    ):
        answer = await client.http.post("/admin/shutdown-notice", json={"seconds": 0.2})
        assert answer.json() == {"announced": 2}
        assert (await receive(api))["event"]["e"] == "serverShutdown"
        async with client.socket("/ws-api/v3") as fresh:
            assert await the_end(api) == await the_end(stream) == 1001
            assert (await call(fresh, "ping", sign_it=False))["result"] == {}


async def test_lost_and_late_answers_over_rest(client: Client) -> None:
    await client.http.post("/admin/faults", json={"lose_answer": 1.0, "seed": 2})
    client.http.timeout = httpx.Timeout(30, read=0.5)
    for _ in range(6):
        with pytest.raises((httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError)):
            await client.signed("POST", "order", LIMIT)
    client.http.timeout = httpx.Timeout(30)
    await client.http.post("/admin/faults", json={"delay_ms": 60, "delay_jitter_ms": 20})
    late = [client.signed("GET", "openOrders") for _ in range(3)]
    assert [len(r.json()) for r in await asyncio.gather(*late)] == [6, 6, 6]
    counts = (await client.get("/admin/faults"))["counts"]
    assert (counts["lose_answer"], counts["delay"]) == (6, 3)


async def test_a_socket_is_closed_at_its_age_limit() -> None:
    config = ExchangeConfig(
        listings=DEFAULT_LISTINGS[:1], balances=DEFAULT_BALANCES, socket_life_s=0.001
    )
    server = Server(config)
    await server.start()
    try:
        async with Client(server.port).socket("/ws-api/v3") as api:
            assert await the_end(api) == 1001
    finally:
        await server.close()
