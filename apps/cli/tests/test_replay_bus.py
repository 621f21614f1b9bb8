"""One strategy on one capture without a bus, on one in memory and over NATS: the same, in order.

A kind that is shipped without a row here fails a test: add one, with parameters that make it trade
on the made-up market.
"""

import gzip
import json
import os
import tomllib
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tickbus.bus import BusError, MemoryBus, Message, Stored
from tickbus.clock import VirtualClock
from tickbus_cli import new
from tickbus_cli.main import main
from tickbus_cli.practice import practice_capture
from tickbus_cli.traffic import Counted, Traffic

ROOT = Path(__file__).parents[3]
CAPTURES = Path(os.environ.get("TICKBUS_CAPTURES", ROOT.parent / "shared" / "data"))
REAL = CAPTURES / "binance" / "spot" / "btcusdt_20240808.gz"
REAL_LINES = 3_000


class Row(NamedTuple):
    """A kind, seconds of the made-up market in which it trades, and parameters that make it."""

    kind: str
    seconds: int
    params: str


TABLE = (
    Row("ping-pong", 30, "hold_s=3"),
    Row("momentum", 30, "threshold_bps=1 cooldown_s=1"),
    Row("sma-crossover", 60, "bar_s=0.5 fast=3 slow=40 cooldown_s=1"),
    Row(
        "liquidation",
        30,
        "ticks=10 price_threshold=3 volume_multiplier=1.2 recent_ticks=5 average_ticks=50",
    ),
    Row("market-making", 45, "spread_bps=20 min_profit_bps=0"),
    Row("avellaneda-stoikov", 45, "gamma=0.001 kappa=2 min_profit_bps=0 warmup_s=2 requote_s=5"),
)
NOT_ON_ONE_CAPTURE = {"arbitrage"}
"""Kinds that need several venues, and a replay is of one: `tests/strategies` holds each to it."""


each_kind = pytest.mark.parametrize("row", TABLE, ids=[row.kind for row in TABLE])


class Told(NamedTuple):
    """All that one run says."""

    report: bytes
    intents: bytes


@pytest.fixture
def practice(tmp_path: Path) -> Path:
    """Half a minute of the made-up market that new strategies get."""
    return a_practice(tmp_path, 30)


def a_practice(folder: Path, seconds: int) -> Path:
    path = folder / "practice.gz"
    path.write_bytes(practice_capture(seconds))
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of a recorded market."""
    path = tmp_path_factory.mktemp("captures") / "real.gz"
    with gzip.open(REAL, "rb") as lines:
        path.write_bytes(gzip.compress(b"".join(islice(lines, REAL_LINES))))
    return path


def replayed(
    capsysbinary: pytest.CaptureFixture[bytes], capture: Path, strategy: str, params: str = "",
    bus: str = "none",
) -> Told:  # fmt: skip
    intents = capture.with_suffix(f".{bus}.jsonl")
    arguments = ["replay", str(capture), "--strategy", strategy, "--bus", bus, "--json"]
    arguments += ["--intents", str(intents)]
    if params:
        arguments += ["--params", *params.split()]
    assert main(arguments) == 0, capsysbinary.readouterr().err
    return Told(capsysbinary.readouterr().out, intents.read_bytes())


def assert_same_on_every_bus(
    capsysbinary: pytest.CaptureFixture[bytes], capture: Path, strategy: str, params: str
) -> Told:
    alone = replayed(capsysbinary, capture, strategy, params)
    assert replayed(capsysbinary, capture, strategy, params) == alone, "replayed twice"
    for bus in ("memory", "nats"):
        found = replayed(capsysbinary, capture, strategy, params, bus)
        assert found.intents == alone.intents, bus
        assert found.report == alone.report, bus
    return alone


@each_kind
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_same_wishes_and_report_on_every_bus(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, row: Row
) -> None:
    capture = a_practice(tmp_path, row.seconds)
    told = assert_same_on_every_bus(capsysbinary, capture, row.kind, row.params)
    report: Any = json.loads(told.report)
    assert report["signals"] == told.intents.count(b'"kind":"SubmitOrder"')
    assert report["fills"] > 0
    assert report["strategies_failed"] == {}


@each_kind
@pytest.mark.slow
@pytest.mark.captures
@pytest.mark.timeout(300)
@pytest.mark.skipif(not REAL.is_file(), reason=f"no {REAL}; set TICKBUS_CAPTURES")
def test_same_wishes_and_report_on_every_bus_of_a_recorded_market(
    capsysbinary: pytest.CaptureFixture[bytes], real: Path, row: Row
) -> None:
    assert_same_on_every_bus(capsysbinary, real, row.kind, row.params)


def test_every_shipped_kind_has_a_row() -> None:
    project = tomllib.loads((ROOT / "services" / "strategy" / "pyproject.toml").read_text("utf-8"))
    shipped = set(project["project"]["entry-points"]["tickbus.strategies"])
    assert shipped - NOT_ON_ONE_CAPTURE == {row.kind for row in TABLE}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_skeleton_of_a_strategy_wishes_the_same_on_a_bus(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    folder = new.make(new.named("quiet_river"), tmp_path)
    (folder / "practice.gz").write_bytes(practice_capture(15))
    name = f"{folder / 'quiet_river.py'}:QuietRiver"
    alone = replayed(capsysbinary, folder / "practice.gz", name)
    assert alone.intents.count(b"\n") >= 2
    assert replayed(capsysbinary, folder / "practice.gz", name, bus="memory") == alone


def test_wishes_are_lines_of_json(
    capsysbinary: pytest.CaptureFixture[bytes], practice: Path
) -> None:
    told = replayed(capsysbinary, practice, "ping-pong")
    wishes = [json.loads(line) for line in told.intents.splitlines()]
    assert {wish["kind"] for wish in wishes} == {"SubmitOrder", "CancelOrder"}
    assert wishes[0]["client_order_id"] == "ping-pong-replay-1"
    assert wishes[0]["price"] == "59999.99"
    wanted = json.loads(told.report)["orders"]["wanted"]
    assert wanted == sum(wish["kind"] == "SubmitOrder" for wish in wishes)


def test_wishes_that_cannot_be_written_are_an_error(
    practice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(practice), "--intents", str(tmp_path)]) == 2
    assert "--intents" in capsys.readouterr().err


# -- what makes time stand still ---------------------------------------------------------------


async def test_traffic_is_quiet_once_everything_is_handled_also_what_was_stored_before() -> None:
    heard, seen = list[str](), list[bytes]()
    traffic, bus = Traffic(seen.append), MemoryBus()
    one, other = Counted(bus, traffic), Counted(bus, traffic)

    async def hear(message: Message) -> None:
        heard.append(message.subject)
        if message.subject == "orders.intent.a":
            await other.publish("md.x", b"2")

    await one.publish_durable("orders.intent.a", b"1", "first")
    await other.subscribe("md.*", hear)
    await other.consume("d", ["orders.intent.*"], hear)
    await traffic.quiet()
    assert heard == ["orders.intent.a", "md.x"]
    assert seen == [b"1", b"2"]
    with pytest.raises(BusError, match="stored before"):
        await one.publish_durable("orders.intent.a", b"1", "first")
    await bus.close()


async def test_message_that_the_bus_itself_had_to_say_twice_was_not_stored_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus()
    await bus.publish_durable("orders.intent.a", b"0", "of an earlier replay")
    traffic = Traffic(lambda payload: None)
    await traffic.begin(bus)
    store = bus.publish_durable

    async def late(subject: str, payload: bytes, message_id: str) -> Stored:
        await store(subject, payload, message_id)
        return await store(subject, payload, message_id)

    monkeypatch.setattr(bus, "publish_durable", late)
    client = Counted(bus, traffic)
    stored = await client.publish_durable("orders.intent.a", b"1", "first")
    assert (stored.sequence, stored.duplicate) == (2, True)
    for name in ("first", "of an earlier replay"):
        with pytest.raises(BusError, match="stored before"):
            await client.publish_durable("orders.intent.a", b"1", name)
    await bus.close()


async def test_message_that_nobody_handles_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickbus_cli.traffic.QUIET_TIMEOUT_S", 0.01)
    traffic = Traffic(lambda payload: None)
    traffic.listen("md.*")
    await Counted(MemoryBus(), traffic).publish("md.lost", b"")
    with pytest.raises(BusError, match=r"1 on md\.lost"):
        await traffic.quiet()


def test_virtual_timers_come_in_the_order_of_their_times_and_not_if_cancelled() -> None:
    clock, fired = VirtualClock(5), list[str]()
    clock.call_at(30, lambda: fired.append("late"))
    clock.call_at(20, lambda: fired.append("first"))
    clock.call_at(20, lambda: fired.append("second"))
    clock.call_at(10, lambda: fired.append("never")).cancel()
    clock.call_at(1, lambda: fired.append("at once"))
    times = []
    while (call := clock.next_due(25)) is not None:
        call()
        times.append(clock.now_ns())
    assert fired == ["at once", "first", "second"]
    assert times == [5, 20, 20]
