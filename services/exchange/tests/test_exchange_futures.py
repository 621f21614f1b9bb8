"""The exchange as USD-M futures: routes, numbered diffs, mark prices, liquidations, REST."""

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.protocol.futures import route_of
from tickbus_exchange.server import Server

PUBLIC = ("btcusdt@depth@100ms", "btcusdt@bookTicker")
MARKET = ("btcusdt@aggTrade", "btcusdt@markPrice@1s", "!forceOrder@arr")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    config = ExchangeConfig(
        listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, seed=3, intensity=20
    )
    server = Server(config)
    await server.start()
    yield f"127.0.0.1:{server.port}"
    await server.close()


async def heard(
    address: str, route: str, names: tuple[str, ...], seconds: float, *kinds: str, n: int = 1
) -> list[Any]:
    """What comes on `route` for so long, and until there are `n` of each of `kinds`."""
    found: list[Any] = []

    def lacks() -> bool:
        heard = Counter(frame["data"]["e"] for frame in found)
        return any(heard[kind] < n for kind in kinds)

    url = f"ws://{address}/{route}/stream"
    async with connect(url, compression=None, open_timeout=60) as socket:
        request = {"method": "SUBSCRIBE", "params": list(names), "id": 1}
        await socket.send(json.dumps(request))
        assert json.loads(await socket.recv()) == {"result": None, "id": 1}
        began = time.monotonic()
        async with asyncio.timeout(60):
            while time.monotonic() - began < seconds or lacks():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        found.append(json.loads(await socket.recv()))
    return found


async def test_diffs_name_the_one_before_and_their_ids_have_holes(address: str) -> None:
    frames = await heard(address, "public", PUBLIC, 2.0, "depthUpdate", "bookTicker", n=6)
    diffs = [f["data"] for f in frames if f["data"]["e"] == "depthUpdate"]
    assert len(diffs) > 5
    for before, after in itertools.pairwise(diffs):
        assert after["pu"] == before["u"] < after["U"] <= after["u"]
    assert any(after["U"] - after["pu"] > 1 for after in diffs), "ids have holes"
    quotes = [f["data"] for f in frames if f["data"]["e"] == "bookTicker"]
    assert quotes
    assert {"E", "T", "u"} <= quotes[0].keys()


async def test_market_data_comes_on_its_route_and_on_no_other(address: str) -> None:
    frames = await heard(address, "market", (*MARKET, *PUBLIC), 3.0, "aggTrade", "markPriceUpdate")
    kinds = {f["data"]["e"] for f in frames}
    assert {"aggTrade", "markPriceUpdate"} <= kinds
    assert not kinds & {"depthUpdate", "bookTicker"}, "acknowledged and never delivered"
    assert await heard(address, "public", MARKET, 1.5) == []


async def test_largest_liquidation_of_a_second_is_told(address: str) -> None:
    async with asyncio.timeout(90):
        while not (frames := await heard(address, "market", ("!forceOrder@arr",), 3.0)):
            pass
    order = frames[0]["data"]["o"]
    assert order["S"] in ("BUY", "SELL")
    assert float(order["z"]) > 0
    assert float(order["ap"]) > 0


async def test_rest_describes_perpetuals_and_gives_books(address: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http:
        info = (await http.get("/fapi/v1/exchangeInfo")).json()
        assert {s["contractType"] for s in info["symbols"]} == {"PERPETUAL"}
        params: dict[str, Any] = {"symbol": "BTCUSDT", "limit": 5}
        book = (await http.get("/fapi/v1/depth", params=params)).json()
        assert len(book["bids"]) == 5
        assert "serverTime" in (await http.get("/fapi/v1/time")).json()
        assert (await http.get("/fapi/v1/depth")).status_code == 400
        odd = await http.get("/fapi/v1/depth", params={"symbol": "BTCUSDT", "limit": 7})
        assert (odd.status_code, odd.json()["code"]) == (400, -4021)


def test_best_prices_of_all_are_on_the_public_route() -> None:
    routes = {name: route_of(name) for name in ("!bookTicker", "btcusdt@bookTicker", "!markPrice")}
    assert routes == {
        "!bookTicker": "public", "btcusdt@bookTicker": "public", "!markPrice": "market",
    }  # fmt: skip
