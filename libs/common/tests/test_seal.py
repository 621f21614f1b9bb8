"""An approval without risk's proof is not obeyed, however it got to execution."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus
from tickbus.codec import Hop
from tickbus.events import Event, OrderApproved, OrderType, Side, SubmitOrder
from tickbus.runtime import ServiceSpec, Shell
from tickbus.seal import Seal

KEY = "k" * 40
SUBJECT = "orders.approved.sim"


def an_approval(n: int = 1) -> OrderApproved:
    order = SubmitOrder(
        1, 2, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
    )
    return OrderApproved(1, 2, order)


def a_payload(n: int = 1) -> bytes:
    return codec.encode([an_approval(n)], (Hop("risk", 3, 4),))


class Approver:
    """Risk, at its most generous."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        return (OrderApproved(1, 2, event),) if isinstance(event, SubmitOrder) else ()


class Executor:
    """Remembers which orders it would send."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def handle(self, event: Any, /) -> Sequence[Event]:
        if isinstance(event, OrderApproved):
            self.sent.append(event.order.client_order_id)
        return ()


def a_shell(name: str, core: Any, bus: MemoryBus, consume: str) -> Shell:
    return Shell(ServiceSpec(name=name, core=core, consume=(consume,)), bus, seal=Seal(KEY))


def test_a_sealed_envelope_is_still_one_for_everybody() -> None:
    sealed = Seal(KEY).put(SUBJECT, a_payload())
    assert codec.decode(sealed) == codec.decode(a_payload())
    assert Seal(KEY).holds(SUBJECT, sealed)


def test_any_change_breaks_the_seal() -> None:
    sealed = Seal(KEY).put(SUBJECT, a_payload())
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        assert not Seal(KEY).holds(SUBJECT, bytes(broken)), position
    assert not Seal(KEY).holds("orders.approved.binance", sealed)
    assert not Seal("o" * 40).holds(SUBJECT, sealed)
    for nothing in (b"", b"\x93", a_payload(), sealed[:-1], sealed[-34:]):
        assert not Seal(KEY).holds(SUBJECT, nothing)


def test_a_key_is_replaced_without_forgetting_the_old_one() -> None:
    old = Seal(KEY).put(SUBJECT, a_payload())
    both = Seal(f"{'n' * 40}, {KEY}")
    assert both.holds(SUBJECT, old)
    assert Seal("n" * 40).holds(SUBJECT, both.put(SUBJECT, a_payload()))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 characters"):
        Seal("short")


async def test_execution_obeys_risk_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    bus, core = MemoryBus(), Executor()
    risk = a_shell("risk", Approver(), bus, "orders.intent.*")
    execution = a_shell("execution", core, bus, "orders.approved.sim")
    await risk.start()
    await execution.start()
    await bus.publish_durable(SUBJECT, a_payload(666), "forged")
    wrong = Seal("o" * 40).put(SUBJECT, a_payload(667))
    await bus.publish_durable(SUBJECT, wrong, "guessed")
    intent = codec.encode([an_approval(1).order])
    await bus.publish_durable("orders.intent.s", intent, "wish")
    await bus.settle()
    assert core.sent == ["s-r-1"]
    assert execution.telemetry.errors["approval_without_proof"] == 2
    said = [r.__dict__["fields"] for r in caplog.records if "malformed" in r.message]
    assert [each["client_order_id"] for each in said] == ["s-r-666", "s-r-667"]
    await risk.stop()
    await execution.stop()

    again = Executor()
    restarted = a_shell("execution", again, bus, "orders.approved.sim")
    await restarted.start()
    await bus.settle()
    assert again.sent == ["s-r-1"], "nor after a restart, from the history"
    await restarted.stop()
