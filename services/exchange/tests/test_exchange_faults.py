"""Faults on demand: as often as wished, the same for the same seed, and never unasked."""

import json
from typing import Any

import pytest

from tickbus_exchange.protocol.faults import KINDS, NO_FAULT, Faults, FaultSettings

PAYLOAD = b'{"stream":"btcusdt@trade","data":{"p":"100.0"}}'
STREAM = "btcusdt@trade"
ALL: Any = dict.fromkeys(KINDS, 0.05)


def run(settings: FaultSettings, messages: int = 2_000, client: int = 1) -> list[list[bytes]]:
    faults = Faults()
    faults.set(settings)
    return [faults.apply(client, STREAM, b"%d %b" % (n, PAYLOAD)) for n in range(messages)]


def test_without_settings_nothing_is_faulty() -> None:
    faults = Faults()
    assert not faults.active
    faults.set(FaultSettings())
    assert not faults.active
    assert faults.apply(1, STREAM, PAYLOAD) == [PAYLOAD]


def test_same_seed_gives_the_same_faults() -> None:
    settings = FaultSettings(seed=7, **ALL)
    assert run(settings) == run(settings)
    assert run(settings) != run(FaultSettings(seed=8, **ALL))


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_comes_about_as_often_as_wished(kind: str) -> None:
    faults = Faults()
    some: Any = {kind: 0.1}
    faults.set(FaultSettings(**some))
    for n in range(2_000):
        faults.apply(1, STREAM, b"%d %b" % (n, PAYLOAD))
    assert 150 < faults.counts[kind] < 250
    assert sum(faults.counts.values()) == faults.counts[kind]


def test_reordered_message_comes_behind_the_next_one() -> None:
    sent = [part for parts in run(FaultSettings(reorder=0.2)) for part in parts]
    numbers = [int(part.split()[0]) for part in sent]
    assert sorted(numbers) == list(range(len(numbers))), "none is lost"
    assert numbers != sorted(numbers)
    assert all(abs(number - place) <= 1 for place, number in enumerate(numbers))


def test_torn_and_corrupt_messages_are_no_json() -> None:
    for settings in (FaultSettings(truncate=1.0), FaultSettings(corrupt=1.0)):
        faults = Faults()
        faults.set(settings)
        for _ in range(200):
            (part,) = faults.apply(1, STREAM, PAYLOAD)
            with pytest.raises(ValueError, match=r"."):
                json.loads(part)


def test_silent_symbol_says_nothing_and_the_others_go_on() -> None:
    faults = Faults()
    faults.set(FaultSettings(silent=("BTCUSDT",)))
    assert faults.apply(1, STREAM, PAYLOAD) == []
    assert faults.apply(1, "ethusdt@trade", PAYLOAD) == [PAYLOAD]


def test_requests_meet_faults_as_often_as_wished_and_half_of_the_unknown_are_carried_out() -> None:
    faults = Faults()
    assert faults.of_request() == NO_FAULT
    faults.set(FaultSettings(lose_answer=0.1, unknown=0.2))
    met = [(f.kind, f.is_carried_out) for f in (faults.of_request() for _ in range(2_000))]
    assert 150 < met.count(("lose_answer", True)) < 250
    assert 150 < met.count(("unknown", True)) < 250
    assert 150 < met.count(("unknown", False)) < 250
    assert ("lose_answer", False) not in met


def test_user_events_are_dropped_doubled_and_reordered() -> None:
    faults = Faults()
    assert faults.of_event(b"1") == [b"1"]
    faults.set(FaultSettings(drop_user=0.1, duplicate_user=0.1, reorder_user=0.1))
    sent = [part for n in range(1_000) for part in faults.of_event(b"%d" % n) or ()]
    counts = faults.counts
    assert min(counts["drop_user"], counts["duplicate_user"], counts["reorder_user"]) > 50
    numbers = [int(part) for part in sent]
    assert numbers != sorted(numbers)
    assert len(set(numbers)) == 1_000 - counts["drop_user"] - len(faults._held_user.get("user", []))
