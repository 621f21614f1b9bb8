"""Other people's Binance clients, unmodified but for the base URL, trade on the exchange.

Each test needs its client installed and is skipped where it is not; with TICKBUS_REQUIRE_CLIENTS=1
an absent client is a failure. Each tells the same story: ask for the rules, place, query and cancel
a limit order, trade at the market, and find it all in the account.
"""

import asyncio
import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

STARTS_WITHIN_S = 60.0
REQUIRED = os.environ.get("TICKBUS_REQUIRE_CLIENTS") == "1"
# Client and exchange may stand still for many seconds: no request is to be too late for that.
ANSWER_S = 60
WINDOW_MS = 60_000


def absent(what: str) -> NoReturn:
    """Skip the test, or fail it where clients are required."""
    if REQUIRED:
        pytest.fail(f"{what}, and TICKBUS_REQUIRE_CLIENTS=1")
    pytest.skip(what)


def client_module(name: str) -> Any:
    """Import a client; skip the test, or fail it where clients are required."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if name in OPTIONAL:
            pytest.skip(f"{name} is not installed")
        absent(f"{name} is not installed")


OPTIONAL = frozenset({"binance.spot", "ccxt.async_support", "ccxt.pro"})
"""Clients that are tried where they are there, and never required."""


class Place(NamedTuple):
    """Where the exchange listens, and the Ed25519 key pair of its second account."""

    port: int
    private_key: str

    def url(self, path: str = "", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


def a_key_pair() -> tuple[str, str]:
    """Return a private and a public key as PEM, both empty where no library can make them."""
    try:
        from cryptography.hazmat.primitives import serialization as pem
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        return "", ""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An exchange in a process of its own, so that clients that block can be used."""
    directory = tmp_path_factory.mktemp("clients")
    private_key, public_key = a_key_pair()
    keys = [{"key": "ed-key", "public_key": public_key}] if public_key else []
    second = {"name": "second", "balances": {"USDT": "50000", "BTC": "1"}, "keys": keys}
    accounts = directory / "accounts.json"
    accounts.write_text(json.dumps({"accounts": [second]}))
    log = directory / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "tickbus_exchange", "--port", "0", "--accounts", str(accounts)],
            stderr=sink,
        )
    try:
        yield Place(port_of(process, log), private_key)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Wait until the exchange tells where it listens."""
    for _ in range(int(STARTS_WITHIN_S * 20)):
        found = re.search(r"listening on http://[^:]+:(\d+)", log.read_text())
        if found:
            return int(found.group(1))
        if process.poll() is not None:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError(f"the exchange did not start: {log.read_text()}")


def ed25519(place: Place) -> str:
    """Return the private key, or skip where there is none."""
    if not place.private_key:
        absent("cryptography is not installed")
    return place.private_key


def balances_of(account: Any) -> dict[str, Decimal]:
    return {b["asset"]: Decimal(b["free"]) + Decimal(b["locked"]) for b in account["balances"]}


# -- python-binance --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def python_binance(place: Place, monkeypatch: pytest.MonkeyPatch, **keys: str) -> Any:
    """A client of python-binance that was made the usual way."""
    binance = client_module("binance")
    if not hasattr(binance, "AsyncClient"):
        absent("python-binance is not installed, but another package of the name binance")
    for name, url in (
        ("API_URL", place.url("/api")),
        ("WS_API_URL", place.url("/ws-api/v3", "ws")),
    ):
        monkeypatch.setattr(binance.AsyncClient, name, url)
    monkeypatch.setattr(binance.AsyncClient, "REQUEST_TIMEOUT", ANSWER_S)
    monkeypatch.setattr(binance.AsyncClient, "REQUEST_RECVWINDOW", WINDOW_MS)
    client = await binance.AsyncClient.create(**keys)
    client.ws_api.TIMEOUT = ANSWER_S
    sign = client._sign_ws_params
    monkeypatch.setattr(
        client, "_sign_ws_params", lambda p, how: sign({"recvWindow": WINDOW_MS, **p}, how)
    )
    try:
        yield client
    finally:
        # Else it waits as long as for an answer for a last message.
        client.ws_api.ws_state = client_module("binance.ws.constants").WSListenerState.EXITING
        if client.ws_api.ws is not None:
            await client.ws_api.ws.close()
        await client.close_connection()


HMAC = {"api_key": "sim-key", "api_secret": "sim-secret"}


async def test_python_binance_over_rest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with python_binance(place, monkeypatch, **HMAC) as client:
        info = await client.get_symbol_info("BTCUSDT")
        assert info["baseAsset"] == "BTC"
        order = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000")
        which = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
        assert (await client.get_order(**which))["status"] == "NEW"
        assert [o["orderId"] for o in await client.get_open_orders(symbol="BTCUSDT")] == [
            order["orderId"]
        ]
        amended = await client._put(
            "order/amend/keepPriority", True, data={**which, "newQty": "0.005"}
        )
        assert amended["amendedOrder"]["qty"] == "0.00500000"
        assert (await client.cancel_order(**which))["status"] == "CANCELED"
        bought = await client.order_market_buy(symbol="BTCUSDT", quantity="0.01")
        assert bought["status"] == "FILLED"
        trades = await client.get_my_trades(symbol="BTCUSDT", orderId=bought["orderId"])
        assert sum(Decimal(t["qty"]) for t in trades) == Decimal("0.01")
        assert Decimal((await client.get_asset_balance("USDT"))["locked"]) == 0


async def test_python_binance_is_told_why(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions = client_module("binance.exceptions")
    async with python_binance(place, monkeypatch, **HMAC) as client:
        with pytest.raises(exceptions.BinanceAPIException) as refused:
            await client.create_order(
                symbol="BTCUSDT", side="SELL", type="STOP_LOSS_LIMIT", timeInForce="GTC",
                quantity="0.01", price="90000", stopPrice="90000",
            )  # fmt: skip
        assert (refused.value.code, refused.value.message) == (
            -2010, "Stop price would trigger immediately.",
        )  # fmt: skip


async def test_python_binance_over_the_socket_hears_of_its_orders(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    binance = client_module("binance")
    async with (
        python_binance(place, monkeypatch, **HMAC) as client,
        binance.BinanceSocketManager(client).user_socket() as user,
    ):
        order = await client.ws_order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000")
        new = await asyncio.wait_for(user.recv(), 30)
        assert (new["e"], new["x"], new["i"]) == ("executionReport", "NEW", order["orderId"])
        which = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
        assert (await client.ws_get_order(**which))["status"] == "NEW"
        assert (await client.ws_cancel_order(**which))["status"] == "CANCELED"
        events = [await asyncio.wait_for(user.recv(), 30) for _ in range(3)]
        assert [e["e"] for e in events] == [
            "outboundAccountPosition", "executionReport", "outboundAccountPosition",
        ]  # fmt: skip
        assert events[1]["X"] == "CANCELED"


async def test_python_binance_signs_with_ed25519_for_another_account(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"api_key": "ed-key", "private_key": ed25519(place)}
    async with python_binance(place, monkeypatch, **keys) as client:
        assert balances_of(await client.get_account())["USDT"] == 50_000
        order = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000")
        assert (await client.ws_get_order(symbol="BTCUSDT", orderId=order["orderId"]))[
            "status"
        ] == ("NEW")
        await client.ws_cancel_order(symbol="BTCUSDT", orderId=order["orderId"])


# -- binance-sdk-spot, the venue's own -------------------------------------------------------------


def sdk(place: Place, **keys: str) -> Any:
    spot = client_module("binance_sdk_spot.spot")
    configuration = client_module("binance_common.configuration")
    return spot.Spot(
        config_rest_api=configuration.ConfigurationRestAPI(
            base_path=place.url(), timeout=ANSWER_S * 1_000, **keys
        ),
        config_ws_api=configuration.ConfigurationWebSocketAPI(
            stream_url=place.url("/ws-api/v3", "ws"), timeout=ANSWER_S * 1_000, **keys
        ),
    )


WITHIN = {"recv_window": float(WINDOW_MS)}


def test_sdk_spot_over_rest(place: Place) -> None:
    rest = sdk(place, **HMAC).rest_api
    (listed,) = rest.exchange_info(symbol="BTCUSDT").data().symbols
    assert listed.symbol == "BTCUSDT"
    order = rest.new_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01,
        price=50_000, **WITHIN,
    ).data()  # fmt: skip
    assert rest.get_order("BTCUSDT", order_id=order.order_id, **WITHIN).data().status == "NEW"
    amended = rest.order_amend_keep_priority(
        "BTCUSDT", new_qty=0.005, order_id=order.order_id, **WITHIN
    )
    assert amended.data().amended_order.qty == "0.00500000"
    assert len(rest.order_amendments("BTCUSDT", order.order_id, **WITHIN).data()) == 1
    working = rest.get_open_orders(symbol="BTCUSDT", **WITHIN).data()
    assert [o.order_id for o in working] == [order.order_id]
    cancelled = rest.delete_order("BTCUSDT", order_id=order.order_id, **WITHIN).data()
    assert cancelled.status == "CANCELED"
    bought = rest.new_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01, **WITHIN
    ).data()
    assert bought.status == "FILLED"
    mine = rest.my_trades(symbol="BTCUSDT", order_id=bought.order_id, **WITHIN).data()
    assert sum(Decimal(t.qty) for t in mine) == Decimal("0.01")
    assert rest.get_account(**WITHIN).data().can_trade is True


async def test_sdk_spot_over_a_logged_on_socket(place: Place) -> None:
    client = sdk(place, api_key="ed-key", private_key=ed25519(place))
    api = client.websocket_api
    await api.create_connection()
    try:
        assert (await api.session_logon(**WITHIN)).data().result.api_key == "ed-key"
        stream = await api.user_data_stream_subscribe()
        events: asyncio.Queue[Any] = asyncio.Queue()
        stream.stream.on("message", events.put_nowait)
        order = (
            await api.order_place(
                symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC",
                quantity=0.01, price=50_000, **WITHIN,
            )
        ).data().result  # fmt: skip
        await asyncio.wait_for(events.get(), 30)
        found = await api.order_status(symbol="BTCUSDT", order_id=order.order_id, **WITHIN)
        assert found.data().result.status == "NEW"
        gone = await api.order_cancel(symbol="BTCUSDT", order_id=order.order_id, **WITHIN)
        assert gone.data().result.status == "CANCELED"
        assert (await api.session_status()).data().result.user_data_stream is True
        await api.session_logout()
    finally:
        await api.close_connection()


# -- binance-connector -----------------------------------------------------------------------------


def test_binance_connector_over_rest(place: Place) -> None:
    client = client_module("binance.spot").Spot("sim-key", "sim-secret", base_url=place.url())
    order = client.new_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=50_000
    )
    assert client.get_order("BTCUSDT", orderId=order["orderId"])["status"] == "NEW"
    assert client.cancel_order("BTCUSDT", orderId=order["orderId"])["status"] == "CANCELED"
    bought = client.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    assert client.my_trades("BTCUSDT", orderId=bought["orderId"])


# -- ccxt ------------------------------------------------------------------------------------------


def ccxt_venue(module: Any, place: Place) -> Any:
    options = {"fetchMarkets": {"types": ["spot"]}}
    venue = module.binance({"apiKey": "sim-key", "secret": "sim-secret", "options": options})
    for name, url in venue.urls["api"].items():
        if isinstance(url, str):
            venue.urls["api"][name] = url.replace("https://api.binance.com", place.url())
    return venue


async def test_ccxt_over_rest(place: Place) -> None:
    ccxt = client_module("ccxt.async_support")
    venue = ccxt_venue(ccxt, place)
    try:
        order = await venue.create_order("BTC/USDT", "limit", "buy", 0.01, 50_000)
        assert (await venue.fetch_order(order["id"], "BTC/USDT"))["status"] == "open"
        assert [o["id"] for o in await venue.fetch_open_orders("BTC/USDT")] == [order["id"]]
        assert (await venue.cancel_order(order["id"], "BTC/USDT"))["status"] == "canceled"
        stop = await venue.create_order(
            "BTC/USDT", "limit", "sell", 0.01, 40_000, {"stopLossPrice": 41_000}
        )
        assert (await venue.fetch_order(stop["id"], "BTC/USDT"))["triggerPrice"] == 41_000
        await venue.cancel_all_orders("BTC/USDT")
        bought = await venue.create_order("BTC/USDT", "market", "buy", 0.01)
        assert bought["filled"] == 0.01
        assert (await venue.fetch_balance())["USDT"]["used"] == 0
        assert await venue.fetch_my_trades("BTC/USDT")
        with pytest.raises(ccxt.InsufficientFunds):
            await venue.create_order("BTC/USDT", "limit", "buy", 9, 60_000)
    finally:
        await venue.close()


async def test_ccxt_over_the_socket(place: Place) -> None:
    venue = ccxt_venue(client_module("ccxt.pro"), place)
    venue.urls["api"]["ws"]["spot"] = place.url("/ws", "ws")
    venue.urls["api"]["ws"]["ws-api"]["spot"] = place.url("/ws-api/v3", "ws")
    try:
        book = await asyncio.wait_for(venue.watch_order_book("BTC/USDT"), 30)
        assert book["bids"][0][0] < book["asks"][0][0]
        # The first call subscribes; it returns with the first change of an order.
        heard = asyncio.create_task(venue.watch_orders("BTC/USDT"))
        for _ in range(100):
            order = await venue.create_order_ws("BTC/USDT", "limit", "buy", 0.01, 50_000)
            gone = await venue.cancel_order_ws(order["id"], "BTC/USDT")
            assert gone["status"] == "canceled"
            if heard.done():
                break
        assert {o["symbol"] for o in await asyncio.wait_for(heard, 30)} == {"BTC/USDT"}
    finally:
        await venue.close()
