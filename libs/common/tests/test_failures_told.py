"""What a process that a bug ended leaves to the next one: that it was so, and at which message."""

import logging

from tickbus.bus import MemoryBus, Message
from tickbus.clock import ManualClock
from tickbus.runtime import Telemetry
from tickbus.runtime.deadletters import LATELY_NS, DeadLetters


async def test_the_next_process_counts_the_bug_that_ended_the_last_one() -> None:
    bus, clock = MemoryBus(), ManualClock(1_700_000_000_000_000_000)

    async def a_process() -> tuple[DeadLetters, Telemetry]:
        telemetry = Telemetry("risk")
        found = DeadLetters("risk", "risk", bus, 3, telemetry, clock, logging.getLogger())
        await found.load()
        return found, telemetry

    first, telemetry = await a_process()
    assert telemetry.errors == {}
    await first.note(Message("orders.intent.s", b"", 7), ZeroDivisionError("not 2"))
    _, telemetry = await a_process()
    assert telemetry.errors == {"bug": 1}
    clock.advance_to(clock.now_ns() + LATELY_NS)
    _, telemetry = await a_process()
    assert telemetry.errors == {}, "what was long ago is no news"


async def test_another_message_of_the_same_number_has_not_failed() -> None:
    letters = DeadLetters(
        "risk", "risk", MemoryBus(), 1, Telemetry("risk"), ManualClock(), logging.getLogger()
    )
    failed = Message("orders.intent.s", b"what failed", 7)
    restored = Message("orders.intent.s", b"what the restored stream has there", 7)
    await letters.note(failed, ZeroDivisionError("not 2"))
    assert (letters.is_due(failed), letters.is_due(restored)) == (True, False)
    await letters.bury(failed)
    assert (letters.is_dead(failed), letters.is_dead(restored)) == (True, False)
