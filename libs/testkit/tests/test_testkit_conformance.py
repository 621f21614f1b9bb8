"""The conformance suite finds each rule broken, and nothing in a sound stream."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus import subjects
from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    Side,
    Trade,
)
from tickbus_testkit.conformance import RULES, Conformance

NOW = 1_786_400_000 * 10**9
SECOND = 10**9
NAME = "BTC-USDT"
AT = ("sim", NAME)


def a_snapshot(place: int, epoch: int, sequence: int, bid: float = 100.0) -> BookSnapshot:
    ts = NOW + place * SECOND
    return BookSnapshot(ts, ts, *AT, epoch, sequence, ((bid, 1.0),), ((bid + 1, 1.0),), 0)


def a_delta(place: int, sequence: int, **changes: Any) -> BookDelta:
    ts = NOW + place * SECOND
    delta = BookDelta(ts, ts, *AT, 1, sequence, ((99.5, 1.0),), (), 0)
    return msgspec.structs.replace(delta, **changes)


def a_status(place: int, state: FeedState, reason: str = "x") -> FeedStatus:
    return FeedStatus(NOW + place * SECOND, NOW + place * SECOND, *AT, state, reason)


def a_trade(place: int, trade_id: str, price: float = 100.0) -> Trade:
    ts = NOW + place * SECOND
    return Trade(ts, ts, *AT, trade_id, price, 0.5, Side.BUY)


SOUND: list[Event] = [
    a_status(0, FeedState.SYNCING),
    a_snapshot(1, 1, 0),
    a_status(1, FeedState.LIVE, ""),
    a_delta(2, 1),
    a_trade(2, "7"),
    a_delta(3, 2, bids=((99.5, 0.0),)),
    a_snapshot(4, 1, 2),
    a_status(5, FeedState.SYNCING, "gap"),
    a_snapshot(6, 2, 0),
    a_status(6, FeedState.LIVE, ""),
]


def heard(events: list[Event]) -> Conformance:
    found = Conformance("sim")
    found.describe(
        Instrument("sim", NAME, "BTCUSDT", "BTC", "USDT", Decimal("0.5"), Decimal("0.1"))
    )
    for event in events:
        found.take(subjects.of(event), event, event.ts_recv)
        found.passed(event.ts_recv)
    return found


def broken(found: Conformance) -> set[str]:
    return {verdict.rule for verdict in found.verdicts() if verdict.word == "FAILED"}


def test_sound_stream_breaks_nothing_and_shows_what_was_not_seen() -> None:
    found = heard(SOUND)
    assert found.is_sound
    words = {verdict.rule: verdict.word for verdict in found.verdicts()}
    assert words.pop("wish") == "not seen"
    assert set(words.values()) == {"passed"}
    assert not Conformance("sim").is_sound, "nothing heard is nothing proved"


def with_last(event: Event, upto: int = 4) -> list[Event]:
    return [*SOUND[:upto], event]


WRONG: dict[str, list[Event]] = {
    "sequence": with_last(a_delta(3, 3)),
    "epoch": [*SOUND, a_snapshot(7, 1, 0)],
    "keyframe": with_last(a_snapshot(3, 1, 1, bid=90.0)),
    "levels": with_last(
        msgspec.structs.replace(a_snapshot(3, 2, 0), bids=((99.0, 1.0), (100.0, 1.0)))
    ),
    "crossed": with_last(a_delta(3, 2, bids=((101.0, 1.0),))),
    "precision": with_last(a_delta(3, 2, bids=((99.25, 1.0),))),
    "time": with_last(a_delta(3, 2, ts_event=1_786_400_000_000)),
    "trade": [*SOUND[:5], a_trade(3, "7")],
    "status": with_last(a_status(3, FeedState.STALE, "")),
    "live": [*SOUND[:8], a_delta(6, 3)],
    "resync": [*SOUND[:8], a_snapshot(6, 1, 2)],
    "instrument": with_last(msgspec.structs.replace(a_trade(3, "8"), instrument_id="XRP-USDT")),
    "subject": with_last(msgspec.structs.replace(a_trade(3, "8"), venue="other")),
}


@pytest.mark.parametrize("rule", list(WRONG))
def test_each_rule_is_found_broken(rule: str) -> None:
    found = heard(WRONG[rule])
    assert rule in broken(found)
    (verdict,) = (v for v in found.verdicts() if v.rule == rule)
    assert verdict.examples


SILENT: dict[str, Callable[[Conformance], None]] = {
    "wish": lambda found: found.wished(NAME, NOW),
    "form": lambda found: found.malformed("md.trade.sim.BTC-USDT", "not an envelope"),
    "keyframe": lambda found: None,
    "status": lambda found: None,
}


@pytest.mark.parametrize("rule", list(SILENT))
def test_what_did_not_come_is_found_too(rule: str) -> None:
    found = heard(SOUND)
    SILENT[rule](found)
    found.passed(NOW + 100 * SECOND)
    assert rule in broken(found)
    assert set(WRONG) | set(SILENT) == set(RULES), "every rule is tested"
