"""Whatever a client sends is answered, never a failure: an unforeseen one would stop the venue."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig, RateLimits
from tickbus_exchange.protocol.market_session import METHODS, MarketSession
from tickbus_exchange.protocol.operations import SIGNING
from tickbus_exchange.protocol.rest import HttpRequest
from tickbus_exchange.protocol.signing import sign
from tickbus_exchange.server import Server

NOW_MS = 1_800_000_000_000
ENDLESS = RateLimits(
    weight_per_minute_max=10**12, orders_per_10s_max=10**12, orders_per_day_max=10**12
)
CONFIG = ExchangeConfig(
    listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, intensity=0.0, rate_limits=ENDLESS
)
EXCHANGE = Exchange(CONFIG, lambda: NOW_MS)
ROUTES = sorted(EXCHANGE.operations.rest)
NAMES = sorted({n for o in EXCHANGE.operations.rest.values() for n in o.names} - SIGNING)
VALUES = st.one_of(
    st.sampled_from(
        [
            "", "BTCUSDT", "ETHUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "GTC", "IOC",
            "FOK", "0.01", "60000", "59000.01", "100", "0", "-1", "1e9", "NaN", "²", "9" * 19,
            "9" * 5_000, "0." + "0" * 30, "true", "null", '["BTCUSDT"]', "[" * 5_000, "ACK", "FULL",
            "1m", "1s", "STOP_ON_FAILURE", "ALLOW_FAILURE", "ONLY_NEW", "EXPIRE_BOTH", "%", "%zz",
            "a b", "+", "%00", "😀", "%ed%a0%80",
        ]
    ),
    st.text(max_size=20).filter(lambda s: "&" not in s),
)  # fmt: skip
PAIRS = st.dictionaries(st.sampled_from([*NAMES, "recvWindow"]), VALUES, max_size=12)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ROUTES), PAIRS, st.booleans())
def test_any_parameters_get_an_answer_over_rest(
    route: tuple[str, str], values: dict[str, str], signed: bool
) -> None:
    query = "&".join(f"{k}={v}" for k, v in values.items()).encode()
    if signed:
        query += b"&timestamp=%d" % NOW_MS
        query += b"&signature=" + sign(b"sim-secret", query).encode()
    request = HttpRequest(*route, query, {b"x-mbx-apikey": b"sim-key"}, b"", "here")
    response = EXCHANGE.rest.handle(request)
    answer = json.loads(response.body)
    assert response.status == 200 or (answer["code"] < 0 and answer["msg"])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=20))
def test_any_bytes_get_an_answer_over_rest(query: bytes, body: bytes, key: bytes) -> None:
    request = HttpRequest("POST", "/api/v3/order", query, {b"x-mbx-apikey": key}, body, "here")
    assert EXCHANGE.rest.handle(request).status in {400, 401}


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
SOCKET_METHODS = st.sampled_from(
    [*sorted(EXCHANGE.operations.socket), "session.logon", "session.status",
     "session.subscriptions", "userDataStream.subscribe", "userDataStream.subscribe.signature",
     "userDataStream.unsubscribe", *METHODS]
)  # fmt: skip
MESSAGES = st.one_of(
    st.text(max_size=40),
    st.just("[" * 60_000),
    JSONS.map(json.dumps),
    st.fixed_dictionaries(
        {"method": SOCKET_METHODS | JSONS},
        optional={
            "id": JSONS,
            "params": JSONS | st.dictionaries(st.sampled_from(NAMES), VALUES | JSONS),
        },
    ).map(json.dumps),
)


@settings(max_examples=400, deadline=None)
@given(MESSAGES)
def test_any_message_gets_an_answer_over_both_sockets(message: str) -> None:
    sent: list[bytes] = []
    api = EXCHANGE.api_session("here", sent.append)
    market = MarketSession(EXCHANGE.hub, sent.append, "/ws", "")
    api.on_text(message)
    market.on_text(message)
    api.close()
    market.close()
    assert len(sent) == 2


# -- on the wire -----------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(CONFIG)
    await server.start()
    yield server
    await server.close()
    assert server.failure is None


async def exchange_bytes(server: Server, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\x00\xff\x00", b"HTTP/1.1 400"),
        (b"GET / SPDY/3\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\n" + b"x-a: " + b"b" * 40_000 + b"\r\n\r\n", b"HTTP/1.1 400"),
        (UPGRADE.replace(b"13", b"12"), b"HTTP/1.1 400"),
        (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), b"HTTP/1.1 400"),
        (UPGRADE.replace(b"GET /ws", b"GET /elsewhere"), b"HTTP/1.1 404"),
        (UPGRADE.replace(b"websocket", b"h2c").replace(b"/ws", b"/api/v3/ping"), b"HTTP/1.1 200"),
        (UPGRADE + b"\xff\xff\xff\xff", b"HTTP/1.1 101"),
        (UPGRADE + b"\x81\x05hello", b"HTTP/1.1 101"),
    ],
)
async def test_malformed_bytes_are_answered_and_survived(
    server: Server, data: bytes, answer: bytes
) -> None:
    assert (await exchange_bytes(server, data)).startswith(answer)
    assert (await exchange_bytes(server, b"GET /healthz HTTP/1.1\r\n\r\n"))[:15] == (
        b"HTTP/1.1 200 OK"
    )


async def test_a_message_may_come_in_pieces(server: Server) -> None:
    url = f"ws://127.0.0.1:{server.port}/ws-api/v3"
    async with connect(url, open_timeout=60) as socket:
        await socket.send(['{"id":1,', '"method"', ':"ping"}'])
        answer = json.loads(await asyncio.wait_for(socket.recv(), 30))
    assert answer["result"] == {}
