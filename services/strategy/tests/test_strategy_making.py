"""Terms that make no sense are refused, whatever they are, and end nobody."""

from pathlib import Path

import pytest
from lifecycle_story import VENUE, World, kind, terms, wishes

from tickbus import codec
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import SetStrategy, StrategyChanged, StrategyTerms
from tickbus.runtime.listening import SUBJECTS_MAX
from tickbus_strategy.core import StrategyCore
from tickbus_strategy.hosting import Hearing
from tickbus_strategy.making import Kinds, Maker, Refused
from tickbus_strategy.state import StateKeeper

BTC = ("BTC-USDT",)


def refusal(wanted: StrategyTerms, *, at_start: bool = False) -> str:
    """What is put on record of terms that are wished for while `a` runs, or before the start."""
    world = World({"a": terms()})
    if at_start:
        world.tell(SetStrategy(world.now, world.now, "new", 1, wanted, "ada", "why"))
        out = world.start().said
    else:
        world.start()
        out = world.wish("new", wanted)
        assert not wishes(Hearing, out)
    (record,) = wishes(StrategyChanged, out)
    assert record.outcome == "REFUSED"
    assert world.phase("a") == "RUNNING"
    return str(record.problem)


@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize("name", ["x" * 5_000 + ".py:X", "\0.py:X", "a\0b.py", "x" * 5_000])
def test_a_kind_that_can_be_no_path_is_refused(name: str, at_start: bool) -> None:
    assert refusal(StrategyTerms(name, BTC, {}), at_start=at_start).startswith("kind = ")


def test_a_kind_whose_file_ends_the_process_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nsys.exit(3)\n")
    assert "SystemExit(3)" in refusal(StrategyTerms(f"{script}:X", BTC, {}))


def test_parameters_whose_check_raises_anything_are_refused() -> None:
    assert "DivisionByZero" in refusal(StrategyTerms(kind("Uneasy"), BTC, {"size": 0}))


@pytest.mark.parametrize("name", ["", "*", ">", "BTC USDT", "BTC.USDT", "BTC-USDT\r\n", "\0"])
def test_an_instrument_that_can_be_no_part_of_a_subject_is_refused(name: str) -> None:
    wanted = StrategyTerms(kind("Resting"), (name,), {})
    assert refusal(wanted, at_start=True).startswith("instruments = ")


async def test_the_start_reads_no_key_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS refuses such a key, and the service would never start again."""
    bus, read = MemoryBus(), list[str]()
    wish = SetStrategy(1, 1, "a", 1, StrategyTerms(kind("Resting"), ("", "BTC-USDT"), {}), "x", "y")
    await bus.kv_put("strategies", "a", codec.encode_value(wish))

    async def kv_read(bucket: str, key: str) -> tuple[bytes, int]:
        read.append(key)
        return b"", 0

    monkeypatch.setattr(bus, "kv_read", kv_read)
    maker = Maker(Settings({"strategies": [], "venue": VENUE}, run_id="r"), Kinds())
    await StateKeeper(StrategyCore(), "strategy", maker, []).load(bus)
    assert read == ["strategy.state.a.sim.BTC-USDT"]


def test_more_markets_than_a_process_can_hear_are_refused_and_not_heard() -> None:
    def many(first: int) -> StrategyTerms:
        return terms("Resting", *(f"A{n}-USDT" for n in range(first, first + 100)))

    world = World({"a": terms()}).start("BTC-USDT")
    world.core.core.instruments.clear()
    for n in range(4):
        world.wish(f"s{n}", many(n * 100))
    (refused,) = [r for r in wishes(StrategyChanged, world.said) if r.outcome == "REFUSED"]
    assert refused.strategy_id == "s3"
    assert "more than 400 markets" in refused.problem
    assert len(wishes(Hearing, world.said)[-1].subjects) == 301 * 5 <= SUBJECTS_MAX
    with pytest.raises(Refused, match="more than 400"):
        world.core.check("s4", many(300))
