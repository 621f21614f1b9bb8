"""`tickbus doctor` on services: who waits, is of another version, or does not run at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tickbus import __version__, codec, subjects
from tickbus.bus import Bus, MemoryBus, NatsBus
from tickbus.config import Settings
from tickbus.events import ServiceStatus
from tickbus_cli.doctor import answering, servers
from tickbus_cli.doctor.answering import services
from tickbus_cli.doctor.finding import Finding, Level
from tickbus_cli.doctor.place import wanted_of
from tickbus_cli.profile import SERVICES
from tickbus_testkit.patience import PATIENCE_S

WANTED = wanted_of(Settings({"strategies": [{"id": "a"}]}), SERVICES)


def levels(found: list[Finding]) -> list[Level]:
    return [each.level for each in found]


def judged(found: list[Finding]) -> list[tuple[str, Level]]:
    for each in found:
        assert bool(each.remedy) == (each.level in (Level.WARNING, Level.BAD)), each
    return [(each.check, each.level) for each in found]


def a_status(service: str, version: str = __version__, **change: Any) -> bytes:
    ready = change.pop("ready", True)
    instance, venue = change.pop("instance", "0"), change.pop("venue", "")
    return codec.encode_value(
        ServiceStatus(1, 1, service, instance, version, ready, "" if ready else "NATS", 1.0, {},
        {}, {}, {}, venue=venue)
    )  # fmt: skip


async def answer(bus: Bus, *answers: bytes) -> None:
    """From now on each of `answers` is one process's."""
    for each in answers:

        async def respond(_: bytes, said: bytes = each) -> bytes:
            return said

        await bus.respond(subjects.STATUS, respond)


async def asked(*answers: bytes, wanted: Mapping[str, Level] | None = None) -> list[Finding]:
    bus = MemoryBus()
    await answer(bus, *answers)
    return await services(bus, wanted or {})


def all_but(*missing: str) -> list[bytes]:
    return [a_status(name) for name in SERVICES if name not in missing]


async def test_services_are_ready_and_of_one_version() -> None:
    assert levels(await asked(a_status("feed"), a_status("risk"))) == [Level.OK]
    assert levels(await asked()) == [Level.WARNING]
    found = await asked(a_status("feed"), a_status("risk", ready=False), a_status("book", "9.9"))
    assert levels(found) == [Level.WARNING, Level.BAD]
    assert "risk 0 waits for NATS" in found[0].says
    assert "book 0 is version 9.9" in found[1].says
    assert levels(await asked(b"\xc1")) == [Level.BAD]


async def test_where_all_answer_nothing_is_missing() -> None:
    assert judged(await asked(*all_but(), wanted=WANTED)) == [("services", Level.OK)]


@pytest.mark.parametrize("name", ["feed", "book", "strategy", "risk", "execution", "ledger", "api"])
async def test_a_service_of_the_order_path_that_does_not_run_is_bad(name: str) -> None:
    (found,) = await asked(*all_but(name), wanted=WANTED)
    assert judged([found]) == [(f"service {name}", Level.BAD)]
    assert "does not answer" in found.says
    assert f"start {name}" in found.remedy


@pytest.mark.parametrize("name", ["killswitch", "alerts", "history"])
async def test_a_service_that_orders_do_without_is_a_warning(name: str) -> None:
    found = await asked(*all_but(name), wanted=WANTED)
    assert judged(found) == [(f"service {name}", Level.WARNING)]


async def test_where_nobody_answers_the_platform_does_not_run() -> None:
    (found,) = await asked(wanted=WANTED)
    assert (found.check, found.level, found.says) == ("services", Level.WARNING, "none answers")


async def test_each_venue_has_a_feed_and_an_execution() -> None:
    names = (*SERVICES, "feed-sim2", "execution-sim2", "router")
    wanted = wanted_of(Settings({"strategies": [{"id": "a"}]}), names)
    answers = [*all_but(), a_status("feed", venue="sim2")]
    assert judged(await asked(*answers, wanted=wanted)) == [
        ("service execution-sim2", Level.BAD), ("service router", Level.WARNING),
    ]  # fmt: skip


async def test_a_strategy_with_a_process_of_its_own_is_missed_by_its_name() -> None:
    wanted = wanted_of(Settings({"strategies": [{"id": "a"}]}), ("strategy-a", "strategy-b"))
    found = await asked(a_status("strategy", instance="a"), wanted=wanted)
    assert judged(found) == [("service strategy-b", Level.BAD)]


async def test_without_strategies_their_process_is_a_warning() -> None:
    wanted = wanted_of(Settings({}), SERVICES)
    found = await asked(*all_but("strategy"), wanted=wanted)
    assert judged(found) == [("service strategy", Level.WARNING)]


async def test_who_answers_late_is_asked_again_before_it_is_missed() -> None:
    bus = MemoryBus()
    await answer(bus, *all_but("risk"))
    asks = 0

    async def respond(_: bytes) -> bytes | None:
        nonlocal asks
        asks += 1
        return a_status("risk") if asks == answering.ASKS else None

    await bus.respond(subjects.STATUS, respond)
    assert judged(await services(bus, WANTED)) == [("services", Level.OK)]


async def test_who_answers_in_other_words_may_be_the_one_that_is_missed() -> None:
    found = await asked(*all_but("risk"), b"\xc1", wanted=WANTED)
    assert judged(found) == [("services", Level.BAD)]


@asynccontextmanager
async def answering_at(url: str, name: str, *answers: bytes) -> AsyncIterator[None]:
    """Processes that answer at a real NATS."""
    bus = await NatsBus.connect(url, name)
    try:
        await answer(bus, *answers)
        yield
    finally:
        await bus.close()


async def until(url: str, is_so: Callable[[set[str]], bool]) -> dict[str, Finding]:
    """What doctor finds at a real NATS, looked at until the services are as they should be."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            looked = await servers.bus(url, None, expected=True, wanted=WANTED)
            found = {each.check: each for each in looked}
            if is_so({check for check in found if check.startswith("service")}):
                return found


async def test_at_a_real_nats_who_does_not_run_is_found(nats_url: str) -> None:
    async with answering_at(nats_url, "most", *all_but("risk", "alerts")):
        found = await until(nats_url, lambda said: said == {"service risk", "service alerts"})
        assert found["service risk"].level is Level.BAD
        assert found["service alerts"].level is Level.WARNING
        async with answering_at(nats_url, "rest", a_status("risk"), a_status("alerts")):
            found = await until(nats_url, lambda said: said == {"services"})
            assert found["services"].level is Level.OK
