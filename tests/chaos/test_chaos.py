"""A short run of chaos: whatever dies or breaks, our books stay the exchange's."""

from pathlib import Path

import pytest

from tickbus_testkit.chaos import FAULTS, OUTAGE_S, QUIET_S, Chaos, schedule
from tickbus_testkit.processes import SERVICES

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "config" / "default.yaml", ROOT / "tests" / "chaos" / "chaos.yaml")


def test_schedule_is_the_same_for_the_same_seed_and_meets_everything() -> None:
    blows = schedule(7, 300)
    assert blows == schedule(7, 300)
    assert blows != schedule(8, 300)
    acts = {f"{act} {name}" for act in ("kill", "pause") for name in SERVICES}
    assert acts | set(FAULTS) == {blow.what for blow in blows}
    assert sum(blow.what.startswith("kill ") for blow in blows) >= 30
    assert sum(blow.what in FAULTS for blow in blows) >= 15
    assert max(blow.lasts_s for blow in blows) == OUTAGE_S, "the database is away for long, once"
    assert all(QUIET_S <= blow.at_s <= 300 - QUIET_S for blow in blows)


@pytest.mark.timeout(240)
async def test_books_are_equal_after_a_minute_of_chaos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKBUS_CHAOS", str(ROOT / "tests" / "chaos"))
    report = await Chaos(11, 60.0, tmp_path, CONFIGS, print).run()
    assert report.is_sound, "\n".join(report.differences)
    assert report.kills >= 5
    assert report.faults >= 2
    assert report.orders > 300
    assert report.fills > 100
