"""What a strategy notes of its decisions: on its orders, for who asks, and a little of it aloud."""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tickbus.events import Event, StrategyDecision, SubmitOrder
from tickbus.events.strategy import INPUT_MAX, INPUT_NAME_MAX, INPUTS_MAX
from tickbus_strategy.refusing import NotOrdered

Input = float | Decimal | str
KEPT = 200
"""Decisions of one strategy that are kept for who asks."""
NOT_ORDERED = "not_ordered"
"""The input that says why a decision led to no order, where one was asked for."""
SLOT_NS = 100_000_000
"""One decision is told per slot, the first; those with orders are told always."""


class _Kept(NamedTuple):
    ts_event: int
    ts_recv: int
    venue: str
    instrument_id: str
    inputs: dict[str, Input]
    client_order_ids: tuple[str, ...]


class Decisions:
    """The decisions of one strategy."""

    def __init__(self, strategy_id: str, *, every: bool = False) -> None:
        """`every` one is told, however many there are."""
        self.every = every
        self._strategy_id = strategy_id
        self._inputs: dict[str, Input] = {}
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._slot = -1

    def note(self, inputs: dict[str, Input]) -> None:
        """Add to the decision being made. Raises ValueError for more than can be kept."""
        if len(self._inputs) + len(inputs) > INPUTS_MAX and len(self._inputs | inputs) > INPUTS_MAX:
            raise ValueError(f"note: a decision has {INPUTS_MAX} inputs at most; note fewer")
        for name in inputs:
            if len(name) > INPUT_NAME_MAX:
                raise ValueError(f"note: {name!r} is longer than {INPUT_NAME_MAX} characters")
        self._inputs.update(inputs)

    def written(self) -> dict[str, str]:
        """What was noted so far, as an order carries it."""
        return _written(self._inputs) if self._inputs else {}

    def end(
        self, ts_event: int, ts_recv: int, venue: str, instrument_id: str, wishes: Sequence[Event],
        refused: Sequence[NotOrdered] = (),
    ) -> StrategyDecision | None:  # fmt: skip
        """The decision is made: keep it, and return it if it is to be told."""
        if not (self._inputs or refused):
            return None
        inputs, self._inputs = self._inputs, {}
        if refused:
            inputs[NOT_ORDERED] = ", ".join(dict.fromkeys(each.reason for each in refused))
        ids = tuple(wish.client_order_id for wish in wishes if isinstance(wish, SubmitOrder))
        kept = _Kept(ts_event, ts_recv, venue, instrument_id, inputs, ids)
        self._kept.append(kept)
        slot = ts_recv // SLOT_NS
        if slot == self._slot and not (ids or self.every):
            return None
        self._slot = slot
        return self._told(kept)

    def forget(self) -> None:
        """What was noted led nowhere: the strategy raised."""
        self._inputs = {}

    def latest(self, most: int = KEPT) -> list[StrategyDecision]:
        """The last ones, the newest first."""
        return [self._told(kept) for kept in list(self._kept)[: -most - 1 : -1]]

    def _told(self, kept: _Kept) -> StrategyDecision:
        return StrategyDecision(
            kept.ts_event, kept.ts_recv, self._strategy_id, kept.venue, kept.instrument_id,
            _written(kept.inputs), kept.client_order_ids,
        )  # fmt: skip


def _written(inputs: dict[str, Input]) -> dict[str, str]:
    return {
        name: (repr(value) if isinstance(value, float) else str(value))[:INPUT_MAX]
        for name, value in inputs.items()
    }
