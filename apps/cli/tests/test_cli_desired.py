"""What was wished for before a start is said aloud, and the command line is the newest wish."""

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus
from tickbus.events import SetStrategy, StrategyTerms
from tickbus_cli.desired import BUCKET, settle
from tickbus_cli.errors import CliError

FILES = StrategyTerms("momentum", ("BTC-USDT",), {"window_s": 5})
WISHED = StrategyTerms("momentum", ("BTC-USDT",), {"window_s": "9"})


def a_wish(terms: StrategyTerms | None, strategy_id: str = "mo", revision: int = 3) -> SetStrategy:
    return SetStrategy(1, 1, strategy_id, revision, terms, "ada", "calmer")


async def a_bus(*wishes: SetStrategy) -> MemoryBus:
    bus = MemoryBus()
    for wish in wishes:
        await bus.kv_put(BUCKET, wish.strategy_id, codec.encode_value(wish))
    return bus


async def kept(bus: MemoryBus, strategy_id: str = "mo") -> SetStrategy:
    value, _ = await bus.kv_read(BUCKET, strategy_id)
    return codec.decode_value(value, SetStrategy)


async def test_what_holds_instead_of_the_configuration_is_said_with_the_way_out() -> None:
    bus, said = await a_bus(a_wish(WISHED)), list[str]()
    await settle(bus, {"mo": FILES}, "", 7, said.append)
    (line,) = said
    assert "mo runs by the wish of ada (revision 3: calmer), not as the configuration says" in line
    assert "`tickbus strategies reset mo`" in line
    assert await kept(bus) == a_wish(WISHED), "it goes on holding"


async def test_the_command_line_is_the_newest_wish_and_on_record_as_one() -> None:
    bus, said = await a_bus(a_wish(WISHED)), list[str]()
    await settle(bus, {"mo": FILES}, "--strategy momentum --params window_s=5", 7, said.append)
    assert await kept(bus) == SetStrategy(
        7, 7, "mo", 4, FILES, "tickbus up", "--strategy momentum --params window_s=5"
    )
    (line,) = said
    assert (
        "`--strategy momentum --params window_s=5` holds from now on, not the wish of ada" in line
    )


async def test_the_command_line_starts_what_was_stopped() -> None:
    stopped = StrategyTerms("momentum", ("BTC-USDT",), {"window_s": 5}, is_running=False)
    bus, said = await a_bus(a_wish(stopped)), list[str]()
    await settle(bus, {"mo": FILES}, "--strategy momentum", 7, said.append)
    assert (await kept(bus)).terms == FILES


async def test_nothing_is_said_of_what_is_as_configured_was_reset_or_does_not_run() -> None:
    stopped = StrategyTerms("momentum", ("BTC-USDT",), is_running=False)
    wishes = (a_wish(FILES), a_wish(None, "other"), a_wish(stopped, "new"))
    bus, said = await a_bus(*wishes), list[str]()
    await settle(bus, {"mo": FILES, "other": FILES}, "", 7, said.append)
    assert said == []


async def test_what_nobody_configured_and_runs_too_is_said_one_by_one_up_to_a_bound() -> None:
    bus, said = await a_bus(*(a_wish(WISHED, f"n{i:02}") for i in range(22))), list[str]()
    await settle(bus, {"mo": FILES}, "--strategy momentum", 7, said.append)
    assert said[0].strip().startswith("n00 runs, too, by the wish of ada")
    assert len(said) == 21
    assert "2 more" in said[-1]


async def test_what_changes_in_that_moment_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object) -> bool:
        return False

    bus = await a_bus(a_wish(WISHED))
    monkeypatch.setattr(bus, "kv_swap", never)
    with pytest.raises(CliError, match="somebody wished for something else"):
        await settle(bus, {"mo": FILES}, "--strategy momentum", 7, lambda line: None)
