"""Execution at a scripted USD-M account."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from execution_bench import PERP, Account, Bench, until

from tickbus_testkit.scripted_venue import ScriptedVenue, a_scripted_venue


def a_trade(status: str = "PARTIALLY_FILLED", **order: Any) -> dict[str, Any]:
    return {
        "e": "ORDER_TRADE_UPDATE", "E": 1, "T": 2,
        "o": {
            "s": "BTCUSDT", "c": "s-r-1", "S": "BUY", "o": "LIMIT", "q": "0.001", "x": "TRADE",
            "X": status, "i": 77, "l": "0.001", "z": "0.001", "L": "60000.1", "t": 9, "m": True,
            "n": "0.012", "N": "USDT", "T": 1700000000123, "rp": "-1.25", **order,
        },
    }  # fmt: skip


def a_futures_account(venue: ScriptedVenue) -> None:
    """An empty account, on which every order is taken."""
    venue.rest |= {
        "GET /fapi/v1/time": lambda _: {"serverTime": time.time_ns() // 1_000_000},
        "POST /fapi/v1/listenKey": {"listenKey": "the-key"},
        "PUT /fapi/v1/listenKey": {},
        "GET /fapi/v1/positionSide/dual": {"dualSidePosition": False},
        "GET /fapi/v1/openOrders": [],
        "GET /fapi/v1/openAlgoOrders": [],
        "GET /fapi/v1/allAlgoOrders": [],
        "GET /fapi/v1/userTrades": [],
        "GET /fapi/v1/income": [],
        "GET /fapi/v3/account": {
            "assets": [{"asset": "USDT", "walletBalance": "100", "updateTime": 5}],
            "positions": [],
        },
        "GET /fapi/v1/exchangeInfo": {
            "rateLimits": [
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300}
            ],
            "symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}],
        },
        "POST /fapi/v1/countdownCancelAll": {},
        "POST /fapi/v1/order": placed,
        "DELETE /fapi/v1/order": lambda p: placed(p, "CANCELED"),
    }
    venue.api |= {"order.place": placed, "order.cancel": lambda p: placed(p, "CANCELED")}


def placed(params: dict[str, Any], status: str = "NEW") -> dict[str, Any]:
    name = params.get("newClientOrderId") or params.get("origClientOrderId")
    return {
        "symbol": "BTCUSDT", "orderId": 77, "clientOrderId": name, "updateTime": 9, "side": "BUY",
        "origQty": "0.001", "executedQty": "0", "status": status,
    }  # fmt: skip


def futures(venue: ScriptedVenue, secret: str = "secret") -> Account:
    where = f"127.0.0.1:{venue.rest_port}", f"127.0.0.1:{venue.ws_port}"
    return Account(*where, PERP, "binance-usdm", "/ws-fapi/v1", secret)


@asynccontextmanager
async def trading(**config: Any) -> AsyncIterator[tuple[ScriptedVenue, Bench]]:
    async with (
        a_scripted_venue(a_futures_account) as venue,
        Bench(futures(venue), **config) as execution,
    ):
        await execution.ready()
        await until(lambda: execution.gateway._calls.stream)
        yield venue, execution
