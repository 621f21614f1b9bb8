"""The story that a whole platform must be able to tell, and how its books are compared.

Works on any running platform: it needs the address of the gateway and of the simulated exchange.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
TIMEOUT_S = 30.0


def wait_for(what: str, look: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """What `look` returns once it is truthy. Raises AssertionError that says what never came."""
    deadline = time.monotonic() + timeout_s
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = look()
            if last:
                return last  # type: ignore[no-any-return]
        except (httpx.HTTPError, KeyError, IndexError) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {timeout_s:g} s; last seen: {last!r}")


class Desk:
    """A person at the gateway, who can also look into the exchange's own ledger.

    `venue` is what the platform calls that exchange; it is needed where there are several.
    """

    def __init__(self, api_url: str, exchange_url: str, venue: str = "") -> None:
        self._venue = venue
        self._api = httpx.Client(base_url=api_url, timeout=10)
        self._exchange = httpx.Client(base_url=exchange_url, timeout=10)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path` of the gateway."""
        return self._api.get(path, params=params).raise_for_status().json()

    def order(self, **body: Any) -> httpx.Response:
        """POST an order."""
        return self._api.post("/api/v1/orders", json=body)

    def cancel(self, order_id: str) -> httpx.Response:
        """DELETE an order."""
        return self._api.delete(f"/api/v1/orders/{order_id}")

    def all(self, what: str) -> list[dict[str, Any]]:
        """Every page of `orders` or `fills`."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(f"/api/v1/{what}", limit=100, **({"cursor": cursor} if cursor else {}))
            found += page[what]
            cursor = page.get("next_cursor")
            if not cursor or not page[what]:
                return found

    def ledger_of_the_exchange(self) -> Any:
        """The truth that ours is compared with; prices, which others move, are left out."""
        found = self._exchange.get("/admin/ledger").raise_for_status().json()
        del found["last_prices"]
        return found

    def trade_by_hand(self) -> None:
        """Market order, limit order, cancel, and each refusal with its reason."""
        price = wait_for("the prices", self._prices)[0]
        bought = self.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None)
        assert bought.status_code == 201, bought.text
        assert bought.json()["state"] == "FILLED"
        symbol, mid = price["symbol"], Decimal(str(price["mid"]))
        far = str((mid * Decimal("0.97")).quantize(Decimal("0.01")))
        quantity = "0.001" if symbol == "BTCUSDT" else "0.1"
        resting = self.order(symbol=symbol, side="buy", quantity=quantity, price=far)
        assert resting.status_code == 201, resting.text
        assert resting.json()["state"] == "OPEN"
        canceled = self.cancel(resting.json()["id"])
        assert canceled.status_code in (200, 202), canceled.text
        path = f"/api/v1/orders/{resting.json()['id']}"
        wait_for("the order to be canceled", lambda: self.get(path)["state"] == "CANCELED")
        self.be_refused()

    def _prices(self) -> list[dict[str, Any]]:
        """The prices of all instruments, [] while one is missing."""
        prices: list[dict[str, Any]] = self.get("/api/v1/prices")["prices"]
        return prices if all(price["mid"] is not None for price in prices) else []

    def cancel_all(self) -> None:
        """DELETE every working order, and wait until none is left."""
        self._api.delete("/api/v1/orders").raise_for_status()
        wait_for("no working order", lambda: not self.get("/api/v1/orders", state="open")["orders"])

    def be_refused(self) -> None:
        """Wrong orders: each names what is wrong, and the next good one passes."""
        for body, status, code in (
            ({"symbol": "NOPEUSDT", "side": "Buy", "quantity": 1}, 422, "UNKNOWN_SYMBOL"),
            ({"symbol": "BTCUSDT", "side": "Buy", "quantity": -1}, 422, "INVALID_VALUE"),
            ({"symbol": "BTCUSDT", "side": "Buy", "quantity": 5}, 422, "NOTIONAL_ABOVE_MAX"),
            ({"symbol": "BTCUSDT", "side": "Up", "quantity": 1}, 422, "INVALID_VALUE"),
        ):
            answer = self.order(price=None, **body)
            assert answer.status_code == status, answer.text
            assert answer.json()["code"] == code, answer.text
        torn = self._api.post("/api/v1/orders", content=b'{"symbol": "BTC')
        assert torn.status_code in (400, 422), torn.text

    def differences(self) -> list[str]:
        """Where our books and the exchange's disagree, to the last digit; empty when nowhere."""
        theirs = self.ledger_of_the_exchange()
        fills, portfolio = self._here(self.all("fills")), self.get("/api/v1/portfolio")
        # What was not sent must not be at the exchange: there it would be one too many.
        sent = {o["id"]: o for o in self._here(self.all("orders")) if not _was_never_sent(o)}
        if self.ledger_of_the_exchange() != theirs:
            return ["not comparable: the exchange traded while we read both"]
        found = _compare(
            "fill",
            {(f["symbol"], int(f["id"])): _fill(f) for f in fills},
            {(f["symbol"], f["id"]): _their_fill(f) for f in theirs["fills"]},
        )
        found += _compare(
            "order",
            {o["id"]: _order(o) for o in sent.values()},
            {o["clientOrderId"]: _their_order(o) for o in theirs["orders"]},
        )
        found += _compare(
            "balance",
            {b["asset"]: Decimal(b["total"]) for b in self._here(portfolio["balances"])},
            {asset: Decimal(b["total"]) for asset, b in theirs["balances"].items()},
        )
        opening = {a: Decimal(v) for a, v in theirs["initial_balances"].items()}
        for position in self._here(portfolio["positions"]):
            base = position["instrument_id"].partition("-")[0]
            change = Decimal(theirs["balances"][base]["total"]) - opening.get(base, Decimal(0))
            if Decimal(position["quantity"]) != change:
                found.append(f"position {base}: ours {position['quantity']}, theirs {change}")
        return [*found, *map(str, portfolio["differences"])]

    def _here(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those at this exchange."""
        return [r for r in records if self._venue in ("", r["venue"])]


def _was_never_sent(o: dict[str, Any]) -> bool:
    return o["state"] in ("DENIED", "REJECTED") or o["reason"] == "NEVER_SENT"


_ENDED = {"FILLED", "CANCELED", "EXPIRED"}


def _compare(what: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> list[str]:
    return [
        f"{what} {key}: ours {ours.get(key)}, theirs {theirs.get(key)}"
        for key in [*ours, *(key for key in theirs if key not in ours)]
        if ours.get(key) != theirs.get(key)
    ]


def _fill(f: dict[str, Any]) -> tuple[Any, ...]:
    numbers = (Decimal(f[key]) for key in ("price", "quantity", "fee"))
    return (*numbers, f["fee_asset"], f["side"], f["liquidity"])


def _their_fill(f: dict[str, Any]) -> tuple[Any, ...]:
    numbers = (Decimal(f[key]) for key in ("price", "qty", "commission"))
    side, liquidity = "BUY" if f["isBuyer"] else "SELL", "MAKER" if f["isMaker"] else "TAKER"
    return (*numbers, f["commissionAsset"], side, liquidity)


def _order(o: dict[str, Any]) -> tuple[Any, ...]:
    state = o["state"] if o["state"] in _ENDED else "WORKING"
    limit = o["type"] == "LIMIT"
    terms = ("LIMIT_MAKER" if o["post_only"] else o["type"], Decimal(o["price"] or 0))
    # Binance shows GTC for what has no time in force.
    lasts = o["time_in_force"] if limit and not o["post_only"] else "GTC"
    amounts = (Decimal(o["quantity"]), Decimal(o["filled_quantity"]))
    return (o["symbol"], o["side"], *terms, lasts, *amounts, o["venue_order_id"], state)


def _their_order(o: dict[str, Any]) -> tuple[Any, ...]:
    status = "EXPIRED" if o["status"] == "EXPIRED_IN_MATCH" else o["status"]
    state = status if status in _ENDED else "WORKING"
    terms = (o["type"], Decimal(o["price"]), o["timeInForce"])
    amounts = (Decimal(o["origQty"]), Decimal(o["executedQty"]))
    return (o["symbol"], o["side"], *terms, *amounts, str(o["orderId"]), state)
