"""A lifecycle with a venue that answers at once, late, or never, for tests of control."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tickbus.config import Settings
from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    Fill,
    Instrument,
    LiquiditySide,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderType,
    Quote,
    Recovered,
    SetStrategy,
    StrategyChanged,
    StrategyTerms,
    SubmitOrder,
    TimerFired,
)
from tickbus_strategy.core import StrategyCore
from tickbus_strategy.lifecycle import TIMER, Lifecycle
from tickbus_strategy.making import Kinds, Maker

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
D = Decimal
LOADED = Kinds()
KINDS = f"{Path(__file__).with_name('lifecycle_kinds.py')}"
VENUE: dict[str, Any] = {
    "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
    "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
}  # fmt: skip


def an_instrument(name: str) -> Instrument:
    return Instrument(
        "sim", name, name.replace("-", ""), name[:3], "USDT", D("0.01"), D("0.001"), D("0.001"),
        D(100), D(2), notional_min=D(5),
    )  # fmt: skip


def kind(name: str) -> str:
    return f"{KINDS}:{name}"


def terms(name: str = "Resting", *instruments: str, **params: Any) -> StrategyTerms:
    return StrategyTerms(kind(name), instruments or ("BTC-USDT",), params)


def stopped(of: StrategyTerms) -> StrategyTerms:
    return msgspec.structs.replace(of, is_running=False)


class World:
    """One process of strategies; `live` orders are at the venue, `fills` are what it made."""

    def __init__(self, files: dict[str, StrategyTerms] | None = None, run_id: str = "r") -> None:
        settings = Settings({"strategies": [], "venue": VENUE}, run_id=run_id)
        maker = Maker(settings, LOADED)
        self.core: Any = Lifecycle(StrategyCore(make_desk=maker.desk), files or {}, maker)
        self.said: list[Any] = []
        self.stream: list[Any] = []
        self.live: dict[str, SubmitOrder] = {}
        self.asked: set[str] = set()
        self.sum: dict[tuple[str, str], Decimal] = {}
        self.now = NOW
        self._revisions: dict[str, int] = {}
        self._trades = 0

    def start(self, *names: str) -> "World":
        for name in names or ("BTC-USDT", "ETH-USDT"):
            self.tell(an_instrument(name))
        self.tell(Recovered(self.now, self.now))
        return self

    def tell(self, event: Any) -> list[Any]:
        """Tell the core, and note what it says."""
        out = list(self.core.handle(event))
        self.said += out
        for each in out:
            if isinstance(each, SubmitOrder | CancelOrder | CancelAllOrders | StrategyChanged):
                self.stream.append(each)
            if isinstance(each, SubmitOrder):
                assert each.client_order_id not in self.live
                self.live[each.client_order_id] = each
            elif isinstance(each, CancelOrder):
                self.asked.add(each.client_order_id)
            elif isinstance(each, CancelAllOrders):
                self.asked |= {o.client_order_id for o in self.of(each.strategy_id)}
        return out

    def wish(
        self, strategy_id: str, wanted: StrategyTerms | None, *, flatten: bool = False,
        deletes: bool = False,
    ) -> list[Any]:  # fmt: skip
        revision = self._revisions[strategy_id] = self._revisions.get(strategy_id, 0) + 1
        self.now += 1
        return self.tell(
            SetStrategy(
                self.now, self.now, strategy_id, revision, wanted, "ada", "why", flatten, deletes
            )
        )

    def quote(self, bid: float = 100.0, name: str = "BTC-USDT") -> list[Any]:
        self.now += SECOND // 10
        return self.tell(Quote(self.now, self.now, "sim", name, bid, 5.0, bid + 0.02, 5.0, 1))

    def top(self, name: str = "BTC-USDT", *, stale: bool = False) -> list[Any]:
        self.now += SECOND // 10
        top = BookTop(self.now, self.now, "sim", name, 100.0, 5.0, 100.02, 5.0, 1, 1, stale)
        return self.tell(top)

    def later(self, seconds: float = 1.0) -> list[Any]:
        """The timer of whoever is on the way to rest."""
        self.now += int(seconds * SECOND)
        return self.tell(TimerFired(self.now, self.now, TIMER))

    # -- the venue ---------------------------------------------------------------------------------

    def of(self, strategy_id: str) -> list[SubmitOrder]:
        return [order for order in self.live.values() if order.strategy_id == strategy_id]

    def _report(self, kind: type, order: SubmitOrder, *rest: Any) -> list[Any]:
        self.now += 1
        event = kind(
            self.now, self.now, order.client_order_id, order.strategy_id, order.venue,
            order.instrument_id, *rest,
        )  # fmt: skip
        self.stream.append(event)
        return self.tell(event)

    def accept(self, order: SubmitOrder) -> list[Any]:
        return self._report(OrderAccepted, order, "v")

    def fill(self, order: SubmitOrder, quantity: Decimal | None = None) -> list[Any]:
        self._trades += 1
        known = self.core.core.desk(order.strategy_id).orders.get(order.client_order_id)
        left = order.quantity - (known.filled_quantity if known else 0)
        amount = left if quantity is None else min(quantity, left)
        if amount == left:
            self.live.pop(order.client_order_id, None)
        key = (order.strategy_id, order.instrument_id)
        self.sum[key] = self.sum.get(key, D(0)) + order.side.sign * amount
        fill = Fill(
            str(self._trades), order.side, D(100), amount, D(0), "USDT", LiquiditySide.TAKER,
            self.now,
        )  # fmt: skip
        filled = order.quantity - left + amount
        return self._report(OrderFilled, order, "v", fill, filled, left - amount)

    def cancel(self, order: SubmitOrder) -> list[Any]:
        self.live.pop(order.client_order_id, None)
        return self._report(OrderCanceled, order, "v", D(0), "")

    def refuse_cancel(self, order: SubmitOrder) -> list[Any]:
        return self._report(CancelRejected, order, "c", "too late", "")

    def deny(self, order: SubmitOrder, reason: DenialReason) -> list[Any]:
        self.live.pop(order.client_order_id, None)
        self.now += 1
        event = OrderDenied(self.now, self.now, order, reason, "")
        self.stream.append(event)
        return self.tell(event)

    def settle(self, strategy_id: str) -> None:
        """The venue answers all that is asked of it, closing orders fill, time goes by."""
        for _ in range(300):
            hosted = self.core.hosted[strategy_id]
            if hosted.quiet is None:
                return
            for order in self.of(strategy_id):
                if order.reduce_only and order.order_type is OrderType.MARKET:
                    self.fill(order)
                elif order.client_order_id in self.asked:
                    self.cancel(order)
            self.later()
        raise AssertionError(f"{strategy_id} does not come to rest")

    def phase(self, strategy_id: str) -> str:
        return str(self.core.hosted[strategy_id].phase)

    def restarted(self, files: dict[str, StrategyTerms], run_id: str = "r2") -> "World":
        """Another process behind the same stream and the same bucket."""
        other = World(files, run_id)
        other.now, other.live, other._trades = self.now, dict(self.live), self._trades
        other.sum, other._revisions = dict(self.sum), dict(self._revisions)
        other.stream = self.stream
        for wish in self.core.wishes.values():
            other.core.handle(wish)
        for event in self.stream:
            other.core.handle(event)
        return other


def wishes(kind: type, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if type(event) is kind]
