"""Who takes another's message id, or says what only others may say, changes nothing."""

import logging
from decimal import Decimal

import pytest

from tickbus import codec, subjects
from tickbus.bus import BusError, MemoryBus
from tickbus.codec import MalformedMessage
from tickbus.events import (
    GLOBAL,
    CancelAllOrders,
    CancelOrder,
    Event,
    OrderRejected,
    OrderType,
    SetTradingState,
    Side,
    SubmitOrder,
    TradingState,
    TradingStateChanged,
)
from tickbus.events.orders import message_id
from tickbus.runtime.storing import NAMES_MAX, store
from tickbus.runtime.telemetry import Telemetry
from tickbus.tracing import about

REJECTED = OrderRejected(1, 1, "beta-r-1", "beta", "sim", "BTC-USDT", "X", "")
OTHER = OrderRejected(2, 2, "beta-r-1", "beta", "sim", "BTC-USDT", "Y", "")
ORDER = SubmitOrder(
    1, 1, "alpha-r-1", "alpha", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
)
INTENT = "orders.intent.alpha"


async def put(bus: MemoryBus, event: Event) -> object:
    return await store(
        bus, event, subjects.of(event), codec.encode([event]), Telemetry("t"), logging.getLogger()
    )


async def test_what_was_said_before_counts() -> None:
    bus = MemoryBus()
    assert await put(bus, REJECTED) == ()
    assert await put(bus, OTHER) == [REJECTED]
    assert await bus.last_sequence() == 1


@pytest.mark.parametrize("forged", [ORDER, REJECTED])
async def test_an_id_that_somebody_took_keeps_nothing_from_being_stored(
    forged: Event, caplog: pytest.LogCaptureFixture
) -> None:
    bus = MemoryBus()
    await bus.publish_durable(INTENT, codec.encode([forged]), message_id(REJECTED))
    assert await put(bus, REJECTED) == ()
    assert (await bus.read(2)).subject == "orders.event.sim.beta"
    assert caplog.records[0].__dict__["fields"] == about("beta-r-1")["fields"]
    assert await put(bus, OTHER) == [REJECTED], "still once"


async def test_who_takes_every_id_is_not_followed_for_ever() -> None:
    bus = MemoryBus()
    name = message_id(REJECTED)
    for number in range(NAMES_MAX):
        taken = f"{name}:{number}" if number else name
        await bus.publish_durable(INTENT, codec.encode([ORDER]), taken)
    with pytest.raises(BusError, match="taken by somebody else"):
        await put(bus, REJECTED)


@pytest.mark.parametrize(
    "forged",
    [
        REJECTED,
        SetTradingState(1, 1, TradingState.ACTIVE, "x", "alpha"),
        TradingStateChanged(
            1, 1, GLOBAL, TradingState.HALTED, TradingState.ACTIVE, "ann", "resume"
        ),
        SubmitOrder(
            1, 1, "beta-r-1", "beta", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
        ),
        CancelAllOrders(1, 1, "c"),
    ],
)
def test_an_event_on_a_subject_that_is_not_its_own_is_not_believed(forged: Event) -> None:
    payload = codec.encode([forged])
    with pytest.raises(MalformedMessage):
        codec.decode_said(INTENT, payload)


def test_what_belongs_there_is_believed() -> None:
    cancel = CancelOrder(1, 1, "c", "alpha-r-1", "alpha", "sim", "BTC-USDT")
    assert codec.decode_said(INTENT, codec.encode([ORDER, cancel])).events == [ORDER, cancel]
