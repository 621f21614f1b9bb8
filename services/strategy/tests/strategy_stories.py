"""Tells one strategy a story: a market event or a fill at a time, and gives back its wishes."""

from decimal import Decimal
from typing import Any

from tickbus.events import (
    CancelOrder,
    Event,
    FeeSchedule,
    Fill,
    Instrument,
    Liquidation,
    LiquiditySide,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    Quote,
    Recovered,
    Side,
    StrategyDecision,
    SubmitOrder,
    Trade,
)
from tickbus_strategy.base import Strategy
from tickbus_strategy.core import Seat, StrategyCore
from tickbus_strategy.desk import Desk, Market

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
FEES = FeeSchedule(maker=Decimal("0.001"), taker=Decimal("0.001"))
WHERE = ("sim", "BTC-USDT")
INSTRUMENT = Instrument(
    *WHERE, "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.0001"),
    quantity_min=Decimal("0.0001"), notional_min=Decimal(5),
)  # fmt: skip


def a_quote(second: float, bid: float = 100.0, spread: float = 0.02) -> Quote:
    """The venue's best prices, so many seconds after the beginning."""
    ts = NOW + int(second * SECOND)
    return Quote(ts, ts, *WHERE, bid, 5.0, round(bid + spread, 2), 5.0, 1)


def a_trade(second: float, price: float = 100.0, size: float = 1.0) -> Trade:
    """Somebody bought."""
    ts = NOW + int(second * SECOND)
    return Trade(ts, ts, *WHERE, "1", price, size, Side.BUY)


def a_liquidation(second: float, side: Side) -> Liquidation:
    """Somebody was forced to."""
    ts = NOW + int(second * SECOND)
    return Liquidation(ts, ts, *WHERE, side, 100.0, 1.0)


class Story:
    """One strategy on its own."""

    def __init__(self, kind: type[Strategy], params: Any = None) -> None:
        desk, market = Desk("s", "r", FEES), Market(*WHERE)
        self.strategy = kind(desk, market, params or kind.Params())
        self._core = StrategyCore([Seat(self.strategy, desk, market)])
        self._now = NOW
        self._fills = 0
        self.decisions: list[StrategyDecision] = []
        self.tell(INSTRUMENT, Recovered(NOW, NOW))

    def tell(self, *events: Any) -> list[Any]:
        """What it wishes after these; its decisions are kept aside."""
        out: list[Event] = []
        for event in events:
            self._now = max(self._now, getattr(event, "ts_recv", 0))
            out += self._core.handle(event)
        self.decisions += [event for event in out if isinstance(event, StrategyDecision)]
        return [event for event in out if isinstance(event, SubmitOrder | CancelOrder)]

    def fill(self, order: SubmitOrder, price: str) -> list[Any]:
        """The whole of `order` traded at `price`, now, as a taker."""
        self._fills += 1
        fee = order.quantity * FEES.taker if order.side is Side.BUY else Decimal(0)
        fill = Fill(
            str(self._fills), order.side, Decimal(price), order.quantity, fee, "BTC",
            LiquiditySide.TAKER, self._now,
        )  # fmt: skip
        return self.tell(
            OrderFilled(
                self._now, self._now, order.client_order_id, "s", *WHERE, "1", fill,
                order.quantity, Decimal(0),
            )
        )  # fmt: skip

    def reject(self, order: SubmitOrder) -> list[Any]:
        """The venue refuses `order`, now."""
        ids = (order.client_order_id, "s", *WHERE)
        return self.tell(OrderRejected(self._now, self._now, *ids, "-2010", "no money"))

    def cancel(self, order: SubmitOrder) -> list[Any]:
        """The venue took `order` out of the book, now."""
        ids = (order.client_order_id, "s", *WHERE)
        return self.tell(OrderCanceled(self._now, self._now, *ids, "1", Decimal(0)))
