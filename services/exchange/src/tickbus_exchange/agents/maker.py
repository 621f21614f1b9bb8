"""A market maker: a ladder of limit orders on both sides of a reference price, moved with it."""

from random import Random

import msgspec

from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.orders import (
    Order,
    OrderRequest,
    OrderType,
    Refusal,
    SelfTradePrevention,
    Side,
)
from tickbus_exchange.venue import Venue

BPS = 1e-4
INSERTS_MAX = 6
"""New orders a side and visit, so that one visit stays short."""


class MakerStyle(msgspec.Struct, frozen=True):
    """How one maker quotes."""

    levels: int
    half_spread_bps: float
    spacing_bps: float
    growth: float
    """How much wider each next level is than the one before, as a fraction of `spacing_bps`."""
    size: float
    """Median order, in the symbol's typical quantities."""
    churn: float
    """Chance a visit to replace one order by another at the same price."""


TIGHT = MakerStyle(levels=4, half_spread_bps=0.4, spacing_bps=0.5, growth=0.3, size=1.0, churn=0.3)
QUICK = MakerStyle(levels=6, half_spread_bps=0.7, spacing_bps=0.6, growth=0.3, size=2.0, churn=0.3)
DEEP = MakerStyle(
    levels=110, half_spread_bps=1.5, spacing_bps=0.8, growth=0.03, size=6.0, churn=0.6
)


class Maker:
    """One maker in one symbol. `pull` first, then `quote`, so that makers do not hit each other."""

    def __init__(
        self, venue: Venue, rng: Random, account_id: str, rules: SymbolRules, style: MakerStyle,
        typical_quantity: int,
    ) -> None:  # fmt: skip
        self._venue = venue
        self._rng = rng
        self._account_id = venue.open_crowd_account(account_id).account_id
        self._rules = rules
        self._style = style
        self._median = style.size * typical_quantity
        self._sides: tuple[tuple[Side, int, list[Order]], ...] = (
            (Side.BUY, -1, []),
            (Side.SELL, 1, []),
        )

    def pull(self, reference: float, now_ms: int) -> None:
        """Cancel what stands too near `reference` (1e-8 quote units) or beyond it."""
        near = reference * self._style.half_spread_bps * BPS * 0.5
        for _, sign, orders in self._sides:
            orders[:] = [o for o in orders if o.is_live]
            while orders and sign * (orders[0].price - reference) < near:
                self._cancel(orders.pop(0), now_ms)

    def quote(self, reference: float, now_ms: int, *, inserts_max: int = INSERTS_MAX) -> None:
        """Fill up the ladders around `reference`, nearest level first."""
        for side, sign, orders in self._sides:
            self._fill_near(side, sign, orders, reference, now_ms, inserts_max)
            self._fill_far(side, sign, orders, reference, now_ms, inserts_max)
            if orders and self._rng.random() < self._style.churn:
                self._churn(side, orders, now_ms)

    def _fill_near(
        self, side: Side, sign: int, orders: list[Order], reference: float, now_ms: int, most: int
    ) -> None:
        style = self._style
        step = reference * style.spacing_bps * BPS
        inner = reference + sign * reference * style.half_spread_bps * BPS
        fresh: list[Order] = []
        while len(fresh) < most and len(fresh) < style.levels:
            wanted = inner + sign * step * len(fresh)
            if orders and sign * (orders[0].price - wanted) < step:
                break
            order = self._place(side, sign, wanted, now_ms)
            if order is None:
                break
            fresh.append(order)
        # A fresh order may have met a standing one and be gone; `pull` tidies up next time.
        orders[:0] = fresh

    def _fill_far(
        self, side: Side, sign: int, orders: list[Order], reference: float, now_ms: int, most: int
    ) -> None:
        style = self._style
        while len(orders) > style.levels:
            self._cancel(orders.pop(), now_ms)
        step = reference * style.spacing_bps * BPS
        for _ in range(min(most, style.levels - len(orders))):
            if not orders:
                return
            width = step * (1 + style.growth * len(orders)) * self._rng.uniform(0.7, 1.3)
            order = self._place(side, sign, orders[-1].price + sign * width, now_ms)
            if order is None:
                return
            orders.append(order)

    def _churn(self, side: Side, orders: list[Order], now_ms: int) -> None:
        place = self._rng.randrange(len(orders))
        old = orders[place]
        if not old.is_live:
            return
        self._cancel(old, now_ms)
        sign = 1 if side is Side.SELL else -1
        order = self._place(side, sign, float(old.price), now_ms)
        if order is None:
            del orders[place]
        else:
            orders[place] = order

    def _cancel(self, order: Order, now_ms: int) -> None:
        if order.is_live:
            self._venue.cancel(self._account_id, order.symbol, order.order_id, now_ms)

    def _place(self, side: Side, sign: int, price: float, now_ms: int) -> Order | None:
        rules = self._rules
        ticks = int(price / rules.tick_size) + (1 if sign > 0 else 0)
        lots = max(1, int(self._median * self._rng.lognormvariate(0.0, 0.6) / rules.step_size))
        request = OrderRequest(
            rules.symbol, side, OrderType.LIMIT, lots * rules.step_size, ticks * rules.tick_size,
            stp=SelfTradePrevention.EXPIRE_MAKER,
        )  # fmt: skip
        result = self._venue.submit(self._account_id, request, now_ms)
        return None if isinstance(result, Refusal) else result
