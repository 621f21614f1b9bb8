"""What the venue does to a margin account by itself: expiry, countdowns, funding, liquidation.

Consumes: the time, by `step`. Produces: `Changes` by way of the desk.
"""

from tickbus_exchange.engine import futures_margin as margin
from tickbus_exchange.engine.futures_algos import FuturesAlgos
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_types import Changes, Countdown, FuturesTif, IncomeType
from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Side

LIQUIDATION_AGAIN_MS = 1_000
"""How soon a liquidation is tried again where the book was too thin for it."""
MARGIN_CALL_PERCENT = 80
"""A warning is due when maintenance is so much of the margin balance."""


class FuturesKeeper:
    """Watches over one desk. `funding_rate` in 1e-8; above 0 longs pay shorts."""

    def __init__(
        self, desk: FuturesDesk, algos: FuturesAlgos, interval_ms: int, funding_rate: int
    ) -> None:
        self._desk = desk
        self._algos = algos
        self.interval_ms = interval_ms
        self.funding_rate = funding_rate
        self._funding_ms = 0
        self._liquidated_ms = 0
        self._called = False

    def next_funding_ms(self, now_ms: int) -> int:
        """Return the next time at which funding is paid."""
        return (now_ms // self.interval_ms + 1) * self.interval_ms

    def step(self, now_ms: int) -> None:
        """Do what is due by `now_ms`."""
        self._algos.step(now_ms)
        self._expire(now_ms)
        self._count_down(now_ms)
        if self._funding_ms and now_ms >= self._funding_ms:
            self.fund(self.funding_rate, now_ms)
        self._funding_ms = self.next_funding_ms(now_ms)
        self._watch_margin(now_ms)

    def set_clock(self) -> None:
        """The clock was set; funding is next due at the next full interval of the new time."""
        self._funding_ms = 0

    def _expire(self, now_ms: int) -> None:
        """End good-till-date orders at their date, and reduce-only ones with nothing to reduce."""
        books = self._desk.books
        for symbol, orders in books.live.items():
            held = books.position(symbol).quantity
            for order in tuple(orders.values()):
                is_over = order.time_in_force is FuturesTif.GTD and now_ms >= order.good_till_ms
                has_no_use = order.reduce_only and (
                    not held or (held > 0) is (order.side is Side.BUY)
                )
                if is_over or has_no_use:
                    self._desk.expire(order, now_ms)

    # -- dead man's switch ---------------------------------------------------------------------

    def arm(self, symbol: str, countdown_ms: int, now_ms: int) -> None:
        """Cancel all orders of `symbol` after `countdown_ms` unless armed anew; 0 disarms."""
        due_ms = now_ms + countdown_ms if countdown_ms else 0
        countdown = Countdown(symbol, countdown_ms, due_ms)
        self._desk.emit(Changes(now_ms, countdowns=(countdown,)))

    def _count_down(self, now_ms: int) -> None:
        for symbol, countdown in tuple(self._desk.books.countdowns.items()):
            if countdown.due_ms and now_ms >= countdown.due_ms:
                self.cancel_all(symbol, now_ms)
                self.arm(symbol, 0, now_ms)

    def cancel_all(self, symbol: str, now_ms: int) -> int:
        """Cancel every plain order of a symbol; return how many. Conditional orders stay."""
        orders = tuple(self._desk.books.working_orders(symbol).values())
        for order in orders:
            self._desk.cancel(order, now_ms)
        return len(orders)

    # -- funding -------------------------------------------------------------------------------

    def fund(self, rate: int, now_ms: int, symbol: str | None = None) -> int:
        """Settle funding at `rate` for one or every position; return what the wallet got."""
        desk, total = self._desk, 0
        for name, position in tuple(desk.books.positions.items()):
            if not position.quantity or symbol not in {None, name}:
                continue
            worth = margin.value(position, desk.mark(name))
            amount = abs(worth) * abs(rate) // SCALE
            amount = -amount if (worth > 0) is (rate > 0) else amount
            income = desk.income(IncomeType.FUNDING_FEE, name, amount, now_ms)
            desk.emit(Changes(now_ms, reason="FUNDING_FEE", income=(income,)))
            total += amount
        return total

    # -- liquidation ---------------------------------------------------------------------------

    def _watch_margin(self, now_ms: int) -> None:
        desk = self._desk
        needed = desk.maintenance()
        balance = desk.books.wallet + desk.unrealized()
        if needed and balance < needed:
            if now_ms - self._liquidated_ms >= LIQUIDATION_AGAIN_MS:
                self._liquidated_ms = now_ms
                self._liquidate(now_ms)
            return
        is_close = bool(needed) and balance * MARGIN_CALL_PERCENT < needed * 100
        if is_close and not self._called:
            desk.emit(Changes(now_ms, reason="MARGIN_CALL"))
        self._called = is_close

    def _liquidate(self, now_ms: int) -> None:
        """Cancel all orders; close positions, the largest first, until the margin suffices."""
        desk = self._desk
        for symbol in tuple(desk.books.live):
            self.cancel_all(symbol, now_ms)
        held = [p for p in desk.books.positions.values() if p.quantity]
        held.sort(key=lambda p: -abs(margin.value(p, desk.mark(p.symbol))))
        for position in held:
            if desk.books.wallet + desk.unrealized() >= desk.maintenance():
                break
            desk.liquidate(position.symbol, f"autoclose-{now_ms}", now_ms)
        flat = not any(p.quantity for p in desk.books.positions.values())
        if flat and desk.books.wallet < 0:
            # The venue's insurance fund bears what the account cannot.
            income = desk.income(IncomeType.INSURANCE_CLEAR, "", -desk.books.wallet, now_ms)
            desk.emit(Changes(now_ms, reason="INSURANCE_CLEAR", income=(income,)))
