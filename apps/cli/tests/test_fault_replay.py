"""Recordings with faults put in: no book that is claimed good was ever another than the venue's."""

import itertools
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tickbus.captures import CapturedMessage, Captures
from tickbus.events import BookDelta, BookSnapshot, Event
from tickbus.orderbook import BookReplica
from tickbus_cli.inspecting import Inspector
from tickbus_cli.replay_instruments import recognize

CAPTURES = Path(os.environ.get("TICKBUS_CAPTURES", "../shared/data"))
MESSAGES_MAX = 6_000
FAULTS = ("drop", "duplicate", "reorder", "truncate", "corrupt")
PATTERNS = (
    "binance/spot/btcusdt_20240808.gz",
    "binance/usdm/btcusdt_*.gz",
    "binance/coinm/*.gz",
    "kraken/KRAKEN_20210417_*.zst",
    "kraken/KRAKEN_FUTURES_*.zst",
    "okx/*.zst",
    "bybit/BYBIT_*.zst",
    "coinbase/*.zst",
    "deribit/*.zst",
    "bitfinex/*.zst",
)
pytestmark = [
    pytest.mark.captures,
    pytest.mark.skipif(
        not CAPTURES.is_dir(), reason=f"no captures at {CAPTURES} (TICKBUS_CAPTURES names them)"
    ),
]


class Recording:
    """Messages as `Inspector.run` takes them."""

    def __init__(self, messages: list[CapturedMessage]) -> None:
        self.problems: list[Any] = []
        self._messages = messages

    def __iter__(self) -> Iterator[CapturedMessage]:
        return iter(self._messages)


class Consumer(Inspector):
    """Keeps a copy of each book from what is published; `book` gets each that is claimed good."""

    def __init__(self, paths: list[Path], book: Callable[[str, int], None]) -> None:
        super().__init__(recognize([str(path) for path in paths]))
        self._replicas: dict[str, BookReplica] = defaultdict(BookReplica)
        self._book = book

    def _observe(self, event: Event, now: int) -> None:
        super()._observe(event, now)
        if isinstance(event, BookDelta | BookSnapshot):
            replica, name = self._replicas[event.instrument_id], event.instrument_id
            if isinstance(event, BookDelta):
                assert replica.on_delta(event), "no change is missing"
            else:
                replica.on_snapshot(event)
            # Kraken's checksum is of ten levels, and nothing is numbered there.
            kraken = self.adapter.name == "kraken"
            levels = replica.book.depth(10) if kraken else replica.book.levels()
            self._book(name, hash(levels))


def damaged(
    messages: list[CapturedMessage], fault: str, rng: random.Random
) -> list[CapturedMessage]:
    """One frame in fifty meets the fault."""
    out: list[CapturedMessage] = []
    held: list[CapturedMessage] = []
    for message in messages:
        if message.kind != "frame" or rng.random() > 0.02 or len(message.payload) < 2:
            out += [message, *held]
            held.clear()
            continue
        payload, place = message.payload, rng.randrange(1, len(message.payload))
        if fault == "duplicate":
            out += [message, message]
        elif fault == "reorder":
            held.append(message)
        elif fault == "truncate":
            out.append(message._replace(payload=payload[:place]))
        elif fault == "corrupt":
            nonsense = payload[:place] + b"\x00" + payload[place + 1 :]
            out.append(message._replace(payload=nonsense))
    return out


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_book_is_good_that_never_was(pattern: str) -> None:
    paths = sorted(CAPTURES.glob(pattern))
    assert paths, pattern
    messages = list(itertools.islice(Captures(paths), MESSAGES_MAX))
    truth: dict[str, set[int]] = defaultdict(set)
    Consumer(paths, lambda name, book: truth[name].add(book)).run(Recording(messages))  # type: ignore[arg-type]
    assert sum(map(len, truth.values())) > 10
    for seed, fault in enumerate(FAULTS):
        good = 0

        def check(name: str, book: int, fault: str = fault) -> None:
            nonlocal good
            good += 1
            assert book in truth[name], (fault, name)

        faulty = Consumer(paths, check)
        faulty.run(Recording(damaged(messages, fault, random.Random(seed))))  # type: ignore[arg-type]
        assert good, "some books stay good for a while"
        if fault in ("truncate", "corrupt"):
            assert faulty.core.rejected
        if fault == "drop" and len(messages) > 1_000:
            assert faulty.core.resyncs, "a change that is missing was missed"
