"""Two venues, a and b, and a router between them, for the tests of routing."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from tickbus.events import (
    BookDepth,
    FeeSchedule,
    Fill,
    Instrument,
    Levels,
    LiquiditySide,
    OrderApproved,
    OrderExpired,
    OrderFilled,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
)
from tickbus_router.config import RouterConfig
from tickbus_router.core import RouterCore

D = Decimal
NOW = 5_000
FREE = FeeSchedule(maker=D(0), taker=D(0))
NAMES = ("s", "smart", "BTC-USDT")


def a_book(venue: str, asks: Levels) -> BookDepth:
    return BookDepth(NOW, NOW, venue, "BTC-USDT", (), asks, 1, 1)


def an_instrument(venue: str) -> Instrument:
    return Instrument(venue, "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))


def an_order(**terms: Any) -> SubmitOrder:
    order = SubmitOrder(
        NOW, NOW, "s-r-1", "s", "smart", "BTC-USDT", Side.BUY, OrderType.MARKET, D(3)
    )
    return msgspec.structs.replace(order, **terms)


def approved(**terms: Any) -> OrderApproved:
    return OrderApproved(NOW, NOW, an_order(**terms))


A: Levels = ((100.0, 2.0),)
B: Levels = ((101.0, 5.0),)


def a_core(*events: Any, history: Iterable[Any] = (), **config: Any) -> RouterCore:
    core = RouterCore(RouterConfig(**config), {"a": FREE, "b": FREE})
    for event in history:
        assert core.handle(event) == (), "history is silent"
    for event in (an_instrument("a"), an_instrument("b"), Recovered(NOW, NOW)):
        core.handle(event)
    for event in (a_book("a", A), a_book("b", B), *events):
        core.handle(event)
    return core


def parts(events: Iterable[Any]) -> list[tuple[str, str, Decimal, Decimal | None]]:
    found = [event for event in events if isinstance(event, SubmitOrder)]
    return [(e.client_order_id, e.venue, e.quantity, e.price) for e in found]


def at(order_id: str, venue: str) -> tuple[int, int, str, str, str, str]:
    return (NOW, NOW, order_id, "s", venue, "BTC-USDT")


def filled(order_id: str, venue: str, quantity: str, price: str, of: str = "") -> OrderFilled:
    fill = Fill(
        f"f{order_id}{quantity}", Side.BUY, D(price), D(quantity), D(0), "USDT",
        LiquiditySide.TAKER, NOW,
    )  # fmt: skip
    left = D(of or quantity) - D(quantity)
    return OrderFilled(*at(order_id, venue), f"v{order_id}", fill, D(quantity), left)


def expired(order_id: str, venue: str, quantity: str = "0") -> OrderExpired:
    return OrderExpired(*at(order_id, venue), f"v{order_id}", D(quantity), "IOC")


def kinds(events: Iterable[Any]) -> list[type]:
    return [type(event) for event in events]
