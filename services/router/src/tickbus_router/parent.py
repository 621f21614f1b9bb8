"""One order that is split over venues: its parts, its rounds, and how it did."""

from decimal import Context, Decimal, localcontext
from typing import Self

from tickbus.events import Fill, OrderApproved, SubmitOrder
from tickbus.order import Order, Orders
from tickbus.portfolio import assets
from tickbus_router.memory import ParentMemory
from tickbus_router.planning import ZERO

BPS = 10_000
_EXACT = Context(prec=60)


class Parent:
    """A smart order on its way; `parts` holds its children, also those that have ended."""

    def __init__(self, event: OrderApproved) -> None:
        self.event = event
        self.parts = Orders()
        self.rounds = 0
        self.ts_round = 0
        self.avoided: dict[str, str] = {}
        """Venues that refused a part of it, and why."""
        self.passed_over: dict[str, str] = {}
        """Venues that had just refused another order, and were asked last; not remembered."""
        self.canceling = False
        self.looks = 0
        """Times that there was nothing to take; not remembered, after a restart they count anew."""
        self.fruitless = 0
        """Attempts in a row that filled nothing."""
        self._filled_before = ZERO
        self.benchmark: Decimal | None = None
        self._cost = ZERO
        self._filled = ZERO

    def snapshot(self) -> ParentMemory:
        """All that folding the order path gave."""
        return ParentMemory(
            self.event, self.parts.snapshot(), self.rounds, self.ts_round,
            list(self.avoided.items()), self.canceling, self._cost, self._filled,
        )  # fmt: skip

    @classmethod
    def restored(cls, memory: ParentMemory) -> Self:
        """The order that `memory` tells of."""
        parent = cls(memory.event)
        parent.parts.restore(memory.parts)
        parent.rounds, parent.ts_round = memory.rounds, memory.ts_round
        parent.avoided, parent.canceling = dict(memory.avoided), memory.canceling
        parent._cost, parent._filled = memory.cost, memory.filled
        return parent

    @property
    def order(self) -> SubmitOrder:
        """What was asked for."""
        return self.event.order

    @property
    def is_waiting(self) -> bool:
        """Whether a part may still trade, or has fills that were not told yet."""
        return any(not part.is_terminal or part.missing_quantity for part in self.parts)

    @property
    def left(self) -> Decimal:
        """What no part has filled, in base."""
        return max(ZERO, self.order.quantity - self._filled)

    @property
    def filled(self) -> Decimal:
        """What the parts have filled, in base."""
        return self._filled

    @property
    def attempts(self) -> int:
        """Rounds sent out, and looks that found nothing to send."""
        return self.rounds + self.looks

    def refusals(self) -> list[str]:
        """What each venue refused of it; and of those passed over what they had refused before."""
        other = {v: f"passed over, {why}" for v, why in self.passed_over.items()}
        return [f"{venue}: {what}" for venue, what in sorted((other | self.avoided).items())]

    def begin_round(self, now_ns: int) -> None:
        """Its parts are sent now."""
        self.rounds, self.ts_round = self.rounds + 1, now_ns
        self._filled_before = self._filled

    def end_round(self) -> None:
        """Every part of the last round is over."""
        self.fruitless = 0 if self._filled > self._filled_before else self.fruitless + 1

    def find_nothing(self) -> None:
        """The books have nothing to take now."""
        self.looks, self.fruitless = self.looks + 1, self.fruitless + 1

    def part_id(self) -> str:
        """The id of the next part: derived, so that a repeat of the decision is the same part."""
        return f"{self.order.client_order_id}-{len(self.parts) + 1}"

    def add(self, part: SubmitOrder) -> None:
        """Take in a part that was sent."""
        self.parts.fold(part)

    def note(self, part: Order, fill: Fill) -> None:
        """Take in a fill of a part."""
        with localcontext(_EXACT):
            value = fill.price * fill.quantity
            base, quote = assets(part.instrument_id)
            fee = ZERO
            if fill.fee_asset == base:
                fee = fill.fee * fill.price
            elif fill.fee_asset == quote:
                fee = fill.fee
            self._filled += fill.quantity
            self._cost += value + fee * fill.side.sign

    def price(self) -> Decimal | None:
        """What was paid or got per unit, fees in (those in a third asset are not)."""
        with localcontext(_EXACT):
            return self._cost / self._filled if self._filled else None

    def shortfall_bps(self) -> Decimal | None:
        """How much worse than the benchmark, in basis points; None without one."""
        price = self.price()
        if price is None or self.benchmark is None:
            return None
        with localcontext(_EXACT):
            worse = (price - self.benchmark) * self.order.side.sign
            return (worse / self.benchmark * BPS).quantize(Decimal("0.0001"))
