"""A short run of chaos: whatever dies or breaks, our books stay the exchange's."""

from pathlib import Path

import pytest

from tickbus_testkit.chaos.modes import FAULTS, FUTURES, MODES, SPOT, TWO_VENUES, Mode
from tickbus_testkit.chaos.run import Chaos
from tickbus_testkit.chaos.schedule import OUTAGE_S, QUIET_S

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
def test_schedule_is_the_same_for_the_same_seed_and_meets_everything(mode: Mode) -> None:
    blows = mode.schedule(7, 300)
    assert blows == mode.schedule(7, 300)
    assert blows != mode.schedule(8, 300)
    acts = {f"kill {name}" for name in mode.services}
    struck = {blow.what for blow in blows if not blow.what.startswith("pause ")}
    assert acts | set(mode.faults) | set(mode.acts) == struck
    assert sum(blow.what.startswith("kill ") for blow in blows) >= 30
    assert sum(blow.what in mode.faults for blow in blows) >= 15
    assert {blow.where for blow in blows} == set(mode.venues.values())
    assert max(blow.lasts_s for blow in blows) == OUTAGE_S, "the database is away for long, once"
    assert all(QUIET_S <= blow.at_s <= 300 - QUIET_S for blow in blows)
    if mode is SPOT:
        assert {f"pause {name}" for name in mode.services} < {blow.what for blow in blows}
        assert mode.faults == FAULTS


# Spot for a minute, as it trades by default; the others for as long as one kill, one fault and one
# pause take: with all that they start they are over in less than a minute each.
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("mode", "seed", "seconds"),
    [
        pytest.param(SPOT, 11, 60.0, id="spot", marks=pytest.mark.slow(100)),
        pytest.param(TWO_VENUES, 12, 20.0, id="two-venues", marks=pytest.mark.slow(60)),
        pytest.param(FUTURES, 13, 20.0, id="futures", marks=pytest.mark.slow(60)),
    ],
)
async def test_books_are_equal_after_a_short_run_of_chaos(
    mode: Mode, seed: int, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("TICKBUS_CHAOS", str(ROOT / "tests" / "chaos"))
    orders, fills = 5 * seconds, seconds  # a machine that is slow takes longer for them
    chaos = Chaos(mode, seed, seconds, tmp_path, ROOT, print, orders_min=orders, fills_min=fills)
    report = await chaos.run()
    assert report.is_sound, "\n".join(report.differences)
    assert report.kills >= (5 if mode is SPOT else 1)
    assert report.faults >= (2 if mode is SPOT else 1)
    assert report.orders > orders
    assert report.fills > fills
    assert report.wholes or mode is not TWO_VENUES
    assert report.payments or mode is not FUTURES
