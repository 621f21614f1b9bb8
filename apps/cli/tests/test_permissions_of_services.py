"""The table of permissions covers what every service declares, so that the two cannot drift."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from tickbus import permissions, subjects
from tickbus.config import Settings, load
from tickbus.events import (
    Heartbeat,
    StrategyChanged,
    StrategyOutcome,
    StrategyPhase,
    StrategyState,
)
from tickbus.permissions import StrategyUser, covers
from tickbus.runtime import ServiceSpec, buckets
from tickbus_cli.profile import SERVICES
from tickbus_strategy.making import heard_in

ROOT = Path(__file__).parents[3]
UNDECLARED = ("strategy", "killswitch")
"""One has an account instead of a row; the other is no core in a shell."""
ENVIRONMENT = {
    "TICKBUS_POSTGRES_DSN": "postgresql://user@localhost/none",
    "TICKBUS_VENUE_API_KEY": "key",
    "TICKBUS_VENUE_API_SECRET": "secret",
}


def settings(*overlays: str) -> Settings:
    files = [ROOT / "config" / name for name in ("default.yaml", *overlays)]
    return load(files, ENVIRONMENT)


def spec(service: str, found: Settings) -> ServiceSpec:
    build = importlib.import_module(f"tickbus_{service}.service").build
    made: ServiceSpec = build(found)
    return made


def within(patterns: list[str], wanted: str) -> bool:
    return any(covers(pattern, wanted) for pattern in patterns)


@pytest.mark.parametrize("overlays", [(), ("venues/binance.yaml",)], ids=["venue", "paper"])
@pytest.mark.parametrize("service", [name for name in SERVICES if name not in UNDECLARED])
def test_what_a_service_declares_it_may(service: str, overlays: tuple[str, ...]) -> None:
    declared, row = spec(service, settings(*overlays)), permissions.TABLE[service]
    may_hear = permissions.allowed(service)["subscribe"]["allow"]
    for subject in (subjects.STATUS, *declared.subscribe, *declared.responders):
        assert within(may_hear, subject), f"{service} may not hear {subject}"
    if declared.consume:
        assert row.reads
        assert row.durable
    assert set(declared.watch) <= set(row.watches)
    if declared.rehearse is not None:
        rehearsal = subjects.rehearsal(service, "1")
        assert within(may_hear, rehearsal)
        assert within(permissions.allowed(service)["publish"]["allow"], rehearsal)


def test_what_strategies_declare_their_user_may() -> None:
    found = settings()
    for strategy_id in ("", "momentum"):
        own = replace(found, environment={**ENVIRONMENT, "TICKBUS_STRATEGY_ID": strategy_id})
        user = StrategyUser(ids=(strategy_id or permissions.ANY,))
        declared = spec("strategy", own)
        for subject in heard_in([("sim", "BTC-USDT")]):
            assert within(user.heard, subject), subject
        for subject in (*declared.consume, *declared.recall):
            assert within(list(permissions.readable(user.ids)), subject), subject
        for event in (
            StrategyState(1, 1, "momentum", StrategyPhase.STOPPED, "", 0),
            StrategyChanged(1, 1, "momentum", 1, StrategyOutcome.APPLIED, None, None, "", ""),
            Heartbeat(1, 1, "momentum"),
        ):
            assert within(user.sent, subjects.of(event)), subjects.of(event)
        assert declared.durable in user.durables
        assert set(declared.watch) <= {"instruments", "strategies"}
        assert set(declared.responders) <= set(user.asked)


def test_every_service_has_a_row_and_every_bucket_a_reader() -> None:
    assert set(SERVICES) - {"strategy"} <= set(permissions.TABLE)
    assert set(buckets.TYPES) <= set(permissions.BUCKETS)
