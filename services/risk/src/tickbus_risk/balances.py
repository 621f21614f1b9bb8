"""What of each balance is free to be ordered with, as the venue says and as we know better.

The venue's word is late: an order that has just been approved is in no report yet. So each order
holds what it needs until a report of the venue is known to contain it (the report is not older than
the acceptance or the last fill), or until the order ends without having traded.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tickbus.events import (
    AccountUpdated,
    Event,
    Instrument,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    Side,
    SubmitOrder,
)
from tickbus_risk.exposure import add, mul, sub
from tickbus_risk.snapshot import BalancesMemory, HoldMemory

ZERO = Decimal(0)
ONE = Decimal(1)

Key = tuple[str, str]
"""(venue, asset)."""


class Hold(msgspec.Struct, kw_only=True):
    """What an order needs of an asset; `ts_venue` is when the venue took note of it, 0 before."""

    key: Key
    amount: Decimal
    ts_venue: int = 0
    traded: bool = False


class Free(msgspec.Struct, kw_only=True):
    """One balance: `amount` is free by the venue's word of `ts` (its clock, ns)."""

    amount: Decimal
    ts: int


class Balances:
    """Free balances and what is held against them; `taker_fees` are fractions, by venue."""

    def __init__(self, taker_fees: Mapping[str, Decimal]) -> None:
        self._takers = {venue: ONE + fee for venue, fee in taker_fees.items()}
        self._free: dict[Key, Free] = {}
        self._complete: dict[str, int] = {}
        self._holds: dict[str, Hold] = {}
        self._held: dict[Key, Decimal] = {}
        self._noted: dict[Key, dict[str, Hold]] = {}

    def snapshot(self) -> BalancesMemory:
        """All of it but the fees."""
        return BalancesMemory(
            [(*key, free.amount, free.ts) for key, free in self._free.items()],
            list(self._complete.items()),
            [HoldMemory(i, *h.key, h.amount, h.ts_venue, h.traded) for i, h in self._holds.items()],
            [(*key, amount) for key, amount in self._held.items()],
            [(*key, list(noted)) for key, noted in self._noted.items()],
        )

    def restore(self, memory: BalancesMemory) -> None:
        """Know what `memory` says."""
        self._free = {(v, a): Free(amount=amount, ts=ts) for v, a, amount, ts in memory.free}
        self._complete = dict(memory.complete)
        self._holds = {
            h.order_id: Hold(
                key=(h.venue, h.asset), amount=h.amount, ts_venue=h.ts_venue, traded=h.traded
            )
            for h in memory.holds
        }
        self._held = {(venue, asset): amount for venue, asset, amount in memory.held}
        self._noted = {
            (venue, asset): {order_id: self._holds[order_id] for order_id in noted}
            for venue, asset, noted in memory.noted
        }

    def needed(
        self, order: SubmitOrder, instrument: Instrument, price: Decimal
    ) -> tuple[Key, Decimal]:
        """The asset and the amount that the order ties up: base to sell, quote and fee to buy."""
        if order.side is Side.SELL:
            return (order.venue, instrument.base), order.quantity
        taker = self._takers.get(order.venue, ONE)
        return (order.venue, instrument.quote), mul(mul(order.quantity, price), taker)

    def available(self, key: Key) -> Decimal | None:
        """What may still be ordered with; None when the venue has not said what there is."""
        free = self._free.get(key)
        if free is None:
            return None if key[0] not in self._complete else -self._held.get(key, ZERO)
        held = self._held.get(key)
        return free.amount if held is None else sub(free.amount, held)

    def hold(self, order_id: str, key: Key, amount: Decimal) -> None:
        """An order was approved."""
        if order_id not in self._holds:
            self._holds[order_id] = Hold(key=key, amount=amount)
            self._held[key] = add(self._held.get(key, ZERO), amount)

    def release(self, order_id: str) -> None:
        """The order needs nothing (more) that the venue's word does not contain."""
        hold = self._holds.pop(order_id, None)
        if hold is None:
            return
        self._held[hold.key] = sub(self._held[hold.key], hold.amount)
        self._noted.get(hold.key, {}).pop(order_id, None)

    def report(self, event: AccountUpdated) -> None:
        """The venue's word; an older one changes nothing."""
        told = []
        for balance in event.balances:
            key = (event.venue, balance.asset)
            known = self._free.get(key)
            if known is None or event.ts_event >= known.ts:
                self._free[key] = Free(amount=balance.free, ts=event.ts_event)
                told.append(key)
        if event.complete and event.ts_event >= self._complete.get(event.venue, 0):
            self._complete[event.venue] = event.ts_event
            for key, free in self._free.items():
                if key[0] == event.venue and free.ts < event.ts_event:
                    # Not on a complete list: there is nothing of it.
                    self._free[key] = Free(amount=ZERO, ts=event.ts_event)
            told = [key for key in self._noted if key[0] == event.venue]
        for key in told:
            noted = self._noted.get(key, {})
            for order_id in [i for i, hold in noted.items() if hold.ts_venue <= event.ts_event]:
                self.release(order_id)

    def order_event(self, event: Event) -> None:
        """What became of an order."""
        order_id = getattr(event, "client_order_id", "")
        hold = self._holds.get(order_id)
        if hold is None:
            return
        if isinstance(event, OrderRejected) or _is_nothing(event):
            self.release(order_id)
        elif isinstance(event, OrderFilled):
            hold.traded = True
            self._note(order_id, hold, event.fill.ts_event)
        elif isinstance(event, OrderAccepted):
            self._note(order_id, hold, event.ts_event)
        elif isinstance(event, OrderCanceled | OrderExpired):
            if hold.traded or event.filled_quantity:
                self._note(order_id, hold, event.ts_event)
            else:
                self.release(order_id)

    def _note(self, order_id: str, hold: Hold, ts_venue: int) -> None:
        hold.ts_venue = max(hold.ts_venue, ts_venue)
        free = self._free.get(hold.key)
        told = max(free.ts if free is not None else 0, self._complete.get(hold.key[0], 0))
        if told >= hold.ts_venue:
            self.release(order_id)
        else:
            self._noted.setdefault(hold.key, {})[order_id] = hold


def _is_nothing(event: Event) -> bool:
    # The order that this one replaces was filled first: it was never sent.
    return isinstance(event, OrderReplaced) and not event.quantity
