"""How much of every limit is used: for people who look, never on the way of an order."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial

from tickbus.events import GLOBAL, Side
from tickbus.risk_api import LimitUsage
from tickbus_risk.config import RiskConfig
from tickbus_risk.exposure import Key, middle
from tickbus_risk.state import Rate, RiskBook

ZERO = Decimal(0)
MS_NS = 1_000_000
SECOND_NS = 1_000_000_000

Used = tuple[Decimal, str]
"""How much, and by what."""


class Usage:
    """Measures `book` by the limits of `config`; `rates` are those of each scope."""

    def __init__(self, config: RiskConfig, book: RiskBook, rates: Mapping[str, Rate]) -> None:
        self._config = config
        self._book = book
        self._rates = rates
        self._measures: dict[str, Callable[[str], Used | None]] = {
            "position_notional_max": self._position,
            "gross_exposure_max": lambda scope: (book.exposures.sums(scope).gross, ""),
            "net_exposure_max": lambda scope: (book.exposures.sums(scope).net, ""),
            "open_orders_max": partial(self._by_strategy, self._open_orders),
            "order_rate_per_s_max": partial(self._by_strategy, self._rate),
            "total_order_rate_per_s_max": lambda scope: (self._rate(scope), ""),
            "orders_per_fill_max": self._orders_per_fill,
            "market_data_age_ms_max": self._age,
            "daily_loss_max": lambda scope: (max(ZERO, -book.losses.day_pnl(scope)), ""),
            "drawdown_max": lambda scope: (book.losses.drawdown(scope), ""),
            "profit_target": lambda scope: (max(ZERO, book.losses.day_pnl(scope)), ""),
            "heartbeat_timeout_s": partial(self._by_strategy, self._silence),
        }

    def limits(self, wanted: str = "") -> Iterator[LimitUsage]:
        """Every limit that is set, or those of the scope `wanted`."""
        self._book.exposures.refresh_all()
        for scope, name, limit in self._config.all_limits():
            if limit is None or wanted not in ("", scope):
                continue
            measure = self._measures.get(name)
            used, where = (measure(scope) if measure is not None else None) or (None, "")
            yield LimitUsage(scope=scope, name=name, limit=limit, used=used, where=where)

    def _position(self, scope: str) -> Used | None:
        return _most(
            (self._worst(key), ".".join(key))
            for key in dict.fromkeys([*self._book.positions, *self._working()])
            if self._holds(scope, key)
        )

    def _worst(self, key: Key) -> Decimal:
        # With everything that works on one side filled, at the middle of the market.
        book, top = self._book, self._book.tops.get(key)
        if top is None:
            return ZERO
        held = book.positions.get(key, ZERO)
        top_quantity = abs(held + book.working_quantity(*key, Side.BUY))
        low_quantity = abs(held - book.working_quantity(*key, Side.SELL))
        return max(top_quantity, low_quantity) * middle(top)

    def _working(self) -> Iterable[Key]:
        return ((order.venue, order.instrument_id) for order in self._book.working())

    def _age(self, scope: str) -> Used | None:
        now_ns = self._book.now_ns
        return _most(
            (Decimal(max(0, now_ns - top.ts_recv) // MS_NS), ".".join(key))
            for key, top in self._book.tops.items()
            if self._holds(scope, key)
        )

    def _holds(self, scope: str, key: Key) -> bool:
        kind, _, name = scope.partition(":")
        if kind == "strategy":
            return self._book.exposures.slot(key, name) is not None
        return kind == GLOBAL or name == (key[0] if kind == "venue" else key[1])

    def _orders_per_fill(self, scope: str) -> Used:
        counts = self._book.traffic.counts(scope, self._book.now_ns)
        return round(Decimal(counts.orders) / max(counts.fills, 1), 4), ""

    def _by_strategy(self, measure: Callable[[str], Decimal], scope: str) -> Used | None:
        # What holds for each strategy by itself: the one that uses most of it.
        if scope.startswith("strategy:"):
            return measure(scope), ""
        names = dict.fromkeys([*self._book.open_orders, *self._book.heartbeats.known()])
        return _most((measure(f"strategy:{name}"), name) for name in names)

    def _open_orders(self, scope: str) -> Decimal:
        return Decimal(self._book.open_orders.get(scope.partition(":")[2], 0))

    def _rate(self, scope: str) -> Decimal:
        rate = self._rates.get(scope)
        return ZERO if rate is None else Decimal(rate.count(self._book.now_ns))

    def _silence(self, scope: str) -> Decimal:
        name = scope.partition(":")[2]
        heartbeats = self._book.heartbeats
        # Who was never heard is no process: a person, or a strategy of before. And whose process
        # is replaced has longer than the limit says.
        if heartbeats.is_replaced(name) and name not in heartbeats.lost:
            return ZERO
        return Decimal(max(0, heartbeats.silent_ns(name)) // MS_NS) / 1000


def _most(found: Iterable[Used]) -> Used | None:
    return max(found, key=lambda used: used[0], default=(ZERO, ""))
