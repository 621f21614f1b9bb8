"""A router restored from a snapshot is one that folded everything."""

from decimal import Decimal
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import (
    AccountUpdated,
    BookDepth,
    CancelApproved,
    CancelOrder,
    Event,
    FeeSchedule,
    Instrument,
    OrderApproved,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus.order import client_order_id_of
from tickbus_router.config import RouterConfig
from tickbus_router.core import RouterCore
from tickbus_testkit.memories import assert_snapshot_is_history, order_path

D = Decimal
LATER = 9_000_000_000
FREE = FeeSchedule(maker=D(0), taker=D(0))
WHOLES = tuple(f"pp-w-{n}" for n in range(4))


def a_core() -> RouterCore:
    return RouterCore(RouterConfig(), {"sim": FREE})


def a_whole(order_id: str, now: int) -> OrderApproved:
    order = SubmitOrder(
        now, now, order_id, "pp", "smart", "BTC-USDT", Side.BUY, OrderType.MARKET, D(3)
    )
    return OrderApproved(now, now, order)


def routed(random: Random, count: int) -> list[Event]:
    """An order path whose orders are parts of wholes, in any order, and what is said of those."""
    events: list[Event] = []
    for event in order_path(random, count):
        if isinstance(event, AccountUpdated):
            complete = random.random() < 0.5
            events.append(msgspec.structs.replace(event, complete=complete))
            continue
        whole = random.choice(WHOLES)
        kind = random.random()
        if kind < 0.15:
            events.append(a_whole(whole, event.ts_recv))
        elif kind < 0.2:
            now = event.ts_recv
            cancel = CancelOrder(now, now, f"c{now}", whole, "pp", "smart", "BTC-USDT")
            events.append(CancelApproved(now, now, cancel))
        elif isinstance(event, SubmitOrder):
            # An id stays with its whole.
            part_of = WHOLES[sum(event.client_order_id.encode()) % len(WHOLES)]
            events.append(msgspec.structs.replace(event, parent_id=part_of))
        elif kind < 0.4 and hasattr(event, "client_order_id") and hasattr(event, "venue"):
            said = {"client_order_id": whole, "venue": "smart"}
            events.append(msgspec.structs.replace(event, **said))
        else:
            events.append(event)
    return [e for e in events if not _is_foreign(e)]


def _is_foreign(event: Event) -> bool:
    # The router says nothing else of a whole than what is in `OwnWord`.
    named = type(event).__name__ in ("CancelOrder", "CancelAllOrders", "OrderUnknown")
    return named and (client_order_id_of(event) in WHOLES or not hasattr(event, "venue"))


@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False), cut=st.integers(0, 80))
def test_restored_router_knows_and_says_what_the_whole_history_makes_it(
    random: Random, cut: int
) -> None:
    book = BookDepth(LATER, LATER, "sim", "BTC-USDT", (), ((100.0, 9.0),), 1, 1)
    instrument = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))
    after = [
        instrument, Recovered(LATER - 1, LATER - 1), book,
        *(TimerFired(LATER, LATER, f"route/{whole}") for whole in WHOLES),
        *(a_whole(f"{whole}x", LATER) for whole in WHOLES),
    ]  # fmt: skip
    history = routed(random, 80)
    assert_snapshot_is_history(a_core, history, min(cut, len(history)), after)
