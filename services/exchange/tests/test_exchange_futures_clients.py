"""Other people's futures clients, unmodified but for the base URL, against the exchange.

Each test is skipped where its client is not installed; with CI_REQUIRE_CLIENTS=1 the absence of
python-binance is a failure.
"""

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

SYMBOL = "BTCUSDT"
SDK = "binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures"
KEY, SECRET = "sim-key", "sim-secret"
# Client and exchange may stand still for many seconds: no request is to be too late for that.
ANSWER_S = 60
WINDOW_MS = 60_000
WITHIN = {"recv_window": WINDOW_MS}


def client_module(name: str, distribution: str, *, required: bool = False) -> Any:
    """Import a client; skip the test, or fail it where the client is required."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if required and os.environ.get("CI_REQUIRE_CLIENTS") == "1":
            pytest.fail(f"{distribution} is not installed, and CI_REQUIRE_CLIENTS=1")
        pytest.skip(f"{distribution} is not installed")


@pytest.fixture
def address() -> Iterator[str]:
    """An exchange in a process of its own."""
    command = [sys.executable, "-m", "tickbus_exchange", "--port", "0", "--seed", "5"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = (line for line in process.stderr if "listening on" in line)
    line = next(lines, None)
    assert line is not None, f"did not start: exit code {process.wait()}"
    yield line.split(",")[-2].rsplit("/", 1)[1]
    process.kill()
    process.wait(30)
    process.stderr.close()


def test_the_venue_s_own_sdk_trades_over_rest(address: str) -> None:
    sdk = client_module(SDK, "binance-sdk-derivatives-trading-usds-futures", required=True)
    configuration = client_module("binance_common.configuration", "binance-common")
    rest = sdk.DerivativesTradingUsdsFutures(
        configuration.ConfigurationRestAPI(
            api_key=KEY, api_secret=SECRET, base_path=f"http://{address}", timeout=ANSWER_S * 1_000
        )
    ).rest_api
    placed = rest.new_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01,
        price=50_000.0, new_client_order_id="sdk-1", **WITHIN,
    ).data()  # fmt: skip
    assert (placed.client_order_id, placed.status) == ("sdk-1", "NEW")
    (working,) = rest.current_all_open_orders(symbol=SYMBOL, **WITHIN).data()
    assert working.order_id == placed.order_id
    rest.modify_order(
        symbol=SYMBOL, side="BUY", quantity=0.02, price=50_001.0, order_id=placed.order_id, **WITHIN
    )
    found = rest.query_order(symbol=SYMBOL, orig_client_order_id="sdk-1", **WITHIN).data()
    assert (found.orig_qty, found.price) == ("0.02", "50001")
    ended = rest.cancel_order(symbol=SYMBOL, order_id=placed.order_id, **WITHIN).data()
    assert ended.status == "CANCELED"
    rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, **WITHIN)
    (trade,) = rest.account_trade_list(symbol=SYMBOL, **WITHIN).data()[:1]
    assert trade.commission_asset == "USDT"
    (position,) = rest.position_information_v3(**WITHIN).data()
    assert position.position_amt == "0.01"
    account = rest.account_information_v3(**WITHIN).data()
    assert float(account.total_wallet_balance) < 100_000
    algo = rest.new_algo_order(
        algo_type="CONDITIONAL", symbol=SYMBOL, side="SELL", type="STOP_MARKET",
        trigger_price=40_000.0, quantity=0.01, **WITHIN,
    ).data()  # fmt: skip
    assert algo.algo_status == "NEW"
    (waiting,) = rest.current_all_algo_open_orders(symbol=SYMBOL, **WITHIN).data()
    assert waiting.algo_id == algo.algo_id
    rest.cancel_algo_order(algo_id=algo.algo_id, **WITHIN)
    rest.auto_cancel_all_open_orders(symbol=SYMBOL, countdown_time=10_000, **WITHIN)
    assert len(rest.start_user_data_stream().data().listen_key) == 64


async def test_the_venue_s_own_sdk_trades_over_sockets(address: str) -> None:
    sdk = client_module(SDK, "binance-sdk-derivatives-trading-usds-futures", required=True)
    configuration = client_module("binance_common.configuration", "binance-common")
    venue = sdk.DerivativesTradingUsdsFutures(
        config_ws_api=configuration.ConfigurationWebSocketAPI(
            api_key=KEY,
            api_secret=SECRET,
            stream_url=f"ws://{address}/ws-fapi/v1",
            timeout=ANSWER_S * 1_000,
        ),
        config_ws_streams=configuration.ConfigurationWebSocketStreams(stream_url=f"ws://{address}"),
    )
    api = await venue.websocket_api.create_connection()
    started = await api.start_user_data_stream()
    streams = await venue.websocket_streams.create_connection()
    events: asyncio.Queue[Any] = asyncio.Queue()
    stream = await streams.user_data(started.data().result.listen_key)
    stream.on("message", events.put_nowait)
    placed = await api.new_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01,
        price=50_000.0, new_client_order_id="sdk-2", **WITHIN,
    )  # fmt: skip
    assert placed.data().result.client_order_id == "sdk-2"
    event = await asyncio.wait_for(events.get(), 30)
    assert "sdk-2" in str(event)
    found = await api.query_order(symbol=SYMBOL, orig_client_order_id="sdk-2", **WITHIN)
    assert found.data().result.status == "NEW"
    ended = await api.cancel_order(symbol=SYMBOL, orig_client_order_id="sdk-2", **WITHIN)
    assert ended.data().result.status == "CANCELED"
    (balance,) = (await api.futures_account_balance_v2(**WITHIN)).data().result
    assert balance.balance == "100000"
    await streams.close_connection(close_session=True)
    await api.close_connection(close_session=True)


def test_the_small_connector_trades(address: str) -> None:
    connector = client_module("binance.um_futures", "binance-futures-connector")
    client = connector.UMFutures(KEY, SECRET, base_url=f"http://{address}")
    placed = client.new_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=50_000
    )
    assert placed["status"] == "NEW"
    assert client.query_order(SYMBOL, orderId=placed["orderId"])["origQty"] == "0.01"
    assert client.get_orders(symbol=SYMBOL)[0]["orderId"] == placed["orderId"]
    assert client.cancel_order(SYMBOL, orderId=placed["orderId"])["status"] == "CANCELED"
    order = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    (first, _) = client.new_batch_order([order, order])
    assert first["symbol"] == SYMBOL
    assert client.get_position_risk(symbol=SYMBOL)[0]["positionAmt"] == "0.02"
    assert len(client.get_account_trades(SYMBOL)) >= 2
    assert client.change_leverage(SYMBOL, 10)["leverage"] == 10
    client.countdown_cancel_order(SYMBOL, 5_000)
    key = client.new_listen_key()["listenKey"]
    assert client.renew_listen_key(key)["listenKey"] == key
    with pytest.raises(Exception, match="-4120"):
        client.new_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", stopPrice=40_000, quantity=0.01
        )


def test_python_binance_trades(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = client_module("binance.client", "python-binance", required=True)
    monkeypatch.setattr(module.Client, "API_URL", f"http://{address}/api")
    monkeypatch.setattr(module.Client, "FUTURES_URL", f"http://{address}/fapi")
    monkeypatch.setattr(module.Client, "REQUEST_TIMEOUT", ANSWER_S)
    monkeypatch.setattr(module.Client, "REQUEST_RECVWINDOW", WINDOW_MS)
    client = module.Client(KEY, SECRET)
    placed = client.futures_create_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=50_000
    )
    assert placed["status"] == "NEW"
    assert len(client.futures_get_open_orders(symbol=SYMBOL)) == 1
    ended = client.futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert ended["status"] == "CANCELED"
    client.futures_create_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01)
    (position,) = client.futures_position_information()
    assert position["positionAmt"] == "-0.01"
    assert client.futures_account_trades(symbol=SYMBOL)[0]["side"] == "SELL"
    stop = client.futures_create_order(
        symbol=SYMBOL, side="BUY", type="STOP_MARKET", stopPrice=70_000, quantity=0.01
    )
    assert stop["algoStatus"] == "NEW"
    client.futures_cancel_algo_order(symbol=SYMBOL, algoId=stop["algoId"])
    assert float(client.futures_account_balance()[0]["balance"]) < 100_000
    assert client.futures_stream_get_listen_key()


def test_ccxt_trades(address: str) -> None:
    ccxt = client_module("ccxt", "ccxt")
    client = ccxt.binanceusdm({"apiKey": KEY, "secret": SECRET})
    for name, url in client.urls["api"].items():
        if name.startswith("fapi"):
            client.urls["api"][name] = f"http://{address}/fapi/{url.rsplit('/', 1)[1]}"
    client.options["fetchCurrencies"] = False
    symbol = "BTC/USDT:USDT"
    assert symbol in client.load_markets()
    placed = client.create_order(symbol, "limit", "buy", 0.01, 50_000)
    assert client.fetch_order(placed["id"], symbol)["status"] == "open"
    assert len(client.fetch_open_orders(symbol)) == 1
    assert client.cancel_order(placed["id"], symbol)["status"] == "canceled"
    client.create_order(symbol, "market", "buy", 0.01)
    (position,) = [p for p in client.fetch_positions([symbol]) if p["contracts"]]
    assert position["contracts"] == 0.01
    assert client.fetch_my_trades(symbol)[0]["fee"]["currency"] == "USDT"
    assert 0 < client.fetch_balance()["USDT"]["total"] < 100_000
    client.set_leverage(10, symbol)
