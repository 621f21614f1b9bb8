"""`tickbus leases`: who has what, and how a record that cannot be read is got rid of."""

import asyncio

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus, NatsBus
from tickbus.runtime.lease import BUCKET, LeaseRecord
from tickbus_cli import leases
from tickbus_cli.errors import CliError
from tickbus_cli.main import main

GARBLED = b"\xc1 of another version"
HELD = LeaseRecord("abc", 3, 17, 2.0, "boot/pid:[1]/77/1234")


async def a_bus(**kept: bytes) -> MemoryBus:
    bus = MemoryBus()
    for name, value in kept.items():
        await bus.kv_put(BUCKET, name, value)
    return bus


async def test_each_is_listed_and_a_broken_one_is_no_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    held = codec.encode_value(HELD)
    assert await leases.act(await a_bus(one=held), "list", "") == 0
    assert await leases.act(await a_bus(one=held, two=GARBLED), "list", "") == 1
    said = capsys.readouterr().out
    assert "epoch 3, renewed 17 times, by boot/pid:[1]/77/1234" in said
    assert "two                            CANNOT BE READ: `tickbus leases drop two`" in said
    assert await leases.act(await a_bus(), "list", "") == 0
    assert capsys.readouterr().out == "no leases\n"


async def test_only_what_cannot_be_read_is_dropped() -> None:
    bus = await a_bus(one=codec.encode_value(HELD), two=GARBLED)
    with pytest.raises(CliError, match="can be read: it is given back, or runs out, by itself"):
        await leases.act(bus, "drop", "one")
    with pytest.raises(CliError, match=r"no lease 'tow'\n  did you mean 'two'\?"):
        await leases.act(bus, "drop", "tow")
    assert await leases.act(bus, "drop", "two") == 0
    assert (await bus.kv_read(BUCKET, "two"))[0] == b""
    assert await leases.act(bus, "list", "") == 0


async def test_as_a_person_runs_it(nats_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    bus = await NatsBus.connect(nats_url, "test")
    await bus.kv_put(BUCKET, "execution.x", GARBLED)

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(main, ["leases", *arguments, "--bus", nats_url])

    assert await run() == 1
    assert await run("drop", "execution.x") == 0
    assert await run() == 0
    await bus.close()
    assert "execution.x was dropped" in capsys.readouterr().out
