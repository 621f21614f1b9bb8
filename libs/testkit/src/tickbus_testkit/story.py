"""The story that a whole platform must be able to tell, and how its books are compared.

Works on any running platform: it needs the address of the gateway and of the simulated exchange.
"""

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import httpx

from tickbus.events import AdjustmentCause
from tickbus_testkit import books

T = TypeVar("T")
TIMEOUT_S = 60.0
PAGE = 1_000
STEPS = ("SubmitOrder", "OrderApproved", "OrderSubmitted", "OrderAccepted", "OrderFilled")
"""What is on record of an order that was filled."""


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
        self.venue = venue
        self._api = httpx.Client(base_url=api_url, timeout=90)
        self._exchange = httpx.Client(base_url=exchange_url, timeout=60)

    def log_in(self, user: str, password: str) -> None:
        """Be `user` from now on, where the gateway wants to know."""
        body = {"user": user, "password": password}
        answer = self._api.post("/api/v1/auth/login", json=body).raise_for_status().json()
        self._api.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path` of the gateway."""
        return self._api.get(path, params=params).raise_for_status().json()

    def put(self, path: str, **body: Any) -> httpx.Response:
        """PUT `body` at `path` of the gateway."""
        return self._api.put(path, json=body)

    def order(self, **body: Any) -> httpx.Response:
        """POST an order."""
        return self._api.post("/api/v1/orders", json=body)

    def cancel(self, order_id: str) -> httpx.Response:
        """DELETE an order."""
        return self._api.delete(f"/api/v1/orders/{order_id}")

    def all(self, what: str, **params: Any) -> list[dict[str, Any]]:
        """Every page of `orders`, `fills` or `postings`."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            further = {} if cursor is None else {"cursor": cursor}
            page = self.get(f"/api/v1/{what}", limit=PAGE, **params, **further)
            found += page[what]
            cursor = page.get("next_cursor")
            if not cursor or not page[what]:
                return found

    def ledger_of_the_exchange(self) -> Any:
        """The truth that ours is compared with; prices, which others move, are left out."""
        found = self._exchange.get("/admin/ledger").raise_for_status().json()
        del found["last_prices"]
        return found

    def see_a_strategy_trade(self) -> None:
        """A tick has become an order and a fill, and each step is on record."""
        wait_for("the gateway to be ready", lambda: self.get("/health")["status"] == "ready", 60)
        fills = wait_for(
            "a fill of a strategy",
            lambda: [fill for fill in self.all("fills") if fill["strategy"] != "manual"],
            60,
        )
        order = self.get(f"/api/v1/orders/{fills[0]['order_id']}")
        told = {event["event"] for event in order["events"]}
        missing = {*STEPS} - told
        assert not missing, f"{order['id']}: no {sorted(missing)} in {sorted(told)}"

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

    def books(self) -> books.Ours:
        """All that the gateway tells of our books."""
        payments = [p for cause in AdjustmentCause for p in self.all("postings", cause=cause)]
        portfolio = self.get("/api/v1/portfolio")
        return books.Ours(self.all("orders"), self.all("fills"), portfolio, payments)

    def differences(self) -> list[str]:
        """Where our books and the exchange's disagree, to the last digit; empty when nowhere."""
        return differences([self])


def differences(desks: Sequence[Desk], compare: books.Compare = books.spot) -> list[str]:
    """The same at all exchanges of one platform, and of orders split over them."""
    theirs = [desk.ledger_of_the_exchange() for desk in desks]
    ours = desks[0].books()
    if [desk.ledger_of_the_exchange() for desk in desks] != theirs:
        return ["not comparable: an exchange traded while we read"]
    found = [
        f"{desk.venue}: {difference}".removeprefix(": ")
        for desk, ledger in zip(desks, theirs, strict=True)
        for difference in compare(ours.at(desk.venue), ledger)
    ]
    return [*found, *(books.parts(ours.orders, ours.fills) if len(desks) > 1 else ())]
