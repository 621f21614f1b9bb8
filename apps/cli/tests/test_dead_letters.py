"""`tickbus dead-letters`: what is shown of a message that was given up, and what can be done."""

import argparse
import asyncio
import json
from decimal import Decimal

import msgspec
import pytest

from tickbus import codec, permissions
from tickbus.bus import Bus, MemoryBus, Message, NatsBus
from tickbus.events import OrderType, Side, SubmitOrder
from tickbus.runtime.deadletters import BUCKET, DeadLetter, LetterState, letters
from tickbus_cli import dead_letters
from tickbus_cli.errors import CliError
from tickbus_cli.main import main
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.users import NEIGHBOR, Users

ORDER = SubmitOrder(
    1, 2, "s-r-1", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal("0.1")
)


def a_letter(sequence: int = 7, state: LetterState = LetterState.DEAD) -> DeadLetter:
    return DeadLetter(
        "risk", "risk", "orders.intent.s", sequence, 3, "KeyError: 'BTC'", "abc", 1_000_000_000,
        state, codec.encode([ORDER]),
    )  # fmt: skip


async def a_bus(*kept: DeadLetter) -> MemoryBus:
    bus = MemoryBus()
    for letter in kept:
        await bus.kv_put(BUCKET, letter.key, codec.encode_value(letter))
    return bus


async def asked(bus: Bus, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    dead_letters.configure(parser)
    return await dead_letters.act(bus, parser.parse_args(arguments))


async def test_list_shows_what_is_dead_and_says_so_by_its_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await asked(await a_bus()) == 0
    assert capsys.readouterr().out == "no dead letters\n"
    bus = await a_bus(
        a_letter(), a_letter(9, LetterState.FAILING), a_letter(8, LetterState.DROPPED)
    )
    assert await asked(bus) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("risk.7")
    assert "orders.intent.s" in line
    assert "failed 3 times: KeyError: 'BTC'" in line
    await asked(bus, "list", "--all")
    assert len(capsys.readouterr().out.splitlines()) == 3


async def test_show_prints_the_message_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert await asked(await a_bus(a_letter()), "show", "risk.7") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["sequence"], shown["attempts"], shown["trace_hash"]) == (7, 3, "abc")
    assert "s-r-1" in shown["events"][0]


async def test_replay_publishes_the_original_and_warns_that_an_answered_order_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bus = await a_bus(a_letter())
    assert await asked(bus, "replay", "risk.7") == 0
    assert await bus.read(1) == Message("orders.intent.s", codec.encode([ORDER]), 1)
    assert "does not trade any more" in capsys.readouterr().out
    assert await asked(bus, "replay", "risk.7") == 0
    assert await bus.last_sequence() == 2, "each replay is a message of its own"
    assert [(each.state, each.replays) for each in await letters(bus)] == [
        (LetterState.REPLAYED, 2)
    ]


async def test_drop_puts_it_aside(capsys: pytest.CaptureFixture[str]) -> None:
    bus = await a_bus(a_letter())
    assert await asked(bus, "drop", "risk.7") == 0
    assert await asked(bus) == 0
    assert "no dead letters" in capsys.readouterr().out


async def test_unknown_letter_is_named_with_those_there_are() -> None:
    bus = await a_bus(a_letter(), a_letter(9, LetterState.FAILING))
    for name in ("risk.8", "risk.9"):
        with pytest.raises(CliError, match=name):
            await asked(bus, "replay", name)


async def test_a_platform_with_accounts_shows_its_letters_to_the_operator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users = Users()
    async with nats_server(users) as server:
        bus = await NatsBus.connect(server.url, "test", users.login(NEIGHBOR))
        await bus.kv_put(BUCKET, a_letter().key, codec.encode_value(a_letter()))
        for name, value in users.environment(permissions.OPERATOR).items():
            monkeypatch.setenv(name, value)
        code = await asyncio.to_thread(main, ["dead-letters", "--bus", server.url])
        assert (code, "risk.7" in capsys.readouterr().out) == (1, True)
        await bus.close()


@pytest.mark.parametrize(
    "subject", ["orders.intent.s", "orders.event.sim.s", "orders.account.sim", "orders.denied.s"]
)
async def test_the_operator_may_put_back_what_a_service_gave_up(subject: str) -> None:
    users = Users()
    async with nats_server(users) as server:
        bus = await NatsBus.connect(server.url, "operator", users.login(permissions.OPERATOR))
        letter = msgspec.structs.replace(a_letter(), subject=subject)
        await bus.kv_put(BUCKET, letter.key, codec.encode_value(letter))
        assert await asked(bus, "replay", letter.key) == 0
        assert (await bus.read(1)).subject == subject
        await bus.close()
