"""What services log is told on the bus: cut, bounded, and never in anybody's way."""

import logging
from collections.abc import Iterator

import pytest

from tickbus import codec, subjects
from tickbus.bus import BusError, MemoryBus, Message
from tickbus.clock import ManualClock
from tickbus.events import Event, LogLevel, LogRecorded
from tickbus.runtime import ServiceSpec, Shell, telling
from tickbus.runtime.telling import AT_ONCE_MAX, EXCEPTION_MAX, MESSAGE_MAX, WAITING_MAX, LogTeller

log = logging.getLogger("tickbus.told")


class Quiet:
    def handle(self, event: object, /) -> tuple[Event, ...]:
        return ()


class DeafBus(MemoryBus):
    async def publish(self, subject: str, payload: bytes) -> None:
        if subject.startswith("logs."):
            raise BusError("away")
        await super().publish(subject, payload)


@pytest.fixture
def teller(monkeypatch: pytest.MonkeyPatch) -> Iterator[LogTeller]:
    # Told at the start and at the end, and not in between where the machine stands still.
    monkeypatch.setattr(telling, "EVERY_S", 60.0)
    teller = LogTeller("feed", "7", LogLevel.WARNING)
    log.addHandler(teller)
    yield teller
    log.removeHandler(teller)


async def told(teller: LogTeller, bus: MemoryBus) -> list[LogRecorded]:
    """What a service tells until it has stopped."""
    found: list[LogRecorded] = []

    async def hear(message: Message) -> None:
        envelope = codec.decode_said(message.subject, message.payload)
        found.extend(event for event in envelope.events if isinstance(event, LogRecorded))

    await bus.subscribe(subjects.LOGS_ALL, hear)
    shell = Shell(ServiceSpec(name="feed", core=Quiet(), edges=(teller,)), bus, clock=ManualClock())
    await shell.start()
    await shell.stop()
    await bus.settle()
    assert shell.failure is None
    return found


async def test_a_line_is_told_with_its_fields_and_its_traceback(teller: LogTeller) -> None:
    log.info("too quiet to be told")
    log.warning("resync of %s", "BTC-USDT", extra={"fields": {"gap": 7}})
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        log.exception("stopping")
    first, second = await told(teller, MemoryBus())
    assert (first.service, first.instance, first.level) == ("feed", "7", LogLevel.WARNING)
    assert (first.message, first.fields) == ("resync of BTC-USDT", {"gap": "7"})
    assert (second.level, second.message) == (LogLevel.ERROR, "stopping")
    assert second.exception.endswith("RuntimeError: broken\n")
    assert second.ts_event >= first.ts_event > 0


async def test_what_is_too_long_or_too_much_is_cut_and_said(teller: LogTeller) -> None:
    log.warning("x" * 100_000, exc_info=ValueError("y" * 100_000))
    for _ in range(WAITING_MAX + 10):
        log.warning("again")
    lines = await told(teller, MemoryBus())
    assert (len(lines[0].message), len(lines[0].exception)) == (MESSAGE_MAX, EXCEPTION_MAX)
    assert len(lines) <= 2 * AT_ONCE_MAX, "once at the start, once at the end"
    log.warning("after the flood")
    assert teller._waiting[-1].left_out == 11


async def test_a_line_that_cannot_be_written_harms_nobody(
    teller: LogTeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.warning("%d of %d", "one")  # noqa: PLE1206 - what is tested
    log.warning("half a letter: \ud800", extra={"fields": {"\udfff": "\ud800"}})
    log.warning("all is well")
    lines = await told(teller, MemoryBus())
    assert [line.message for line in lines] == ["half a letter: ?", "all is well"]
    assert lines[0].fields == {"?": "?"}


async def test_while_the_bus_is_away_lines_are_counted_and_nobody_waits(teller: LogTeller) -> None:
    log.error("into the void")
    bus = DeafBus()
    assert await told(teller, bus) == []
