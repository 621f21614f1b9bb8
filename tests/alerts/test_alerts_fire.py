"""Alerts fire on what running services export once their condition is caused, and not before."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from causes import SERVERS, TRADING, VENUE, WEIGHT, Cause
from evaluating import not_as_told, promtool, rules
from scrapes import Scrape
from stage import ROOT, Stage, a_stage

from tickbus_testkit.story import wait_for

CONFIGS = (ROOT / "config" / "default.yaml", ROOT / "tests" / "alerts" / "alerts.yaml")
FRAGILE = {"risk": (sys.executable, str(Path(__file__).parent / "fragile_risk.py"))}
PATIENCE_S = 240.0
GROUPS = {"servers": SERVERS, "venue": VENUE, "trading": TRADING}
ALWAYS = ("trading",)
ASKED_FOR = pytest.mark.skipif(
    "TICKBUS_ALL_ALERTS" not in os.environ, reason="takes minutes: make alerts runs it"
)


def until_as_told(
    stage: Stage, cause: Cause, alert: str, before: Scrape, course: list[Scrape]
) -> None:
    """Raises AssertionError with what promtool says when it never gets so."""
    said: list[str] = []

    def look() -> bool:
        if cause.poke is not None:
            cause.poke(stage)
        now = stage.scrape()
        services = cause.fires[alert]
        said[:] = [not_as_told(stage.directory, alert, before, [*course, now], services)]
        return not said[0]

    try:
        wait_for(alert, look, PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{alert} did not fire: {said}") from error


def quiet(stage: Stage, cause: Cause) -> Scrape:
    """A scrape that, were all to stay so, would have none of the alerts fire."""
    found: list[Scrape] = []

    def look() -> bool:
        now = stage.scrape()
        found[:] = [now]
        return not any(not_as_told(stage.directory, a, now, [now], ()) for a in cause.fires)

    wait_for(f"no {', '.join(cause.fires)}", look, PATIENCE_S)
    return found[0]


def bring(stage: Stage, cause: Cause) -> None:
    before = quiet(stage, cause)
    with cause.bring(stage) as course:
        for alert in cause.fires:
            until_as_told(stage, cause, alert, before, list(course or ()))


@pytest.mark.slow(150)
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "group",
    [pytest.param(name, marks=() if name in ALWAYS else ASKED_FOR) for name in GROUPS],
)
async def test_alerts_fire_when_their_condition_is_caused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    promtool()
    monkeypatch.setenv("TICKBUS_CHAOS", str(ROOT / "tests" / "chaos"))
    async with a_stage(tmp_path, CONFIGS, replaced=FRAGILE, weight=WEIGHT) as stage:
        await asyncio.to_thread(until_orders_are_filled, stage)
        for cause in GROUPS[group]:
            await asyncio.to_thread(bring, stage, cause)


def until_orders_are_filled(stage: Stage) -> None:
    wait_for("fills", lambda: len(stage.desk.all("fills")) > 5, PATIENCE_S)


NOT_CAUSED = {
    "TickbusServiceMissing": "a target that Prometheus does not find any more; no service tells it",
    "TickbusBug": "a process that met one is gone before it is scraped; of a request there is none",
    "TickbusMemoryHigh": "takes half a gigabyte of the machine that tests",
    "TickbusClockSetBack": "sets back the clock of the machine that tests",
    "TickbusFeedReconnects": "six connections that end, each after a longer pause than the last",
    "TickbusFeedGaps": "ten holes within minutes, each of which is healed before the next is one",
    "TickbusFeedSilent": "a live book that stands still for a minute",
    "TickbusBookCrossed": "nobody crosses a book that a feed has checked",
    "TickbusTickToOrderSlow": "how fast a machine that runs tests is, is no matter of a test",
    "TickbusAccountNotCompared": "ten minutes without a comparison",
    "TickbusStreamLarge": "takes 8 GB of the disk",
    "TickbusConsumerLag": "a thousand messages that wait, and more from one look to the next",
    "TickbusQueueFull": "50 000 messages that wait",
    "TickbusLedgerBehind": "5 000 events that wait",
    "TickbusBooksIncomplete": "spoils the stream for every other service of the platform",
    "TickbusBarsLost": "hours without Postgres",
}
"""Why an alert fires only on hand-written series (observability/tests)."""


def test_it_is_said_of_every_alert_whether_its_condition_is_caused() -> None:
    caused = [alert for group in GROUPS.values() for cause in group for alert in cause.fires]
    assert len(caused) == len(set(caused))
    assert {*caused, *NOT_CAUSED} == rules().keys()
    assert not {*caused} & NOT_CAUSED.keys()
