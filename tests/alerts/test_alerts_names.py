"""Whatever rules and dashboards ask for is exported by services that run, under load."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from evaluating import RULES
from scrapes import Sample
from stage import ROOT, Stage, a_stage

import dashboards
from promql import Matcher, Selector, asked
from tickbus_testkit.story import wait_for

CONFIGS = (
    ROOT / "config" / "default.yaml",
    ROOT / "config" / "venues" / "two-exchanges.yaml",
    ROOT / "tests" / "chaos" / "two-venues.yaml",
    ROOT / "tests" / "alerts" / "two-venues.yaml",
)
RECORDED = "tickbus:"
"""Names that recording rules make; what those rules ask for is looked for, too."""
OF_PROMETHEUS = ("ALERTS",)
KILLED = "tickbus_killswitch_"
DIFFERENT = "tickbus_execution_events_total type=DifferenceFound"
PATIENCE_S = 180.0

pytestmark = [pytest.mark.slow(120), pytest.mark.timeout(900)]


def questions() -> Iterator[tuple[str, str]]:
    """(who asks, expression) of every rule and every panel."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield rule.get("alert") or rule["record"], rule["expr"]
    for dashboard in dashboards.ALL:
        for title, expression in dashboards.expressions(dashboard):
            yield f"{dashboard.title}, {title}", expression


def is_exported(selector: Selector, seen: set[Sample]) -> bool:
    names = re.compile(selector.name)
    return any(
        names.fullmatch(sample.name)
        and all(agrees(matcher, dict(sample.labels)) for matcher in selector.matchers)
        for sample in seen
    )


def agrees(matcher: Matcher, labels: dict[str, str]) -> bool:
    label, sign, value = matcher
    if "$" in value:
        return True
    given = labels.get(label, "")
    found = re.fullmatch(value, given) is not None if "~" in sign else given == value
    return found is not sign.startswith("!")


def missing(seen: set[Sample]) -> dict[str, str]:
    """What is asked for and nobody exported, with the labels it is asked for; and who asks."""
    return {
        f"{selector.name} {' '.join(''.join(matcher) for matcher in selector.matchers)}": who
        for who, expression in questions()
        for selector in asked(expression).selectors
        if not selector.name.startswith(RECORDED) and selector.name not in OF_PROMETHEUS
        if not is_exported(selector, seen)
    }


def have_all_happen(stage: Stage) -> None:
    """What is counted only when it happens, and load does not bring by itself."""
    stage.limit_the_stream(1_000_000_000)
    stage.api("PUT", "risk/state", strategy="hammer-sim2", state="REDUCING")
    denied = stage.desk.order(symbol="BTCUSDT", side="Buy", quantity=1_000, price=None)
    assert denied.status_code == 422, denied.text
    stage.exchange("faults", refuse=0.3)  # orders are rejected
    stage.platform["exchange-sim2"].kill()  # connections end, books are stale


class Seen:
    """All that was ever exported; `left` is what is asked for and was not."""

    def __init__(self, stage: Stage) -> None:
        self.left: dict[str, str] = {}
        self._stage = stage
        self._samples: set[Sample] = set()

    def wait(self, *but_for: str, poke: Callable[[], object] = lambda: None) -> None:
        """Until all is there, save names that begin with `but_for`; `left` says what never came.

        `poke` is done before each look.
        """

        def look() -> bool:
            poke()
            self._samples.update(self._stage.scrape())
            self.left = missing(self._samples)
            return all(name.startswith(but_for) for name in self.left)

        with contextlib.suppress(AssertionError):
            wait_for("everything to be exported", look, PATIENCE_S)


async def test_what_rules_and_dashboards_ask_for_is_exported_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_CHAOS", str(ROOT / "tests" / "chaos"))
    async with a_stage(tmp_path, CONFIGS, ("sim2",)) as stage:
        seen = Seen(stage)
        await asyncio.to_thread(have_all_happen, stage)
        await asyncio.to_thread(seen.wait, KILLED, DIFFERENT)
        # Of what somebody cancels at the venue we are not told: comparing the account finds it.
        stage.exchange("faults", drop_user=1.0)
        await asyncio.to_thread(seen.wait, KILLED, poke=stage.cancel_by_hand)
        stage.exchange("faults")
        await asyncio.to_thread(stage.kill)
        await asyncio.to_thread(seen.wait)
    assert seen.left == {}, "what is asked for and nobody exported, and who asks"


def test_what_is_asked_for_with_a_label_that_nothing_has_is_seen() -> None:
    seen = {Sample("tickbus_feed_instruments", (("state", "LIVE"),))}
    (found,) = asked('sum(tickbus_feed_instruments{state="LIVE"})').selectors
    assert is_exported(found, seen)
    for expression in ('tickbus_feed_instruments{state="STALE"}', "tickbus_feed_instrument"):
        (found,) = asked(expression).selectors
        assert not is_exported(found, seen)
