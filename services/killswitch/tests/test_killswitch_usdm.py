"""The kill switch at USD-M futures: a venue by the book, on loopback, as Binance documents it."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sized
from decimal import Decimal
from typing import Any

from tickbus.kill_api import (
    EXIT_DONE,
    EXIT_EXPOSED,
    EXIT_WORKING,
    KillReport,
    KillRequest,
    OrderKind,
)
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import Target, kill
from tickbus_testkit.scripted import Asked, Told, scripted

# Patient with each request, as other tests take the machine.
USUAL = KillConfig(timeout_s=60.0, settle_s=0.05, request_timeout_s=20.0, halt_wait_s=30.0)
# Where one round says all that ever will be said; that one is finished however long it takes.
BRIEF = KillConfig(timeout_s=1.5, settle_s=0.05, request_timeout_s=20.0, halt_wait_s=30.0)
SECRET = "futures-secret"
FILTERS = [
    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
    {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "2"},
    {"filterType": "MIN_NOTIONAL", "notional": "100"},
]


class Futures:
    """What the venue has: plain orders, conditional ones, positions by (symbol, side)."""

    def __init__(self) -> None:
        self.plain: dict[int, str] = {}
        self.conditional: dict[int, str] = {}
        self.positions: dict[tuple[str, str], Decimal] = {}
        self.asked: list[Asked] = []
        self.sent: list[dict[str, str]] = []
        self.broken: set[tuple[str, str]] = set()
        self.refused: list[Asked] = []
        self.lose_next_order = False

    async def answer(self, asked: Asked) -> Told | None:
        self.asked.append(asked)
        if (asked.method, asked.path) in self.broken:
            self.refused.append(asked)
            return Told(503, b'{"code":-1008,"msg":"Request throttled."}')
        if asked.path != "/fapi/v1/exchangeInfo" and not _is_signed(asked):
            return Told(400, b'{"code":-1022,"msg":"Signature for this request is not valid."}')
        if asked.method == "POST":
            body = self._place(asked.params)
            if self.lose_next_order:
                self.lose_next_order = False
                return None
        else:
            body = self._other(asked)
        return Told(404 if body is None else 200, json.dumps(body).encode())

    def _other(self, asked: Asked) -> Any:
        symbol = asked.params.get("symbol", "")
        match asked.method, asked.path:
            case "GET", "/fapi/v1/openOrders":
                return [
                    {"symbol": s, "orderId": i, "clientOrderId": f"c{i}"}
                    for i, s in self.plain.items()
                ]
            case "GET", "/fapi/v1/openAlgoOrders":
                return [
                    {"symbol": s, "algoId": i, "clientAlgoId": f"a{i}"}
                    for i, s in self.conditional.items()
                ]
            case "DELETE", "/fapi/v1/allOpenOrders":
                # It leaves the conditional ones.
                self.plain = {i: s for i, s in self.plain.items() if s != symbol}
                return {"code": 200, "msg": "The operation of cancel all open order is done."}
            case "DELETE", "/fapi/v1/algoOpenOrders":
                self.conditional = {i: s for i, s in self.conditional.items() if s != symbol}
                return {"code": 200, "msg": "The operation of cancel all open order is done."}
            case "GET", "/fapi/v3/positionRisk":
                return [
                    {
                        "symbol": s, "positionSide": side, "positionAmt": str(amount),
                        "notional": str(amount * 60_000), "marginAsset": "USDT",
                    }
                    for (s, side), amount in self.positions.items()
                ]  # fmt: skip
            case "GET", "/fapi/v1/order":
                return {"status": "FILLED"}
            case "GET", "/fapi/v1/exchangeInfo":
                listed = {"baseAsset": "BTC", "quoteAsset": "USDT", "filters": FILTERS}
                return {"symbols": [{"symbol": "BTCUSDT", **listed}]}
        return None

    def _place(self, order: dict[str, str]) -> Any:
        self.sent.append(order)
        side = order.get("positionSide", "BOTH")
        held = self.positions[order["symbol"], side]
        change = Decimal(order["quantity"]) * (1 if order["side"] == "BUY" else -1)
        assert order["type"] == "MARKET"
        assert side != "BOTH" or order["reduceOnly"] == "true"
        assert side == "BOTH" or "reduceOnly" not in order  # refused in hedge mode
        assert Decimal(order["quantity"]) <= 2
        assert held * change < 0
        assert abs(change) <= abs(held)
        self.positions[order["symbol"], side] = held + change
        return {"orderId": 1, "status": "NEW"}


def _is_signed(asked: Asked) -> bool:
    payload, _, signature = asked.query.rpartition("&signature=")
    fresh = abs(int(asked.params["timestamp"]) - time.time_ns() // 10**6) < 60_000
    mac = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return fresh and mac == signature and asked.headers["x-mbx-apikey"] == "futures-key"


async def killed(
    venue: Futures, *, flatten: bool = False, config: KillConfig = USUAL
) -> KillReport:
    async with scripted(venue.answer) as url:
        target = Target(
            name="usdm", adapter="binance-usdm", rest_url=url, instruments=("BTC-USDT-PERP",),
            mode="simulated", orders="venue", key="futures-key", secret=SECRET,
            bus_url="nats://127.0.0.1:1",
        )  # fmt: skip
        return await kill([target], KillRequest(flatten=flatten), config, lambda _: None)


async def test_plain_and_conditional_orders_are_cancelled_on_every_symbol() -> None:
    venue = Futures()
    venue.plain = {1: "BTCUSDT", 2: "ETHUSDT"}
    venue.conditional = {7: "BTCUSDT", 8: "SOLUSDT"}  # SOLUSDT has no plain order, nor a config
    report = await killed(venue)
    assert report.exit_code == EXIT_DONE
    assert (venue.plain, venue.conditional) == ({}, {})
    kinds = sorted((o.symbol, o.kind) for o in report.accounts[0].cleared)
    assert kinds == [
        ("BTCUSDT", OrderKind.CONDITIONAL), ("BTCUSDT", OrderKind.PLAIN),
        ("ETHUSDT", OrderKind.PLAIN), ("SOLUSDT", OrderKind.CONDITIONAL),
    ]  # fmt: skip


async def test_conditional_orders_that_stay_are_never_called_none_left() -> None:
    venue = Futures()
    venue.plain, venue.conditional = {1: "BTCUSDT"}, {7: "BTCUSDT"}
    venue.broken.add(("DELETE", "/fapi/v1/algoOpenOrders"))
    report = await killed(venue, config=BRIEF)
    assert report.exit_code == EXIT_WORKING
    assert venue.plain == {}
    left = report.accounts[0].left
    assert [(o.order_id, o.kind) for o in left] == [("7", OrderKind.CONDITIONAL)]


async def test_conditional_orders_that_cannot_be_listed_are_never_called_none_left() -> None:
    venue = Futures()
    venue.broken.add(("GET", "/fapi/v1/openAlgoOrders"))
    report = await killed(venue, config=BRIEF)
    assert report.exit_code == EXIT_WORKING
    assert any("openAlgoOrders" in why for why in report.accounts[0].unverified)


async def test_positions_are_reported_with_their_value() -> None:
    venue = Futures()
    venue.positions = {("BTCUSDT", "BOTH"): Decimal("-0.5"), ("ETHUSDT", "BOTH"): Decimal(0)}
    report = await killed(venue)
    assert report.exit_code == EXIT_DONE
    (position,) = report.accounts[0].exposure
    assert (position.name, position.quantity) == ("BTCUSDT", Decimal("-0.5"))
    assert (position.value, position.currency) == (Decimal(30_000), "USDT")
    assert venue.sent == []


async def test_flatten_closes_each_position_and_turns_none_over() -> None:
    venue = Futures()
    venue.positions = {
        ("BTCUSDT", "BOTH"): Decimal("-5.25"),  # larger than one market order may be
        ("ETHUSDT", "LONG"): Decimal("1.5"),
        ("ETHUSDT", "SHORT"): Decimal("-0.5"),
    }
    report = await killed(venue, flatten=True)
    assert report.exit_code == EXIT_DONE
    assert not any(venue.positions.values())
    assert sorted(o["quantity"] for o in venue.sent) == ["0.5", "1.25", "1.5", "2", "2"]
    assert report.accounts[0].exposure == ()
    assert len({o["newClientOrderId"] for o in venue.sent}) == len(venue.sent)


async def test_lost_answer_to_a_closing_order_is_asked_about() -> None:
    venue = Futures()
    venue.positions = {("BTCUSDT", "BOTH"): Decimal("0.5")}
    venue.lose_next_order = True
    report = await killed(venue, flatten=True)
    assert report.exit_code == EXIT_DONE
    assert len(venue.sent) == 1
    assert len(report.accounts[0].closed) == 1


async def test_positions_that_cannot_be_read_are_an_exposure(
    over_after: Callable[[Sized, int], None],
) -> None:
    venue = Futures()
    venue.broken.add(("GET", "/fapi/v3/positionRisk"))
    over_after(venue.refused, 3)
    report = await killed(venue, flatten=True)
    assert report.exit_code == EXIT_EXPOSED
    assert not report.accounts[0].exposure_known
