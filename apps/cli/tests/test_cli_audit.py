"""`tickbus audit`, `history` and `ledger` against real books, as a user runs them."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tickbus import codec, subjects
from tickbus.bus import NatsBus
from tickbus.config import Settings
from tickbus.events import (
    AccountUpdated,
    Balance,
    Event,
    Fill,
    LiquiditySide,
    OrderApproved,
    OrderFilled,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus.events.orders import message_id
from tickbus.runtime.shell import Shell
from tickbus_cli.main import main
from tickbus_embedded import EmbeddedPostgres
from tickbus_ledger.service import build
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S

D = Decimal
S = 1_700_000_000 * 10**9
ORDER = SubmitOrder(
    S, S, "pp-r-1", "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("0.5"), D(1000)
)
FILL = Fill("f1", Side.BUY, D(1000), D("0.5"), D("0.0005"), "BTC", LiquiditySide.MAKER, S + 1)
STORY: list[Event] = [
    AccountUpdated(S - 9, S - 9, "sim", (Balance("USDT", D(9000), D(0)),), True),
    ORDER,
    OrderApproved(S, S, ORDER),
    OrderFilled(S + 1, S + 1, "pp-r-1", "pp", "sim", "BTC-USDT", "v1", FILL, D("0.5"), D(0)),
]


@pytest.fixture
async def nats_url() -> AsyncIterator[str]:
    """A stream of this test's own."""
    async with nats_server() as server:
        yield server.url


@pytest.fixture
async def data_dir(tmp_path: Path, nats_url: str) -> AsyncIterator[Path]:
    """Books of one order that `tickbus up` could have kept, their server and ledger running."""
    bus = await NatsBus.connect(nats_url, "test-cli-audit")
    async with EmbeddedPostgres(tmp_path / "postgres", start_timeout_s=PATIENCE_S) as server:
        venue = {
            "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
            "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        shell = Shell(build(Settings({"postgres": {"dsn": server.dsn}, "venue": venue})), bus)
        await shell.start()
        for event in STORY:
            payload = codec.encode([event])
            await bus.publish_durable(subjects.of(event), payload, message_id(event))
        await _written(server.dsn, len(STORY))
        yield tmp_path
        await shell.stop()
    await bus.close()


async def _written(dsn: str, fewest: int) -> None:
    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(60):
        while True:
            try:
                if await connection.fetchval("SELECT count(*) FROM order_events") >= fewest:
                    break
            except asyncpg.UndefinedTableError:
                pass
            await asyncio.sleep(0.05)
    await connection.close()


async def tickbus(capsys: Any, *words: str) -> tuple[int, str]:
    """What a user sees: the exit code and both outputs. Commands have a loop of their own."""
    code = await asyncio.to_thread(main, words)
    shown = capsys.readouterr()
    return code, shown.out + shown.err


async def test_the_books_are_verified_and_explained(
    data_dir: Path, nats_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ("--data-dir", str(data_dir))
    code, text = await tickbus(capsys, "audit", "verify", *at)
    assert (code, text.startswith("sound: 4 events")) == (0, True), text
    head = (await tickbus(capsys, "audit", "head", *at))[1].strip()
    assert head in text
    assert (await tickbus(capsys, "audit", "verify", "--expect-head", head.upper(), *at))[0] == 0
    other = "ab" * 32
    code, text = await tickbus(capsys, "audit", "verify", "--json", "--expect-head", other, *at)
    assert (code, json.loads(text)["findings"][0]["row"]) == (1, other)

    bus = ("--bus", nats_url)
    code, text = await tickbus(capsys, "ledger", "explain", "btc", "--json", *bus)
    changes = [json.loads(line) for line in text.splitlines()]
    assert [(c["amount"], c["balance"], c["account"]) for c in changes] == [
        ("-0.0005", "0.4995", "fees"), ("0.5", "0.5", "trading"),
    ]  # fmt: skip
    assert {(c["cause"], c["reference"], c["order"]) for c in changes} == {("FILL", "f1", "pp-r-1")}
    code, text = await tickbus(capsys, "ledger", "explain", "BTC", *bus)
    assert "BTC: 0.4995 at sim" in text
    code, text = await tickbus(capsys, "ledger", "explain", "doge", *bus)
    assert (code, "knows of no such change of DOGE" in text) == (1, True)


async def test_books_of_a_platform_that_stands_still_are_verified_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with EmbeddedPostgres(tmp_path / "postgres", start_timeout_s=PATIENCE_S):
        pass
    code, text = await tickbus(capsys, "audit", "verify", "--data-dir", str(tmp_path))
    assert (code, "have no audit log that can be checked" in text) == (1, True), text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("audit", "verify", "--dsn", "postgresql://x@127.0.0.1:1/y"), "cannot be read"),
        (("audit", "head", "--data-dir", "/nowhere"), "no books below"),
    ],
)
async def test_books_that_are_not_there_are_named(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    code, shown = await tickbus(capsys, *words)
    assert (code, text in shown) == (1, True), shown


def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["history", "fills", "--since", "yesterday"])
    assert "ISO 8601" in capsys.readouterr().err


@pytest.mark.parametrize("anchor", ["zzz", "ab", "x:" + "a" * 64, ":" + "a" * 64, "7:", "a" * 65])
def test_what_is_no_anchor_is_the_fault_of_the_argument_and_not_of_the_books(
    capsys: pytest.CaptureFixture[str], anchor: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--expect-head", anchor, "--data-dir", "/nowhere"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"argument --expect-head: {anchor!r} is no anchor" in said
    assert "64 hex digits" in said
