"""Whether a core that was restored from a snapshot knows what one knows that folded everything."""

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from tickbus.events import (
    AccountUpdated,
    Balance,
    CancelAllOrders,
    CancelApproved,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
    Side,
    SubmitOrder,
)
from tickbus.runtime.snapshots import Remembering, memory_of, slices_of

VENUE, INSTRUMENT = "sim", "BTC-USDT"
STRATEGIES = ("pp", "mo")
STEP_NS = 40_000_000
CACHES = frozenset({"_limits"})
"""Attributes that only keep what can be worked out again."""


def order_path(random: Random, count: int, first_ns: int = 1_000_000_000) -> list[Event]:
    """`count` events of the order path, in any order: also what cannot happen, twice, or late."""
    ids = [f"{s}-{run}-{n}" for s in STRATEGIES for run in ("r1", "r2") for n in range(1, 5)]
    events: list[Event] = []
    for number in range(count):
        if events and random.random() < 0.1:
            events.append(random.choice(events))
            continue
        now = first_ns + number * STEP_NS
        events.append(_event(random, random.choice(ids), now, number))
    return events


def _event(random: Random, order_id: str, now: int, number: int) -> Event:
    strategy = order_id.partition("-")[0]
    order = _order(order_id, strategy, now)
    command = f"{order_id.rpartition('-')[0]}-c{number}"
    cancel = CancelOrder(now, now, command, order_id, strategy, VENUE, INSTRUMENT)
    head = (now, now, order_id, strategy, VENUE, INSTRUMENT)
    quantity = Decimal(random.randint(1, 4)) / 4
    fill_id, venue_id = str(random.randint(1, 40)), f"v-{order_id}"
    side = random.choice(list(Side))
    fill = Fill(
        fill_id, side, Decimal("100.5"), quantity, Decimal("0.001"),
        random.choice(("BTC", "USDT", "BNB")), LiquiditySide.TAKER, now,
    )  # fmt: skip
    balance = Balance(random.choice(("BTC", "USDT")), Decimal(number), Decimal(1))
    return random.choice(
        [
            order,
            OrderApproved(now, now, order),
            OrderApproved(now, now, order),
            OrderDenied(now, now, order, DenialReason.MARKET_DATA_STALE, "x"),
            cancel,
            CancelAllOrders(now, now, command, strategy_id=strategy),
            CancelApproved(now, now, cancel),
            OrderSubmitted(*head),
            OrderAccepted(*head, venue_id),
            OrderRejected(*head, "-2010", "no"),
            OrderFilled(*head, venue_id, fill, quantity, Decimal(1)),
            OrderFilled(*head, venue_id, fill, quantity, Decimal(0)),
            OrderCanceled(*head, venue_id, Decimal(0)),
            OrderExpired(*head, venue_id, Decimal(0)),
            CancelRejected(*head, command, "-2011", "unknown"),
            OrderUnknown(*head, "no answer"),
            AccountUpdated(now, now, VENUE, (balance,), complete=False),
        ]
    )


def _order(order_id: str, strategy: str, now: int) -> SubmitOrder:
    side = Side.BUY if order_id[-1] in "13" else Side.SELL
    return SubmitOrder(
        now, now, order_id, strategy, VENUE, INSTRUMENT, side, OrderType.LIMIT, Decimal(1),
        Decimal(100),
    )  # fmt: skip


def restored(core: Remembering, fresh: Remembering) -> Remembering:
    """`fresh`, with what `core` knows, by way of the bytes of a snapshot."""
    slices = list(slices_of(core.snapshot()))
    fresh.restore(memory_of(slices, fresh.memory))
    return fresh


def assert_snapshot_is_history(
    make: Callable[[], Remembering], history: Sequence[Event], cut: int, after: Sequence[Any]
) -> None:
    """Restored at `cut` and then fed the rest, a core is as one that folded everything.

    In all it holds, and in what it says to the events `after` the history.
    """
    whole, before = make(), make()
    for event in history:
        whole.handle(event)
    for event in history[:cut]:
        before.handle(event)
    core = restored(before, make())
    for event in history[cut:]:
        core.handle(event)
    assert known(core) == known(whole)
    for event in after:
        assert list(core.handle(event)) == list(whole.handle(event))
    assert known(core) == known(whole)


def known(thing: Any, seen: frozenset[int] = frozenset()) -> Any:
    """Everything that `thing` holds, as plain data that can be compared.

    Functions and caches (`CACHES`) are left out.
    """
    if isinstance(thing, str | int | float | bytes | None):
        return thing
    if isinstance(thing, Decimal):
        return "Decimal", thing  # compared by its value, exactly, and with nothing else
    if id(thing) in seen:
        return "..."
    seen |= {id(thing)}
    if isinstance(thing, dict):
        return [
            (known(key, seen), known(value, seen))
            for key, value in thing.items()
            if not callable(value) and key not in CACHES
        ]
    if isinstance(thing, set | frozenset):
        return sorted(map(str, thing))
    if isinstance(thing, list | tuple | deque):
        return [known(item, seen) for item in thing]
    names = getattr(thing, "__struct_fields__", ()) or getattr(thing, "__slots__", ())
    fields = getattr(thing, "__dict__", None) or {name: getattr(thing, name) for name in names}
    return type(thing).__name__, known(fields, seen)
